"""`syncd demo`: everything at work on one machine, with simulated upstreams and a private database."""

import asyncio
import contextlib
import os
from pathlib import Path

import asyncpg

from syncd import config as configuration
from syncd import console, database, embedded, log
from syncd.commands import Job, changing, load_config, run_jobs, stopped_by_signals
from syncd.config import Config
from syncd.database import Database
from syncd.errors import UsageError
from syncd.sandbox import Address, Sandbox, config_text, serve
from syncd.sources import registry
from syncd.sync import Order, Result, Syncer

EVOLVE_S = 5.0
"""How often the simulated world changes while the demo goes on."""
EVERY = "10s"
"""How often each stream is synced while the demo goes on: often enough to watch."""

QUERIES = (
    (
        "Bikes in stock by store and brand, demo bikes apart",
        (
            "SELECT s.store_name, k.brand_name, count(*) AS bikes, count(*) FILTER (WHERE k.is_demo) AS demo "
            "FROM cyclesoftware.stock k JOIN cyclesoftware.stores s USING (source, store_id) "
            "WHERE k._deleted_at IS NULL GROUP BY 1, 2 ORDER BY bikes DESC LIMIT 10"
        ),
    ),
    (
        "Lease orders by state, with what they bring a month",
        (
            "SELECT state, count(*) AS orders, sum(lease_cost) AS lease_cost FROM cyclis.orders "
            "WHERE _deleted_at IS NULL GROUP BY state ORDER BY orders DESC"
        ),
    ),
    (
        "Cars longest in inventory",
        (
            "SELECT selling_id, make_name, model_name, dealer_price, current_date - created::date AS days "
            "FROM autengo.vehicles WHERE vehicle_state = 'inventory' AND _deleted_at IS NULL ORDER BY days DESC LIMIT 10"
        ),
    ),
)


async def run(*, once: bool, data_dir: Path | None, listen: str, customers: int, seed: int, verbose: bool) -> int:
    """Run the demo; 1 if the first sync was not all well. Its mirror starts empty each time, as its world does."""
    folder = await asyncio.to_thread(_folder, data_dir)
    log.configure("auto", "info" if verbose else "error")
    world = Sandbox(seed=seed, customers=customers)
    console.err.print(f"demo in {folder}: starting the private database and the sandbox …")
    async with serve(world) as address:
        settings = await asyncio.to_thread(_write_config, folder, world, address, listen)
        await _start_empty(settings)
        opened = await database.connect(settings.database)
        try:
            applied = await database.migrate(opened)
            console.err.print(f"migrated: {', '.join(applied)}")
            stop = asyncio.Event()
            with stopped_by_signals(stop):
                results = await _first_sync(settings, opened, stop)
                await _print_mirrored(settings, opened)
                _print_hints(settings, once=once)
                if not once and not stop.is_set():
                    await _go_on(settings, world, stop)
        finally:
            await opened.close()
            await embedded.release(settings.database.data_dir)
    return 0 if all(result.outcome == "ok" for result in results) else 1


def _folder(data_dir: Path | None) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = (data_dir or state / "syncd-demo").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_config(folder: Path, world: Sandbox, address: Address, listen: str) -> Config:
    """Write the demo's configuration, which the user may then use with every other command."""
    path = folder / "config.toml"
    text = [
        f'[database]\ndata_dir = "{folder / "database"}"\n\n[http]\nlisten = "{listen}"\n\n',
        config_text(world, address),
    ]
    for source, streams in _streams(config_text(world, address)).items():
        text += [f'[sources.{source}.streams.{stream}]\nevery = "{EVERY}"\n' for stream in streams]
    path.touch(mode=0o600)
    path.write_text("".join(text))
    return load_config(path)


def _streams(text: str) -> dict[str, list[str]]:
    """Return which streams the demo syncs more often than by default: those that change while one watches."""
    watched = {"shop": ["customers", "stock_items", "sales_orders"], "lease": ["orders"], "cars": ["vehicles"]}
    return {source: [s for s in streams if f".streams.{s}]" not in text] for source, streams in watched.items()}


async def _start_empty(settings: Config) -> None:
    """Give the demo an empty database on its private server."""
    server = await embedded.ensure(settings.database.data_dir)
    conn = await asyncpg.connect(**{**server.connect_arguments, "database": "postgres"})
    try:
        await conn.execute(f"DROP DATABASE IF EXISTS {server.database} WITH (FORCE)")
        await conn.execute(f"CREATE DATABASE {server.database}")
    finally:
        await conn.close()


async def _first_sync(settings: Config, opened: Database, stop: asyncio.Event) -> list[Result]:
    from syncd.client import http_session

    async with http_session() as http:
        syncer = Syncer(settings, registry(), opened, http)
        pairs = configuration.select(settings, [])
        jobs = [Job(source=source, stream=stream, order=Order(stop=stop)) for source, stream in pairs]
        results = await run_jobs(syncer, jobs, quiet=False)
    for result in results:
        if result.error:
            console.err.print(f"[red]{result.name}[/] {result.outcome}: {result.error}")
    return results


async def _print_mirrored(settings: Config, opened: Database) -> None:
    """Print every table of the mirror with what it holds."""
    rows = []
    async with opened.connection() as conn:
        for source in settings.sources.values():
            for stream in registry()[source.type].streams:
                for table in (stream.table, *(child.table for child in stream.table.children)):
                    found = await conn.fetchrow(
                        f"SELECT count(*) FILTER (WHERE _deleted_at IS NULL), count(_deleted_at), max(_changed_at)"
                        f' FROM "{table.schema}"."{table.name}" WHERE source = $1',
                        source.name,
                    )
                    rows.append((f"{table.schema}.{table.name}", source.name, *found))
    console.print_table("Now mirrored", ["table", "source", "rows", "tombstones", "last change"], rows)


def _print_hints(settings: Config, *, once: bool) -> None:
    command = f"syncd sql --config {settings.path}"
    if settings.http and not once:
        console.out.print(f"\nStatus page: http://{settings.http.host}:{settings.http.port}/")
    console.out.print("\nThree questions to try (ready to paste):")
    for title, query in QUERIES:
        console.out.print(f"\n[bold]{title}[/]")
        console.out.print(f'{command} "{query}"', soft_wrap=True, markup=False)


async def _go_on(settings: Config, world: Sandbox, stop: asyncio.Event) -> None:
    """Keep syncing while the simulated world changes, until `stop`."""
    from syncd import daemon

    console.out.print(f"\nThe simulated world changes every {EVOLVE_S:.0f} s; syncing on until Ctrl-C …")
    changes = asyncio.create_task(changing(world.evolve, EVOLVE_S, stop))
    try:
        await daemon.serve(lambda: load_config(settings.path), stop=stop, logs=False)
    except OSError as error:
        raise UsageError(f"the status page cannot listen: {error}", hint="Try --listen 127.0.0.1:0.") from None
    finally:
        changes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await changes

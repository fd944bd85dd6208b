"""`syncd demo`: everything at work on one machine, with simulated upstreams and a private database."""

import asyncio
import contextlib
import fcntl
import json
import os
import shlex
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import click

from syncd import config as configuration
from syncd import cookbook
from syncd.cli import console
from syncd.cli.commands.sandbox import changing, write_config
from syncd.cli.options import command, config_option_with, verbose_option
from syncd.cli.runner import Job, run_jobs
from syncd.cli.session import execute, fetch_rows, hangup_ends, load_config, stopped_by_signals
from syncd.clock import utc_now
from syncd.config import Config, is_off
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, UsageError
from syncd.sandbox import Address, Limits, Sandbox, config_text, serve
from syncd.sources import plugins, registry
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session


@command(
    examples=[
        ("syncd demo", "goes on until Ctrl-C; look at http://127.0.0.1:8787/"),
        ("syncd demo --once", "only the first sync"),
        ("syncd demo --customers 200000", "a shop of a size to worry about"),
    ]
)
@click.option("--once", is_flag=True, help="End after the first sync.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the demo's database lives [default: ~/.local/state/syncd-demo].",
)
@config_option_with("Write the demo's configuration to this file [default: config.toml in the data directory].")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address of the status page [default: 127.0.0.1:8787, or any free port if that is taken].",
)
@click.option(
    "--customers",
    default=2000,
    show_default=True,
    metavar="N",
    type=click.IntRange(1),
    help="Customers of the simulated shop.",
)
@click.option("--seed", default=1, show_default=True, metavar="N", help="Seed of the simulated data.")
@verbose_option
def demo(
    once: bool,
    data_dir: Path | None,
    config_path: Path | None,
    listen: str | None,
    customers: int,
    seed: int,
    verbose: bool,
) -> int:
    """Show everything at work on this machine.

    Starts simulated upstreams and a private database, syncs every stream, serves the status page, and prints queries
    to try. Then it keeps syncing while the simulated world changes, until Ctrl-C. Its mirror starts empty each time.
    """
    return execute(
        run_demo(
            once=once, data_dir=data_dir, config_path=config_path, listen=listen, customers=customers, seed=seed,
            verbose=verbose,
        ),
        verbose=verbose,
    )  # fmt: skip


LISTEN = "127.0.0.1:8787"
"""Where the status page is looked for first (DESIGN section 7)."""
ANYWHERE = "127.0.0.1:0"
EVOLVE_S = 5.0
"""How often the simulated world changes while the demo goes on."""
NEWEST = (
    "SELECT object_id FROM cyclesoftware.stock_items"
    " WHERE source = 'shop' AND account_id = 1 AND _deleted_at IS NULL ORDER BY stocked_at DESC LIMIT 20"
)
"""Objects that the demo asks for one by one: all of them would take minutes at the vendor's pace."""
A_MINUTE = 3_600
"""Requests that the demo's CycleSoftware allows, ten times what the vendor does: nobody waits for a demo's budget."""
EVERY = "10s"
"""How often the watched streams are synced while the demo goes on."""
TELL_S = 10.0
"""How often the demo tells what the runs since then have done."""

QUESTIONS = ("turnover_by_store", "margin_by_brand", "mechanics_load")
"""Questions of the cookbook that are shown with their answers."""


async def run_demo(
    *,
    once: bool,
    data_dir: Path | None,
    config_path: Path | None,
    listen: str | None,
    customers: int,
    seed: int,
    verbose: bool,
) -> int:
    """Run the demo; 1 if the first sync was not all well. Its mirror starts empty each time, as its world does."""
    listen = LISTEN if once and listen is None else _free_place(listen)
    with _own_folder(data_dir) as folder:
        console.print_note(f"demo in {folder}: starting the sandbox and a private database …")
        world = Sandbox(seed=seed, customers=customers, limits=Limits(per_minute=A_MINUTE))
        world.evolve()  # some lists are asked for what came lately
        async with serve(world) as address:
            settings = await asyncio.to_thread(
                _write_config, folder, config_path or folder / "config.toml", world, address, listen
            )
            async with _empty_database(settings) as opened:
                migrated = await migrations.migrate_all(opened, plugins().values())
                console.print_note(f"migrated: {', '.join(migrated.applied)}; first sync …")
                with stopped_by_signals() as stop:
                    results = await _first_sync(settings, opened, stop, quiet=verbose)
                    await _print_mirrored(settings, opened)
                    await _print_answers(settings, opened)
                    if not once and not stop.is_set():
                        await _go_on(settings, opened, world, stop)
    return 0 if all(result.outcome == "ok" for result in results) else 1


def _free_place(listen: str | None) -> str:
    """Return where the status page can listen: where it was asked for, else the usual place or any port."""
    wanted = listen or LISTEN
    host, _, port = wanted.rpartition(":")
    try:
        address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except (ValueError, OverflowError):
        raise UsageError(f"--listen {wanted}: no address", hint=f"HOST:PORT, such as {LISTEN}") from None
    except OSError as error:
        if listen is not None:
            raise UsageError(
                f"the status page cannot listen on {listen}: {error.strerror}", hint=f"Try --listen {ANYWHERE}."
            ) from None
        console.print_note(f"port {port} is taken: the status page takes another one")
        return ANYWHERE
    return wanted


def _state() -> Path:
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise UsageError("the user has no home directory", hint="Give --data-dir.") from None


@contextlib.contextmanager
def _own_folder(data_dir: Path | None) -> Iterator[Path]:
    """Make the demo's folder, and keep a second demo out of it: each one empties the database there."""
    folder = (data_dir or _state() / "syncd-demo").absolute()
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / "demo.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another demo is running in {folder}", hint="End it, or give --data-dir.") from None
        except OSError as error:
            raise UsageError(f"{folder} cannot be used: {error.strerror}", hint="Give --data-dir.") from None
        yield folder


def _write_config(folder: Path, path: Path, world: Sandbox, address: Address, listen: str) -> Config:
    """Write the demo's configuration, which the user may then use with every other command."""
    sources = config_text(world, address)
    text = [
        f"[database]\ndata_dir = {json.dumps(str(folder / 'database'))}\n\n[http]\nlisten = {json.dumps(listen)}\n\n",
        sources,
    ]
    watched = {"shop": ["customers", "stock_items", "sales_orders"], "lease": ["orders"], "cars": ["vehicles"]}
    for source, streams in watched.items():
        text += [f'[sources.{source}.streams.{stream}]\nevery = "{EVERY}"\n' for stream in streams]
    text += ["[sources.shop.streams.stock_objects]\n", f"ids_query = {json.dumps(NEWEST)}\n"]
    write_config(path, "".join(text))
    return load_config(path)


@contextlib.asynccontextmanager
async def _empty_database(settings: Config) -> AsyncIterator[Database]:
    """Open an empty database on the demo's private server, which ends with the demo."""
    server = await embedded.ensure(settings.database.data_dir)
    try:
        conn = await asyncpg.connect(**{**server.connect_arguments, "database": "postgres"})
        try:
            await conn.execute(f"DROP DATABASE IF EXISTS {server.database} WITH (FORCE)")
            await conn.execute(f"CREATE DATABASE {server.database}")
        finally:
            await conn.close()
        opened = await database.connect(settings.database)
        try:
            yield opened
        finally:
            await opened.close()
    finally:
        await embedded.release(settings.database.data_dir)


async def _first_sync(settings: Config, opened: Database, stop: asyncio.Event, *, quiet: bool) -> list[Result]:
    async with http_session() as http:
        syncer = Syncer(settings, registry(), opened, http)
        pairs = configuration.select(settings, [])
        jobs = [Job(source=source, stream=stream, order=Order(stop=stop)) for source, stream in pairs]
        results = await run_jobs(syncer, jobs, quiet=quiet)
    for result in results:
        if result.error:
            console.print_error(result.error, word="stopped" if stop.is_set() else "error")
    return results


async def _print_mirrored(settings: Config, opened: Database) -> None:
    """Print what the tables of every stream that is on hold."""
    rows = []
    async with opened.connection() as conn:
        for source in settings.sources.values():
            for stream in registry()[source.type].streams:
                if is_off(source.streams[stream.name]):
                    continue
                for table in (stream.table, *(child.table for child in stream.table.children)):
                    found = await conn.fetchrow(
                        f"SELECT count(*) FILTER (WHERE _deleted_at IS NULL), count(_deleted_at), max(_changed_at)"
                        f' FROM "{table.schema}"."{table.name}" WHERE source = $1',
                        source.name,
                    )
                    rows.append((f"{table.schema}.{table.name}", source.name, *found))
    console.print_table("Now mirrored", ["table", "source", "rows", "tombstones", "last change"], rows)


async def _print_answers(settings: Config, opened: Database) -> None:
    """Print some questions of the cookbook, their answers, and what to type for them."""
    known = cookbook.questions()
    command, place = f"{console.program()} report", f"--config {shlex.quote(str(settings.path))}"
    console.say(f"Three of the cookbook's {len(known)} questions; all of them: {command}")
    async with opened.connection() as conn:
        for name in QUESTIONS:
            console.say(f"\n{known[name].text}\n{command} {name} {place}")
            console.print_rows(*await fetch_rows(conn, known[name].query))


async def _go_on(settings: Config, opened: Database, world: Sandbox, stop: asyncio.Event) -> None:
    """Keep syncing while the simulated world changes, until `stop`."""
    from syncd.service import daemon

    def started(url: str | None) -> None:
        console.say(
            f"Status page: {url}\n\nThe simulated world changes every {EVOLVE_S:.0f} s; syncing on until Ctrl-C …"
        )

    beside = [
        asyncio.create_task(changing(world.evolve, EVOLVE_S, stop)),
        asyncio.create_task(_tell_changes(opened)),
    ]
    try:
        hangup: daemon.Hangup = "ends" if hangup_ends(on_terminal=False) else "reloads"
        await daemon.serve(lambda: load_config(settings.path), stop=stop, logs=False, on_started=started, hangup=hangup)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    console.print_note("demo ended")


async def _tell_changes(opened: Database) -> None:
    """Tell every TELL_S what the runs since the last time have done."""
    since = utc_now()
    while True:
        await asyncio.sleep(TELL_S)
        now = utc_now()
        with contextlib.suppress(DatabaseError):
            async with opened.connection() as conn:
                runs, new, changed, gone, bad = await conn.fetchrow(
                    "SELECT count(*), coalesce(sum(rows_inserted), 0), coalesce(sum(rows_updated), 0),"
                    " coalesce(sum(rows_deleted), 0), count(*) FILTER (WHERE outcome IN ('failed', 'throttled'))"
                    " FROM syncd.runs WHERE finished_at > $1 AND finished_at <= $2",
                    since, now,
                )  # fmt: skip
            since = now
            failed = f", {bad} failed" if bad else ""
            console.print_note(f"{now:%H:%M:%S} {runs} runs{failed}: {new} rows new, {changed} changed, {gone} gone")

"""What the short commands do, and how every command opens its configuration and database."""

import asyncio
import contextlib
import difflib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from syncd import config as configuration
from syncd import log
from syncd.cli import console
from syncd.config import Config
from syncd.errors import UsageError
from syncd.sources import registry, specs
from syncd.storage.postgres import database, migrations
from syncd.storage.postgres.database import Database

T = TypeVar("T")

QUERY_TIMEOUT_S = 300.0
"""Longest query of `syncd sql`: it is for a look, not for a report."""


def load_config(path: Path | None, *, resolve_secrets: bool = True) -> Config:
    """Load the configuration and tell the log what to keep secret."""
    settings = configuration.load(path, specs(), resolve_secrets=resolve_secrets)
    for key, secret in configuration.secrets(settings):
        if secret.is_resolved and (key != "database.url" or settings.database.password):
            log.protect(secret.reveal())
    return settings


@contextlib.asynccontextmanager
async def opened_database(settings: Config, *, migrated: bool = True) -> AsyncIterator[Database]:
    """Open the database for one command; raises DatabaseError unless it is migrated (where that matters)."""
    opened = await database.connect(settings.database)
    try:
        if migrated:
            await migrations.require_migrated(opened)
        yield opened
    finally:
        await opened.close()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """Let the first Ctrl-C or SIGTERM set the event; a second one ends the command at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and task:
            task.cancel()
            return
        stop.set()
        console.print_note("stopping at the next page … (again: at once)")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Wait for the work; cancel it and return None as soon as `stop` is set."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def migrate(path: Path | None) -> int:
    """Bring the database to this version and say what was done."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings, migrated=False) as open_database:
        applied = await migrations.migrate(open_database)
        newest = migrations.newest_revision()
    console.say(f"database {open_database.shown} is at revision {newest}")
    console.say(f"applied: {', '.join(applied)}" if applied else "nothing to do")
    return 0


async def run_daemon(path: Path | None) -> int:
    """Run the daemon until it is told to stop."""
    from syncd.service import daemon

    return await daemon.serve(lambda: load_config(path))


async def status(path: Path | None, *, as_json: bool) -> int:
    """Print the state of every stream and source."""
    from datetime import UTC, datetime

    from syncd import status as module

    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as open_database:
        found = await module.collect(open_database, settings, registry(), now=datetime.now(UTC))
    if as_json:
        console.print_json(found)
    else:
        console.print_status(found)
    return 0


async def sql(path: Path | None, query: str, *, as_json: bool) -> int:
    """Run one read-only query and print its rows."""
    settings = load_config(path, resolve_secrets=False)
    async with (
        opened_database(settings, migrated=False) as open_database,
        open_database.connection() as conn,
    ):
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = '{QUERY_TIMEOUT_S:.0f}s'")
                statement = await conn.prepare(query)
                rows = await statement.fetch()
                columns = [attribute.name for attribute in statement.get_attributes()]
        except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
            raise
        except asyncpg.PostgresError as error:
            # its DETAIL is left out: it shows values of rows
            raise UsageError(f"the query failed: {error.args[0] if error.args else error}") from None
    if as_json:
        console.print_json([{name: _plain(value) for name, value in row.items()} for row in rows])
    else:
        console.print_rows(columns, [list(row.values()) for row in rows])
        console.say(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}")
    return 0


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


async def serve_sandbox(
    *,
    port: int,
    seed: int,
    customers: int,
    faults: Sequence[str],
    evolve_s: float,
    list_faults: bool,
    config_path: Path | None,
) -> int:
    """Serve the simulated upstreams until Ctrl-C."""
    from syncd import sandbox as module

    if list_faults:
        console.print_table("", ["fault", "what it does"], sorted(module.FAULTS.items()))
        return 0
    world = module.Sandbox(seed=seed, customers=customers)
    for text in faults:
        try:
            world.faults.add(**module.parse_fault(text))
        except (ValueError, KeyError) as error:
            reason = str(error.args[0]).partition("; there are")[0]
            raise UsageError(f"--fault {text}: {reason}", hint=_fault_hint(text, module.FAULTS)) from None
    async with contextlib.AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(module.serve(world, port=port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on port {port}: {os.strerror(error.errno or 0)}", hint="Try --port 0."
            ) from None
        text = module.config_text(world, address)
        if config_path:
            await asyncio.to_thread(write_config, config_path, text)
            console.print_note(f"wrote {config_path}; try: syncd migrate --config {config_path}")
        else:
            console.say(text)
        console.print_note(f"sandbox at {address.url}; Ctrl-C ends it")
        with stopped_by_signals() as stop:
            await changing(world.evolve, evolve_s, stop)
    return 0


def _fault_hint(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text.partition(":")[0].partition("@")[0], known, n=1, cutoff=0.5)
    return f"{f'Did you mean {near[0]}? ' if near else ''}All of them: syncd sandbox --list-faults"


WRITTEN_BY = "# written by syncd for its sandbox; syncd may overwrite it\n"


def write_config(path: Path, text: str) -> None:
    """Write a configuration for the sandbox, readable by its owner only; never over one that somebody else wrote."""
    try:
        if path.exists() and not path.read_text().startswith(WRITTEN_BY):
            raise UsageError(f"{path} is there already, and not of our making", hint="Name another file.")
        path.touch(mode=0o600)
        path.write_text(WRITTEN_BY + text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or 'it is no text'}") from None


async def changing(evolve: Callable[[], Any], every_s: float, stop: asyncio.Event) -> None:
    """Let a sandbox change at intervals until `stop` is set; an interval of 0 lets it rest."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s or None)
            return
        evolve()

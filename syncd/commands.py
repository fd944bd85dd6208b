"""What the short commands do, and how every command opens its configuration, database and upstreams."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd import console, database, log
from syncd.config import Config
from syncd.database import Database
from syncd.errors import LockHeld, SyncdError, UsageError
from syncd.sources import registry, specs
from syncd.sync import Order, Result, Syncer

PARALLEL_RUNS = 8
"""Runs of one command at once; each needs a connection only while it commits a page."""


def load_config(path: Path | None, *, resolve_secrets: bool = True) -> Config:
    """Load the configuration and tell the log what to keep secret."""
    settings = configuration.load(path, specs(), resolve_secrets=resolve_secrets)
    for _, secret in configuration.secrets(settings):
        if secret.is_resolved:
            log.protect(secret.reveal())
    return settings


@contextlib.asynccontextmanager
async def opened_database(settings: Config, *, migrated: bool = True) -> AsyncIterator[Database]:
    """Open the database for one command; raises DatabaseError unless it is migrated (where that matters)."""
    opened = await database.connect(settings.database)
    try:
        if migrated:
            await database.require_migrated(opened)
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def opened(path: Path | None, *, verbose: bool = False) -> AsyncIterator[Syncer]:
    """Open everything that a run needs: configuration, database, connections to the upstreams."""
    from syncd.client import http_session

    settings = load_config(path)
    log.configure(settings.log.format, "info" if verbose else "error")
    async with opened_database(settings) as open_database, http_session() as http:
        yield Syncer(settings, registry(), open_database, http)


@contextlib.contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM set `stop`; a second one ends at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and task:
            task.cancel()
        stop.set()
        console.err.print("[yellow]stopping at the next page …[/] (again: at once)")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run that a command is to make."""

    source: str
    stream: str
    order: Order


async def run_jobs(syncer: Syncer, jobs: Sequence[Job], *, quiet: bool) -> list[Result]:
    """Run the jobs in parallel with progress, and return how each ended, in their order.

    A stream that is locked elsewhere counts as failed. Raises DatabaseError if the database is lost.
    """
    slots = asyncio.Semaphore(PARALLEL_RUNS)
    with console.runs_shown(quiet=quiet) as shown:

        async def work(job: Job) -> Result:
            async with slots:
                if job.order.stop.is_set():
                    return Result(job.source, job.stream, job.order.kind, outcome="aborted")
                shown.begin(f"{job.source}.{job.stream}")
                try:
                    result = await syncer.run(job.source, job.stream, job.order)
                except LockHeld as error:
                    result = Result(job.source, job.stream, job.order.kind, outcome="failed", error=error)
                shown.end(result)
                return result

        for job in jobs:
            job.order.progress = shown.advance
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_unwrapped(work(job))) for job in jobs]
        outcomes = [task.result() for task in tasks]
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Result)]


async def _unwrapped(work: Any) -> Result | SyncdError:
    """Return an error of ours as a value, so that it reaches the user as itself and not inside a group."""
    try:
        result: Result = await work
        return result
    except SyncdError as error:
        return error


async def migrate(path: Path | None) -> int:
    """Bring the database to this version and say what was done."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings, migrated=False) as open_database:
        applied = await database.migrate(open_database)
        newest = database.newest_revision()
    console.out.print(f"database {open_database.shown} is at revision {newest}")
    console.out.print(f"applied: {', '.join(applied)}" if applied else "nothing to do")
    return 0


async def run_daemon(path: Path | None) -> int:
    """Run the daemon until it is told to stop."""
    from syncd import daemon

    return await daemon.serve(lambda: load_config(path))


async def sync(
    path: Path | None,
    selectors: Sequence[str],
    *,
    full: bool,
    accept_deletions: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run every matching stream once; 1 if any run was not ok."""
    async with opened(path, verbose=verbose) as syncer:
        pairs = configuration.select(syncer.config, selectors)
        if not pairs:
            raise UsageError("no stream is on", hint="syncd check says which keys are missing.")
        stop = asyncio.Event()
        jobs = [
            Job(source=source, stream=stream, order=_order(syncer, source, stream, full, accept_deletions, stop))
            for source, stream in pairs
        ]
        with stopped_by_signals(stop):
            results = await run_jobs(syncer, jobs, quiet=as_json or verbose)
    return report(results, as_json=as_json)


def _order(syncer: Syncer, source: str, stream: str, full: bool, accept_deletions: bool, stop: asyncio.Event) -> Order:
    sweeps = syncer.source(source)[0].stream(stream).sweep_s is not None
    return Order(kind="sweep" if full and sweeps else "live", accept_deletions=accept_deletions, stop=stop)


def report(results: Sequence[Result], *, as_json: bool) -> int:
    """Print how runs ended and return the exit code."""
    if as_json:
        console.print_json([console.result_json(result) for result in results])
    else:
        console.print_results(results)
    return 0 if all(result.outcome == "ok" for result in results) else 1


async def status(path: Path | None, *, as_json: bool) -> int:
    """Print the state of every stream and source."""
    from syncd import status as module
    from syncd.sync import utc_now

    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as open_database:
        found = await module.collect(open_database, settings, registry(), now=utc_now())
    if as_json:
        console.print_json(found)
    else:
        module.show(found)
    return 0


async def sql(path: Path | None, query: str, *, as_json: bool) -> int:
    """Run one read-only query and print its rows."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings, migrated=False) as open_database, open_database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                rows = await conn.fetch(query)
        except (asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError) as error:
            raise UsageError(f"the query failed: {error}") from None
    if as_json:
        console.print_json([{name: _plain(value) for name, value in row.items()} for row in rows])
    else:
        console.print_table("", list(rows[0].keys()) if rows else ["no rows"], [list(row.values()) for row in rows])
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
            raise UsageError(f"--fault {text}: {error}", hint="syncd sandbox --list-faults") from None
    stop = asyncio.Event()
    try:
        async with module.serve(world, port=port) as address:
            text = module.config_text(world, address)
            if config_path:
                await asyncio.to_thread(_write_private, config_path, text)
                console.err.print(f"wrote {config_path}; try: syncd --help")
            else:
                console.out.print(text, markup=False, soft_wrap=True)
            console.err.print(f"[green]sandbox[/] at {address.url}, Ctrl-C ends it")
            with stopped_by_signals(stop):
                await changing(world.evolve, evolve_s, stop)
    except OSError as error:
        raise UsageError(f"cannot listen on port {port}: {error.strerror}", hint="Try --port 0.") from None
    return 0


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


async def changing(evolve: Callable[[], Any], every_s: float, stop: asyncio.Event) -> None:
    """Let a sandbox change at intervals until `stop` is set; an interval of 0 lets it rest."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s or None)
            return
        evolve()

"""How a command opens its configuration and its database, and how signals stop it."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg

from syncd import config as configuration
from syncd import log
from syncd.cli import console
from syncd.config import Config
from syncd.sources import refused, specs
from syncd.storage.postgres import database, migrations
from syncd.storage.postgres.database import Database

T = TypeVar("T")

YOUNG_OBJECTS: Final = 50_000
"""New objects between two searches for cycles: pages are thousands of rows, and rows hold no cycles. A search at every
700, as is Python's default, takes a quarter of a first load."""


def execute(work: Coroutine[Any, Any, int], *, verbose: bool = False) -> int:
    """Run a command to its end and return its exit code; what it logs goes to stderr."""
    log.configure("auto", "info" if verbose else "error")
    gc.freeze()  # what was imported stays: no search for cycles looks at it
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def load_config(path: Path | None, *, resolve_secrets: bool = True, asks: bool = True, protects: bool = True) -> Config:
    """Load the configuration and tell the log what to keep secret.

    `asks` False leaves the accounts of `[sources_from]` out, so that the database is not asked for them. `protects`
    False leaves it to the caller to tell the log.
    """
    settings = configuration.load(path, specs(), resolve_secrets=resolve_secrets, refused=refused())
    if asks and settings.sources_from:
        from syncd.service import accounts

        settings = accounts.with_accounts(settings, resolve_secrets=resolve_secrets)
    for secret in configuration.masked(settings) if protects else ():
        if secret.is_resolved:
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


@contextlib.asynccontextmanager
async def reading(conn: asyncpg.Connection, *, timeout_s: float) -> AsyncIterator[None]:
    """Read within one transaction, as of one instant; it ends also where the block fails. `timeout_s` 0 is no limit.

    A connection that the block closed, because it could not be used any more, is left alone.
    """
    transaction = conn.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    try:
        await conn.execute(f"SET LOCAL statement_timeout = '{timeout_s:.0f}s'")
        yield
    finally:
        if not conn.is_closed():
            await transaction.rollback()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """Let the first Ctrl-C or SIGTERM set the event, or the end of the terminal; a second one ends the command at once.

    A SIGHUP that the parent ignores stays ignored: that is what nohup is for.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and task:
            task.cancel()
            return
        stop.set()
        console.print_note("stopping at the next page … (again: at once)")

    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def hangup_ends(*, on_terminal: bool) -> bool:
    """Say whether SIGHUP means that the terminal was closed: not if the parent ignores it, which is what nohup does.

    `on_terminal`: only if there is a terminal; else whoever sends it may mean something else.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    return not on_terminal or any(os.isatty(descriptor) for descriptor in (0, 1, 2))


async def unless_stopped(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """Wait for the work; cancel it and return None as soon as `stop` is set."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def selected_streams(settings: Config, selectors: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the sources and the names of the selected streams, as two parallel lists for `IN_STREAMS`.

    Without selectors these are all streams of the configuration, also those that are off.
    """
    if selectors:
        pairs = configuration.select(settings, selectors)
    else:
        pairs = [(source.name, stream) for source in settings.sources.values() for stream in source.streams]
    return [source for source, _ in pairs], [stream for _, stream in pairs]


IN_STREAMS = "(source, stream) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
"""SQL's condition that a row is about one of the selected streams."""


async def fetch_rows(conn: asyncpg.Connection, query: str) -> tuple[list[str], list[list[object]]]:
    """Run a query; return the names of its columns, which it has without any row too, and its rows."""
    statement = await conn.prepare(query)
    rows = await statement.fetch()
    return [attribute.name for attribute in statement.get_attributes()], [list(row.values()) for row in rows]

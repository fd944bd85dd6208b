"""The daemon's database: opened as soon as it can be reached, looked for when it was lost.

Waits for ever, with growing waits. The embedded server is ours to start: if that fails, waiting does not help.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

from syncd import log
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import DatabaseError, DatabaseUnavailable
from syncd.scale import workers
from syncd.service import accounts
from syncd.service.process.systemd import Notifier
from syncd.storage.postgres import database, embedded, migrations, session
from syncd.storage.postgres.database import Database
from syncd.storage.state import runs

BACKOFF_S: Final = (0.5, 30.0)
"""Waits between two looks for a database that is away: first, doubled up to the last."""

WORKER_LONGEST_S: Final = 2.0
"""Longest wait of a worker: it has its accounts as soon as the database is back, and nobody else has them."""

SETTLED_S: Final = 60.0
"""A database that is lost again sooner is looked for in longer waits, so that the log is not filled; our choice."""

_log = log.get(__name__)


async def _nobody(_opened: Database) -> None:
    """Tell nobody."""


class Connection:
    """The database of one life of the service; its settings are those of the start.

    `on_misfit` hears of a database that is not migrated, or too new, before that ends the service.
    """

    def __init__(
        self, config: Config, notifier: Notifier, *, is_worker: bool = False,
        on_misfit: Callable[[Database], Awaitable[None]] = _nobody,
    ) -> None:  # fmt: skip
        self._settings = config.database
        self._is_worker = is_worker
        self._pool_size = config.scale.pool if is_worker else database.POOL_SIZE
        self._longest_s = WORKER_LONGEST_S if is_worker else BACKOFF_S[1]
        self._notifier = notifier
        self._on_misfit = on_misfit
        self._database: Database | None = None
        self._returned_at = -SETTLED_S
        self._waited_s = 0.0

    def get(self) -> Database:
        """Return the database. Raises DatabaseUnavailable while it has not been reached yet."""
        if self._database is None:
            raise DatabaseUnavailable(f"the database {self._settings.shown} has not been reached yet")
        return self._database

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the database as soon as it can be reached; `stack` closes it. An outage is told once.

        Raises DatabaseError for a database that refuses or is not migrated, and for an embedded one that cannot start.
        """
        waiting_since = 0.0
        async for _ in _looks():
            try:
                self._database = await self._opened(stack)
            except DatabaseUnavailable as error:
                if self._settings.is_embedded:
                    raise
                if not waiting_since:
                    waiting_since = time.monotonic()
                    _log.warning("database_lost", error=str(error), hint=error.hint)
                self._notifier.send("STATUS=waiting for the database", "EXTEND_TIMEOUT_USEC=90000000")
                continue
            if waiting_since:
                _log.info("database_recovered", down_s=round(time.monotonic() - waiting_since, 1))
            return

    async def _opened(self, stack: contextlib.AsyncExitStack) -> Database:
        """Open the database, see that it is migrated, and close the runs of processes that died."""
        async with contextlib.AsyncExitStack() as opening:
            program = session.PROGRAM if self._is_worker else workers.DAEMON_PROGRAM
            opened = await database.connect(self._settings, pool_size=self._pool_size, program=program)
            if self._settings.is_embedded:  # else systemd would kill the private server with the daemon
                opening.push_async_callback(embedded.release, self._settings.data_dir)
            opening.push_async_callback(opened.close)
            try:
                await migrations.require_migrated(opened)
            except DatabaseUnavailable:
                raise
            except DatabaseError:
                await self._on_misfit(opened)
                raise
            await database.require_writable(opened)
            await self._settle(opened)
            stack.push_async_exit(opening.pop_all())
        return opened

    async def _settle(self, opened: Database) -> None:
        """Close the runs of processes that died; of a worker's, whoever declares it lost does so."""
        if not self._is_worker:
            await workers.require_none(opened)
            await _recover(opened)

    async def await_return(self) -> None:
        """Look for the lost database, by a connection of its own, until a write succeeds.

        Starts an embedded server again. An answer is not enough: with a full disk it answers, and every run fails.
        """
        lost_at = time.monotonic()
        has_relapsed = lost_at - self._returned_at < SETTLED_S
        self._waited_s = _next_wait(self._waited_s, self._longest_s) if has_relapsed else 0.0
        async for waited_s in _looks(after_s=self._waited_s, longest_s=self._longest_s):
            try:
                looking = await database.connect(self._settings, pool_size=1)
                try:
                    await database.require_writes(looking)
                finally:
                    await looking.close()
                self.get().drop_idle()  # what is left of the old connections is dead
                if not self._is_worker:
                    await _recover(self.get())
            except DatabaseError:
                continue
            self._returned_at, self._waited_s = time.monotonic(), waited_s
            _log.info("database_recovered", down_s=round(self._returned_at - lost_at, 1))
            return


async def loaded(load: Callable[[], Config], notifier: Notifier, stop: asyncio.Event | None) -> Config:
    """Read the configuration, as soon as the database that gives its accounts can be reached; an outage is told once.

    Raises ConfigError and DatabaseError as `load` does, and DatabaseUnavailable if `stop` is set meanwhile.
    """
    waiting_since = 0.0
    async for _ in _looks():
        try:
            config = await asyncio.wrap_future(accounts.beside(partial(accounts.digested, load)))
        except DatabaseUnavailable as error:
            if stop is not None and stop.is_set():
                raise
            if not waiting_since:
                waiting_since = time.monotonic()
                _log.warning("database_lost", error=str(error), hint=error.hint)
            notifier.send("STATUS=waiting for the database", "EXTEND_TIMEOUT_USEC=90000000")
            continue
        if waiting_since:
            _log.info("database_recovered", down_s=round(time.monotonic() - waiting_since, 1))
        return config
    raise AssertionError("it is looked for without an end")


async def _looks(*, after_s: float = 0.0, longest_s: float = BACKOFF_S[1]) -> AsyncIterator[float]:
    """Yield after a first wait and then after growing ones, for ever: the wait of each look."""
    wait_s = after_s
    while True:
        await asyncio.sleep(wait_s)
        yield wait_s
        wait_s = _next_wait(wait_s, longest_s)


def _next_wait(wait_s: float, longest_s: float) -> float:
    return min(max(2 * wait_s, BACKOFF_S[0]), longest_s)


async def _recover(opened: Database) -> None:
    if recovered := await runs.recover(opened, now=utc_now()):
        _log.info("runs_recovered", count=recovered)

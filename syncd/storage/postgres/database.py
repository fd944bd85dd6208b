"""The database: a pool of connections, transactions, and the private server where the configuration asks for one.

Work is done on plain asyncpg connections, because COPY needs them. Knows no table.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import asyncpg

from syncd import config
from syncd.errors import DatabaseError
from syncd.storage.postgres import driver, embedded, session, transactions
from syncd.storage.postgres.driver import translated
from syncd.storage.postgres.locks import TRY_LOCK, Locks

POOL_SIZE = 10
"""Connections of one process at most, beside the one that holds its locks."""
PROBES = 20
"""Looks for a pooler in transaction mode, each of which finds one unless others use it at the same instant."""

USUAL_SCHEMAS = config.Schemas()

COMMIT_PATIENCE_S = 10.0
"""Longest wait for a commit that a standby must confirm, before it counts as one that never will."""

_PROCESS = "SELECT pg_backend_pid()"
_UNCONFIRMED = """
SELECT current_setting('synchronous_standby_names') FROM pg_stat_activity
WHERE usename = current_user AND wait_event = 'SyncRep' AND query_start < clock_timestamp() - $1::interval
LIMIT 1
"""


class Database:
    """An open database: a pool for work, and one connection that holds this process's advisory locks."""

    def __init__(
        self,
        url: str,
        shown: str,
        *,
        pool_size: int = POOL_SIZE,
        revive: Callable[[], Awaitable[object]] | None = None,
        schemas: config.Schemas = USUAL_SCHEMAS,
        program: str = session.PROGRAM,
    ) -> None:
        self.shown = shown
        self.schemas = schemas
        self._url = url
        self._pool_size = pool_size
        self._revive = revive
        self._idle: list[asyncpg.Connection] = []
        self._seats = asyncio.Semaphore(pool_size)
        self._program = program
        self._admit: Callable[[asyncpg.Connection], Awaitable[None]] | None = None
        self._locks = Locks(self._ready)

    async def open_session(self) -> asyncpg.Connection:
        """Open a session that is not the pool's; raises what the driver raises, and what refuses it (`become`)."""
        with driver.opening(self.shown):
            conn = await session.open_session(self._url, self._program)
        if self._admit is not None:
            try:
                await self._admit(conn)
            except BaseException:
                conn.terminate()
                raise
        return conn

    def become(self, program: str, admit: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        """Give all sessions from now on a name, and let `admit` refuse each by raising; no lock may be held yet."""
        self.drop_idle()
        self._program, self._admit = program, admit

    async def require_session(self) -> None:
        """Raise DatabaseError if a pooler gives each transaction another session of the server.

        A pooler of any kind is known by the process number that it made up for the greeting. Only then it is probed:
        two clients that share a server process, or one whose process changes, have no session of their own.
        """
        async with self.connection() as conn:
            mine = await conn.fetchval(_PROCESS)
            if mine == conn.get_server_pid():
                return
            other = await self._second_session()
            try:
                for _ in range(PROBES):
                    async with other.transaction():
                        theirs, again = await other.fetchval(_PROCESS), await conn.fetchval(_PROCESS)
                    if theirs in (mine, again) or again != mine:
                        raise driver.no_session(self.shown)
            finally:
                other.terminate()

    async def require_utf8(self) -> None:
        """Raise DatabaseError unless the database stores any text: in LATIN1 or SQL_ASCII most names get lost."""
        async with self.connection() as conn:
            encoding = conn.get_settings().server_encoding
        if encoding != "UTF8":
            raise DatabaseError(
                f"the database {self.shown} has the encoding {encoding}, which cannot hold every text, and not UTF8",
                hint="Create one with: createdb --encoding=UTF8 --template=template0 NAME; then mend database.url.",
            )

    async def _second_session(self) -> asyncpg.Connection:
        try:
            async with asyncio.timeout(session.CONNECT_TIMEOUT_S):
                return await self.open_session()
        except TimeoutError:
            raise DatabaseError(
                f"the pooler before the database {self.shown} gave no second session in"
                f" {session.CONNECT_TIMEOUT_S:.0f} s",
                hint=f"Let it give syncd at least {self._pool_size + 2} (pgbouncer: default_pool_size).",
            ) from None

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection in autocommit. Raises DatabaseUnavailable if the server cannot be reached or goes away."""
        with translated(self.shown):
            async with self._seats:
                conn = await self._ready()
                try:
                    yield conn
                finally:
                    self._give_back(conn)

    async def _ready(self) -> asyncpg.Connection:
        """Return the connection that was used last, or a new one."""
        while self._idle:
            if not (conn := self._idle.pop()).is_closed():
                return conn
        try:
            return await self.open_session()
        except driver.LOST:
            if self._revive is None:
                raise
            await self._revive()  # a private server that died is started again, once
            return await self.open_session()

    def _give_back(self, conn: asyncpg.Connection) -> None:
        if conn.is_closed():
            return
        if conn.is_in_transaction():  # left in the middle of something
            conn.terminate()
        else:
            self._idle.append(conn)

    @contextlib.asynccontextmanager
    async def transaction(self, begin: transactions.Begin = transactions.begin) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection inside a transaction that commits when the block ends well; `begin` begins it."""
        async with self.connection() as conn, transactions.transaction(conn, begin):
            yield conn

    async def try_lock(self, number: int, query: str = TRY_LOCK, *values: Any) -> asyncpg.Record | None:
        """Take the advisory lock of that number for this process, as `Locks.try_take` does."""
        with translated(self.shown):
            return await self._locks.try_take(number, query, *values)

    async def unlock(self, number: int) -> None:
        """Give the advisory lock back; harmless if it is lost already."""
        await self._locks.give_back(number)

    async def require_confirmed(self) -> None:
        """Raise DatabaseUnavailable if commits wait for a synchronous standby that does not answer.

        Waits for none of the pool's connections, because all of them may wait for that standby. Where nothing can be
        asked it raises nothing: that is told by whoever has work to do.
        """
        is_idle, standbys = bool(self._idle), None
        with contextlib.suppress(DatabaseError, *driver.LOST, asyncpg.PostgresError, TimeoutError):
            conn = await self._ready()
            try:
                standbys = await conn.fetchval(_UNCONFIRMED, timedelta(seconds=COMMIT_PATIENCE_S))
            finally:
                self._give_back(conn) if is_idle else conn.terminate()
        if standbys:
            raise driver.unconfirmed(self.shown, standbys)

    def drop_idle(self) -> None:
        """Drop the connections that nobody uses: after an outage they are dead, or still take no writes."""
        while self._idle:
            self._idle.pop().terminate()
        if not self._locks.are_held:
            self._locks.drop()

    async def close(self) -> None:
        """Close every connection."""
        with contextlib.suppress(*driver.LOST):
            await self._locks.close()
            while self._idle:
                await self._idle.pop().close()
        self._locks.drop()
        self.drop_idle()


async def connect(
    settings: config.DatabaseConfig, *, pool_size: int = POOL_SIZE, program: str = session.PROGRAM
) -> Database:
    """Open the database of the configuration, starting the private server if that is what it says.

    `program` is the name of the sessions.

    Raises DatabaseUnavailable if it cannot be reached, and DatabaseError if a pooler gives each transaction another
    session.
    """
    revive = None
    if settings.is_embedded:
        revive = partial(embedded.ensure, settings.data_dir)
        server = await revive()
        url, shown = server.url, f"embedded in {settings.data_dir}"
    else:
        url, shown = settings.url.reveal(), settings.shown
    database = Database(
        url, shown, pool_size=pool_size, revive=revive, schemas=settings.schemas, program=program
    )  # fmt: skip
    try:
        await database.require_session()
        await database.require_utf8()
    except BaseException:
        await database.close()
        raise
    return database


_WRITABLE = "SELECT current_setting('transaction_read_only'), current_setting('synchronous_standby_names')"


async def require_writable(database: Database) -> None:
    """Raise DatabaseUnavailable if the server takes no writes, as the wrong one does after a failover.

    It takes none either while every commit waits for a synchronous standby that is gone.
    """
    async with database.connection() as conn:
        is_read_only, standbys = await conn.fetchrow(_WRITABLE)
        if is_read_only == "on":
            raise driver.read_only(database.shown)
        if not standbys:
            return
        try:
            async with asyncio.timeout(COMMIT_PATIENCE_S):
                await _commit(conn, f"{_PROBE} WITH NO DATA")
        except TimeoutError:
            raise driver.unconfirmed(database.shown, standbys) from None


async def _commit(conn: asyncpg.Connection, statement: str, *settings: str) -> None:
    """Commit a probe, unless the role may make no temporary tables."""
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        async with transactions.transaction(conn):
            for setting in settings:
                await conn.execute(setting)
            await conn.execute(statement)


PROBE_BYTES: Final = 4 * 2**20
"""What a probe writes: more than a page of rows takes."""
_PROBE: Final = f"""
CREATE TEMPORARY TABLE syncd_probe ON COMMIT DROP AS
SELECT repeat('x', 1024) AS filler FROM generate_series(1, {PROBE_BYTES // 1024})
"""


async def require_writes(database: Database) -> None:
    """Write something, commit it and drop it. Raises DatabaseUnavailable if the server cannot, as with a full disk.

    A role that may make no temporary tables proves nothing by it, and passes.
    """
    await require_writable(database)
    async with database.connection() as conn:
        await _commit(conn, _PROBE, "SET LOCAL synchronous_commit = on")

"""The database: connections, the private server where one is asked for, and the migrations.

Work is done on plain asyncpg connections (COPY needs them) that SQLAlchemy's pool hands out. Knows no table.
SQLAlchemy and Alembic are imported where they are used: a command that asks a few questions needs neither, and they
cost it half a second.
"""

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from syncd import config
from syncd.errors import DatabaseError
from syncd.records import instant
from syncd.storage.postgres import driver, embedded

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

POOL_SIZE = 10
"""Connections of one process at most, beside the one that holds its locks."""
CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT = "60s"
"""How long a statement waits for a lock before it fails: nothing of ours holds one for longer than a page."""
STATEMENT_TIMEOUT = "10min"
"""Longest statement: burying after a listing of millions of rows takes seconds."""
NEWEST = "head"
_PROCESS = "SELECT pg_backend_pid()"
_REVISIONS = tuple(re.compile(rf'^{name}(?:: \w+)? = "(\w+)"', re.MULTILINE) for name in ("revision", "down_revision"))
SESSION: Mapping[str, str] = {
    "jit": "off",
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": STATEMENT_TIMEOUT,
    # a killed process must not keep its locks for as long as its last statement runs
    "client_connection_check_interval": "2s",
}
"""Settings of every session; set by statements, because pgbouncer refuses them as startup parameters."""
SILENCE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""A server that vanished without a word is noticed within a minute (s, s, count, ms) not in a quarter of an hour."""
PAGE_BYTES = 2**20
"""What the kernel may hold of a statement on its way to PostgreSQL: more than the rows of a page."""
PROBES = 5
"""Looks for a pooler in transaction mode, each of which finds one unless others use it at the same instant."""

_TRY_LOCK = "SELECT pg_try_advisory_lock($1) AS taken"
_UNLOCK = "SELECT pg_advisory_unlock($1)"


class Database:
    """An open database: a pool for work, and one connection that holds this process's advisory locks."""

    def __init__(
        self, url: str, shown: str, *, pool_size: int = POOL_SIZE, revive: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self.shown = shown
        self._url = url
        self._pool_size = pool_size
        self._revive = revive
        self._idle: list[asyncpg.Connection] = []
        self._seats = asyncio.Semaphore(pool_size)
        self._lock_conn: asyncpg.Connection | None = None
        self._lock_gate = asyncio.Lock()
        self._held: set[int] = set()

    @cached_property
    def engine(self) -> "AsyncEngine":
        """SQLAlchemy's way to the database, for migrations; its connections are not the pool's."""
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        # the driver reads the address: it knows sslmode and .pgpass
        return create_async_engine("postgresql+asyncpg://", async_creator=self._connect, poolclass=NullPool)

    async def _connect(self) -> asyncpg.Connection:
        conn = await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "syncd"}
        )
        try:
            _tune_socket(conn)
            await conn.execute("; ".join(f"SET {name} = '{value}'" for name, value in SESSION.items()))
            await conn.set_type_codec(
                "timestamptz", schema="pg_catalog", encoder=instant.written, decoder=instant.read, format="tuple"
            )
        except BaseException:
            conn.terminate()
            raise
        return conn

    async def require_session(self) -> None:
        """Raise DatabaseError if a pooler gives each transaction another session of the server.

        A pooler of any kind is known by the process number that it made up for the greeting; only then it is probed:
        two clients that share a server process, or one that changes it, have no session of their own.
        """
        async with self.connection() as conn:
            mine = await conn.fetchval(_PROCESS)
            if mine == conn.get_server_pid():
                return
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    other = await self._connect()
            except TimeoutError:
                raise DatabaseError(
                    f"the pooler before the database {self.shown} gave no second session in {CONNECT_TIMEOUT_S:.0f} s",
                    hint=f"Let it give syncd at least {self._pool_size + 2} (pgbouncer: default_pool_size).",
                ) from None
            try:
                for _ in range(PROBES):
                    async with other.transaction():
                        theirs, again = await other.fetchval(_PROCESS), await conn.fetchval(_PROCESS)
                    if theirs in (mine, again) or again != mine:
                        raise driver.no_session(self.shown)
            finally:
                other.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection in autocommit. Raises DatabaseUnavailable if the server cannot be reached or goes away."""
        with _translated(self.shown):
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
            return await self._connect()
        except driver.LOST:
            if self._revive is None:
                raise
            await self._revive()  # a private server that died is started again, once
            return await self._connect()

    def _give_back(self, conn: asyncpg.Connection) -> None:
        if conn.is_closed():
            return
        if conn.is_in_transaction():  # left in the middle of something
            conn.terminate()
        else:
            self._idle.append(conn)

    def drop_idle(self) -> None:
        """Drop the connections that nobody uses: after an outage they are dead, or still take no writes."""
        while self._idle:
            self._idle.pop().terminate()
        if not self._held:
            self._drop_lock_connection()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection inside a transaction that commits when the block ends well."""
        async with self.connection() as conn, conn.transaction():
            yield conn

    async def try_lock(self, number: int, query: str = _TRY_LOCK, *values: Any) -> asyncpg.Record | None:
        """Take the advisory lock of that number for this process; None if somebody (maybe itself) holds it.

        `query` takes the lock, whose number is its first parameter, says in `taken` whether it did, and may do more in
        the same statement; its row is returned. A caller that is cancelled meanwhile leaves no lock behind.
        """
        row: asyncpg.Record | None = None

        async def take() -> None:
            nonlocal row
            row = await self._take_lock(query, number, *values)

        try:
            await to_the_end(take())
        except asyncio.CancelledError:
            if row:
                await self.unlock(number)
            raise
        return row

    async def _take_lock(self, query: str, number: int, *values: Any) -> asyncpg.Record | None:
        async with self._lock_gate:
            if number in self._held:
                return None
            with _translated(self.shown):
                try:
                    row = await self._take(query, number, *values)
                except driver.LOST:  # the server was restarted since; the next connection is a new one
                    self._drop_lock_connection()
                    row = await self._take(query, number, *values)
            if row["taken"]:
                self._held.add(number)
                return row
            return None

    async def _take(self, query: str, number: int, *values: Any) -> asyncpg.Record:
        conn = await self._lock_connection()
        try:
            row: asyncpg.Record = await conn.fetchrow(query, number, *values)
        except asyncpg.PostgresError:
            with contextlib.suppress(*driver.LOST):  # a statement that fails keeps the lock that it took
                await conn.execute(_UNLOCK, number)
            raise
        return row

    async def unlock(self, number: int) -> None:
        """Give the advisory lock back; harmless if the connection that held it is gone, for then it is free."""
        async with self._lock_gate:
            self._held.discard(number)
            if self._lock_conn and not self._lock_conn.is_closed():
                with contextlib.suppress(*driver.LOST):
                    await self._lock_conn.execute(_UNLOCK, number)

    async def _lock_connection(self) -> asyncpg.Connection:
        if self._lock_conn is None or self._lock_conn.is_closed():
            # whoever lost a lock this way is fenced by its row in syncd.runs (state/runs.py)
            self._drop_lock_connection()
            self._lock_conn = await self._ready()
        return self._lock_conn

    def _drop_lock_connection(self) -> None:
        conn, self._lock_conn = self._lock_conn, None
        self._held.clear()
        if conn:
            conn.terminate()

    async def close(self) -> None:
        """Close every connection."""
        with contextlib.suppress(*driver.LOST):
            if self._lock_conn:
                await self._lock_conn.close()
            while self._idle:
                await self._idle.pop().close()
        self._drop_lock_connection()
        self.drop_idle()


def _pool_errors() -> tuple[type[Exception], ...]:
    """Return what SQLAlchemy raises around the driver's errors; nothing if it was never imported."""
    module = sys.modules.get("sqlalchemy.exc")
    return (module.DBAPIError, module.InterfaceError) if module else ()


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work that must not stop half-way: a cancellation meanwhile is raised once it is done."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


@contextlib.contextmanager
def _translated(shown: str) -> Any:
    """Turn the driver's errors about the connection into ours; leave those about a statement alone."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        ours = driver.meaning(error, shown)
        if ours is None:
            raise
        raise ours from None
    except _pool_errors() as error:
        wrapped: BaseException | None = getattr(error, "orig", None)
        origin = wrapped.__cause__ or wrapped if wrapped else error
        with _translated(shown):
            raise origin from None


def _tune_socket(conn: asyncpg.Connection) -> None:
    """Let the kernel take a page at once, and end a connection whose other end is gone without a word.

    What the kernel does not take waits for this process: PostgreSQL would stand still while the next page is read.
    """
    sock = conn._transport.get_extra_info("socket")  # noqa: SLF001  (the driver has no option for it)
    if sock.family == socket.AF_UNIX:  # over TCP the kernel sees to it by itself
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE_BYTES)
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SILENCE.items():
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def connect(settings: config.Database, *, pool_size: int = POOL_SIZE) -> Database:
    """Open the database of the configuration, starting the private server if that is what it says.

    Raises DatabaseUnavailable if it cannot be reached, and DatabaseError if a pooler takes its sessions apart.
    """
    revive = None
    if settings.is_embedded:
        revive = partial(embedded.ensure, settings.data_dir)
        server = await revive()
        url, shown = server.url, f"embedded in {settings.data_dir}"
    else:
        url, shown = settings.url.reveal(), settings.shown
    database = Database(url, shown, pool_size=pool_size, revive=revive)
    try:
        await database.require_session()
    except BaseException:
        await database.close()
        raise
    return database


def migrations_dir() -> Path:
    """Return the folder of the migrations: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def _alembic_config() -> Any:
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    return settings


async def migrate(database: Database) -> list[str]:
    """Bring the database to this version; return the revisions applied. Safe to run twice at once: the second waits."""
    from alembic import command
    from alembic.script import ScriptDirectory

    settings = _alembic_config()
    with _translated(database.shown):
        async with database.engine.connect() as conn:
            async with conn.begin():
                await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
                await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
                await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(7957695010999)")
                settings.attributes["connection"] = conn
                before = await conn.run_sync(lambda sync: _upgrade(command, settings, sync))
    script = ScriptDirectory.from_config(settings)
    return [step.revision for step in reversed(list(script.iterate_revisions(NEWEST, before or "base")))]


def _upgrade(command: Any, settings: Any, sync: Any) -> str | None:
    """Upgrade, and return the revision from which."""
    from alembic.migration import MigrationContext

    found = MigrationContext.configure(sync, opts={"version_table": "migrations", "version_table_schema": "syncd"})
    before: str | None = found.get_current_revision()
    settings.attributes["connection"] = sync
    command.upgrade(settings, NEWEST)
    return before


async def revision(database: Database) -> str | None:
    """Return the revision the database stands at, None if it was never migrated."""
    async with database.connection() as conn:
        if await conn.fetchval("SELECT to_regclass('syncd.migrations')") is None:
            return None
        found: str | None = await conn.fetchval("SELECT version_num FROM syncd.migrations")
        return found


def newest_revision() -> str:
    """Return the revision that this version of syncd needs: the one that no other follows (as Alembic's head)."""
    sources = [path.read_text("utf-8") for path in (migrations_dir() / "versions").glob("*.py")]
    own, before = ({match[1] for text in sources for match in names.finditer(text)} for names in _REVISIONS)
    return next(iter(own - before))


async def require_migrated(database: Database) -> None:
    """Raise DatabaseError unless the database stands at the revision that this version needs."""
    found, needed = await revision(database), newest_revision()
    if found != needed:
        raise DatabaseError(
            f"the database {database.shown} is at revision {found or 'none'}, this syncd needs {needed}",
            hint="Run: syncd migrate",
        )


async def require_writable(database: Database) -> None:
    """Raise DatabaseUnavailable if the server takes no writes, as the wrong one does after a failover."""
    async with database.connection() as conn:
        if await conn.fetchval("SHOW transaction_read_only") == "on":
            raise driver.read_only(database.shown)

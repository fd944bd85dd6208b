"""The database: connections, the private server where one is asked for, and the migrations.

Work is done on plain asyncpg connections (COPY needs them) that SQLAlchemy's pool hands out. Knows no table.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from syncd import config, embedded
from syncd.errors import DatabaseError, DatabaseUnavailable

POOL_SIZE = 10
"""Connections of one process at most, beside the one that holds its locks."""
CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT = "60s"
"""How long a statement waits for a lock before it fails: nothing of ours holds one for longer than a page."""
STATEMENT_TIMEOUT = "10min"
"""Longest statement: burying after a listing of millions of rows takes seconds."""
NEWEST = "head"

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    OSError,
)


class Database:
    """An open database: a pool for work, and one connection that holds this process's advisory locks."""

    def __init__(self, engine: AsyncEngine, shown: str, revive: Callable[[], Awaitable[object]] | None = None) -> None:
        self.engine = engine
        self.shown = shown
        self._revive = revive
        self._lock_lease: contextlib.AsyncExitStack | None = None
        self._lock_conn: asyncpg.Connection | None = None
        self._lock_gate = asyncio.Lock()
        self._held: set[int] = set()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection in autocommit. Raises DatabaseUnavailable if the server cannot be reached or goes away."""
        with _translated(self.shown):
            async with await self._lease() as lease:
                conn = await _driver(lease)
                if conn.is_closed():
                    await lease.invalidate()
                    conn = await _driver(lease)
                yield conn

    async def _lease(self) -> AsyncConnection:
        """Take a connection from the pool; a private server that died is started again, once."""
        try:
            return await self.engine.connect()
        except (*_LOST, TimeoutError, DBAPIError):
            if self._revive is None:
                raise
            await self._revive()
            return await self.engine.connect()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection inside a transaction that commits when the block ends well."""
        async with self.connection() as conn, conn.transaction():
            yield conn

    async def try_lock(self, number: int) -> bool:
        """Take the advisory lock of that number for this process, or say that somebody (maybe itself) holds it."""
        async with self._lock_gate:
            if number in self._held:
                return False
            conn = await self._lock_connection()
            with _translated(self.shown):
                taken: bool = await conn.fetchval("SELECT pg_try_advisory_lock($1)", number)
            if taken:
                self._held.add(number)
            return taken

    async def unlock(self, number: int) -> None:
        """Give the advisory lock back; harmless if the connection that held it is gone, for then it is free."""
        async with self._lock_gate:
            self._held.discard(number)
            if self._lock_conn and not self._lock_conn.is_closed():
                with contextlib.suppress(*_LOST):
                    await self._lock_conn.execute("SELECT pg_advisory_unlock($1)", number)

    async def _lock_connection(self) -> asyncpg.Connection:
        if self._lock_conn is None or self._lock_conn.is_closed():
            # whoever lost a lock this way is fenced by its row in syncd.runs (ledger.py)
            await self._drop_lock_connection()
            stack = contextlib.AsyncExitStack()
            self._lock_conn = await stack.enter_async_context(self.connection())
            self._lock_lease = stack
        return self._lock_conn

    async def _drop_lock_connection(self) -> None:
        stack, self._lock_lease, self._lock_conn = self._lock_lease, None, None
        self._held.clear()
        if stack:
            with contextlib.suppress(DatabaseUnavailable, *_LOST, DBAPIError):
                await stack.aclose()

    async def close(self) -> None:
        """Close every connection."""
        await self._drop_lock_connection()
        await self.engine.dispose()


async def _driver(lease: Any) -> asyncpg.Connection:
    raw = await lease.get_raw_connection()
    conn: asyncpg.Connection = raw.driver_connection
    return conn


@contextlib.contextmanager
def _translated(shown: str) -> Any:
    """Turn the driver's errors about the connection into ours; leave those about a statement alone."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise DatabaseError(
            f"the database {shown} refuses the login: {error}", hint="Check user and password in database.url."
        ) from None
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseError(f"{error}", hint="Create it (createdb), or mend database.url.") from None
    except asyncpg.UndefinedTableError as error:
        raise DatabaseError(f"the database {shown} is not migrated: {error}", hint="Run: syncd migrate") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(f"the role of database.url lacks a right: {error}", hint="See deploy/roles.sql.") from None
    except (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError) as error:
        raise DatabaseUnavailable(
            f"the database {shown} cannot take writes: {error}", hint="Free disk space, or see its log."
        ) from None
    except (*_LOST, TimeoutError) as error:
        raise _unavailable(shown, error) from None
    except (InterfaceError, DBAPIError) as error:
        origin = error.orig.__cause__ or error.orig if error.orig else error
        with _translated(shown):
            raise origin from None


def _unavailable(shown: str, error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the database {shown} cannot be reached: {error or type(error).__name__}",
        hint="Is the server running, and is database.url right?",
    )


async def connect(settings: config.Database, *, pool_size: int = POOL_SIZE) -> Database:
    """Open the database of the configuration, starting the private server if that is what it says.

    Raises DatabaseUnavailable if it cannot be reached.
    """
    revive = None
    if settings.is_embedded:
        revive = partial(embedded.ensure, settings.data_dir)
        server = await revive()
        url, shown = server.sqlalchemy_url, f"embedded in {settings.data_dir}"
    else:
        url = "postgresql+asyncpg://" + settings.url.reveal().split("://", 1)[1]
        shown = settings.shown
    database = Database(_engine(url, pool_size), shown, revive)
    try:
        async with database.connection() as conn:
            await conn.fetchval("SELECT 1")
    except BaseException:
        await database.close()
        raise
    return database


def _engine(url: str, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=1,  # the connection that holds the locks
        pool_timeout=300,
        json_deserializer=lambda text: text if isinstance(text, str) else text.decode(),  # jsonb stays text
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "server_settings": {
                "application_name": "syncd",
                "jit": "off",
                "lock_timeout": LOCK_TIMEOUT,
                "statement_timeout": STATEMENT_TIMEOUT,
                # a killed process must not keep its locks for as long as its last statement runs
                "client_connection_check_interval": "2s",
            },
        },
    )


def migrations_dir() -> Path:
    """Return the folder of the migrations: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / "migrations"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "migrations"


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
    before = await revision(database)
    with _translated(database.shown):
        async with database.engine.connect() as conn:
            async with conn.begin():
                await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
                await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
                await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(7957695010999)")
                settings.attributes["connection"] = conn
                await conn.run_sync(lambda sync: _upgrade(command, settings, sync))
    script = ScriptDirectory.from_config(settings)
    return [step.revision for step in reversed(list(script.iterate_revisions(NEWEST, before or "base")))]


def _upgrade(command: Any, settings: Any, sync: Any) -> None:
    settings.attributes["connection"] = sync
    command.upgrade(settings, NEWEST)


async def revision(database: Database) -> str | None:
    """Return the revision the database stands at, None if it was never migrated."""
    async with database.connection() as conn:
        if await conn.fetchval("SELECT to_regclass('syncd.migrations')") is None:
            return None
        found: str | None = await conn.fetchval("SELECT version_num FROM syncd.migrations")
        return found


def newest_revision() -> str:
    """Return the revision that this version of syncd needs."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(_alembic_config()).get_current_head())


async def require_migrated(database: Database) -> None:
    """Raise DatabaseError unless the database stands at the revision that this version needs."""
    found, needed = await revision(database), newest_revision()
    if found != needed:
        raise DatabaseError(
            f"the database {database.shown} is at revision {found or 'none'}, this syncd needs {needed}",
            hint="Run: syncd migrate",
        )

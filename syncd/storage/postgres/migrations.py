"""The migrations: where they are, which revision the database stands at, and how it is brought to the newest.

SQLAlchemy and Alembic are imported where they are used. A command that only asks for the revision needs neither, and
they cost it half a second.
"""

import re
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.config import Schemas
from syncd.errors import DatabaseBusy, DatabaseError
from syncd.storage.postgres import locks, schemas
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.driver import translated

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

NEWEST = "head"
"""Alembic's name for the newest revision."""
LOCK = 7957695010999
"""Number of the advisory lock under which a database is migrated; it never changes, or two versions would not meet."""

_REVISIONS = tuple(re.compile(rf'^{name}(?:: \w+)? = "(\w+)"', re.MULTILINE) for name in ("revision", "down_revision"))


def migrations_dir() -> Path:
    """Return the folder of the migrations: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def engine_of(database: Database) -> "AsyncEngine":
    """Return SQLAlchemy's way to the database; its connections are not the pool's."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # the driver reads the address, and not SQLAlchemy: the driver knows sslmode and .pgpass
    return create_async_engine("postgresql+asyncpg://", async_creator=database.open_session, poolclass=NullPool)


async def migrate(database: Database) -> list[str]:
    """Bring the database to this version; return the revisions applied. Safe to run twice at once: the second waits.

    Raises DatabaseError if the database is newer than this program and does not admit it.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    settings.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with translated(database.shown):
        async with engine_of(database).connect() as conn:
            async with conn.begin():
                await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
                await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
                await _lock(database, conn)
                standing = await find_standing(database)
                if standing.is_newer:
                    standing.require_admitted(database.shown)
                    return []
                async with database.connection() as plain:
                    adopted = await schemas.require_free(plain, database.schemas, standing.revision)
                _rewrite(conn, database.schemas, adopted)
                before = await conn.run_sync(partial(_upgrade, settings))
    script = ScriptDirectory.from_config(settings)
    return [step.revision for step in reversed(list(script.iterate_revisions(NEWEST, before or "base")))]


async def _lock(database: Database, conn: "AsyncConnection") -> None:
    """Wait for another migration to end. Raises DatabaseBusy if a role that is not ours holds the lock instead.

    The number of this lock is known to everybody, because it is needed before the database holds a secret.
    """
    from sqlalchemy import text

    if await conn.scalar(text(f"SELECT pg_try_advisory_xact_lock({LOCK})")):
        return
    async with database.connection() as plain:
        holder = await locks.holder(plain, LOCK, is_plain=True)
    if holder and holder.is_stranger:
        raise DatabaseBusy(f"the lock of migrations is held by {holder.words}", hint=holder.hint)
    await conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


def _rewrite(conn: "AsyncConnection", names: Schemas, adopted: set[str]) -> None:
    """Let the migrations, which are frozen, make the two schemas under their configured names, or adopt empty ones."""
    from sqlalchemy import event

    def rewrite(_conn: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: Any) -> tuple[str, Any]:
        sql = schemas.rewritten(sql, names)
        if sql.removeprefix("CREATE SCHEMA ") in adopted:
            sql = sql.replace("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
        return sql, parameters

    event.listen(conn.sync_connection, "before_cursor_execute", rewrite, retval=True)


def _upgrade(settings: Any, conn: Any) -> str | None:
    """Upgrade, and return the revision from which."""
    from alembic import command
    from alembic.migration import MigrationContext

    found = MigrationContext.configure(conn, opts={"version_table": "migrations", "version_table_schema": "syncd"})
    before: str | None = found.get_current_revision()
    settings.attributes["connection"] = conn
    command.upgrade(settings, NEWEST)
    return before


async def revision(database: Database) -> str | None:
    """Return the revision the database stands at, None if it was never migrated."""
    async with database.connection() as conn:
        if await conn.fetchval("SELECT to_regclass('syncd.migrations')") is None:
            return None
        found: str | None = await conn.fetchval("SELECT version_num FROM syncd.migrations")
        return found


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the database stands: its revision, and the oldest program that it admits (None: it does not say).

    `known` are the revisions that this program has, `newest` is the last of them.
    """

    revision: str | None
    oldest_program: str | None
    known: frozenset[str]
    newest: str

    @property
    def is_newer(self) -> bool:
        """Whether the database was migrated by a program that has revisions which this one lacks."""
        return self.revision is not None and self.revision not in self.known

    @property
    def admits(self) -> bool:
        """Whether this program may work on the database: it is at our revision, or at a later one that says so."""
        return self.revision == self.newest or (self.is_newer and self.oldest_program in self.known)

    def require_admitted(self, shown: str) -> None:
        """Raise DatabaseError unless this program may work on the database; `shown` names it."""
        if self.admits:
            return
        if self.is_newer:
            raise DatabaseError(
                f"the database {shown} is newer than this syncd: it is at revision {self.revision}, this syncd knows"
                f" revisions up to {self.newest}",
                hint="Upgrade syncd on this machine (and its plugins) to the version that migrated the database.",
            )
        raise DatabaseError(
            f"the database {shown} is at revision {self.revision or 'none'}, this syncd needs {self.newest}",
            hint="Run: syncd migrate",
        )


async def find_standing(database: Database) -> Standing:
    """Read where the database stands."""
    known, newest = _own_revisions()
    found, oldest = await revision(database), None
    if found is not None and found not in known:
        async with database.connection() as conn:
            if await conn.fetchval("SELECT to_regclass('syncd.compatibility')") is not None:
                query = "SELECT oldest_program FROM syncd.compatibility WHERE revision = $1"
                oldest = await conn.fetchval(query, found)
    return Standing(revision=found, oldest_program=oldest, known=known, newest=newest)


@cache
def _own_revisions() -> tuple[frozenset[str], str]:
    """Return all revisions of this program, and the one that no other follows (Alembic's head)."""
    sources = [path.read_text("utf-8") for path in (migrations_dir() / "versions").glob("*.py")]
    own, before = ({match[1] for text in sources for match in names.finditer(text)} for names in _REVISIONS)
    return frozenset(own), next(iter(own - before))


def newest_revision() -> str:
    """Return the revision that this version of syncd needs."""
    return _own_revisions()[1]


async def require_migrated(database: Database) -> None:
    """Raise DatabaseError unless the database stands at this version's revision, or at a later one that admits it."""
    standing = await find_standing(database)
    standing.require_admitted(database.shown)
    if database.schemas != Schemas():
        async with database.connection() as conn:
            await schemas.require_ours(conn, database.schemas)

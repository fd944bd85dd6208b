"""The migrations: where they are, which revision the database stands at, and how it is brought to the newest.

SQLAlchemy and Alembic are imported where they are used. A command that only asks for the revision needs neither, and
they cost it half a second.
"""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.errors import DatabaseError
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.driver import translated

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

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
    """Bring the database to this version; return the revisions applied. Safe to run twice at once: the second waits."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    settings.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with translated(database.shown):
        async with engine_of(database).connect() as conn:
            async with conn.begin():
                await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
                await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
                await conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
                before = await conn.run_sync(partial(_upgrade, settings))
    script = ScriptDirectory.from_config(settings)
    return [step.revision for step in reversed(list(script.iterate_revisions(NEWEST, before or "base")))]


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

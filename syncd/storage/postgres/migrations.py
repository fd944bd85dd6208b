"""The migrations: where they are, which revision the database stands at, and how it is brought to the newest.

Our own are one branch, and each plugin's are another: the table of versions holds one row for each. A branch is brought
to its newest revision in a transaction of its own and knows nothing of the others, so that a plugin that is newer, gone
or broken keeps no other from being migrated.

SQLAlchemy and Alembic are imported where they are used. A command that only asks for the revision needs neither, and
they cost it half a second.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from syncd.config import Schemas
from syncd.contract import Source
from syncd.errors import DatabaseBusy, DatabaseChanged, DatabaseError, MigrationFailed
from syncd.frozen import dataclass
from syncd.storage.postgres import driver, locks, schemas
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.driver import translated

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

NEWEST: Final = "head"
"""Alembic's name for the newest revision."""
LOCK: Final = 7957695010999
"""Number of the advisory lock under which a database is migrated; it never changes, or two versions would not meet."""

OURS: Final = ""
"""The name of our own branch."""
PLUGIN_REVISION: Final = re.compile(r"(?P<type>[a-z][a-z0-9_]*)_\d+")
"""A plugin's revision: its type, which is the name of its branch, and a number. Ours are numbers only."""
REVISION_CHARS: Final = 32
"""Longest revision that the table of versions holds."""

DEFINITION: Final = re.compile(r"\s*(CREATE|ALTER|COMMENT|DROP|GRANT|REVOKE)\b", re.IGNORECASE)
"""How a statement begins that changes what is defined, and returns nothing."""
TOLD_CHARS: Final = 300
"""Longest text of a plugin's own error that is passed on; our choice."""

_REVISIONS = tuple(
    re.compile(rf"^{name}(?:: [\w| ]+)? = [\"'](\w+)[\"']", re.MULTILINE) for name in ("revision", "down_revision")
)


def migrations_dir() -> Path:
    """Return the folder of the migrations: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """The migrations of syncd, or those of one plugin.

    name     OURS, or the plugin's type
    folder   of the migrations, each a file with `revision` and `down_revision`
    """

    name: str
    folder: Path

    @property
    def words(self) -> str:
        """The program that has these migrations, as a message tells it."""
        return f"plugin {self.name}" if self.name else "syncd"


def ours() -> Branch:
    """Return our own branch."""
    return Branch(name=OURS, folder=migrations_dir() / "versions")


def branches_of(sources: Iterable[Source]) -> list[Branch]:
    """Return the branches of the sources that bring migrations of their own."""
    return [Branch(name=each.type, folder=each.migrations) for each in sources if each.migrations is not None]


def engine_of(database: Database) -> "AsyncEngine":
    """Return SQLAlchemy's way to the database; its connections are not the pool's."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # the driver reads the address, and not SQLAlchemy: the driver knows sslmode and .pgpass
    return create_async_engine("postgresql+asyncpg://", async_creator=database.open_session, poolclass=NullPool)


async def migrate(database: Database, branch: Branch | None = None) -> list[str]:
    """Bring a branch, ours unless it is named, to its newest revision; return the revisions applied.

    Safe to run twice at once: the second waits. A plugin's branch needs ours to be there.

    Raises DatabaseError if the database is newer than this program and does not admit it, and MigrationFailed if a
    plugin's migration fails: nothing of it remains then.
    """
    branch = branch or ours()
    script = _script(branch)
    async with _transaction(database) as conn:
        standing = await find_standing(database, branch)
        if standing.is_newer:
            standing.require_admitted(database.shown)
            return []
        adopted = set[str]()
        if branch.name == OURS:
            async with database.connection() as plain:
                adopted = await schemas.require_free(plain, database.schemas, standing.revision)
        _rewrite(conn, database.schemas, adopted)
        await _run(conn, branch, script.upgrade)
    before = standing.revision or "base"
    return [step.revision for step in reversed(list(script.directory.iterate_revisions(NEWEST, before)))]


async def migrate_all(database: Database, sources: Iterable[Source]) -> "Migrated":
    """Bring our own branch to its newest revision, then each plugin's. A plugin's that fails keeps no other back."""
    applied, failed = await migrate(database), list[DatabaseError]()
    for branch in branches_of(sources):
        try:
            applied += await migrate(database, branch)
        except (MigrationFailed, DatabaseChanged) as error:
            failed.append(error)
    return Migrated(applied=applied, failed=failed)


class Migrated(msgspec.Struct, frozen=True, kw_only=True):
    """What was applied, in order, and why branches of plugins were not."""

    applied: list[str]
    failed: list[DatabaseError]


async def remove(database: Database, branch: Branch) -> list[str]:
    """Take everything of a plugin's branch back, newest first; return the revisions that were taken back.

    Raises DatabaseError if the plugin's schema is there after that, and MigrationFailed if a migration fails.
    """
    script = _script(branch)
    async with _transaction(database) as conn:
        standing = await find_standing(database, branch)
        if standing.revision is None:
            return []
        if standing.is_newer:
            raise standing.refusal(database.shown)
        _rewrite(conn, database.schemas, set())
        await _run(conn, branch, script.downgrade)
        left = await conn.exec_driver_sql("SELECT to_regnamespace($1)::text", (branch.name,))
        if left.scalar() is not None:
            raise MigrationFailed(
                f"the downgrade of plugin {branch.name} leaves the schema {branch.name} behind; nothing was changed",
                hint="Its first migration must drop the schema. Tell the plugin's author.",
            )
    return [step.revision for step in script.directory.iterate_revisions(standing.revision, "base")]


NOTHING_CHANGED: Final = (
    "Nothing was changed. An event trigger, or an object that others made, may stand in its way: switch it off, and"
    " migrate again."
)


@contextlib.asynccontextmanager
async def _transaction(database: Database) -> "AsyncIterator[AsyncConnection]":
    """Open the one transaction of a migration, without limits of time, under the lock of migrations."""
    from sqlalchemy import event

    try:
        with translated(database.shown):
            engine = engine_of(database)
            async with engine.connect() as conn, conn.begin():
                await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
                await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
                event.listen(engine.sync_engine, "do_execute", _sent_at_once)  # a transaction has begun by now
                await _lock(database, conn)
                yield conn
    except asyncpg.PostgresError as error:
        raise driver.refused(error, database.shown, NOTHING_CHANGED) from error


def _sent_at_once(_cursor: Any, sql: str, parameters: Any, context: Any) -> bool:
    """Send a definition without preparing it; return whether it was one.

    SQLAlchemy prepares each statement, to learn which columns it returns. A database that is made from empty takes some
    thousand definitions, which return none.
    """
    is_definition = not parameters and DEFINITION.match(sql) is not None
    if is_definition:
        context.root_connection.connection.dbapi_connection.run_async(lambda plain: plain.execute(sql))
    return is_definition


@dataclass(frozen=True, kw_only=True)
class _Script:
    """The migrations of a branch as Alembic knows them."""

    settings: Any
    directory: Any

    def upgrade(self, conn: Any) -> None:
        from alembic import command

        self.settings.attributes["connection"] = conn
        command.upgrade(self.settings, "heads")

    def downgrade(self, conn: Any) -> None:
        from alembic import command

        self.settings.attributes["connection"] = conn
        command.downgrade(self.settings, "base")


def _script(branch: Branch) -> _Script:
    """Return a branch as Alembic knows it. Raises MigrationFailed for a plugin's folder that cannot be one."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    settings.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    settings.set_main_option("path_separator", "newline")
    settings.set_main_option("version_locations", str(branch.folder).replace("%", "%%"))
    if branch.name == OURS:
        return _Script(settings=settings, directory=ScriptDirectory.from_config(settings))
    try:
        directory = ScriptDirectory.from_config(settings)
        told = _unsound(branch, directory)
    except Exception as error:  # noqa: BLE001  (a migration is a module, which may raise anything when it is imported)
        told = f"the migrations of plugin {branch.name} cannot be read: {_told(error)}"
    if told:
        raise MigrationFailed(told, hint="Tell the plugin's author. Nothing of it was migrated.")
    return _Script(settings=settings, directory=directory)


def _unsound(branch: Branch, directory: Any) -> str | None:
    """Return what is wrong with a plugin's revisions; None if they are one line that bears its name."""
    found = {step.revision for step in directory.walk_revisions()}
    known, _ = _revisions(branch)
    if odd := sorted(name for name in found if not (m := PLUGIN_REVISION.fullmatch(name)) or m["type"] != branch.name):
        return f"the revision {odd[0]!r} of plugin {branch.name} does not have the form {branch.name}_NUMBER"
    if long := sorted(name for name in found if len(name) > REVISION_CHARS):
        return f"the revision {long[0]!r} is longer than {REVISION_CHARS} signs"
    if len(directory.get_bases()) != 1 or len(directory.get_heads()) != 1:
        return f"the revisions of plugin {branch.name} are no single line from a first to a newest: {sorted(found)}"
    if found != known:
        return f'plugin {branch.name} must write each revision as revision = "NAME": {sorted(found ^ known)}'
    if branch.name not in directory.get_revision(directory.get_base()).branch_labels:
        return f'the first migration of plugin {branch.name} needs branch_labels = ("{branch.name}",)'
    return None


async def _run(conn: "AsyncConnection", branch: Branch, work: Callable[[Any], None]) -> None:
    """Run a branch's migrations. Those of a plugin may raise anything, which is told as its own failure."""
    try:
        await conn.run_sync(work)
    except (DatabaseError, OSError):
        raise
    except Exception as error:
        if branch.name == OURS:
            raise
        raise MigrationFailed(
            f"the migrations of plugin {branch.name} failed, and nothing of them remains: {_told(error)}",
            hint="Tell the plugin's author. The other sources are not touched by it.",
        ) from error


def _told(error: Exception) -> str:
    """Return what a plugin's migration raised, without the statement that SQLAlchemy adds."""
    origin = getattr(error, "orig", None) or error
    return f"{type(origin).__name__}: {' '.join(str(origin).split())[:TOLD_CHARS]}"


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


async def unready(database: Database, sources: Iterable[Source]) -> dict[str, DatabaseError]:
    """Return why the tables of plugins cannot be used, by type: their migrations were not run, or by newer ones."""
    standings = [await find_standing(database, branch) for branch in branches_of(sources)]
    return {each.branch: each.refusal(database.shown) for each in standings if not each.admits}


_STANDING: Final = "SELECT version_num FROM syncd.migrations"


async def revisions(database: Database) -> dict[str, str]:
    """Return the revision of each branch that the database holds, by its name; ours is OURS."""
    async with database.connection() as conn:
        if await conn.fetchval("SELECT to_regclass('syncd.migrations')") is None:
            return {}
        names = [row["version_num"] for row in await conn.fetch(_STANDING)]
    return {found["type"] if (found := PLUGIN_REVISION.fullmatch(name)) else OURS: name for name in names}


async def revision(database: Database, branch: str = OURS) -> str | None:
    """Return the revision at which a branch stands in the database, None if it was never migrated."""
    return (await revisions(database)).get(branch)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a branch stands in the database: its revision, and the oldest program that it admits (None: not said).

    `known` are the revisions that this program has, `newest` is the last of them, `branch` whose they are.
    """

    revision: str | None
    oldest_program: str | None
    known: frozenset[str]
    newest: str
    branch: str = OURS

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
        if not self.admits:
            raise self.refusal(shown)

    def refusal(self, shown: str) -> DatabaseError:
        """Return why this program may not work on the database. Of a plugin only the runs that meet it fail."""
        kind = DatabaseChanged if self.branch else DatabaseError
        program = f"plugin {self.branch}" if self.branch else "syncd"
        if self.is_newer:
            others = "" if self.branch else " (and its plugins)"
            return kind(
                f"the database {shown} is newer than this {program}: it is at revision {self.revision}, this {program}"
                f" knows revisions up to {self.newest}",
                hint=f"Upgrade {program} on this machine{others} to the version that migrated the database.",
            )
        place = f"{self.revision or 'none'} of {self.branch}" if self.branch else self.revision or "none"
        return kind(
            f"the database {shown} is at revision {place}, this {program} needs {self.newest}",
            hint="Run: syncd migrate",
        )


async def find_standing(database: Database, branch: Branch | None = None) -> Standing:
    """Read where a branch, ours unless it is named, stands in the database."""
    branch = branch or ours()
    known, newest = _revisions(branch)
    found, oldest = await revision(database, branch.name), None
    if found is not None and found not in known:
        async with database.connection() as conn:
            if await conn.fetchval("SELECT to_regclass('syncd.compatibility')") is not None:
                query = "SELECT oldest_program FROM syncd.compatibility WHERE revision = $1"
                oldest = await conn.fetchval(query, found)
    return Standing(revision=found, oldest_program=oldest, known=known, newest=newest, branch=branch.name)


@cache
def _revisions(branch: Branch) -> tuple[frozenset[str], str]:
    """Return all revisions of a branch, and the one that no other follows (Alembic's head)."""
    sources = [path.read_text("utf-8") for path in branch.folder.glob("*.py")]
    # both stand in the first lines of a file: the rest need not be looked through, for each command anew
    own, before = ({found[1] for text in sources if (found := names.search(text))} for names in _REVISIONS)
    return frozenset(own), next(iter(own - before), "")


def newest_revision() -> str:
    """Return the revision that this version of syncd needs."""
    return _revisions(ours())[1]


async def require_migrated(database: Database) -> None:
    """Raise DatabaseError unless the database stands at this version's revision, or at a later one that admits it."""
    standing = await find_standing(database)
    standing.require_admitted(database.shown)
    if database.schemas != Schemas():
        async with database.connection() as conn:
            await schemas.require_ours(conn, database.schemas)

"""What the driver's errors mean to a user: which are an outage, which a refusal, and what to do about each.

An error about the content of a statement is not translated.
"""

import contextlib
import re
import ssl
import sys
from collections.abc import Iterator
from typing import Final

import asyncpg

from syncd.errors import DatabaseBusy, DatabaseChanged, DatabaseError, DatabaseUnavailable

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # the driver's word for a connection that broke while it was idle
    OSError,
)
"""The connection is gone, or could not be made."""


@contextlib.contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn the driver's errors about the connection into ours; errors about a statement pass unchanged.

    `shown` names the database.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        ours = meaning(error, shown)
        if ours is None:
            raise
        raise ours from None
    except _sqlalchemy_errors() as error:
        wrapped: BaseException | None = getattr(error, "orig", None)
        origin = wrapped.__cause__ or wrapped if wrapped else error
        with translated(shown):
            raise origin from None


def _sqlalchemy_errors() -> tuple[type[Exception], ...]:
    """Return what SQLAlchemy raises around the driver's errors; nothing if SQLAlchemy was never imported."""
    module = sys.modules.get("sqlalchemy.exc")
    return (module.DBAPIError, module.InterfaceError) if module else ()


def meaning(error: BaseException, shown: str) -> DatabaseError | None:
    """Return our error for one of the driver's, None for one that is about a statement; `shown` names the database."""
    return _refusal(error, shown) or _shortage(error, shown) or _change(error, shown) or _outage(error, shown)


def _refusal(error: BaseException, shown: str) -> DatabaseError | None:
    """Return the error for a fault that somebody must mend."""
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            hint = "Check user and password in database.url, and pg_hba.conf of the server."
            return DatabaseError(f"the database {shown} refuses the login: {error}", hint=hint)
        case asyncpg.ClientConfigurationError():
            hint = "Mend it, or the file that it names."
            return DatabaseError(f"database.url cannot be used: {error}", hint=hint)
        case asyncpg.InvalidCatalogNameError():
            return DatabaseError(f"{error}", hint="Create it (createdb), or mend database.url.")
        case asyncpg.DuplicatePreparedStatementError() | asyncpg.InvalidSQLStatementNameError():
            return no_session(shown)
        case asyncpg.PostgresConnectionError() if "statement pooling" in str(error):  # allows not even a transaction
            return no_session(shown)
    return None


def _shortage(error: BaseException, shown: str) -> DatabaseError | None:
    """Return the error for what the server could not give at the moment."""
    match error:
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            hint = "Another session holds it: look in pg_stat_activity for old transactions, such as one left in psql."
            return DatabaseBusy(f"a lock in the database {shown} could not be taken in time: {error}", hint=hint)
        case asyncpg.QueryCanceledError():
            hint = "It is overloaded, or somebody canceled the statement; the next run goes on from the last page."
            return DatabaseBusy(f"the database {shown} took too long: {error}", hint=hint)
        case asyncpg.ConfigurationLimitExceededError() | asyncpg.StatementTooComplexError():
            return refused(error, shown, hint="Raise that limit for the role of database.url, or for the database.")
        case asyncpg.OutOfMemoryError():  # of one session, or what all sessions share, such as the memory for locks
            hint = str(error.hint or "See its log.")
            return DatabaseBusy(f"the database {shown} had no memory left: {error}", hint=hint)
        case asyncpg.InsufficientResourcesError() if not isinstance(error, LOST):
            hint = "Free disk space, or see its log."
            return DatabaseUnavailable(f"the database {shown} cannot take writes: {error}", hint=hint)
        case asyncpg.ReadOnlySQLTransactionError():
            return read_only(shown)
    return None


def _change(error: BaseException, shown: str) -> DatabaseChanged | None:
    """Return the error for an object that is not as it was made: dropped, renamed, changed, or withheld from us."""
    match error:
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedFunctionError() | asyncpg.InvalidSchemaNameError() if (
            "syncd" in str(error)
        ):
            told = f"the database {shown} is not migrated, or somebody dropped what is missing: {_told(error)}"
            hint = "Run: syncd migrate. If it has nothing to do, restore what is missing from a dump (docs/upgrade.md)."
            return DatabaseChanged(told, hint=hint)
        case asyncpg.DependentObjectsStillExistError() | asyncpg.FeatureNotSupportedError() if error.detail:
            told = f"objects that others made in the database {shown} stand in the way: {_told(error)}"
            told += f" ({'; '.join(str(error.detail).splitlines())})"
            hint = "Keep their definitions (pg_dump --schema-only), drop them, try again, and make them anew."
            return DatabaseChanged(told, hint=hint)
        case asyncpg.PostgresSystemError() | asyncpg.DataCorruptedError() | asyncpg.IndexCorruptedError():
            told = f"the server of the database {shown} cannot read or write its own files: {_told(error)}"
            hint = "See its log, its disks and its tablespaces; REINDEX mends an index, a backup a table."
            return DatabaseChanged(told, hint=hint)
        case asyncpg.InsufficientPrivilegeError() if error.server_source_function == "check_enable_rls":
            hint = "ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or give the role of database.url BYPASSRLS."
            return DatabaseChanged(f"a policy may hide rows from syncd: {_told(error)}", hint=hint)
        case asyncpg.InsufficientPrivilegeError():
            told = f"the role of database.url lacks a right: {_told(error)}"
            return DatabaseChanged(told, hint="See deploy/roles.sql.")
        case (
            asyncpg.SyntaxOrAccessError()
            | asyncpg.InvalidSchemaNameError()
            | asyncpg.ObjectNotInPrerequisiteStateError()
            | asyncpg.FeatureNotSupportedError()
            | asyncpg.InternalServerError()
        ):
            return refused(error, shown)
    return None


CHECK_NAMES_IT: Final = "Somebody changed the database: syncd check names what differs. Put it back as it was."


def refused(error: asyncpg.PostgresError, shown: str, hint: str = CHECK_NAMES_IT) -> DatabaseChanged:
    """Return the error for a statement of ours that PostgreSQL refuses because of what others made in the database."""
    hints = [str(error.hint)] if getattr(error, "hint", None) else []
    return DatabaseChanged(
        f"the database {shown} refuses a statement of syncd: {_told(error)}", hint=" ".join([*hints, hint])
    )


@contextlib.contextmanager
def opening(shown: str) -> Iterator[None]:
    """Turn what a server says while a session begins, and what is neither a login nor an outage, into our error."""
    try:
        yield
    except LOST:
        raise
    except asyncpg.UndefinedObjectError as error:
        hint = "Take that parameter out of it: not all that psql knows can stand there."
        raise DatabaseError(f"database.url cannot be used: {_told(error)}", hint=hint) from None
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError) or _refusal(error, shown) or _shortage(error, shown):
            raise
        told = f"the database {shown} lets no session begin: {_told(error)}"
        hint = "Look at its settings (\\drds in psql) and at the log of its server."
        raise DatabaseUnavailable(told, hint=hint) from None


TOLD_CHARS: Final = 300
"""Longest message of PostgreSQL that is passed on: a trigger may raise one of any length."""


def _told(error: asyncpg.PostgresError) -> str:
    """Return PostgreSQL's message with the objects that it names; never its detail, which holds values of the row."""
    text = type(error).__name__ if isinstance(error, asyncpg.DataError) else str(error.args[0] if error.args else "")
    text = text or type(error).__name__
    named = {
        "table": ".".join(filter(None, (error.schema_name, error.table_name))),
        "column": error.column_name,
        "type": error.data_type_name,
        "constraint": error.constraint_name,
        "in": _function_of(error.context),
    }
    told = ", ".join(f"{what} {name}" for what, name in named.items() if name and f'"{name}"' not in text)
    return f"{text[:TOLD_CHARS]} ({told})" if told else text[:TOLD_CHARS]


def _function_of(context: str | None) -> str:
    """Return the function in which an error arose, as that of a trigger; nothing if it was a statement of ours."""
    found = re.search(r"(?:PL/\w+|SQL) function \S+", context or "")
    return found[0] if found else ""


def row_reason(fault: BaseException) -> str:
    """Return why PostgreSQL, or the driver, refuses a row: words for a reject."""
    if isinstance(fault, asyncpg.PostgresError) and not isinstance(fault, asyncpg.DataError):
        return f"PostgreSQL refuses the row: {_told(fault)}"
    return f"PostgreSQL refuses a value: {type(fault).__name__}"


def _outage(error: BaseException, shown: str) -> DatabaseUnavailable | None:
    if not isinstance(error, LOST):
        return None
    hint = "Is the server running, and is database.url right?"
    if isinstance(error, ssl.SSLError):
        hint = "Does sslrootcert of database.url name its authority, and is the host the certificate's?"
    elif isinstance(error, asyncpg.TooManyConnectionsError):
        hint = "Raise max_connections of the server, or CONNECTION LIMIT of the role or the database, or close others."
    elif isinstance(error, FileNotFoundError):
        hint = "Is the server running on this machine, and do the files that database.url names exist?"
    told = str(error) or type(error).__name__
    if isinstance(error, asyncpg.InterfaceError) and _DYING in told:
        told = "the server closed the connection"
    return DatabaseUnavailable(f"the database {shown} cannot be reached: {told}", hint=hint)


_DYING: Final = "cannot switch to state"
"""The driver's words for a connection on which the server has said that it ends, but which has not ended yet."""


def read_only(shown: str) -> DatabaseUnavailable:
    """Return the error for a server that takes no writes, as the wrong one does after a failover."""
    return DatabaseUnavailable(
        f"the database {shown} takes no writes: it is a standby, or default_transaction_read_only is on",
        hint="Point database.url at the primary; with a standby: host1,host2/name?target_session_attrs=read-write",
    )


def unconfirmed(shown: str, standbys: str) -> DatabaseUnavailable:
    """Return the error for a server whose commits wait for standbys that do not confirm them."""
    return DatabaseUnavailable(
        f"the database {shown} takes no writes: each commit waits for a standby that does not answer"
        f" (synchronous_standby_names = {standbys})",
        hint="Start that standby, or take it out of synchronous_standby_names.",
    )


def no_session(shown: str) -> DatabaseError:
    """Return the error for a pooler that gives each transaction another session."""
    return DatabaseError(
        f"the database {shown} is behind a pooler that gives each transaction another session (pgbouncer:"
        " pool_mode = transaction), in which advisory locks, timeouts and prepared statements are lost",
        hint="Set pool_mode = session for this database or user, or connect to the server itself.",
    )

"""A query that somebody wrote into the configuration, run so that it can only read, whatever it says.

Three walls: it must fit into a cursor, which takes one SELECT and nothing else; its transaction is read-only and always
rolled back; and it runs as the role READER where that can be had. The private server has this role, `deploy/roles.sql`
makes it, and a superuser makes it here, since roles are in no dump. A superuser's rights are never lent to a query.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import msgspec

from syncd.config import Json
from syncd.storage.postgres import driver
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.embedded import READER

BATCH_ROWS: Final = 5_000
"""Rows that are fetched at once; our choice."""

_MAY_SET: Final = """
SELECT rolsuper AS is_superuser, current_user AS role, coalesce(
  (SELECT pg_has_role(current_user, reader.oid, $2) FROM pg_roles reader WHERE reader.rolname = $1), false) AS may_set
FROM pg_roles WHERE rolname = current_user
"""
_MAKE: Final = f"""
DO $$ BEGIN
  CREATE ROLE {READER} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT pg_read_all_data TO {READER}
"""
_KEEP_PATH: Final = """
SELECT set_config('search_path', coalesce(string_agg(quote_ident(name), ', ' ORDER BY place), ''), true)
FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place)
"""  # else "$user" would mean another schema to the other role
_REFUSED: Final = ("set_config", "pg_terminate_backend", 'u&"')
"""What could take the rights of the session back from within a SELECT, or end a session; the last can spell both."""


class QueryFault(Exception):
    """The query is wrong: the text says how, `hint` may hold PostgreSQL's advice."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a query's first column and their type, how many columns it has, and the role that it ran as."""

    values: list[Any]
    type: str
    columns: int
    role: str


async def first_column(database: Database, query: str, *, timeout_s: float, most: int) -> Found:
    """Run a query and return its first column. Raises QueryFault for anything that is wrong with the query.

    It may take `timeout_s` for each batch of rows, and give `most` rows. Nothing of it stays: no change, no lock.
    """
    async with database.connection() as conn:
        reader = await _reader(conn)
        async with _judged(conn, timeout_s), _read_only(conn, reader, timeout_s):
            columns = await _described(conn, query)
            values = [row[0] for row in await _fetched(conn, query, most)]
    return Found(values=values, type=columns[0].type.name, columns=len(columns), role=reader)


async def records(database: Database, query: str, *, timeout_s: float, most: int) -> tuple[list[dict[str, Any]], str]:
    """Run a query; return its rows by the names of their columns, JSON as its text, and the role that it ran as.

    Raises QueryFault as `first_column` does, under the same limits.
    """
    async with database.connection() as conn:
        reader = await _reader(conn)
        async with _judged(conn, timeout_s), _read_only(conn, reader, timeout_s):
            columns = await _described(conn, query)
            fetched = await _fetched(conn, query, most)
    names = [column.name for column in columns]
    json = {place for place, column in enumerate(columns) if column.type.name in ("json", "jsonb")}
    if len(set(names)) < len(names):
        raise QueryFault("two of its columns have the same name")
    if not json:
        return [dict(zip(names, row, strict=True)) for row in fetched], reader
    texts: dict[Any, Json] = {}  # thousands of rows may say the same
    return [
        {
            name: texts.setdefault(value, Json(value)) if place in json and value is not None else value
            for place, (name, value) in enumerate(zip(names, row, strict=True))
        }
        for row in fetched
    ], reader


@contextlib.asynccontextmanager
async def _judged(conn: asyncpg.Connection, timeout_s: float) -> AsyncIterator[None]:
    """Say what an error means for the query, and give back what locks it took."""
    try:
        yield
    except (*driver.LOST, asyncpg.QueryCanceledError, asyncpg.PostgresError, ValueError, OverflowError) as error:
        raise _meaning(error, conn, timeout_s) from None
    finally:
        if not conn.is_closed():
            await conn.execute("SELECT pg_advisory_unlock_all()")


async def _reader(conn: asyncpg.Connection) -> str:
    """Return the role to run as: READER if this session may take it, else its own, which then is no superuser."""
    right = "SET" if conn.get_server_version().major >= 16 else "MEMBER"
    own = await conn.fetchrow(_MAY_SET, READER, right)
    if own["is_superuser"]:
        with contextlib.suppress(asyncpg.InternalServerError):  # another process is granting it at this instant
            await conn.execute(_MAKE)
    return READER if own["is_superuser"] or own["may_set"] else str(own["role"])


@contextlib.asynccontextmanager
async def _read_only(conn: asyncpg.Connection, reader: str, timeout_s: float) -> AsyncIterator[None]:
    transaction = conn.transaction(readonly=True)
    await transaction.start()
    try:
        await conn.execute(f"SET LOCAL statement_timeout = '{timeout_s * 1000:.0f}ms'")
        await conn.execute("SET LOCAL search_path TO DEFAULT")  # what was set for the role or the database
        await conn.execute(_KEEP_PATH)
        if reader == READER:
            await conn.execute(f"SET LOCAL ROLE {READER}")
        yield
    finally:
        if not conn.is_closed():
            await transaction.rollback()


async def _described(conn: asyncpg.Connection, query: str) -> tuple[asyncpg.Attribute, ...]:
    """Return the query's columns, without running it."""
    if any(word in query.lower() for word in _REFUSED):
        raise QueryFault("it may call neither set_config nor pg_terminate_backend, nor use names in Unicode escapes")
    statement = await conn.prepare(query)
    if statement.get_parameters():
        raise QueryFault("it holds a parameter such as $1, and nobody gives it a value")
    columns: tuple[asyncpg.Attribute, ...] = statement.get_attributes()
    if not columns:
        raise QueryFault("it must be one SELECT with at least one column, and it gives none")
    return columns


async def _fetched(conn: asyncpg.Connection, query: str, most: int) -> list[asyncpg.Record]:
    """Run the query by a cursor, and return its rows."""
    declaring = await conn.prepare(f"DECLARE syncd_lookup NO SCROLL CURSOR FOR {query}")
    await declaring.fetch()
    fetching = await conn.prepare(f"FETCH {BATCH_ROWS} FROM syncd_lookup")
    rows: list[asyncpg.Record] = []
    while batch := await fetching.fetch():
        rows += batch
        if len(rows) > most:
            raise QueryFault(f"it gives more than {most:,} rows")
    return rows


def _meaning(error: BaseException, conn: asyncpg.Connection, timeout_s: float) -> BaseException:
    """Return what an error says of the query; an outage of the database stays what it is."""
    if isinstance(error, driver.LOST) and (conn.is_closed() or not isinstance(error, asyncpg.InterfaceError)):
        return error
    if isinstance(error, asyncpg.QueryCanceledError):
        return QueryFault(f"it took longer than {timeout_s:.0f} s, or somebody canceled it")
    text = str(error.args[0]) if error.args else type(error).__name__
    return QueryFault(text, str(getattr(error, "hint", None) or ""))

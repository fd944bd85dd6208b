"""A query that somebody wrote into the configuration, run so that it can only read, whatever it says.

Three walls: it must fit into a cursor, which takes one SELECT and nothing else; its transaction is read-only and always
rolled back; and it runs as the role READER where that can be had. The private server has this role, `deploy/roles.sql`
makes it, and a superuser makes it here, since roles are in no dump. A superuser's rights are never lent to a query.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from syncd.config import Json
from syncd.storage.postgres import driver
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.embedded import READER

VALUES_AT_ONCE: Final = 5_000
"""Rows of one column that are fetched at once; our choice."""
RECORDS_AT_ONCE: Final = 500
"""Whole rows that are fetched at once: half a megabyte of accounts."""

Record = dict[str, Any]
"""A row by the names of its columns."""

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
            values = [row[0] async for batch in _batches(conn, query, most, VALUES_AT_ONCE) for row in batch]
    return Found(values=values, type=columns[0].type.name, columns=len(columns), role=reader)


async def records(
    database: Database, query: str, take: Callable[[Sequence[Record]], None], *, timeout_s: float, most: int
) -> str:
    """Run a query; hand its rows over by the names of their columns, JSON as its text, and return the role it ran as.

    `take` gets some rows at a time, before the next ones are fetched, so that never all are there at once.
    Raises QueryFault as `first_column` does, under the same limits, and what `take` raises.
    """
    async with database.connection() as conn:
        reader = await _reader(conn)
        async with _judged(conn, timeout_s), _read_only(conn, reader, timeout_s):
            columns = await _described(conn, query)
            names = [column.name for column in columns]
            if len(set(names)) < len(names):
                raise QueryFault("two of its columns have the same name")
            json = {place for place, column in enumerate(columns) if column.type.name in ("json", "jsonb")}
            async for fetched in _batches(conn, query, most, RECORDS_AT_ONCE):
                take([_record(names, row, json) for row in fetched])
    return reader


def _record(names: Sequence[str], row: asyncpg.Record, json: Collection[int]) -> Record:
    return {
        name: Json(value) if place in json and value is not None else value
        for place, (name, value) in enumerate(zip(names, row, strict=True))
    }


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


async def _batches(
    conn: asyncpg.Connection, query: str, most: int, at_once: int
) -> AsyncIterator[list[asyncpg.Record]]:
    """Run the query by a cursor, and yield its rows, so many at once."""
    declaring = await conn.prepare(f"DECLARE syncd_lookup NO SCROLL CURSOR FOR {query}")
    await declaring.fetch()
    fetching = await conn.prepare(f"FETCH {at_once} FROM syncd_lookup")
    fetched = 0
    while batch := await fetching.fetch():
        fetched += len(batch)
        if fetched > most:
            raise QueryFault(f"it gives more than {most:,} rows")
        yield batch


def _meaning(error: BaseException, conn: asyncpg.Connection, timeout_s: float) -> BaseException:
    """Return what an error says of the query; an outage of the database stays what it is."""
    if isinstance(error, driver.LOST) and (conn.is_closed() or not isinstance(error, asyncpg.InterfaceError)):
        return error
    if isinstance(error, asyncpg.QueryCanceledError):
        return QueryFault(f"it took longer than {timeout_s:.0f} s, or somebody canceled it")
    text = str(error.args[0]) if error.args else type(error).__name__
    return QueryFault(text, str(getattr(error, "hint", None) or ""))

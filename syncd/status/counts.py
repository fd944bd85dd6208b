"""How many rows the mirror holds. Counting reads every row, so it is bounded, and its result is kept."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from syncd.status.model import Rows
from syncd.storage.postgres.database import Database

COUNT_TIMEOUT_S: Final = 5.0
"""Counting the rows of the mirror may take this long; then rows are left unknown."""

_THERE: Final = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL"


async def count_rows(
    database: Database,
    tables: Sequence[str],
    *,
    timeout_s: float = COUNT_TIMEOUT_S,
    of: Sequence[str] | None = None,
) -> dict[tuple[str, str], Rows]:
    """Count the rows of the mirror's tables by (table, source), in one statement; nothing if that takes too long.

    `timeout_s` 0: it may take as long as it takes. `of` names the sources whose rows count; None: all.
    """
    if not tables:
        return {}
    found = await _counted(database, tables, timeout_s, of)
    if isinstance(found, asyncpg.UndefinedTableError):  # of a plugin whose migrations were not run
        there = await tables_there(database, tables)
        return await count_rows(database, there, timeout_s=timeout_s, of=of) if len(there) < len(tables) else {}
    counted = {(table, ""): Rows(alive=0, deleted=0) for table in tables} if found is not None else {}
    counted |= {(row["place"], row["source"]): Rows(alive=row["alive"], deleted=row["deleted"]) for row in found or ()}
    return counted


async def tables_there(database: Database, tables: Sequence[str]) -> list[str]:
    """Return those of the tables that there are; a type that came without its migration has none."""
    async with database.connection() as conn:
        return [row["name"] for row in await conn.fetch(_THERE, list(tables))]


async def _counted(
    database: Database, tables: Sequence[str], timeout_s: float, of: Sequence[str] | None
) -> list[asyncpg.Record] | asyncpg.UndefinedTableError | None:
    """Return what was counted; None if that took too long, the error if one of the tables is not there."""
    where = "" if of is None else " WHERE source = ANY($1::text[])"
    query = " UNION ALL ".join(
        f"SELECT '{table}' AS place, source, count(*) FILTER (WHERE _deleted_at IS NULL) AS alive,"  # noqa: S608  (declared names)
        f" count(*) FILTER (WHERE _deleted_at IS NOT NULL) AS deleted FROM {table}{where} GROUP BY source"
        for table in tables
    )
    async with database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = {timeout_s * 1000:.0f}")
                return list(await conn.fetch(query, *([] if of is None else [list(of)])))
        except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
            return None
        except asyncpg.UndefinedTableError as error:
            return error

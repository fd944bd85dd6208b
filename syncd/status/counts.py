"""How many rows the mirror holds. Counting reads every row, so it is bounded, and its result is kept."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from syncd.status.model import Rows
from syncd.storage.postgres.database import Database

COUNT_TIMEOUT_S: Final = 5.0
"""Counting the rows of the mirror may take this long; then rows are left unknown."""


async def count_rows(
    database: Database, tables: Sequence[str], *, timeout_s: float = COUNT_TIMEOUT_S
) -> dict[tuple[str, str], Rows]:
    """Count the rows of the mirror's tables by (table, source), in one statement; nothing if that takes too long.

    `timeout_s` 0: it may take as long as it takes.
    """
    if not tables:
        return {}
    query = " UNION ALL ".join(
        f"SELECT '{table}' AS place, source, count(*) FILTER (WHERE _deleted_at IS NULL) AS alive,"  # noqa: S608  (declared names)
        f" count(*) FILTER (WHERE _deleted_at IS NOT NULL) AS deleted FROM {table} GROUP BY source"
        for table in tables
    )
    async with database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = {timeout_s * 1000:.0f}")
                found = await conn.fetch(query)
        except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
            return {}
    counted = {(table, ""): Rows(alive=0, deleted=0) for table in tables}
    counted |= {(row["place"], row["source"]): Rows(alive=row["alive"], deleted=row["deleted"]) for row in found}
    return counted

"""What a walk may read of the mirror before and while it asks the upstream: keys to look up, columns of other streams.

Only reads.
"""

from typing import Any, Final

import asyncpg

from syncd.config import StreamConfig
from syncd.errors import SyncdError
from syncd.storage.mirror.target import Target
from syncd.storage.postgres.database import Database

LOOKUP_TIMEOUT_S: Final = 60.0
"""Longest time that a query for keys may take; our choice."""

_FAULTS_OF_THE_QUERY: Final = (
    asyncpg.PostgresSyntaxError,
    asyncpg.DataError,
    asyncpg.QueryCanceledError,
    asyncpg.UndefinedColumnError,
    asyncpg.ReadOnlySQLTransactionError,
)


async def lookup_keys(database: Database, settings: StreamConfig) -> dict[str, list[str]]:
    """Return the keys of a lookup stream by option name, each once: those configured, then those its queries give.

    Raises SyncdError if a query cannot be run, takes too long, or tries to write.
    """
    keys = {name: list(values) for name, values in settings.lookup.items()}
    for name, sql in settings.queries.items():
        keys.setdefault(name, []).extend(await _queried(database, name, sql))
    return {name: list(dict.fromkeys(values)) for name, values in keys.items()}


async def _queried(database: Database, name: str, sql: str) -> list[str]:
    async with database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = '{LOOKUP_TIMEOUT_S:.0f}s'")
                found = await conn.fetch(sql)
        except _FAULTS_OF_THE_QUERY as error:
            raise SyncdError(f"{name}_query failed: {error}", hint="Mend the query in the configuration.") from None
    return [str(row[0]) for row in found if row[0] is not None]


async def mirrored(database: Database, target: Target, source: str, column: str) -> list[Any]:
    """Return one column of the live rows of a stream, in ascending order; KeyError if there is no such column."""
    if column not in target.layout.columns:
        raise KeyError(column)
    async with database.connection() as conn:
        found = await conn.fetch(
            f'SELECT DISTINCT "{column}" AS value FROM {target.name}'
            f' WHERE source = $1 AND _deleted_at IS NULL AND "{column}" IS NOT NULL ORDER BY 1',
            source,
        )
    return [row["value"] for row in found]

"""What a walk may read of the mirror before and while it asks the upstream: keys to look up, columns of other streams.

Only reads.
"""

from typing import Any, Final

from syncd.config import StreamConfig
from syncd.errors import SyncdError
from syncd.storage.mirror.target import Target
from syncd.storage.postgres import reading
from syncd.storage.postgres.database import Database

LOOKUP_TIMEOUT_S: Final = 60.0
"""Longest time that a query for keys may take for a batch of its rows; our choice."""
KEYS_MAX: Final = 1_000_000
"""Most keys of one query: more are a query that went wrong, and would be asked for during weeks; our choice."""


async def lookup_keys(database: Database, settings: StreamConfig) -> dict[str, list[str]]:
    """Return the keys of a lookup stream by option name, each once: those configured, then those its queries give.

    Raises SyncdError for a query that is wrong, takes too long, or does anything but read.
    """
    keys = {name: list(values) for name, values in settings.lookup.items()}
    for name, sql in settings.queries.items():
        keys.setdefault(name, []).extend(keys_of(await run_query(database, name, sql)))
    return {name: list(dict.fromkeys(values)) for name, values in keys.items()}


async def run_query(database: Database, name: str, sql: str) -> reading.Found:
    """Run the query of the option `<name>_query`. Raises SyncdError that names the option."""
    try:
        return await reading.first_column(database, sql, timeout_s=LOOKUP_TIMEOUT_S, most=KEYS_MAX)
    except reading.QueryFault as fault:
        hint = " ".join(filter(None, (fault.hint, "Mend the query in the configuration.")))
        raise SyncdError(f"{name}_query failed: {fault}", hint=hint) from None


def keys_of(found: reading.Found) -> list[str]:
    """Return the keys that a query gave, as texts."""
    return [str(value) for value in found.values if value is not None]


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

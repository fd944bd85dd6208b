"""What a walk may read of the mirror before and while it asks the upstream: keys to look up, columns of other streams.

Only reads.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from syncd.clock import Clock
from syncd.config import StreamConfig
from syncd.contract import Due, Feed, Scope
from syncd.errors import SyncdError
from syncd.records.rows import Key
from syncd.storage.mirror import listing
from syncd.storage.mirror.target import Target
from syncd.storage.postgres import reading
from syncd.storage.postgres.database import Database

LOOKUP_TIMEOUT_S: Final = 60.0
"""Longest time that a query for keys may take for a batch of its rows; our choice."""
KEYS_MAX: Final = 1_000_000
"""Most keys of one query: more are a query that went wrong, and would be asked for during weeks; our choice."""

_NO_KEYS: Final = frozenset(
    {"json", "jsonb", "xml", "jsonpath", "bytea", "bool", "date", "time", "timetz", "timestamp", "timestamptz",
     "interval", "money", "bit", "varbit", "inet", "cidr", "macaddr", "point", "tsvector", "record"}
)  # fmt: skip
"""Types whose values are no keys, though some of them are written as text."""


async def lookup_keys(database: Database, settings: StreamConfig) -> dict[str, list[str]]:
    """Return the keys of a lookup stream by option name, each once: those configured, then those its queries give.

    Raises SyncdError for a query that is wrong, takes too long, or does anything but read.
    """
    keys = {name: list(values) for name, values in settings.lookup.items()}
    for name, sql in settings.queries.items():
        keys.setdefault(name, []).extend(keys_of(name, await run_query(database, name, sql)))
    return {name: list(dict.fromkeys(values)) for name, values in keys.items()}


async def run_query(database: Database, name: str, sql: str) -> reading.Found:
    """Run the query of the option `<name>_query`. Raises SyncdError that names the option."""
    try:
        return await reading.first_column(database, sql, timeout_s=LOOKUP_TIMEOUT_S, most=KEYS_MAX)
    except reading.QueryFault as fault:
        hint = " ".join(filter(None, (fault.hint, "Mend the query in the configuration.")))
        raise SyncdError(f"{name}_query failed: {fault}", hint=hint) from None


def keys_of(name: str, found: reading.Found) -> list[str]:
    """Return the keys that the query of the option `<name>_query` gave, as texts; null and empty texts are none.

    The elements of an array are keys, too. Raises SyncdError for values that are no keys.
    """
    kind = found.type.removesuffix("[]")
    if kind in _NO_KEYS:
        raise _no_key(name, f"values of type {found.type}")
    texts = (_text(name, value) for value in _flat(found.values))
    return [key for text in texts if (key := text.rstrip(" ") if kind == "bpchar" else text)]  # padding of char(n)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif value is not None:
            yield value


def _text(name: str, value: Any) -> str:
    """Return one key as the upstreams write it: a number without a fraction as its digits."""
    match value:
        case str() | UUID():
            return str(value)
        case int() if not isinstance(value, bool):
            return str(value)
        case Decimal() | float() if math.isfinite(value) and value == int(value):
            return str(int(value))
        case Decimal() | float():
            raise _no_key(name, f"the number {value}")
        case _:
            raise _no_key(name, f"a value of type {type(value).__name__}")


def _no_key(name: str, got: str) -> SyncdError:
    return SyncdError(
        f"{name}_query gives {got}, and keys are texts, whole numbers or UUIDs, or arrays of them",
        hint="Mend the query in the configuration: name the column of the keys first, or cast it, e.g. ean::text.",
    )


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


async def stored(database: Database, target: Target, source: str, key: Key) -> Mapping[str, Any]:
    """Return the mirrored row with this key, buried or not, as values by column; empty where there is none."""
    async with database.connection() as conn:
        found = await conn.fetchrow(target.statements.select_rows, source, *([part] for part in key))
    return dict(found) if found else {}


async def held(database: Database, target: Target, source: str, scope: Scope) -> Sequence[Key]:
    """Return the keys of the live rows of a stream in a scope, in ascending order."""
    async with database.connection() as conn:
        return await listing.alive_keys(conn, target, source, scope)


async def due_keys(
    database: Database, source: str, feed: Feed | None, now: Clock, after: Due | None, most: int
) -> Sequence[Due]:
    """Return at most so many keys of a feed that come after one: the oldest first, or in the order of their texts.

    What changed since a run began that is still under way is not given yet: not all of it may be committed. Raises
    SyncdError if the query takes too long.
    """
    if feed is None or most <= 0:
        return ()
    at = "NULL::timestamptz" if feed.in_turn else "at"
    query = f"""
    WITH due AS (SELECT key::text COLLATE "C" AS key, coalesce({at}, '-infinity') AS at FROM ({feed.query}) AS given)
    SELECT key, nullif(at, '-infinity') AS at FROM due
    WHERE $2::timestamptz IS NOT NULL
      AND ($3::text IS NULL OR (at, key) > (coalesce($4::timestamptz, '-infinity'), $3))
      AND at < coalesce((SELECT min(started_at) FROM syncd.runs
                         WHERE source = $1 AND stream = ANY($5) AND outcome = 'running'), 'infinity')
    ORDER BY due.at, key LIMIT $6
    """
    place = (after.key, after.at) if after else (None, None)
    try:
        async with database.connection() as conn:
            found = await conn.fetch(query, source, now(), *place, list(feed.reads), most, timeout=LOOKUP_TIMEOUT_S)
    except TimeoutError:
        raise SyncdError(f"the mirror did not give the keys of {feed.option} within {LOOKUP_TIMEOUT_S:.0f} s") from None
    return [Due(key=row["key"], at=row["at"]) for row in found]

"""The calls of vendors: which were taken already (`syncd.webhooks`), and what became of all (`syncd.callback_counts`).

Owns no content of a call. A number of a call is kept for a week, a count for three months.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from syncd.frozen import dataclass
from syncd.storage.postgres.database import Database

COUNTED: Final = timedelta(days=7)
"""What is told of calls is told of so long a time; our choice."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What became of some calls of a source: how many were so, and when the last came."""

    result: str
    count: int
    last_at: datetime


async def is_taken(database: Database, source: str, delivery: str) -> bool:
    """Say whether a call of this number was taken before."""
    async with database.connection() as conn:
        found: bool = await conn.fetchval(
            "SELECT EXISTS (SELECT FROM syncd.webhooks WHERE source = $1 AND delivery = $2)", source, delivery
        )
    return found


async def take(database: Database, source: str, delivery: str, *, at: datetime) -> bool:
    """Remember the number of a call; return False if it was taken before."""
    async with database.connection() as conn:
        status = await conn.execute(
            "INSERT INTO syncd.webhooks (source, delivery, taken_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            source, delivery, at,
        )  # fmt: skip
    return str(status) == "INSERT 0 1"


async def add_counts(database: Database, counts: Mapping[tuple[str, str], int], *, at: datetime) -> None:
    """Add to the counts of the day, by source and what became of the calls."""
    rows = sorted((source, result, count) for (source, result), count in counts.items())
    async with database.connection() as conn:
        await conn.execute(
            "INSERT INTO syncd.callback_counts AS c (source, day, result, count, last_at)"
            " SELECT source, ($4::timestamptz AT TIME ZONE 'UTC')::date, result, count, $4"
            " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (source, result, count)"
            " ON CONFLICT (source, day, result) DO UPDATE SET count = c.count + excluded.count,"
            " last_at = greatest(c.last_at, excluded.last_at)",
            *map(list, zip(*rows, strict=True)), at,
        )  # fmt: skip


async def heard(database: Database, source: str, *, now: datetime) -> list[Heard]:
    """Return what became of the calls of the last days, the latest first."""
    async with database.connection() as conn:
        rows = await conn.fetch(
            "SELECT result, sum(count)::bigint AS count, max(last_at) AS last_at FROM syncd.callback_counts"
            " WHERE source = $1 AND last_at >= $2 GROUP BY result ORDER BY last_at DESC, result",
            source, now - COUNTED,
        )  # fmt: skip
    return [Heard(**row) for row in rows]

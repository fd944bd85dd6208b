"""What was told of what needed a look: the table `syncd.notifications`, so that a restart repeats nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from syncd.storage.postgres.locks import lock_number

LOCK: Final = lock_number("notifications")
"""Whoever holds it tells; of several daemons that is one."""
KEPT: Final = timedelta(days=90)
"""Rows are kept as long after their end; our choice, as for runs."""

_UNSETTLED: Final = """
SELECT cause, began_at, headline, details, scope, is_event, told_at, ended_at FROM syncd.notifications
WHERE ended_at IS NULL OR (told_at IS NOT NULL AND over_told_at IS NULL) OR (is_event AND began_at > $1)
ORDER BY began_at, cause
"""
_BEGIN: Final = """
INSERT INTO syncd.notifications (cause, began_at, headline, details, scope, is_event, ended_at)
VALUES ($1, $2::timestamptz, $3, $4, $5, $6::boolean, CASE WHEN $6::boolean THEN $2::timestamptz END)
ON CONFLICT DO NOTHING
"""
_END: Final = "UPDATE syncd.notifications SET ended_at = $3 WHERE cause = $1 AND began_at = $2 AND ended_at IS NULL"
_TOLD: Final = """
UPDATE syncd.notifications SET told_at = $3::timestamptz, headline = $4, details = $5,
  over_told_at = CASE WHEN is_event THEN $3::timestamptz END
WHERE cause = $1 AND began_at = $2
"""
_OVER_TOLD: Final = "UPDATE syncd.notifications SET over_told_at = $3 WHERE cause = $1 AND began_at = $2"
_PRUNE: Final = "DELETE FROM syncd.notifications WHERE ended_at < $1"

_REJECTS: Final = "SELECT source, count(*) AS count FROM syncd.rejects WHERE first_seen_at > $1 GROUP BY source"
_BACKFILLS: Final = """
SELECT run_id, source, stream, outcome, rows_seen AS rows, requests FROM syncd.runs
WHERE kind = 'backfill' AND finished_at > $1::timestamptz AND started_at > $1::timestamptz - interval '90 days'
  AND outcome <> 'running'
ORDER BY run_id
"""
_TOTALS: Final = """
SELECT count(*) AS runs, count(*) FILTER (WHERE outcome IN ('failed', 'throttled')) AS failed,
       coalesce(sum(rows_inserted + rows_updated + rows_deleted), 0)::bigint AS changed,
       coalesce(sum(requests), 0)::bigint AS requests
FROM syncd.runs WHERE started_at > $1
"""


async def is_there(conn: asyncpg.Connection) -> bool:
    """Say whether the database has the table: one of an older version has not."""
    return bool(await conn.fetchval("SELECT to_regclass('syncd.notifications') IS NOT NULL"))


async def unsettled(conn: asyncpg.Connection, *, events_since: datetime) -> list[asyncpg.Record]:
    """Return the rows that are open, whose end was not told, and events since an instant."""
    return list(await conn.fetch(_UNSETTLED, events_since))


async def begin(
    conn: asyncpg.Connection, cause: str, at: datetime, headline: str, details: str, *, scope: str, is_event: bool
) -> None:
    """Store that something began, or happened. Idempotent."""
    await conn.execute(_BEGIN, cause, at, headline, details, scope, is_event)


async def end(conn: asyncpg.Connection, cause: str, began_at: datetime, at: datetime) -> None:
    """Store that it is over."""
    await conn.execute(_END, cause, began_at, at)


async def mark_told(
    conn: asyncpg.Connection, cause: str, began_at: datetime, at: datetime, words: Sequence[str]
) -> None:
    """Store that it was told, in which headline and details."""
    await conn.execute(_TOLD, cause, began_at, at, *words)


async def mark_over_told(conn: asyncpg.Connection, cause: str, began_at: datetime, at: datetime) -> None:
    """Store that its end was told."""
    await conn.execute(_OVER_TOLD, cause, began_at, at)


async def prune(conn: asyncpg.Connection, now: datetime) -> None:
    """Delete what ended long ago."""
    await conn.execute(_PRUNE, now - KEPT)


async def new_rejects(conn: asyncpg.Connection, since: datetime) -> dict[str, int]:
    """Return how many records became rejects since an instant, by source."""
    return {row["source"]: row["count"] for row in await conn.fetch(_REJECTS, since)}


async def ended_backfills(conn: asyncpg.Connection, since: datetime) -> list[asyncpg.Record]:
    """Return the backfills that ended since an instant, oldest first."""
    return list(await conn.fetch(_BACKFILLS, since))


async def totals(conn: asyncpg.Connection, since: datetime) -> asyncpg.Record:
    """Return counts of all runs that began since an instant."""
    return await conn.fetchrow(_TOTALS, since)

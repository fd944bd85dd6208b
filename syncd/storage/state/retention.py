"""What is deleted because it is old: finished runs, rejects, drift, the change feed, old versions of rows, webhooks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from syncd.storage.postgres.database import Database

PRUNE_BATCH = 1000
"""Rows deleted in one statement, so that no statement holds its locks for long."""
PRUNE_BATCHES = 200
"""Statements of one kind in a row at most; the next call goes on with the rest."""
RUN_BATCHES: Final = 5_000
"""The same for runs, of which 200,000 streams make 2.4 million in the hour between two calls."""

# The newest good run of each kind is kept for ever, and the first good live one: the scheduler and the status go by
# them. LIMIT keeps the planner from reading all runs to answer for a thousand of them. Each batch begins where the one
# before ended: there may be many thousand runs that are kept, and all of them are older.
_RUNS = """
WITH gone AS (DELETE FROM syncd.runs WHERE run_id IN (
  SELECT run_id FROM syncd.runs r
  WHERE started_at < $1 AND started_at >= $3 AND outcome <> 'running' AND (outcome <> 'ok' OR (
    run_id < (SELECT n.run_id FROM syncd.runs n WHERE n.source = r.source AND n.stream = r.stream AND n.kind = r.kind
              AND n.outcome = 'ok' ORDER BY n.run_id DESC LIMIT 1)
    AND (kind <> 'live' OR run_id > (
         SELECT o.run_id FROM syncd.runs o WHERE o.source = r.source AND o.stream = r.stream AND o.kind = 'live'
         AND o.outcome = 'ok' ORDER BY o.run_id LIMIT 1))))
  ORDER BY started_at LIMIT $2
) RETURNING started_at) SELECT count(*) AS count, max(started_at) AS last_at FROM gone
"""
_FIRST_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before the first run of all."""

_REJECTS = """
DELETE FROM syncd.rejects WHERE reject_id IN (SELECT reject_id FROM syncd.rejects WHERE last_seen_at < $1 LIMIT $2)
"""

# Changes are deleted from the first on, without a gap. The last one stays: it gives the next change its number.
_CHANGES = """
DELETE FROM syncd.changes WHERE id IN (
  SELECT id FROM (
    SELECT id, bool_and(changed_at < $1) OVER (ORDER BY id) AS is_old
    FROM (SELECT id, changed_at FROM syncd.changes ORDER BY id LIMIT $2) AS oldest
  ) AS judged WHERE is_old
) AND id < (SELECT max(id) FROM syncd.changes)
"""

_DRIFT = """
DELETE FROM syncd.drift WHERE ctid = ANY (ARRAY(SELECT ctid FROM syncd.drift WHERE last_seen_at < $1 LIMIT $2))
"""

_WEBHOOKS = """
DELETE FROM syncd.webhooks WHERE ctid = ANY (ARRAY(SELECT ctid FROM syncd.webhooks WHERE taken_at < $1 LIMIT $2))
"""

_CALLBACK_COUNTS = """
DELETE FROM syncd.callback_counts
WHERE ctid = ANY (ARRAY(SELECT ctid FROM syncd.callback_counts WHERE last_at < $1 LIMIT $2))
"""

_BACKFILLS = """
DELETE FROM syncd.backfills WHERE part_id IN (SELECT part_id FROM syncd.backfills WHERE finished_at < $1 LIMIT $2)
"""

_STATEMENTS = {
    "rejects": _REJECTS, "drift": _DRIFT, "changes": _CHANGES, "webhooks": _WEBHOOKS,
    "callback_counts": _CALLBACK_COUNTS, "backfills": _BACKFILLS,
}  # fmt: skip

_HISTORY_TABLES = """
SELECT format('%I.%I', $1::text, relname) AS name FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' ORDER BY relname
"""

_VERSIONS = """
DELETE FROM {0} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {0} WHERE valid_to < $1 ORDER BY valid_to LIMIT $2))
"""


async def prune(database: Database, before: Mapping[str, datetime]) -> dict[str, int]:
    """Delete what is older than these instants, in many small statements; return how many of each.

    The names are `runs`, `rejects`, `drift`, `changes`, `webhooks`, `callback_counts`, `backfills` and `versions` (old
    versions of rows, by when they ended).
    """
    statements = [(name, statement) for name, statement in _STATEMENTS.items() if name in before]
    if "versions" in before:
        async with database.connection() as conn:
            tables = [row["name"] for row in await conn.fetch(_HISTORY_TABLES, database.schemas.history)]
        statements += [("versions", _VERSIONS.format(name)) for name in tables]
    deleted = dict.fromkeys(before, 0)
    if "runs" in before:
        deleted["runs"] = await _prune_runs(database, before["runs"])
    for name, statement in statements:
        for _ in range(PRUNE_BATCHES):
            async with database.connection() as conn:
                status = await conn.execute(statement, before[name], PRUNE_BATCH)
            count = int(status.rpartition(" ")[2])
            deleted[name] += count
            if count < PRUNE_BATCH:
                break
    return deleted


async def _prune_runs(database: Database, before: datetime) -> int:
    """Delete the runs that began before this instant and that nothing goes by; return how many."""
    deleted, after = 0, _FIRST_AT
    for _ in range(RUN_BATCHES):
        async with database.connection() as conn:
            gone = await conn.fetchrow(_RUNS, before, PRUNE_BATCH, after)
        deleted += gone["count"]
        if gone["count"] < PRUNE_BATCH:
            break
        after = gone["last_at"]
    return deleted

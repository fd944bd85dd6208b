"""Every write to schema `syncd` but for what a sweep has seen: runs, cursors, rejects, drift and budgets.

A run is fenced by its own row in `syncd.runs`: whoever takes a stream's lock declares the runs that still say
`running` dead, and a run that finds itself dead may commit nothing more. So a lock that was lost with its connection
never lets two runs move one cursor.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from syncd import log
from syncd.contract import Cursor, Lane
from syncd.errors import LockHeld, RunFenced
from syncd.records.privacy import Markers
from syncd.records.rows import Note, Reject
from syncd.storage.mirror.listing import GENERATION, Condition
from syncd.storage.mirror.writer import Counts, lock_number
from syncd.storage.postgres.database import Database

PRUNE_BATCH = 1000
"""Rows deleted in one statement, which so holds no lock for long."""
PRUNE_BATCHES = 200
"""Statements in a row at most: the rest is for the next time."""

_OPEN_RUN = "SELECT taken, run_id, cursor, dead FROM syncd.open_run($1, $2, $3, $4, $5, $6, $7, $8, $9)"

_RECORD_PAGE = """
WITH page AS (
  UPDATE syncd.runs SET pages = pages + 1, requests = $2, rows_seen = rows_seen + $3,
    rows_inserted = rows_inserted + $4, rows_updated = rows_updated + $5, rows_unchanged = rows_unchanged + $6,
    rows_deleted = rows_deleted + $7, rows_rejected = rows_rejected + $8,
    rows_expected = coalesce($9, rows_expected), budget_wait_s = $10,
    outcome = coalesce($11, outcome), finished_at = CASE WHEN $11::text IS NULL THEN NULL ELSE $12::timestamptz END,
    notes = coalesce($13::jsonb, notes)
  WHERE run_id = $1 AND outcome = 'running' AND {condition}
  RETURNING source, stream
), saved AS (
  INSERT INTO syncd.cursors (source, stream, kind, cursor, updated_at)
  SELECT source, stream, $14, $15::jsonb, $12 FROM page WHERE $15 IS NOT NULL
  ON CONFLICT (source, stream, kind) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at
  WHERE cursors.cursor IS DISTINCT FROM excluded.cursor
)
SELECT {generation} FROM page
"""
RECORD_PARAMETERS = 15

_CLOSE_RUN = """
UPDATE syncd.runs SET outcome = $2, finished_at = $3, error = $4, error_kind = $5, requests = $6, budget_wait_s = $7,
  notes = coalesce($8::jsonb, notes)
WHERE run_id = $1 AND outcome = 'running'
"""

_SAVE_REJECTS = """
INSERT INTO syncd.rejects
  (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at, occurrences)
SELECT $1, $2, r.reason, r.record, r.fingerprint, $3, $4, $4, 1
FROM unnest($5::text[], $6::text[], $7::bytea[]) AS r(reason, record, fingerprint)
ON CONFLICT (source, stream, fingerprint) DO UPDATE
SET last_seen_at = excluded.last_seen_at, run_id = excluded.run_id, occurrences = rejects.occurrences + 1,
    reason = excluded.reason
"""

_SAVE_DRIFT = """
INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)
SELECT $1, $2, d.field, d.change, $3, $3, d.occurrences, d.sample
FROM unnest($4::text[], $5::text[], $6::bigint[], $7::text[]) AS d(field, change, occurrences, sample)
ON CONFLICT (source, stream, field, change) DO UPDATE
SET last_seen_at = excluded.last_seen_at, occurrences = drift.occurrences + excluded.occurrences
"""

_RECOVER = """
UPDATE syncd.runs SET outcome = 'aborted', finished_at = $4, error_kind = 'Killed',
       error = 'the process ended without a word; the next run goes on from the last committed page'
WHERE source = $1 AND stream = $2 AND lane = $3 AND outcome = 'running'
"""

# What the scheduler and the status go by is kept for ever: the newest good run of each kind, and the first live one.
# LIMIT keeps the planner from reading all runs to answer for a thousand of them.
_PRUNE_RUNS = """
DELETE FROM syncd.runs WHERE run_id IN (
  SELECT run_id FROM syncd.runs r WHERE started_at < $1 AND outcome <> 'running' AND (outcome <> 'ok' OR (
    run_id < (SELECT n.run_id FROM syncd.runs n WHERE n.source = r.source AND n.stream = r.stream AND n.kind = r.kind
              AND n.outcome = 'ok' ORDER BY n.run_id DESC LIMIT 1)
    AND (kind <> 'live' OR run_id > (
         SELECT o.run_id FROM syncd.runs o WHERE o.source = r.source AND o.stream = r.stream AND o.kind = 'live'
         AND o.outcome = 'ok' ORDER BY o.run_id LIMIT 1))))
  ORDER BY started_at LIMIT $2
)
"""

_PRUNE_REJECTS = """
DELETE FROM syncd.rejects WHERE reject_id IN (SELECT reject_id FROM syncd.rejects WHERE last_seen_at < $1 LIMIT $2)
"""

# From the first on, without a gap, and never the last one: it gives the next its number.
_PRUNE_CHANGES = """
DELETE FROM syncd.changes WHERE id IN (
  SELECT id FROM (
    SELECT id, bool_and(changed_at < $1) OVER (ORDER BY id) AS is_old
    FROM (SELECT id, changed_at FROM syncd.changes ORDER BY id LIMIT $2) AS oldest
  ) AS judged WHERE is_old
) AND id < (SELECT max(id) FROM syncd.changes)
"""

_PRUNE = {"runs": _PRUNE_RUNS, "rejects": _PRUNE_REJECTS, "changes": _PRUNE_CHANGES}

_HISTORY_TABLES = """
SELECT format('%I.%I', 'history', relname) AS name FROM pg_class
WHERE relnamespace = 'history'::regnamespace AND relkind = 'r' ORDER BY relname
"""

_PRUNE_VERSIONS = """
DELETE FROM {0} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {0} WHERE valid_to < $1 ORDER BY valid_to LIMIT $2))
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has cost so far."""

    requests: int
    budget_wait_s: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """An open run: its row in syncd.runs and the cursor it started from."""

    run_id: int
    source: str
    stream: str
    kind: str
    lane: Lane
    cursor_kind: str
    cursor: Cursor | None
    started_at: datetime
    took_over: bool


def stream_lock(source: str, stream: str, kind: str) -> int:
    """Return the number of the lock that keeps runs of one stream apart; a backfill has one of its own."""
    return lock_number("run", source, stream, "backfill" if kind == "backfill" else "live")


async def open_run(
    database: Database, source: str, stream: str, *, kind: str, lane: Lane, cursor_kind: str, now: datetime
) -> Run:
    """Take the stream's lock and open a run; runs that died without a word are marked `aborted`.

    Raises LockHeld naming the holder if another run of the stream is under way.
    """
    number = stream_lock(source, stream, kind)
    row = await database.try_lock(
        number, _OPEN_RUN, source, stream, kind, lane, cursor_kind, now, socket.gethostname(), os.getpid()
    )
    if row is None:
        raise LockHeld(await _holder(database, source, stream, lane, now), hint="Wait for it, or end that process.")
    cursor = msgspec.json.decode(row["cursor"]) if row["cursor"] else None
    return Run(
        run_id=row["run_id"], source=source, stream=stream, kind=kind, lane=lane, cursor_kind=cursor_kind,
        cursor=cursor, started_at=now, took_over=row["dead"] > 0,
    )  # fmt: skip


async def recover(database: Database, *, now: datetime) -> int:
    """Declare runs aborted that say `running` though nobody holds their stream's lock; return how many."""
    async with database.connection() as conn:
        running = await conn.fetch("SELECT DISTINCT source, stream, lane FROM syncd.runs WHERE outcome = 'running'")
    recovered = 0
    for row in running:
        number = stream_lock(row["source"], row["stream"], row["lane"])
        if not await database.try_lock(number):
            continue
        try:
            async with database.connection() as conn:
                status = await conn.execute(_RECOVER, row["source"], row["stream"], row["lane"], now)
        finally:
            await database.unlock(number)
        recovered += int(status.rpartition(" ")[2])
    return recovered


async def prune(database: Database, before: Mapping[str, datetime]) -> dict[str, int]:
    """Delete what is older than these instants, in many small statements; return how many of each.

    The names are `runs`, `rejects`, `changes` and `versions` (of rows, by when they ended).
    """
    queries = [(name, query) for name, query in _PRUNE.items() if name in before]
    if "versions" in before:
        async with database.connection() as conn:
            tables = [row["name"] for row in await conn.fetch(_HISTORY_TABLES)]
        queries += [("versions", _PRUNE_VERSIONS.format(name)) for name in tables]
    deleted = dict.fromkeys(before, 0)
    for name, query in queries:
        for _ in range(PRUNE_BATCHES):
            async with database.connection() as conn:
                status = await conn.execute(query, before[name], PRUNE_BATCH)
            count = int(status.rpartition(" ")[2])
            deleted[name] += count
            if count < PRUNE_BATCH:
                break
    return deleted


async def _holder(database: Database, source: str, stream: str, lane: Lane, now: datetime) -> str:
    async with database.connection() as conn:
        row = await conn.fetchrow(
            "SELECT run_id, kind, host, pid, started_at FROM syncd.runs"
            " WHERE source = $1 AND stream = $2 AND lane = $3 AND outcome = 'running' ORDER BY run_id DESC LIMIT 1",
            source, stream, lane,
        )  # fmt: skip
    if row is None:
        return f"{source}.{stream}: another run is just starting or ending"
    seconds = max(0, round((now - row["started_at"]).total_seconds()))
    return (
        f"{source}.{stream}: run {row['run_id']} ({row['kind']}) is under way for {seconds} s"
        f" in process {row['pid']} on {row['host']}"
    )


async def record_page(
    conn: asyncpg.Connection,
    run: Run,
    counts: Counts,
    spent: Spent,
    *,
    cursor: Cursor | None,
    now: datetime,
    expected: int | None = None,
    notes: Sequence[str] = (),
    outcome: str | None = None,
    only_if: Condition | None = None,
) -> str | None:
    """Add a page to its run and save its cursor, inside the page's transaction; `outcome` closes the run with it.

    One statement: a page that brought nothing needs no transaction around it. Returns the generation of the source's
    markers: those who are forgotten now, for whoever forgets holds the locks of the page's tables until it commits.
    Returns None, with nothing recorded, if `only_if` does not hold; its parameters come from RECORD_PARAMETERS + 1 on.
    Raises RunFenced if the run was declared dead meanwhile: the caller's transaction must then roll back.
    """
    condition, values = only_if or ("true", ())
    query = _RECORD_PAGE.format(condition=condition, generation=GENERATION.format("page.source"))
    generation: str | None = await conn.fetchval(
        query, run.run_id, spent.requests, counts.seen, counts.inserted,
        counts.updated, counts.unchanged, counts.deleted, counts.rejected, expected, spent.budget_wait_s, outcome, now,
        _notes(notes), run.cursor_kind, None if cursor is None else msgspec.json.encode(cursor).decode(), *values,
    )  # fmt: skip
    if generation is None and only_if is None:
        raise RunFenced(
            f"{run.source}.{run.stream}: run {run.run_id} was declared dead by another process",
            hint="Nothing is lost: that process goes on from the last committed page.",
        )
    return generation


class MarkersChanged(Exception):
    """Somebody was forgotten since a page was read: the caller's transaction must roll back, the page be read again."""


async def read_markers(conn: asyncpg.Connection, source: str) -> Markers:
    """Read who of a source was forgotten."""
    rows = await conn.fetch("SELECT marker_id, stream, salt, digest FROM syncd.forgotten WHERE source = $1", source)
    digests: dict[str, dict[bytes, set[bytes]]] = {}
    for row in rows:
        digests.setdefault(row["stream"], {}).setdefault(row["salt"], set()).add(row["digest"])
    return Markers(
        generation=f"{len(rows)}/{max((row['marker_id'] for row in rows), default=0)}",
        digests={stream: {salt: frozenset(held) for salt, held in by.items()} for stream, by in digests.items()},
    )


async def forget_pass(conn: asyncpg.Connection, run: Run) -> None:
    """Drop the resume point from the cursor of a run; the rest of the cursor stays."""
    await conn.execute(
        "UPDATE syncd.cursors SET cursor = cursor - 'pass', updated_at = $4"
        " WHERE source = $1 AND stream = $2 AND kind = $3 AND cursor ? 'pass'",
        run.source, run.stream, run.cursor_kind, run.started_at,
    )  # fmt: skip


async def close_run(
    database: Database,
    run: Run,
    *,
    outcome: str,
    spent: Spent,
    now: datetime,
    error: str | None = None,
    error_kind: str | None = None,
    notes: Sequence[str] = (),
) -> None:
    """End a run that did not close with its last page."""
    async with database.connection() as conn:
        await conn.execute(
            _CLOSE_RUN, run.run_id, outcome, now, log.mask(error) if error else None, error_kind, spent.requests,
            spent.budget_wait_s, _notes(notes),
        )  # fmt: skip


def _notes(notes: Sequence[str]) -> str | None:
    return msgspec.json.encode([log.mask(note) for note in notes]).decode() if notes else None


async def save_rejects(
    conn: asyncpg.Connection, run: Run, stream: str, rejects: Sequence[tuple[Reject, bytes]], *, now: datetime
) -> None:
    """Keep records that could not become a row, each once; inside the page's transaction."""
    once = {fingerprint: reject for reject, fingerprint in rejects}
    if once:
        columns = [reject.reason for reject in once.values()], [_text(reject.record) for reject in once.values()]
        await conn.execute(_SAVE_REJECTS, run.source, stream, run.run_id, now, *columns, list(once))


async def count_unnamed(conn: asyncpg.Connection, source: str, stream: str, *, since: datetime) -> int:
    """Return how many records without a usable key were met since an instant: each may be one of the known rows."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM syncd.rejects WHERE source = $1 AND stream = $2 AND reason NOT LIKE 'PostgreSQL %'"
        " AND last_seen_at >= least($3, (SELECT min(seen_at) FROM syncd.seen WHERE source = $1 AND stream = $2))",
        source, stream, since,
    )  # fmt: skip
    return count


def _text(record: str) -> str:
    return record.replace("\0", "\\u0000")


async def save_drift(
    conn: asyncpg.Connection, source: str, stream: str, notes: Sequence[Note], *, now: datetime
) -> None:
    """Count fields that appeared, vanished or changed type; inside the page's transaction."""
    counted: dict[tuple[str, str], list[Any]] = {}
    for note in notes:
        entry = counted.setdefault((_text(note.field)[:200], note.change), [0, _text(note.sample)])
        entry[0] += 1
    if counted:
        fields, changes = zip(*sorted(counted), strict=True)
        entries = [counted[pair] for pair in sorted(counted)]
        await conn.execute(
            _SAVE_DRIFT, source, stream, now, fields, changes, [e[0] for e in entries], [e[1] for e in entries]
        )

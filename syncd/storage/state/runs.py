"""The tables `syncd.runs` and `syncd.cursors`: a run is opened, counts its pages, moves its cursor, and is closed.

Every write is fenced by the run's own row. Whoever takes a stream's lock marks the runs that still say `running` as
aborted, and a run so marked may write nothing more. So a run that lost its lock with its connection cannot move the
cursor of the run that followed.
"""

import os
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from syncd import log
from syncd.contract import Cursor, Identity, Lane
from syncd.errors import LockHeld, RunFenced
from syncd.storage.postgres import locks
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state import forgotten, losses, sources

# The identity is read after the lock was taken: the function sees what was committed until then.
_OPEN_RUN = f"""
SELECT taken, run_id, cursor, dead, syncd.identity_of($2, run_id) AS identity, {losses.FOUND} AS lost
FROM syncd.open_run($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

_RECORD_PAGE = """
WITH page AS (
  UPDATE syncd.runs SET pages = pages + 1, requests = $2, rows_seen = rows_seen + $3,
    rows_inserted = rows_inserted + $4, rows_updated = rows_updated + $5, rows_unchanged = rows_unchanged + $6,
    rows_deleted = rows_deleted + $7, rows_rejected = rows_rejected + $8,
    rows_expected = coalesce($9, rows_expected), budget_wait_s = $10,
    lane = $16, outcome = coalesce($11, outcome),
    finished_at = CASE WHEN $11::text IS NULL THEN NULL ELSE $12::timestamptz END,
    notes = coalesce($13::jsonb, notes)
  WHERE run_id = $1 AND outcome = 'running' AND {condition}
  RETURNING source, stream
), saved AS (
  INSERT INTO syncd.cursors (source, stream, kind, cursor, updated_at)
  SELECT source, stream, $14, $15::jsonb, $12 FROM page WHERE $15 IS NOT NULL
  ON CONFLICT (source, stream, kind) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at
  WHERE cursors.cursor IS DISTINCT FROM excluded.cursor
){further}
SELECT {generation} FROM page
"""
CONDITION_FIRST = 17
"""Number of the first parameter of a condition for `record_page_if`: the statement has the ones before it."""

_CLOSE_RUN = """
UPDATE syncd.runs SET outcome = $2, finished_at = $3, error = $4, error_kind = $5, requests = $6, budget_wait_s = $7,
  notes = coalesce($8::jsonb, notes), lane = $9
WHERE run_id = $1 AND outcome = 'running'
RETURNING run_id
"""

_RECOVER = """
UPDATE syncd.runs AS r SET outcome = 'aborted', finished_at = $4, error_kind = 'Killed',
       error = 'the process ended without a word; the next run goes on from the last committed page'
FROM unnest($1::text[], $2::text[], $3::text[]) AS dead (source, stream, kind)
WHERE r.source = dead.source AND r.stream = dead.stream AND r.kind = dead.kind AND r.outcome = 'running'
"""
_FREE = f"""
SELECT asked.place FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (number, place)
WHERE pg_try_advisory_xact_lock({locks.KEY.format("asked.number")})
"""
"""Which of these locks nobody held; they are held until the transaction ends."""


class Spent(msgspec.Struct, frozen=True):
    """What a run has cost so far, and the lane to which it is charged now."""

    requests: int
    budget_wait_s: float
    lane: Lane = "live"


class Counts(msgspec.Struct):
    """What pages did to their table. Child rows are not counted: they belong to their record."""

    seen: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0

    @property
    def unchanged(self) -> int:
        """Records that left the mirror as it was (duplicates on a page among them)."""
        return self.seen - self.inserted - self.updated - self.rejected

    def add(self, other: "Counts") -> None:
        """Add the counts of another page."""
        self.seen += other.seen
        self.inserted += other.inserted
        self.updated += other.updated
        self.deleted += other.deleted
        self.rejected += other.rejected


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """An open run: its row in syncd.runs, the cursor it started from, and whose data its source holds.

    `lost` says that somebody else deleted rows of the source (`syncd.losses`).
    `identity` None: nothing of the source is stored yet, so that the run's first page says whose data it is.
    """

    run_id: int
    source: str
    stream: str
    kind: str
    lane: Lane
    cursor_kind: str
    cursor: Cursor | None
    identity: Identity | None
    started_at: datetime
    took_over: bool
    lost: bool


class PageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one page adds to the row of its run, and the cursor that is valid once the page is committed.

    `counts` are those of this page. `spent` and `notes` are those of the whole run so far, and replace what is stored.
    `cursor` None leaves the stored cursor as it is. `expected` is the length of the list, if the upstream says so.
    `closes` says that the run ends well with this page.
    """

    counts: Counts
    spent: Spent
    at: datetime
    cursor: Cursor | None = None
    expected: int | None = None
    notes: Sequence[str] = ()
    closes: bool = False


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """An SQL expression that is true or false, with its parameters; these are numbered from CONDITION_FIRST on.

    `further` is written, too, if it is true: each an INSERT that selects from `page`, which has a row then.
    """

    sql: str
    values: Sequence[Any]
    further: Sequence[str] = ()


ALWAYS: Final = Condition(sql="true", values=())


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
        async with database.connection() as conn:
            found = await locks.holder(conn, number)
        if found and found.is_stranger:
            raise LockHeld(f"{source}.{stream}: its lock is held by {found.words}", hint=found.hint)
        raise LockHeld(await _holder(database, source, stream, kind, now), hint="Wait for it, or end that process.")
    cursor = msgspec.json.decode(row["cursor"]) if row["cursor"] else None
    return Run(
        run_id=row["run_id"], source=source, stream=stream, kind=kind, lane=lane, cursor_kind=cursor_kind,
        cursor=cursor, identity=sources.decoded(row["identity"]) if row["identity"] else None, started_at=now,
        took_over=row["dead"] > 0, lost=row["lost"],
    )  # fmt: skip


async def _holder(database: Database, source: str, stream: str, kind: str, now: datetime) -> str:
    async with database.connection() as conn:
        row = await conn.fetchrow(
            "SELECT run_id, kind, host, pid, started_at FROM syncd.runs"
            " WHERE source = $1 AND stream = $2 AND (kind = 'backfill') = $3 AND outcome = 'running'"
            " ORDER BY run_id DESC LIMIT 1",
            source, stream, kind == "backfill",
        )  # fmt: skip
    if row is None:
        return f"{source}.{stream}: another run is just starting or ending"
    seconds = max(0, round((now - row["started_at"]).total_seconds()))
    return (
        f"{source}.{stream}: run {row['run_id']} ({row['kind']}) is under way for {seconds} s"
        f" in process {row['pid']} on {row['host']}"
    )


async def record_page(conn: asyncpg.Connection, run: Run, page: PageRecord, condition: Condition = ALWAYS) -> str:
    """Add a page to its run and save its cursor, inside the page's transaction.

    It is one statement, so that a page which brought nothing needs no transaction around it. Returns the current
    generation of the source's markers: `syncd forget` holds the locks of the page's tables until it commits, so nobody
    can be forgotten in between. `condition` is one that is true: what it has `further` is written with the page.

    Raises RunFenced if the run was declared dead meanwhile: the caller's transaction must then roll back.
    """
    generation = await _record(conn, run, page, condition)
    if generation is None:
        raise _fenced(run)
    return generation


async def record_page_if(conn: asyncpg.Connection, run: Run, page: PageRecord, condition: Condition) -> bool:
    """Add a page to its run like `record_page`, provided that a condition holds; say whether it was added.

    Condition and write are one statement. False is also returned where the run was declared dead meanwhile.
    """
    return await _record(conn, run, page, condition) is not None


async def _record(conn: asyncpg.Connection, run: Run, page: PageRecord, condition: Condition) -> str | None:
    counts = page.counts
    cursor = None if page.cursor is None else msgspec.json.encode(page.cursor).decode()
    query = _RECORD_PAGE.format(
        condition=condition.sql,
        generation=forgotten.generation("page.source"),
        further="".join(f", further_{at} AS ({insert})" for at, insert in enumerate(condition.further)),
    )
    generation: str | None = await conn.fetchval(
        query, run.run_id, page.spent.requests, counts.seen, counts.inserted, counts.updated, counts.unchanged,
        counts.deleted, counts.rejected, page.expected, page.spent.budget_wait_s, "ok" if page.closes else None,
        page.at, _notes(page.notes), run.cursor_kind, cursor, page.spent.lane, *condition.values,
    )  # fmt: skip
    return generation


def _fenced(run: Run) -> RunFenced:
    return RunFenced(
        f"{run.source}.{run.stream}: run {run.run_id} was declared dead by another process",
        hint="Nothing is lost: that process goes on from the last committed page.",
    )


async def drop_resume_point(conn: asyncpg.Connection, run: Run) -> None:
    """Drop the resume point from the cursor of a run, so that the next run begins its pass anew."""
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
) -> bool:
    """Close a run that did not close with its last page; False if it was declared dead meanwhile: its row says so."""
    async with database.connection() as conn:
        closed = await conn.fetchval(
            _CLOSE_RUN, run.run_id, outcome, now, log.mask(error) if error else None, error_kind, spent.requests,
            spent.budget_wait_s, _notes(notes), spent.lane,
        )  # fmt: skip
    return closed is not None


async def complete_run(database: Database, run: Run, *, spent: Spent, now: datetime, notes: Sequence[str] = ()) -> None:
    """Close a run as `ok` whose last page was not known to be the last when it was committed.

    Raises RunFenced if the run was declared dead meanwhile.
    """
    if not await close_run(database, run, outcome="ok", spent=spent, now=now, notes=notes):
        raise _fenced(run)


def _notes(notes: Sequence[str]) -> str | None:
    return msgspec.json.encode([log.mask(note) for note in notes]).decode() if notes else None


async def recover(database: Database, *, now: datetime, of: Sequence[str] | None = None) -> int:
    """Mark runs as aborted that say `running` though nobody holds their stream's lock; return how many.

    `of` names the sources to look at; None: all. It takes three statements for any number of them: whoever steps in for
    a worker has no longer than its own lease.
    """
    async with database.transaction() as conn:
        running = await conn.fetch(
            "SELECT DISTINCT source, stream, kind FROM syncd.runs"
            " WHERE outcome = 'running' AND ($1::text[] IS NULL OR source = ANY($1))", of,
        )  # fmt: skip
        if not running:
            return 0
        numbers = [stream_lock(row["source"], row["stream"], row["kind"]) for row in running]
        free = [running[row["place"] - 1] for row in await conn.fetch(_FREE, numbers)]
        names = ([row[column] for row in free] for column in ("source", "stream", "kind"))
        status = await conn.execute(_RECOVER, *names, now)
    return int(status.rpartition(" ")[2])


async def most_seen(database: Database, source: str, stream: str) -> int:
    """Return the most rows that a good run of a stream ever saw, as far as runs are kept; 0 if there is none."""
    async with database.connection() as conn:
        return int(
            await conn.fetchval(
                "SELECT coalesce(max(rows_seen), 0) FROM syncd.runs WHERE source = $1 AND stream = $2"
                " AND outcome = 'ok'",
                source, stream,
            )
        )  # fmt: skip

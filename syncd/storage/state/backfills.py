"""The table `syncd.backfills`: parts of backfills that the service is asked for, and how far they are.

A part has no owner: whoever has the account walks it, under the stream's lock, and the row of its run is the fence.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import asyncpg

from syncd.frozen import dataclass

_ASK: Final = """
INSERT INTO syncd.backfills (source, stream, since, until, asked_at)
SELECT *, now() FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
ON CONFLICT (source, stream, since, coalesce(until, 'infinity')) DO UPDATE
SET asked_at = now(), finished_at = NULL, outcome = NULL, error = NULL
WHERE backfills.outcome <> 'ok'
"""
_THESE: Final = """
unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS these (source, stream, since, until)
JOIN syncd.backfills AS b ON b.source = these.source AND b.stream = these.stream AND b.since = these.since
  AND b.until IS NOT DISTINCT FROM these.until
"""
_DELETE: Final = f"""
DELETE FROM syncd.backfills WHERE part_id IN (SELECT b.part_id FROM {_THESE} WHERE b.finished_at IS NULL OR $5)
"""
_OPEN: Final = """
SELECT DISTINCT ON (source, stream) part_id, source, stream, since, until FROM syncd.backfills
WHERE finished_at IS NULL ORDER BY source, stream, since
"""
_END: Final = """
UPDATE syncd.backfills SET finished_at = now(), outcome = $2, error = $3 WHERE part_id = $1 AND finished_at IS NULL
"""
# Runs that a part took before it was asked for again do not count: they belong to another order.
_STANDING: Final = f"""
WITH parts AS (SELECT b.* FROM {_THESE}), streams AS (
  SELECT source, stream, min(asked_at) AS asked_at FROM parts GROUP BY 1, 2
), walked AS (
  SELECT r.* FROM streams AS s JOIN syncd.runs AS r USING (source, stream)
  WHERE r.kind = 'backfill' AND r.started_at >= s.asked_at
)
SELECT count(*) AS parts, count(*) FILTER (WHERE outcome = 'ok') AS ok,
  count(*) FILTER (WHERE outcome <> 'ok') AS failed,
  (SELECT count(*) FROM walked WHERE outcome = 'running') AS under_way,
  (SELECT coalesce(sum(rows_seen), 0)::bigint FROM walked) AS rows,
  (SELECT coalesce(sum(requests), 0)::bigint FROM walked) AS requests,
  (SELECT count(DISTINCT (host, pid)) FROM walked) AS processes
FROM parts
"""
_ENDED_BADLY: Final = f"""
SELECT b.source, b.stream, b.since, b.until, b.outcome, b.error FROM {_THESE} WHERE b.outcome <> 'ok'
ORDER BY b.source, b.stream, b.since
"""
_COMPLETE: Final = """
SELECT (SELECT max(r.finished_at) FROM syncd.runs r
  WHERE r.source = c.source AND r.stream = c.stream AND r.kind = 'backfill' AND r.outcome = 'ok'
  AND c.updated_at BETWEEN r.started_at AND r.finished_at) AS at
FROM syncd.cursors c WHERE c.source = $1 AND c.stream = $2 AND c.kind = $3
"""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range of one stream; `until` None: up to when it is walked."""

    source: str
    stream: str
    since: datetime
    until: datetime | None

    @property
    def cursor_kind(self) -> str:
        """The cursor's kind, as a run over this range names it."""
        until = self.until.isoformat() if self.until else ""
        return f"backfill {self.since.isoformat()}..{until}"

    @property
    def pair(self) -> tuple[str, str]:
        """Source and stream."""
        return self.source, self.stream


@dataclass(frozen=True, kw_only=True)
class Part(Range):
    """A range that the service was asked for and that has not ended."""

    part_id: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far some parts are; `rows` and `requests` are those of all runs since they were asked for.

    `processes` is how many have walked them so far.
    """

    parts: int
    ok: int
    failed: int
    under_way: int
    rows: int
    requests: int
    processes: int

    @property
    def is_over(self) -> bool:
        """Whether all have ended, or were withdrawn."""
        return self.ok + self.failed == self.parts


@dataclass(frozen=True, kw_only=True)
class Stands:
    """How far a range was walked, and when it was complete."""

    walked: Literal["never", "begun", "wholly"]
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Failed(Range):
    """A part that did not end well."""

    outcome: str
    error: str | None


async def ask(conn: asyncpg.Connection, ranges: Sequence[Range]) -> None:
    """Ask the service for these; those that ended well stay as they are, and those that did not are walked again."""
    await conn.execute(_ASK, *_columns(ranges))


async def withdraw(conn: asyncpg.Connection, ranges: Sequence[Range], *, ended_too: bool = False) -> None:
    """Ask for these no longer; a run that is under way ends at its next page. `ended_too` forgets those that ended."""
    await conn.execute(_DELETE, *_columns(ranges), ended_too)


async def unfinished(conn: asyncpg.Connection) -> list[Part]:
    """Return of each stream the earliest part that is asked for and has not ended."""
    return [Part(**row) for row in await conn.fetch(_OPEN)]


async def end(conn: asyncpg.Connection, part: Part, outcome: str, error: str | None) -> None:
    """Note how a part ended; harmless if it was withdrawn or noted before."""
    await conn.execute(_END, part.part_id, outcome, error)


async def standing(conn: asyncpg.Connection, ranges: Sequence[Range]) -> Standing:
    """Return how far these are."""
    return Standing(**await conn.fetchrow(_STANDING, *_columns(ranges)))


async def ended_badly(conn: asyncpg.Connection, ranges: Sequence[Range]) -> list[Failed]:
    """Return those of these that failed."""
    return [Failed(**row) for row in await conn.fetch(_ENDED_BADLY, *_columns(ranges))]


async def stands(conn: asyncpg.Connection, source: str, stream: str, cursor_kind: str) -> Stands:
    """Return how far a range was walked, whoever did it.

    It is complete if the cursor was written by a run that ended well: not every cursor within a walk tells that it is.
    """
    row = await conn.fetchrow(_COMPLETE, source, stream, cursor_kind)
    if row is None:
        return Stands(walked="never")
    return Stands(walked="wholly", at=row["at"]) if row["at"] else Stands(walked="begun")


def _columns(ranges: Sequence[Range]) -> tuple[list[str], list[str], list[datetime], list[datetime | None]]:
    return (
        [each.source for each in ranges], [each.stream for each in ranges],
        [each.since for each in ranges], [each.until for each in ranges],
    )  # fmt: skip

"""The last hour, day or week in slots: what was written and requested, and how fresh streams were.

Each query reads a range of an index: of all runs that began in these hours, or of those of the streams asked for.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import asyncpg
import msgspec

from syncd.config import StreamConfig
from syncd.engine import schedule
from syncd.frozen import dataclass
from syncd.status.model import Pair
from syncd.storage.postgres.database import Database


@dataclass(frozen=True, kw_only=True)
class Span:
    """How far one looks back, in how many slots of which length.

    In words: `words` is the whole ("Last 24 hours"), `each` one slot, `many` several of them.
    """

    name: str
    words: str
    slot: timedelta
    slots: int
    each: str
    many: str


HOUR: Final = Span(
    name="1h", words="hour", slot=timedelta(minutes=2), slots=30, each="2 minutes", many="slots of 2 minutes"
)
DAY: Final = Span(
    name="24h", words="24 hours", slot=timedelta(minutes=30), slots=48, each="half hour", many="half hours"
)
WEEK: Final = Span(
    name="7d", words="7 days", slot=timedelta(hours=4), slots=42, each="4 hours", many="slots of 4 hours"
)
SPANS: Final[Mapping[str, Span]] = {span.name: span for span in (HOUR, DAY, WEEK)}
YOUNG: Final = timedelta(hours=2)
"""A mirror whose first run is not older shows its last hour: of a day nearly all would be empty."""
QUERY_TIMEOUT_S: Final = 10.0
RUNS_APART: Final = 1000
"""Numbers of runs follow their starts but for those that began together; this many at most, we assume."""

Level = Literal["none", "fresh", "failed", "late"]
"""The worst of a slot: nothing known yet, in time, a run failed yet the data was in time, the data was late."""


class Slot(msgspec.Struct, kw_only=True):
    """What runs that began in one slot did; `longest_s` is the longest run that ended, None if none did."""

    begins_at: datetime
    ok: int = 0
    bad: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    requests_live: int = 0
    requests_backfill: int = 0
    longest_s: float | None = None

    def add(self, row: asyncpg.Record) -> None:
        """Add the sums of a query."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + row[name])
        if row["longest_s"] is not None:
            self.longest_s = max(self.longest_s or 0.0, row["longest_s"])


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream stood in one slot; `age_s` is the greatest age of its data, None while there was none."""

    begins_at: datetime
    level: Level
    age_s: float | None


Day = list[Slot]
"""Every slot, also those in which nothing ran, oldest first."""


class StreamDay(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's span; `late_s` is the age from which on it is late today, None if it never ran well."""

    slots: Day
    freshness: list[Freshness]
    late_s: float | None
    slots_are: str = DAY.many

    @property
    def words(self) -> str:
        """Say how fresh the stream was, in a few words."""
        known = [one for one in self.freshness if one.level != "none"]
        if not known:
            return "no good run yet"
        words = {"late": "late", "failed": "with failed runs"}
        counts = {word: sum(one.level == level for one in known) for level, word in words.items()}
        told = " and ".join(f"{word} in {count}" for word, count in counts.items() if count)
        return f"{told} of {len(known)} {self.slots_are}" if told else "in time throughout"


_SUMS: Final = ("ok", "bad", "inserted", "updated", "deleted", "requests_live", "requests_backfill")

_AGGREGATES: Final = """
  floor((extract(epoch FROM started_at) - $2) / $3)::int AS slot,
  count(*) FILTER (WHERE outcome = 'ok') AS ok,
  count(*) FILTER (WHERE outcome IN ('failed', 'throttled') OR error_kind = 'Killed') AS bad,
  sum(rows_inserted)::bigint AS inserted, sum(rows_updated)::bigint AS updated, sum(rows_deleted)::bigint AS deleted,
  coalesce(sum(requests) FILTER (WHERE lane = 'live'), 0)::bigint AS requests_live,
  coalesce(sum(requests) FILTER (WHERE lane = 'backfill'), 0)::bigint AS requests_backfill,
  extract(epoch FROM max(finished_at - started_at))::float8 AS longest_s
"""

_SLOTS: Final = f"SELECT {_AGGREGATES} FROM syncd.runs WHERE started_at >= $1 GROUP BY slot"  # noqa: S608  (our own words)

_FIRST_RUN: Final = "SELECT run_id FROM syncd.runs WHERE started_at >= $1 ORDER BY started_at LIMIT 1"

_STREAM_DAYS: Final = f"""
SELECT w.source, w.stream, r.* FROM unnest($4::text[], $5::text[]) AS w(source, stream)
CROSS JOIN (VALUES ('live'), ('sweep'), ('backfill'), ('callback')) AS k(kind)
CROSS JOIN LATERAL (
  SELECT {_AGGREGATES} FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = k.kind AND run_id >= $6 AND started_at >= $1 GROUP BY slot
) AS r
"""  # noqa: S608  (as above)

# Of each slot the run before which the data was oldest; and the newest good run before these hours.
_AGES: Final = """
SELECT w.source, w.stream, r.* FROM unnest($3::text[], $4::text[]) AS w(source, stream)
CROSS JOIN LATERAL (
  (SELECT -1 AS slot, started_at AS ok_at, finished_at AS until_at, started_at AS newest_at FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = 'live' AND run_id < $5 AND outcome = 'ok'
   ORDER BY run_id DESC LIMIT 1)
  UNION ALL
  (SELECT DISTINCT ON (slot) slot, before_at, finished_at, max(started_at) OVER (PARTITION BY slot) FROM (
     SELECT floor((extract(epoch FROM finished_at) - $1) / $2)::int AS slot, started_at, finished_at,
            lag(started_at) OVER (ORDER BY run_id) AS before_at
     FROM syncd.runs
     WHERE source = w.source AND stream = w.stream AND kind = 'live' AND run_id >= $5 AND outcome = 'ok'
   ) AS good ORDER BY slot, finished_at - before_at DESC NULLS LAST)
) AS r ORDER BY w.source, w.stream, r.slot
"""


_OLDEST_RUN: Final = "SELECT started_at FROM syncd.runs ORDER BY started_at LIMIT 1"


async def read_first_run(database: Database) -> datetime | None:
    """Return when the oldest run began that is known; None on the first day, before any."""
    async with database.connection() as conn:
        found: datetime | None = await conn.fetchval(_OLDEST_RUN)
    return found


def span_of(name: str, first_run_at: datetime | None, now: datetime) -> Span:
    """Return the span of that name; of any other name the day or, while the mirror is young, the hour."""
    is_young = first_run_at is None or now - first_run_at < YOUNG
    return SPANS.get(name, HOUR if is_young else DAY)


def begins_at(now: datetime, span: Span = DAY) -> datetime:
    """Return when the span begins that is shown now: its last slot is under way."""
    slot_s = span.slot.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // slot_s * slot_s, UTC) - (span.slots - 1) * span.slot


def _slots(begin: datetime, span: Span) -> Day:
    return [Slot(begins_at=begin + place * span.slot) for place in range(span.slots)]


async def read_day(database: Database, *, now: datetime, span: Span = DAY) -> Day:
    """Read what all streams did; all slots stay empty if that takes too long."""
    begin = begins_at(now, span)
    slots = _slots(begin, span)
    async with database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
                found = await conn.fetch(_SLOTS, begin, begin.timestamp(), span.slot.total_seconds())
        except asyncpg.QueryCanceledError:
            return slots
    for row in found:
        slots[min(row["slot"], span.slots - 1)].add(row)
    return slots


async def read_stream_days(
    database: Database, streams: Mapping[Pair, StreamConfig], *, now: datetime, span: Span = DAY
) -> dict[Pair, StreamDay]:
    """Read what some streams did and how fresh they were; nothing if that takes too long."""
    begin = begins_at(now, span)
    slots = {pair: _slots(begin, span) for pair in streams}
    ages: dict[Pair, list[asyncpg.Record]] = {pair: [] for pair in streams}
    sources, names = [pair[0] for pair in streams], [pair[1] for pair in streams]
    async with database.connection() as conn:
        try:
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
                first = await conn.fetchval(_FIRST_RUN, begin)
                values = (begin.timestamp(), span.slot.total_seconds(), sources, names)
                first_run = 2**62 if first is None else first - RUNS_APART
                for row in await conn.fetch(_STREAM_DAYS, begin, *values, first_run):
                    slots[row["source"], row["stream"]][min(row["slot"], span.slots - 1)].add(row)
                for row in await conn.fetch(_AGES, *values, first_run):
                    ages[row["source"], row["stream"]].append(row)
        except asyncpg.QueryCanceledError:
            return {}
    return {
        pair: StreamDay(
            slots=slots[pair],
            freshness=_freshness(slots[pair], ages[pair], settings, span, now),
            late_s=_late_s(ages[pair], settings),
            slots_are=span.many,
        )
        for pair, settings in streams.items()
    }


def _late_s(ages: list[asyncpg.Record], settings: StreamConfig) -> float | None:
    if not ages:
        return None
    ok_at: datetime = ages[-1]["newest_at"]
    return (schedule.late_at(settings, ok_at) - ok_at).total_seconds()


def _freshness(
    slots: Day, ages: list[asyncpg.Record], settings: StreamConfig, span: Span, now: datetime
) -> list[Freshness]:
    """Walk through the slots with the newest good run so far: the data grows old until the next one ends."""
    by_slot = {row["slot"]: row for row in ages}
    ok_at: datetime | None = max((row["newest_at"] for row in ages if row["slot"] < 0), default=None)
    found = []
    for place, slot in enumerate(slots):
        gaps: list[tuple[datetime, datetime]] = []
        if row := by_slot.get(place):
            if before_at := row["ok_at"] or ok_at:
                gaps.append((before_at, row["until_at"]))
            ok_at = row["newest_at"]
        if ok_at is not None:
            gaps.append((ok_at, min(now, slot.begins_at + span.slot)))
        if not gaps:
            found.append(Freshness(begins_at=slot.begins_at, level="failed" if slot.bad else "none", age_s=None))
            continue
        since, until = max(gaps, key=lambda gap: gap[1] - gap[0])
        level: Level = "failed" if slot.bad else "fresh"
        if any(schedule.late_at(settings, begin) <= end for begin, end in gaps):
            level = "late"
        age_s = max(0.0, (until - since).total_seconds())
        found.append(Freshness(begins_at=slot.begins_at, level=level, age_s=age_s))
    return found

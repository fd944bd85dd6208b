"""How every stream that is on stands, look after look: only what has changed since the look before is read again.

For the watch, which looks every few seconds however many accounts there are. Runs, losses, pauses and budgets say by
themselves that they are new; a run under way is read at each look, because its process may die without a word; being
late only takes the clock. All is read anew now and then, and whenever the configuration or the database is another one.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from syncd import __version__
from syncd.config import Config
from syncd.contract import Source
from syncd.frozen import dataclass
from syncd.status.facts import PAIRS_AT_ONCE, Facts, Loss, batches, budget_status, columns, losses_of, purse_of
from syncd.status.model import Notice, Pair, SourceStatus, State, Status, StreamStatus
from syncd.status.standing import Standing, zone_of
from syncd.status.verdict import BUDGET_LEFT, is_nearly_spent
from syncd.storage.postgres.database import Database
from syncd.storage.state import operators

WHOLE_EVERY_S: Final = 120.0
"""What no sign tells of, such as rows of syncd.runs that somebody deleted, is noticed within this,"""
WHOLE_STREAM_S: Final = 0.015
"""or within so much for each stream: a whole look costs 30 µs a stream, 0.2 % of a core; our choices."""
RUNS_AGAIN: Final = 100
"""Runs that are looked at twice after a whole look: a number may be given before and be seen after a higher one."""
BUDGETS_AGAIN: Final = timedelta(minutes=1)
"""Budgets are looked at twice within this: the clocks of their writers differ."""
STREAMS_AT_ONCE: Final = 100
"""Judged before others have their turn: a few milliseconds."""

_RUNS: Final = (
    "SELECT source, stream, max(run_id) AS run_id FROM syncd.runs WHERE run_id > $1 AND kind IN ('live', 'sweep')"
    " GROUP BY 1, 2"
)
_BUDGETS: Final = "SELECT source, state, updated_at FROM syncd.budgets WHERE updated_at > $1 OR source = ANY($2)"
_ALL_BUDGETS: Final = "SELECT source, state, updated_at FROM syncd.budgets"
_SPENT_BUDGETS: Final = (
    "SELECT source, state, updated_at FROM syncd.budgets"
    " WHERE day_remaining < day_limit * $1::float8 OR source = ANY($2)"
)
"""Those of which little may be left: what they held when they were written to last is looked at generously."""
_NEWEST: Final = "SELECT coalesce(max(run_id), 0) FROM syncd.runs"
# Index runs_by_stream gives each of both runs at its first row.
_WELL: Final = """
SELECT w.place, extract(epoch FROM live.started_at)::float8 AS ok_at, live.requests,
       extract(epoch FROM sweep.started_at)::float8 AS swept_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(source, stream, place)
CROSS JOIN LATERAL (
  SELECT started_at, requests, outcome FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = 'live' ORDER BY run_id DESC LIMIT 1
) AS live
LEFT JOIN LATERAL (
  SELECT started_at, outcome FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = 'sweep' ORDER BY run_id DESC LIMIT 1
) AS sweep ON true
WHERE live.outcome = 'ok' AND coalesce(sweep.outcome, 'ok') = 'ok'
"""
"""Those of some streams whose newest live run and newest sweep are good."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What one look gave of all that is on.

    `status` has the streams that are not well or are late, without rows, cursors, rejects and drift; its summary counts
    the others, too. `standing` is how these stand. `late` are the streams that are late by their own schedules.
    """

    status: Status
    late: Collection[Pair]
    standing: Standing


class _Known:
    """What the looks so far have found of one configuration and one database."""

    def __init__(
        self, config: Config, database: Database, registry: Mapping[str, Source], now: datetime, *, every_budget: bool
    ) -> None:
        self.config = config
        self.database = database
        self.registry = registry
        self.every_budget = every_budget
        self.since = now
        streams = sum(len(source.streams) for source in config.sources.values())
        self.holds = timedelta(seconds=max(WHOLE_EVERY_S, WHOLE_STREAM_S * streams))
        self.standing = Standing(config, registry)
        self.open: set[Pair] = set()
        self.losses: dict[str, dict[str, Loss]] = {}
        self.pauses: dict[Pair, datetime] = {}
        self.sources = {
            source.name: SourceStatus(source=source.name, type=source.type, base_url=source.base_url, budget=None)
            for source in config.sources.values()
        }
        self.nearly_spent: set[str] = set()
        self.texts: dict[str, str] = {}
        self.runs_seen: tuple[int, int] | None = None
        self.budgets_seen: datetime | None = None

    async def look(self, now: datetime) -> None:
        """Read what has changed."""
        seen = self.runs_seen
        async with self.database.connection() as conn:
            rows = await conn.fetch(_RUNS, seen[0]) if seen else []
            newest = max((row["run_id"] for row in rows), default=seen[1]) if seen else await conn.fetchval(_NEWEST)
            losses, pauses = await losses_of(conn), await operators.pauses(conn)
            await self._read_budgets(conn, now)
        touched = {name for name in losses.keys() | self.losses.keys() if losses.get(name) != self.losses.get(name)}
        turned = {pair for pair, _ in self.pauses.items() ^ pauses.items()}
        self.losses, self.pauses = losses, pauses
        if seen is None:
            self.runs_seen = (newest - RUNS_AGAIN, newest)
            for first in range(0, len(self.standing.sources), PAIRS_AT_ONCE):
                await self._read(self.standing.on(first, first + PAIRS_AT_ONCE), now)
            return
        self.runs_seen = (seen[1], max(newest, seen[1]))
        ran = {(row["source"], row["stream"]) for row in rows}
        changed = {pair for pair in ran | turned if pair in self.standing} | self.open
        changed |= self.standing.of_sources(touched)
        for some in batches(sorted(changed, key=self.standing.place)):
            await self._read(some, now)

    async def _read_budgets(self, conn: asyncpg.Connection, now: datetime) -> None:
        """Read budgets that were written to since, and those of which little is left: a new day may have begun."""
        if not self.every_budget:
            rows = await conn.fetch(_SPENT_BUDGETS, 2 * BUDGET_LEFT, list(self.nearly_spent))
        elif self.budgets_seen is None:
            rows = await conn.fetch(_ALL_BUDGETS)
        else:
            rows = await conn.fetch(_BUDGETS, self.budgets_seen - BUDGETS_AGAIN, list(self.nearly_spent))
        for place, row in enumerate(rows, 1):
            if place % STREAMS_AT_ONCE == 0:
                await asyncio.sleep(0)
            settings = self.config.sources.get(row["source"])
            purse = purse_of(row, settings.budget, self.registry[settings.type].zone) if settings else None
            if settings is None or purse is None:
                continue
            status = budget_status(purse, row["updated_at"], now)
            self.sources[settings.name] = SourceStatus(
                source=settings.name, type=settings.type, base_url=settings.base_url, budget=status
            )
            (self.nearly_spent.add if is_nearly_spent(status) else self.nearly_spent.discard)(settings.name)
        self.budgets_seen = max([row["updated_at"] for row in rows] + [self.budgets_seen or now])

    async def _read(self, pairs: Sequence[Pair], now: datetime) -> None:
        """Read how a batch of streams stands: numbers of those that are well, and the runs of the others."""
        if not pairs:
            return
        async with self.database.connection() as conn:
            rows = await conn.fetch(_WELL, *columns(pairs))
        self.open.difference_update(pairs)
        well, at = set[Pair](), now.timestamp()
        for row in rows:
            pair = pairs[row["place"] - 1]
            if pair not in self.pauses and pair[0] not in self.losses:
                well.add(pair)
                self.standing.note_well(
                    pair, ok_at=row["ok_at"], is_idle=not row["requests"], swept_at=row["swept_at"], now=at
                )
        others = [pair for pair in pairs if pair not in well]
        if others:
            await self._judge(others, await Facts.read_standing(self.database, others, self.losses), now)

    async def _judge(self, pairs: Sequence[Pair], facts: Facts, now: datetime) -> None:
        for place, pair in enumerate(pairs, 1):
            if place % STREAMS_AT_ONCE == 0:
                await asyncio.sleep(0)
            source, settings = self.config.sources[pair[0]], self.standing.settings(pair)
            stream = self.registry[source.type].stream(pair[1])
            tables = [stream.table, *(child.table for child in stream.table.children)]
            told = facts.stream(
                pair, settings, [f"{table.schema}.{table.name}" for table in tables], None, None, None,
                zone_of(source, self.registry), now, by_listing=True,
            )  # fmt: skip
            self.standing.tell(self._slim(told))
            if facts.open_run(pair, "live", "sweep")[0]:
                self.open.add(pair)

    def _slim(self, told: StreamStatus) -> StreamStatus:
        """Return what is kept of a stream: thousands of them have the same texts, which are kept once."""
        schedule, table, why = (self.texts.setdefault(text, text) for text in (told.schedule, told.table, told.why))
        return msgspec.structs.replace(told, schedule=schedule, table=table, why=why)


class Lookout:
    """Looks for one process, again and again; at every budget, or only at those of which little is left."""

    def __init__(self, registry: Mapping[str, Source], *, every_budget: bool = True) -> None:
        self._registry = registry
        self._every_budget = every_budget
        self._known: _Known | None = None
        self._gate = asyncio.Lock()

    async def look(self, config: Config, database: Database, now: datetime, notices: Sequence[Notice]) -> Looked:
        """Return how everything stands now. Raises DatabaseError; the next look then reads all anew."""
        async with self._gate:
            return await self._look(config, database, now, notices)

    async def _look(self, config: Config, database: Database, now: datetime, notices: Sequence[Notice]) -> Looked:
        known, self._known = self._known, None
        if (
            known is None
            or (known.config is not config or known.database is not database)
            or not timedelta() <= now - known.since < known.holds
        ):
            known = _Known(config, database, self._registry, now, every_budget=self._every_budget)
        await known.look(now)
        self._known = known
        late = frozenset(known.standing.late(now))
        return Looked(status=await _status(known, late, notices, now), late=late, standing=known.standing)


async def _status(known: _Known, late: Collection[Pair], notices: Iterable[Notice], now: datetime) -> Status:
    """Return the status of what is not well; the summary counts all that is on."""
    standing = known.standing
    streams = list(standing.told.values())
    states = Counter(
        "late" if stream.state == "fresh" and (stream.source, stream.stream) in late else stream.state
        for stream in streams
    )
    for place, pair in enumerate(late, 1):
        if place % STREAMS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if pair not in standing.told:
            streams.append(standing.stream(pair, now))
    tardy = len(streams) - len(standing.told)
    states["fresh"] += standing.well - tardy
    states["late"] += tardy
    return Status(
        at=now,
        version=__version__,
        database=known.database.shown,
        summary={state: states[state] for state in State.__args__},  # type: ignore[attr-defined]  # a Literal's own
        sources=list(known.sources.values()),
        streams=streams,
        backfills=[],
        notices=list(notices),
    )

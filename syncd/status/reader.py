"""Collects the status, once or for all who ask in one process."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from syncd import __version__
from syncd.config import Config
from syncd.contract import Source, Stream
from syncd.engine import schedule
from syncd.status.cache import Cache
from syncd.status.causes import Cause, Extras, causes_of
from syncd.status.counts import count_rows, tables_there
from syncd.status.day import (
    DAY,
    SPANS,
    Day,
    Span,
    StreamDay,
    read_day,
    read_first_run,
    read_stream_days,
    span_of,
)
from syncd.status.facts import HISTORY, STREAM_RUNS, Facts, batches, budget_status, columns, purse_of, run_of
from syncd.status.forecast import Forecast
from syncd.status.happened import read_extras
from syncd.status.lookout import Looked, Lookout
from syncd.status.model import Notice, Pair, Rows, RunStatus, SourceStatus, State, Status
from syncd.status.needs import STREAMS_MOST, read_forecasts
from syncd.status.overview import Idle, backfilling, is_large, narrowed, orphans, overview
from syncd.status.owners import Counted, orphans_of, owners_of, tables_of
from syncd.status.paces import in_force, read_paces
from syncd.status.verdict import late
from syncd.storage.postgres.database import Database

STATUS_KEPT_S: Final = 1.0
"""A status is given to everybody who asks within this time."""
COUNTS_KEPT_S: Final = 5.0
COUNTS_REST: Final = 99.0
"""Rows are counted at most so often by one process, and for a hundredth of the time: it reads every row."""
LINE_KEPT_S: Final = 20.0
LINE_REST: Final = 99.0
"""The line that systemd shows is made at most so often, and for a hundredth of the time."""
EXTRAS_KEPT_S: Final = 30.0
"""New rejects and ended backfills are looked for so often: the latter reads many runs."""
DAY_KEPT_S: Final = 5.0
"""What happened in 24 hours changes slowly."""
SOURCES_AT_ONCE: Final = 25
"""Put together before others have their turn: a few milliseconds."""
FORECASTS_KEPT_S: Final = 300.0
"""A forecast reads what a week of runs has cost."""
PACES_KEPT_S: Final = 30.0
"""Intervals of auto streams are read again after this: a day of runs is read for it."""
DAYS_KEPT: Final = 16
"""Sets of streams whose last 24 hours are kept: as many pages that differ may be watched at no further cost."""


async def collect(
    database: Database,
    config: Config,
    registry: Mapping[str, Source],
    *,
    now: datetime,
    counts: Cache[Counted] | None = None,
    next_runs: Mapping[Pair, datetime] | None = None,
    next_sweeps: Mapping[Pair, datetime] | None = None,
    counts_rows: bool = True,
    notices: Sequence[Notice] = (),
    paces: Cache[Mapping[Pair, float]] | None = None,
    forecasts: Cache[Mapping[str, Forecast]] | None = None,
    is_part: bool = False,
) -> Status:
    """Collect the status of every configured stream; secrets may be unresolved.

    `next_runs` and `next_sweeps` are the plans of a running scheduler; without them the next run is computed from the
    last one.
    Counting rows reads the whole mirror, unless `counts` remembers them; `paces` remembers intervals of auto streams,
    `forecasts` what was forecast. `is_part` says that the configuration is a part of the whole one: then nothing is
    read of other sources.
    Raises DatabaseError if the database does not answer or is not migrated.
    """
    of = list(config.sources) if is_part else None
    pairs = [(s.name, name) for s in config.sources.values() for name in s.streams]
    facts = await Facts.read(database, pairs, of=of)
    tables = {
        (source.type, name): _table(registry, source.type, name)
        for source in {source.type: source for source in config.sources.values()}.values()
        for name in source.streams
    }

    async def count() -> Counted:
        mine = list(tables.values())
        mirrored = tables_of(registry) if facts.names - config.sources.keys() else []
        others = await tables_there(database, mirrored) if mirrored else []
        return await count_rows(database, list(dict.fromkeys([*mine, *others])), of=of)

    async def read_intervals() -> Mapping[Pair, float]:
        return in_force(await read_paces(database, config, now=now), config, now=now)

    intervals = await (paces.get(read_intervals) if paces and not is_part else read_intervals())
    counted = await (counts.get(count) if counts else count()) if counts_rows else {}
    owners = {one.source: one for one in owners_of(config, registry, facts.names, facts.identities, counted)}
    streams, sources, purses = [], [], {}
    rows: dict[Pair, Rows | None] = {}
    for place, source in enumerate(config.sources.values(), 1):
        kind = registry[source.type]
        zone = str(source.options.get("zone", kind.zone))
        stored = facts.budgets.get(source.name)
        purse = purse_of(stored, source.budget, kind.zone)
        if purse and stored:
            purses[source.name] = purse
        sources.append(
            SourceStatus(
                source=source.name,
                type=source.type,
                base_url=source.base_url,
                budget=budget_status(purse, stored["updated_at"], now) if purse and stored else None,
                refused=owners[source.name].why or None,
            )
        )
        for name, configured in source.streams.items():
            settings = configured
            table, pair, stream_of = tables[source.type, name], (source.name, name), kind.stream(name)
            rows[pair] = counted.get((table, source.name), counted.get((table, "")))
            names = [table, *(f"{child.table.schema}.{child.table.name}" for child in stream_of.table.children)]
            planned = (next_runs or {}).get(pair)
            if settings.auto:
                settings = replace(settings, every_s=intervals.get(pair, settings.every_s))
            told = facts.stream(
                pair, settings, names, rows[pair], planned, (next_sweeps or {}).get(pair), zone, now,
                by_listing=is_listed(stream_of),
            )  # fmt: skip
            streams.append(told)
        if place % SOURCES_AT_ONCE == 0:
            await asyncio.sleep(0)
    if counts_rows and not is_part and len(streams) <= STREAMS_MOST:

        async def read() -> Mapping[str, Forecast]:
            alive = {pair: held.alive for pair, held in rows.items() if held}
            return {one.source: one for one in await read_forecasts(database, config, registry, now=now, rows=alive)}

        ahead = await (forecasts.get(read) if forecasts else read())
        sources = [msgspec.structs.replace(one, forecast=ahead.get(one.source)) for one in sources]
    summary: dict[str, int] = dict.fromkeys(State.__args__, 0)  # type: ignore[attr-defined]  # a Literal's own
    for stream in streams:
        summary[stream.state] += 1
    return Status(
        at=now, version=__version__, database=database.shown, summary=summary, sources=sources, streams=streams,
        backfills=facts.backfills(rows, purses, now), orphans=orphans_of(owners.values()),
        notices=[*notices, *_left_out(config, now)],
    )  # fmt: skip


def _left_out(config: Config, now: datetime) -> list[Notice]:
    """Return a notice for each source whose type cannot be used."""
    return [
        Notice(at=now, what="plugin_refused", text=f"source {name} is left out: {why}", hint="See: syncd check")
        for name, why in config.left_out.items()
    ]


def is_listed(stream: Stream) -> bool:
    """Say whether a run with --full asks for all that a stream holds; else only a backfill does."""
    return stream.sweep_s is not None or not stream.backfills or bool(stream.lookup)


def _table(registry: Mapping[str, Source], source_type: str, stream: str) -> str:
    table = registry[source_type].stream(stream).table
    return f"{table.schema}.{table.name}"


async def histories(database: Database, pairs: Sequence[Pair]) -> dict[Pair, schedule.History]:
    """Return what a scheduler that starts must know of earlier runs. Failures of live runs are forgiven."""
    found = {}
    async with database.connection() as conn:
        for some in batches(pairs):
            same = {pair: pair for pair in some}  # the texts of the rows would be kept a second time, for every stream
            for row in await conn.fetch(HISTORY, *columns(some)):
                found[same[row["source"], row["stream"]]] = _history(row)
    return found


def _history(row: asyncpg.Record) -> schedule.History:
    failed = row["tried_outcome"] not in (None, "ok")
    return schedule.History(
        ok_at=row["ok_at"],
        idle=1 if row["ok_at"] and not row["requests"] else 0,
        swept_at=row["swept_at"],
        sweep_failures=1 if failed else 0,
        sweep_tried_at=row["tried_at"] if failed else None,
        sweep_error_kind=row["tried_error_kind"] if failed else None,
    )


class StatusReader:
    """Collects the status for all who ask in one process: one at a time, and nothing more often than it is worth."""

    def __init__(
        self,
        registry: Mapping[str, Source],
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        clock: Callable[[], datetime],
        next_runs: Callable[[], Mapping[Pair, datetime]] = dict,
        next_sweeps: Callable[[], Mapping[Pair, datetime]] = dict,
        notices: Callable[[], Sequence[Notice]] = list,
    ) -> None:
        self.database = database
        self.config = config
        self.clock = clock
        self._registry = registry
        self._next_runs = next_runs
        self._next_sweeps = next_sweeps
        self._known: Status | None = None
        self._notices = notices
        self.clear()

    def clear(self) -> None:
        """Drop all that is cached, because the configuration changed."""
        self._status: Cache[Status] = Cache(STATUS_KEPT_S, self.clock)
        self._counts: Cache[Counted] = Cache(COUNTS_KEPT_S, self.clock, rest=COUNTS_REST)
        self._line: Cache[str] = Cache(LINE_KEPT_S, self.clock, rest=LINE_REST)
        self._paces: Cache[Mapping[Pair, float]] = Cache(PACES_KEPT_S, self.clock)
        self._forecasts: Cache[Mapping[str, Forecast]] = Cache(FORECASTS_KEPT_S, self.clock)
        self._lookout = Lookout(self._registry)
        self._looking: asyncio.Future[Looked] | None = None
        self._idle = Idle(self._registry)
        self._overview: Cache[Status] = Cache(STATUS_KEPT_S, self.clock)
        self._late: tuple[Status, Collection[Pair]] | None = None
        self._large: tuple[Config, bool] | None = None
        self._extras: Cache[Extras] = Cache(EXTRAS_KEPT_S, self.clock)
        self._first_run: Cache[datetime | None] = Cache(DAY_KEPT_S, self.clock)
        self._day: dict[str, Cache[Day]] = {}
        self._days: dict[tuple[Span, tuple[Pair, ...]], Cache[dict[Pair, StreamDay]]] = {}

    def clear_status(self) -> None:
        """Drop what is cached of how the streams stand, because somebody changed it."""
        self._status = Cache(STATUS_KEPT_S, self.clock)
        self._overview = Cache(STATUS_KEPT_S, self.clock)

    async def status(self) -> Status:
        """Return the status, about STATUS_KEPT_S old at most. Raises DatabaseError."""

        async def make() -> Status:
            return await collect(
                self.database(), self.config(), self._registry, now=self.clock(), counts=self._counts,
                next_runs=self._next_runs(), next_sweeps=self._next_sweeps(), notices=self._notices(),
                paces=self._paces, forecasts=self._forecasts,
            )  # fmt: skip

        self._known = await self._status.get(make)
        return self._known

    @property
    def is_large(self) -> bool:
        """Whether there are so many streams that a list reads only what it shows."""
        config = self.config()
        if self._large is None or self._large[0] is not config:
            self._large = config, is_large(config)
        return self._large[1]

    async def overview(self) -> Status:
        """Return how every stream stands: the whole status or, of very many streams, what a list needs of it.

        Raises DatabaseError.
        """
        if not self.is_large:
            return await self.status()

        async def make() -> Status:
            config, database, looked = self.config(), self.database(), await self.look()
            found = overview(looked, self._idle.streams(config, self.clock()), await orphans(database, config))
            self._late = found, looked.late
            if pairs := await backfilling(database):
                found.backfills.extend((await self.details(pairs)).backfills)
            return found

        self._known = await self._overview.get(make)
        return self._known

    async def details(self, pairs: Collection[Pair]) -> Status:
        """Return the status of some streams at least: of very many streams only theirs. Raises DatabaseError."""
        if not self.is_large:
            return await self.status()
        config = narrowed(self.config(), frozenset(source for source, _ in pairs))
        found = await collect(
            self.database(), config, self._registry, now=self.clock(), next_runs=self._next_runs(),
            next_sweeps=self._next_sweeps(), is_part=True,
        )  # fmt: skip
        return found.narrowed(pairs)

    @property
    def known(self) -> Status | None:
        """The status that was told last, however old: what there is to tell while the database is away."""
        return self._known

    async def line(self) -> str:
        """Return the status in one line, some time old; counts no rows for it. Raises DatabaseError."""

        async def make() -> str:
            return (await self.look()).status.line

        async with self.database().connection() as conn:
            await conn.execute("SELECT 1")
        return await self._line.get(make)

    async def brief(self) -> Status:
        """Return the status of now without counts of rows, which cost the most. Raises DatabaseError."""
        return await collect(
            self.database(), self.config(), self._registry, now=self.clock(), counts_rows=False,
            notices=self._notices(), paces=self._paces,
        )  # fmt: skip

    async def look(self) -> Looked:
        """Return how what is on stands now; it costs what has changed since the last look. Raises DatabaseError.

        The first look of 200,000 streams takes longer than most who ask will wait. It goes on without them.
        """
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    async def _look(self) -> Looked:
        config, now = self.config(), self.clock()
        notices = [*self._notices(), *_left_out(config, now)]
        return await self._lookout.look(config, self.database(), now, notices)

    def _looked(self, looking: "asyncio.Future[Looked]") -> None:
        if self._looking is looking:
            self._looking = None
        if not looking.cancelled():
            looking.exception()  # heard: whoever asked may have left

    async def runs(self, pair: Pair, limit: int = 50, *, sweeps: bool = False) -> list[RunStatus]:
        """Return the newest sweeps of one stream, or its newest other runs, newest first. Raises DatabaseError."""
        async with self.database().connection() as conn:
            return [run_of(row) for row in await conn.fetch(STREAM_RUNS, *pair, sweeps, limit)]

    async def causes(self, status: Status) -> list[Cause]:
        """Return what needs a look in a status, and what happened lately. Raises DatabaseError."""

        async def make() -> Extras:
            return await read_extras(self.database(), now=self.clock())

        extras = await self._extras.get(make)
        is_looked = self._late is not None and self._late[0] is status
        known = self._late[1] if self._late and is_looked else late(status, self.config())
        return causes_of(status, replace(extras, late=known))

    async def span(self, name: str) -> Span:
        """Return the span of that name; of another name the one that fits the age of the mirror."""
        first_run_at = None if name in SPANS else await self.first_run_at()
        return span_of(name, first_run_at, self.clock())

    async def first_run_at(self) -> datetime | None:
        """Return when the oldest run began that is known. Raises DatabaseError."""

        async def make() -> datetime | None:
            return await read_first_run(self.database())

        return await self._first_run.get(make)

    async def day(self, span: Span = DAY) -> Day:
        """Return what all streams did in a span. Raises DatabaseError."""

        async def make() -> Day:
            return await read_day(self.database(), now=self.clock(), span=span)

        return await self._day.setdefault(span.name, Cache(DAY_KEPT_S, self.clock)).get(make)

    async def stream_days(self, pairs: Sequence[Pair], span: Span = DAY) -> dict[Pair, StreamDay]:
        """Return what some streams did in a span, and how fresh they were; none that is not configured.

        Raises DatabaseError.
        """

        async def make() -> dict[Pair, StreamDay]:
            known = {
                (source.name, name): settings
                for source in self.config().sources.values()
                for name, settings in source.streams.items()
            }
            asked = {pair: known[pair] for pair in pairs if pair in known}  # the configuration may have just changed
            return await read_stream_days(self.database(), asked, now=self.clock(), span=span)

        key = span, tuple(pairs)
        kept = self._days.pop(key, None) or Cache(DAY_KEPT_S, self.clock)
        self._days[key] = kept  # the one asked for last is the last to go
        while len(self._days) > DAYS_KEPT:
            del self._days[next(iter(self._days))]
        return await kept.get(make)

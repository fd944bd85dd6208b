"""Collects the status for all who ask in one process."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from syncd.config import Config
from syncd.contract import Source
from syncd.status.cache import Cache
from syncd.status.causes import Cause, Extras, causes_of
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
from syncd.status.facts import STREAM_RUNS, run_of
from syncd.status.forecast import Forecast
from syncd.status.happened import read_extras
from syncd.status.lookout import Looked, Lookout
from syncd.status.measures import Beside, Measures, measure
from syncd.status.model import Notice, Pair, RunStatus, Status
from syncd.status.overview import Idle, Overview, backfilling, is_large, narrowed, orphans, overview
from syncd.status.owners import Counted
from syncd.status.verdict import late
from syncd.status.whole import collect, count_mirror, left_out
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
FORECASTS_KEPT_S: Final = 300.0
"""A forecast reads what a week of runs has cost."""
PACES_KEPT_S: Final = 30.0
"""Intervals of auto streams are read again after this: a day of runs is read for it."""
DAYS_KEPT: Final = 16
"""Sets of streams whose last 24 hours are kept: as many pages that differ may be watched at no further cost."""


Plans = Callable[[Collection[Pair] | None], Mapping[Pair, datetime]]
"""Gives the plans of a scheduler for some streams (None: for all)."""


def _causes(status: Status, extras: Extras, config: Config) -> list[Cause]:
    """Return the causes, in a thread of its own: where a vendor is away, 50,000 accounts need a look."""
    return causes_of(status, replace(extras, late=late(status, config)))


class StatusReader:
    """Collects the status for all who ask in one process: one at a time, and nothing more often than it is worth."""

    def __init__(
        self,
        registry: Mapping[str, Source],
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        clock: Callable[[], datetime],
        next_runs: Plans = lambda _pairs: {},
        next_sweeps: Plans = lambda _pairs: {},
        notices: Callable[[], Sequence[Notice]] = list,
        every_budget: bool = True,
    ) -> None:
        """Read for one process; a look is at every budget, or only at those of which little is left."""
        self.database = database
        self.config = config
        self.clock = clock
        self._registry = registry
        self._next_runs = next_runs
        self._next_sweeps = next_sweeps
        self._known: Callable[[], Status] | None = None
        self._notices = notices
        self._every_budget = every_budget
        self.clear()

    def clear(self) -> None:
        """Drop all that is cached, because the configuration changed."""
        self._status: Cache[Status] = Cache(STATUS_KEPT_S, self.clock)
        self._counts: Cache[Counted] = Cache(COUNTS_KEPT_S, self.clock, rest=COUNTS_REST)
        self._line: Cache[str] = Cache(LINE_KEPT_S, self.clock, rest=LINE_REST)
        self._paces: Cache[Mapping[Pair, float]] = Cache(PACES_KEPT_S, self.clock)
        self._forecasts: Cache[Mapping[str, Forecast]] = Cache(FORECASTS_KEPT_S, self.clock)
        self._lookout = Lookout(self._registry, every_budget=self._every_budget)
        self._looking: asyncio.Future[Looked] | None = None
        self._idle: Idle | None = None
        self._overview: Cache[Overview] = Cache(STATUS_KEPT_S, self.clock)
        self._measures: Cache[tuple[Measures, Overview]] = Cache(STATUS_KEPT_S, self.clock)
        self._small: Overview | None = None
        self._large: tuple[Config, bool] | None = None
        self._extras: Cache[Extras] = Cache(EXTRAS_KEPT_S, self.clock)
        self._first_run: Cache[datetime | None] = Cache(DAY_KEPT_S, self.clock)
        self._day: dict[str, Cache[Day]] = {}
        self._days: dict[tuple[Span, tuple[Pair, ...]], Cache[dict[Pair, StreamDay]]] = {}

    def clear_status(self) -> None:
        """Drop what is cached of how the streams stand, because somebody changed it."""
        self._status = Cache(STATUS_KEPT_S, self.clock)
        self._overview = Cache(STATUS_KEPT_S, self.clock)
        self._measures = Cache(STATUS_KEPT_S, self.clock)

    async def status(self) -> Status:
        """Return the status, about STATUS_KEPT_S old at most. Raises DatabaseError."""

        async def make() -> Status:
            return await collect(
                self.database(), self.config(), self._registry, now=self.clock(), counts=self._counts,
                next_runs=self._next_runs(None), next_sweeps=self._next_sweeps(None), notices=self._notices(),
                paces=self._paces, forecasts=self._forecasts,
            )  # fmt: skip

        status = await self._status.get(make)
        self._known = lambda: status
        return status

    @property
    def is_large(self) -> bool:
        """Whether there are so many streams that a list reads only what it shows."""
        config = self.config()
        if self._large is None or self._large[0] is not config:
            self._large = config, is_large(config)
        return self._large[1]

    async def overview(self) -> Overview:
        """Return how every stream stands: the whole status or, of very many streams, what a list needs of it.

        Raises DatabaseError.
        """
        if not self.is_large:
            config, status = self.config(), await self.status()
            if self._small is None or self._small.status is not status:
                self._small = Overview(config, status)
            return self._small

        async def make() -> Overview:
            config, database, looked = self.config(), self.database(), await self.look()
            found = overview(config, looked, self._registry, self._idle_of(config), await orphans(database, config))
            if pairs := await backfilling(database):
                found.status.backfills.extend((await self.details(pairs)).backfills)
            return found

        seen = await self._overview.get(make)
        self._known = lambda: seen.status
        return seen

    async def measures(self) -> Measures:
        """Return how every stream stands in numbers; it costs what has changed since the last look.

        Raises DatabaseError.
        """

        async def make() -> tuple[Measures, Overview]:
            config, database, looked = self.config(), self.database(), await self.look()
            counted = await count_mirror(database, config, self._registry, self._counts)
            seen = overview(config, looked, self._registry, self._idle_of(config), [])
            beside = await Beside.read(database, counted)
            return await measure(seen, beside, self._registry, self._next_runs(None)), seen

        measures, seen = await self._measures.get(make)
        self._known = seen.whole
        return measures

    def _idle_of(self, config: Config) -> Idle:
        if self._idle is None or self._idle.config is not config:
            self._idle = Idle(config)
        return self._idle

    async def details(self, pairs: Collection[Pair]) -> Status:
        """Return the status of some streams at least: of very many streams only theirs. Raises DatabaseError."""
        if not self.is_large:
            return await self.status()
        config = narrowed(self.config(), frozenset(source for source, _ in pairs))
        found = await collect(
            self.database(), config, self._registry, now=self.clock(), next_runs=self._next_runs(pairs),
            next_sweeps=self._next_sweeps(pairs), is_part=True,
        )  # fmt: skip
        return found.narrowed(pairs)

    @property
    def known(self) -> Status | None:
        """The status that was told last, however old: what there is to tell while the database is away."""
        return self._known() if self._known else None

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
        notices = [*self._notices(), *left_out(config, now)]
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
        return await asyncio.to_thread(_causes, status, extras, self.config())

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

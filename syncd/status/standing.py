"""How the streams of a configuration stand: of each that is well a few numbers, of each other one its whole status.

There may be 200,000 streams, and nearly all of them are well. A whole status of each took 125 MB, and ten seconds of
CPU to make. A stream has a place: its number in the order of the configuration.
"""

import math
from array import array
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from syncd.config import Config, SourceConfig, StreamConfig, is_off
from syncd.config.duration import spoken
from syncd.contract import Source
from syncd.engine import schedule
from syncd.status.model import Pair, StreamStatus
from syncd.status.words import cursor_words, schedule_words

NONE: Final = math.nan
"""Stands for an instant that there is none of, in an array of epoch seconds."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Standing:
    """Where each stream of one configuration stands; instants are epoch seconds, NONE where there is none.

    sources, streams  the names, by place
    ok_at             when the last good live run of a stream that is well started; of any other stream NONE
    next_at           when a stream that is well runs next, if the service runs without pause
    swept_at          when the last good sweep of a stream that is well started
    late_at           from when on a stream is late that ran well before, whether or not it is well
    told              the status of each stream that is on and not known to be well
    """

    def __init__(self, config: Config, registry: Mapping[str, Source]) -> None:
        self._config, self._registry = config, registry
        self.sources: list[str] = []
        self.streams: list[str] = []
        self._first: dict[str, int] = {}
        self._offsets: dict[int, dict[str, int]] = {}
        for source in config.sources.values():
            self._first[source.name] = len(self.sources)
            self.sources += [source.name] * len(source.streams)
            self.streams += source.streams
            if id(source.streams) not in self._offsets:  # accounts that configure their streams alike share them
                self._offsets[id(source.streams)] = {name: place for place, name in enumerate(source.streams)}
        self.ok_at, self.next_at, self.swept_at, self.late_at = (
            array("d", [NONE]) * len(self.sources) for _ in range(4)
        )
        self.well = 0
        """How many streams are well."""
        self.told: dict[Pair, StreamStatus] = {}
        self._rhythms: dict[int, tuple[float, float] | None] = {}

    def __contains__(self, pair: Pair) -> bool:
        source = self._config.sources.get(pair[0])
        return source is not None and (settings := source.streams.get(pair[1])) is not None and not is_off(settings)

    def place(self, pair: Pair) -> int:
        """Return the place of a configured stream."""
        source = self._config.sources[pair[0]]
        return self._first[source.name] + self._offsets[id(source.streams)][pair[1]]

    def on(self, first: int, end: int) -> list[Pair]:
        """Return the streams that are on, of these places."""
        pairs = zip(self.sources[first:end], self.streams[first:end], strict=True)
        return [pair for pair in pairs if not is_off(self.settings(pair))]

    def of_sources(self, names: Collection[str]) -> set[Pair]:
        """Return the streams of these sources that are on."""
        found = (source for name in names if (source := self._config.sources.get(name)))
        return {(each.name, name) for each in found for name, settings in each.streams.items() if not is_off(settings)}

    def settings(self, pair: Pair) -> StreamConfig:
        """Return the settings of a configured stream."""
        return self._config.sources[pair[0]].streams[pair[1]]

    def is_well(self, pair: Pair) -> bool:
        """Say whether a stream is known to be well, though it may be late."""
        return not math.isnan(self.ok_at[self.place(pair)])

    def note_well(self, pair: Pair, *, ok_at: float, is_idle: bool, swept_at: float | None, now: float) -> None:
        """Note that the last live run of a stream was good, and so was its last sweep, if it has any."""
        place, settings = self.place(pair), self.settings(pair)
        self.well += math.isnan(self.ok_at[place])
        self.told.pop(pair, None)
        rhythm = None if is_idle else self._rhythm(settings)
        if rhythm is None:
            late_at, next_at = _instants(settings, min(ok_at, now), ok_at, is_idle=is_idle)
        else:
            next_at, late_at = min(ok_at, now) + rhythm[0], ok_at + rhythm[1]
        self.ok_at[place], self.next_at[place], self.late_at[place] = ok_at, next_at, late_at
        self.swept_at[place] = NONE if swept_at is None else swept_at

    def tell(self, told: StreamStatus) -> None:
        """Note the status of a stream that may not be well."""
        pair = told.source, told.stream
        place = self.place(pair)
        self.well -= not math.isnan(self.ok_at[place])
        self.ok_at[place] = self.next_at[place] = self.swept_at[place] = NONE
        self.told[pair] = told
        if told.last_ok_at:
            self.late_at[place] = schedule.late_at(self.settings(pair), told.last_ok_at).timestamp()

    def late(self, now: datetime) -> list[Pair]:
        """Return the streams that are late by their own schedules."""
        at = now.timestamp()
        return [(self.sources[place], self.streams[place]) for place, late in enumerate(self.late_at) if late <= at]

    def next_run_at(self, now: datetime) -> datetime | None:
        """Return the next run of any stream that is well."""
        first = min((at for at in self.next_at if at == at), default=None)
        return max(now, datetime.fromtimestamp(first, UTC)) if first is not None else None

    def instants(self, pair: Pair) -> tuple[float, float, float | None]:
        """Return of a stream that is well when its last good live run started, when it runs next, when it was swept."""
        place = self.place(pair)
        swept_at = self.swept_at[place]
        return self.ok_at[place], self.next_at[place], swept_at if swept_at == swept_at else None

    def stream(self, pair: Pair, now: datetime) -> StreamStatus:
        """Return how a stream that is well stands: without rows, cursor and runs."""
        place, settings, source = self.place(pair), self.settings(pair), self._config.sources[pair[0]]
        ok_at = datetime.fromtimestamp(self.ok_at[place], UTC)
        next_run_at = max(now, datetime.fromtimestamp(self.next_at[place], UTC))
        swept = self.swept_at[place]
        swept_at = None if math.isnan(swept) else datetime.fromtimestamp(swept, UTC)
        sweep_at = schedule.sweep_at(settings.sweep_s, schedule.History(swept_at=swept_at))
        age_s = max(0.0, (now - ok_at).total_seconds())
        is_late = self.late_at[place] <= now.timestamp()
        table = self._registry[source.type].stream(pair[1]).table
        return StreamStatus(
            source=pair[0], stream=pair[1], state="late" if is_late else "fresh",
            why=f"the last good run started {spoken(age_s)} ago" if is_late else "",
            schedule=schedule_words(settings), table=f"{table.schema}.{table.name}", cursor=None,
            cursor_words=cursor_words(None, zone_of(source, self._registry)), rows=None, last_run=None, running=None,
            last_sweep=None, last_ok_at=ok_at, freshness_s=age_s, next_run_at=next_run_at, rejects=0, drift_count=0,
            drift=[], swept_at=swept_at, next_sweep_at=max(sweep_at, next_run_at) if sweep_at else None,
        )  # fmt: skip

    def each_well(self) -> Iterator[tuple[Pair, float, float]]:
        """Yield each stream that is well, and when its last good live run and sweep started."""
        for *pair, ok_at, swept_at in zip(self.sources, self.streams, self.ok_at, self.swept_at, strict=True):
            if ok_at == ok_at:
                yield (pair[0], pair[1]), ok_at, swept_at

    def older_than(self, instant: float) -> Iterator[Pair]:
        """Yield the streams that are well, and whose last good live run started before an instant."""
        for place, ok_at in enumerate(self.ok_at):
            if ok_at < instant:
                yield self.sources[place], self.streams[place]

    def _rhythm(self, settings: StreamConfig) -> tuple[float, float] | None:
        """Return after how many seconds a stream is due and late, the same at all times; None: its clock is a cron."""
        key = id(settings)  # kept by the configuration
        if key not in self._rhythms:
            late_at, next_at = _instants(settings, 0.0, 0.0, is_idle=False)
            self._rhythms[key] = (next_at, late_at) if settings.cron is None else None
        return self._rhythms[key]


def zone_of(source: SourceConfig, registry: Mapping[str, Source]) -> str:
    """Return the zone in which a source's cursors are told."""
    return str(source.options.get("zone", registry[source.type].zone))


def _instants(settings: StreamConfig, started_at: float, ok_at: float, *, is_idle: bool) -> tuple[float, float]:
    """Return when a stream is late and when it runs next whose last run, a good one, started then."""
    started = _EPOCH + timedelta(seconds=started_at)
    known = schedule.History(ok_at=started, idle=1 if is_idle else 0)
    next_at = schedule.again_at(settings, known) or schedule.next_at(settings, started)
    late_at = schedule.late_at(settings, _EPOCH + timedelta(seconds=ok_at))
    return late_at.timestamp(), next_at.timestamp()

"""The streams that are planned: the settings and the earlier runs of each, grouped by source.

Decides nothing about time: `engine/schedule.py` does.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from syncd.config import Config, StreamConfig, is_off
from syncd.engine import schedule
from syncd.engine.order import Result
from syncd.engine.pace import Look, Paces
from syncd.engine.schedule import History
from syncd.service.timetable.histories import Histories
from syncd.status import Pair

UNKNOWN: Final = History()
"""What is known of a stream that never ran."""


class Streams:
    """What is planned now, and the histories of all streams since the start of the process."""

    def __init__(self, histories: Mapping[Pair, History], paces: Mapping[str, Paces]) -> None:
        self._histories = Histories(histories)
        self._paces = dict(paces)
        self._by_source: dict[str, Mapping[str, StreamConfig]] = {}
        self._alike: dict[tuple[int, ...], Mapping[str, StreamConfig]] = {}
        """What sources share that plan the same streams, by the ids of their settings, which it keeps."""

    def __contains__(self, pair: Pair) -> bool:
        return pair[1] in self._by_source.get(pair[0], {})

    def __iter__(self) -> Iterator[Pair]:
        for source, streams in self._by_source.items():
            for stream in streams:
                yield source, stream

    def settings(self, pair: Pair) -> StreamConfig:
        """Return the settings of a planned stream. Raises KeyError for another."""
        return self._by_source[pair[0]][pair[1]]

    def of(self, sources: Collection[str] | None) -> set[Pair]:
        """Return the streams of these sources (None: of all) that are planned."""
        named = self._by_source if sources is None else self._by_source.keys() & set(sources)
        return {(source, stream) for source in named for stream in self._by_source[source]}

    def plan(self, wanted: Mapping[Pair, StreamConfig], anew: Collection[str] | None) -> None:
        """Plan these streams, and no others of the sources in `anew` (None: no others at all)."""
        if anew is None:
            self._by_source, self._alike = {}, {}
        else:
            for source in anew:
                self._by_source.pop(source, None)
            if len(self._alike) > len(self._by_source):  # most are of configurations before
                self._alike = {}
        self._add(wanted)
        for source in {source for source, _ in wanted}:
            streams = self._by_source[source]
            autos = [(name, settings.auto) for name, settings in streams.items() if settings.auto]
            if autos or source in self._paces:
                self._paces.setdefault(source, Paces()).plan(autos)

    def adopt(
        self, wanted: Mapping[Pair, StreamConfig], histories: Mapping[Pair, History], paces: Mapping[str, Paces]
    ) -> None:
        """Plan these streams beside the others, with what is known of their earlier runs."""
        self._histories.add(histories)
        self._paces.update(paces)
        self._add(wanted)

    def _add(self, wanted: Mapping[Pair, StreamConfig]) -> None:
        """Plan these streams of sources of which none is planned."""
        by_source: dict[str, dict[str, StreamConfig]] = {}
        for (source, stream), settings in wanted.items():
            by_source.setdefault(source, {})[stream] = settings
        for source, streams in by_source.items():
            self._by_source[source] = self._alike.setdefault(tuple(map(id, streams.values())), streams)

    def learn(self, histories: Mapping[Pair, History]) -> None:
        """Take what is known of earlier runs of streams of which nothing is known here."""
        for pair, history in histories.items():
            self._histories.setdefault(pair, history)

    def drop(self, sources: Collection[str]) -> list[Pair]:
        """Plan the streams of these sources no longer, and forget their runs; return them."""
        dropped = [(source, stream) for source in sources for stream in self._by_source.pop(source, {})]
        for pair in dropped:
            self._histories.pop(pair, None)
        for source in sources:
            self._paces.pop(source, None)
        return dropped

    def history(self, pair: Pair) -> History:
        """Return what is known of a stream's earlier runs."""
        return self._histories.get(pair, UNKNOWN)

    def answered_last(self) -> set[str]:
        """Return the sources that answered last time."""
        return answered_last(self._histories)

    def note(self, pair: Pair, result: Result, started_at: datetime, now: datetime) -> None:
        """Add the end of a run to a stream's history."""
        self._histories[pair] = noted(self.history(pair), result, started_at, now)
        if result.kind == "live" and result.outcome == "ok" and (paces := self._paces.get(pair[0])):
            counts = result.counts
            found = counts.inserted + counts.updated + counts.deleted
            paces.look(pair[1], Look(at_s=started_at.timestamp(), found=found, requests=result.spent.requests))

    def auto_at(self, pair: Pair, now: datetime) -> datetime | None:
        """Return when an auto stream runs next whose run just ended; None: another stream, which has its rhythm."""
        auto, ok_at = self.settings(pair).auto, self.history(pair).ok_at
        if auto is None or ok_at is None:
            return None
        rest_s = self._paces[pair[0]].interval_s(pair[1], now.timestamp())
        return max(ok_at + timedelta(seconds=rest_s), now + timedelta(seconds=auto.min_s / 2))

    def forgive(self, pair: Pair) -> None:
        """Forget a stream's failures: a change of its source may have mended them."""
        self._histories[pair] = replace(self.history(pair), failures=0, idle=0, sweep_failures=0)

    def probe_at(self, source: str) -> datetime | None:
        """Return from when on a source that is down may be asked again; None: it is not down."""
        streams = self._by_source.get(source, {})
        return schedule.probe_at([(settings, self.history((source, stream))) for stream, settings in streams.items()])

    def is_held(self, pair: Pair, now: datetime) -> bool:
        """Say whether a stream must wait, because its source is down; a clock that was set back prolongs no wait."""
        at = self.probe_at(pair[0])
        return at is not None and now < at <= now + timedelta(seconds=schedule.PROBE_S)

    def is_well(self, pair: Pair) -> bool:
        """Say whether a stream was read whole, its last run went well, and its source is not down."""
        history = self.history(pair)
        return history.ok_at is not None and not history.failures and self.probe_at(pair[0]) is None

    def is_sweep_due(self, pair: Pair, sweep_s: float | None, now: datetime) -> bool:
        """Say whether a sweep should follow the live run that just ended."""
        history = self.history(pair)
        return not history.failures and schedule.is_sweep_due(now, sweep_s, history)

    def sweep_at(self, pair: Pair) -> datetime | None:
        """Return from when on a sweep follows a live run of a planned stream; None: not known, or it has no sweeps."""
        return schedule.sweep_at(self.settings(pair).sweep_s, self.history(pair))


def answered_last(histories: Mapping[Pair, History]) -> set[str]:
    """Return the sources that answered last time: some stream ran well, and none failed since then."""
    answered = {pair[0] for pair, history in histories.items() if history.ok_at}
    silent = {pair[0] for pair, history in histories.items() if history.error_kind in schedule.OUTAGES}
    return answered - silent


def wanted_of(config: Config) -> dict[Pair, StreamConfig]:
    """Return the streams of a configuration that are on."""
    return {
        (source.name, stream.name): stream
        for source in config.sources.values()
        for stream in source.streams.values()
        if is_off(stream) is None
    }


def noted(history: History, result: Result, started_at: datetime, now: datetime) -> History:
    """Add the end of a run to a history; a run that was asked to stop proves nothing."""
    if result.outcome not in ("ok", "failed", "throttled"):
        return history
    is_ok = result.outcome == "ok"
    error_kind = type(result.error).__name__ if result.error else None
    if result.kind == "sweep":
        if is_ok:
            return replace(history, swept_at=started_at, sweep_failures=0, sweep_error_kind=None)
        failures = history.sweep_failures + 1
        return replace(history, sweep_failures=failures, sweep_tried_at=now, sweep_error_kind=error_kind)
    if is_ok:
        idle = 0 if result.spent.requests else history.idle + 1
        swept_at = history.swept_at or started_at
        return replace(history, ok_at=started_at, failures=0, error_kind=None, idle=idle, swept_at=swept_at)
    return replace(history, failures=history.failures + 1, failed_at=now, error_kind=error_kind)

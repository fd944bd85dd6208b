"""When each stream that is on runs next. Starts nothing itself, but for calling `tick`.

The instants of the next minutes lie in a heap, and one timer of the event loop wakes at the earliest of them.
APScheduler keeps the house (`service/house.py`): a job of its own for each of 200,000 streams would take it a minute to
make, and one job for all of them, moved with each run, cost a tenth of a run.
"""

import heapq
import random
from asyncio import get_running_loop
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from apscheduler.triggers.base import BaseTrigger

from syncd.clock import Clock
from syncd.config import StreamConfig
from syncd.engine import schedule
from syncd.service.timetable.instants import Instants
from syncd.status import Pair

JOB_RULES: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}
"""A late tick is made up for, once; a job of the same name takes the place of the one before."""
LOOK_S: Final = 60.0
"""Longest sleep: the timer counts by the monotonic clock, and the wall clock may jump ahead meanwhile."""
AHEAD_S: Final = 300.0
"""The heap holds what is due within this, so that it is made anew every four minutes; our choice."""
STALE_MOST: Final = 1_000
"""The heap is made anew when so many of its entries, and half of them, no longer count."""


NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Rhythm(BaseTrigger):  # type: ignore[misc]
    """Says when a job is due again; `following` computes it from the instant before and from now.

    APScheduler's own triggers list every instant that was missed. After a jump of the clock by years that takes minutes
    and gigabytes, and nothing else runs meanwhile.
    """

    def __init__(self, following: Callable[[datetime, datetime], datetime]) -> None:
        self._following = following

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the next instant, always later than now; APScheduler's name for it."""
        return self._following(previous or now, now)


class _Due(NamedTuple):
    """One entry of the heap; it counts only while its stream's next run is at that instant."""

    at: datetime
    pair: Pair


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Call nothing any more."""


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


def by_the_loop(delay_s: float, call: Callable[[], None]) -> Timer:
    """Call a function after so many seconds, from the event loop that runs now."""
    return get_running_loop().call_later(delay_s, call)


class Jobs:
    """The next runs of all streams; `tick` is called with each stream whose time has come, and must not wait."""

    def __init__(
        self,
        tick: Callable[[Pair], None],
        settings: Callable[[Pair], StreamConfig],
        clock: Clock,
        later: Later = by_the_loop,
    ) -> None:
        self._tick, self._settings = tick, settings
        self._clock = clock
        self._later = later
        self._timer: Timer | None = None
        self._next = Instants(1)
        self._heap: list[_Due] = []
        self._heap_until, self._heap_most = NEVER, STALE_MOST
        self._wakes_at: datetime | None = None

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._next

    def add(self, pair: Pair, *, first_at: datetime) -> None:
        """Let a stream run from `first_at` on; its settings give its rhythm."""
        self._set(pair, first_at)
        self._wake()

    def remove(self, pair: Pair) -> None:
        """Take a stream off the timetable; harmless if it is not on it."""
        self._next.remove(pair)

    def move(self, pair: Pair, at: datetime) -> None:
        """Set the next run of a stream, unless it was taken off the timetable meanwhile."""
        if pair in self._next:
            self._set(pair, at)
            self._wake()

    def next_runs(self, pairs: Iterable[Pair]) -> dict[Pair, datetime]:
        """Return when each of these streams runs next."""
        return {pair: at for pair in pairs if (at := self._at(pair))}

    def run_due(self) -> None:
        """Tick every stream whose time has come, and set its next run; then sleep until the next one's."""
        now, due = self._clock(), []
        self._look_ahead(now)
        while self._heap and self._heap[0].at <= now:
            at, pair = heapq.heappop(self._heap)
            if self._at(pair) == at:
                self._set(pair, self._following(self._settings(pair), at, now))
                due.append(pair)
        for pair in due:
            self._tick(pair)
        self.close()
        self._wake()

    def close(self) -> None:
        """Wake no more, unless a stream is added or moved."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._wakes_at = None

    @staticmethod
    def _following(settings: StreamConfig, previous: datetime, now: datetime) -> datetime:
        """Return when a stream is due after now, put off at random so that streams do not tick together."""
        settings = schedule.slowest(settings)  # a run that ends well sets an earlier one
        jitter_s = schedule.jitter_s(schedule.interval_s(settings, now))
        late_s = random.uniform(0.0, jitter_s)  # noqa: S311  (spreads work, guards nothing)
        return schedule.following(settings, previous, now) + timedelta(seconds=late_s)

    def _at(self, pair: Pair) -> datetime | None:
        found = self._next.get(pair)
        return found[0] if found else None

    def _set(self, pair: Pair, at: datetime) -> None:
        self._next.put(pair, at)
        if at < self._heap_until:
            heapq.heappush(self._heap, _Due(at, pair))
            if len(self._heap) > self._heap_most:
                self._make_heap(self._heap_until)

    def _look_ahead(self, now: datetime) -> None:
        """Let the heap hold what is due until the next look, and not much more, also after the clock was set."""
        if not LOOK_S <= (self._heap_until - now).total_seconds() <= AHEAD_S:
            self._make_heap(now + timedelta(seconds=AHEAD_S))

    def _make_heap(self, until: datetime) -> None:
        self._heap = [_Due(at, pair) for at, pair in self._next.before(until)]
        heapq.heapify(self._heap)
        self._heap_until, self._heap_most = until, 2 * len(self._heap) + STALE_MOST

    def _wake(self) -> None:
        """Set the timer to the earliest instant, unless it rings before that."""
        now = self._clock()
        self._look_ahead(now)
        look_at = now + timedelta(seconds=LOOK_S)
        at = min(self._heap[0].at, look_at) if self._heap else look_at
        if not self._next or (self._wakes_at is not None and self._wakes_at <= at):
            return
        self.close()
        self._wakes_at = at
        self._timer = self._later(max(0.0, (at - now).total_seconds()), self._ring)

    def _ring(self) -> None:
        """Run what is due; the timetable goes on, whatever that raises (the event loop tells it)."""
        self.close()
        try:
            self.run_due()
        finally:
            self._wake()

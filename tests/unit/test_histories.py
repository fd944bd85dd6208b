"""What the timetable remembers of 67,000 streams: as a dict would, in a sixth of its memory; and what is due of it."""

import gc
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from syncd.config import StreamConfig
from syncd.engine.schedule import History
from syncd.service.timetable.histories import Histories
from syncd.service.timetable.instants import Instants
from syncd.service.timetable.jobs import AHEAD_S, LOOK_S, Jobs, Timer
from syncd.status import Pair

NOW = datetime(2026, 11, 28, 12, 0, 0, 123_457, tzinfo=UTC)
PAIRS = [(source, stream) for source in ("shop", "lease", "cars") for stream in ("orders", "stock", "dealers")]
MOST_BYTES = 100
"""Of a stream that ran well, its next run included; an object of its own took 500."""


def history(chance: random.Random) -> History:
    """Return a history; most are of streams that ran well."""
    at = NOW - timedelta(microseconds=chance.randrange(10**13))
    swept_at = chance.choice([None, at, datetime.max.replace(tzinfo=UTC)])
    if chance.random() < 0.3:
        return History(ok_at=None, swept_at=swept_at, failures=chance.randrange(3), error_kind="Unreachable")
    return History(ok_at=at, swept_at=swept_at)


@pytest.mark.parametrize("seed", range(20))
def test_histories_are_remembered_as_in_a_dict(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (makes cases, guards nothing)
    expected: dict[Pair, History] = {}
    found = Histories()
    for _ in range(100):
        pair, some = chance.choice(PAIRS), chance.sample(PAIRS, 4)
        match chance.randrange(4):
            case 0:
                found[pair] = expected[pair] = history(chance)
            case 1:
                assert (found.pop(pair, None)) == expected.pop(pair, None)
            case 2:
                known = {each: history(chance) for each in some}
                found.add(known)
                expected.update(known)
            case _:
                assert found.get(pair) == expected.get(pair)
        assert dict(found) == expected
        assert len(found) == len(expected)
    assert expected


def test_a_stream_that_ran_well_takes_little_memory() -> None:
    names = [f"account{number:05}" for number in range(200)]
    gc.collect()
    tracemalloc.start()
    try:
        histories, due = Histories(), Instants(1)
        for number, name in enumerate(names):
            at = NOW + timedelta(seconds=number)
            histories.add({(name, stream): History(ok_at=at, swept_at=at) for stream in ("a", "b", "c", "d")})
            for stream in ("a", "b", "c", "d"):
                due.put((name, stream), at)
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / len(names) / 4
    finally:
        tracemalloc.stop()
    assert each < MOST_BYTES
    assert histories["account00007", "c"] == History(
        ok_at=NOW + timedelta(seconds=7), swept_at=NOW + timedelta(seconds=7)
    )
    assert due.get(("account00009", "d")) == (NOW + timedelta(seconds=9),)


# --- The next runs ----------------------------------------------------------------------------------------------------


class Hand:
    """A clock and the timer that rings by it."""

    def __init__(self, every_s: float) -> None:
        self.now = NOW
        self.rings_at = datetime.max.replace(tzinfo=UTC)
        self.ring: Callable[[], None] = lambda: None
        self.ticked: list[tuple[float, str]] = []
        settings = StreamConfig(name="orders", every_s=every_s)
        self.jobs = Jobs(self._tick, lambda _pair: settings, lambda: self.now, self._later)

    def _tick(self, pair: Pair) -> None:
        self.ticked.append(((self.now - NOW).total_seconds(), pair[0]))

    def _later(self, delay_s: float, ring: Callable[[], None]) -> Timer:
        self.rings_at, self.ring = self.now + timedelta(seconds=delay_s), ring
        return self

    def cancel(self) -> None:
        self.rings_at = datetime.max.replace(tzinfo=UTC)

    def add(self, source: str, in_s: float) -> None:
        self.jobs.add((source, "orders"), first_at=self.now + timedelta(seconds=in_s))

    def pass_time(self, seconds: float) -> None:
        """Ring whenever the timer does, until so many seconds later."""
        end = self.now + timedelta(seconds=seconds)
        while self.rings_at <= end:
            assert (self.rings_at - self.now).total_seconds() <= LOOK_S
            self.now = max(self.now, self.rings_at)
            self.ring()
        self.now = end


def test_each_stream_ticks_when_it_is_due_however_far_ahead() -> None:
    hand = Hand(86_400.0)
    due = {"a": 0.0, "b": 5.0, "c": LOOK_S + 1, "d": AHEAD_S - 1, "e": AHEAD_S + 1, "f": 3 * AHEAD_S, "g": 50_000.5}
    for source in ("g", "a", "f", "c", "e", "b", "d"):
        hand.add(source, due[source])
    hand.pass_time(60_000.0)
    assert hand.ticked == [(at, source) for source, at in due.items()]


def test_a_run_that_is_moved_counts_at_its_new_time_alone() -> None:
    hand = Hand(86_400.0)
    for source in ("sooner", "later", "gone", "soon"):
        hand.add(source, 1_000.0)
    hand.jobs.move(("sooner", "orders"), NOW + timedelta(seconds=2))
    hand.pass_time(900.0)
    hand.jobs.move(("later", "orders"), NOW + timedelta(seconds=2_000))
    hand.jobs.move(("soon", "orders"), NOW + timedelta(seconds=950))
    hand.jobs.remove(("gone", "orders"))
    hand.jobs.move(("gone", "orders"), NOW + timedelta(seconds=960))
    hand.pass_time(5_000.0)
    assert hand.ticked == [(2.0, "sooner"), (950.0, "soon"), (2_000.0, "later")]


def test_what_is_moved_again_and_again_is_forgotten() -> None:
    hand = Hand(86_400.0)
    hand.add("a", 100.0)
    for number in range(5_000):
        hand.jobs.move(("a", "orders"), NOW + timedelta(seconds=100 + number % 7))
    assert len(hand.jobs._heap) < 2_000
    hand.pass_time(200.0)
    assert hand.ticked == [(100.0 + 4_999 % 7, "a")]


def test_a_clock_that_jumps_ahead_by_years_costs_one_tick_of_each_stream() -> None:
    hand = Hand(300.0)
    for number in range(5):
        hand.add(str(number), 400.0 * number)
    hand.now += timedelta(days=1_000)
    hand.ring()
    assert Counter(source for _, source in hand.ticked) == {str(number): 1 for number in range(5)}
    hand.ticked.clear()
    hand.pass_time(400.0)
    assert Counter(source for _, source in hand.ticked) == {str(number): 1 for number in range(5)}


def test_a_clock_that_was_set_back_loses_no_run_that_is_moved_with_it() -> None:
    hand = Hand(86_400.0)
    hand.add("a", 100.0)
    hand.add("b", 10_000.0)
    hand.now -= timedelta(days=3)
    for source, in_s in ("a", 100.0), ("b", 10_000.0):
        hand.jobs.move((source, "orders"), hand.now + timedelta(seconds=in_s))
    hand.pass_time(20_000.0)
    back = -3 * 86_400.0
    assert hand.ticked == [(back + 100.0, "a"), (back + 10_000.0, "b")]

"""Budgets through days that are simulated against a server that enforces them.

Two processes share one stored state (as JSON, as Postgres holds it), with up to eight requests in flight, 20 to 400 ms
on the wire each way, and a virtual clock. `pytest -s -k simulated` prints its figures.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from syncd.contract import Lane
from syncd.upstream import budget
from syncd.upstream.budget import (
    EMPTY,
    Policy,
    Wait,
    acquire,
    decode,
    encode,
    observe,
    read_headers,
)
from tests.support.budgets import (
    DAY_S,
    MIDNIGHT,
    NOON,
    http_date,
    seen,
)
from tests.support.search import trial


@dataclass(kw_only=True)
class Server:
    """Enforces a true moving minute and a day, and says so in headers unless told to lie or to be silent."""

    per_minute: int = 360
    per_day: int = 1_000_000
    silent: bool = False
    lie: int | None = None
    reset_at: float = MIDNIGHT + DAY_S
    arrivals: deque[float] = field(default_factory=deque)
    day_used: int = 0
    refused: int = 0

    def spend(self, now: float) -> bool:
        while now >= self.reset_at:
            self.reset_at, self.day_used = self.reset_at + DAY_S, 0
        while self.arrivals and self.arrivals[0] <= now - 60:
            self.arrivals.popleft()
        if len(self.arrivals) >= self.per_minute or self.day_used >= self.per_day:
            return False
        self.arrivals.append(now)
        self.day_used += 1
        return True

    def answer(self, now: float) -> tuple[int, dict[str, str]]:
        granted = self.spend(now)
        self.refused += not granted
        limit = self.lie or self.per_minute
        said = {
            "Minutely-Limit": limit,
            "Minutely-Remaining": max(0, limit - len(self.arrivals)),
            "Daily-Limit": self.per_day,
            "Daily-Remaining": max(0, self.per_day - self.day_used),
            "Daily-Reset": int(self.reset_at),
        }
        headers = {} if self.silent else {f"X-RateLimit-{name}": str(value) for name, value in said.items()}
        return (200 if granted else 429), headers | {"Date": http_date(now)}


class World:
    """Two processes with four backfill requests in flight each, and live ticks, on one stored state."""

    def __init__(self, server: Server, policy: Policy, *, tick_s: float = 300, tick_requests: int = 1) -> None:
        self.server, self.policy, self.now = server, policy, MIDNIGHT
        self.stored = encode(EMPTY)
        self.dice = random.Random(7)  # noqa: S311
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.events_made = 0
        self.sent: dict[Lane, list[float]] = {"live": [], "backfill": []}
        self.delays: list[float] = []
        self.flying, self.lives = [0, 0], [0, 0]
        for process in (0, 1):
            self.at(MIDNIGHT, partial(self.backfill, process, 0))
        self.tick(MIDNIGHT + 7.3, tick_s, tick_requests)

    def at(self, when: float, do: Callable[[], None]) -> None:
        self.events_made += 1
        heapq.heappush(self.events, (when, self.events_made, do))

    def run(self, seconds: float) -> "World":
        until = self.now + seconds
        while self.events and self.events[0][0] <= until:
            self.now, _, do = heapq.heappop(self.events)
            do()
        self.now = until
        return self

    def acquire(self, lane: Lane) -> Wait | None:
        state = decode(self.stored)
        settled, wait = acquire(state, self.policy, self.now, lane)
        if settled is not state:
            self.stored = encode(settled)
        return wait

    def wake_at(self, wait: Wait) -> float:
        return min(wait.until, self.now + budget.RECHECK_S) + self.dice.uniform(0.001, 0.02)

    def send(self, lane: Lane, answered: Callable[[], None]) -> None:
        sent_at = self.now
        self.sent[lane].append(sent_at)

        def arrive() -> None:
            status, headers = self.server.answer(self.now)

            def respond() -> None:
                answered()
                said = read_headers(headers, status, sent_at=sent_at, received_at=self.now)
                state = observe(decode(self.stored), self.policy, said, self.now)
                self.stored = encode(state)

            self.at(self.now + self.dice.uniform(0.02, 0.4), respond)

        self.at(self.now + self.dice.uniform(0.02, 0.4), arrive)

    def backfill(self, process: int, life: int) -> None:
        if life != self.lives[process]:
            return  # killed
        again_at = self.now + 0.02
        if self.flying[process] < 4:
            wait = self.acquire("backfill")
            if wait is None:
                self.flying[process] += 1
                self.send("backfill", lambda: self.land(process, life))
            else:
                again_at = self.wake_at(wait)
        self.at(again_at, lambda: self.backfill(process, life))

    def land(self, process: int, life: int) -> None:
        self.flying[process] -= life == self.lives[process]

    def kill(self, process: int) -> None:
        self.lives[process] += 1
        self.flying[process] = 0
        self.at(self.now + 2, partial(self.backfill, process, self.lives[process]))

    def tick(self, due: float, tick_s: float, requests: int) -> None:
        for i in range(requests):
            self.at(due + i * 0.1, partial(self.live, due + i * 0.1))
        self.at(due + tick_s, partial(self.tick, due + tick_s, tick_s, requests))

    def live(self, due: float) -> None:
        wait = self.acquire("live")
        if wait is None:
            self.delays.append(self.now - due)
            self.send("live", lambda: None)
        else:
            self.at(self.wake_at(wait), lambda: self.live(due))

    def spend_elsewhere(self) -> None:
        self.server.spend(self.now)

    def report(self, name: str, used: float) -> float:
        """Print the figures and return the p99 delay of live requests in seconds."""
        p99 = sorted(self.delays)[int(len(self.delays) * 0.99)]
        sent = {lane: len(times) for lane, times in self.sent.items()}
        print(f"{name}: used {used:.2%}, 429s {self.server.refused}, live p99 {p99:.2f} s, sent {sent}")  # noqa: T201
        return p99


@trial
def test_simulated_backfill_uses_its_share_of_every_minute() -> None:
    world = World(Server(), Policy()).run(900)
    used = len(world.sent["backfill"]) / (15 * 216)
    assert world.report("60 % of the minute", used) < 2
    assert used >= 0.98
    assert world.server.refused == 0
    late = Counter(int(then // 5) for then in world.sent["backfill"] if MIDNIGHT + 65 <= then < MIDNIGHT + 895)
    assert max(late.values()) <= 1.25 * 18  # paced, not stopped and rushed
    assert min(late.values()) >= 0.75 * 18


@trial
def test_simulated_backfill_uses_its_share_of_every_day() -> None:
    world = World(Server(per_day=2000), Policy()).run(2 * DAY_S)
    used = len(world.sent["backfill"]) / (2 * 1600)
    assert world.report("80 % of two days", used) < 2
    assert used >= 0.98
    assert world.server.refused == 0
    assert len(world.delays) == 2 * 288


@trial
def test_simulated_backfill_without_headers_keeps_to_the_config() -> None:
    policy = Policy(per_minute=300, per_day=2000, day_zone="UTC")
    world = World(Server(silent=True, per_minute=300, per_day=2000), policy).run(DAY_S + 1800)
    used = len(world.sent["backfill"]) / (2 * 1600)
    assert world.report("no headers, config only", used) < 2
    assert used >= 0.98
    assert world.server.refused == 0


@trial
def test_simulated_backfill_makes_room_for_live_work_beyond_its_forty_percent() -> None:
    world = World(Server(), Policy(), tick_s=20, tick_requests=60).run(120)
    world.delays.clear()  # the first minute's backfill knew nothing of so much live work
    world.run(480)
    assert world.report("live takes 180 a minute in bursts", len(world.sent["backfill"]) / (10 * 180)) < 2
    assert len(world.sent["backfill"]) >= 10 * 100
    assert world.server.refused == 0


@trial
def test_simulated_other_spender_is_left_his_part() -> None:
    server = Server()
    world = World(server, Policy(), tick_requests=5)
    for i in range(2 * 720):
        world.at(MIDNIGHT + i / 2 + world.dice.uniform(0, 0.5), world.spend_elsewhere)
    world.run(720)
    used = len(world.sent["backfill"]) / (12 * 0.6 * 240)
    assert world.report("another spends 120 a minute", used) < 2
    assert used >= 0.95
    assert server.refused == 0


@trial
def test_simulated_other_spender_in_bursts_costs_no_more_than_what_was_in_flight() -> None:
    server = Server()
    world = World(server, Policy())
    for burst in range(6):
        for _ in range(250):
            world.at(MIDNIGHT + 100 + burst * 180, world.spend_elsewhere)
    world.run(1200)
    world.report("another spends 250 at once, 6 times", len(world.sent["backfill"]) / (20 * 216))
    assert server.refused <= 6 * 3


def test_simulated_shrinking_limits_cost_no_more_than_what_was_in_flight() -> None:
    server = Server()
    world = World(server, Policy())
    for i, limit in enumerate((200, 100, 300, 50, 360)):
        world.at(MIDNIGHT + 200 * (i + 1), partial(setattr, server, "per_minute", limit))
    world.at(MIDNIGHT + 1100, lambda: setattr(server, "per_day", server.day_used + 100))
    world.run(1300)
    world.report("limits 360, 200, 100, 300, 50, 360; day ends", len(world.sent["backfill"]) / (20 * 216))
    assert server.refused <= 3 * 3


def test_simulated_restarts_spend_nothing_twice() -> None:
    world = World(Server(per_day=2500), Policy())
    for i in range(60):
        world.at(MIDNIGHT + 11.7 * (i + 1), partial(world.kill, i % 2))
    world.run(3600)
    used = len(world.sent["backfill"]) / 2000
    assert world.report("60 restarts, 80 % of a day", used) < 2
    assert used >= 0.98
    assert world.server.refused == 0


@pytest.mark.parametrize("silent", [False, pytest.param(True, marks=trial)])
def test_simulated_429s_long_before_the_limit_teach_the_limit(silent: bool) -> None:
    server = Server(per_minute=60, lie=360, silent=silent)
    world = World(server, Policy()).run(3600)
    used = len(world.sent["backfill"]) / (60 * 36)
    world.report(f"429 at 60 a minute, {'no headers' if silent else 'limit said to be 360'}", used)
    assert server.refused <= 4 * 8  # each quarter of an hour, what is in flight
    assert used >= 0.8


@pytest.mark.parametrize(
    ("per_day", "requests"),
    [(1_000_000, 150), pytest.param(1_000_000, 1500, marks=trial), pytest.param(1000, 2000, marks=trial)],
)
def test_simulated_backfill_takes_what_was_forecast(per_day: int, requests: int) -> None:
    world = World(Server(per_day=per_day), Policy())
    state = observe(EMPTY, Policy(), seen(MIDNIGHT, minute_limit=360, day_limit=per_day), MIDNIGHT)
    told = budget.forecast(state, Policy(), MIDNIGHT, requests, "backfill")
    assert told.quota_days == pytest.approx(requests / (per_day * 0.8))
    while len(world.sent["backfill"]) < requests:
        world.run(20)
    took_s = world.sent["backfill"][requests - 1] - MIDNIGHT
    assert took_s == pytest.approx(told.takes_s, rel=0.02, abs=20)


@pytest.mark.parametrize(
    ("policy", "lane", "takes_s", "quota_days"),
    [
        (Policy(), "backfill", 0, 0),
        (Policy(per_minute=100), "live", 0.615 * 1000, 0),
        (Policy(per_day=500), "live", DAY_S / 2 + budget.DAY_GUARD_S, 2),
        (Policy(per_day=500), "backfill", 1.5 * DAY_S + budget.DAY_GUARD_S, 2.5),
        (Policy(per_day=10, per_minute=1), "live", 99.5 * DAY_S, 100),
    ],
)
def test_forecast_counts_the_stops(policy: Policy, lane: Lane, takes_s: float, quota_days: float) -> None:
    told = budget.forecast(EMPTY, policy, NOON, 1000, lane)
    assert told.takes_s == pytest.approx(takes_s, rel=0.02)
    assert told.quota_days == pytest.approx(quota_days)


@pytest.mark.parametrize(
    ("lane", "left", "expected"),
    [("live", 100, True), ("live", 11, True), ("live", 9, False), ("backfill", 100, True), ("backfill", 15, False)],
)
def test_a_request_that_may_be_in_vain_is_sent_only_with_a_tenth_of_the_minute_left(
    lane: Lane, left: int, expected: bool
) -> None:
    said = seen(MIDNIGHT, minute_limit=100, minute_remaining=left)
    state = budget.observe(budget.EMPTY, Policy(), said, MIDNIGHT)
    assert budget.has_room(state, Policy(), MIDNIGHT + 1, lane) is expected
    assert budget.has_room(state, Policy(), MIDNIGHT + 240, lane)
    closed = budget.observe(state, Policy(), seen(MIDNIGHT, 429, retry_after_s=60.0), MIDNIGHT)
    assert not budget.has_room(closed, Policy(), MIDNIGHT + 1, lane)

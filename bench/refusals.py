"""Refusals in simulated time: what passes at a vendor whose limits are hidden or change, and how much is refused.

Processes share one stored state as `Purse` does: each keeps what it knows, and reads anew where another wrote. The
server is a few windows; 20 to 150 ms pass on the wire each way. No database and no clock: an hour takes seconds.

    python -m bench budgets
"""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from bench.table import Row
from syncd.upstream import budget

ITEM = "refusals"
HOUR_S = 3600.0
BEGINS_AT = 1_773_100_800.0
WIRE_S = (0.02, 0.15)
LEADS, CONTACTS = "GET /leads/*", "GET /contacts/*"
POLICY = budget.Policy()
Says = Literal["nothing", "retry-after", "remaining"]


@dataclass
class Window:
    """So many requests of one endpoint or of all pass in each moving window; `says` is what the headers tell of it."""

    most: int
    seconds: float = 60.0
    endpoint: str | None = None
    says: Says = "nothing"
    recent: deque[float] = field(default_factory=deque)

    def left(self, now: float, endpoint: str) -> float:
        """Return how many more requests of an endpoint pass."""
        while self.recent and self.recent[0] <= now - self.seconds:
            self.recent.popleft()
        return self.most - len(self.recent) if self.endpoint in (None, endpoint) else float("inf")

    def headers(self, now: float, endpoint: str) -> dict[str, str]:
        """Return what an answer says of the window."""
        left = self.left(now, endpoint)
        if self.says == "remaining":
            return {
                "X-RateLimit-Minutely-Limit": str(self.most),
                "X-RateLimit-Minutely-Remaining": str(max(0, int(left))),
            }
        if self.says == "retry-after" and left < 1:
            return {"Retry-After": str(int(self.recent[0] + self.seconds - now) + 1)}
        return {}


@dataclass
class Server:
    """An upstream with any number of windows, that refuses a share of the others without reason."""

    windows: list[Window]
    strays: float = 0.0
    passed: list[tuple[float, str]] = field(default_factory=list)
    refused: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311  (a simulation's)

    def serve(self, now: float, endpoint: str) -> tuple[int, dict[str, str]]:
        """Answer one request with status and headers; a refused one costs nothing."""
        headers: dict[str, str] = {}
        counting = [one for one in self.windows if one.endpoint in (None, endpoint)]
        if self.dice.random() < self.strays or any(one.left(now, endpoint) < 1 for one in counting):
            self.refused += 1
            status = 429
        else:
            self.passed.append((now, endpoint))
            status = 200
            for one in counting:
                one.recent.append(now)
        for one in counting:
            headers |= one.headers(now, endpoint)
        return status, headers


@dataclass
class Shared:
    """The stored state, and how often it was written."""

    text: str = "{}"
    version: int = 0


@dataclass
class Process:
    """One process: what it knows of the stored state, and the answers that it has not stored yet."""

    shared: Shared
    known: budget.State | None = None
    version: int = 0
    unsaved: list[budget.Observation] = field(default_factory=list)

    def charge(self, now: float, endpoint: str) -> budget.Wait | None:
        """Charge one request, as `Purse` does: a state that another process wrote is read anew."""
        fresh = self.known is None
        while True:
            known, state = self._heeded(now)
            state, wait = budget.acquire(state, POLICY, now, "live", endpoint)
            if wait is not None and not fresh:
                self.known, fresh = None, True
            elif self._saved(known, state):
                return wait

    def observe(self, seen: budget.Observation, now: float) -> None:
        """Take in an answer; a refusal is stored at once."""
        self.unsaved.append(seen)
        while self.unsaved and (seen.status == 429 or (self.known and budget.is_struck(self.known))):
            self._saved(*self._heeded(now))

    def _heeded(self, now: float) -> tuple[budget.State, budget.State]:
        if self.known is None:
            self.known, self.version = budget.decode(self.shared.text), self.shared.version
        state = self.known
        for seen in self.unsaved:
            state = budget.observe(state, POLICY, seen, now)
        return self.known, state

    def _saved(self, known: budget.State, state: budget.State) -> bool:
        if state is not known:
            if self.version != self.shared.version:
                self.known = None
                return False
            self.shared.version += 1
            self.shared.text, self.known, self.version = budget.encode(state), state, self.shared.version
            self.unsaved.clear()
        return True


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What goes on: `tasks` requests under way at once per endpoint, in each process; `may` pass in all."""

    name: str
    server: Server
    hours: float
    may: float
    tasks: dict[str, int] = field(default_factory=lambda: {LEADS: 4})
    processes: int = 1
    think_s: float = 0.0
    changes: Sequence[tuple[float, Callable[[], None]]] = ()
    counts: str | None = None
    """The endpoint whose requests are compared with `may`; None: all."""


@dataclass
class Play:
    """One scenario under way: its clock, and what happens next."""

    server: Server
    think_s: float
    now: float = BEGINS_AT
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    waiting: Counter[tuple[int, str]] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    dice: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311  (a simulation's)

    def later(self, after_s: float, do: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        heapq.heappush(self.events, (self.now + after_s, next(self.numbers), do))

    def run(self, until: float) -> None:
        """Let the clock go on to an instant."""
        while self.events and self.events[0][0] < until:
            self.now, _, do = heapq.heappop(self.events)
            do()

    def ask(self, process: Process, endpoint: str) -> None:
        """Stand in line; only the first one asks the budget."""
        self.waiting[id(process), endpoint] += 1
        if self.waiting[id(process), endpoint] == 1:
            self._charge(process, endpoint)

    def _charge(self, process: Process, endpoint: str) -> None:
        wait = process.charge(self.now, endpoint)
        if wait is not None:
            again_s = min(wait.until - self.now, budget.RECHECK_S) + self.dice.uniform(0.001, 0.01)
            return self.later(again_s, lambda: self._charge(process, endpoint))
        self.waiting[id(process), endpoint] -= 1
        if self.waiting[id(process), endpoint]:
            self.later(0.0, lambda: self._charge(process, endpoint))
        sent_at = self.now
        return self.later(self.dice.uniform(*WIRE_S), lambda: self._arrive(process, endpoint, sent_at))

    def _arrive(self, process: Process, endpoint: str, sent_at: float) -> None:
        status, headers = self.server.serve(self.now, endpoint)

        def answered() -> None:
            said = budget.read_headers(headers, status, sent_at=sent_at, received_at=self.now, endpoint=endpoint)
            process.observe(said, self.now)
            self.later(self.think_s, lambda: self.ask(process, endpoint))

        self.later(self.dice.uniform(*WIRE_S), answered)


def simulate(scenario: Scenario) -> None:
    """Let a scenario go on to its end."""
    play, shared = Play(scenario.server, scenario.think_s), Shared()
    processes = [Process(shared) for _ in range(scenario.processes)]
    for process, (endpoint, count) in itertools.product(processes, scenario.tasks.items()):
        for _ in range(count):
            play.later(0.0, partial(play.ask, process, endpoint))
    for after_s, change in scenario.changes:
        play.later(after_s, change)
    play.run(BEGINS_AT + scenario.hours * HOUR_S)


def scenarios() -> list[Scenario]:
    """Return all of them."""
    hidden, both = 30.0 * 60, {LEADS: 4, CONTACTS: 4}
    halving = Window(60)
    halves = ((HOUR_S, lambda: setattr(halving, "most", 30)), (2 * HOUR_S, lambda: setattr(halving, "most", 60)))
    free = Scenario(name="free", server=Server([]), hours=1, may=0, think_s=1.0)
    simulate(free)
    alone = Scenario(name="alone", server=Server([]), hours=1, may=0, tasks={CONTACTS: 2}, think_s=1.0)
    simulate(alone)
    return [
        Scenario(name="strays, 1 in 1,000", server=Server([], strays=0.001), hours=1,
                 may=len(free.server.passed), think_s=1.0),
        Scenario(name="30 a minute, hidden", server=Server([Window(30)]), hours=3, may=3 * hidden),
        Scenario(name="30 a minute, hidden, two endpoints", server=Server([Window(30)]), hours=3, may=3 * hidden,
                 tasks=both),
        Scenario(name="30 a minute, hidden, two processes", server=Server([Window(30)]), hours=3, may=3 * hidden,
                 processes=2),
        Scenario(name="30 a minute, Retry-After on the 429", server=Server([Window(30, says="retry-after")]), hours=3,
                 may=3 * hidden),
        Scenario(name="300 a minute, told by headers", server=Server([Window(300, says="remaining")]), hours=0.5,
                 may=30 * 300, tasks=both),
        Scenario(name="30 a minute on one endpoint: that one", hours=1, may=hidden, think_s=1.0, counts=LEADS,
                 server=Server([Window(30, endpoint=LEADS), Window(300, says="remaining")]),
                 tasks={LEADS: 2, CONTACTS: 2}),
        Scenario(name="30 a minute on one endpoint: the other one", hours=1, may=len(alone.server.passed), think_s=1.0,
                 server=Server([Window(30, endpoint=LEADS), Window(300, says="remaining")]), counts=CONTACTS,
                 tasks={LEADS: 2, CONTACTS: 2}),
        Scenario(name="20 a second, hidden", server=Server([Window(20, 1.0)]), hours=0.5, may=20 * 1800),
        Scenario(name="60 a minute, halved for an hour", server=Server([halving]), hours=4,
                 may=3 * 3600 + 1800, changes=halves),
    ]  # fmt: skip


def measure() -> list[Row]:
    """Run every scenario."""
    return [row for scenario in scenarios() for row in rows_of(scenario)]


def rows_of(scenario: Scenario) -> list[Row]:
    """Run one scenario."""
    simulate(scenario)
    server = scenario.server
    passed = sum(1 for _, endpoint in server.passed if scenario.counts in (None, endpoint))
    sent = len(server.passed) + server.refused
    return [
        Row(ITEM, scenario.name, "use of what it may", 100 * passed / scenario.may, "%", f"in {scenario.hours:g} h"),
        Row(ITEM, scenario.name, "refused (429)", 100 * server.refused / sent, "%", f"{server.refused} of {sent}"),
    ]


if __name__ == "__main__":
    for told in itertools.chain.from_iterable(map(rows_of, scenarios())):
        print(f"| {told.subject} | {told.what} | {told.value:.2f} {told.unit} | {told.note} |", flush=True)

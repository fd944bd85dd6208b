"""What a 429 does: a stray one is forgotten, a limit is found and kept to, and only its own endpoint waits for it."""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.contract import Lane
from syncd.upstream.budget import (
    EMPTY,
    Observation,
    Policy,
    State,
    Wait,
    acquire,
    decode,
    encode,
    endpoint_of,
    ladder,
    observe,
    read_headers,
)
from syncd.upstream.budget.endpoints import Traffic
from syncd.upstream.budget.state import Closing
from tests.support.search import trial

FIXED = settings(derandomize=True, deadline=None, max_examples=30)
NOON = 1773144000.0
POLICY = Policy()
LEADS, CONTACTS = "GET /leads/*", "GET /contacts/*"


@dataclass(kw_only=True)
class Server:
    """Lets `most` requests of an endpoint or of all pass in each moving window; `strays` are refused for no reason."""

    most: int | None = None
    window_s: float = 60.0
    of: str | None = None
    strays: tuple[int, ...] = ()
    stray_share: float = 0.0
    said: int | None = None
    passed: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)
    dice: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311
    recent: deque[float] = field(default_factory=deque)
    minute: deque[float] = field(default_factory=deque)

    def serve(self, now: float, endpoint: str) -> tuple[int, dict[str, str]]:
        while self.recent and self.recent[0] <= now - self.window_s:
            self.recent.popleft()
        while self.minute and self.minute[0] <= now - 60:
            self.minute.popleft()
        counts = self.of in (None, endpoint)
        number = len(self.passed) + len(self.refused)
        is_stray = number in self.strays or self.dice.random() < self.stray_share
        if is_stray or (counts and self.most is not None and len(self.recent) >= self.most):
            self.refused.append((now, endpoint))
            return 429, self.headers()
        if counts:
            self.recent.append(now)
        self.minute.append(now)
        self.passed.append((now, endpoint))
        return 200, self.headers()

    def headers(self) -> dict[str, str]:
        if self.said is None:
            return {}
        left = max(0, self.said - len(self.minute))
        return {"X-RateLimit-Minutely-Limit": str(self.said), "X-RateLimit-Minutely-Remaining": str(left)}


def walk(
    server: Server,
    tasks: dict[str, int],
    seconds: float,
    *,
    state: State = EMPTY,
    at: float = NOON,
    think_s: float = 0.0,
) -> State:
    """Let tasks ask their endpoints one request after another; the answer takes 40 to 200 ms."""
    events: list[tuple[float, int, Callable[[], None]]] = []
    numbers, dice, now = itertools.count(), random.Random(5), at  # noqa: S311

    def later(when: float, do: Callable[[], None]) -> None:
        heapq.heappush(events, (when, next(numbers), do))

    def ask(endpoint: str) -> None:
        nonlocal state
        state, wait = acquire(state, POLICY, now, "live", endpoint)
        if wait is not None:
            return later(min(wait.until, now + 60) + dice.uniform(0.001, 0.01), lambda: ask(endpoint))
        sent_at = now

        def arrive() -> None:
            status, headers = server.serve(now, endpoint)

            def answered() -> None:
                nonlocal state
                said = read_headers(headers, status, sent_at=sent_at, received_at=now, endpoint=endpoint)
                state = observe(state, POLICY, said, now)
                later(now + think_s, lambda: ask(endpoint))

            later(now + dice.uniform(0.02, 0.1), answered)

        return later(now + dice.uniform(0.02, 0.1), arrive)

    for endpoint, count in tasks.items():
        for _ in range(count):
            later(at, lambda endpoint=endpoint: ask(endpoint))  # type: ignore[misc]
    while events and events[0][0] <= at + seconds:
        now, _, do = heapq.heappop(events)
        do()
    return decode(encode(state))


def refuse(state: State, now: float, endpoint: str, **said: float) -> State:
    """Charge a request and let it be refused at once."""
    state, wait = acquire(state, POLICY, now, "live", endpoint)
    assert wait is None
    return observe(state, POLICY, answer(now, endpoint, 429, **said), now + 0.001)


def answer(sent_at: float, endpoint: str, status: int, **said: float) -> Observation:
    fields = {"minute_remaining": None, "retry_after_s": None} | said
    return Observation(
        sent_at=sent_at, received_at=sent_at, status=status, endpoint=endpoint,
        minute_remaining=None if fields["minute_remaining"] is None else int(fields["minute_remaining"]),
        retry_after_s=fields["retry_after_s"],
    )  # fmt: skip


def wait_of(state: State, now: float, endpoint: str, lane: Lane = "live") -> Wait | None:
    return acquire(state, POLICY, now, lane, endpoint)[1]


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/api/v1/customers.json", "GET /api/v1/customers.json"),
        ("/api/v1/customers/4711.json", "GET /api/v1/customers/*"),
        ("/api/v1/leads/2f0c9d1e-8a51-4d3c-9a53-4c7a4b6f8e21.json", "GET /api/v1/leads/*"),
        ("/vehicle/reference/make/12/model", "GET /vehicle/reference/make/*/model"),
        ("/vehicles", "GET /vehicles"),
    ],
)
def test_lookups_by_id_share_one_endpoint(path: str, endpoint: str) -> None:
    assert endpoint_of("GET", path) == endpoint


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=trial), pytest.param(30, marks=trial), 71])
def test_a_single_429_costs_less_than_the_clean_time(number: int) -> None:
    """72 lookups, four at a time, with one stray refusal among them."""
    clean, faulty = Server(), Server(strays=(number,))
    for server in (clean, faulty):
        walk(server, {LEADS: 2, CONTACTS: 2}, 60)
    took_s = [server.passed[71][0] - NOON for server in (clean, faulty)]
    assert len(faulty.refused) == 1
    assert took_s[1] <= 2 * took_s[0]


@trial
def test_after_a_stray_429_the_full_speed_is_back_within_two_minutes() -> None:
    clean, faulty = Server(), Server(strays=(400,))
    for server in (clean, faulty):
        walk(server, {LEADS: 2, CONTACTS: 2}, 240)
    assert len(faulty.refused) == 1
    since = faulty.refused[0][0]
    full, now = (sum(1 for at, _ in server.passed if since + 10 < at < since + 120) for server in (clean, faulty))
    assert now >= 0.97 * full > 1000


@trial
def test_strays_of_1_in_1000_cost_little() -> None:
    clean, faulty = Server(), Server(stray_share=0.001)
    for server in (clean, faulty):
        walk(server, {LEADS: 4}, 1200, think_s=1.0)
    assert faulty.refused
    assert len(faulty.passed) >= 0.95 * len(clean.passed)


@pytest.mark.parametrize(
    "tasks", [{LEADS: 2}, pytest.param({LEADS: 2, CONTACTS: 2}, marks=trial), pytest.param({"": 2}, marks=trial)]
)
def test_a_hidden_limit_of_a_minute_is_found_and_used(tasks: dict[str, int]) -> None:
    server = Server(most=30)
    walk(server, tasks, 5400)
    steady = [sum(1 for at, _ in requests if at >= NOON + 600) for requests in (server.refused, server.passed)]
    assert len(server.refused) - steady[0] <= 25  # what it takes to find the limit
    assert steady[0] <= 0.005 * sum(steady)
    assert steady[1] >= 0.95 * 30 * 80


def test_a_limit_of_one_endpoint_leaves_the_others_their_pace() -> None:
    """30 a minute for leads, 300 a minute said for all: contacts go on as fast as before."""
    free, server = Server(), Server(most=30, of=LEADS)
    walk(free, {CONTACTS: 2}, 600, think_s=0.3)
    walk(server, {LEADS: 2, CONTACTS: 2}, 600, think_s=0.3)
    passed = Counter(endpoint for _, endpoint in server.passed)
    assert passed[CONTACTS] >= 0.97 * len(free.passed)
    assert passed[LEADS] >= 0.9 * 300
    assert 0 < len(server.refused) < 20


@trial
def test_a_limit_that_the_headers_tell_is_never_refused() -> None:
    server = Server(said=300, most=300)
    walk(server, {LEADS: 4, CONTACTS: 4}, 420)
    assert server.refused == []
    assert len(server.passed) >= 0.93 * 300 * 7  # live keeps a second and a half of each minute free


@trial
@pytest.mark.parametrize(("after_s", "lowered_to"), [(0.9, 9.8), (2.5, 9.0)])
def test_a_limit_of_a_second_is_not_judged_by_a_second_that_held_a_closure(after_s: float, lowered_to: float) -> None:
    held = Closing(at=NOON, until=NOON + 0.25, limit_per_s=10.0, raised_at=NOON, passed=5)
    passed = Traffic(minute=300, window=300, pace=6.0, leaves_at=NOON + 60)
    again = ladder.refused(held, passed, held.until + after_s)
    assert again.limit_per_s == pytest.approx(lowered_to)


@trial
def test_a_limit_that_halves_is_followed_down_and_up() -> None:
    server = Server(most=60)
    state = walk(server, {LEADS: 4}, 1200)
    server.most = 30
    state = walk(server, {LEADS: 4}, 2400, state=state, at=NOON + 1200)
    passed = sum(1 for at, _ in server.passed if at >= NOON + 1320)
    assert passed >= 0.93 * 30 * 38
    server.most = 60
    walk(server, {LEADS: 4}, 3600, state=state, at=NOON + 3600)
    passed = sum(1 for at, _ in server.passed if at >= NOON + 3600 + 1800)
    assert passed >= 0.93 * 60 * 30
    assert len(server.refused) <= 0.01 * len(server.passed)


def test_headers_that_say_left_lift_a_guess_about_the_source_at_once() -> None:
    state, now = EMPTY, NOON
    for i in range(20):
        state, _ = acquire(state, POLICY, now + i * 0.1, "live")
        state = observe(state, POLICY, answer(now + i * 0.1, "", 200), now + i * 0.1)
    now += 3
    for _ in range(3):
        state = refuse(state, now, "")
        wait = wait_of(state, now + 0.01, "")
        assert wait is not None
        now = wait.until
    assert state.closing.ceiling == 20
    now += 0.1
    while (wait := acquire(state, POLICY, now, "live")[1]) is not None:
        now = wait.until
    state, _ = acquire(state, POLICY, now, "live")
    state = observe(state, POLICY, answer(now, "", 200, minute_remaining=300), now + 0.1)
    for _ in range(100):
        state, wait = acquire(state, POLICY, now + 0.2, "live")
        assert wait is None


@pytest.mark.parametrize(
    ("said", "leads_s", "contacts_s"),
    [
        ({}, 0.25, 0.0),
        ({"minute_remaining": 250}, 0.25, 0.0),
        ({"retry_after_s": 20.0}, 20.0, 0.0),
        ({"retry_after_s": 20.0, "minute_remaining": 0}, 20.0, 20.0),
        ({"minute_remaining": 0}, 60.0, 60.0),
    ],
)
def test_the_narrowest_window_that_explains_a_429_is_closed(
    said: dict[str, float], leads_s: float, contacts_s: float
) -> None:
    state = refuse(EMPTY, NOON, LEADS, **said)
    for endpoint, closed_s in ((LEADS, leads_s), (CONTACTS, contacts_s)):
        wait = wait_of(state, NOON + 0.01, endpoint)
        assert (0.0 if wait is None else wait.until - NOON) == pytest.approx(
            closed_s, abs=2.0 if closed_s == 60 else 0.1
        )


def test_a_second_endpoint_that_is_refused_within_moments_makes_it_the_sources() -> None:
    state = refuse(EMPTY, NOON, LEADS, retry_after_s=20.0)
    state = refuse(state, NOON + 1, CONTACTS, retry_after_s=20.0)
    wait = wait_of(state, NOON + 2, "GET /orders")
    assert wait is not None
    assert wait.until == pytest.approx(NOON + 21, abs=0.1)


def test_what_is_known_of_endpoints_stays_small() -> None:
    state, dice = EMPTY, random.Random(4)  # noqa: S311
    for i in range(4000):
        endpoint = f"GET /{dice.choice('abcdefghijklmnopqrstuvwxyz') * 30}"
        now = NOON + i * 0.05
        state, wait = acquire(state, POLICY, now, "live", endpoint)
        if wait is None:
            state = observe(state, POLICY, answer(now, endpoint, dice.choice((200, 200, 200, 429))), now + 0.01)
    assert 1 < len(state.endpoints) <= 16
    assert len(encode(state)) < 16_384


@FIXED
@given(
    st.lists(
        st.tuples(
            st.sampled_from([LEADS, CONTACTS, ""]),
            st.sampled_from([0, 200, 200, 404, 429, 429, 503]),
            st.sampled_from([None, 0, 7, 300]),
            st.sampled_from([None, None, 3.0, 400.0]),
            st.floats(0, 90),
        ),
        max_size=40,
    )
)
def test_whatever_is_answered_every_closing_ends(
    answers: list[tuple[str, int, int | None, float | None, float]],
) -> None:
    state, now = EMPTY, NOON
    for endpoint, status, left, retry_after_s, later in answers:
        sent_at = now
        state, _ = acquire(state, POLICY, now, "live", endpoint)
        now += later
        said = {
            name: value
            for name, value in (("minute_remaining", left), ("retry_after_s", retry_after_s))
            if value is not None
        }
        state = observe(state, POLICY, answer(sent_at, endpoint, status, **said), now)
        assert decode(encode(state)) == state
    for endpoint in (LEADS, CONTACTS):
        at, asked = now, 0
        while (wait := wait_of(state, at, endpoint)) is not None:
            assert at < wait.until <= at + 3600
            at, asked = wait.until, asked + 1
            assert asked < 100
        assert at <= now + 2 * 3600

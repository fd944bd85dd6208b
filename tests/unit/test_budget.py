"""The arithmetic of budgets: tables of cases, properties, and days simulated against a server that enforces them.

The simulation has two processes that share one stored state (as JSON, as Postgres holds it), up to eight requests in
flight, 20 to 400 ms on the wire each way, and a virtual clock. `pytest -s -k simulated` prints its figures.
"""

import datetime as dt
import email.utils
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.contract import Lane
from syncd.upstream import budget
from syncd.upstream.budget import (
    EMPTY,
    Observation,
    Policy,
    State,
    Wait,
    acquire,
    decode,
    encode,
    observe,
    read_headers,
    summary,
)
from tests.support.search import trial

FIXED = settings(derandomize=True, deadline=None, max_examples=40)
DAY_S = 86_400
NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC).timestamp()
MIDNIGHT = NOON + DAY_S / 2
LANES: st.SearchStrategy[Lane] = st.sampled_from(("live", "backfill"))


def seen(sent_at: float, status: float = 200, **said: float | None) -> Observation:
    return msgspec.convert(
        {"sent_at": sent_at, "received_at": sent_at + 0.2, "status": status, **said}, type=Observation, strict=False
    )


def http_date(at_s: float) -> str:
    return email.utils.formatdate(at_s, usegmt=True)


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def drain(state: State, policy: Policy, now: float, lane: Lane = "live", most: int = 10_000) -> tuple[State, int]:
    """Acquire at one instant until told to wait."""
    for count in range(most):
        state, wait = acquire(state, policy, now, lane)
        if wait is not None:
            return state, count
    return state, most


def refusal(state: State, policy: Policy, now: float, lane: Lane = "live") -> Wait:
    wait = acquire(state, policy, now, lane)[1]
    assert wait is not None
    return wait


# Headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"X-RateLimit-Minutely-Limit": "360", "X-RateLimit-Minutely-Remaining": "59"},
         {"minute_limit": 360, "minute_remaining": 59}),
        ({"x-ratelimit-DAILY-limit": " 10000 ", "X-RATELIMIT-DAILY-REMAINING": "0"},
         {"day_limit": 10000, "day_remaining": 0}),
        ({"X-RateLimit-Minutely-Limit": "0", "X-RateLimit-Daily-Limit": "-5"}, {}),
        ({"X-RateLimit-Minutely-Remaining": "-1", "X-RateLimit-Daily-Remaining": "many"}, {}),
        ({"X-RateLimit-Minutely-Limit": "٣٦٠", "X-RateLimit-Daily-Limit": "9" * 4000}, {}),
        ({"X-RateLimit-Daily-Reset": str(int(MIDNIGHT))}, {"day_reset_at": MIDNIGHT}),
        ({"X-RateLimit-Daily-Reset": "1678230000"}, {}),  # long past
        ({"X-RateLimit-Daily-Reset": str(int(MIDNIGHT) * 1000)}, {}),  # milliseconds
        ({"X-RateLimit-Daily-Reset": "tomorrow"}, {}),
        (
            {"X-RateLimit-Daily-Reset": str(int(MIDNIGHT) + 7200), "Date": http_date(NOON + 7200)},
            {"day_reset_at": MIDNIGHT},  # a server two hours ahead of us
        ),
        ({"Retry-After": "17"}, {"retry_after_s": 17.0}),
        ({"Retry-After": "0"}, {}),
        ({"Retry-After": "-3"}, {}),
        ({"Retry-After": "soon"}, {}),
        ({"Retry-After": "9" * 15}, {"retry_after_s": budget.RETRY_AFTER_S}),
        ({"Retry-After": http_date(NOON + 40)}, {"retry_after_s": 40.0}),
        ({"Retry-After": http_date(NOON - 40)}, {}),
        ({"Retry-After": "Wed, 31 Dec 9999 23:59:59 GMT"}, {"retry_after_s": budget.RETRY_AFTER_S}),
        (
            {
                "Retry-After": http_date(NOON - 4000 + 25),
                "Date": http_date(NOON - 4000),
            },
            {"retry_after_s": 25.0},
        ),
    ],
)  # fmt: skip
def test_headers_are_read_and_garbage_counts_as_absent(headers: dict[str, str], expected: dict[str, float]) -> None:
    said = read_headers(headers, 200, sent_at=NOON - 0.2, received_at=NOON)
    assert said == replace_of(Observation(sent_at=NOON - 0.2, received_at=NOON, status=200), **expected)


def replace_of(observation: Observation, **changes: float) -> Observation:
    return msgspec.structs.replace(observation, **changes)


HEADER = st.sampled_from(
    ["Date", "Retry-After", "X-RateLimit-Daily-Reset"]
    + [f"X-RateLimit-{window}-{what}" for window in ("Minutely", "Daily") for what in ("Limit", "Remaining")]
)
VALUE = st.one_of(
    st.text(max_size=30),
    st.integers(-10, 10**12).map(str),
    st.floats().map(str),
    st.integers(-(10**6), 10**6).map(lambda s: http_date(NOON + s)),
    st.integers(0, 10**5).map(lambda s: str(int(NOON) + s)),
)


@FIXED
@given(
    st.lists(
        st.tuples(st.dictionaries(HEADER, VALUE), st.sampled_from([0, 200, 404, 429, 503]), st.floats(0, 90)),
        max_size=25,
    ),
    LANES,
)
def test_whatever_the_server_says_every_wait_ends(answers: list[tuple[dict[str, str], int, float]], lane: Lane) -> None:
    state, now, policy = EMPTY, NOON, Policy(day_zone="Europe/Amsterdam")
    for headers, status, later in answers:
        sent_at = now
        state, _ = acquire(state, policy, now, "live")
        now += later
        state = observe(state, policy, read_headers(headers, status, sent_at=sent_at, received_at=now), now)
        state = decode(encode(state))
    started, asked = now, 0
    while True:
        state, wait = acquire(state, policy, now, lane)
        if wait is None:
            break
        assert now < wait.until <= now + 27 * 3600
        now, asked = wait.until, asked + 1
        assert asked < 300
    assert now <= started + 54 * 3600  # a reset that moved away once more is waited for once more
    summary(state, policy, now)


# The minute

STEPS = st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.7, 9.0, 29.9, 60.4]), LANES), max_size=250)


@FIXED
@given(STEPS, st.integers(2, 25))
def test_no_moving_minute_holds_more_than_its_limit(steps: list[tuple[float, Lane]], limit: int) -> None:
    state, now, sent = EMPTY, NOON, list[tuple[float, Lane]]()
    for later, lane in steps:
        now += later
        state, wait = acquire(state, Policy(per_minute=limit), now, lane)
        if wait is None:
            sent.append((now, lane))
            assert sum(1 for then, _ in sent if then > now - 61) <= limit
            assert sum(1 for then, of in sent if then > now - 60 and of == "backfill") <= max(1, int(limit * 0.6))
        assert decode(encode(state)) == state


@FIXED
@given(st.lists(st.sampled_from([0.0, 0.1, 0.4, 3.0, 31.0]), max_size=120), st.integers(2, 40), st.integers(2, 60))
def test_a_backfill_never_delays_a_live_request(steps: list[float], per_minute: int, per_day: int) -> None:
    state, now, policy = EMPTY, NOON, Policy(per_minute=per_minute, per_day=per_day)
    for later in steps:
        now += later
        state, _ = acquire(state, policy, now, "backfill")
    assert acquire(state, policy, now, "live")[1] is None


@FIXED
@given(st.data())
def test_never_more_is_open_than_any_recent_response_left(data: st.DataObject) -> None:
    policy, state, now = Policy(), EMPTY, NOON
    sent = list[float]()
    for later in data.draw(st.lists(st.sampled_from([0.0, 0.05, 0.3, 2.0]), min_size=1, max_size=20)):
        now += later
        state, wait = acquire(state, policy, now, data.draw(LANES))
        if wait is None:
            sent.append(now)
    left = data.draw(st.lists(st.integers(0, 40), min_size=len(sent), max_size=len(sent)))
    day_left = data.draw(st.lists(st.integers(10, 60), min_size=len(sent), max_size=len(sent)))
    for i in data.draw(st.permutations(range(len(sent)))):  # responses in any order
        said = seen(sent[i], minute_limit=360, minute_remaining=left[i], day_limit=10_000, day_remaining=day_left[i])
        state = observe(state, policy, said, now + 0.1)
    after = [len(sent) - 1 - i for i in range(len(sent))]
    assert drain(state, policy, now + 0.1)[1] <= max(0, min(n - a for n, a in zip(left, after, strict=True)))
    assert summary(state, policy, now + 0.1).day_remaining == 0 or (
        summary(state, policy, now + 0.1).day_remaining or 0
    ) <= min(n - a for n, a in zip(day_left, after, strict=True))


def test_remaining_is_believed_before_limit_until_the_minute_has_moved() -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state = observe(state, Policy(), seen(NOON, minute_limit=360, minute_remaining=59), NOON + 0.2)
    assert summary(state, Policy(), NOON + 1).minute_limit == 360
    assert summary(state, Policy(), NOON + 1).minute_remaining == 59
    assert summary(state, Policy(), NOON + 70).minute_remaining == 360


def test_a_backfill_takes_its_share_of_what_others_leave() -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "backfill")
    state = observe(state, Policy(), seen(NOON, minute_limit=360, minute_remaining=119), NOON + 0.2)
    now, sent = NOON + 0.2, 1
    while now < NOON + 58:
        state, wait = acquire(state, Policy(), now, "backfill")
        sent, now = (sent + 1, now) if wait is None else (sent, wait.until)
    assert sent == 72  # 60 % of 120


def test_the_later_request_tells_the_limits() -> None:
    state, _ = drain(EMPTY, Policy(), NOON, most=2)
    state = observe(state, Policy(), seen(NOON + 1, minute_limit=200, day_limit=900), NOON + 2)
    state = observe(state, Policy(), seen(NOON, minute_limit=360, day_limit=1000), NOON + 3)
    shown = summary(state, Policy(), NOON + 3)
    assert (shown.minute_limit, shown.day_limit) == (200, 900)


def test_a_response_of_minutes_ago_says_nothing_of_this_minute() -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state, _ = acquire(state, Policy(), NOON + 90, "live")
    said = seen(NOON, minute_limit=360, minute_remaining=0, day_limit=1000, day_remaining=50)
    state = observe(state, Policy(), said, NOON + 100)
    shown = summary(state, Policy(), NOON + 100)
    assert (shown.minute_remaining, shown.day_remaining) == (359, 998)


def test_a_minute_found_spent_is_asked_again_when_that_is_old_news() -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state, _ = drain(state, Policy(), NOON + 30, most=5)
    state = observe(state, Policy(), seen(NOON, minute_limit=360, minute_remaining=0), NOON + 31)
    wait = refusal(state, Policy(), NOON + 31)
    assert NOON + 61 <= wait.until <= NOON + 66
    assert acquire(state, Policy(), wait.until, "live")[1] is None


def test_what_we_sent_ourselves_is_not_taken_for_somebody_elses() -> None:
    state, policy = EMPTY, Policy()
    for i in range(100):
        state, _ = acquire(state, policy, NOON + i * 0.2, "backfill")
        said = seen(NOON + i * 0.2, minute_limit=360, minute_remaining=359 - i)
        state = observe(state, policy, said, NOON + i * 0.2 + 0.1)
    assert summary(state, policy, NOON + 20).minute_remaining in range(255, 261)
    assert drain(state, policy, NOON + 82, "backfill")[1] >= 0.8 * 216


def test_a_smaller_limit_is_obeyed_at_once() -> None:
    state, sent = drain(EMPTY, Policy(), NOON, most=80)
    state = observe(state, Policy(), seen(NOON, minute_limit=360, minute_remaining=200), NOON + 1)
    assert acquire(state, Policy(), NOON + 1, "live")[1] is None
    assert refusal(state, Policy(per_minute=80), NOON + 1).reason == "minute window"
    state = observe(state, Policy(), seen(NOON + 1, minute_limit=50), NOON + 2)
    wait = refusal(state, Policy(), NOON + 2)
    assert (sent, wait.reason) == (80, "minute window")
    assert NOON + 60 < wait.until <= NOON + 62


def test_without_headers_and_config_nothing_is_limited_but_all_is_counted() -> None:
    state, sent = drain(EMPTY, Policy(), NOON, "backfill", most=2000)
    shown = summary(state, Policy(), NOON)
    assert sent == shown.minute_used_backfill == shown.day_used_backfill == 2000
    assert shown.minute_remaining is shown.day_remaining is shown.live_reserve is None


@pytest.mark.parametrize(
    ("policy", "spent", "reason"),
    [
        (Policy(per_minute=100), ("backfill", 60), "backfill share"),
        (Policy(per_minute=100, backfill_minute_share=0.25), ("backfill", 25), "backfill share"),
        (Policy(per_day=50), ("backfill", 40), "live reserve"),
        (Policy(per_day=50, live_reserve=0), ("backfill", 50), "day window"),
        (Policy(per_minute=1), ("backfill", 1), "minute window"),
    ],
)
def test_a_backfill_may_use_its_share(policy: Policy, spent: tuple[Lane, int], reason: str) -> None:
    state, now, sent = EMPTY, NOON, 0
    while now < NOON + 58:
        state, wait = acquire(state, policy, now, "backfill")
        sent, now = (sent + 1, now) if wait is None else (sent, now + 0.25)
    assert sent == spent[1]
    assert refusal(state, policy, now, "backfill").reason == reason


def test_near_the_limit_requests_are_spaced_and_a_lone_tick_is_not() -> None:
    policy = Policy(per_minute=100)
    state, burst = drain(EMPTY, policy, NOON)
    assert 80 <= burst <= 82
    wait = refusal(state, policy, NOON)
    assert wait.reason == "pacing"
    assert 2.0 < wait.until - NOON < 4.0  # 19 left for 61 s
    assert acquire(state, policy, wait.until, "live")[1] is None
    assert acquire(state, policy, NOON + 20, "live")[1] is None
    assert drain(state, policy, NOON + 130)[1] >= 80


def test_a_state_stays_small() -> None:
    state, now, dice = EMPTY, NOON, random.Random(4)  # noqa: S311
    for _ in range(3000):
        now += dice.uniform(0, 0.6)
        state, _ = acquire(state, Policy(per_minute=100_000), now, dice.choice(("live", "backfill")))
        said = seen(
            now - 1, minute_limit=100_000, minute_remaining=90_000, day_limit=10**6, day_remaining=dice.randrange(10**6)
        )
        state = observe(state, Policy(), said, now)
        assert len(state.charges) <= 132
        assert len(state.sights) <= 19
        assert len(encode(state)) <= 4096


# The day


@pytest.mark.parametrize(
    ("zone", "now", "reset_at"),
    [
        ("UTC", "2026-03-10T12:00Z", "2026-03-11T00:00Z"),
        ("Europe/Amsterdam", "2026-03-10T12:00Z", "2026-03-10T23:00Z"),
        ("Europe/Amsterdam", "2026-03-10T23:30Z", "2026-03-11T23:00Z"),
        ("Europe/Amsterdam", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # a day of 23 hours
        ("Europe/Amsterdam", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # a day of 25 hours
    ],
)
def test_a_day_without_reset_ends_at_midnight_in_its_zone(zone: str, now: str, reset_at: str) -> None:
    policy = Policy(per_day=5, day_zone=zone)
    state, sent = EMPTY, 0
    for i in range(500):
        state, wait = acquire(state, policy, at(now) + i, "live")
        sent += wait is None
    assert summary(state, policy, at(now) + 500).day_reset_at == at(reset_at)
    assert 1 <= sent <= 5
    for _ in range(5 - sent):
        state, _ = acquire(state, policy, at(reset_at) - 1, "live")
    wait = refusal(state, policy, at(reset_at) - 1)
    assert (wait.reason, wait.until) == ("day window", at(reset_at) + budget.DAY_GUARD_S)
    assert acquire(state, policy, wait.until, "live")[1] is None


def test_nothing_left_closes_the_day_until_the_servers_reset() -> None:
    policy = Policy()
    state, _ = acquire(EMPTY, policy, NOON, "live")
    said = seen(NOON, day_limit=1000, day_remaining=0, day_reset_at=NOON + 5 * 3600)
    state = observe(state, policy, said, NOON + 0.2)
    for lane in ("live", "backfill"):
        wait = refusal(state, policy, NOON + 300, lane)
        assert (wait.reason, wait.until) == ("day window", NOON + 5 * 3600 + budget.DAY_GUARD_S)
    assert summary(state, policy, NOON + 1).day_remaining == 0
    assert summary(state, policy, wait.until).day_remaining == 1000
    assert acquire(state, policy, wait.until, "live")[1] is None


def test_a_response_of_yesterday_says_nothing_of_today() -> None:
    policy = Policy(per_day=100)
    state, _ = acquire(EMPTY, policy, MIDNIGHT - 100, "live")
    state, _ = acquire(state, policy, MIDNIGHT + 4, "live")
    state, _ = acquire(state, policy, MIDNIGHT + 6, "live")  # today
    state = observe(state, policy, seen(MIDNIGHT + 4, day_remaining=3), MIDNIGHT + 7)
    assert summary(state, policy, MIDNIGHT + 7).day_remaining == 99
    # A server whose day ends an hour or two after ours sends no Reset: today is not lost for that.
    state = observe(state, policy, seen(MIDNIGHT + 6, day_remaining=0), MIDNIGHT + 7)
    assert acquire(state, policy, MIDNIGHT + 7, "live")[1] is None
    state = observe(state, policy, seen(MIDNIGHT + 7, status=429, day_remaining=0), MIDNIGHT + 8)
    assert refusal(state, policy, MIDNIGHT + 8).until < MIDNIGHT + 70


def test_the_servers_day_may_begin_before_ours() -> None:
    state, _ = drain(EMPTY, Policy(per_day=1000), NOON, "live", most=300)
    said = seen(NOON + 9, day_limit=1000, day_remaining=999, day_reset_at=NOON + 25 * 3600)
    state, _ = acquire(state, Policy(), NOON + 9, "live")
    state = observe(state, Policy(), said, NOON + 10)
    shown = summary(state, Policy(), NOON + 10)
    assert (shown.day_remaining, shown.day_used_live, shown.day_reset_at) == (999, 1, NOON + 25 * 3600)


def test_a_reset_told_by_a_date_of_whole_seconds_is_no_news_with_every_answer() -> None:
    state = EMPTY
    told = set()
    for sent_at in (NOON + 0.1, NOON + 300.9, NOON + 600.5):
        state, _ = acquire(state, Policy(), sent_at, "live")
        headers = {"Date": http_date(sent_at), "X-RateLimit-Daily-Reset": str(int(MIDNIGHT))}
        said = read_headers(headers, 200, sent_at=sent_at, received_at=sent_at + 0.05)
        state = observe(state, Policy(), said, sent_at + 0.05)
        told.add(summary(state, Policy(), sent_at + 0.05).day_reset_at)
    assert len(told) == 1
    assert 0 <= told.pop() - MIDNIGHT < budget.RESET_SLACK_S


def test_somebody_elses_spending_of_the_day_is_believed_and_so_is_its_return() -> None:
    state, policy, now = EMPTY, Policy(), NOON
    for remaining, expected in ((9000, 9000), (2001, 2001), (1000, 1000), (9000, 9000)):
        now += 100
        state, _ = acquire(state, policy, now, "live")
        state = observe(state, policy, seen(now, day_limit=10_000, day_remaining=remaining), now + 0.2)
        assert summary(state, policy, now + 1).day_remaining == expected
        allowed = acquire(state, policy, now + 1, "backfill")[1] is None
        assert allowed == (remaining > 2000)


def test_a_burst_of_answers_keeps_a_lane_waiting_for_their_minute_and_not_for_the_day() -> None:
    policy, day_ends_at = Policy(live_reserve=0), NOON + 5 * 3600
    state = observe(EMPTY, policy, seen(NOON - 300, day_limit=1000, day_reset_at=day_ends_at), NOON - 299)
    sent = [NOON + 0.01 * number for number in range(6)]  # one slot
    for moment in sent:
        state, wait = acquire(state, policy, moment, "backfill")
        assert wait is None
    for number, moment in enumerate(sent):  # somebody else has spent, so that five are left of the day
        said = seen(moment, day_limit=1000, day_remaining=10 - number, day_reset_at=day_ends_at)
        state = observe(state, policy, said, NOON + 0.3)
    waiting = refusal(state, policy, NOON + 0.4, "backfill")
    assert waiting.reason == "day window"
    assert NOON + 60 < waiting.until < NOON + 70, "each answer counts the others as still to come, for a minute"
    assert drain(state, policy, waiting.until - 0.6, "backfill")[1] == 0
    after, count = drain(state, policy, waiting.until, "backfill")
    assert count == 5, "the day has so many left, and no more are sent"
    assert refusal(after, policy, waiting.until, "backfill").until == day_ends_at + budget.DAY_GUARD_S


def test_a_day_that_is_spent_by_every_answer_is_waited_for_whole() -> None:
    policy, day_ends_at, state = Policy(), NOON + 5 * 3600, EMPTY
    for number in range(3):
        state, _ = acquire(state, policy, NOON + 0.01 * number, "live")
    for number in range(3):
        said = seen(NOON + 0.01 * number, day_limit=1000, day_remaining=2 - number, day_reset_at=day_ends_at)
        state = observe(state, policy, said, NOON + 0.3)
    assert refusal(state, policy, NOON + 1).until == day_ends_at + budget.DAY_GUARD_S


def test_the_last_fifth_of_a_live_day_is_spread_over_what_is_left_of_it() -> None:
    state, policy, now, sent = EMPTY, Policy(per_day=1000), MIDNIGHT + 10, Counter[int]()
    while now < MIDNIGHT + DAY_S:
        state, wait = acquire(state, policy, now, "live")
        sent[int((now - MIDNIGHT) // 3600)] += wait is None
        now = now + 0.1 if wait is None else wait.until
    assert sent.total() in range(995, 1001)
    assert sent[0] > 800
    assert all(sent[hour] in range(7, 10) for hour in range(1, 23))


# 429


@pytest.mark.parametrize(
    ("said", "closed_s"),
    [
        ({"retry_after_s": 7.0}, (7, 7)),
        ({"retry_after_s": 7.0, "day_remaining": 0, "day_reset_at": NOON + 900}, (7, 7)),
        ({"day_remaining": 0, "day_reset_at": NOON + 900}, (900, 906)),
        ({"day_remaining": 0}, (DAY_S / 2, DAY_S / 2 + 6)),
        ({"minute_remaining": 0, "minute_limit": 360}, (60, 60)),
    ],
)
def test_a_429_closes_until_it_must_be_open_again(said: dict[str, float], closed_s: tuple[float, float]) -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state = observe(state, Policy(), seen(NOON, status=429, **said), NOON)
    wait = refusal(state, Policy(), NOON + 1)
    assert wait.reason == "closed by 429"
    assert closed_s[0] <= wait.until - NOON <= closed_s[1]
    assert summary(state, Policy(), NOON + 1).closed_until == wait.until


def test_a_429_that_says_the_minute_is_spent_waits_only_for_our_oldest_requests_to_leave() -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state, _ = acquire(state, Policy(), NOON + 40, "live")
    state = observe(state, Policy(), seen(NOON + 40, status=429, minute_remaining=0), NOON + 40)
    assert refusal(state, Policy(), NOON + 40).until == NOON + 61.5


def test_429s_of_one_flight_are_one_event_and_the_next_ones_close_for_longer_windows() -> None:
    policy, state, now = Policy(), EMPTY, NOON
    for i in range(8):
        state, _ = acquire(state, policy, NOON + i * 0.01, "live")
    for i in range(8):
        now = NOON + 0.3 + i * 0.01
        state = observe(state, policy, seen(NOON + i * 0.01, status=429), now)
    state = observe(state, policy, seen(NOON + 0.05), NOON + 0.5)  # sent before it closed: proves nothing
    now, closed = NOON + 0.3, []
    for strike in range(14):
        until = refusal(state, policy, now + 0.1).until
        closed.append(round(until - now, 2))
        now = until
        state, wait = acquire(state, policy, now, "backfill")
        assert wait is None
        probing = refusal(state, policy, now + 0.01)  # one probe at a time
        assert probing.reason == "closed by 429"
        assert probing.until - now - 0.01 == pytest.approx(min(budget.PROBE_POLL_S, 0.05 * 2**strike), rel=1e-4)
        state = observe(state, policy, seen(now, status=429), now)
    assert closed == [0.25, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    now += 900
    state, _ = acquire(state, policy, now, "live")
    state = observe(state, policy, seen(now, status=503), now + 1)
    state, wait = acquire(state, policy, now + 1, "live")
    assert wait is None  # a fault is no answer: the next probe
    assert acquire(state, policy, now + 1, "live")[1] is not None
    assert acquire(state, policy, now + 2 + budget.PROBE_S, "live")[1] is None  # the probe was lost
    state = observe(state, policy, seen(now + 1), now + 2)
    assert drain(state, policy, now + 2, most=5)[1] == 5


# The clock

JUMPS = st.lists(
    st.tuples(st.floats(1, 200), st.sampled_from([-90_000, -7200, -61, -7, -3, 3, 59, 7200, 90_000])), max_size=3
)


@FIXED
@given(JUMPS, st.integers(2, 30))
def test_a_jumping_clock_neither_stops_us_nor_lets_us_run(jumps: list[tuple[float, int]], limit: int) -> None:
    policy, state, true, offset = Policy(per_minute=limit), EMPTY, NOON, 0.0
    sent, pending = [NOON], [(NOON + sum(a for a, _ in jumps[: i + 1]), by) for i, (_, by) in enumerate(jumps)]
    forward, backward = [when for when, by in pending if by > 0], [when for when, by in pending if by < 0]
    while true < NOON + 300:
        if pending and true >= pending[0][0]:
            offset += pending.pop(0)[1]
        state, wait = acquire(state, policy, true + offset, "live")
        if wait is None:
            recent = sum(1 for then in sent if then > true - 60)
            assert recent <= limit * (1 + sum(true - 120 < when <= true + 1 for when in forward))
            sent.append(true)
        assert true - sent[-1] <= 66 * (2 + len(backward))
        true += 1.3


@pytest.mark.parametrize(
    ("said", "closed_s"),
    [
        ({"status": 429}, 1),
        ({"status": 429, "minute_remaining": 0}, 62),
        ({"status": 429, "retry_after_s": 600.0}, 600),
        ({"day_remaining": 0, "day_reset_at": NOON + 20 * 3600}, 26 * 3600),
    ],
)
def test_a_clock_set_back_prolongs_no_closure(said: dict[str, float], closed_s: float) -> None:
    state, _ = acquire(EMPTY, Policy(), NOON, "live")
    state = observe(state, Policy(), seen(NOON, **{"status": 200} | said), NOON + 0.2)
    for back_s in (3600, 10 * 3600):
        state, wait = acquire(state, Policy(), NOON - back_s, "live")
        assert wait is not None
        assert wait.until - (NOON - back_s) <= closed_s


@pytest.mark.parametrize(("apart_s", "most"), [(0, 60), (4, 62), (10, 120)])
def test_processes_whose_clocks_differ_share_one_minute(apart_s: float, most: int) -> None:
    policy, state, sent = Policy(per_minute=60), EMPTY, list[float]()
    for i in range(3000):
        true = NOON + i * 0.07
        state, wait = acquire(state, policy, true + (apart_s if i % 2 else 0), "live")
        if wait is None:
            sent.append(true)
            assert sum(1 for then in sent if then > true - 60) <= most
    assert len(sent) >= 150  # of 210


# Simulated days


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

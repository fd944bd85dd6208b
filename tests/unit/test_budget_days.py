"""The arithmetic of budgets: the day, what a 429 closes, and clocks that jump or differ."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.upstream import budget
from syncd.upstream.budget import (
    EMPTY,
    Policy,
    acquire,
    observe,
    read_headers,
    summary,
)
from tests.support.budgets import (
    DAY_S,
    FIXED,
    MIDNIGHT,
    NOON,
    at,
    drain,
    http_date,
    refusal,
    seen,
)

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

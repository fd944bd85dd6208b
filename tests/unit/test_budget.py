"""The arithmetic of budgets: what headers say, and the moving minute; tables of cases, and properties."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.contract import Lane
from syncd.upstream import budget
from syncd.upstream.budget import (
    EMPTY,
    Observation,
    Policy,
    acquire,
    decode,
    encode,
    observe,
    read_headers,
    summary,
)
from tests.support.budgets import (
    FIXED,
    LANES,
    MIDNIGHT,
    NOON,
    drain,
    http_date,
    refusal,
    seen,
)


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

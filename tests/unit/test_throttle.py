"""What callbacks lead to, as cases over seconds: how many fetches at most, what counts as said already."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.service.callbacks.throttle import FETCHES_PER_MINUTE, FEW, POLL_REST_S, REPEAT_S, Bucket, Calls

A, B = ("a",), ("b",)
NOISE_S = 1e-6  # of floats


def many(count: int) -> list[tuple[str]]:
    return [(f"k{number}",) for number in range(count)]


def test_what_is_named_is_fetched_at_once_and_then_forgotten() -> None:
    calls = Calls()
    assert calls.hear(A, 100.0)
    assert calls.step(100.0) == (A,)
    assert calls.step(100.0) is None


def test_what_is_said_twice_before_it_is_fetched_counts_once() -> None:
    calls = Calls()
    assert [calls.hear(key, 100.0) for key in (A, B, A)] == [True, True, False]
    assert calls.step(100.0) == (A, B)


def test_what_was_just_fetched_is_fetched_once_more_a_little_later() -> None:
    calls = Calls()
    calls.hear(A, 100.0)
    calls.step(100.0)
    assert [calls.hear(A, 100.5), calls.hear(A, 100.6)] == [True, False]
    assert calls.step(100.6) == 100.0 + REPEAT_S - 100.6
    assert calls.step(100.0 + REPEAT_S) == (A,)
    assert calls.step(100.0 + REPEAT_S) is None


def test_more_than_a_few_are_left_to_one_poll() -> None:
    calls = Calls()
    assert all(calls.hear(key, 100.0) for key in many(FEW + 1))
    assert not calls.hear(A, 100.0)
    assert calls.step(100.0) == "poll"
    assert calls.step(100.0) is None


def test_polls_for_callbacks_rest_in_between() -> None:
    calls = Calls()
    for key in many(FEW + 1):
        calls.hear(key, 100.0)
    assert calls.step(100.0) == "poll"
    for key in many(FEW + 1):
        calls.hear(key, 110.0)
    assert calls.step(110.0) == POLL_REST_S - 10.0
    assert calls.step(100.0 + POLL_REST_S) == "poll"


def test_a_poll_that_begins_answers_for_what_was_heard_before() -> None:
    calls = Calls()
    calls.hear(A, 100.0)
    calls.settle()
    assert calls.step(100.0) is None


def test_what_is_put_off_is_fetched_later() -> None:
    calls = Calls()
    calls.hear(A, 100.0)
    calls.put_off(calls.step(100.0), 105.0)  # type: ignore[arg-type]
    assert calls.step(100.0) == 5.0
    assert calls.step(105.0) == (A,)


def test_an_empty_bucket_fills_with_time() -> None:
    bucket = Bucket(2, 1.0)
    assert [bucket.take(1, 10.0), bucket.take(1, 10.0), bucket.take(1, 10.0)] == [True, True, False]
    assert [bucket.take(1, 11.0), bucket.take(1, 11.0)] == [True, False]
    assert [bucket.take(3, 1000.0), bucket.take(2, 1000.0)] == [False, True]


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 30)), max_size=400))
def test_no_flood_fetches_more_than_its_share_and_nothing_waits_for_ever(said: list[tuple[float, int]]) -> None:
    """Whoever calls whenever with whatever: fetches and polls stay within their minute, and each call is seen to."""
    calls, now = Calls(), 1000.0
    fetched: list[float] = []
    polled: list[float] = []
    owed: set[tuple[str]] = set()

    def look() -> float | None:
        nonlocal owed
        match calls.step(now):
            case "poll":
                polled.append(now)
                owed = set()
            case float() as wait_s:
                assert 0 < wait_s <= POLL_REST_S + NOISE_S
                return wait_s
            case tuple() as keys:
                assert len(keys) <= FEW
                fetched.extend([now] * len(keys))
                owed -= {*keys}
        return None

    for pause_s, number in said:
        now += pause_s
        calls.hear((str(number),), now)
        owed.add((str(number),))
        look()
    for _ in range(2 * FEW):
        now += look() or 0.0
    assert not owed
    for begin in fetched:
        assert sum(begin <= at < begin + 60 for at in fetched) <= 2 * FETCHES_PER_MINUTE
    assert all(later - earlier >= POLL_REST_S - NOISE_S for earlier, later in pairwise(polled))


def test_a_hint_without_a_key_is_a_poll_at_once_and_the_next_one_a_minute_later() -> None:
    calls = Calls()
    assert calls.hear(None, 100.0)
    assert not calls.hear(None, 100.1)
    assert calls.step(100.1) == "poll"
    assert calls.step(100.2) is None
    heard = [calls.hear(None, 101.0 + place) for place in range(50)]
    assert heard.count(True) == 1
    assert calls.step(151.0) == pytest.approx(POLL_REST_S - 50.9)
    assert calls.step(100.1 + POLL_REST_S) == "poll"


def test_a_hint_without_a_key_takes_the_keys_along() -> None:
    calls = Calls()
    calls.hear(A, 100.0)
    calls.hear(None, 100.0)
    assert calls.step(100.0) == "poll"
    assert calls.step(100.0) is None

"""The seconds that a run waited: those in which several of its requests waited count once."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.upstream.waits import Waits

WAITS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=40)


@given(WAITS)
def test_each_second_counts_once(waits: list[list[int]]) -> None:
    waited = Waits()
    for begin, end in sorted(waits, key=lambda each: each[1]):
        waited.add(begin, end)
    assert waited.total_s == len({second for begin, end in waits for second in range(begin, end)})


def test_four_requests_that_wait_together_wait_as_long_as_one() -> None:
    waited = Waits()
    for begin in (10.0, 10.0, 11.0, 9.5):
        waited.add(begin, 20.0)
    assert waited.total_s == 10.5
    waited.add(30.0, 29.0)  # a clock that was set back meanwhile
    assert waited.total_s == 10.5

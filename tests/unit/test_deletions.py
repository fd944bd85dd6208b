"""The breaker: how many rows a listing may bury before it is not believed."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.engine.deletions import BREAKER_ROWS, BREAKER_SHARE, judge, most_believed

COUNTS = st.integers(min_value=0, max_value=10_000_000)
SHARE = Fraction(str(BREAKER_SHARE))


@pytest.mark.parametrize(
    ("gone", "alive", "is_empty", "expected"),
    [
        pytest.param(0, 0, True, None, id="nothing there, nothing listed"),
        pytest.param(0, 50, False, None, id="nothing missing"),
        pytest.param(0, 50, True, None, id="nothing missing, for all rows are newer than the list"),
        pytest.param(10, 12, False, None, id="few rows, though most of them"),
        pytest.param(11, 12, False, "11 or more of 12", id="one too many, most of them"),
        pytest.param(11, 55, False, None, id="just the share"),
        pytest.param(11, 54, False, "11 or more of 54", id="just above the share"),
        pytest.param(200, 1000, False, None, id="just the share of many"),
        pytest.param(201, 1000, False, "201 or more of 1000", id="just above the share of many"),
        pytest.param(1, 1, True, "all of 1", id="a suddenly empty list"),
        pytest.param(3, 5, True, "3 or more of 5", id="a suddenly empty list, two rows are newer"),
        pytest.param(5, 5, False, None, id="all of few, though the list held something"),
        pytest.param(60, 60, False, "all of 60", id="all of many"),
    ],
)
def test_the_breaker_opens_for_many_rows_and_for_an_empty_list(
    gone: int, alive: int, is_empty: bool, expected: str | None
) -> None:
    reason = judge(gone, alive, is_empty=is_empty)
    assert reason == (expected and f"the listing would bury {expected} rows; nothing was buried")


@given(COUNTS, COUNTS)
def test_a_listing_is_refused_exactly_above_the_share_and_above_a_few_rows(gone: int, alive: int) -> None:
    is_above = gone > BREAKER_ROWS and gone > alive * SHARE
    assert (judge(gone, alive, is_empty=False) is not None) is is_above
    assert (gone > most_believed(alive)) is is_above


@given(COUNTS, COUNTS)
def test_an_empty_list_buries_nothing(gone: int, alive: int) -> None:
    assert (judge(gone, alive, is_empty=True) is None) is (gone == 0)


@given(COUNTS, COUNTS)
def test_it_is_enough_to_count_one_more_than_is_believed(gone: int, alive: int) -> None:
    """Counting stops there, so that a mirror of millions is not read for a list that is refused anyway."""
    counted = min(gone, most_believed(alive) + 1)
    assert (judge(counted, alive, is_empty=False) is None) is (judge(gone, alive, is_empty=False) is None)

"""The order in which the workers of a run take its cases (`tests/support/dealing.py`)."""

import pytest

from tests.support.dealing import deal


def shares(cases: list[str], workers: int) -> list[list[str]]:
    """Cut a list as xdist does when it begins: with `--dist worksteal` each worker has a share of its own."""
    cut, left = [], list(cases)
    for worker in range(workers):
        size = len(left) // (workers - worker)
        cut.append(left[:size])
        left = left[size:]
    return cut


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
@pytest.mark.parametrize(("short", "long"), [(100, 6), (101, 13), (3, 0), (0, 9), (2, 2), (1, 30)])
def test_each_worker_begins_with_its_part_of_the_long_cases(workers: int, short: int, long: int) -> None:
    cases = [f"short {number}" for number in range(short)] + [f"long {number}" for number in range(long)]
    dealt = deal(cases, workers, lambda case: case.count("long"))
    assert sorted(dealt) == sorted(cases)
    counts = []
    for share in shares(dealt, workers):
        is_long = [case.startswith("long") for case in share]
        assert is_long == sorted(is_long, reverse=True), share
        counts.append(sum(is_long))
    assert max(counts) - min(counts) <= 1


def test_the_longest_come_first_and_the_others_keep_their_order() -> None:
    dealt = deal(["a", "long b", "c", "long long d", "e", "long f", "g", "h"], 2, lambda case: case.count("long"))
    assert dealt == ["long b", "a", "c", "e", "long long d", "long f", "g", "h"]

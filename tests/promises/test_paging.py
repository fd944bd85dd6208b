"""A list that shifts while it is walked by offset: no row that was there all the time is missed."""

import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.contract import Answer
from syncd.contract.paging import EMPTY_PAGES, Resume, Slice, walk_offsets
from syncd.errors import BadPayload

ANSWER = Answer(status=200, headers={}, body=b"", sent_at=datetime(2026, 11, 22, tzinfo=UTC), served_at=None)
Fetch = Callable[[int], Awaitable[Slice]]


def piece(rows: list[int], following: int | None) -> Slice:
    return Slice(records=[b"%d" % row for row in rows], keys=rows, next_offset=following, answer=ANSWER)


class Upstream:
    """A list of numbers served by offset, that shifts as told between one request and the next."""

    def __init__(self, rows: list[int], page: int, shifts: list[tuple[bool, float]] = []) -> None:  # noqa: B006
        self.rows = rows
        self.page = page
        self.gone: set[int] = set()
        self._shifts = iter(shifts)
        self._fresh = itertools.count(10_000)
        self.asked: list[int] = []

    async def fetch(self, offset: int) -> Slice:
        self.asked.append(offset)
        rows = self.rows[offset : offset + self.page]
        end = offset + len(rows)
        answer = piece(rows, end if end < len(self.rows) else None)
        for inserts, where in itertools.islice(self._shifts, 1):
            at = int(where * len(self.rows))
            if inserts:
                self.rows.insert(at, next(self._fresh))
            elif self.rows:
                self.gone.add(self.rows.pop(min(at, len(self.rows) - 1)))
        return answer


async def walked(fetch: Fetch, resume: Resume | None = None) -> list[int]:
    return [int(record) async for found, _ in walk_offsets(fetch, resume=resume) for record in found.records]


async def plainly_walked(fetch: Fetch) -> list[int]:
    seen, offset = [], 0
    while True:
        found = await fetch(offset)
        seen += [int(record) for record in found.records]
        if found.next_offset is None:
            return seen
        offset = found.next_offset


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    size=st.integers(0, 40),
    page=st.integers(4, 9),
    shifts=st.lists(st.tuples(st.booleans(), st.floats(0, 0.999)), max_size=20),
)
async def test_no_row_that_stays_is_missed(size: int, page: int, shifts: list[tuple[bool, float]]) -> None:
    upstream = Upstream(list(range(size)), page, shifts)
    seen = set(await walked(upstream.fetch))
    assert set(range(size)) - upstream.gone <= seen


async def test_a_plain_walk_would_have_lost_a_row() -> None:
    shift = [(False, 0.0)]  # after the first page, the first row is deleted
    assert 3 not in await plainly_walked(Upstream(list(range(9)), 3, shift).fetch)
    assert 3 in await walked(Upstream(list(range(9)), 3, shift).fetch)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(size=st.integers(3, 30), page=st.integers(2, 6), stop=st.integers(1, 5), removed=st.integers(0, 4))
async def test_a_resumed_walk_misses_nothing_either(size: int, page: int, stop: int, removed: int) -> None:
    """Between the walk that was cut short and its resumption rows ahead of the resume point are deleted."""
    upstream = Upstream(list(range(size)), page)
    seen: list[int] = []
    resume: Resume | None = None
    async for found, resume in walk_offsets(upstream.fetch):  # noqa: B007  (the last one is used)
        seen += [int(record) for record in found.records]
        stop -= 1
        if not stop:
            break
    upstream.gone.update(upstream.rows[:removed])
    del upstream.rows[:removed]
    if resume:
        restored = Resume.from_json(resume.to_json())
        seen += await walked(upstream.fetch, restored)
    assert set(range(size)) - upstream.gone <= set(seen)


async def test_an_undisturbed_walk_asks_for_each_page_once() -> None:
    upstream = Upstream(list(range(10)), 4)
    assert sorted(set(await walked(upstream.fetch))) == list(range(10))
    assert upstream.asked == [0, 3, 6]


LOOPS = {
    "next offset repeats": [piece([1, 2], 2), piece([2, 3], 2)],
    "next offset falls": [piece([1, 2], 2), piece([2, 3], 1)],
    "offset ignored": [piece([1, 2, 3], offset) for offset in (3, 5, 7, 9)],
    "empty pages without end": [piece([], offset) for offset in range(1, EMPTY_PAGES + 3)],
}


@pytest.mark.parametrize("name", LOOPS)
async def test_loops_fail(name: str) -> None:
    pieces = iter(LOOPS[name])

    async def fetch(_offset: int) -> Slice:
        return next(pieces)

    with pytest.raises(BadPayload, match="loop"):
        await walked(fetch)

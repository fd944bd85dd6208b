"""A list that shifts while it is walked by offset: no row that was there all the time is missed."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd.contract import Answer
from syncd.contract.early import IS_FORETOLD, Early, in_order
from syncd.contract.paging import EMPTY_PAGES, Resume, Slice, walk_offsets
from syncd.errors import BadPayload, UpstreamError

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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(size=st.integers(0, 30), pages=st.lists(st.integers(1, 4), min_size=1, max_size=12))
async def test_pages_of_any_length_are_walked_to_the_end(size: int, pages: list[int]) -> None:
    lengths = itertools.cycle(pages)

    async def fetch(offset: int) -> Slice:
        rows = list(range(size))[offset : offset + next(lengths)]
        end = offset + len(rows)
        return piece(rows, end if end < size else None)

    assert sorted(set(await walked(fetch))) == list(range(size))


class Wire:
    """Answers requests in any order: several lie on the wire, and the next one is drawn from `order`."""

    def __init__(self, fetch: Fetch, order: list[int]) -> None:
        self._fetch = fetch
        self.sent = 0
        self._order = iter(order)
        self._waiting: list[tuple[int, asyncio.Future[Slice]]] = []

    async def fetch(self, offset: int) -> Slice:
        self.sent += 1
        answer: asyncio.Future[Slice] = asyncio.get_running_loop().create_future()
        self._waiting.append((offset, answer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # all that is asked at once is asked by now
        while not answer.done():
            self._waiting = [each for each in self._waiting if not each[1].done()]
            if not self._waiting:
                break
            chosen, waiting = self._waiting.pop(next(self._order, 0) % len(self._waiting))
            waiting.set_result(await self._fetch(chosen))
            await asyncio.sleep(0)
        return await answer


async def walked_early(
    fetch: Fetch, in_flight: int, resume: Resume | None = None, *, usual: int = 0
) -> tuple[list[int], list[int]]:
    """Walk with foretold pages; return the rows, and the offsets at which the walk could be resumed."""

    async def usual_rows() -> int:
        return usual

    early = Early(in_flight=in_flight, foretells=True, usual_rows=usual_rows)
    rows: list[int] = []
    ends: list[int] = []
    async for found, after in walk_offsets(fetch, resume=resume, early=early):
        rows += [int(record) for record in found.records]
        ends += [after.offset] if after else []
    await early.end()
    return rows, ends


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    size=st.integers(0, 60),
    page=st.integers(4, 9),
    in_flight=st.integers(2, 5),
    order=st.lists(st.integers(0, 4), max_size=40),
    shifts=st.lists(st.tuples(st.booleans(), st.floats(0, 0.999)), max_size=20),
)
async def test_foretold_pages_miss_no_row_that_stays(
    size: int, page: int, in_flight: int, order: list[int], shifts: list[tuple[bool, float]]
) -> None:
    upstream = Upstream(list(range(size)), page, shifts)
    seen, _ = await walked_early(Wire(upstream.fetch, order).fetch, in_flight)
    assert set(range(size)) - upstream.gone <= set(seen)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    size=st.integers(0, 60),
    page=st.integers(4, 9),
    in_flight=st.integers(2, 5),
    order=st.lists(st.integers(0, 4), max_size=40),
    moves=st.lists(st.tuples(st.booleans(), st.floats(0, 0.999)), max_size=20),
)
@example(size=27, page=6, in_flight=2, order=[], moves=[(False, 0.0)] * 4 + [(True, 0.0), (True, 0.75)])
async def test_foretold_pages_miss_no_row_that_moves_to_the_end(
    size: int, page: int, in_flight: int, order: list[int], moves: list[tuple[bool, float]]
) -> None:
    """A list in the order of change: a row that changes between two answers leaves its place and comes last."""
    upstream = Upstream(list(range(size)), page)
    changes = iter(moves)

    async def fetch(offset: int) -> Slice:
        answer = await upstream.fetch(offset)
        for moved, where in itertools.islice(changes, 1):
            if moved and upstream.rows:
                upstream.rows.append(upstream.rows.pop(int(where * len(upstream.rows))))
        return answer

    seen, _ = await walked_early(Wire(fetch, order).fetch, in_flight)
    assert set(range(size)) <= set(seen)


@pytest.mark.parametrize(
    ("rows", "page", "usual", "asked"),
    [
        pytest.param(3, 4, 0, 1, id="one page: nothing is foretold"),
        pytest.param(7, 4, 8, 2, id="two pages, as usual: nothing is asked in vain"),
        pytest.param(7, 4, 0, 2, id="two pages of a list that was never walked: nothing either"),
        pytest.param(31, 4, 40, 10, id="ten pages, as usual"),
        pytest.param(31, 4, 0, 13, id="ten pages of a list that was never walked: at most three in vain"),
        pytest.param(31, 4, 16, 10, id="the list has grown: the rest is walked page by page"),
    ],
)
async def test_at_most_three_pages_are_asked_for_in_vain(rows: int, page: int, usual: int, asked: int) -> None:
    upstream = Upstream(list(range(rows)), page)
    wire = Wire(upstream.fetch, [])
    seen, ends = await walked_early(wire.fetch, 4, usual=usual)
    assert sorted(set(seen)) == list(range(rows))
    assert len(ends) + 1 <= wire.sent <= asked
    assert ends == sorted(ends)


async def test_foretold_pages_are_on_the_wire_together() -> None:
    upstream, most, under_way = Upstream(list(range(100)), 5), 0, 0

    async def fetch(offset: int) -> Slice:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        under_way -= 1
        return await upstream.fetch(offset)

    seen, _ = await walked_early(fetch, 4)
    assert sorted(set(seen)) == list(range(100))
    assert most == 4


@pytest.mark.parametrize("fault", ["fails", "is another page", "ends the list", "changed meanwhile"])
@pytest.mark.parametrize("strikes", range(1, 8))
async def test_a_wrong_foretold_page_is_asked_for_again(fault: str, strikes: int) -> None:
    """After it the walk goes on page by page, and what was asked in vain are three pages at most."""
    upstream, fetched = Upstream(list(range(40)), 5), 0

    async def fetch(offset: int) -> Slice:
        nonlocal fetched
        fetched += 1
        if fetched - 1 != strikes or not IS_FORETOLD.get():
            return await upstream.fetch(offset)
        match fault:
            case "fails":
                raise UpstreamError("no answer", status=503)
            case "is another page":
                return await upstream.fetch(max(0, offset - 2))
            case "ends the list":
                return replace(await upstream.fetch(offset), records=[], keys=[], next_offset=None)
            case _:
                found = await upstream.fetch(offset)
                return replace(found, records=[b"0" + found.records[0], *found.records[1:]])

    seen, _ = await walked_early(fetch, 4)
    assert sorted(set(seen)) == list(range(40))
    assert fetched <= 10 + 3 + 1


async def test_steps_are_asked_for_together_and_given_in_their_order() -> None:
    most = under_way = 0

    async def ask(step: int) -> int:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - step):
            await asyncio.sleep(0)
        under_way -= 1
        return step * step

    assert [found async for found in in_order(range(10), ask, Early(in_flight=3))] == [(n, n * n) for n in range(10)]
    assert most == 3


async def test_an_error_of_a_step_comes_in_its_turn() -> None:
    asked = []

    async def ask(step: int) -> int:
        asked.append(step)
        if step == 3:
            raise UpstreamError("no answer", status=503)
        return step

    steps = in_order(range(100), ask, Early(in_flight=4))
    assert [await anext(steps) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(UpstreamError):
        await anext(steps)
    assert max(asked) <= 6


async def test_a_server_that_is_down_is_asked_once() -> None:
    asked = []

    async def ask(step: int) -> int:
        asked.append(step)
        raise UpstreamError("no answer", status=503)

    with pytest.raises(UpstreamError):
        await anext(in_order(range(100), ask, Early(in_flight=4)))
    assert asked == [0]


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
    "the same row for ever": [piece([1, 1, 1], offset) for offset in (3, 6, 9, 12)],
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

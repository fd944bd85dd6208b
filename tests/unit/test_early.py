"""Requests before their turn: the end of a walk waits until they have ended, also those that nobody needs now."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import pytest

from syncd.contract import Page, Walk
from syncd.contract.early import Early, Foretold, in_order
from syncd.contract.source import Stream
from syncd.sources.cyclesoftware import SOURCE
from tests.support.sources.cyclesoftware import walk_of


class Slow:
    """Answers the first request; each of the others is in the middle of something that takes a while to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended: list[int] = []

    async def __call__(self, at: int) -> int:
        if at == 0:
            return at
        try:
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(9):  # such as a statement that is cancelled: its connection must be given back
                await asyncio.sleep(0)
            self.ended.append(at)
        return at


async def _steps(asks: Slow, walk: Walk) -> AsyncGenerator[Page]:
    async for at, _ in in_order(range(3), asks, walk.early):
        yield Page(records=[b"%d" % at], cursor=None, requested_at=walk.now())


async def _foretold(asks: Slow, walk: Walk) -> AsyncGenerator[Page]:
    foretold = Foretold(asks, walk.early)
    foretold.ask(0, [1, 2])
    yield Page(records=[b"0"], cursor=None, requested_at=walk.now())
    foretold.miss()
    yield Page(records=[b"1"], cursor=None, requested_at=walk.now())


@pytest.mark.parametrize("way", [_steps, _foretold])
@pytest.mark.parametrize("pages_read", [1, 2])
async def test_the_end_of_a_walk_waits_for_what_it_asked_for_early(way: object, pages_read: int) -> None:
    asks = Slow()

    def walk_through(walk: Walk) -> AsyncIterator[Page]:
        return way(asks, walk)  # type: ignore[operator, no-any-return]

    stream: Stream = replace(SOURCE.stream("customers"), walk=walk_through)
    walk = replace(walk_of(None), early=Early(in_flight=3, foretells=True))
    async with stream.pages(walk) as pages:
        await anext(pages)
        await asyncio.wait_for(asks.begun.wait(), 5)
        if pages_read == 2 and way is _foretold:
            await anext(pages)
    assert sorted(asks.ended) == [1, 2]

"""How many runs of this process are under way at once, in all and for one source."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from syncd import counters

RUNS_AT_ONCE: Final = 24
"""Runs of this process under way at once. They mostly wait for their upstreams: 4,000 streams of 1.5 s in five minutes
need 20. Each holds a page or two in memory, and borrows a connection of the pool for its statements only."""
RUNS_AT_ONCE_PER_SOURCE: Final = 3
"""Of these for one source: a source that hangs leaves seats to the others."""


class Seats:
    """The seats of this process. A run waits for one of its source first, so that it blocks no other source."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(RUNS_AT_ONCE)
        self._of_source: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def taken(self, source: str) -> AsyncIterator[None]:
        """Wait for a seat and hold it; the metrics count who waits and who is under way."""
        of_source = self._of_source.setdefault(source, asyncio.Semaphore(RUNS_AT_ONCE_PER_SOURCE))
        async with contextlib.AsyncExitStack() as stack:
            with counters.one_more(counters.waiting, source):
                await stack.enter_async_context(of_source)
                await stack.enter_async_context(self._all)
            stack.enter_context(counters.one_more(counters.under_way, source))
            yield

"""A virtual clock under which real input and output go on: it moves only while everybody sleeps by it.

So a day passes in seconds, and a statement to a real PostgreSQL takes no time at all.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from syncd.storage.postgres.database import Database


class VirtualTime:
    """The clock, and the tasks that live by it."""

    def __init__(self, at: datetime) -> None:
        self.at = at.timestamp()
        self._under_way = 0
        self._is_looking = False
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the instant."""
        return datetime.fromtimestamp(self.at, UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep in virtual time."""
        await self.until(self.at + seconds)

    async def until(self, instant: float) -> None:
        """Sleep until an instant (epoch seconds)."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (instant, next(self._numbers), woken))
        self._look()
        await woken

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let the clock stand while something real is under way."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._look()

    async def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run to the end of `main`, then cancel the tasks that it left; whatever one of them failed with is raised."""
        others = asyncio.all_tasks()
        running = asyncio.create_task(main)
        while not running.done():
            own = asyncio.all_tasks() - others
            done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
        left = asyncio.all_tasks() - others
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _look(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._move_on)

    def _move_on(self) -> None:
        """Wake the next sleeper, once nobody else has anything to do."""
        loop = asyncio.get_running_loop()
        self._is_looking = False
        if self._under_way:
            return  # whoever ends that looks again
        if loop._ready:  # type: ignore[attr-defined]  # noqa: SLF001  (no other way to see that all wait)
            self._look()
            return
        while self._sleepers:
            instant, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():  # else it was cancelled in its sleep
                self.at = max(self.at, instant)
                woken.set_result(None)
                self._look()  # it may end without another sleep
                return


class TimedDatabase(Database):
    """A database whose statements take no virtual time."""

    def __init__(self, time: VirtualTime, url: str) -> None:
        super().__init__(url, "of the simulation")
        self.time = time
        self.leases = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection; the clock stands meanwhile."""
        self.leases += 1
        with self.time.standing():
            async with super().connection() as conn:
                yield conn

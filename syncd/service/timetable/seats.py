"""How many runs of this process work at once, in all and for one source.

A run has a seat while it works, and lends it out while it waits: for an answer, for the budget, for a login of another
run. So a server that hangs holds up nobody else. Sources that answered last time have most seats for themselves.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from syncd.log import counters

SEATS: Final = 16
"""Runs at work at once, of sources that answered last time. Each holds a page or two in memory, and borrows a
connection of the pool for its statements only."""
OTHER_SEATS: Final = 8
"""Those of all other sources: new ones, and those that did not answer."""
OF_SOURCE: Final = 3
"""Runs of one source under way at once,"""
OF_SILENT: Final = 1
"""and of one that did not answer: one request is enough to learn whether it does again."""
LENT_AFTER_S: Final = 0.25
"""A run that has waited for so long lends its seat out. Most answers come sooner."""
LENT_MOST: Final = 2_000
"""Runs that wait without a seat, each with a connection of its own; any more keep their seats meanwhile."""


class Seats:
    """The seats of this process. A run waits for one of its source first, so that it blocks no other source."""

    def __init__(self, answering: Iterable[str] = ()) -> None:
        self._pools = {True: asyncio.Semaphore(SEATS), False: asyncio.Semaphore(OTHER_SEATS)}
        self._answering = dict.fromkeys(answering, True)
        self._of_source: dict[str, _OfSource] = {}
        self._lent = 0

    @contextlib.asynccontextmanager
    async def taken(self, source: str) -> AsyncIterator["RunSeat"]:
        """Wait for a seat and hold it; the metrics count who waits and who is under way."""
        seat = RunSeat(self, source)
        with contextlib.ExitStack() as stack:
            with counters.one_more(counters.waiting, source):
                await self._of_source.setdefault(source, _OfSource()).enter(self._most(source))
                stack.callback(self._leave, source)
                await seat.take()
                stack.callback(seat.give_back)
            stack.enter_context(counters.one_more(counters.under_way, source))
            yield seat

    def heard(self, source: str, *, is_answering: bool) -> None:
        """Hear whether a source answered; if it did, its runs that wait may begin."""
        self._answering[source] = is_answering
        if is_answering and (runs := self._of_source.get(source)):
            runs.wake(OF_SOURCE)

    def know(self, answering: Iterable[str]) -> None:
        """Learn which sources answered last time."""
        self._answering.update(dict.fromkeys(answering, True))

    def pool_of(self, source: str) -> asyncio.Semaphore:
        """Return the seats that a source takes its own from."""
        return self._pools[self._answering.get(source, False)]

    @contextlib.contextmanager
    def lending(self) -> Iterator[None]:
        """Count one run that waits without a seat."""
        self._lent += 1
        try:
            yield
        finally:
            self._lent -= 1

    @property
    def may_lend(self) -> bool:
        """Whether one more run may wait without a seat."""
        return self._lent < LENT_MOST

    def _most(self, source: str) -> int:
        return OF_SOURCE if self._answering.get(source, True) else OF_SILENT

    def _leave(self, source: str) -> None:
        runs = self._of_source[source]
        runs.leave(self._most(source))
        if not runs.under_way:
            del self._of_source[source]


class _OfSource:
    """The runs of one source: how many are under way, and those that wait, the oldest first."""

    def __init__(self) -> None:
        self.under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, most: int) -> None:
        """Begin, or wait until another run leaves its place to this one."""
        if self.under_way < most:
            self.under_way += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was this run's already
                self.leave(most)
            raise

    def leave(self, most: int) -> None:
        """Leave a place to the run that has waited longest."""
        self.under_way -= 1
        self.wake(most)

    def wake(self, most: int) -> None:
        """Let as many begin as may be under way."""
        while self.under_way < most and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self.under_way += 1


class RunSeat:
    """The seat of one run; implements `syncd.upstream.seat.Seat`.

    It is lent out when nothing that the run waits for has come for LENT_AFTER_S.
    """

    def __init__(self, seats: Seats, source: str) -> None:
        self._seats = seats
        self._source = source
        self._pool: asyncio.Semaphore | None = None
        self._taking = asyncio.Lock()
        self._waits = 0
        self._is_heard = False
        self._timer: asyncio.TimerHandle | None = None
        self._loan = contextlib.ExitStack()

    @property
    def is_lent(self) -> bool:
        """Whether the run waits, and others use its seat."""
        return self._pool is None

    async def take(self) -> None:
        """Wait for a seat; harmless if the run has one."""
        async with self._taking:
            if self._pool is None:
                pool = self._seats.pool_of(self._source)
                await pool.acquire()
                self._pool = pool
                self._loan.close()

    def give_back(self) -> None:
        """Give the seat back for good; harmless if the run has none."""
        self._stop_timer()
        self._loan.close()
        if self._pool is not None:
            self._pool.release()
            self._pool = None

    def heard(self, *, is_answering: bool) -> None:
        """See `syncd.upstream.seat.Seat`."""
        self._is_heard |= is_answering
        self._seats.heard(self._source, is_answering=is_answering)

    @contextlib.asynccontextmanager
    async def waiting(self, *, at_once: bool = False) -> AsyncIterator[None]:
        """See `syncd.upstream.seat.Seat`."""
        self._waits += 1
        if at_once and not self._is_heard:
            self._lend()
        elif self._timer is None:
            self._start_timer()
        is_cancelled = False
        try:
            yield
        except asyncio.CancelledError:
            is_cancelled = True
            raise
        finally:
            self._waits -= 1
            self._stop_timer()
            if not is_cancelled:
                await self.take()
            if self._waits:
                self._start_timer()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LENT_AFTER_S, self._lend)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lend(self) -> None:
        self._stop_timer()
        if self._pool is not None and self._seats.may_lend:
            self._loan.enter_context(self._seats.lending())
            self._pool.release()
            self._pool = None

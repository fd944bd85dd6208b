"""The runs under way, each in a task of our own, so that they can be ended at a page: APScheduler would cancel them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from syncd.records.rows import Key
from syncd.status import Pair
from syncd.upstream.seat import OWN_SEAT, Seat

WAITING_S: Final = 2.0
"""A run that has lent its seat out waits for an answer that may never come: it is given this long to end."""
CANCEL_S: Final = 2.0
"""A run that was cancelled closes its row in syncd.runs within this."""


@dataclass(kw_only=True)
class Work:
    """One run under way.

    named      the records that it asks for because of callbacks; empty for a polling run
    is_due     whether the poll fell due meanwhile
    stop       ends the run at the next page
    is_seated  whether it got a seat yet
    seat       the seat that it got
    """

    named: tuple[Key, ...] = ()
    is_due: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    is_seated: bool = False
    seat: Seat = OWN_SEAT
    task: asyncio.Task[None] | None = None


class Tasks:
    """The runs under way, at most one per stream; `work` does one."""

    def __init__(self, work: Callable[[Pair, Work], Awaitable[None]]) -> None:
        self._work = work
        self._under_way: dict[Pair, Work] = {}

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._under_way

    def get(self, pair: Pair) -> Work | None:
        """Return what is under way of a stream."""
        return self._under_way.get(pair)

    def any_of(self, source: str) -> bool:
        """Say whether any run of a source is under way."""
        return any(pair[0] == source for pair in self._under_way)

    def begin(self, pair: Pair, named: tuple[Key, ...] = ()) -> None:
        """Start a run of a stream."""
        work = self._under_way[pair] = Work(named=named)
        work.task = asyncio.create_task(self._do(pair, work))
        work.task.add_done_callback(lambda _task: self.ended(pair, work))  # one cancelled before its first step, too

    async def _do(self, pair: Pair, work: Work) -> None:
        await self._work(pair, work)

    def ended(self, pair: Pair, work: Work) -> None:
        """Forget a run that has ended; harmless the second time."""
        if self._under_way.get(pair) is work:
            del self._under_way[pair]

    def stop(self, pair: Pair) -> None:
        """End the run of a stream at its next page, if one is under way."""
        if work := self._under_way.get(pair):
            work.stop.set()

    async def drain(self, sources: Collection[str] | None, grace_s: float) -> None:
        """End the runs of these sources (None: all) at their next page; cancel what has not ended after `grace_s`.

        A run that waits for a seat is cancelled at once, one that waits for an answer soon: it has nothing to commit.
        """
        tasks: dict[asyncio.Task[None], Work] = {}
        for pair, work in self._under_way.items():
            if sources is None or pair[0] in sources:
                work.stop.set()
                if work.task is not None:
                    tasks[work.task] = work
                    if not work.is_seated:
                        work.task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=min(WAITING_S, grace_s))
        for task in late:
            if tasks[task].seat.is_lent:
                task.cancel()
        if late:
            _, late = await asyncio.wait(late, timeout=max(0.0, grace_s - WAITING_S))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_S)

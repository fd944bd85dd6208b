"""Requests that a walk sends before it is their turn: several are on the wire, and their answers come in order.

Two kinds. Steps that are asked for anyway, such as keys to look up or windows of days: see `in_order`. Pages that
nobody has said exist: they are foretold by `paging`, and one that proves wrong is thrown away.

Knows no API, and never judges an answer.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from syncd.contract.errors import UpstreamError

Step = TypeVar("Step")
Got = TypeVar("Got")

IS_FORETOLD: Final = ContextVar("IS_FORETOLD", default=False)
"""Whether the request that is being sent is for a foretold page: it is tried once, because it may be in vain."""


EARLY_BYTES: Final = 2**21
"""Most bytes of answers that wait for their turn in one walk; our choice. Reading and writing them takes longer then
than asking for the next one."""


_HEARD_S: Final = 5.0
"""After this a task is cancelled once more: `asyncio.wait_for` of Python 3.11 can lose a cancellation."""


async def _unknown() -> int:
    return 0


@dataclass(kw_only=True)
class Early:
    """How much a run may ask before its turn; it also holds what is under way, so that the end of the run ends it.

    in_flight   requests of the walk that may be on the wire at once; 1: each waits for the answer before
    foretells   whether pages may be foretold at all: not on a tick, which usually brings one page
    has_room    whether the budget has room for a request that may be in vain
    usual_rows  reads the most rows that a good run of the stream ever saw, those that two pages share counted twice;
                0 if that is not known
    """

    in_flight: int = 1
    foretells: bool = False
    has_room: Callable[[], bool] = lambda: True
    usual_rows: Callable[[], Awaitable[int]] = _unknown
    _usual: int | None = field(default=None, init=False)
    _under_way: set[asyncio.Task[Any]] = field(default_factory=set, init=False, repr=False)

    def ask(self, asking: Coroutine[Any, Any, Got]) -> "asyncio.Task[Got]":
        """Begin to ask at once; an error waits for whoever awaits the answer."""
        task = asyncio.ensure_future(asking)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    async def usual(self) -> int:
        """Return the usual number of rows; it is read once."""
        if self._usual is None:
            self._usual = await self.usual_rows()
        return self._usual

    async def end(self) -> None:
        """End all that is under way, and wait until it has ended."""
        tasks = list(self._under_way)
        drop(tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_HEARD_S)
        for task in tasks:
            task.cancel()  # no effect on those that have ended
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # heard: nobody may ever ask for an answer that came early


def drop(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, each once: a second time would break off what a task does to end, such as a rollback."""
    for task in tasks:
        if not task.cancelling():
            task.cancel()


async def in_order(
    steps: Iterable[Step], ask: Callable[[Step], Coroutine[Any, Any, Got]], early: Early
) -> AsyncGenerator[tuple[Step, Got]]:
    """Ask for each step, and give the answers in the order of the steps; some are asked for before their turn.

    The first step is asked for alone, so that a server which is down costs one request. An error is raised in the turn
    of its step; what was asked for after that step is ended.
    """
    todo = iter(steps)
    asked: deque[tuple[Step, asyncio.Task[Got]]] = deque()

    def ask_until(most: int) -> None:
        for step in islice(todo, most - len(asked)):
            asked.append((step, early.ask(ask(step))))

    try:
        ask_until(1)
        while asked:
            step, answer = asked.popleft()
            found = await answer
            ask_until(early.in_flight)  # before the caller is at work on this answer: nothing is read or stored faster
            yield step, found
    finally:
        drop(answer for _, answer in asked)


class Foretold(Generic[Got]):
    """Answers to requests by a number (an offset) that nobody has said exists, each asked for once at most.

    After one that was wrong, or that failed, nothing is foretold any more.
    """

    def __init__(self, fetch: Callable[[int], Awaitable[Got]], early: Early) -> None:
        self._fetch = fetch
        self._early = early
        self._asked: dict[int, asyncio.Task[Got]] = {}
        self.may_ask = early.foretells and early.in_flight > 1

    def ask(self, following: int, later: Sequence[int]) -> None:
        """Ask for the offsets that come later than the following one, unless that was done before.

        It is a miss if anything else was asked for early. Nothing is asked for while the budget has no room.
        """
        if self._asked.keys() - {following, *later}:
            self.miss()
        for offset in later:
            if self.may_ask and offset not in self._asked and self._early.has_room():
                self._asked[offset] = self._early.ask(self._once(offset))

    async def take(self, offset: int) -> Got | None:
        """Return the answer for an offset, None if it was not asked for early, or failed."""
        task = self._asked.pop(offset, None)
        try:
            return await task if task else None
        except UpstreamError:
            self.miss()
            return None

    def miss(self) -> None:
        """Throw away what was asked for early, and ask for nothing early any more."""
        self.may_ask = False
        drop(self._asked.values())
        self._asked.clear()

    async def _once(self, offset: int) -> Got:
        IS_FORETOLD.set(True)
        return await self._fetch(offset)

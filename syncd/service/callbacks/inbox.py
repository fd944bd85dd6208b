"""Records that come in webhooks and stand nowhere else: committed before their call is answered.

Calls that come together are stored together, by one run of the stream at a time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from syncd.engine.order import Order, Result
from syncd.errors import LockHeld, SyncdError
from syncd.status import Pair

LOCKED_S: Final = 0.25
LOCKED_TRIES: Final = 12
"""Another process at the stream is waited for this often; the caller gets a 503 after three seconds, and may return."""


@dataclass(kw_only=True)
class _Letter:
    records: Sequence[bytes]
    stored: asyncio.Future[None]


class Inbox:
    """What is still to be stored, by stream; `run` runs a stream."""

    def __init__(self, run: Callable[[Pair, Order], Awaitable[Result]]) -> None:
        self._run = run
        self._waiting: dict[Pair, list[_Letter]] = {}
        self._tasks: dict[Pair, asyncio.Task[None]] = {}

    async def store(self, pair: Pair, records: Sequence[bytes]) -> None:
        """Return once these records are committed. Raises SyncdError if that failed: then they may come again."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(pair, []).append(_Letter(records=records, stored=stored))
        if pair not in self._tasks:
            self._tasks[pair] = asyncio.create_task(self._empty(pair))
        await stored

    async def _empty(self, pair: Pair) -> None:
        """Store what waits, until nothing does."""
        letters: list[_Letter] = []
        try:
            while letters := self._waiting.pop(pair, []):
                error = await self._try([record for one in letters for record in one.records], pair)
                for one in letters:
                    if one.stored.done():  # its caller has gone
                        continue
                    if error:
                        one.stored.set_exception(error)
                    else:
                        one.stored.set_result(None)
        finally:
            del self._tasks[pair]
            for one in (*letters, *self._waiting.pop(pair, [])):
                one.stored.cancel()

    async def _try(self, records: Sequence[bytes], pair: Pair) -> SyncdError | None:
        for left in reversed(range(LOCKED_TRIES)):
            try:
                result = await self._run(pair, Order(kind="callback", pushed=records))
            except LockHeld as error:
                if not left:
                    return error
                await asyncio.sleep(LOCKED_S)
            except SyncdError as error:
                return error
            else:
                return None if result.outcome == "ok" else result.error or SyncdError(f"the run was {result.outcome}")
        raise AssertionError("the last try ends the loop")

    async def close(self) -> None:
        """End what is under way; who waits for it is told that nothing is certain."""
        for task in list(self._tasks.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

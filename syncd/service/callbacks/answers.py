"""What the callbacks about all streams lead to, and when each stream is looked at again.

Owns one `Calls` per stream and the timers between them. Starts no run: it says what to start.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from syncd import log
from syncd.records.rows import Key
from syncd.service.callbacks.throttle import Calls
from syncd.status import Pair

LOCKED_S: Final = 5.0
"""A record that a callback named is asked for so much later if another process is at its stream."""

_log = log.get(__name__)


class Answers:
    """The callbacks that have led to nothing yet; `look` is called with a stream that may have something to do."""

    def __init__(self, look: Callable[[Pair], None]) -> None:
        self._look = look
        self._calls: dict[Pair, Calls] = {}
        self._timers: dict[Pair, asyncio.TimerHandle] = {}
        self._left_to_poll: set[Pair] = set()

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._calls

    def hear(self, pair: Pair, key: Key | None) -> str:
        """Note that a callback named a record (None: only its stream), and look at once; return what becomes of it."""
        is_new = self._calls.setdefault(pair, Calls()).hear(key, time.monotonic())
        self._look(pair)
        return "left to poll" if self.is_left_to_poll(pair) else "accepted" if is_new else "repeated"

    def next(self, pair: Pair) -> tuple[Key, ...] | Literal["poll"] | None:
        """Return what to begin now: records to fetch, a polling run, or nothing yet; then `look` is called in time."""
        if pair in self._timers:
            self._timers.pop(pair).cancel()
        step = self._calls[pair].step(time.monotonic())
        if isinstance(step, float):
            self._timers[pair] = asyncio.get_running_loop().call_later(step, self._look, pair)
            return None
        return step

    def settle(self, pair: Pair) -> None:
        """Forget what was heard of a stream: a run that begins now, or a later one, will find it."""
        if pair in self._calls:
            self._calls[pair].settle()

    def put_off(self, pair: Pair, named: tuple[Key, ...]) -> None:
        """Ask for these records later, because another process is at the stream."""
        self._calls[pair].put_off(named, time.monotonic() + LOCKED_S)

    def is_left_to_poll(self, pair: Pair) -> bool:
        """Say whether callbacks about a stream lead to nothing until a poll goes well."""
        return pair in self._left_to_poll

    def leave_to_poll(self, pair: Pair) -> None:
        """Fetch nothing more for callbacks about a stream until `polled_well`; told once."""
        self.settle(pair)
        if pair not in self._left_to_poll:
            self._left_to_poll.add(pair)
            _log.info("callbacks_left_to_poll", source=pair[0], stream=pair[1])

    def polled_well(self, pair: Pair) -> None:
        """Fetch for callbacks again."""
        self._left_to_poll.discard(pair)

    def look_at_all(self) -> None:
        """Look at every stream: what held them back is over."""
        for pair in list(self._calls):
            self._look(pair)

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()

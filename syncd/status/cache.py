"""A value that many ask for and that is slow to make: it is made once at a time, and kept for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

T = TypeVar("T")

REST: Final = 9.0
"""A value is kept for this many times as long as it took to make: at most a tenth of the time is spent on it."""


class Cache(Generic[T]):
    """Keeps one value for at least `least_s`, and for `rest` times as long as it took; `clock` tells its age."""

    def __init__(self, least_s: float, clock: Callable[[], datetime], *, rest: float = REST) -> None:
        self._least_s = least_s
        self._rest = rest
        self._clock = clock
        self._gate = asyncio.Lock()
        self._held: tuple[T, datetime, float] | None = None

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return the value, made anew if it is too old."""
        async with self._gate:
            now = self._clock()
            if self._held is not None:
                value, made_at, keep_s = self._held
                if timedelta() <= now - made_at < timedelta(seconds=keep_s):
                    return value
            began_at = time.monotonic()
            value = await make()
            self._held = value, now, max(self._least_s, self._rest * (time.monotonic() - began_at))
            return value

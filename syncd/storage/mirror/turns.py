"""Whose turn it is within one run: the page that is being written, or the next page that is being read."""

import asyncio
import contextlib
from collections.abc import Iterator

_STEPS = 3
"""Steps of the event loop from an answer at the socket to whoever waits for it."""


class Turns:
    """Lets a run read its next page while PostgreSQL is at work on the current one.

    Reading and writing share one thread. Reading at any other moment would keep PostgreSQL waiting for its next
    statement.
    """

    def __init__(self) -> None:
        self._is_writing = False
        self._free = asyncio.Event()
        self._free.set()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep readers waiting until the block ends, except for one turn after each `sent`."""
        self._is_writing = True
        self._free.clear()
        try:
            yield
        finally:
            self._is_writing = False
            self._free.set()

    def sent(self) -> None:
        """Say that PostgreSQL has a statement to execute: a reader may have a turn until `back`."""
        self._free.set()

    def back(self) -> None:
        """Say that PostgreSQL has answered."""
        self._free.clear()

    async def reading(self) -> None:
        """Wait for a reader's turn; a long read calls this again now and then."""
        for _ in range(_STEPS):
            await asyncio.sleep(0)
        while not self._free.is_set():
            await self._free.wait()
        if self._is_writing:
            self._free.clear()

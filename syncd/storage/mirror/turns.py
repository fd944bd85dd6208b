"""Whose turn it is within one run: the page that is being written, or the pages that are being read."""

import asyncio
import contextlib
from collections.abc import Iterator

_STEPS = 3
"""Steps of the event loop from an answer at the socket to whoever waits for it."""


class Turns:
    """Lets a run read its next pages while PostgreSQL is at work on the current one.

    Reading and writing share one thread. Reading at any other moment would keep PostgreSQL waiting for its next
    statement.
    """

    def __init__(self) -> None:
        self._is_writing = False
        self._is_at_work = False
        self._statement = 0
        self._taken = 0
        self._opened = asyncio.Event()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep readers waiting until the block ends, except between `sent` and `back`."""
        self._is_writing, self._is_at_work = True, False
        try:
            yield
        finally:
            self._is_writing = False
            self._open()

    def sent(self) -> None:
        """Say that PostgreSQL has a statement to execute: readers may have turns until `back`."""
        self._statement += 1
        self._is_at_work = True
        self._open()

    def back(self) -> None:
        """Say that PostgreSQL has answered."""
        self._is_at_work = False

    async def reading(self, *, after: int | None = None) -> int:
        """Wait for a reader's turn, and return the number of the statement beside which it is.

        A long read is done in several turns. `after` is the number of the last one: the next one is beside another
        statement.
        """
        while True:
            if not self._may_read(after):
                await self._opened.wait()
            taken = self._taken
            for _ in range(_STEPS):  # if PostgreSQL answered during the last turn, the writer hears of it
                await asyncio.sleep(0)
            if self._may_read(after) and taken == self._taken:
                self._taken += 1
                return self._statement

    def _may_read(self, after: int | None) -> bool:
        return not self._is_writing or (self._is_at_work and self._statement != after)

    def _open(self) -> None:
        self._opened.set()
        self._opened = asyncio.Event()

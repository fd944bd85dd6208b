"""What this process counts and no table holds: answers by status, waits for locks, runs that wait for a seat.

Owns the numbers, which begin at zero with the process; `web/metrics.py` shows them, and nothing is decided by them.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Final

NO_ANSWER: Final = "none"
_KNOWN: Final = frozenset(HTTPStatus)

answers: Final[Counter[tuple[str, str]]] = Counter()
"""Tries by source and HTTP status; `none` where no whole answer came."""
lock_wait_s: Final[dict[str, float]] = {}
"""Seconds waited by source for another writer of the same table."""
skipped: Final[Counter[tuple[str, str]]] = Counter()
"""Runs by source and stream that did not begin because another process was at it."""
waiting: Final[Counter[str]] = Counter()
"""Runs by source that are due and wait for a seat."""
callbacks: Final[Counter[tuple[str, str]]] = Counter()
"""Callbacks by source and what became of them; those for an address that there is not have the source ""."""
notifications: Final[Counter[str]] = Counter()
"""Messages by what became of them at one service: sent or failed."""
under_way: Final[Counter[str]] = Counter()
"""Runs by source that have a seat."""


def answered(source: str, status: int | None) -> None:
    """Count one try; statuses that nobody ever defined count as their class, so that labels stay few."""
    word = NO_ANSWER if status is None else str(status) if status in _KNOWN else f"{status // 100}xx"
    answers[source, word] += 1


def forget(sources: Collection[str]) -> None:
    """Count nothing more of these sources, which another worker has now: nobody shall count twice what is there."""
    for of_pair in (answers, skipped):
        for pair in [pair for pair in of_pair if pair[0] in sources]:
            del of_pair[pair]
    for source in sources:
        for of_source in (lock_wait_s, waiting, under_way):
            of_source.pop(source, None)


@contextlib.contextmanager
def waiting_for_lock(source: str) -> Iterator[None]:
    """Count the time that the block takes."""
    began = time.monotonic()
    try:
        yield
    finally:
        lock_wait_s[source] = lock_wait_s.get(source, 0.0) + time.monotonic() - began


@contextlib.contextmanager
def one_more(counter: Counter[str], source: str) -> Iterator[None]:
    """Count the source in for as long as the block lasts."""
    counter[source] += 1
    try:
        yield
    finally:
        counter[source] -= 1

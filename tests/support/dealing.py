"""Who runs what: the long cases are dealt to all workers, each of which begins with its own.

`--dist worksteal` cuts the list into one share per worker, in order. Whoever has none left takes from the end of the
longest share, but never what a worker runs now nor what it runs next. A long case at the end of a share would be waited
for by all.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def deal(cases: Sequence[T], workers: int, length: Callable[[T], int]) -> list[T]:
    """Return the cases so that each worker has about as many long ones as any, the longest at the start of its share.

    `length` says in steps how long a case may take; 0 is not long.
    """
    long = sorted((case for case in cases if length(case)), key=length, reverse=True)
    others = iter([case for case in cases if not length(case)])
    dealt: list[T] = []
    for worker in range(workers):
        share = (len(cases) - len(dealt)) // (workers - worker)  # as worksteal cuts the list; no later share is smaller
        own = long[workers - 1 - worker :: workers]
        dealt += [*own, *islice(others, share - len(own))]
    return dealt

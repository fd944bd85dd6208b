"""Where a run of customers is killed, and how many of its pages are committed then."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Crash:
    """A point, at which of its calls, and how many customers are then committed."""

    point: str
    times: int
    pages: int


CRASHES = [
    Crash("before a request", 1, 0),
    Crash("before a request", 4, 2),
    Crash("after a response", 4, 2),
    Crash("while parsing", 15, 1),
    Crash("in COPY", 2, 3),
    Crash("before the merge", 2, 1),
    Crash("before the commit", 4, 3),
    Crash("after the commit", 4, 4),
    Crash("in the drain after SIGTERM", 2, 2),
]

"""What the callbacks about one stream lead to: pure decisions over seconds that come in, without clock or I/O.

Owns the bound of what is remembered, what counts as said already, and how many fetches callbacks may cause. A callback
is a hint and may be dropped: the polling run finds what it told of.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from syncd.records.rows import Key

FEW: Final = 5
"""Records that are asked for one by one; for more at once a polling run needs fewer requests."""
FETCHES_PER_MINUTE: Final = 10
"""Records asked for by themselves, at most; beyond that a polling run answers for all of them. Our choice."""
POLL_REST_S: Final = 60.0
"""Between two polling runs that callbacks cause. A flood so costs eleven requests a minute and no more."""
REPEAT_S: Final = 2.0
"""A record that was asked for is not asked for again before this: vendors say things twice."""

Step = tuple[Key, ...] | Literal["poll"] | float | None
"""Records to fetch now, a polling run, seconds until there is something to do, or nothing to do at all."""


@dataclass(slots=True)
class Bucket:
    """A token bucket: holds `size` at first and at most, and gains `per_s`."""

    size: float
    per_s: float
    _level: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._level = self.size

    def take(self, count: int, now: float) -> bool:
        """Take so many, all or none."""
        self._level = min(self.size, self._level + max(0.0, now - self._at) * self.per_s)
        self._at = now
        if self._level < count:
            return False
        self._level -= count
        return True


class Calls:
    """The callbacks about one stream that have led to nothing yet: a few keys, or the wish for a polling run."""

    def __init__(self) -> None:
        self._due_at: dict[Key, float] = {}
        self._fetched_at: dict[Key, float] = {}
        self._wants_poll = False
        self._polls_from = 0.0
        self._bucket = Bucket(FETCHES_PER_MINUTE, FETCHES_PER_MINUTE / 60)

    def hear(self, key: Key, now: float) -> bool:
        """Take note that a record changed; False if that is known and will be seen to."""
        if self._wants_poll or key in self._due_at:
            return False
        self._due_at[key] = max(now, self._fetched_at.get(key, now - REPEAT_S) + REPEAT_S)
        self._wants_poll = len(self._due_at) > FEW
        return True

    def step(self, now: float) -> Step:
        """Return what to do now; what is returned to be done counts as begun."""
        self._fetched_at = {key: at for key, at in self._fetched_at.items() if at > now - REPEAT_S}
        if self._due_at and not self._wants_poll:
            due = tuple(key for key, at in self._due_at.items() if at <= now)
            if not due:
                return min(self._due_at.values()) - now
            if self._bucket.take(len(due), now):
                for key in due:
                    del self._due_at[key]
                self._fetched_at |= dict.fromkeys(due, now)
                return due
            self._wants_poll = True
        if not self._wants_poll:
            return None
        if now < self._polls_from:
            return self._polls_from - now
        self._polls_from = now + POLL_REST_S
        self.settle()
        return "poll"

    def put_off(self, keys: tuple[Key, ...], until: float) -> None:
        """Ask for these later: somebody else was at the stream."""
        for key in keys:
            self._due_at.setdefault(key, until)
        self._wants_poll = self._wants_poll or len(self._due_at) > FEW

    def settle(self) -> None:
        """Forget what was heard: a polling run begins, or has to find it."""
        self._due_at.clear()
        self._wants_poll = False

"""What the callbacks about one stream lead to: pure decisions; the time in seconds is passed in.

Owns how many records are remembered, which callbacks are repetitions, and how many fetches callbacks may cause. A
callback is only a hint and may be dropped, because the polling run finds the change anyway.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from syncd.records.rows import Key

FEW: Final = 5
"""Up to this many records are fetched one by one. For more, a polling run needs fewer requests."""
FETCHES_PER_MINUTE: Final = 10
"""At most this many records are fetched one by one. Beyond that, one polling run fetches all of them. Our choice."""
POLL_REST_S: Final = 60.0
"""Least time between two polling runs that callbacks cause. So a flood costs at most eleven requests a minute."""
REPEAT_S: Final = 2.0
"""A record is not fetched again before this time, because vendors send the same callback twice."""

Step = tuple[Key, ...] | Literal["poll"] | float | None
"""Records to fetch now; "poll" for a polling run; seconds until there is something to do; None for nothing to do."""


@dataclass(slots=True)
class Bucket:
    """A token bucket: full with `size` tokens at first, and refilled with `per_s` tokens a second."""

    size: float
    per_s: float
    _level: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._level = self.size

    def take(self, count: int, now: float) -> bool:
        """Take `count` tokens; take none and return False if there are fewer."""
        self._level = min(self.size, self._level + max(0.0, now - self._at) * self.per_s)
        self._at = now
        if self._level < count:
            return False
        self._level -= count
        return True


class Calls:
    """The callbacks about one stream that are still to be answered: a few keys, or one polling run."""

    def __init__(self) -> None:
        self._due_at: dict[Key, float] = {}
        self._fetched_at: dict[Key, float] = {}
        self._wants_poll = False
        self._polls_from = 0.0
        self._bucket = Bucket(FETCHES_PER_MINUTE, FETCHES_PER_MINUTE / 60)

    def hear(self, key: Key | None, now: float) -> bool:
        """Note that a record changed, or (None) one that cannot be asked for; return False if that is already due."""
        if self._wants_poll or key in self._due_at:
            return False
        if key is None:
            self._wants_poll = True
            return True
        self._due_at[key] = max(now, self._fetched_at.get(key, now - REPEAT_S) + REPEAT_S)
        self._wants_poll = len(self._due_at) > FEW
        return True

    def step(self, now: float) -> Step:
        """Return what to do now. The caller must begin it: it is not returned again."""
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
        """Fetch these records later, because another process runs the stream."""
        for key in keys:
            self._due_at.setdefault(key, until)
        self._wants_poll = self._wants_poll or len(self._due_at) > FEW

    def settle(self) -> None:
        """Forget all callbacks so far: a polling run that begins now, or the next one, finds the changes."""
        self._due_at.clear()
        self._wants_poll = False

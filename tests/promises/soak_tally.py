"""What a soak did and counted."""

import time
from collections import Counter, deque
from dataclasses import dataclass, field


class WrongError(Exception):
    """Something that must never be."""


@dataclass
class Tally:
    """The last deeds of a soak, and how often what happened."""

    began_at: float = field(default_factory=time.monotonic)
    deeds: deque[str] = field(default_factory=lambda: deque(maxlen=60))
    changes: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began_at) / 60

    def did(self, what: str) -> None:
        self.deeds.append(f"{self.minutes * 60:8.2f} s  {what}")

"""How often a stream with `every = "auto"` is asked: more often while changes come, less while none do. Pure.

The mean age of what changed is least where a stream is asked in proportion to the root of how often it changes, and of
what a look costs. So a level is sought at which the auto streams of a source, together, cost as many requests a day as
they would at their default intervals. Each stream keeps within its own bounds.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from syncd.config import Auto

DAY_S: Final = 86_400.0
MEMORY: Final = 6.0
"""A change is half forgotten after about four default intervals: shorter follows noise, longer misses a burst."""
TRUST: Final = 0.2
"""How much the rate of the whole day counts beside that of the last few looks; tried in tests/unit/test_pace.py."""
FOUND_MOST: Final = 20
"""A look that finds more counts as this: an import of thousands of rows is one piece of work."""
LOOKS_FIRST: Final = 6
"""Before so many looks the default interval holds."""
LEVEL_S: Final = 120.0
"""The level is sought anew at most this often."""
STEPS: Final = 20
"""Halvings while the level is sought: its error is then below a thousandth."""
BUCKETS: Final = 8.0
"""Roots are kept in steps of e^(1/8)."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One good live run: when it began (epoch seconds), how many rows it wrote, and its requests."""

    at_s: float
    found: int
    requests: int


class _Kept(NamedTuple):
    at_s: float
    found: int
    requests: int
    bucket: int | None
    gap_s: float


class Pulse:
    """What the looks of the last day tell of how often a stream changes."""

    def __init__(self, every_s: float) -> None:
        self._memory_s = MEMORY * every_s
        self._kept: deque[_Kept] = deque()
        self._time_in: Counter[int | None] = Counter()
        self._found = self._requests = 0
        self._recent = self._exposed_s = 0.0
        self.root = 0.0
        """Root of the changes a second that are to be expected now; 0 if none came for a day."""

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def cost(self) -> float:
        """Requests of a look on the average, one at least."""
        return max(1.0, self._requests / len(self._kept)) if self._kept else 1.0

    def look(self, look: Look) -> None:
        """Learn what a look found; looks come in the order of time."""
        if not self._kept:
            self._kept.append(_Kept(look.at_s, 0, look.requests, None, 0.0))  # what it found may be years old
            self._requests += look.requests
            return
        gap_s = max(1.0, look.at_s - self._kept[-1].at_s)
        kept = _Kept(look.at_s, min(look.found, FOUND_MOST), look.requests, _bucket_of(self.root), gap_s)
        self._kept.append(kept)
        self._found += kept.found
        self._requests += kept.requests
        self._time_in[kept.bucket] += gap_s  # type: ignore[assignment]  # seconds, not a count
        left = math.exp(-gap_s / self._memory_s)
        self._recent = self._recent * left + kept.found
        self._exposed_s = self._exposed_s * left + self._memory_s * (1.0 - left)
        while look.at_s - self._kept[0].at_s > DAY_S:
            self._forget(self._kept.popleft())
        self.root = math.sqrt(self._rate(look.at_s)) if self._found else 0.0

    def _forget(self, old: _Kept) -> None:
        self._found -= old.found
        self._requests -= old.requests
        self._time_in[old.bucket] -= old.gap_s  # type: ignore[assignment]  # as above

    def _rate(self, now_s: float) -> float:
        """Return changes a second: of late, drawn towards the rate of the day."""
        day = (self._found + 1) / (now_s - self._kept[0].at_s + DAY_S / 4)
        trust_s = TRUST * self._memory_s
        return (self._recent + trust_s * day) / (self._exposed_s + trust_s)

    def shares(self) -> list[tuple[float, float]]:
        """Return the roots of the last day, each with its share of the time."""
        total_s = sum(self._time_in.values()) or 1.0
        return [
            (0.0 if bucket is None else math.exp(bucket / BUCKETS), seconds / total_s)
            for bucket, seconds in self._time_in.items()
            if seconds > 0
        ]


def _bucket_of(root: float) -> int | None:
    return round(math.log(root) * BUCKETS) if root > 0 else None


def level_of(pool: Sequence[tuple[Auto, Pulse]]) -> float:
    """Return by what roots are multiplied so that these streams cost what they would at their default intervals."""
    allowed = sum(pulse.cost / auto.every_s for auto, pulse in pool)
    known = [(auto, pulse.cost, pulse.shares()) for auto, pulse in pool]

    def cost_at(level: float) -> float:
        return sum(
            cost * share / _within(auto, level * root / math.sqrt(cost))
            for auto, cost, shares in known
            for root, share in shares or [(1.0 / (level * auto.every_s), 1.0)]
        )

    low, high = 1e-9, 1e6
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost_at(middle) < allowed else (low, middle)
    return low


def _within(auto: Auto, looks_per_s: float) -> float:
    """Return the interval of so many looks a second, within the bounds."""
    return auto.max_s if looks_per_s <= 1.0 / auto.max_s else max(auto.min_s, 1.0 / looks_per_s)


class Paces:
    """The auto streams of one source: they share their requests."""

    def __init__(self) -> None:
        self._pulses: dict[str, tuple[Auto, Pulse]] = {}
        self._level = 0.0
        self._sought_at_s = float("-inf")

    def plan(self, wanted: Iterable[tuple[str, Auto]]) -> None:
        """Take these streams and no others; what is known of one stays while its bounds do."""
        self._pulses = {
            name: known if (known := self._pulses.get(name)) and known[0] == auto else (auto, Pulse(auto.every_s))
            for name, auto in wanted
        }
        self._sought_at_s = float("-inf")

    def look(self, name: str, look: Look) -> None:
        """Learn what a look at a stream found."""
        if name in self._pulses:
            self._pulses[name][1].look(look)

    def interval_s(self, name: str, now_s: float) -> float:
        """Return how long a stream of the pool rests between two looks now."""
        auto, pulse = self._pulses[name]
        if len(pulse) < LOOKS_FIRST:
            return auto.every_s
        if not 0 <= now_s - self._sought_at_s < LEVEL_S:
            self._level, self._sought_at_s = level_of(list(self._pulses.values())), now_s
        return _within(auto, self._level * pulse.root / math.sqrt(pulse.cost))

"""How long a run has waited, where several of its requests may wait at once."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Waits:
    """The seconds in which one request of a run waited, or several did: each second counts once."""

    total_s: float = 0.0
    _apart: list[tuple[float, float]] = field(default_factory=list, repr=False)

    def add(self, begin: float, end: float) -> None:
        """Count a wait that is over, from `begin` to `end` in epoch seconds; waits come by their ends."""
        while self._apart and self._apart[-1][1] >= begin:
            before = self._apart.pop()
            begin = min(begin, before[0])
            self.total_s -= before[1] - before[0]
        end = max(begin, end)
        self._apart.append((begin, end))
        del self._apart[:-_KEPT]
        self.total_s += end - begin


_KEPT = 64
"""Waits apart from each other that a later one may still reach back to: more than requests can be on the wire."""

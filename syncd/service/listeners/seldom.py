"""Something that strangers can cause as often as they like, and that the log tells of once a minute with a count."""

import time
from typing import Final

TOLD_S: Final = 60.0
"""Time between two lines about the same thing; our choice."""


class Seldom:
    """Counts one kind of happening, and says when it is time to tell of it."""

    def __init__(self) -> None:
        self._count = 0
        self._told_at = float("-inf")

    def due(self) -> int:
        """Count one more; return how many were not told yet if it is time to tell, else 0."""
        self._count += 1
        now = time.monotonic()
        if now - self._told_at < TOLD_S:
            return 0
        self._told_at, count, self._count = now, self._count, 0
        return count

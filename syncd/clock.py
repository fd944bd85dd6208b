"""Time as it is passed in: what tells it, and what waits. Tests hand in their own."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Tells the time: an aware instant."""
Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)

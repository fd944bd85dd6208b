"""The vendor's request limits: a moving minute and a day, as they are enforced upstream.

Owns the account of spent requests; the time comes in, it never reads a clock and never sleeps.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE_S = 60.0
MIDNIGHT_ZONE = ZoneInfo("Europe/Amsterdam")  # the documented Daily-Reset 1678230000 is midnight there


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Requests allowed; the defaults are those of the CycleSoftware samples."""

    per_minute: int = 360
    per_day: int = 15_000


class Window:
    """Spent requests of one account within the moving minute and the day."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._minute: deque[float] = deque()
        self._day_spent = 0
        self._day_ends_at: datetime | None = None

    def spend(self, now: datetime, requests: int = 1) -> bool:
        """Spend requests if both windows allow it; a refused request costs nothing."""
        self._roll(now)
        if self.minute_left(now) < requests or self.day_left(now) < requests:
            return False
        self._minute.extend([now.timestamp()] * requests)
        self._day_spent += requests
        return True

    def take(self, now: datetime, requests: int) -> None:
        """Spend up to so many requests for somebody else, as far as they are there."""
        self.spend(now, max(0, min(requests, self.minute_left(now), self.day_left(now))))

    def exhaust_day(self, now: datetime) -> None:
        """Spend all that is left of the day."""
        self._roll(now)
        self._day_spent = self.limits.per_day

    def minute_left(self, now: datetime) -> int:
        """Return the requests left in the minute that ends now."""
        self._roll(now)
        return self.limits.per_minute - len(self._minute)

    def day_left(self, now: datetime) -> int:
        """Return the requests left until the day ends."""
        self._roll(now)
        return self.limits.per_day - self._day_spent

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the documented headers; the moving minute has no reset."""
        self._roll(now)
        assert self._day_ends_at is not None  # noqa: S101 (set by _roll)
        return {
            "X-RateLimit-Minutely-Limit": str(self.limits.per_minute),
            "X-RateLimit-Minutely-Remaining": str(self.minute_left(now)),
            "X-RateLimit-Daily-Limit": str(self.limits.per_day),
            "X-RateLimit-Daily-Remaining": str(self.day_left(now)),
            "X-RateLimit-Daily-Reset": str(int(self._day_ends_at.timestamp())),
        }

    def _roll(self, now: datetime) -> None:
        while self._minute and self._minute[0] <= now.timestamp() - MINUTE_S:
            self._minute.popleft()
        if self._day_ends_at is None or now >= self._day_ends_at:
            self._day_spent = 0
            today = now.astimezone(MIDNIGHT_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
            self._day_ends_at = today + timedelta(days=1)  # wall clock: a day of 23 or 25 hours comes out right

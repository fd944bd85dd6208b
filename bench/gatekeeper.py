"""An upstream that only counts: it enforces a minute and a day, of whatever kind, and says in headers what is left.

Written from the vendor's page and from what else servers do; imports nothing of syncd. The time comes in.
"""

import email.utils
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

MINUTE_S = 60.0
DAY_S = 86_400.0

MinuteKind = Literal["sliding log", "clock minute", "token bucket"]
DayKind = Literal["calendar day", "moving 24 h"]
Says = Literal["all", "no reset", "nothing"]


@dataclass
class Gatekeeper:
    """One account at the upstream; numbers may be changed while it serves.

    `zone` is where a calendar day begins; `says` is what the headers tell: all that the vendor documents, the same
    without Daily-Reset, or nothing.
    """

    per_minute: int = 360
    per_day: int = 10_000
    minute: MinuteKind = "sliding log"
    day: DayKind = "calendar day"
    zone: str = "Europe/Amsterdam"
    says: Says = "all"
    refused: list[float] = field(default_factory=list)
    _minute: deque[float] = field(default_factory=deque)
    _day: deque[float] = field(default_factory=deque)
    _day_ends_at: float = 0.0
    _tokens: float | None = None
    _refilled_at: float = 0.0

    def serve(self, now: float, *, counted: bool = True) -> tuple[int, dict[str, str]]:
        """Answer one request with status and headers; a refused one costs nothing, and is noted if `counted`."""
        granted = self.minute_left(now) >= 1 and self.day_left(now) >= 1
        if granted:
            self._minute.append(now)
            self._day.append(now)
            self._tokens = (self._tokens or 0.0) - 1
        elif counted:
            self.refused.append(now)
        return (200 if granted else 429), self._headers(now)

    def minute_left(self, now: float) -> int:
        """Return the requests left in this minute."""
        if self.minute == "token bucket":
            gained = (now - self._refilled_at) * self.per_minute / MINUTE_S
            held = self.per_minute if self._tokens is None else self._tokens + gained
            self._tokens, self._refilled_at = min(float(self.per_minute), held), now
            return int(self._tokens)
        begins_at = now - MINUTE_S if self.minute == "sliding log" else now - now % MINUTE_S - 1e-9
        while self._minute and self._minute[0] <= begins_at:
            self._minute.popleft()
        return max(0, self.per_minute - len(self._minute))

    def day_left(self, now: float) -> int:
        """Return the requests left in this day."""
        if self.day == "moving 24 h":
            while self._day and self._day[0] <= now - DAY_S:
                self._day.popleft()
        elif now >= self._day_ends_at:
            self._day.clear()
            local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
            self._day_ends_at = datetime.combine(local.date() + timedelta(1), time(), local.tzinfo).timestamp()
        return max(0, self.per_day - len(self._day))

    def day_spent(self, now: float) -> int:
        """Return the requests spent of this day, by whomever."""
        return self.per_day - self.day_left(now)

    def day_number(self, at: float, began_at: float) -> int:
        """Return which day an instant belongs to; moving days are counted from `began_at`."""
        if self.day == "moving 24 h":
            return int((at - began_at) // DAY_S)
        return datetime.fromtimestamp(at, ZoneInfo(self.zone)).toordinal()

    def _headers(self, now: float) -> dict[str, str]:
        headers = {"Date": email.utils.format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)}
        if self.says == "nothing":
            return headers
        said = {
            "Minutely-Limit": self.per_minute,
            "Minutely-Remaining": self.minute_left(now),
            "Daily-Limit": self.per_day,
            "Daily-Remaining": self.day_left(now),
        }
        if self.says == "all" and self.day == "calendar day":
            said["Daily-Reset"] = int(self._day_ends_at)
        return headers | {f"X-RateLimit-{name}": str(value) for name, value in said.items()}

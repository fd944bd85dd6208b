"""Times of a day, as the configuration writes them: "08:00", and hours that may reach over midnight: "22:00-07:00"."""

import re
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Hours of every day, from `begin` to `end` (excluded)."""

    begin: time
    end: time

    def hold(self, at: datetime, zone: str) -> bool:
        """Say whether the instant lies in these hours, on the clocks of that zone."""
        now = at.astimezone(ZoneInfo(zone)).time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


def parse_time(text: str) -> time:
    """Read "08:00"; raise ValueError that says what is expected."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError(f'expected a time of day such as "08:00", found {text!r}')
    return time(int(match[1]), int(match[2]))


def parse_hours(text: str) -> Hours:
    """Read "22:00-07:00"; raise ValueError that says what is expected."""
    begin, dash, end = text.partition("-")
    try:
        hours = Hours(begin=parse_time(begin.strip()), end=parse_time(end.strip()))
    except ValueError:
        raise ValueError(f'expected hours such as "22:00-07:00", found {text!r}') from None
    if not dash or hours.begin == hours.end:
        raise ValueError(f'expected hours that begin and end, such as "22:00-07:00", found {text!r}')
    return hours

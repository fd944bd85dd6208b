"""Windows of whole days, by which lists are asked for whose filter is a pair of dates without a zone.

The vendor says neither in which zone a day begins nor whether the last day counts. So a window is a day wider than
needed, and two days where it reaches to now. Pure functions.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from syncd.contract import Cursor
from syncd.contract.errors import UpstreamError
from syncd.contract.toolkit import cursor_time
from syncd.records.readers import earliest_reading, latest_reading

WIDEST: Final = timedelta(days=27)
"""Of a window: lists whose page names a limit take 31 days, and whole days in any zone add up to four."""

_RANGE = re.compile(r"range|period|interval|days?\b|between", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Days:
    """The question of one window: from `first` to `last`, which hold the time from `begin` to `end` in any zone.

    `is_open` says that it is the last one: it reaches to now, and beyond.
    """

    first: date
    last: date
    begin: datetime
    end: datetime
    is_open: bool

    def to_json(self) -> Cursor:
        """Return the form that a cursor stores."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "begin": self.begin.isoformat(),
            "end": self.end.isoformat(),
            "open": self.is_open,
        }

    @staticmethod
    def from_json(value: Cursor) -> "Days":
        """Read what `to_json` wrote."""
        return Days(
            first=date.fromisoformat(value["first"]),
            last=date.fromisoformat(value["last"]),
            begin=cursor_time(value["begin"]),
            end=cursor_time(value["end"]),
            is_open=bool(value["open"]),
        )


def window_from(begin: datetime, limit: datetime, zone: ZoneInfo, *, width: timedelta = WIDEST) -> Days:
    """Return the window that begins at `begin` and reaches to `limit`, or as far as `width` allows."""
    begin = min(begin, limit)
    is_open = limit - begin <= width
    end = limit if is_open else begin + width
    return Days(
        first=earliest_reading(begin, zone).date(),
        last=latest_reading(end, zone).date() + timedelta(days=2 if is_open else 1),
        begin=begin,
        end=end,
        is_open=is_open,
    )


def refuses_range(error: UpstreamError) -> bool:
    """Say whether a server refused a question because its window is too wide."""
    return error.status in (400, 422) and bool(_RANGE.search(str(error)))

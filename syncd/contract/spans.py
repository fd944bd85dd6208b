"""Windows: questions about whole days, and the ranges of time that they split.

A vendor that takes dates says neither in which zone nor whether the last day counts. So each window asks for a day more
than it needs, and two windows share at least a day; rows that come twice are harmless, because rows are idempotent by
key.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from syncd.contract.toolkit import earliest_reading, latest_reading, overlap_of
from syncd.contract.walk import Answer, Cursor, Walk
from syncd.frozen import dataclass

WIDEST: Final = timedelta(days=27)
"""Of a window: at most 31 days are allowed where a vendor says so, and whole days in any zone add up to four."""
HALF: Final = timedelta(days=13)
"""Of a window where the server refuses WIDEST."""
NARROW: Final = HALF - timedelta(days=3)
"""A question about so few days is not suspected of being answered for fewer."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A question about whole days.

    first, last  the days to ask for
    end          up to here the answers are complete, whatever the zone of the days and whether the last one counts
    is_open      True for the last window of its range
    """

    first: date
    last: date
    end: datetime
    is_open: bool


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One response within a window.

    place       where the list goes on in its window, as members of a cursor; None at the window's end
    holds_back  True if records were kept back, to come with a later piece: nobody can resume after this one
    doubt       why nothing may be buried on the strength of a walk that holds this piece, None if all is well
    """

    records: Sequence[bytes]
    answer: Answer
    place: Cursor | None
    holds_back: bool = False
    keys: Sequence[Hashable | None] | None = None
    doubt: str | None = None


Ask = Callable[[Window, Cursor | None], AsyncIterator[Piece]]
"""Asks for a window, from its beginning or from a place in it; gives one piece at least."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range of time to walk: from where to where, how far windows overlap, and in which zone its days are.

    Windows that share more than a day are for rows which one question may know by two dates.
    """

    begin: datetime
    limit: datetime
    overlap: timedelta
    zone: ZoneInfo

    def window(self, begin: datetime, width: timedelta) -> Window:
        """Return the window that begins there, at most so wide."""
        begin = min(begin, self.limit)
        is_open = self.limit - begin <= width
        end = self.limit if is_open else begin + width
        return Window(
            first=earliest_reading(begin, self.zone).date(),
            last=latest_reading(end, self.zone).date() + timedelta(days=2 if is_open else 1),
            end=end,
            is_open=is_open,
        )

    def windows(self) -> list[tuple[datetime, datetime]]:
        """Return where each window begins and ends, in order."""
        begin, found = min(self.begin, self.limit), list[tuple[datetime, datetime]]()
        while True:
            window = self.window(begin, WIDEST)
            found.append((begin, window.end))
            if window.is_open:
                return found
            begin = window.end - self.overlap


def range_of(walk: Walk, begin: datetime, zone: ZoneInfo) -> Range:
    """Return the range from `begin` to now, or to where a backfill ends; windows overlap as live runs do."""
    limit = min(walk.until or walk.now(), walk.now())
    return Range(begin=min(begin, limit), limit=limit, overlap=overlap_of(walk), zone=zone)

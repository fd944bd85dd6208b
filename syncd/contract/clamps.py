"""Finds out whether a server answers for all the days that it is asked for, or silently for fewer.

Where rows lie close, one answer shows it: it holds rows of nearly the first and nearly the last day. Where they lie far
apart, one row that was found must be found again by two questions of the same width, of which one ends and the other
begins at its day. If either whole answer lacks the row, and a question about that day alone holds it, the server
clamps: what it said of wide windows does not count.

It is found out once in a process for each stream, and never for narrow windows. Knows nothing of any API.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

from syncd.contract.errors import UpstreamError
from syncd.contract.second_ways import is_refusal
from syncd.contract.walk import Walk

WHOLE: Final = "the server answers for all days of a window"
"""Kept among the second ways once it is known. It is none, so it is told to nobody."""
MARGIN: Final = timedelta(days=2)
"""Between a row's day and the end of a question: the zone of its days and whether the last one counts are not known."""


@dataclass(frozen=True, kw_only=True)
class Dated:
    """How to know a record again, and the day by which the server's filter knows it; None where that is not sure."""

    key_of: Callable[[bytes], Hashable | None]
    day_of: Callable[[bytes], date | None]


class Part(Protocol):
    """One response to a question."""

    @property
    def records(self) -> Sequence[bytes]:
        """Its records."""
        ...


Question = Callable[[date, date], AsyncIterator[Part]]
"""Asks for the days from the first to the last."""


class Clamps:
    """What the answers of one walk tell of the width for which the server answers.

    Only windows that are wider than `narrow` are looked at.
    """

    def __init__(self, walk: Walk, ask: Question, dated: Dated | None, *, narrow: timedelta) -> None:
        self._ways = walk.ways
        self._ask = ask
        self._dated = dated
        self._narrow = narrow
        self._days: dict[date, Hashable] = {}

    def see(self, first: date, last: date, records: Sequence[bytes]) -> None:
        """Take in what came of a window."""
        if self._dated is None or WHOLE in self._ways or last - first <= self._narrow:
            return
        for record in records:
            day = self._dated.day_of(record)
            if day is not None and first <= day <= last and (key := self._dated.key_of(record)) is not None:
                self._days[day] = key

    async def found(self, first: date, last: date) -> bool:
        """Say at the end of a window whether the server clamps; false where nobody can tell."""
        days, self._days = self._days, {}
        if not days:
            return False
        if max(days) - min(days) >= last - first - MARGIN:
            self._ways.add(WHOLE)
            return False
        day, key = max(days.items(), key=lambda item: item[0])
        width = last - first
        for begin in (day + MARGIN - width, day - MARGIN):
            held = await self._holds(begin, begin + width, key)
            if held is None:
                return False
            if not held:
                return bool(await self._holds(day - MARGIN, day + MARGIN, key))
        self._ways.add(WHOLE)
        return False

    async def _holds(self, first: date, last: date, key: Hashable) -> bool | None:
        """Say whether the answer to a question holds a row; None if the server refuses the question."""
        dated = self._dated
        try:
            async for part in self._ask(first, last):
                if dated and any(dated.key_of(record) == key for record in part.records):
                    return True
        except UpstreamError as error:
            if is_refusal(error):
                self._dated = None  # nobody can tell in this walk
                return None
            raise
        return False

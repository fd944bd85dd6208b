"""Finds out whether a server answers for all the days that it is asked for, or silently for fewer.

Where rows lie close, one answer shows it: it holds rows of nearly the first and nearly the last day. Else days without
rows at either end of a long answer are asked for alone: if there are rows, the server clamps. Where rows lie far apart,
one row that was found must be found again by two questions of the same width, of which one ends and the other begins at
its day. If either answer lacks the row, and a question about that day alone holds it, the server clamps. What it said
of wide windows does not count then.

It is found out once in a process for each stream, and never for narrow windows. Knows nothing of any API.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from datetime import date, timedelta
from typing import Final, Protocol

from syncd.contract.errors import UpstreamError
from syncd.contract.second_ways import is_refusal
from syncd.contract.walk import Walk
from syncd.frozen import dataclass

WHOLE: Final = "the server answers for all days of a window"
"""Kept among the second ways once it is known. It is none, so it is told to nobody."""
MARGIN: Final = timedelta(days=2)
"""Between a row's day and the end of a question: the zone of its days and whether the last one counts are not known."""


PARTS: Final = 3
"""An answer of so many responses is not read to its end to find a row; our choice."""
TRIES: Final = 3
"""Windows of a walk for which more is asked; our choice."""


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
        self._parts = self._tries = 0

    def see(self, first: date, last: date, records: Sequence[bytes]) -> None:
        """Take in what came of a window."""
        if self._dated is None or WHOLE in self._ways or last - first <= self._narrow:
            return
        self._parts += 1
        for record in records:
            day = self._dated.day_of(record)
            if day is not None and first <= day <= last and (key := self._dated.key_of(record)) is not None:
                self._days[day] = key

    async def found(self, first: date, last: date) -> bool:
        """Say at the end of a window whether the server clamps; false where nobody can tell."""
        days, parts = self._days, self._parts
        self._days, self._parts = {}, 0
        if not days:
            return False
        if max(days) - min(days) >= last - first - MARGIN:
            self._ways.add(WHOLE)
            return False
        if self._tries >= TRIES:
            return False
        self._tries += 1
        return await (self._fills(first, last, days) if parts > 1 else self._loses(last - first, days))

    async def _loses(self, width: timedelta, days: dict[date, Hashable]) -> bool:
        """Say whether a question of this width loses the latest row."""
        day, key = max(days.items(), key=lambda item: item[0])
        for begin in (day + MARGIN - width, day - MARGIN):
            held = await self._holds(begin, begin + width, key)
            if held is None:
                return False
            if not held:
                return bool(await self._holds(day - MARGIN, day + MARGIN, key))
        self._ways.add(WHOLE)
        return False

    async def _holds(self, first: date, last: date, key: Hashable) -> bool | None:
        """Say whether the answer to a question holds a row; None if it is long, or the server refuses the question."""
        found = await self._asked(first, last)
        if found is None or self._dated is None:
            return None
        return any(self._dated.key_of(record) == key for record in found)

    async def _fills(self, first: date, last: date, days: dict[date, Hashable]) -> bool:
        """Say whether there are rows in the days before the earliest row or after the latest one."""
        one = timedelta(days=1)
        for begin, end in ((first, min(days) - one), (max(days) + one, last)):
            if end - begin < MARGIN:
                continue
            found = await self._asked(begin, end, whole=False) or ()
            if self._dated and any((day := self._dated.day_of(each)) and begin <= day <= end for each in found):
                return True
        return False

    async def _asked(self, first: date, last: date, *, whole: bool = True) -> Sequence[bytes] | None:
        """Return what the server answers, or the first part of it; None if a whole answer has more than PARTS parts."""
        records, parts = list[bytes](), 0
        try:
            async for part in self._ask(first, last):
                records += part.records
                parts += 1
                if not whole:
                    break
                if parts >= PARTS:
                    return None
        except UpstreamError as error:
            if is_refusal(error):
                return None
            raise
        return records

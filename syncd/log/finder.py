"""Finds given texts in a line, in a time that hardly grows with their number, and keeps no text.

There may be 50,000 secrets, each in some twenty spellings: as texts these would take more memory than all else of a
worker. So only their hashes are kept, which no text can be read from: Python keys them anew in each process.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

HEAD_CHARS: Final = 6
"""A text is looked for by so many of its first characters."""
BITS: Final = 32
"""Bits of the filter of heads for each text: one place of a line in thirty is looked at for nothing, at most."""
WIDER: Final = 4
"""By what factor the filter grows: all heads are noted anew then."""
TABLES: Final = 64
TABLE_SHIFT: Final = 40
"""The table of a text is told by other bits of its hash than its slot."""
LEAST: Final = 8
"""Slots of an empty table; a power of two, as all that follow."""
MOST_FULL: Final = 0.6
"""Share of the slots from which on the table grows."""

Span = tuple[int, int]


class Finder:
    """Finds texts of at least HEAD_CHARS.

    A filter of heads says at which places of a line a text may begin. Tables of hashes say whether one does.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.lengths: Counter[int] = Counter()
        self._longest_first: list[int] = []
        self._tables = [_Table() for _ in range(TABLES)]
        self._heads = bytearray(LEAST * TABLES * BITS // 8)
        self._noted = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Find one more text."""
        if len(text) < HEAD_CHARS:
            return
        head = hash(text[:HEAD_CHARS])
        self._table(of := hash(text)).add(of, head)
        self._measure(len(text), 1)
        self._note(head)
        self._noted += 1
        if self._noted * BITS > len(self._heads) * 8:
            self._widen()

    def remove(self, text: str) -> None:
        """Find a text once less: it is still found if it was added more often."""
        if len(text) >= HEAD_CHARS:
            self._table(of := hash(text)).remove(of)
            self._measure(len(text), -1)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to find."""
        return not self._longest_first

    def spans(self, line: str) -> list[Span]:
        """Return where the texts stand, in order, without overlaps."""
        if self.is_empty:
            return []
        heads, last, found, at = self._heads, len(self._heads) * 8 - 1, list[Span](), 0
        for place in [
            place
            for place in range(len(line) - HEAD_CHARS + 1)
            if heads[(bit := hash(line[place : place + HEAD_CHARS]) & last) >> 3] >> (bit & 7) & 1
        ]:
            if place >= at and (longest := self._longest(line, place)):
                at = place + longest
                found.append((place, at))
        return found

    def _longest(self, line: str, place: int) -> int:
        """Return the length of the longest text that stands there, so that no tail is left; 0: none does."""
        for length in self._longest_first:
            if place + length <= len(line) and self._table(of := hash(line[place : place + length])).has(of):
                return length
        return 0

    def _table(self, of: int) -> "_Table":
        return self._tables[of >> TABLE_SHIFT & (TABLES - 1)]

    def _measure(self, length: int, change: int) -> None:
        self.lengths[length] += change
        if (self.lengths[length] > 0) is not (length in self._longest_first):
            self.lengths = +self.lengths
            self._longest_first = sorted(self.lengths, reverse=True)

    def _note(self, head: int) -> None:
        bit = head & (len(self._heads) * 8 - 1)
        self._heads[bit >> 3] |= 1 << (bit & 7)

    def _widen(self) -> None:
        """Make the filter wider by so much that this is seldom done."""
        self._heads = bytearray(len(self._heads) * WIDER)
        self._noted = 0
        for table in self._tables:
            for head in table.heads():
                self._noted += 1
                self._note(head)


class _Table:
    """One table with open addressing: hash, hash of the head, times added. It grows within a few milliseconds."""

    def __init__(self) -> None:
        self._clear(LEAST)

    def add(self, of: int, head: int) -> None:
        if self._used >= MOST_FULL * len(self._hashes):
            self._rebuild()
        self._put(of, head, 1)

    def remove(self, of: int) -> None:
        self._times[self._slot(of)] -= 1

    def has(self, of: int) -> bool:
        return bool(self._times[self._slot(of)])

    def heads(self) -> Iterator[int]:
        """Yield the head of each text that is found."""
        return (head for head, times in zip(self._heads, self._times, strict=True) if times)

    def _clear(self, slots: int) -> None:
        self._used = 0
        self._hashes, self._heads = array("q", bytes(8 * slots)), array("q", bytes(8 * slots))
        self._times = array("I", bytes(4 * slots))

    def _slot(self, of: int) -> int:
        """Return the slot of a hash: its own, or the free one that it would take. 0 marks a slot that is free."""
        last, of = len(self._hashes) - 1, of or 1
        slot = of & last
        while (held := self._hashes[slot]) and held != of:
            slot = (slot + 1) & last
        return slot

    def _put(self, of: int, head: int, times: int) -> None:
        slot = self._slot(of)
        if not self._hashes[slot]:
            self._used += 1
            self._hashes[slot], self._heads[slot] = of or 1, head
        self._times[slot] += times

    def _rebuild(self) -> None:
        """Make the table anew, twice as large where it needs that, without the texts that are not found any more."""
        hashes, heads, times = self._hashes, self._heads, self._times
        held, slots = sum(map(bool, times)), len(hashes)
        self._clear(2 * slots if held > MOST_FULL * slots / 2 else slots)
        for of, head, number in zip(hashes, heads, times, strict=True):
            if number:
                self._put(of, head, number)

"""Finds given texts in a line, in a time that hardly grows with their number, and keeps no text.

There may be 50,000 secrets, each in some twenty spellings: as texts these would take more memory than all else of a
worker. So only their hashes are kept, which no text can be read from: Python keys them anew in each process.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

HEAD_CHARS: Final = 6
"""A text is looked for by so many of its first characters."""
BITS: Final = 32
"""Bits of the filter of heads for each text: one place of a line in thirty is looked at for nothing, at most."""
WIDER: Final = 4
"""By what factor the filter grows: all heads are noted anew then."""
TABLES: Final = 256
"""Each holds a part of the texts, so that one more moves few of them."""
TABLE_SHIFT: Final = 40
"""The table of a text is told by these bits of its hash."""
LEAST: Final = 512
"""Texts that the first filter is made for."""
HEAD_BITS: Final = 32
"""Bits of the hash of a head that are kept: the filter never has more places."""

Span = tuple[int, int]


class Finder:
    """Finds texts of at least HEAD_CHARS.

    A filter of heads says at which places of a line a text may begin. Tables of hashes say whether one does.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.lengths: Counter[int] = Counter()
        self._longest_first: list[int] = []
        self._tables = [_Table() for _ in range(TABLES)]
        self._heads = bytearray(LEAST * BITS // 8)
        self._noted = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Find one more text."""
        if len(text) < HEAD_CHARS:
            return
        head = hash(text[:HEAD_CHARS]) & (1 << HEAD_BITS) - 1
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
            if place + length <= len(line) and (of := hash(line[place : place + length])) in self._table(of).hashes:
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
        """Note the heads anew, in a wider filter if what is found now needs one: this is seldom done."""
        held = sum(len(table.heads) for table in self._tables)
        wider = WIDER if held * BITS * 2 > len(self._heads) * 8 else 1
        self._heads = bytearray(len(self._heads) * wider)
        self._noted = held
        for table in self._tables:
            for head in table.heads:
                self._note(head)


class Hashes:
    """The hashes of some texts in order, each as often as it was added."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def __contains__(self, of: int) -> bool:
        place = bisect_left(self._hashes, of)
        return place < len(self._hashes) and self._hashes[place] == of

    def add(self, of: int) -> int:
        """Add one, and return its place."""
        place = bisect_left(self._hashes, of)
        self._hashes.insert(place, of)
        return place

    def remove(self, of: int) -> int:
        """Remove one that is there, once; return the place that it had."""
        place = bisect_left(self._hashes, of)
        del self._hashes[place]
        return place


class _Table:
    """A part of the texts: their hashes, and beside each the hash of its head."""

    def __init__(self) -> None:
        self.hashes, self.heads = Hashes(), array("I")

    def add(self, of: int, head: int) -> None:
        self.heads.insert(self.hashes.add(of), head)

    def remove(self, of: int) -> None:
        if of in self.hashes:
            del self.heads[self.hashes.remove(of)]

"""Deterministic choices for the seed data; owns no state of the world.

The same parts always fall the same way, in any process, so that one record can be made without making its
neighbours (a sandbox of 200,000 customers makes only the pages that are asked for).
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


WORD = (1 << 64) - 1
STEP, SHIFT = 6364136223846793005, 1442695040888963407  # Knuth's MMIX generator
GOOD_BITS = 31  # of each word the upper ones are used


class Dice:
    """A short run of choices that depends on nothing but the given parts."""

    __slots__ = ("_word",)

    def __init__(self, *parts: int | str) -> None:
        self._word = int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big")

    def below(self, limit: int) -> int:
        """Return a whole number from 0 up to, but not including, `limit`."""
        self._word = (self._word * STEP + SHIFT) & WORD
        bits = self._word >> (64 - GOOD_BITS)
        if limit >> GOOD_BITS:
            return ((self.below((limit >> GOOD_BITS) + 1) << GOOD_BITS) + bits) % limit
        return bits * limit >> GOOD_BITS

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` up to and including `high`."""
        return low + self.below(high - low + 1)

    def pick(self, things: Sequence[T]) -> T:
        """Return one of `things`."""
        return things[self.below(len(things))]

    def chance(self, percent: int) -> bool:
        """Return true in so many cases out of a hundred."""
        return self.below(100) < percent

    def digits(self, count: int) -> str:
        """Return text of `count` decimal digits, leading zeros kept."""
        return f"{self.below(10**count):0{count}d}"

    def text(self, alphabet: str, count: int) -> str:
        """Return text of `count` signs of `alphabet`."""
        return "".join(self.pick(alphabet) for _ in range(count))

    def uuid(self) -> str:
        """Return a random-looking UUID (version 4) as text."""
        raw = f"{self.below(1 << 128):032x}"
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"

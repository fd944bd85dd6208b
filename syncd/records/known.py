"""Arrays whose text came before: what was once read of one is not read again.

What is kept of a text follows from nothing but the text, so that it is never out of date. It says how many elements the
array has, and what their fingerprints are; the text is split only if somebody asks for an element amid the others.
Most lists that come whole, and many pages of a full listing, are the same as last time.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple, overload

from syncd.contract.paging import TAIL_KEYS

KNOWN_ARRAYS: Final = 4_096
"""So many are kept in a process, those that were met last: 2 MB; our choice."""


class Known(NamedTuple):
    """What is known of an array: how many elements it has, the length of the first and of the tail, and fingerprints.

    The tail are the last elements with the commas between them: as many as a walk remembers. `in_order` is the SHA-256
    of all fingerprints in the order of the elements, and `sorted` that of those that count (of each key the last) in
    their own order; empty if it is not known. `recipe` says how elements became fingerprints.
    """

    size: int
    first_bytes: int
    tail_bytes: int
    recipe: bytes
    in_order: bytes
    sorted: bytes = b""


_KNOWN: Final[dict[bytes, Known]] = {}


def digest_of(array: bytes | memoryview) -> bytes:
    """Return the digest by which an array is known: of its text, as sent."""
    return hashlib.sha256(array).digest()


def remember(digest: bytes, known: Known) -> None:
    """Keep what is known of an array; that which was met longest ago is dropped for it."""
    _KNOWN.pop(digest, None)
    if len(_KNOWN) >= KNOWN_ARRAYS:
        del _KNOWN[next(iter(_KNOWN))]
    _KNOWN[digest] = known


def recognized(text: memoryview, split: Callable[[bytes], list[bytes]]) -> "KnownElements | None":
    """Return the elements of an array that came before, None for any other; `split` takes it apart."""
    if not _KNOWN:
        return None
    digest = digest_of(text)
    known = _KNOWN.get(digest)
    if known is None:
        return None
    remember(digest, known)
    return KnownElements(text, digest, known, split)


class KnownElements(Sequence[bytes]):
    """The elements of an array that came before: the first and the last are at hand, the others once it is split."""

    def __init__(self, text: memoryview, digest: bytes, known: Known, split: Callable[[bytes], list[bytes]]) -> None:
        self.digest = digest
        self.known = known
        self._text = text
        self._split = split

    @cached_property
    def array(self) -> bytes:
        """The text of the array."""
        return bytes(self._text)

    @cached_property
    def _all(self) -> list[bytes]:
        return self._split(self.array)

    @cached_property
    def _tail(self) -> list[bytes]:
        return self._split(b"[" + bytes(self._text[-1 - self.known.tail_bytes :]))

    def __len__(self) -> int:
        return self.known.size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        match at:
            case 0:
                return bytes(self._text[1 : 1 + self.known.first_bytes])
            case -1:
                return self._tail[-1]
            case slice(start=int(start), stop=None, step=None) if -TAIL_KEYS <= start < 0:
                return self._tail[start:]
            case _:
                return self._all[at]


def shape_of(array: bytes, elements: Sequence[bytes]) -> tuple[int, int, int] | None:
    """Return how many elements an array has, and the length of the first and of the tail.

    None if blanks stand around them, or if there are none.
    """
    tail = b",".join(elements[-TAIL_KEYS:])
    if not elements or not array.startswith(elements[0], 1) or not array.endswith(tail + b"]"):
        return None
    return len(elements), len(elements[0]), len(tail)

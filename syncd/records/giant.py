"""The elements of a large array: it stays one text, and only those of one chunk at a time are objects.

`presplit` finds out where the chunks are. Knows no table.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar, overload

CHUNK_RECORDS: Final = 1_000
"""A chunk holds about so many records at most: what is read and written in one go; our choice."""
LARGE_RECORDS: Final = 2_000
"""A page of more records is read and written in chunks; no vendor allows more in a list that is paged."""

Got = TypeVar("Got")
Chunk = Sequence[bytes]


class Chunked(Sequence[Got], Generic[Got]):
    """A long sequence of which one chunk is read at a time; `counts` are how many members there are up to each end."""

    def __init__(self, chunk: Callable[[int], Sequence[Got]], counts: Sequence[int]) -> None:
        self._of = chunk
        self._counts = counts
        self._read: tuple[int, Sequence[Got]] = (-1, ())

    def __len__(self) -> int:
        return self._counts[-1] if self._counts else 0

    def __iter__(self) -> Iterator[Got]:
        for chunk in self.chunks():
            yield from chunk

    @overload
    def __getitem__(self, at: int) -> Got: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Got]: ...
    def __getitem__(self, at: int | slice) -> Got | Sequence[Got]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        place = at + len(self) if at < 0 else at
        if not 0 <= place < len(self):
            raise IndexError(at)
        number = bisect_right(self._counts, place)
        return self._chunk(number)[place - (self._counts[number - 1] if number else 0)]

    def chunks(self) -> Iterator[Sequence[Got]]:
        """Give the members chunk by chunk."""
        return map(self._chunk, range(len(self._counts)))

    def _chunk(self, number: int) -> Sequence[Got]:
        if self._read[0] != number:
            self._read = (number, self._of(number))
        return self._read[1]


class Giant(Chunked[bytes]):
    """The elements of a large array, each as sent. Only those of one chunk at a time are objects.

    `ends` are the places in the text where chunks end (at the comma, or the closing bracket), `counts` how many
    elements there are up to there; `split` takes the text of a chunk apart.
    """

    def __init__(
        self, body: bytes, begin: int, ends: Sequence[int], counts: Sequence[int], split: Callable[[bytes], Chunk]
    ) -> None:
        def chunk(number: int) -> Chunk:
            since = ends[number - 1] + 1 if number else begin
            return split(b"[%b]" % body[since : ends[number]])

        super().__init__(chunk, counts)

    def read(self, of: Callable[[Chunk], Sequence[Got]]) -> "Chunked[Got]":
        """Return what is read of each element, when it is needed."""
        return Chunked(lambda number: of(self._chunk(number)), self._counts)


class GiantArray:
    """Stands for the text of an array among the members of an answer: of a large one, or of one that came before."""

    def __init__(self, body: bytes, begin: int, end: int, elements: Sequence[bytes]) -> None:
        self._body = body
        self._begin = begin
        self._end = end
        self.elements = elements

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, at: slice) -> bytes:
        begin, end, _ = at.indices(len(self))
        return self._body[self._begin + begin : self._begin + end]

    def __bytes__(self) -> bytes:
        return self._body[self._begin : self._end]


def is_large(records: Sequence[bytes]) -> bool:
    """Say whether records are read and written in several chunks."""
    return len(records) > LARGE_RECORDS


def chunks_of(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Give records in chunks, in their order."""
    if isinstance(records, Chunked):
        return records.chunks()
    return (records[at : at + CHUNK_RECORDS] for at in range(0, len(records), CHUNK_RECORDS))

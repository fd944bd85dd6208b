"""Instants of many streams, in as few bytes as they need: a worker knows three of each of its 67,000 streams.

Those of a source lie together in one bytes. Decides nothing.
"""

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from syncd.records.values import pg_instant
from syncd.status import Pair

NEVER: Final = -(2**63)
"""Stands for None; no instant in microseconds since 2000 is as early."""
ITEM_BYTES: Final = 8

Instant = datetime | None


class Instants:
    """So many instants, or None, of each of some streams."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._numbers: dict[tuple[str, ...], int] = {}
        """A number for the streams of a source, which begins its bytes: most sources have the same streams."""
        self._streams: list[tuple[str, ...]] = []
        self._of_source: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._of_source)

    def __contains__(self, pair: Pair) -> bool:
        kept = self._of_source.get(pair[0])
        return kept is not None and pair[1] in self._streams_of(kept)

    def get(self, pair: Pair) -> tuple[Instant, ...] | None:
        """Return the instants of a stream; None: there are none, or it was removed."""
        source, stream = pair
        kept = self._of_source.get(source)
        if kept is None or stream not in (streams := self._streams_of(kept)):
            return None
        found = struct.unpack_from(f"<{self._each}q", kept, ITEM_BYTES * (1 + self._each * streams.index(stream)))
        return tuple(map(_read, found))

    def put(self, pair: Pair, *instants: Instant) -> None:
        """Keep the instants of a stream, in place of those before."""
        source, stream = pair
        kept = self._of_source.get(source) or self._head(())
        streams, packed = self._streams_of(kept), struct.pack(f"<{self._each}q", *map(_packed, instants))
        if stream not in streams:
            self._of_source[source] = self._head((*streams, stream)) + kept[ITEM_BYTES:] + packed
        else:
            at = ITEM_BYTES * (1 + self._each * streams.index(stream))
            self._of_source[source] = kept[:at] + packed + kept[at + len(packed) :]

    def put_all(self, source: str, instants: Mapping[str, tuple[Instant, ...]]) -> None:
        """Keep the instants of these streams of a source, and of no others."""
        if instants:
            packed = [_packed(instant) for of_stream in instants.values() for instant in of_stream]
            self._of_source[source] = self._head(tuple(instants)) + struct.pack(f"<{len(packed)}q", *packed)

    def remove(self, pair: Pair) -> bool:
        """Forget the instants of a stream; return whether there were any."""
        source, stream = pair
        kept = self._of_source.get(source)
        if kept is None or stream not in (streams := self._streams_of(kept)):
            return False
        place = streams.index(stream)
        left = streams[:place] + streams[place + 1 :]
        if not left:
            del self._of_source[source]
            return True
        at, length = ITEM_BYTES * (1 + self._each * place), ITEM_BYTES * self._each
        self._of_source[source] = self._head(left) + kept[ITEM_BYTES:at] + kept[at + length :]
        return True

    def before(self, until: datetime) -> Iterator[tuple[datetime, Pair]]:
        """Yield the streams whose first instant is before this, with that instant."""
        end, step = pg_instant.microseconds(until), self._each
        for source, kept in self._of_source.items():
            firsts = struct.unpack(f"<{len(kept) // ITEM_BYTES}q", kept)[1::step]
            if any(NEVER < first < end for first in firsts):
                for stream, first in zip(self._streams_of(kept), firsts, strict=True):
                    if NEVER < first < end:
                        yield pg_instant.read((first,)), (source, stream)

    def has_any(self, source: str) -> bool:
        """Say whether any stream of a source has instants."""
        return source in self._of_source

    def __iter__(self) -> Iterator[Pair]:
        for source, kept in self._of_source.items():
            for stream in self._streams_of(kept):
                yield source, stream

    def _streams_of(self, kept: bytes) -> tuple[str, ...]:
        return self._streams[int.from_bytes(kept[:ITEM_BYTES], "little")]

    def _head(self, streams: tuple[str, ...]) -> bytes:
        number = self._numbers.get(streams)
        if number is None:
            number = self._numbers[streams] = len(self._streams)
            self._streams.append(streams)
        return number.to_bytes(ITEM_BYTES, "little")


def _packed(instant: Instant) -> int:
    return NEVER if instant is None else pg_instant.microseconds(instant)


def _read(packed: int) -> Instant:
    return None if packed == NEVER else pg_instant.read((packed,))

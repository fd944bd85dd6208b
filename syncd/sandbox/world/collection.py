"""One stream's records as the upstream stores them: by key, in list order, with the hidden time of their last change.

Owns encoding and the cache of encoded records; knows no API. Records may be made on demand, which keeps huge worlds
quick to start. A record handed out is always a fresh copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Record = dict[str, Any]
Key = Any  # a scalar, or a tuple where the key has several fields

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Collection:
    """Records of one stream; `version` grows with every change."""

    def __init__(self, key_fields: tuple[str, ...], make: Callable[[Key], Record] | None = None) -> None:
        self.key_fields = key_fields
        self.version = 0
        self._make = make
        self._stamps: dict[Key, float] = {}  # in list order; epoch seconds
        self._encoded: dict[Key, msgspec.Raw] = {}
        self._keys: tuple[int, list[Key]] = (-1, [])
        self._since: tuple[tuple[int, float], list[Key]] = ((-1, 0.0), [])

    def __len__(self) -> int:
        return len(self._stamps)

    def __contains__(self, key: Key) -> bool:
        return self.normal(key) in self._stamps

    def key_of(self, record: Record) -> Key:
        """Return the record's key: a scalar, or a tuple where the key has several fields."""
        parts = tuple(record[field] for field in self.key_fields)
        return parts if len(parts) > 1 else parts[0]

    def normal(self, key: Key) -> Key:
        """Return `key` in the form used inside: ("8",) and "8" mean the same."""
        if isinstance(key, list):
            key = tuple(key)
        return key[0] if isinstance(key, tuple) and len(self.key_fields) == 1 else key

    def promise(self, stamps: Iterable[tuple[Key, float]]) -> None:
        """Add keys whose records are made when first asked for."""
        self._stamps.update(stamps)
        self.version += 1

    def copy_from(self, other: Collection) -> None:
        """Take over the records and promises of a collection of the same stream; neither sees the other's changes."""
        self._stamps, self._encoded = other._stamps.copy(), other._encoded.copy()
        self.version += 1

    def put(self, record: Record, stamp: float, *, first: bool = False) -> Key:
        """Create or replace a record; a new one goes to the end of the list, or to its start."""
        key = self.key_of(record)
        if first and key not in self._stamps:
            self._stamps = {key: stamp, **self._stamps}
        self._stamps[key] = stamp
        self._encoded[key] = msgspec.Raw(_encode(record))
        self.version += 1
        return key

    def remove(self, key: Key) -> Record:
        """Remove and return a record; KeyError if there is none."""
        key = self.normal(key)
        record = self.get(key)
        del self._stamps[key]
        del self._encoded[key]
        self.version += 1
        return record

    def get(self, key: Key) -> Record:
        """Return a copy of a record; KeyError if there is none."""
        record: Record = _decode(self.raw(self.normal(key)))
        return record

    def raw(self, key: Key) -> msgspec.Raw:
        """Return a record as JSON bytes; KeyError if there is none."""
        encoded = self._encoded.get(key)
        if encoded is None:
            if key not in self._stamps or self._make is None:
                raise KeyError(key)
            encoded = self._encoded[key] = msgspec.Raw(_encode(self._make(key)))
        return encoded

    def stamp(self, key: Key) -> float:
        """Return the hidden time of the last change, in epoch seconds."""
        return self._stamps[self.normal(key)]

    def keys(self) -> list[Key]:
        """Return all keys in list order; the caller must not change the list."""
        if self._keys[0] != self.version:
            self._keys = (self.version, list(self._stamps))
        return self._keys[1]

    def since(self, stamp: float) -> list[Key]:
        """Return the keys changed at or after `stamp`, in list order; the caller must not change the list."""
        if self._since[0] != (self.version, stamp):
            self._since = ((self.version, stamp), [key for key, at in self._stamps.items() if at >= stamp])
        return self._since[1]

    def records(self, keys: list[Key] | None = None) -> list[Record]:
        """Return copies of the records of some of `keys()`, by default of all, in their order."""
        raw = map(self.raw, self.keys() if keys is None else keys)
        records: list[Record] = _decode(b"[" + b",".join(map(bytes, raw)) + b"]")
        return records

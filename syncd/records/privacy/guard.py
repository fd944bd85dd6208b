"""The guard of a stream: the first thing that its records pass, before they are read as rows.

It leaves out and hashes the fields that the configuration names. It turns away the records of persons who were
forgotten. Of a record that refers to such a person it keeps nothing personal.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from syncd.contract import Column, Table
from syncd.records.privacy.fields import Place, place
from syncd.records.privacy.markers import Forgotten, Markers
from syncd.records.privacy.sieve import Deed, Sieve, fields_of
from syncd.records.rows import Key
from syncd.records.values import read

HASHED: Final = re.compile(r"hmac:[0-9a-f]{64}")
"""What a hashed value looks like: it is not hashed again, so that a reject can be replayed."""
WITHHELD: Final = "$withheld"
"""Stands in the place of a record of which nothing may be kept."""

_UTC = ZoneInfo("UTC")


class Entered(NamedTuple):
    """The records of a page that may be read further, with their keys if they are known."""

    records: Sequence[bytes]
    keys: Sequence[Key | None] | None
    forgotten: int


class Guard:
    """What the records of one stream of one source must pass; made anew with the configuration."""

    def __init__(
        self,
        table: Table,
        stream: str,
        *,
        exclude: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_key: bytes = b"",
        forgotten: Forgotten | None = None,
    ) -> None:
        self.forgotten = forgotten or Forgotten()
        self.excluded = [place(table, name) for name in exclude]
        self.hashed = [place(table, name) for name in hashed]
        self._table = table
        self._stream = stream
        self._hash_key = hash_key
        self.sieve = self._sieve(exclude, hashed) if exclude or hashed else None
        self._scrub = _scrubbing(table) if table.refers else None

    def _sieve(self, exclude: Sequence[str], hashed: Sequence[str]) -> Sieve:
        deeds = {
            found.path: _deed(found)
            for name, found in zip(exclude, self.excluded, strict=True)
            if _is_exact(name, found)
        }
        deeds |= {
            found.path: Deed.HASH for name, found in zip(hashed, self.hashed, strict=True) if _is_exact(name, found)
        }
        return Sieve(
            self._table, deeds, excluded=_anywhere(exclude, self.excluded), hashed=_anywhere(hashed, self.hashed),
            digest=self.digest,
        )  # fmt: skip

    def digest(self, raw: bytes) -> bytes:
        """Return the keyed hash of a value, as JSON; null, an empty text and a hash stay as they are.

        Blanks around a text and its case do not count, so that it joins as the views of schema reporting compare.
        """
        if raw == b"null":
            return raw
        try:
            text = msgspec.json.decode(raw, type=str)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            text = raw.decode("utf-8", "replace")
        hashed = self.hash(text)
        return raw if hashed == text else msgspec.json.encode(hashed)

    def hash(self, text: str) -> str:
        """Return the keyed hash of a text."""
        told = text.strip().lower()
        if not told or HASHED.fullmatch(text):
            return text
        return f"hmac:{hmac.new(self._hash_key, told.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()}"

    def left_of(self, record: bytes, *, stored: bool = False) -> bytes:
        """Return a record without what is left out, and with hashes for what is hashed.

        Of one that is stored, what is left out goes altogether; of one that will be a row it is set to null.
        """
        if self.sieve is None:
            return record
        left = self.sieve.stored(record) if stored else self.sieve.record(record)
        return left or _withheld("no object, or nested too deeply, and fields are excluded or hashed")

    def enter(
        self,
        records: Sequence[bytes],
        keys: Sequence[Key | None] | None = None,
        *,
        read_keys: Callable[[Sequence[bytes]], Sequence[Key | None]],
    ) -> Entered:
        """Return what may be read further of records, whose keys are `keys` if these were read already."""
        if self.sieve:
            records = [self.left_of(record) for record in records]
        markers = self.forgotten.markers
        if not markers.digests:
            return Entered(records, keys, 0)
        if self._scrub and not markers.digests.keys().isdisjoint(self._table.refers.values()):
            records = [self.without_persons(record, markers) for record in records]
        if not self._table.person or self._stream not in markers.digests:
            return Entered(records, keys, 0)
        keys = keys or read_keys(records)
        known = [key is None or not markers.hold(self._stream, key[0]) for key in keys]
        told = [
            record if key is not None else _withheld("no usable key, so that it may be of a person who was forgotten")
            for record, key, stays in zip(records, keys, known, strict=True)
            if stays
        ]
        return Entered(told, [key for key, stays in zip(keys, known, strict=True) if stays], known.count(False))

    def without_persons(self, record: bytes, markers: Markers) -> bytes:
        """Return a record that refers to a forgotten person without what is personal; any other as it is."""
        for column in self._table.columns:
            stream = self._table.refers.get(column.name)
            if stream and stream in markers.digests:
                key = _at(record, column)
                if key is not None and markers.hold(stream, key) and self._scrub:
                    return self._scrub.record(record) or _withheld(
                        "nested too deeply, and of a person who was forgotten"
                    )
        return record


def _deed(found: Place) -> Deed:
    return Deed.EMPTY if found.array else Deed.DROP if found.column is None else Deed.EXCLUDE


def _is_exact(name: str, found: Place) -> bool:
    """Say whether a field is meant at its place only; one without a column or a dot counts wherever it is met."""
    return found.column is not None or found.array or "." in name


def _anywhere(names: Iterable[str], places: Iterable[Place]) -> frozenset[str]:
    """Return the names that count at any depth: those without a dot, and how the upstream calls these columns."""
    plain = [(name, found) for name, found in zip(names, places, strict=True) if "." not in name and not found.array]
    return frozenset({name for name, _ in plain} | {str(found.path[-1]) for _, found in plain})


def _scrubbing(table: Table) -> Sieve:
    """Return what takes from a record all that is personal."""
    deeds: dict[tuple[str | int, ...], Deed] = {}
    for prefix, each in ((), table), *((child.at, child.table) for child in table.children):
        gone = {*each.personal, *each.refers}.difference(each.key)
        deeds |= {(*prefix, *column.path): Deed.EXCLUDE for column in each.columns if column.name in gone}
    return Sieve(table, deeds, excluded=None)


def _at(record: bytes, column: Column) -> Any:
    """Return the typed value of a column in a record; None if there is none."""
    raw = record
    for step in column.path:
        fields = fields_of(raw)
        if not fields or step not in fields:
            return None
        raw = bytes(fields[step])
    return read(raw, column.kind, _UTC)[0]


def _withheld(reason: str) -> bytes:
    return msgspec.json.encode({WITHHELD: reason})

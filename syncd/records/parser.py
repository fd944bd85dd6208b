"""The parser of a table: turns records into rows, keys and fingerprints.

Each record first meets the strict reader, which is fast and knows every documented field and its type. What it refuses
is read by the lenient reader, field by field. Never does I/O and never looks at a clock.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, overload
from zoneinfo import ZoneInfo

from syncd.contract import Table
from syncd.records.giant import Giant
from syncd.records.known import KnownElements
from syncd.records.lenient import LenientReader
from syncd.records.recipe import recipe
from syncd.records.rows import Columns, Key, Reject, Row
from syncd.records.split import Elements
from syncd.records.strict import KeyReader, StrictReader, has_plain_key, is_flat

PARSERS: Final = 512
"""Parsers that are kept, one for each table and zone; our choice."""
LATE_RECORDS: Final = 100
"""The keys of a shorter list are read at once; our choice."""
FEW_KEYS: Final = 8
"""So many keys are read one by one before all are read together; our choice."""


class Parser:
    """Parses the records of one table, with zone-less times read in `zone`.

    The recipe of the table is part of every fingerprint. Readers are made on first use: most parsers read only keys, or
    nothing at all in a command that is over in a moment.
    """

    def __init__(self, table: Table, zone: ZoneInfo) -> None:
        self.table = table
        self.zone = zone
        self.names = tuple(column.name for column in table.columns)
        self.key_at = tuple(self.names.index(name) for name in table.key)

    @cached_property
    def _children(self) -> tuple["Parser", ...]:
        return tuple(Parser(child.table, self.zone) for child in self.table.children)

    @cached_property
    def lenient(self) -> LenientReader:
        """The reader that reads any record, field by field."""
        return LenientReader(self.table, self.zone)

    @cached_property
    def _strict(self) -> StrictReader | None:
        return StrictReader(self.table, self.zone) if is_flat(self.table) else None

    @cached_property
    def _key_reader(self) -> KeyReader | None:
        return KeyReader(self.table) if has_plain_key(self.table) else None

    @cached_property
    def recipe(self) -> bytes:
        """How the table's records become rows, as a digest of 16 bytes."""
        return recipe(self.table, self.zone)

    @cached_property
    def _blank(self) -> "hashlib.blake2b":
        """The digest that every fingerprint begins with."""
        return hashlib.blake2b(digest_size=16, person=self.recipe)

    def fingerprint(self, record: bytes) -> bytes:
        """Return the 16-byte fingerprint of a record as sent: equal ones give equal rows."""
        digest = self._blank.copy()
        digest.update(record)
        return digest.digest()

    def key(self, record: bytes) -> Key | None:
        """Return the record's key, or None if it has no usable one. Reads nothing else, so it is cheap."""
        if self._key_reader and (key := self._key_reader.key(record)):
            return key
        parsed = self.parse(record)
        return parsed.key if isinstance(parsed, Row) else None

    def fingerprints(self, records: Iterable[bytes]) -> list[bytes]:
        """Return the fingerprint of each record."""
        copy, found = self._blank.copy, []
        for record in records:
            digest = copy()
            digest.update(record)
            found.append(digest.digest())
        return found

    def keys(self, records: Sequence[bytes]) -> Sequence[Key | None]:
        """Return the key of each record, None for one without a usable key; those of a long list when needed."""
        if isinstance(records, Giant):
            return records.read(self.keys)
        return LateKeys(self, records) if len(records) >= LATE_RECORDS else self.keys_now(records)

    def keys_now(self, records: Sequence[bytes]) -> list[Key | None]:
        """Return the key of each record as `keys` does, read at once."""
        if self._key_reader and records and (found := self._key_reader.keys(_array(records), len(records))):
            return list(found)
        return [self.key(record) for record in records]

    def columns(self, records: Sequence[bytes], places: Sequence[int]) -> tuple[Columns | None, list[int]]:
        """Read the records at these places together as columns; return the places of those that were."""
        if self._strict is None or not places:
            return None, []
        return self._strict.read_all(records, _array(records), places)

    def child(self, place: int) -> "Parser":
        """Return the parser of the child table at that place."""
        return self._children[place]

    def parse(self, record: bytes) -> Row | Reject:
        """Turn one record, as sent, into a row; a record without a usable key into a Reject."""
        if self._strict and (row := self._strict.read(record)):
            return row
        return self.lenient.read(record)

    def reject(self, reason: str, record: bytes) -> Reject:
        """Make a reject of a record as sent, but with secrets digested: all of it where it is no object."""
        return self.lenient.reject(reason, record)


class LateKeys(Sequence[Key | None]):
    """The keys of records: all are read when somebody asks for more than a few at the ends."""

    def __init__(self, parser: Parser, records: Sequence[bytes]) -> None:
        self._parser = parser
        self._records = records

    @cached_property
    def _all(self) -> list[Key | None]:
        return self._parser.keys_now(self._records)

    @property
    def are_read(self) -> bool:
        """Whether all keys have been read."""
        return "_all" in self.__dict__

    def filled(self, known: Mapping[int, Key]) -> list[Key | None]:
        """Return all keys, of which those at some places are known."""
        return [known.get(at) or self._parser.key(record) for at, record in enumerate(self._records)]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Key | None]:
        return iter(self._all)

    def __contains__(self, key: object) -> bool:
        return key in self._all

    @overload
    def __getitem__(self, at: int) -> Key | None: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Key | None]: ...
    def __getitem__(self, at: int | slice) -> Key | Sequence[Key | None] | None:
        if self.are_read:
            return self._all[at]
        if isinstance(at, int):
            return self._parser.key(self._records[at])
        few = self._records[at]
        return [self._parser.key(record) for record in few] if len(few) <= FEW_KEYS else self._all[at]


@lru_cache(maxsize=PARSERS)
def parser_of(table: Table, zone: ZoneInfo) -> Parser:
    """Return the parser of a table; all accounts, and all walks, share it."""
    return Parser(table, zone)


def _array(records: Sequence[bytes]) -> bytes:
    return records.array if isinstance(records, Elements | KnownElements) else b"[" + b",".join(records) + b"]"

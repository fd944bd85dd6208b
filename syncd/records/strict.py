"""The strict reader: reads records that are exactly as documented, all those of a page together, and fast.

One compiled decoder checks names, types, ranges and keys of a whole record at once. Whatever it does not know for sure
it refuses; the lenient reader then reads that record. Both give the same row where both give one.
"""

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, compress, repeat
from operator import attrgetter, ne
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Raw
from msgspec.structs import astuple

from syncd.contract import Child, Column, Kind, Table
from syncd.records.rows import KEY_CHARS, Columns, Key, Note, Row
from syncd.records.values import read, read_date
from syncd.records.values.days import ODD, Times, fitting

_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_KEYS: dict[Kind, Any] = {Kind.BIGINT: _Int64, Kind.TEXT: Annotated[str, Meta(min_length=1, max_length=KEY_CHARS)]}
_KEYS_ALONE: dict[Kind, Any] = {**_KEYS, Kind.UUID: uuid.UUID}
"""Of keys that are read without the rest of their records."""
_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str | None,
    Kind.BIGINT: _Int64 | None,
    Kind.BOOLEAN: bool | None,
    Kind.NUMERIC: Raw,
    Kind.UUID: Raw,
    Kind.JSON: Raw,
    Kind.DATE: str | None,
    Kind.TIMESTAMP: str | None,
}
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NUL = b"\\u0000"
"""Decodes, but PostgreSQL has no place for it."""
_NOTHING: frozenset[str] = frozenset()
_NO_ROWS = Columns(())
VALUES_CACHED = 10_000
_new_row: Callable[[type[Row], tuple[Any, ...]], Row] = tuple.__new__  # a third of the time of Row(…)


class KeyReader:
    """Reads nothing of a record but its key, which must be a plain member for each key column."""

    def __init__(self, table: Table) -> None:
        columns = [column for name in table.key for column in table.columns if column.name == name]
        fields = [(column.name, _KEYS_ALONE[column.kind]) for column in columns]
        rename = {column.name: str(column.path[0]) for column in columns}
        struct = msgspec.defstruct("Key", fields, rename=rename, gc=False)
        self._parts = [attrgetter(column.name) for column in columns]
        self._texts = [attrgetter(column.name) for column in columns if column.kind is Kind.TEXT]
        self._decode = msgspec.json.Decoder(struct).decode
        self._decode_all = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]

    def key(self, record: bytes) -> Key | None:
        """Return the record's key, or None if it is not as documented."""
        try:
            found = self._decode(record)
        except _REFUSALS:
            return None
        return None if self._holds_nul([found]) else astuple(found)

    def keys(self, array: bytes, count: int) -> list[Key] | None:
        """Return the keys of an array of so many records, or None if that of any is not as documented."""
        try:
            found = self._decode_all(array)
        except _REFUSALS:
            return None
        if len(found) != count or self._holds_nul(found):
            return None
        return list(zip(*(map(part, found) for part in self._parts), strict=True))

    def _holds_nul(self, found: Sequence[msgspec.Struct]) -> bool:
        return any("\0" in "".join(map(part, found)) for part in self._texts)


class MemberReader:
    """Reads nothing of a record but one member, wherever it lies in it; the zone must not matter to its kind."""

    def __init__(self, column: Column) -> None:
        self._kind = column.kind
        struct: Any = Raw
        for name in reversed(column.path):
            default = Raw(b"null") if struct is Raw else None
            of_member = struct if struct is Raw else struct | None
            struct = msgspec.defstruct(
                "Member", [("member", of_member, default)], rename={"member": str(name)}, gc=False
            )
        self._decode = msgspec.json.Decoder(struct).decode

    def value(self, record: bytes) -> tuple[Any, bool]:
        """Return the value, None for none, and whether it is as documented: else the record must be read whole."""
        try:
            found: Any = self._decode(record)
        except _REFUSALS:
            return None, False
        while found is not None and not isinstance(found, Raw):
            found = found.member
        return (None, True) if found is None else read(bytes(found), self._kind, UTC_ZONE)


class StrictReader:
    """Reads the records of one flat table, its flat child tables included.

    Of a child table the first `inherited` columns are the parent's key.
    """

    def __init__(self, table: Table, zone: ZoneInfo, inherited: int = 0) -> None:
        names = [column.name for column in table.columns]
        self._fields = [str(column.path[0]) for column in table.columns] + [child.field for child in table.children]
        self._width = len(names)
        self._inherited = inherited
        self._key_at = [names.index(name) for name in table.key]
        times = Times(zone)
        readers: dict[Kind, Callable[[Any], Any]] = {
            Kind.NUMERIC: lambda raw: _number(bytes(raw)),
            Kind.UUID: _raw(Kind.UUID),
            Kind.JSON: _raw(Kind.JSON),
            Kind.DATE: _date(zone),
            Kind.TIMESTAMP: times.read,
        }
        self._texts = [(i, readers[column.kind]) for i, column in enumerate(table.columns) if column.kind in readers]
        readers[Kind.TIMESTAMP] = times.count
        self._column_texts = [(i, readers[table.columns[i].kind]) for i, _ in self._texts]
        self._children = [StrictReader(child.table, zone, len(table.key)) for child in table.children]
        self._ever_missing: set[int] = set()
        self.whole: Any = self._struct(table, [child.whole for child in self._children], self._none_missing)
        self.gappy: Any = self._struct(table, [child.gappy for child in self._children], self._missing)
        self._decode = msgspec.json.Decoder(self.whole).decode
        self._decode_gappy = msgspec.json.Decoder(self.gappy).decode
        self._decode_all = msgspec.json.Decoder(list[self.whole]).decode  # type: ignore[name-defined]
        self._decode_all_gappy = msgspec.json.Decoder(list[self.gappy]).decode  # type: ignore[name-defined]

    def _struct(self, table: Table, children: Sequence[Any], missing: Callable[[int], Any]) -> Any:
        """Return the type of a record; `missing` gives what a field is that a record lacks, by its place."""
        fields: list[Any] = []
        own_key = table.key[self._inherited :]
        for place, column in enumerate(table.columns):
            kind = _KEYS[column.kind] if column.name in table.key else _TYPES[column.kind]
            optional = msgspec.field(default=Raw(b"null") if kind is Raw else None)
            required = msgspec.field() if column.name in own_key else missing(place)
            fields.append((column.name, kind, optional if column.optional else required))
        fields += [
            (f"children_{child.field}", list[struct], missing(place))  # type: ignore[valid-type]
            for place, (child, struct) in enumerate(zip(table.children, children, strict=True), self._width)
        ]
        rename = {name: said for (name, _, _), said in zip(fields, self._fields, strict=True)}
        return msgspec.defstruct(
            table.name, fields, rename=rename, forbid_unknown_fields=True, frozen=True, gc=False, kw_only=True
        )

    def _none_missing(self, _place: int) -> Any:
        return msgspec.field()

    def _missing(self, place: int) -> Any:
        """Return a field that is UNSET where a record lacks it, and keeps in mind that records lack it."""

        def unset() -> Any:
            self._ever_missing.add(place)
            return UNSET

        return msgspec.field(default_factory=unset)

    def read_all(
        self, records: Sequence[bytes], array: bytes, places: Sequence[int]
    ) -> tuple[Columns | None, list[int]]:
        """Read the records at these places together: return their values as columns, and the places of those.

        `array` holds all the records. One may lack fields, and an element may name another parent than the one it came
        with; any other that is not as documented is left out: it must be read alone.
        """
        decoded = self._decoded(records, array, places)
        if None in decoded:
            places = [place for place, row in zip(places, decoded, strict=True) if row is not None]
            decoded = [row for row in decoded if row is not None]
        if not decoded:
            return None, []
        columns, odd = self._columns(decoded)
        if not odd:
            return columns, list(places)
        good = [at not in odd for at in range(len(places))]
        return columns.kept(good) if any(good) else None, list(compress(places, good))

    def _decoded(self, records: Sequence[bytes], array: bytes, places: Sequence[int]) -> list[Any]:
        """Decode records, all at once if that is possible, else one by one: None for each that must be read alone."""
        if not _has_nul(array):
            for decode_all in (self._decode_all, self._decode_all_gappy):
                with contextlib.suppress(*_REFUSALS):
                    if len(decoded := decode_all(array)) == len(records):
                        return [decoded[place] for place in places]
        return [_attempt(self._decode_gappy, records[place]) for place in places]

    def _columns(self, rows: Sequence[msgspec.Struct], inherited: Sequence[list[Any]] = ()) -> tuple[Columns, set[int]]:
        """Turn rows into columns; the first take the values of their parents, given as columns in `inherited`.

        Also return the places of odd rows. Works on whole columns, because a loop over rows costs ten times as much.
        """
        values: list[Sequence[Any]] = list(zip(*map(astuple, rows), strict=True))
        notes = self._fill(values) if type(rows[0]) is self.gappy else []
        arrays, values = values[self._width :], values[: self._width]
        odd: set[int] = set()
        for place, text in self._column_texts:
            values[place] = column = [None if value is None else text(value) for value in values[place]]
            odd.update([at for at, value in enumerate(column) if value is ODD])  # `in` would compare, slowly
        extras = _contradictions(values, inherited, self._fields)
        values[: len(inherited)] = inherited
        keys = [values[place] for place in self._key_at]
        if inherited and len(set(zip(*keys, strict=True))) < len(rows):
            odd.update(_twice(list(zip(*keys, strict=True))))
        children: list[tuple[Columns, list[int]]] = []
        for reader, array in zip(self._children, arrays, strict=True):
            counts = [0 if elements is None else len(elements) for elements in array]
            parents_keys = [list(chain.from_iterable(map(repeat, key, counts))) for key in keys]
            elements = list(chain.from_iterable(filter(None, array)))
            columns, odd_elements = reader._columns(elements, parents_keys) if elements else (_NO_ROWS, ())  # noqa: SLF001  (a reader of its own kind)
            if odd_elements or columns.notes:
                owners = list(chain.from_iterable(map(repeat, range(len(rows)), counts)))
                odd.update(owners[at] for at in odd_elements)
                field = self._fields[self._width + len(children)]
                notes += [(owners[at], note._replace(field=f"{field}[].{note.field}")) for at, note in columns.notes]
            children.append((columns, counts))
        return Columns(values, children, extras, notes), odd

    def _fill(self, columns: list[Sequence[Any]]) -> list[tuple[int, Note]]:
        """Put None where a field is missing, and return a note of each, with its row's place."""
        notes = []
        for place in sorted(self._ever_missing):
            column, note = columns[place], Note(self._fields[place], "vanished")
            if gaps := [at for at, value in enumerate(column) if value is UNSET]:
                notes += [(at, note) for at in gaps]
                columns[place] = [None if value is UNSET else value for value in column]
        return notes

    def read(self, record: bytes) -> Row | None:
        """Return the record's values, or None if anything about it is not as documented."""
        decoded = _attempt(self._decode, record)
        return None if decoded is None else self._row(astuple(decoded), ())

    def _row(self, values: tuple[Any, ...], parent: Key) -> Row | None:
        arrays = ()
        if self._children:
            arrays, values = values[self._width :], values[: self._width]
        if self._texts:
            edited = list(values)
            for place, text in self._texts:
                if edited[place] is not None:
                    edited[place] = text(edited[place])
                    if edited[place] is ODD:
                        return None
            values = tuple(edited)
        extra = None
        if parent and values[: len(parent)] != parent:
            told = zip(self._fields, values, parent, strict=False)
            extra = msgspec.json.encode({name: said for name, said, part in told if said != part}).decode()
            values = parent + values[len(parent) :]
        key = tuple(values[place] for place in self._key_at)
        if not arrays:
            return _new_row(Row, (key, values, extra, _NOTHING, (), ()))
        children: list[tuple[Columns, list[int]]] = []
        for reader, array in zip(self._children, arrays, strict=True):
            rows = [reader._row(astuple(element), key) for element in array]  # noqa: SLF001  (a reader of its own kind)
            if None in rows or len({row[0] for row in rows if row}) != len(rows):
                return None
            children.append(rows)
        return _new_row(Row, (key, values, extra, _NOTHING, tuple(children), ()))


def _has_nul(text: bytes) -> bool:
    # a backslash is looked for in a tenth of the time; from the end, because digits are more frequent than backslashes
    return b"\\" in text and text.rfind(_NUL) >= 0


def _attempt(decode: Callable[[bytes], Any], record: bytes) -> Any:
    try:
        return decode(record) if not _has_nul(record) else None
    except _REFUSALS:
        return None


def _contradictions(
    values: Sequence[Sequence[Any]], inherited: Sequence[Sequence[Any]], fields: Sequence[str]
) -> list[str | None]:
    """Return as `_extra` what rows say of their parents' key where it is not so; nothing if it always is."""
    told: dict[int, dict[str, Any]] = {}
    for own, parents, field in zip(values, inherited, fields, strict=False):
        if list(own) != parents:
            for at in compress(range(len(own)), map(ne, own, parents)):
                if own[at] is not None:
                    told.setdefault(at, {})[field] = own[at]
    if not told:
        return []
    extras: list[str | None] = [None] * len(values[0])
    for at, said in told.items():
        extras[at] = msgspec.json.encode(said).decode()
    return extras


def _twice(keys: Sequence[Key]) -> set[int]:
    """Return the places of keys that stand in more than one."""
    counted = Counter(keys)
    return {place for place, key in enumerate(keys) if counted[key] > 1}


def has_plain_key(table: Table) -> bool:
    """Say whether each part of the key is a plain member of a record."""
    return all(len(column.path) == 1 and column.kind in _KEYS_ALONE for column in _key_columns(table))


def _key_columns(table: Table) -> list[Column]:
    return [column for column in table.columns if column.name in table.key]


def is_flat(table: Table) -> bool:
    """Say whether a table can be read strictly: every column a plain member of a known type; children: keys first."""
    return (
        has_plain_key(table)
        and all(column.kind in _KEYS and not column.blank for column in _key_columns(table))
        and all(len(column.path) == 1 and column.kind in _TYPES and not column.after for column in table.columns)
        and all(_is_plain(child) and is_flat(child.table) and _keys_first(child.table) for child in table.children)
    )


def _is_plain(child: Child) -> bool:
    return len(child.at) == 1 and not child.optional


def _keys_first(table: Table) -> bool:
    return tuple(column.name for column in table.columns[: len(table.key)]) == table.key


@lru_cache(VALUES_CACHED)
def _number(text: bytes) -> Any:
    return fitting(read(text, Kind.NUMERIC, UTC_ZONE))


def _raw(kind: Kind) -> Callable[[Raw], Any]:
    return lambda raw: fitting(read(bytes(raw), kind, UTC_ZONE))


def _date(zone: ZoneInfo) -> Callable[[str], Any]:
    return lambda text: fitting(read_date(text, zone))


UTC_ZONE = ZoneInfo("UTC")

"""The lenient reader: reads one record field by field, and loses nothing of it.

A value that has no column, or that does not fit its column, is kept as sent in `_extra`, so that one odd field never
costs a row. Only a record without a usable key becomes a `Reject`. `strict` reads what is exactly as documented, much
faster; both give the same row where both give one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from syncd.contract import Child, Kind, Table
from syncd.records.rows import KEY_CHARS, Key, Note, Reject, Row
from syncd.records.split import ARRAY, OBJECT, decoded, kind_of, listed
from syncd.records.values import INT64, jsonb, masked, plain, read


@dataclass(slots=True)
class _Reading:
    """What has been read of one record so far.

    `arrays` holds the arrays of child tables by place, `unread` the places of those whose object was something else.
    """

    values: list[Any]
    extra: dict[str, bytes] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    arrays: dict[int, bytes] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)


_Node = dict[str | int, Any]
"""Where each field's value goes: name (or place in an array) → index of a column, a nested _Node, or an _Array."""


class _Array(NamedTuple):
    """The array of a child table, within objects of the record."""

    place: int


class LenientReader:
    """Reads the records of one table, its child tables included, with zone-less times read in `zone`."""

    def __init__(self, table: Table, zone: ZoneInfo) -> None:
        self._table = table
        self._zone = zone
        index = {column.name: place for place, column in enumerate(table.columns)}
        self._key_at = tuple(index[name] for name in table.key)
        self._children = tuple(LenientReader(child.table, zone) for child in table.children)
        self._child_fields = {child.at[0]: at for at, child in enumerate(table.children) if len(child.at) == 1}
        self._seconds = {index[column.after]: index[column.name] for column in table.columns if column.after}
        self._nodes = self._tree()

    def read(self, record: bytes, inherited: Key = ()) -> Row | Reject:
        """Read field by field; whatever finds no column ends in `extra`."""
        try:
            fields = decoded(OBJECT, record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self.reject(f"expected an object, got {kind_of(record)}", record)
        reading = _Reading(values=[None] * len(self._table.columns))
        reading.arrays = {at: bytes(fields.pop(name)) for name, at in self._child_fields.items() if name in fields}
        self._read_object(self._nodes, fields, reading, reading.extra, "")
        for part, index in zip(inherited, self._key_at, strict=False):
            self._inherit(index, part, reading)
        key = tuple(reading.values[index] for index in self._key_at)
        if bad := self._bad_names(key, reading.extra, len(inherited)):
            reason = f"no usable key: {', '.join(bad)} is missing, null, empty, too long or of another type"
            return self.reject(reason, record)
        children = self._read_children(key, reading)
        absent = reading.absent.difference(self._table.key)
        extra = _object_text(reading.extra) if reading.extra else None
        return Row(key, tuple(reading.values), extra, frozenset(absent), children, reading.notes)

    def _inherit(self, index: int, part: Any, reading: _Reading) -> None:
        """Set a key column to the parent's value; what the element itself said of it is kept if it differs."""
        column = self._table.columns[index]
        said = reading.values[index]
        if said is not None and said != part and str(column.path[0]) not in reading.extra:
            reading.extra[str(column.path[0])] = msgspec.json.encode(said, enc_hook=str)
        reading.values[index] = part
        reading.absent.discard(column.name)

    def _read_children(self, key: Key, reading: _Reading) -> tuple[list[Row] | None, ...]:
        return tuple(self._read_child(place, child, key, reading) for place, child in enumerate(self._table.children))

    def _read_child(self, place: int, child: Child, key: Key, reading: _Reading) -> list[Row] | None:
        """Read the array of a child table; None if it is missing, unless that means that there are no rows."""
        raw, name = reading.arrays.get(place), ".".join(child.at)
        if raw is None and place in reading.unread:
            return None
        if child.optional and raw in (None, b"null"):
            return []
        if raw is None:
            reading.notes.append(Note(name, "vanished"))
            return None
        rows, leftover = self._children[place]._rows_of(raw, key)
        if leftover:
            _keep(reading.extra, child.at, leftover)
            reading.notes.append(Note(name, "type_changed", masked(leftover)))
        reading.notes.extend(Note(f"{name}[].{n.field}", n.change, n.sample) for r in rows for n in r.notes)
        return rows

    def _rows_of(self, raw: bytes, inherited: Key) -> tuple[list[Row], bytes | None]:
        """Return the child rows of an array, and as sent whatever of it became no row (null if the array is null)."""
        try:
            found = listed(raw)
        except msgspec.MsgspecError:
            return [], raw
        rows: dict[Key, tuple[Row, bytes]] = {}
        leftover: list[bytes] = []
        for element in map(bytes, found):
            parsed = self.read(element, inherited)
            if isinstance(parsed, Reject):
                leftover.append(element)
                continue
            if earlier := rows.pop(parsed.key, None):
                leftover.append(earlier[1])
            rows[parsed.key] = (parsed, element)
        return [row for row, _ in rows.values()], b"[" + b",".join(leftover) + b"]" if leftover else None

    def _read_object(
        self, node: _Node, fields: Mapping[str, Raw], reading: _Reading, extra: dict[str, bytes], prefix: str
    ) -> None:
        for name, raw in fields.items():
            self._read_field(node.get(name), name, bytes(raw), reading, extra, prefix)
        for known, spot in node.items():
            if known not in fields:
                self._mark_absent(spot, reading, f"{prefix}{known}")

    def _read_field(
        self, spot: Any, name: str, raw: bytes, reading: _Reading, extra: dict[str, bytes], prefix: str
    ) -> None:
        """Read one field into its column, its nested columns or `extra`."""
        if spot is None:
            extra[name] = raw
            reading.notes.append(Note(prefix + name, "appeared", masked(raw)))
        elif isinstance(spot, int):
            column = self._table.columns[spot]
            reading.values[spot], fits = read(raw, column.kind, self._zone)
            if not fits and not self._read_second(spot, raw, reading):
                extra[name] = raw
                reading.notes.append(Note(prefix + name, "type_changed", masked(raw)))
        elif isinstance(spot, _Array):
            reading.arrays[spot.place] = raw
        elif not self._read_nested(spot, name, raw, reading, extra, prefix):
            extra[name] = raw
            if raw != b"null":
                reading.notes.append(Note(prefix + name, "type_changed", masked(raw)))

    def _read_second(self, spot: int, raw: bytes, reading: _Reading) -> bool:
        """Read a value that does not fit its column into the one that comes after it; False if it fits neither."""
        if spot not in self._seconds:
            return False
        second = self._seconds[spot]
        value, fits = read(raw, self._table.columns[second].kind, self._zone)
        if fits:
            reading.values[spot], reading.values[second] = None, value
        return fits

    def _read_nested(
        self, node: _Node, name: str, raw: bytes, reading: _Reading, extra: dict[str, bytes], prefix: str
    ) -> bool:
        """Read an object or a short array into its columns; False if it must also be kept as sent."""
        if raw == b"null":
            return True
        if 0 in node:
            return self._read_places(node, raw, reading)
        try:
            fields = decoded(OBJECT, raw)
        except msgspec.MsgspecError:
            self._read_bare(node, raw, reading)
            if raw.split() != [b"[]"]:  # how PHP writes an empty object
                reading.unread.update(array.place for array in _arrays(node))
            return False
        if not fields:
            return False
        inner: dict[str, bytes] = {}
        self._read_object(node, fields, reading, inner, f"{prefix}{name}.")
        if inner:
            extra[name] = _object_text(inner).encode()
        return True

    def _read_bare(self, node: _Node, raw: bytes, reading: _Reading) -> None:
        """Read a value that came alone instead of in its object, where the column says that it may."""
        for spot in node.values():
            if isinstance(spot, int) and self._table.columns[spot].bare and raw[:1] not in b"[{":
                reading.values[spot] = read(raw, self._table.columns[spot].kind, self._zone)[0]

    def _read_places(self, node: _Node, raw: bytes, reading: _Reading) -> bool:
        try:
            places = decoded(ARRAY, raw)
        except msgspec.MsgspecError:
            return False
        if len(places) != len(node):
            return False
        found = [
            read(bytes(place), self._table.columns[node[index]].kind, self._zone) for index, place in enumerate(places)
        ]
        for index, (value, _) in enumerate(found):
            reading.values[node[index]] = value
        return all(fits for _, fits in found)

    def _mark_absent(self, spot: Any, reading: _Reading, name: str) -> None:
        """Note the columns of a missing field, unless the vendor declares it optional (then they are null)."""
        leaves = _leaves(spot)
        leaves += [self._seconds[leaf] for leaf in leaves if leaf in self._seconds]
        kept = [self._table.columns[leaf] for leaf in leaves if not self._table.columns[leaf].optional]
        reading.absent.update(column.name for column in kept)
        if kept:
            reading.notes.append(Note(name, "vanished"))

    def _bad_names(self, key: Key, extra: Mapping[str, bytes], inherited: int) -> list[str]:
        """Return the names of the parts of a key by which no row can be known.

        Two keys would become one if what PostgreSQL cannot hold of them were replaced.
        """
        bad = []
        for at, part in enumerate(key):
            column = self._table.columns[self._key_at[at]]
            was_replaced = at >= inherited and str(column.path[0]) in extra and "\ufffd" in str(part)
            if was_replaced or (_bad_key(part) and not (column.blank and part == "")):
                bad.append(column.name)
        return bad

    def reject(self, reason: str, record: bytes) -> Reject:
        """Make a reject of a record as sent, but with secrets digested: all of it where it is no object."""
        secrets = [str(column.path[0]) for column in self._table.columns if column.kind is Kind.SHA256]
        if not secrets:
            return Reject(reason, record.decode("utf-8", "backslashreplace"))
        try:
            fields = decoded(OBJECT, record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Reject(reason, _digest(record).decode())
        return Reject(
            reason,
            _object_text({name: _digest(raw) if name in secrets else bytes(raw) for name, raw in fields.items()}),
        )

    def _tree(self) -> _Node:
        root: _Node = {}
        for index, column in enumerate(self._table.columns):
            if column.after:
                continue
            node = root
            for step in column.path[:-1]:
                node = node.setdefault(step, {})
            node[column.path[-1]] = index
        for place, child in enumerate(self._table.children):
            node = root
            for step in child.at[:-1]:
                node = node.setdefault(step, {})
            if node is not root:
                node[child.at[-1]] = _Array(place)
        return root


def _digest(raw: bytes) -> bytes:
    return msgspec.json.encode(hashlib.sha256(bytes(raw)).hexdigest())


def _leaves(spot: Any) -> list[int]:
    """Return the columns at or below a spot."""
    if isinstance(spot, dict):
        return [leaf for inner in spot.values() for leaf in _leaves(inner)]
    return [spot] if isinstance(spot, int) else []


def _arrays(spot: Any) -> list[_Array]:
    """Return the arrays of child tables at or below a spot."""
    if isinstance(spot, dict):
        return [array for inner in spot.values() for array in _arrays(inner)]
    return [spot] if isinstance(spot, _Array) else []


def _keep(extra: dict[str, bytes], path: Sequence[str], raw: bytes) -> None:
    """Keep a value where it stood in the record, beside what is kept of the objects around it."""
    if len(path) == 1:
        extra[path[0]] = raw
        return
    inner = {name: bytes(value) for name, value in decoded(OBJECT, extra.get(path[0], b"{}")).items()}
    _keep(inner, path[1:], raw)
    extra[path[0]] = _object_text(inner).encode()


def _bad_key(part: Any) -> bool:
    if isinstance(part, str):
        return not part or len(part) > KEY_CHARS
    if isinstance(part, int):
        return part not in INT64
    return part is None


def _object_text(fields: Mapping[str, bytes]) -> str:
    members = [msgspec.json.encode(plain(name)) + b":" + jsonb(raw) for name, raw in fields.items()]
    return (b"{" + b",".join(members) + b"}").decode("utf-8", "replace")

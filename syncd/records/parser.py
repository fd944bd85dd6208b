"""JSON to rows: splits a response into records, and each record into typed values, losslessly.

A record first meets a strict, fast decoder that knows every documented field and its type. What does not pass it is
read field by field: each value that has no column, or that does not fit its column, is kept as sent in `_extra`, so
that one odd field never costs a row. Only a record without a usable key is turned away, as a `Reject`.

This module never does I/O and never looks at a clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from syncd.contract import Answer, Kind, Table
from syncd.errors import BadPayload
from syncd.records.recipe import recipe
from syncd.records.rows import KEY_CHARS, Columns, Key, Note, Reject, Row
from syncd.records.strict import KeyReader, StrictReader, has_plain_key, is_flat
from syncd.records.values import INT64, jsonb, masked, mended, plain, read

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])


def envelope(sent: Answer | bytes) -> dict[str, bytes]:
    """Split a JSON object into its members, each as sent. Raises BadPayload if it is no JSON object.

    An answer keeps its members, because they are asked for twice: by who looks for an error in it, and by the walk.
    """
    if isinstance(sent, bytes):
        return _members(sent)
    if not sent.members:
        sent.members.update(_members(sent.body))
    return dict(sent.members)


def _members(body: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(raw) for name, raw in _decoded(_OBJECT, body).items()}
    except (msgspec.MsgspecError, RecursionError):
        raise BadPayload(f"expected a JSON object, got {_kind_of(body)}") from None


class Elements(list[bytes]):
    """The elements of a JSON array, with the array itself: to decode them together it need not be joined again."""

    def __init__(self, found: Iterable[Raw], array: bytes) -> None:
        super().__init__(map(bytes, found))
        self.array = array


def elements(raw: bytes | None, name: str) -> Elements:
    """Split a JSON array into its elements, each as sent; `name` is the array's, for the error.

    Raises BadPayload if it is missing or no array.
    """
    try:
        return Elements(*_sound(_ARRAY, raw or b""))
    except (msgspec.MsgspecError, RecursionError):
        got = "nothing" if raw is None else _kind_of(raw)
        raise BadPayload(f"expected an array in `{name}`, got {got}") from None


def _sound(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> tuple[Any, bytes]:
    """Decode one level of JSON; text that is unsound (NaN, lone surrogates, bad UTF-8) is mended first.

    Also return the text that was decoded.
    """
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body), body
    except (UnicodeDecodeError, msgspec.MsgspecError):
        body = mended(body)
        return decoder.decode(body), body


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    return _sound(decoder, body)[0]


def scalar(raw: bytes | None) -> Any:
    """Read a small value of an envelope (a number, a text, null); None if it is missing or unreadable."""
    try:
        return msgspec.json.decode(raw or b"null")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _kind_of(body: bytes) -> str:
    """Say in words what a text is that should have been other JSON, without showing its content."""
    start = body.lstrip()[:1]
    if not start:
        return "an empty body"
    names = {b"<": "HTML or XML", b"[": "an array", b"{": "an object, or a broken one", b'"': "a text", b"n": "null"}
    return names.get(start, "something else")


@dataclass(slots=True)
class _Reading:
    """What has been read of one record so far."""

    values: list[Any]
    extra: dict[str, bytes] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)


_Node = dict[str | int, Any]
"""Where each field's value goes: name (or place in an array) → index of a column, or a nested _Node."""


class Parser:
    """Parses the records of one table, with zone-less times read in `zone`.

    The recipe of the table is part of every fingerprint.
    """

    def __init__(self, table: Table, zone: ZoneInfo) -> None:
        self.table = table
        self.zone = zone
        self.names = tuple(column.name for column in table.columns)
        self._index = {name: index for index, name in enumerate(self.names)}
        self._key_at = tuple(self._index[name] for name in table.key)
        self._children = tuple(Parser(child.table, zone) for child in table.children)
        self._child_fields = {child.field: place for place, child in enumerate(table.children)}
        self._nodes = self._tree()
        self._strict = StrictReader(table, zone) if is_flat(table) else None
        self._key_reader = KeyReader(table) if has_plain_key(table) else None

    @cached_property
    def _blank(self) -> "hashlib.blake2b":
        """The digest that every fingerprint begins with; made on first use, since many parsers only read keys."""
        return hashlib.blake2b(digest_size=16, person=recipe(self.table, self.zone))

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
        return list(map(self.fingerprint, records))

    def keys(self, records: Sequence[bytes]) -> list[Key | None]:
        """Return the key of each record, None for one without a usable key."""
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
        return self._slow_row(record, ())

    def _slow_row(self, record: bytes, inherited: Key) -> Row | Reject:
        """Read field by field; whatever finds no column ends in `extra`."""
        try:
            fields = _decoded(_OBJECT, record)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self.reject(f"expected an object, got {_kind_of(record)}", record)
        reading = _Reading(values=[None] * len(self.names))
        arrays = {place: bytes(fields.pop(name)) for name, place in self._child_fields.items() if name in fields}
        self._read_object(self._nodes, fields, reading, reading.extra, "")
        for part, index in zip(inherited, self._key_at, strict=False):
            self._inherit(index, part, reading)
        key = tuple(reading.values[index] for index in self._key_at)
        if any(_bad_key(part) for part in key):
            return self.reject(self._key_fault(key), record)
        children = self._slow_children(arrays, key, reading)
        absent = reading.absent.difference(self.table.key)
        extra = _object_text(reading.extra) if reading.extra else None
        return Row(key, tuple(reading.values), extra, frozenset(absent), children, reading.notes)

    def _inherit(self, index: int, part: Any, reading: _Reading) -> None:
        """Set a key column to the parent's value; what the element itself said of it is kept if it differs."""
        column = self.table.columns[index]
        said = reading.values[index]
        if said is not None and said != part and str(column.path[0]) not in reading.extra:
            reading.extra[str(column.path[0])] = msgspec.json.encode(said, enc_hook=str)
        reading.values[index] = part
        reading.absent.discard(column.name)

    def _slow_children(self, arrays: dict[int, bytes], key: Key, reading: _Reading) -> tuple[list[Row] | None, ...]:
        children: list[list[Row] | None] = []
        for child, place in zip(self.table.children, range(len(self.table.children)), strict=True):
            raw = arrays.get(place)
            if raw is None:
                reading.notes.append(Note(child.field, "vanished"))
                children.append(None)
                continue
            rows, leftover = self._children[place]._rows_of(raw, key)
            if leftover:
                reading.extra[child.field] = leftover
                reading.notes.append(Note(child.field, "type_changed", masked(leftover)))
            reading.notes.extend(Note(f"{child.field}[].{n.field}", n.change, n.sample) for r in rows for n in r.notes)
            children.append(rows)
        return tuple(children)

    def _rows_of(self, raw: bytes, inherited: Key) -> tuple[list[Row], bytes | None]:
        """Return the child rows of an array, and as sent whatever of it became no row (null if the array is null)."""
        try:
            found = _ARRAY.decode(raw)
        except msgspec.MsgspecError:
            return [], raw
        rows: dict[Key, tuple[Row, bytes]] = {}
        leftover: list[bytes] = []
        for element in map(bytes, found):
            parsed = self._slow_row(element, inherited)
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
            column = self.table.columns[spot]
            reading.values[spot], fits = read(raw, column.kind, self.zone)
            if not fits:
                extra[name] = raw
                reading.notes.append(Note(prefix + name, "type_changed", masked(raw)))
        elif not self._read_nested(spot, name, raw, reading, extra, prefix):
            extra[name] = raw
            if raw != b"null":
                reading.notes.append(Note(prefix + name, "type_changed", masked(raw)))

    def _read_nested(
        self, node: _Node, name: str, raw: bytes, reading: _Reading, extra: dict[str, bytes], prefix: str
    ) -> bool:
        """Read an object or a short array into its columns; False if it must also be kept as sent."""
        if raw == b"null":
            return True
        if 0 in node:
            return self._read_places(node, raw, reading)
        try:
            fields = _OBJECT.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            self._read_bare(node, raw, reading)
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
            if isinstance(spot, int) and self.table.columns[spot].bare and raw[:1] not in b"[{":
                reading.values[spot] = read(raw, self.table.columns[spot].kind, self.zone)[0]

    def _read_places(self, node: _Node, raw: bytes, reading: _Reading) -> bool:
        try:
            places = _ARRAY.decode(raw)
        except msgspec.MsgspecError:
            return False
        if len(places) != len(node):
            return False
        found = [
            read(bytes(place), self.table.columns[node[index]].kind, self.zone) for index, place in enumerate(places)
        ]
        for index, (value, _) in enumerate(found):
            reading.values[node[index]] = value
        return all(fits for _, fits in found)

    def _mark_absent(self, spot: Any, reading: _Reading, name: str) -> None:
        """Note the columns of a missing field, unless the vendor declares it optional (then they are null)."""
        leaves = [spot] if isinstance(spot, int) else list(_leaves(spot))
        kept = [self.table.columns[leaf] for leaf in leaves if not self.table.columns[leaf].optional]
        reading.absent.update(column.name for column in kept)
        if kept:
            reading.notes.append(Note(name, "vanished"))

    def _key_fault(self, key: Key) -> str:
        bad = [name for name, part in zip(self.table.key, key, strict=True) if _bad_key(part)]
        return f"no usable key: {', '.join(bad)} is missing, null, empty, too long or of another type"

    def reject(self, reason: str, record: bytes) -> Reject:
        """Make a reject of a record as sent, but with secrets digested: all of it where it is no object."""
        secrets = [str(column.path[0]) for column in self.table.columns if column.kind is Kind.SHA256]
        if not secrets:
            return Reject(reason, record.decode("utf-8", "backslashreplace"))
        try:
            fields = _decoded(_OBJECT, record)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return Reject(reason, _digest(record).decode())
        return Reject(
            reason,
            _object_text({name: _digest(raw) if name in secrets else bytes(raw) for name, raw in fields.items()}),
        )

    def _tree(self) -> _Node:
        root: _Node = {}
        for index, column in enumerate(self.table.columns):
            node = root
            for step in column.path[:-1]:
                node = node.setdefault(step, {})
            node[column.path[-1]] = index
        return root


def _array(records: Sequence[bytes]) -> bytes:
    return records.array if isinstance(records, Elements) else b"[" + b",".join(records) + b"]"


def _digest(raw: bytes) -> bytes:
    return msgspec.json.encode(hashlib.sha256(bytes(raw)).hexdigest())


def _leaves(node: _Node) -> list[int]:
    return [leaf for spot in node.values() for leaf in ([spot] if isinstance(spot, int) else _leaves(spot))]


def _bad_key(part: Any) -> bool:
    if isinstance(part, str):
        return not part or len(part) > KEY_CHARS or "\0" in part or "\ufffd" in part
    if isinstance(part, int):
        return part not in INT64
    return part is None


def _object_text(fields: Mapping[str, bytes]) -> str:
    members = [msgspec.json.encode(plain(name)) + b":" + jsonb(raw) for name, raw in fields.items()]
    return (b"{" + b",".join(members) + b"}").decode("utf-8", "replace")

"""What every record passes before anything else sees it: fields left out or hashed, persons who were forgotten.

Owns how a field is named in `exclude` and `hash`, what a hash is, and what is left of a record that refers to a
forgotten person. Pure: no I/O and no clock; `syncd.storage.state.forgotten` keeps the markers of the forgotten.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from syncd.config.model import Withholding
from syncd.contract import Column, Kind, Table
from syncd.records.rows import Key
from syncd.records.values import mended, read

HASHED: Final = re.compile(r"hmac:[0-9a-f]{64}")
"""What a hashed value looks like: it is not hashed again, so that a reject can be replayed."""
WITHHELD: Final = "$withheld"
"""Stands in the place of a record of which nothing may be kept."""
NO_GENERATION: Final = "0/0"
"""The state of a source of which nobody was forgotten."""

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_UTC = ZoneInfo("UTC")


# --- Names ------------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a named field stands in a record: `column` and the table that has it, or None for one without a column.

    `array` is True for the array of a child table as a whole.
    """

    path: tuple[str | int, ...]
    table: Table
    column: Column | None = None
    array: bool = False


def place(table: Table, name: str) -> Place:
    """Find a field by its name in the configuration.

    That is the name of a column; `array.column` for one of a child table, `array` for all of it; else the upstream's
    name of a field without a column, dotted where nested (within a jsonb column, after the name of that).
    """
    columns = {column.name: column for column in table.columns}
    if name in columns:
        return Place(columns[name].path, table, columns[name])
    head, _, rest = name.partition(".")
    for child in table.children:
        if name == child.field:
            return Place((name,), child.table, array=True)
        if head == child.field:
            found = place(child.table, rest)
            return found._replace(path=(head, *found.path))
    if rest and head in columns and columns[head].kind is Kind.JSON:
        return Place((*columns[head].path, *rest.split(".")), table)
    return Place(tuple(name.split(".")), table)


def may_withhold(table: Table, name: str, how: Withholding) -> None:
    """Raise ValueError if a field may not be left out, or hashed."""
    found = place(table, name)
    column = found.column
    if column is None:
        _refuse_upstream_name(found, name)
        if how == "hash" and found.array:
            raise ValueError(f'"{name}" is a list; name one of its fields, as in "{name}.{found.table.key[-1]}"')
        return
    if column.name in found.table.key:
        raise ValueError(f'"{name}" is part of the key, without which there is no row')
    if column.name == found.table.deleted:
        raise ValueError(f'"{name}" says what is deleted upstream; without it rows would come back to life')
    if column.name in found.table.needed:
        raise ValueError(f'"{name}" is what deletions are found by; without it rows would stay for ever')
    if column.name in found.table.refers:
        raise ValueError(f'"{name}" says whose row it is; without it syncd forget would not find the row')
    if how == "hash" and column.kind is not Kind.TEXT:
        raise ValueError(f'"{name}" is of type {column.kind}, only text can be hashed; exclude takes any')


def _refuse_upstream_name(found: Place, name: str) -> None:
    """Raise ValueError for what has columns of its own: by their names it is clear what is meant."""
    last = name.rpartition(".")[2]
    own = [
        column.name
        for column in found.table.columns
        if not found.array and (column.path[-1] == last or column.path[: len(found.path)] == found.path)
    ]
    if own and (len(found.path) == 1 or any(column.path == found.path for column in found.table.columns)):
        raise ValueError(f'"{name}" is the upstream\'s name; write the column{"s" * (len(own) > 1)}: {", ".join(own)}')


# --- What is left of a record -----------------------------------------------------------------------------------------

_Node = dict[str | int, Any]
"""Name (or place in an array) → a nested _Node, or what becomes of the value that stands there."""

_KEEP, _WHOLE, _EXCLUDE, _DROP, _EMPTY, _HASH = "keep", "keep whole", "exclude", "drop", "empty", "hash"
_NOWHERE: _Node = {}
"""Where there are no columns."""
_NESTED: Final = (b"{", b"[")
_INSTEAD: Final = {_EXCLUDE: b"null", _EMPTY: b"[]"}


class _Sieve:
    """Rewrites records of one table: every value that has a column by its place, the others by their names.

    `excluded` and `hashed` are names of fields that count at any depth where there are no columns (in jsonb columns and
    unknown fields); None for `excluded`: none of these fields stays.
    """

    def __init__(
        self,
        table: Table,
        deeds: Mapping[tuple[str | int, ...], str],
        *,
        excluded: frozenset[str] | None,
        hashed: frozenset[str] = frozenset(),
        digest: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._excluded = excluded
        self._hashed = hashed
        self._digest = digest
        self._arrays = frozenset(child.field for child in table.children)
        self._nodes: dict[int, tuple[frozenset[str | int], dict[str, Raw]]] = {}
        self._root: _Node = {}
        for prefix, each in ((), table), *(((child.field,), child.table) for child in table.children):
            for column in each.columns:
                is_whole = column.kind is Kind.JSON and excluded is None
                self._put((*prefix, *column.path), _WHOLE if is_whole else _KEEP)
        for path, deed in sorted(deeds.items(), key=lambda pair: -len(pair[0])):
            self._put(path, deed)

    def _put(self, path: Sequence[str | int], deed: str) -> None:
        node = self._root
        for step in path[:-1]:
            if not isinstance(node.get(step), dict):
                node[step] = {}
            node = node[step]
        node[path[-1]] = deed

    def record(self, raw: bytes) -> bytes | None:
        """Return what is left of a record; None if it is no object, of which nothing can be told."""
        return self._object(raw, self._root, fill=True)

    def stored(self, raw: bytes, array: str | None = None) -> bytes:
        """Return what is left of a stored `_extra` (of a child row, from `array`), empty if that is nothing."""
        left = self._object(raw, self._root[array] if array else self._root, fill=False)
        return b"" if left is None or left == b"{}" else left

    def _object(self, raw: bytes, node: _Node, *, fill: bool) -> bytes | None:
        fields = _decoded(_OBJECT, raw)
        if fields is None:
            return None
        kept, missing = self._known(node)
        plain = [name for name, value in fields.items() if name in kept and bytes(value)[:1] not in _NESTED]
        for name in fields.keys() - plain:
            left = self._field(name, bytes(fields[name]), node.get(name), fill=fill)
            if left is None:
                del fields[name]
            else:
                fields[name] = Raw(left)
        for name, null in missing.items() if fill else ():  # in one order always: fingerprints are made of it
            fields.setdefault(name, null)
        return msgspec.json.encode(fields)

    def _known(self, node: _Node) -> tuple[frozenset[str | int], dict[str, Raw]]:
        """Return the names below a node whose values stay, and what stands for those that must be there."""
        known = self._nodes.get(id(node))
        if known is None:
            kept = frozenset(name for name, spot in node.items() if spot == _KEEP)
            missing = {str(name): self._missing(str(name), spot) for name, spot in node.items()}
            known = kept, {name: Raw(value) for name, value in missing.items() if value is not None}
            self._nodes[id(node)] = known
        return known

    def _field(self, name: str, raw: bytes, spot: Any, *, fill: bool) -> bytes | None:
        """Return what is left of one field; None if it goes."""
        if isinstance(spot, dict):
            left = self._below(raw, spot, fill=fill)
            return None if left in (b"{}", b"[]") and not fill and left != raw else left
        if spot is not None:
            return None if spot == _DROP or (spot in _INSTEAD and not fill) else self._value(raw, spot)
        if self._excluded is None or name in self._excluded:
            return None
        return self._digest(raw) if name in self._hashed else self._looked_into(raw)

    def _value(self, raw: bytes, deed: str) -> bytes:
        if deed == _HASH:
            return self._digest(raw)
        return raw if deed == _WHOLE else _INSTEAD.get(deed) or self._looked_into(raw)

    def _missing(self, name: str, spot: Any) -> bytes | None:
        """Return what stands for a field that was not sent, if any: one left out must not keep its stored value."""
        if not isinstance(spot, dict):
            return _INSTEAD.get(spot)
        below = {str(step): self._missing("", inner) for step, inner in spot.items() if isinstance(step, str)}
        given = {step: Raw(value) for step, value in below.items() if value is not None}
        return msgspec.json.encode(given) if given and name not in self._arrays else None

    def _below(self, raw: bytes, node: _Node, *, fill: bool) -> bytes:
        """Return what is left of an object or array with columns; null where it is neither, and some are left out."""
        if raw[:1] == b"{" and (left := self._object(raw, node, fill=fill)) is not None:
            return left
        if raw[:1] == b"[" and (places := _decoded(_ARRAY, raw)) is not None:
            if any(isinstance(step, int) for step in node):
                kept = [self._value(bytes(each), node.get(at, _KEEP)) for at, each in enumerate(places)]
            else:
                kept = [self._below(bytes(each), node, fill=fill) for each in places]
            return b"[" + b",".join(kept) + b"]"
        return b"null" if self._touches(node) else raw

    def _touches(self, node: _Node) -> bool:
        return any(
            self._touches(spot) if isinstance(spot, dict) else spot not in (_KEEP, _WHOLE) for spot in node.values()
        )

    def _looked_into(self, raw: bytes) -> bytes:
        """Return what is left of a value within which there are no columns, at any depth."""
        if raw[:1] == b"{":
            return self._object(raw, _NOWHERE, fill=False) or b"null"
        if raw[:1] == b"[":
            places = _decoded(_ARRAY, raw)
            return b"null" if places is None else b"[" + b",".join(self._looked_into(bytes(p)) for p in places) + b"]"
        return raw


def _decoded(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """Decode one level of JSON, leniently; None if it is something else."""
    for attempt in (bytes, mended):
        text = attempt(raw)
        try:
            text.decode()
            return decoder.decode(text)
        except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
            continue
    return None


# --- Who was forgotten ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Markers:
    """The persons of one source who were forgotten: for each stream of theirs the digests of their keys, by salt.

    `generation` changes whenever somebody is forgotten, or remembered.
    """

    generation: str = NO_GENERATION
    digests: Mapping[str, Mapping[bytes, frozenset[bytes]]] = field(default_factory=dict)

    def hold(self, stream: str, key: Any) -> bool:
        """Say whether the person of that stream and key was forgotten."""
        return any(marker(salt, stream, key) in digests for salt, digests in self.digests.get(stream, {}).items())


@dataclass
class Forgotten:
    """The newest markers of a source that this process has read; what it does not know of yet, its next page tells."""

    markers: Markers = Markers()


def marker(salt: bytes, stream: str, key: Any) -> bytes:
    """Return the digest that stands for a person."""
    return hashlib.blake2b(f"{stream}\x1f{key}".encode(), key=salt, digest_size=32).digest()


# --- The guard --------------------------------------------------------------------------------------------------------


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

    def _sieve(self, exclude: Sequence[str], hashed: Sequence[str]) -> _Sieve:
        deeds = {
            found.path: _deed(found)
            for name, found in zip(exclude, self.excluded, strict=True)
            if _is_exact(name, found)
        }
        deeds |= {found.path: _HASH for name, found in zip(hashed, self.hashed, strict=True) if _is_exact(name, found)}
        return _Sieve(
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
        return left or _withheld("no object, and fields are excluded or hashed")

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
                    return self._scrub.record(record) or record
        return record


def _deed(found: Place) -> str:
    return _EMPTY if found.array else _DROP if found.column is None else _EXCLUDE


def _is_exact(name: str, found: Place) -> bool:
    """Say whether a field is meant at its place only; one without a column or a dot counts wherever it is met."""
    return found.column is not None or found.array or "." in name


def _anywhere(names: Iterable[str], places: Iterable[Place]) -> frozenset[str]:
    """Return the names that count at any depth: those without a dot, and how the upstream calls these columns."""
    plain = [(name, found) for name, found in zip(names, places, strict=True) if "." not in name and not found.array]
    return frozenset({name for name, _ in plain} | {str(found.path[-1]) for _, found in plain})


def _scrubbing(table: Table) -> _Sieve:
    """Return what takes from a record all that is personal."""
    deeds: dict[tuple[str | int, ...], str] = {}
    for prefix, each in ((), table), *(((child.field,), child.table) for child in table.children):
        gone = {*each.personal, *each.refers}.difference(each.key)
        deeds |= {(*prefix, *column.path): _EXCLUDE for column in each.columns if column.name in gone}
    return _Sieve(table, deeds, excluded=None)


def _at(record: bytes, column: Column) -> Any:
    """Return the typed value of a column in a record; None if there is none."""
    raw = record
    for step in column.path:
        fields = _decoded(_OBJECT, raw)
        if not fields or step not in fields:
            return None
        raw = bytes(fields[step])
    return read(raw, column.kind, _UTC)[0]


def _withheld(reason: str) -> bytes:
    return msgspec.json.encode({WITHHELD: reason})

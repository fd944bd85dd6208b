"""Rewrites a record by what is to become of its fields: kept, left out, emptied or hashed.

A value that has a column is judged by its place, any other by its name.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum, auto
from typing import Any, Final

import msgspec
from msgspec import Raw

from syncd.contract import Kind, Table
from syncd.records.split import ARRAY, OBJECT, decoded, listed
from syncd.records.values import JSON_DEPTH, depth


class Deed(StrEnum):
    """What becomes of a field."""

    KEEP = auto()  # as it is; within it, fields are judged by their names
    WHOLE = auto()  # as it is, with all that is within it
    EXCLUDE = auto()  # null instead; of a stored record it goes
    DROP = auto()  # it goes
    EMPTY = auto()  # an empty array instead; of a stored record it goes
    HASH = auto()  # its keyed hash instead


_Node = dict[str | int, Any]
"""Name (or place in an array) → a nested _Node, or the Deed for the value that stands there."""

_NOWHERE: _Node = {}
"""Where there are no columns."""
_NESTED: Final = (b"{", b"[")
_INSTEAD: Final = {Deed.EXCLUDE: b"null", Deed.EMPTY: b"[]"}


class Sieve:
    """Rewrites records of one table: every value that has a column by its place, the others by their names.

    `excluded` and `hashed` are names of fields that count at any depth where there are no columns (in jsonb columns and
    unknown fields); None for `excluded`: none of these fields stays.
    """

    def __init__(
        self,
        table: Table,
        deeds: Mapping[tuple[str | int, ...], Deed],
        *,
        excluded: frozenset[str] | None,
        hashed: frozenset[str] = frozenset(),
        digest: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._excluded = excluded
        self._hashed = hashed
        self._digest = digest
        self._nodes: dict[int, tuple[frozenset[str | int], dict[str, Raw]]] = {}
        self._root: _Node = {}
        for prefix, each in ((), table), *((child.at, child.table) for child in table.children):
            for column in each.columns:
                is_whole = column.kind is Kind.JSON and excluded is None
                self._put((*prefix, *column.path), Deed.WHOLE if is_whole else Deed.KEEP)
        for path, deed in sorted(deeds.items(), key=lambda pair: -len(pair[0])):
            self._put(path, deed)
        self._arrays = frozenset(id(self._node(child.at)) for child in table.children)

    def _put(self, path: Sequence[str | int], deed: Deed) -> None:
        node = self._root
        for step in path[:-1]:
            if not isinstance(node.get(step), dict):
                node[step] = {}
            node = node[step]
        node[path[-1]] = deed

    def _node(self, path: Sequence[str | int]) -> _Node:
        """Return the node at a path; an empty one where all of it is left out."""
        node: Any = self._root
        for step in path:
            node = node.get(step) if isinstance(node, dict) else None
        return node if isinstance(node, dict) else _NOWHERE

    def record(self, raw: bytes) -> bytes | None:
        """Return what is left of a record; None if nothing can be told of it: it is no object, or nested too deeply."""
        return None if depth(raw) > JSON_DEPTH else self._object(raw, self._root, fill=True)

    def stored(self, raw: bytes, array: Sequence[str] = ()) -> bytes:
        """Return what is left of a stored `_extra` (of a child row, from the `array` there), empty if nothing is."""
        left = self._object(raw, self._node(array), fill=False)
        return b"" if left is None or left == b"{}" else left

    def _object(self, raw: bytes, node: _Node, *, fill: bool) -> bytes | None:
        fields = fields_of(raw)
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
            kept = frozenset(name for name, spot in node.items() if spot == Deed.KEEP)
            missing = {str(name): self._missing(spot) for name, spot in node.items()}
            known = kept, {name: Raw(value) for name, value in missing.items() if value is not None}
            self._nodes[id(node)] = known
        return known

    def _field(self, name: str, raw: bytes, spot: Any, *, fill: bool) -> bytes | None:
        """Return what is left of one field; None if it goes."""
        if isinstance(spot, dict):
            left = self._below(raw, spot, fill=fill)
            return None if left in (b"{}", b"[]") and not fill and left != raw else left
        if spot is not None:
            return None if spot == Deed.DROP or (spot in _INSTEAD and not fill) else self._value(raw, spot)
        if self._excluded is None or name in self._excluded:
            return None
        return self._digest(raw) if name in self._hashed else self._looked_into(raw)

    def _value(self, raw: bytes, deed: Deed) -> bytes:
        if deed == Deed.HASH:
            return self._digest(raw)
        return raw if deed == Deed.WHOLE else _INSTEAD.get(deed) or self._looked_into(raw)

    def _missing(self, spot: Any) -> bytes | None:
        """Return what stands for a field that was not sent, if any: one left out must not keep its stored value."""
        if not isinstance(spot, dict):
            return _INSTEAD.get(spot)
        below = {str(step): self._missing(inner) for step, inner in spot.items() if isinstance(step, str)}
        given = {step: Raw(value) for step, value in below.items() if value is not None}
        return msgspec.json.encode(given) if given and id(spot) not in self._arrays else None

    def _below(self, raw: bytes, node: _Node, *, fill: bool) -> bytes:
        """Return what is left of an object or array with columns; null where it is neither, and some are left out."""
        if id(node) in self._arrays and raw[:1] == b"{" and (rows := rows_of(raw)) is not None:
            return b"[" + b",".join(self._below(bytes(row), node, fill=fill) for row in rows) + b"]"
        if raw[:1] == b"{" and (left := self._object(raw, node, fill=fill)) is not None:
            return left
        if raw[:1] == b"[" and (places := places_of(raw)) is not None:
            if any(isinstance(step, int) for step in node):
                kept = [self._value(bytes(each), node.get(at, Deed.KEEP)) for at, each in enumerate(places)]
            else:
                kept = [self._below(bytes(each), node, fill=fill) for each in places]
            return b"[" + b",".join(kept) + b"]"
        return b"null" if self._touches(node) else raw

    def _touches(self, node: _Node) -> bool:
        return any(
            self._touches(spot) if isinstance(spot, dict) else spot not in (Deed.KEEP, Deed.WHOLE)
            for spot in node.values()
        )

    def _looked_into(self, raw: bytes) -> bytes:
        """Return what is left of a value within which there are no columns, at any depth."""
        if raw[:1] == b"{":
            return self._object(raw, _NOWHERE, fill=False) or b"null"
        if raw[:1] == b"[":
            places = places_of(raw)
            return b"null" if places is None else b"[" + b",".join(self._looked_into(bytes(p)) for p in places) + b"]"
        return raw


def fields_of(raw: bytes) -> dict[str, Raw] | None:
    """Return the members of an object, read leniently; None if it is something else."""
    try:
        found: dict[str, Raw] = decoded(OBJECT, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found


def rows_of(raw: bytes) -> list[Raw] | None:
    """Return the values of a map that stands for an array; None if it is something else."""
    try:
        return listed(raw) or None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def places_of(raw: bytes) -> list[Raw] | None:
    """Return the elements of an array, read leniently; None if it is something else."""
    try:
        found: list[Raw] = decoded(ARRAY, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found

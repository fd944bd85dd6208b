"""Records that nest objects: under `a` a member may be called `b` or `a_b`, and both mean the column `a_b`.

The vendor's pages mix the two. Here the long name is made the short one that the columns read. Pure functions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import msgspec

from syncd.contract import Table
from syncd.records.readers import members
from syncd.sources.cyclesoftware.forms import rows_of


def respeller(table: Table, spellings: Mapping[str, str] | None = None) -> Callable[[Sequence[bytes]], list[bytes]]:
    """Return what gives records with the names that the columns of a table, and of its child tables, read.

    `spellings` are other names of top-level members. A record that already holds the right name stays as it is.
    """
    own = _renamings(table) | {(): dict(spellings or {})}
    of_children = {child.field: _renamings(child.table) for child in table.children}
    names = {name for renamed in (own, *of_children.values()) for names in renamed.values() for name in names}

    @cache
    def sign() -> re.Pattern[bytes]:
        return re.compile(b"|".join(rb'"%b"\s*:' % re.escape(name.encode()) for name in sorted(names)) or b"(?!)")

    def record_of(record: bytes) -> bytes:
        if not sign().search(record) or not (fields := members(record)):
            return record
        fields = _respelled(fields, own)
        for field, renamings in of_children.items():
            raw = fields.get(field, b"")
            if raw[:1] in (b"[", b"{") and sign().search(raw) and (rows := rows_of(raw, field)) != [raw]:
                fields[field] = _encoded_list(
                    _encoded(_respelled(found, renamings)) if (found := members(item)) else item for item in rows
                )
        return _encoded(fields)

    return lambda records: [record_of(record) for record in records]


def _renamings(table: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Return for the path of each nested object the long names of its members, with the short ones."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    taken = {tuple(map(str, column.path)) for column in table.columns}
    for column in table.columns:
        path = tuple(map(str, column.path))
        *outer, last = path
        if outer and (*outer, long := f"{outer[-1]}_{last}") not in taken and not last.startswith(f"{outer[-1]}_"):
            found.setdefault(tuple(outer), {})[long] = last
    return found


def _respelled(fields: dict[str, bytes], renamings: Mapping[tuple[str, ...], Mapping[str, str]]) -> dict[str, bytes]:
    """Return the members of an object with the right names, in it and in the objects that it nests."""
    right = renamings.get((), {})
    renamed = {name if right.get(name, name) in fields else right.get(name, name): raw for name, raw in fields.items()}
    for outer in {path[0] for path in renamings if path}:
        inner = {path[1:]: names for path, names in renamings.items() if path[:1] == (outer,)}
        if held := members(renamed.get(outer)):
            renamed[outer] = _encoded(_respelled(held, inner))
    return renamed


def _encoded(fields: Mapping[str, bytes]) -> bytes:
    return msgspec.json.encode({name: msgspec.Raw(raw) for name, raw in fields.items()})


def _encoded_list(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"

"""Lays changed rows over the stored ones, with their child rows: one UPDATE per table and page.

Works inside the caller's transaction and never commits. A row that equals the stored one is not written. A field that
was missing in a record does not erase the value that is stored.
"""

from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import repeat
from typing import Any, Final

import asyncpg
import msgspec

from syncd.records.rows import Key, Row
from syncd.storage.mirror.layout import TableLayout
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.writing.burial import bury, is_kept_back
from syncd.storage.mirror.writing.new_rows import copy_rows
from syncd.storage.mirror.writing.outcome import RowKeptOut


async def write_rows(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    rows: Sequence[tuple[Row, bytes]],
    known: Container[Key],
    *,
    now: datetime,
) -> tuple[int, list[Key]]:
    """Insert the rows that are new, update those that differ; return how many were new, and the keys updated."""
    gone = {row.key for row, _ in rows if target.layout.gone(row)}
    new = [pair for pair in rows if pair[0].key not in known]
    old = await _keep_absent(conn, target, source, [pair for pair in rows if pair[0].key in known])
    touched: frozenset[Key] = frozenset()
    for place, child in enumerate(target.children):
        touched |= await _write_family(conn, child, source, place, rows, gone, now=now)
    if new:
        await copy_rows(conn, target, source, new, gone, now=now)
    updated: list[Key] = []
    if old:
        given = _given(old, gone, touched)
        found = await conn.fetch(target.statements.update, source, now, *map(list, zip(*given, strict=True)))
        updated = [tuple(row) for row in found]
        left = _not_in(updated, old, given)
        if left and await is_kept_back(conn, target, target.statements.not_updated, source, now, left):
            raise RowKeptOut
    return len(new), updated


_Given = tuple[Any, ...]
"""What the statement `update` takes of one row: its values and these below."""
_BELOW: Final = ("_extra", "_hash", "_gone", "_touched")


def _given(
    rows: Sequence[tuple[Row, bytes]], gone: Container[Key], touched: Container[Key] = frozenset()
) -> list[_Given]:
    return [(*row.values, row.extra, fingerprint, row.key in gone, row.key in touched) for row, fingerprint in rows]


def _not_in(updated: Iterable[Key], rows: Sequence[tuple[Row, bytes]], given: Sequence[_Given]) -> list[_Given]:
    done = frozenset(updated)
    return [values for values, (row, _) in zip(given, rows, strict=True) if row.key not in done]


async def _write_family(
    conn: asyncpg.Connection,
    child: Target,
    source: str,
    place: int,
    parents: Sequence[tuple[Row, bytes]],
    gone: AbstractSet[Key],
    *,
    now: datetime,
) -> frozenset[Key]:
    """Write the child rows of some parents, bury those no longer sent, and return the parents whose rows changed.

    A parent whose array was absent (None) keeps its child rows. Those of a parent that is gone are gone, too. The
    fingerprint of a child row is that of the record it came with.
    """
    families = [(row.key, row.children[place], fingerprint) for row, fingerprint in parents]
    keys = {key for key, found, _ in families if found is not None or key in gone}
    if not keys:
        return frozenset()
    width = len(next(iter(keys)))
    rows = await _keep_absent(
        conn, child, source, [(row, fingerprint) for _, found, fingerprint in families for row in found or ()]
    )
    lost = {row.key for row, _ in rows if row.key[:width] in gone or child.layout.gone(row)}
    given = _given(rows, lost)
    columns = zip(*given, strict=True) if given else repeat((), len(child.layout.columns) + len(_BELOW))
    among = map(set, zip(*keys, strict=True))
    found = await conn.fetch(child.statements.update_family, source, now, *map(list, columns), *map(list, among))
    updated = [tuple(row[:-2]) for row in found if row[-2] is None]
    known = {key: row[-2] for row in found if row[-2] is not None and (key := tuple(row[:-2]))[:width] in keys}
    if new := [pair for pair in rows if pair[0].key not in known]:
        await copy_rows(conn, child, source, new, lost, now=now)
    left = _not_in([*updated, *(row.key for row, _ in new)], rows, given)
    has_guard = any(row[-1] for row in found)
    if left and await is_kept_back(conn, child, child.statements.not_updated, source, now, left, has_guard=has_guard):
        raise RowKeptOut
    sent = {row.key for row, _ in rows}
    missing = [key for key, is_alive in known.items() if is_alive and key not in sent]
    await bury(conn, child, source, missing, now=now)
    return frozenset(key[:width] for key in (*(row.key for row, _ in new), *updated, *missing))


async def _keep_absent(
    conn: asyncpg.Connection, target: Target, source: str, rows: list[tuple[Row, bytes]]
) -> list[tuple[Row, bytes]]:
    """Fill fields that were missing in a record with what is stored: a missing field does not erase a value."""
    keys = [row.key for row, _ in rows if row.absent or None in row.children]
    if not keys:
        return rows
    found = await conn.fetch(target.statements.select_rows, source, *map(list, zip(*keys, strict=True)))
    places = [target.layout.columns.index(name) for name in target.table.key]
    stored = {tuple(row[place] for place in places): row for row in found}
    return [(_filled(target.layout, row, stored.get(row.key)), fingerprint) for row, fingerprint in rows]


def _filled(layout: TableLayout, row: Row, stored: asyncpg.Record | None) -> Row:
    """Return a row with what is stored in the place of each field that its record lacked."""
    if stored is None:
        return row
    values = tuple(
        stored[index] if name in row.absent else value
        for index, (name, value) in enumerate(zip(layout.columns, row.values, strict=True))
    )
    table = layout.table
    missing = {str(column.path[0]) for column in table.columns if column.name in row.absent}
    missing |= {child.at[0] for child, rows in zip(table.children, row.children, strict=False) if rows is None}
    return row._replace(values=values, extra=_carried(row.extra, stored["_extra"], missing))


def _carried(extra: str | None, stored: str | None, missing: set[str]) -> str | None:
    """Return `extra` with those members of the stored one whose field was missing this time."""
    if not stored:
        return extra
    fields = msgspec.json.decode(extra, type=dict[str, msgspec.Raw]) if extra else {}
    before = msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
    fields = {name: raw for name, raw in before.items() if name in missing} | fields
    return msgspec.json.encode(fields).decode() if fields else None

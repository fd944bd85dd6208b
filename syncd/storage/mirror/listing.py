"""What a full listing proves: which keys it has seen (`syncd.seen`), and which rows of the mirror it lacks.

All functions work inside the caller's transaction and never commit.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import asyncpg

from syncd.contract import Scope
from syncd.records.page import Read
from syncd.records.rows import Key
from syncd.storage.mirror.layout import TableLayout, are_close, literal, quoted
from syncd.storage.mirror.statements import NOT_SEEN_SINCE, hashes_in_order
from syncd.storage.mirror.table_locks import WAYS
from syncd.storage.mirror.target import Target
from syncd.storage.state import forgotten, known_pages
from syncd.storage.state.runs import CONDITION_FIRST, Condition

_BY_TABLE = ", ".join(f"set_config('enable_{way}', 'on', true)" for way in WAYS) + (
    ", set_config('enable_nestloop', 'off', true)"
)
_HASHES_OF_NUMBERS = "SELECT hashtextextended(n, 0) FROM unnest(string_to_array({}, ',')) AS n"


async def remember_seen(
    conn: asyncpg.Connection, target: Target, source: str, stream: str, keys: Sequence[Key], *, seen_at: datetime
) -> None:
    """Store which keys a page of a full listing held, for `missing` at its end; they outlast a restart."""
    hashes, values = _hashed(target.layout, keys, 4)
    await conn.execute(
        f"INSERT INTO syncd.seen (source, stream, seen_at, keys) SELECT $1, $2, $3, ARRAY({hashes})",
        source, stream, seen_at, *values,
    )  # fmt: skip


def remembered(target: Target, keys: Sequence[Key], *, seen_at: datetime) -> Condition:
    """Return the condition (for `record_page`) that is always true, and with which keys are stored as above."""
    hashes, values = _hashed(target.layout, keys, CONDITION_FIRST + 1)
    return Condition(sql="true", values=[seen_at, *values], further=[_seen_with_page(hashes, f"${CONDITION_FIRST}")])


def _hashed(layout: TableLayout, keys: Sequence[Key], first: int) -> tuple[str, list[Any]]:
    """Return a SELECT of the hashes of keys, and the keys as its parameters, from `$first` on."""
    if not layout.has_number:
        return layout.key_hashes(first), list(layout.key_columns(keys))
    # as one text: the driver takes ten times as long for an array of numbers
    return _HASHES_OF_NUMBERS.format(f"${first}::text"), [",".join(map(str, chain.from_iterable(keys)))]


def _seen_with_page(hashes: str, seen_at: str) -> str:
    return (
        "INSERT INTO syncd.seen (source, stream, seen_at, keys)"
        f" SELECT source, stream, {seen_at}::timestamptz, ARRAY({hashes}) FROM page"
    )


async def drop_seen(conn: asyncpg.Connection, source: str, stream: str) -> None:
    """Delete the keys that an earlier full listing has seen: a new listing begins, or it ended."""
    await conn.execute("DELETE FROM syncd.seen WHERE source = $1 AND stream = $2", source, stream)


async def holds_any(conn: asyncpg.Connection, target: Target, source: str) -> bool:
    """Say whether the table holds any row of the source, dead or alive."""
    found: bool = await conn.fetchval(f"SELECT EXISTS (SELECT FROM {target.name} WHERE source = $1)", source)
    return found


async def first_values(conn: asyncpg.Connection, target: Target, source: str, column: str) -> list[Any]:
    """Return the different values of a column that begins the table's key, in ascending order; a look for each."""
    of, name = quoted(column), target.name
    first = f"SELECT t.{of} FROM {name} t WHERE t.source = $1"
    rows = await conn.fetch(
        f"WITH RECURSIVE found (value) AS (({first} ORDER BY 1 LIMIT 1) UNION ALL SELECT"
        f" ({first} AND t.{of} > found.value ORDER BY 1 LIMIT 1) FROM found WHERE found.value IS NOT NULL)"
        " SELECT value FROM found WHERE value IS NOT NULL LIMIT 1000",
        source,
    )
    return [row["value"] for row in rows]


async def count_alive(conn: asyncpg.Connection, target: Target, source: str, scope: Scope) -> int:
    """Return how many rows in scope are alive."""
    where, values = _in_scope(target.layout, scope, 2)
    count: int = await conn.fetchval(
        f"SELECT count(*) FROM {target.name} t WHERE t.source = $1 AND t._deleted_at IS NULL{where}", source, *values
    )
    return count


async def missing(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    stream: str,
    scope: Scope,
    keys: Sequence[Key],
    *,
    not_after: datetime,
    limit: int,
) -> list[Key]:
    """Return at most `limit` keys of alive rows in scope that neither the remembered pages nor `keys` held.

    Rows changed after `not_after`, or after the first remembered page was requested, are left out: somebody saw them
    alive since. For the rest of the transaction tables are read from end to end.
    """
    where, values = _in_scope(target.layout, scope, 4 + len(target.table.key))
    layout = target.layout
    # right after a first load there are no statistics: the planner would compare every row with every key
    await conn.execute(f"SELECT {_BY_TABLE}")
    found = await conn.fetch(
        "WITH seen AS NOT MATERIALIZED ("  # kept apart it would go to the disk, and one process alone would read it
        "  SELECT unnest(keys) AS h FROM syncd.seen WHERE source = $1 AND stream = $2"
        f"  UNION ALL {layout.key_hashes(4)}"
        f") SELECT {layout.own_key} FROM {target.name} t LEFT JOIN seen ON seen.h = {layout.key_hash}"
        f" WHERE t.source = $1 AND t._deleted_at IS NULL{where} AND seen.h IS NULL AND "
        + NOT_SEEN_SINCE.format("least($3, (SELECT min(seen_at) FROM syncd.seen WHERE source = $1 AND stream = $2))")
        + f" ORDER BY {layout.own_key} LIMIT {limit}",
        source, stream, not_after, *target.layout.key_columns(keys), *values,
    )  # fmt: skip
    return [tuple(row) for row in found]


def as_listed(target: Target, source: str, stream: str, scope: Scope, read: Read) -> Condition:
    """Return the condition (for `record_page_if`) that a whole listing, read in one page, changes nothing.

    That is: each record is stored as it was sent, no other row in scope is alive, no unfinished listing has left keys
    in `syncd.seen`, and nobody was forgotten since the page was read. Sets are compared, because a join may be planned
    as a nested loop where there are no statistics.
    """
    first, width = CONDITION_FIRST, len(target.table.key)
    names = target.layout.key_names
    listed = f"FROM unnest({target.layout.arrays(first + 2)}, ${first + 2 + width}::bytea[]) AS t({names}, _hash)"
    stored = f"FROM {target.name} t WHERE t.source = ${first}"
    where, values = _in_scope(target.layout, scope, first + 3 + width)
    condition = (
        f"NOT EXISTS (SELECT {names}, _hash {listed} EXCEPT SELECT {names}, _hash {stored})"
        f" AND NOT EXISTS (SELECT {names} {stored} AND t._deleted_at IS NULL{where} EXCEPT SELECT {names} {listed})"
        f" AND {_none_seen(first)}"
        f" AND {forgotten.generation(f'${first}')} = {literal(read.generation)}"
    )
    keys = target.layout.key_columns(read.fingerprints)
    return Condition(sql=condition, values=(source, stream, *keys, list(read.fingerprints.values()), *values))


def as_known(target: Target, source: str, stream: str, scope: Scope, read: Read) -> Condition:
    """Return the condition that `as_listed` returns, for a list whose text came before and is known.

    That is: the rows in scope that are alive, or that the upstream flags as deleted, have the very fingerprints that
    its records have. Where a row that was flagged has left the list since, it is not found so.
    """
    at, known = CONDITION_FIRST, read.sent.known
    where, values = _in_scope(target.layout, scope, at + 3)
    condition = (
        f"${at + 2}::bytea = (SELECT sha256(string_agg(t._hash, ''::bytea ORDER BY t._hash)) FROM {target.name} t"
        f" WHERE t.source = ${at} AND (t._deleted_at IS NULL OR t._hash IS NOT NULL){where}"
        " HAVING count(*) = count(t._hash))"
        f" AND {_none_seen(at)} AND {forgotten.generation(f'${at}')} = {literal(read.generation)}"
    )
    return Condition(sql=condition, values=(source, stream, known.sorted if known else b"", *values))


def _none_seen(at: int) -> str:
    return f"NOT EXISTS (SELECT FROM syncd.seen WHERE source = ${at} AND stream = ${at + 1})"


def as_stored(target: Target, source: str, read: Read, *, seen_at: datetime | None) -> Condition | None:
    """Return the condition (for `record_page_if`) that a page changes nothing; None where that takes more to find out.

    That is: the fingerprints of its records, in their order, are those of all rows from its first key to its last, in
    the order of the keys, and nobody was forgotten since the page was read. Equal fingerprints are those of equal
    records, so that of the keys, which must be numbers that lie close together, only the first and the last are read.
    With `seen_at` the keys are remembered as `remember_seen` does it, and the page is noted as known.
    """
    layout, sent, at = target.layout, read.sent, CONDITION_FIRST
    count = len(sent.records)
    ends = (sent.keys[0], sent.keys[-1]) if count else (None, None)
    first, last = (key[0] if key else None for key in ends)
    if not layout.has_number or first is None or last is None or not are_close(first, last, count):
        return None
    stored = (
        f"FROM {layout.name} t WHERE t.source = ${at} AND {layout.own_key} BETWEEN ${at + 1} AND ${at + 2}"
        " AND t._hash IS NOT NULL"
    )
    condition = (
        f"${at + 3}::bytea = (SELECT sha256({hashes_in_order(layout)}) {stored})"
        f" AND {forgotten.generation(f'${at}')} = {literal(read.generation)}"
    )
    values = [source, first, last, sent.in_order]
    if seen_at is None:
        return Condition(sql=condition, values=values)
    values.append(seen_at)
    further = [_seen_with_page(f"SELECT {layout.key_hash} {stored}", f"${at + 4}")]
    if sent.text:
        insert, told = known_pages.noting(at + 5, *sent.text, met_at=seen_at)
        further.append(insert)
        values += told
    return Condition(sql=condition, values=values, further=further)


async def alive_keys(
    conn: asyncpg.Connection, target: Target, source: str, scope: Scope, *, not_after: datetime | None = None
) -> list[Key]:
    """Return the keys of the alive rows in scope, in ascending order; without those changed after `not_after`."""
    where, values = _in_scope(target.layout, scope, 3)
    own_key = target.layout.own_key
    found = await conn.fetch(
        f"SELECT {own_key} FROM {target.name} t WHERE t.source = $1 AND t._deleted_at IS NULL"
        f" AND ($2::timestamptz IS NULL OR t._changed_at <= $2){where} ORDER BY {own_key}",
        source, not_after, *values,
    )  # fmt: skip
    return [tuple(row) for row in found]


def _in_scope(layout: TableLayout, scope: Scope, place: int) -> tuple[str, list[Any]]:
    """Return a condition on the table as `t`: its rows are in scope; its parameters begin with `$place`."""
    condition, values = "", list[Any]()
    if scope.column is not None:
        condition = f" AND t.{quoted(scope.column)} = ANY(${place}::{layout.types[scope.column]}[])"
        values.append(list(scope.values))
    for name, value in scope.also:
        values.append(value)
        condition += f" AND t.{quoted(name)} = ${place + len(values) - 1}::{layout.types[name]}"
    for sign, limit in ((">=", scope.since), ("<", scope.until)):
        if limit is not None and scope.within:
            values.append(limit)
            at = f"${place + len(values) - 1}::timestamptz"
            for column in map(quoted, scope.within):
                also = f" OR t.{column} IS NULL" if scope.nulls else ""
                condition += f" AND (t.{column} {sign} {at}{also})"
    return condition, values

"""Takes fields that are left out or hashed by now (`exclude`, `hash`) from the rows and rejects that still hold them.

Works on the mirror, on history and on rejects; each function inside the caller's transaction, or in transactions that
the caller opens. No value that is taken away is returned or logged.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg
import msgspec

from syncd.contract import Table
from syncd.records.privacy import HASHED, Guard, Place
from syncd.storage.mirror.erasure import REJECTS_AT_ONCE, ByTable, affected, tables_of
from syncd.storage.mirror.layout import quoted
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.mirror.target import Target

BLOCKS = 400
"""Blocks of a table (of 8 kB) that are rewritten in one transaction: some 10,000 rows."""

Begin = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]
"""Opens a transaction."""


def withheld_of(target: Target, table: Table) -> tuple[list[str], list[str]]:
    """Return which columns of a table are left out now, and which are hashed."""
    guard = target.intake.guard
    if guard is None:
        return [], []
    return _columns(guard.excluded, table), _columns(guard.hashed, table)


def _columns(places: Iterable[Place], table: Table) -> list[str]:
    return [found.column.name for found in places if found.column and found.table is table]


def _is_left_out(target: Target, table: Table) -> bool:
    """Say whether a child table is left out as a whole."""
    guard = target.intake.guard
    return guard is not None and any(found.array and found.table is table for found in guard.excluded)


def _still_held(excluded: Sequence[str], hashed: Sequence[str]) -> str:
    """Return the condition of rows that hold in their columns what they should not."""
    parts = [f"{quoted(name)} IS NOT NULL" for name in excluded]
    parts += [f"({quoted(name)} !~ '^{HASHED.pattern}$' AND btrim({quoted(name)}) <> '')" for name in hashed]
    return " OR ".join(parts) or "false"


async def count_held(conn: asyncpg.Connection, source: str, target: Target) -> ByTable:
    """Return by table how many rows still hold in a column what is left out or hashed now."""
    counts: ByTable = {}
    for each, name in await tables_of(conn, [target, *target.children]):
        held = "true" if _is_left_out(target, each.table) else _still_held(*withheld_of(target, each.table))
        if held != "false":
            count = await conn.fetchval(f"SELECT count(*) FROM {name} WHERE source = $1 AND ({held})", source)
            counts[name.replace('"', "")] = count
    return {name: count for name, count in counts.items() if count}


async def strip(begin: Begin, source: str, stream: str, target: Target) -> ByTable:
    """Take from the rows and rejects of a stream what is left out or hashed now, a part of a table in a transaction.

    What is stripped stays stripped, so that it may be ended and begun again at any time.
    """
    counts: ByTable = {}
    async with begin() as conn:
        tables = await tables_of(conn, [target, *target.children])
        sizes = [await conn.fetchval("SELECT pg_relation_size($1::text::regclass) / 8192", name) for _, name in tables]
    for (each, name), blocks in zip(tables, sizes, strict=True):
        for first in range(0, blocks, BLOCKS):
            async with begin() as conn:
                await lock_tables(conn, source, [target])
                stripped = await _strip_blocks(conn, source, target, each, name, first)
            plain = name.replace('"', "")
            counts[plain] = counts.get(plain, 0) + stripped
    async with begin() as conn:
        await lock_tables(conn, source, [target])
        counts["syncd.rejects"] = await _strip_rejects(conn, source, stream, target)
    return {name: count for name, count in counts.items() if count}


async def _strip_blocks(
    conn: asyncpg.Connection, source: str, target: Target, each: Target, name: str, first: int
) -> int:
    """Strip the rows in some blocks of a table; return how many were changed or deleted."""
    blocks = f"source = $1 AND ctid >= '({first},0)'::tid AND ctid < '({first + BLOCKS},0)'::tid"
    if _is_left_out(target, each.table):
        return affected(await conn.execute(f"DELETE FROM {name} WHERE {blocks}", source))
    guard = target.intake.guard
    if guard is None or guard.sieve is None:
        return 0
    excluded, hashed = withheld_of(target, each.table)
    array = next((child.at for child in target.table.children if child.table is each.table), ())
    read = ", ".join(["ctid::text", "_extra", *map(quoted, hashed)])
    held = _still_held(excluded, hashed)
    rows = await conn.fetch(
        f"SELECT {read}, ({held}) AS held FROM {name} WHERE {blocks} AND ({held} OR _extra IS NOT NULL)", source
    )
    changed = [stripped for row in rows if (stripped := _stripped(guard, row, hashed, array))]
    if not changed:
        return 0
    names = ["_ctid", "_extra", *hashed]
    types = ["text", "jsonb", *("text" for _ in hashed)]
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types, 2))
    sets = [f"{quoted(column)} = NULL" for column in excluded]
    sets += [f"{quoted(column)} = k.{quoted(column)}" for column in ["_extra", *hashed]]
    sets += ["_hash = NULL"] if name == each.name else []
    await conn.execute(
        f"UPDATE {name} t SET {', '.join(sets)} FROM unnest({arrays}) AS k({', '.join(map(quoted, names))})"
        " WHERE t.source = $1 AND t.ctid = k._ctid::tid",
        source, *map(list, zip(*changed, strict=True)),
    )  # fmt: skip
    return len(changed)


def _stripped(
    guard: Guard, row: asyncpg.Record, hashed: Sequence[str], array: Sequence[str]
) -> tuple[str | None, ...] | None:
    """Return the place of a row with its new `_extra` and hashes, None if nothing of it changes."""
    extra = row["_extra"].encode() if row["_extra"] else b""
    left = guard.sieve.stored(extra, array) if guard.sieve and extra else b""
    if not row["held"] and _is_same(left, extra):
        return None
    texts = [None if row[column] is None else guard.hash(row[column]) for column in hashed]
    return row["ctid"], left.decode() or None, *texts


async def _strip_rejects(conn: asyncpg.Connection, source: str, stream: str, target: Target) -> int:
    changed = []
    guard = target.intake.guard
    async for row in conn.cursor(
        "SELECT reject_id, record FROM syncd.rejects WHERE source = $1 AND stream = $2", source, stream,
        prefetch=REJECTS_AT_ONCE,
    ):  # fmt: skip
        sent = row["record"].encode()
        left = guard.left_of(sent, stored=True) if guard else sent
        if not _is_same(left, sent):
            changed.append((row["reject_id"], left.decode("utf-8", "replace")))
    await conn.executemany("UPDATE syncd.rejects SET record = $2 WHERE reject_id = $1", changed)
    return len(changed)


def _is_same(left: bytes, stored: bytes) -> bool:
    """Say whether two JSON texts differ in blanks only."""
    try:
        return msgspec.json.format(left, indent=-1) == msgspec.json.format(stored, indent=-1) if stored else not left
    except (msgspec.MsgspecError, RecursionError):
        return False

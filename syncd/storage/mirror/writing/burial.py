"""Buries the rows that are gone, with their child rows, and drops fingerprints so that rows are compared anew.

Works inside the caller's transaction and never commits.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from syncd.errors import DatabaseChanged
from syncd.records.rows import Key
from syncd.storage.mirror.table_locks import lock_feed
from syncd.storage.mirror.target import Target


async def bury(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    keys: Sequence[Key],
    *,
    now: datetime,
    not_after: datetime | None = None,
) -> int:
    """Set the tombstone of rows that are gone, and of their child rows; return how many were alive before.

    Rows changed later than `not_after` stay alive: another run has seen them since the listing began.
    """
    if not keys:
        return 0
    await lock_feed(conn, target, source)
    found = await conn.fetch(target.statements.bury, source, now, *map(list, zip(*keys, strict=True)), not_after)
    buried = {tuple(row) for row in found}
    left = [key for key in keys if key not in buried]
    if left and await is_kept_back(conn, target, target.statements.not_buried, source, now, left, not_after):
        raise DatabaseChanged(
            f"a trigger on {target.layout.plain_name}, which is not of syncd, keeps rows from being buried",
            hint="Drop it, or let it return NEW: syncd check names it.",
        )
    for child in target.children:
        stored = await family_of(conn, child, source, buried)
        orphans = [tuple(row[:-2]) for row in stored if row[-2] and tuple(row[: len(keys[0])]) in buried]
        await bury(conn, child, source, orphans, now=now)
    return len(buried)


async def family_of(
    conn: asyncpg.Connection, child: Target, source: str, parents: Collection[Key]
) -> Sequence[asyncpg.Record]:
    """Return the keys of the child rows of some parents, as `select_family` does; a few are of other parents."""
    if not parents:
        return ()
    columns = (list(set(column)) for column in zip(*parents, strict=True))
    found: Sequence[asyncpg.Record] = await conn.fetch(child.statements.select_family, source, *columns)
    return found


async def is_kept_back(
    conn: asyncpg.Connection,
    target: Target,
    question: str,
    source: str,
    now: datetime,
    rows: Sequence[tuple[Any, ...]],
    *more: datetime | None,
    has_guard: bool | None = None,
) -> bool:
    """Return whether rows that a statement left as they were are not as it would have them.

    Mostly they were so before. Only where somebody's trigger may have kept them back they are looked up.
    """
    if has_guard is None:
        has_guard = await conn.fetchval(target.statements.has_guard)
    if not has_guard:
        return False
    return bool(await conn.fetchval(question, source, now, *map(list, zip(*rows, strict=True)), *more))


async def drop_hashes(conn: asyncpg.Connection, target: Target, source: str, keys: Sequence[Key]) -> None:
    """Drop the fingerprints of rows, so that their next record is compared value by value."""
    await conn.execute(target.statements.drop_hashes, source, *map(list, zip(*keys, strict=True)))


async def drop_all_hashes(conn: asyncpg.Connection, target: Target, source: str) -> None:
    """Drop the fingerprints of all rows of a source, so that each next record is compared, child rows included."""
    await conn.execute(f"UPDATE {target.name} SET _hash = NULL WHERE source = $1 AND _hash IS NOT NULL", source)

"""Copies rows that are new to the mirror straight into their table, and adds them to the change feed.

Works inside the caller's transaction and never commits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import chain, compress, repeat
from typing import Any

import asyncpg

from syncd.records.page import Read
from syncd.records.rows import Columns, Key, Row
from syncd.records.values.pg_instant import microseconds
from syncd.storage.mirror.statements import BOOKKEEPING
from syncd.storage.mirror.table_locks import lock_feed
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writing.outcome import Written, require_all


async def copy_new(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    read: Read,
    wanted: Mapping[Key, bytes],
    written: Written,
    *,
    now: datetime,
    turns: Turns,
) -> Mapping[Key, bytes]:
    """Copy those of the wanted rows that were read together, as rows of new keys; return the fingerprints left over.

    Nothing is written if one of these rows is in the mirror after all, or a child row of one is.
    """
    columns, keys = read.columns_of(wanted)
    if columns is None:
        return wanted
    await lock_feed(conn, target, source)
    await conn.execute("SAVEPOINT copied")
    try:
        await _copy_columns(conn, target, source, columns, [wanted[key] for key in keys], now=now, turns=turns)
    except asyncpg.UniqueViolationError:
        await conn.execute("ROLLBACK TO SAVEPOINT copied")
        return wanted
    written.counts.inserted += len(keys)
    written.notes.extend(note for _, note in columns.notes)
    copied = set(keys)
    return {key: fingerprint for key, fingerprint in wanted.items() if key not in copied}


async def copy_rows(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    rows: Sequence[tuple[Row, bytes]],
    gone: AbstractSet[Key],
    *,
    now: datetime,
) -> None:
    """Copy rows of new keys, given with their fingerprints, without their child rows; `gone` are gone as they come."""
    status = await conn.copy_records_to_table(
        target.table.name,
        schema_name=target.table.schema,
        columns=["source", *target.layout.columns, *BOOKKEEPING],
        records=[
            (source, *row.values, now, now, now if row.key in gone else None, row.extra, fingerprint)
            for row, fingerprint in rows
        ],
    )
    require_all(status, len(rows))
    if target.kept.changes:
        columns = list(zip(*(row.values for row, _ in rows), strict=True))
        await _feed_new(conn, target, source, columns, [row.key in gone for row, _ in rows], now=now)


async def _copy_columns(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    columns: Columns,
    fingerprints: Sequence[bytes],
    *,
    now: datetime,
    turns: Turns,
    gone: Sequence[bool] = (),
) -> None:
    """Copy rows of new keys, with their child rows, straight into their tables.

    `gone` says of each row whether it is gone with its parent; it is empty if none is.
    """
    at = microseconds(now)
    kept: dict[str, Iterable[Any]] = {"_first_seen_at": repeat(at), "_changed_at": repeat(at), "_hash": fingerprints}
    if target.layout.flag_at is not None:
        flagged = map(target.layout.is_flagged, columns.values[target.layout.flag_at])
        gone = [flag or also for flag, also in zip(flagged, gone or repeat(False), strict=False)]
    if gone:
        kept["_deleted_at"] = [at if is_gone else None for is_gone in gone]
    if columns.extras:
        kept["_extra"] = columns.extras
    status = await conn.copy_records_to_table(
        target.table.name,
        schema_name=target.table.schema,
        columns=["source", *target.layout.columns, *kept],
        records=chain(zip(repeat(source), *columns.values, *kept.values()), _calling(turns.sent)),
    )
    turns.back()
    require_all(status, len(fingerprints))
    if target.kept.changes:
        await _feed_new(conn, target, source, columns.values, gone, now=now)
    for child, (rows, counts) in zip(target.children, columns.children, strict=True):
        if rows.values:
            inherited = list(chain.from_iterable(map(repeat, fingerprints, counts)))
            orphans = list(chain.from_iterable(map(repeat, gone, counts)))
            await _copy_columns(conn, child, source, rows, inherited, now=now, turns=turns, gone=orphans)


def _calling(function: Callable[[], None]) -> Iterator[Any]:
    """Yield nothing, but call a function when an iterator chained before this one has come to its end."""
    function()
    yield from ()


async def _feed_new(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    columns: Sequence[Sequence[Any]],
    gone: Sequence[bool],
    *,
    now: datetime,
) -> None:
    """Add rows just copied, given as columns, to the change feed; one that came as `gone` (if any did) is left out."""
    keys = [columns[target.layout.columns.index(name)] for name in target.table.key]
    if gone:
        alive = [not is_gone for is_gone in gone]
        keys = [list(compress(column, alive)) for column in keys]
    await conn.execute(target.statements.feed_new, source, now, *map(list, keys))

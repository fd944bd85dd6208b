"""Writes the tables of the mirror: records of a page become rows, and rows that are gone are buried.

All functions work inside the caller's transaction and never commit. A record whose fingerprint is stored is neither
parsed nor written. A parsed row that equals the stored one is not written either. Rows new to the mirror are copied
straight into their table; changed rows go into one UPDATE per page.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, compress, repeat
from typing import Any

import asyncpg

from syncd.errors import DatabaseChanged
from syncd.records.page import Read
from syncd.records.rows import Columns, Key, Note, Reject, Row
from syncd.records.values.pg_instant import microseconds
from syncd.storage.mirror.absent import filled
from syncd.storage.mirror.layout import are_close
from syncd.storage.mirror.statements import BOOKKEEPING
from syncd.storage.mirror.table_locks import lock_feed
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.postgres import driver
from syncd.storage.state.runs import Counts


class RowKeptOut(Exception):
    """PostgreSQL took fewer rows than it was given, and said nothing: a trigger of somebody leaves rows out."""


ROW_FAULTS = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.WithCheckOptionViolationError,
    asyncpg.TriggeredActionError,
    asyncpg.TriggeredDataChangeViolationError,
    asyncpg.PLPGSQLError,
    asyncpg.UnknownPostgresError,  # a code that a trigger made up
    RowKeptOut,
    ValueError,
    OverflowError,
)
"""What PostgreSQL or the driver raise when one row is to blame: a value, or what a constraint or trigger demands."""


HASH_BYTES = 16


@dataclass(slots=True)
class Written:
    """What came of writing one page: counts, the keys it held, its rejects and its drift.

    `as_stored` says that the page holds exactly what is stored between its first and its last key.
    """

    counts: Counts
    keys: list[Key] = field(default_factory=list)
    rejects: list[tuple[Reject, bytes]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    as_stored: bool = False


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


async def write_page(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    read: Read,
    *,
    now: datetime,
    not_after: datetime | None = None,
    unseen: bool = False,
    turns: Turns | None = None,
) -> Written:
    """Write the records of one page and return what came of them.

    `unseen` says that the rows that were read together are most likely new: they are not looked up first. `turns` is
    told when PostgreSQL is at work and this process is not. `not_after` protects rows that were changed later than that
    instant: a backfill must not undo what a live run fetched after it.

    Raises one of ROW_FAULTS if PostgreSQL refuses a value. The caller's transaction must then roll back, and
    `write_row_by_row` finds out which row it was.
    """
    settled, turns = read.settled, turns or Turns()
    written = Written(Counts(seen=read.seen, rejected=len(read.rejects)), list(settled), list(read.rejects))
    left = read.fingerprints
    if unseen:
        left = await _copy_new(conn, target, source, read, left, written, now=now, turns=turns)
    changed: Mapping[Key, bytes] = {}
    if not read.columns:
        left, changed = await _suspects(conn, target, source, left, not_after, written, turns)
    new, old = await _differing(conn, target, source, left, not_after, turns)
    old = {**changed, **old}
    if new:
        if not read.columns:
            read = target.intake.read_admitted([settled[key] for key in new], list(new), whole=True)
        new = await _copy_new(conn, target, source, read, new, written, now=now, turns=turns)
    if new or old:
        await lock_feed(conn, target, source)
    if rows := await _newer(conn, target, source, _parsed(target, settled, {**new, **old}, written), old):
        inserted, updated = await _write_rows(conn, target, source, rows, old, now=now)
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


async def write_row_by_row(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    read: Read,
    *,
    now: datetime,
    not_after: datetime | None = None,
) -> Written:
    """Write the records of one page like `write_page`, but each row by itself.

    A row that PostgreSQL refuses becomes a reject, and does not cost the page.
    """
    settled = read.settled
    written = Written(Counts(seen=read.seen, rejected=len(read.rejects)), list(settled), list(read.rejects))
    await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a deferred one would refuse the whole page at its commit
    new, old = await _differing(conn, target, source, read.fingerprints, not_after, Turns())
    if new or old:
        await lock_feed(conn, target, source)
    for row, fingerprint in await _newer(conn, target, source, _parsed(target, settled, {**new, **old}, written), old):
        try:
            async with conn.transaction():
                inserted, updated = await _write_rows(conn, target, source, [(row, fingerprint)], old, now=now)
        except ROW_FAULTS as fault:
            reason = _reason(fault)
            written.rejects.append((target.intake.parser.reject(reason, settled[row.key]), fingerprint))
            written.counts.rejected += 1
            continue
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


def _reason(fault: BaseException) -> str:
    if isinstance(fault, RowKeptOut):
        return "PostgreSQL leaves the row as it was: a trigger on its table, which is not of syncd, returns no row"
    return driver.row_reason(fault)


def _require_all(status: str, count: int) -> None:
    """Raise RowKeptOut unless a COPY stored as many rows as it was given."""
    if int(status.rpartition(" ")[2]) != count:
        raise RowKeptOut


def _parsed(
    target: Target, settled: Mapping[Key, bytes], wanted: Mapping[Key, bytes], written: Written
) -> list[tuple[Row, bytes]]:
    """Return the rows of the wanted records with their fingerprints; adds their drift and rejects to `written`."""
    rows: list[tuple[Row, bytes]] = []
    for key, fingerprint in wanted.items():
        row = target.intake.parser.parse(settled[key])
        if isinstance(row, Row):
            rows.append((row, fingerprint))
            written.notes.extend(row.notes)
        else:
            written.rejects.append((row, fingerprint))
            written.counts.rejected += 1
    return rows


async def _newer(
    conn: asyncpg.Connection, target: Target, source: str, rows: list[tuple[Row, bytes]], old: Container[Key]
) -> list[tuple[Row, bytes]]:
    """Leave out the rows that are older than the stored ones, where the table says how that is known."""
    keys = [row.key for row, _ in rows if row.key in old]
    if target.table.newest_by is None or not keys:
        return rows
    place = target.layout.columns.index(target.table.newest_by)
    places = [target.layout.columns.index(name) for name in target.table.key]
    found = await conn.fetch(target.statements.select_rows, source, *map(list, zip(*keys, strict=True)))
    stored = {tuple(row[at] for at in places): row[place] for row in found}

    def is_newer(row: Row) -> bool:
        before, now = stored.get(row.key), row.values[place]
        return before is None or (now is not None and now >= before)

    return [(row, fingerprint) for row, fingerprint in rows if is_newer(row)]


async def _suspects(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    fingerprints: Mapping[Key, bytes],
    not_after: datetime | None,
    written: Written,
    turns: Turns,
) -> tuple[Mapping[Key, bytes], Mapping[Key, bytes]]:
    """Return the fingerprints that are to be looked up, and those of rows that are known to differ from what is stored.

    Numbers that lie close together are read as one range, which is several times as fast as to look each one up. Of
    other keys all are to be looked up, and so are all that differ where it matters when a row was changed.
    """
    numbers = [key[0] for key in fingerprints] if target.statements.select_range else []
    given = sorted(numbers)
    if not are_close(given):
        return fingerprints, {}
    turns.sent()
    keys, hashes = await conn.fetchrow(target.statements.select_range, source, given[0], given[-1])
    turns.back()
    if keys == given == numbers and hashes == b"".join(fingerprints.values()):
        written.as_stored = True
        return {}, {}
    stored = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes or b""), HASH_BYTES)]
    known = dict(zip(keys or (), stored, strict=True))
    differing = {key: fingerprint for key, fingerprint in fingerprints.items() if known.get(key[0]) != fingerprint}
    if not_after is not None:
        return differing, {}
    changed = {key: fingerprint for key, fingerprint in differing.items() if key[0] in known}
    return {key: fingerprint for key, fingerprint in differing.items() if key not in changed}, changed


async def _differing(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    fingerprints: Mapping[Key, bytes],
    not_after: datetime | None,
    turns: Turns,
) -> tuple[Mapping[Key, bytes], Mapping[Key, bytes]]:
    """Return the fingerprints that are not stored, by key: first those of new keys, then those of stored keys.

    Each is in the order of the page.
    """
    new: dict[Key, bytes] = {}
    old: dict[Key, bytes] = {}
    if fingerprints:
        keys, given = list(fingerprints), list(fingerprints.values())
        columns = target.layout.key_columns(keys)
        turns.sent()
        differing = await conn.fetch(target.statements.select_differing, source, *columns, given)
        turns.back()
        for place, changed_at in differing:
            if changed_at is None:
                new[keys[place - 1]] = given[place - 1]
            elif not_after is None or changed_at <= not_after:
                old[keys[place - 1]] = given[place - 1]
    return new, old


async def _copy_new(
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
    _require_all(status, len(fingerprints))
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


async def _write_rows(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    rows: Sequence[tuple[Row, bytes]],
    known: Container[Key],
    *,
    now: datetime,
    touched: frozenset[Key] = frozenset(),
    orphans: frozenset[Key] = frozenset(),
    has_guard: bool | None = None,
) -> tuple[int, list[Key]]:
    """Insert the rows that are new, update those that differ; return how many were new, and the keys updated.

    `orphans` are the keys of rows that are gone with their parent. `has_guard` says whether somebody's trigger may keep
    rows back; None: that is asked where it matters.
    """
    gone = {row.key for row, _ in rows if target.layout.gone(row)} | orphans
    new = [pair for pair in rows if pair[0].key not in known]
    old = await _keep_absent(conn, target, source, [pair for pair in rows if pair[0].key in known])
    for place, child in enumerate(target.children):
        touched |= await _write_family(conn, child, source, place, rows, gone, now=now)
    if new:
        status = await conn.copy_records_to_table(
            target.table.name,
            schema_name=target.table.schema,
            columns=["source", *target.layout.columns, *BOOKKEEPING],
            records=[
                (source, *row.values, now, now, now if row.key in gone else None, row.extra, fingerprint)
                for row, fingerprint in new
            ],
        )
        _require_all(status, len(new))
        if target.kept.changes:
            columns = list(zip(*(row.values for row, _ in new), strict=True))
            await _feed_new(conn, target, source, columns, [row.key in gone for row, _ in new], now=now)
    updated: list[Key] = []
    if old:
        given = [(*row.values, row.extra, fingerprint, row.key in gone, row.key in touched) for row, fingerprint in old]
        found = await conn.fetch(target.statements.update, source, now, *map(list, zip(*given, strict=True)))
        updated = [tuple(row) for row in found]
        done = frozenset(updated)
        left = [values for values, (row, _) in zip(given, old, strict=True) if row.key not in done]
        question = target.statements.not_updated
        if left and await _is_kept_back(conn, target, question, source, now, left, has_guard=has_guard):
            raise RowKeptOut
    return len(new), updated


async def _is_kept_back(
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
    return [(filled(target.layout, row, stored.get(row.key)), fingerprint) for row, fingerprint in rows]


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
    stored = await _family(conn, child, source, keys)
    known = {tuple(row[:-2]): row[-2] for row in stored if tuple(row[:width]) in keys}
    has_guard = any(row[-1] for row in stored)
    rows = [(row, fingerprint) for _, found, fingerprint in families for row in found or ()]
    orphans = frozenset(row.key for key, found, _ in families if key in gone for row in found or ())
    inserted, updated = await _write_rows(
        conn, child, source, rows, known, now=now, orphans=orphans, has_guard=has_guard
    )
    if not known:
        return frozenset(keys) if inserted else frozenset()
    sent = {row.key for row, _ in rows}
    missing = [key for key, is_alive in known.items() if is_alive and key not in sent]
    await bury(conn, child, source, missing, now=now)
    new = sent.difference(known)
    return frozenset(key[:width] for key in (*new, *updated, *missing))


async def _family(
    conn: asyncpg.Connection, child: Target, source: str, parents: Collection[Key]
) -> Sequence[asyncpg.Record]:
    """Return the keys of the child rows of some parents, as `select_family` does; a few are of other parents."""
    if not parents:
        return ()
    columns = (list(set(column)) for column in zip(*parents, strict=True))
    found: Sequence[asyncpg.Record] = await conn.fetch(child.statements.select_family, source, *columns)
    return found


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
    if left and await _is_kept_back(conn, target, target.statements.not_buried, source, now, left, not_after):
        raise DatabaseChanged(
            f"a trigger on {target.layout.plain_name}, which is not of syncd, keeps rows from being buried",
            hint="Drop it, or let it return NEW: syncd check names it.",
        )
    for child in target.children:
        stored = await _family(conn, child, source, buried)
        orphans = [tuple(row[:-2]) for row in stored if row[-2] and tuple(row[: len(keys[0])]) in buried]
        await bury(conn, child, source, orphans, now=now)
    return len(buried)


async def drop_hashes(conn: asyncpg.Connection, target: Target, source: str, keys: Sequence[Key]) -> None:
    """Drop the fingerprints of rows, so that their next record is compared value by value."""
    await conn.execute(target.statements.drop_hashes, source, *map(list, zip(*keys, strict=True)))


async def drop_all_hashes(conn: asyncpg.Connection, target: Target, source: str) -> None:
    """Drop the fingerprints of all rows of a source, so that each next record is compared, child rows included."""
    await conn.execute(f"UPDATE {target.name} SET _hash = NULL WHERE source = $1 AND _hash IS NOT NULL", source)

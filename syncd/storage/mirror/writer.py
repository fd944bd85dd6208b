"""Every write to the tables of the mirror: records of a page become rows, and rows that are gone are buried.

All functions work inside the caller's transaction and never commit. A record whose fingerprint is stored is neither
parsed nor written; a parsed row that equals the stored one is not written either. Rows new to the mirror are copied
straight into their table; changed ones go into one UPDATE per page.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, compress, repeat
from typing import Any

import asyncpg
import msgspec

from syncd import counters
from syncd.records.instant import microseconds
from syncd.records.rows import Columns, Key, Note, Reject, Row
from syncd.storage.mirror import history
from syncd.storage.mirror.reading import Read, read_admitted
from syncd.storage.mirror.target import Target
from syncd.storage.postgres.locks import lock_number
from syncd.storage.postgres.turns import Turns
from syncd.storage.state.runs import Counts

ROW_FAULTS = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, OverflowError)
"""What PostgreSQL or the driver raise when one value of one row is to blame."""

WAYS = ("hashjoin", "material", "memoize", "mergejoin", "seqscan")
_BY_KEY = ", ".join(f"set_config('enable_{way}', 'off', true)" for way in WAYS)


@dataclass(slots=True)
class Written:
    """What writing one page gave: counts, the keys it held, the records turned away and the drift met."""

    counts: Counts
    keys: list[Key] = field(default_factory=list)
    rejects: list[tuple[Reject, bytes]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


async def lock_tables(
    conn: asyncpg.Connection, source: str, targets: Collection[Target], *, run_id: int | None = None
) -> None:
    """Hold other writers of the same source's tables off until the transaction ends; always in the same order.

    Until then rows are looked up by key only. PostgreSQL keeps the plan of a statement: one that was best while the
    table was small would read it from end to end for each page of a first load.
    """
    numbers = [lock_number("table", source, name) for name in sorted(target.name for target in targets)]
    tells = run_id is not None and any(target.recorder.kept.changes for target in targets)
    settings = f"{_BY_KEY}, set_config('{history.RUN}', '{run_id}', true)" if tells else _BY_KEY
    with counters.waiting_for_lock(source):
        await conn.execute(
            f"SELECT pg_advisory_xact_lock(number), {settings} FROM unnest($1::bigint[]) number", numbers
        )


async def take_line(conn: asyncpg.Connection, target: Target, source: str) -> None:
    """Before changes that are told of: let no other transaction tell of any until this one ends.

    Who waits here holds its tables already, and who holds the line waits for no table: there is no deadlock.
    """
    if target.recorder.kept.changes:
        with counters.waiting_for_lock(source):
            await conn.execute(history.TAKE_LINE, lock_number(history.FEED), f"{source}.{target.recorder.kept.stream}")


async def _tell_new(
    conn: asyncpg.Connection, target: Target, source: str, columns: Sequence[Sequence[Any]], *, now: datetime
) -> None:
    """Tell of rows just copied, given as columns; one that came as a tombstone never was there."""
    keys = [columns[target.columns.index(name)] for name in target.table.key]
    if target.deleted_at is not None:
        alive = [flag is not True for flag in columns[target.deleted_at]]
        keys = [list(compress(column, alive)) for column in keys]
    await conn.execute(target.recorder.tell_new, source, now, *map(list, keys))


async def write_page(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    read: Read,
    *,
    now: datetime,
    not_after: datetime | None = None,
    careful: bool = False,
    unseen: bool = False,
    turns: Turns | None = None,
) -> Written:
    """Write the records of one page and return what came of them.

    `unseen` says that the rows that were read together are most likely new: they are not looked up first. `turns`
    hears when PostgreSQL is at work and this process is not. `not_after` protects rows that were changed later than
    that instant (a backfill must not undo what a live run fetched after it). `careful` writes row by row, so that one
    row that PostgreSQL refuses becomes a reject instead of costing the page.
    """
    parser, settled = target.parser, read.settled
    written = Written(Counts(seen=read.seen, rejected=len(read.rejects)), list(settled), list(read.rejects))
    left, turns = read.fingerprints, turns or Turns()
    if unseen and not careful:
        left = await _copy_new(conn, target, source, read, left, written, now=now, turns=turns)
    new, old = await _differing(conn, target, source, left, not_after, turns)
    if new and not careful:
        if not read.columns:
            read = read_admitted(target, [settled[key] for key in new], list(new), whole=True)
        new = await _copy_new(conn, target, source, read, new, written, now=now, turns=turns)
    if new or old:
        await take_line(conn, target, source)
    rows: list[tuple[Row, bytes]] = []
    for key, fingerprint in {**new, **old}.items():
        row = parser.parse(settled[key])
        if isinstance(row, Row):
            rows.append((row, fingerprint))
            written.notes.extend(row.notes)
        else:
            written.rejects.append((row, fingerprint))
            written.counts.rejected += 1
    for chunk in [[pair] for pair in rows] if careful else [rows] if rows else []:
        try:
            async with _savepoint(conn, careful):
                inserted, updated = await _write_rows(conn, target, source, chunk, old, now=now)
        except ROW_FAULTS as fault:
            if not careful:
                raise
            reason = f"PostgreSQL refuses a value: {type(fault).__name__}"
            written.rejects.append((parser.reject(reason, settled[chunk[0][0].key]), chunk[0][1]))
            written.counts.rejected += 1
            continue
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


class _savepoint:  # noqa: N801  (reads as a function)
    """A savepoint, or nothing at all."""

    def __init__(self, conn: asyncpg.Connection, wanted: bool) -> None:
        self._transaction = conn.transaction() if wanted else None

    async def __aenter__(self) -> None:
        if self._transaction:
            await self._transaction.start()

    async def __aexit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if self._transaction:
            await (self._transaction.rollback() if kind else self._transaction.commit())


async def _differing(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    fingerprints: Mapping[Key, bytes],
    not_after: datetime | None,
    turns: Turns,
) -> tuple[Mapping[Key, bytes], Mapping[Key, bytes]]:
    """Return the fingerprints that are not stored, by key: those of new keys, and those of keys the mirror holds.

    In the order of the page.
    """
    new: dict[Key, bytes] = {}
    old: dict[Key, bytes] = {}
    if fingerprints:
        keys, given = list(fingerprints), list(fingerprints.values())
        columns = target.key_columns(keys)
        turns.sent()
        differing = await conn.fetch(target.select_differing, source, *columns, given)
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

    Nothing is written if one of them is in the mirror after all, or child rows of one are.
    """
    columns, keys = read.columns_of(wanted)
    if columns is None:
        return wanted
    await take_line(conn, target, source)
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
) -> None:
    """Copy rows of new keys, with their child rows, straight into their tables."""
    at = microseconds(now)
    kept: dict[str, Iterable[Any]] = {"_first_seen_at": repeat(at), "_changed_at": repeat(at), "_hash": fingerprints}
    if target.deleted_at is not None:
        kept["_deleted_at"] = [at if flag else None for flag in columns.values[target.deleted_at]]
    if columns.extras:
        kept["_extra"] = columns.extras
    await conn.copy_records_to_table(
        target.table.name,
        schema_name=target.table.schema,
        columns=["source", *target.columns, *kept],
        records=chain(zip(repeat(source), *columns.values, *kept.values()), _calling(turns.sent)),
    )
    turns.back()
    if target.recorder.kept.changes:
        await _tell_new(conn, target, source, columns.values, now=now)
    for child, (rows, counts) in zip(target.children, columns.children, strict=True):
        if rows.values:
            inherited = list(chain.from_iterable(map(repeat, fingerprints, counts)))
            await _copy_columns(conn, child, source, rows, inherited, now=now, turns=turns)


def _calling(function: Callable[[], None]) -> Iterator[Any]:
    """Yield nothing, but call at the end of what comes before it."""
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
) -> tuple[int, list[Key]]:
    """Insert the rows that are new, update those that differ; return how many were new, and the keys updated."""
    new = [pair for pair in rows if pair[0].key not in known]
    old = await _keep_absent(conn, target, source, [pair for pair in rows if pair[0].key in known])
    for place, child in enumerate(target.children):
        touched |= await _write_family(conn, child, source, place, rows, now=now)
    if new:
        gone = target.gone
        await conn.copy_records_to_table(
            target.table.name,
            schema_name=target.table.schema,
            columns=target.copy_columns,
            records=[
                (source, *row.values, now, now, now if gone(row) else None, row.extra, fingerprint)
                for row, fingerprint in new
            ],
        )
        if target.recorder.kept.changes:
            await _tell_new(conn, target, source, list(zip(*(row.values for row, _ in new), strict=True)), now=now)
    updated: list[Key] = []
    if old:
        given = [
            (*row.values, row.extra, fingerprint, target.gone(row), row.key in touched) for row, fingerprint in old
        ]
        found = await conn.fetch(target.update, source, now, *map(list, zip(*given, strict=True)))
        updated = [tuple(row) for row in found]
    return len(new), updated


async def _keep_absent(
    conn: asyncpg.Connection, target: Target, source: str, rows: list[tuple[Row, bytes]]
) -> list[tuple[Row, bytes]]:
    """Fill fields that were missing in a record with what is stored: a missing field does not erase a value."""
    keys = [row.key for row, _ in rows if row.absent or None in row.children]
    if not keys:
        return rows
    found = await conn.fetch(target.select_rows, source, *map(list, zip(*keys, strict=True)))
    places = [target.columns.index(name) for name in target.table.key]
    stored = {tuple(row[place] for place in places): row for row in found}
    return [(_filled(target, row, stored.get(row.key)), fingerprint) for row, fingerprint in rows]


def _filled(target: Target, row: Row, before: asyncpg.Record | None) -> Row:
    if before is None:
        return row
    values = tuple(
        before[index] if name in row.absent else value
        for index, (name, value) in enumerate(zip(target.columns, row.values, strict=True))
    )
    kept = {str(column.path[0]) for column in target.table.columns if column.name in row.absent}
    kept |= {child.field for child, rows in zip(target.table.children, row.children, strict=False) if rows is None}
    return row._replace(values=values, extra=_carried(row.extra, before["_extra"], kept))


def _carried(extra: str | None, before: str | None, names: set[str]) -> str | None:
    """Return `extra` with those members of the stored one whose field was missing this time."""
    if not before:
        return extra
    fields = msgspec.json.decode(extra, type=dict[str, msgspec.Raw]) if extra else {}
    stored = msgspec.json.decode(before, type=dict[str, msgspec.Raw])
    fields = {name: raw for name, raw in stored.items() if name in names} | fields
    return msgspec.json.encode(fields).decode() if fields else None


async def _write_family(
    conn: asyncpg.Connection,
    child: Target,
    source: str,
    place: int,
    parents: Sequence[tuple[Row, bytes]],
    *,
    now: datetime,
) -> frozenset[Key]:
    """Write the child rows of some parents, bury those no longer sent, and return the parents whose rows changed.

    A parent whose array was absent (None) keeps its child rows. A child row bears the fingerprint of the record that
    brought it.
    """
    families = [(row.key, row.children[place], fingerprint) for row, fingerprint in parents]
    keys = {key for key, found, _ in families if found is not None}
    if not keys:
        return frozenset()
    width = len(next(iter(keys)))
    stored = await conn.fetch(child.select_family, source, [key[0] for key in keys])
    known = {tuple(row[:-1]): row[-1] for row in stored if tuple(row[:width]) in keys}
    rows = [(row, fingerprint) for _, found, fingerprint in families for row in found or ()]
    inserted, updated = await _write_rows(conn, child, source, rows, known, now=now)
    if not known:
        return frozenset(keys) if inserted else frozenset()
    sent = {row.key for row, _ in rows}
    missing = [key for key, is_alive in known.items() if is_alive and key not in sent]
    await bury(conn, child, source, missing, now=now)
    new = sent.difference(known)
    return frozenset(key[:width] for key in (*new, *updated, *missing))


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

    Rows changed later than `not_after` stay: another run saw them alive since the listing began.
    """
    if not keys:
        return 0
    await take_line(conn, target, source)
    found = await conn.fetch(target.bury, source, now, *map(list, zip(*keys, strict=True)), not_after)
    buried = {tuple(row) for row in found}
    for child in target.children:
        stored = await conn.fetch(child.select_family, source, [key[0] for key in buried])
        orphans = [tuple(row[:-1]) for row in stored if row[-1] and tuple(row[: len(keys[0])]) in buried]
        await bury(conn, child, source, orphans, now=now)
    return len(buried)


async def drop_hashes(conn: asyncpg.Connection, target: Target, source: str, keys: Sequence[Key]) -> None:
    """Drop the fingerprints of rows, so that their next record is compared value by value."""
    await conn.execute(target.drop_hashes, source, *map(list, zip(*keys, strict=True)))

"""Writes the records of a page into their table of the mirror, and into those of its child rows.

Works inside the caller's transaction and never commits. A record whose fingerprint is stored is neither parsed nor
written. Rows new to the mirror are copied straight into their table; changed rows go into one UPDATE per page.
"""

from collections.abc import Container, Mapping
from datetime import datetime

import asyncpg

from syncd.records.page import Read, Sent
from syncd.records.rows import Key, Row
from syncd.storage.mirror.table_locks import lock_feed
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writing.changed_rows import write_rows
from syncd.storage.mirror.writing.comparison import (
    compare_aligned,
    compare_range,
    differing_from_stored,
    newer_than_stored,
)
from syncd.storage.mirror.writing.new_rows import copy_new
from syncd.storage.mirror.writing.outcome import ROW_FAULTS, Written, reason_of
from syncd.storage.postgres.transactions import savepoint
from syncd.storage.state.runs import Counts


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
    turns = turns or Turns()
    looked_up = None
    if not (unseen or read.columns or not_after):
        looked_up = await _aligned(conn, target, source, read, turns)
    written, wanted, old = looked_up or await _looked_up(
        conn, target, source, read, now=now, not_after=not_after, unseen=unseen, turns=turns
    )
    if wanted:
        await lock_feed(conn, target, source)
    rows = _parsed(target, read.sent, wanted, written)
    if rows := await newer_than_stored(conn, target, source, rows, old):
        inserted, updated = await write_rows(conn, target, source, rows, old, now=now)
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


_LookedUp = tuple[Written, Mapping[Key, int], Container[Key]]
"""What is known before rows are laid over others: the places of the records left to write, and the keys stored."""


async def _aligned(conn: asyncpg.Connection, target: Target, source: str, read: Read, turns: Turns) -> _LookedUp | None:
    """Look up a page that holds the very keys that are stored; None for any other."""
    aligned = await compare_aligned(conn, target, source, read.sent, turns)
    if aligned is None:
        return None
    written = Written(Counts(seen=read.seen), aligned.keys, as_stored=not aligned.changed)
    return written, aligned.changed, aligned.changed


async def _looked_up(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    read: Read,
    *,
    now: datetime,
    not_after: datetime | None,
    unseen: bool,
    turns: Turns,
) -> _LookedUp:
    """Look up the keys of a page, and copy those of its rows that are new."""
    sent, left = read.sent, read.fingerprints
    written = Written(Counts(seen=read.seen, rejected=len(sent.rejects)), list(sent.places), list(sent.rejects))
    if unseen:
        left = await copy_new(conn, target, source, read, left, written, now=now, turns=turns)
    changed: Mapping[Key, bytes] = {}
    if not read.columns:
        left, changed = await compare_range(conn, target, source, left, not_after, turns)
    new, old = await differing_from_stored(conn, target, source, left, not_after, turns)
    old = {**changed, **old}
    if new:
        if not read.columns:
            read = target.intake.read_admitted([sent.settled[key] for key in new], list(new), whole=True)
        new = await copy_new(conn, target, source, read, new, written, now=now, turns=turns)
    return written, {key: sent.places[key] for key in (*new, *old)}, old


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
    sent = read.sent
    written = Written(Counts(seen=read.seen, rejected=len(sent.rejects)), list(sent.places), list(sent.rejects))
    await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a deferred one would refuse the whole page at its commit
    new, old = await differing_from_stored(conn, target, source, read.fingerprints, not_after, Turns())
    if new or old:
        await lock_feed(conn, target, source)
    rows = _parsed(target, sent, {key: sent.places[key] for key in (*new, *old)}, written)
    for row, fingerprint in await newer_than_stored(conn, target, source, rows, old):
        try:
            async with savepoint(conn):
                inserted, updated = await write_rows(conn, target, source, [(row, fingerprint)], old, now=now)
        except ROW_FAULTS as fault:
            reason = reason_of(fault)
            written.rejects.append((target.intake.parser.reject(reason, sent.settled[row.key]), fingerprint))
            written.counts.rejected += 1
            continue
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


def _parsed(target: Target, sent: Sent, wanted: Mapping[Key, int], written: Written) -> list[tuple[Row, bytes]]:
    """Return the rows of the wanted records with their fingerprints; adds their drift and rejects to `written`."""
    rows: list[tuple[Row, bytes]] = []
    for place in wanted.values():
        row, fingerprint = target.intake.parser.parse(sent.records[place]), sent.prints[place]
        if isinstance(row, Row):
            rows.append((row, fingerprint))
            written.notes.extend(row.notes)
        else:
            written.rejects.append((row, fingerprint))
            written.counts.rejected += 1
    return rows

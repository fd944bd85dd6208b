"""Writes the records of a page into their table of the mirror, and into those of its child rows.

Works inside the caller's transaction and never commits. A record whose fingerprint is stored is neither parsed nor
written. Rows new to the mirror are copied straight into their table; changed rows go into one UPDATE per page.
"""

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from syncd.records.page import Read
from syncd.records.rows import Key, Row
from syncd.storage.mirror.table_locks import lock_feed
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writing.changed_rows import write_rows
from syncd.storage.mirror.writing.comparison import compare_range, differing_from_stored, newer_than_stored
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
    settled, rejects, turns = read.sent.settled, read.sent.rejects, turns or Turns()
    written = Written(Counts(seen=read.seen, rejected=len(rejects)), list(settled), list(rejects))
    left = read.fingerprints
    if unseen:
        left = await copy_new(conn, target, source, read, left, written, now=now, turns=turns)
    changed: Mapping[Key, bytes] = {}
    if not read.columns:
        left, changed, written.as_stored = await compare_range(conn, target, source, left, not_after, turns)
    new, old = await differing_from_stored(conn, target, source, left, not_after, turns)
    old = {**changed, **old}
    if new:
        if not read.columns:
            read = target.intake.read_admitted([settled[key] for key in new], list(new), whole=True)
        new = await copy_new(conn, target, source, read, new, written, now=now, turns=turns)
    if new or old:
        await lock_feed(conn, target, source)
    rows = _parsed(target, settled, {**new, **old}, written)
    if rows := await newer_than_stored(conn, target, source, rows, old):
        inserted, updated = await write_rows(conn, target, source, rows, old, now=now)
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
    settled, rejects = read.sent.settled, read.sent.rejects
    written = Written(Counts(seen=read.seen, rejected=len(rejects)), list(settled), list(rejects))
    await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a deferred one would refuse the whole page at its commit
    new, old = await differing_from_stored(conn, target, source, read.fingerprints, not_after, Turns())
    if new or old:
        await lock_feed(conn, target, source)
    rows = _parsed(target, settled, {**new, **old}, written)
    for row, fingerprint in await newer_than_stored(conn, target, source, rows, old):
        try:
            async with savepoint(conn):
                inserted, updated = await write_rows(conn, target, source, [(row, fingerprint)], old, now=now)
        except ROW_FAULTS as fault:
            reason = reason_of(fault)
            written.rejects.append((target.intake.parser.reject(reason, settled[row.key]), fingerprint))
            written.counts.rejected += 1
            continue
        written.counts.inserted += inserted
        written.counts.updated += len(updated)
    return written


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

"""Compares the records of a page with what is stored: by fingerprint, and by time where a table says how.

Reads only, inside the caller's transaction.
"""

from collections.abc import Container, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from syncd.records.page import Sent
from syncd.records.rows import Key, Row
from syncd.storage.mirror.layout import are_close
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns

HASH_BYTES: Final = 16
_STRETCH: Final = 16 * HASH_BYTES
"""Fingerprints are compared so many bytes at once, because most are equal; our choice."""


class Compared(NamedTuple):
    """What a look at all rows between two keys tells of a page's fingerprints.

    `open` are still to be looked up, `changed` are known to differ from what is stored.
    """

    open: Mapping[Key, bytes]
    changed: Mapping[Key, bytes]


class Aligned(NamedTuple):
    """A page that holds the keys of all rows between its first and its last one, in their order.

    `changed` are the places of the records that differ from what is stored, by their keys.
    """

    keys: list[Key]
    changed: Mapping[Key, int]


async def compare_aligned(
    conn: asyncpg.Connection, target: Target, source: str, sent: Sent, turns: Turns
) -> Aligned | None:
    """Compare a page with all rows between its first and its last key, place by place; None if the keys differ.

    Its keys must be numbers that lie close together. An equal fingerprint is that of an equal record, so that only the
    keys of records that differ are read.
    """
    query, count = target.statements.select_range, len(sent.records)
    ends = (sent.keys[0], sent.keys[-1]) if query and count else (None, None)
    first, last = (key[0] if key else None for key in ends)
    if query is None or first is None or last is None or not are_close(first, last, count):
        return None
    turns.sent()
    keys, hashes = await conn.fetchrow(query, source, first, last)
    turns.back()
    if len(keys or ()) != count:
        return None
    changed: dict[Key, int] = {}
    for place in _differing_places(b"".join(sent.prints), hashes):
        key = (keys[place],)
        if sent.keys[place] != key:
            return None
        changed[key] = place
    return Aligned([(key,) for key in keys], changed)


async def compare_range(
    conn: asyncpg.Connection,
    target: Target,
    source: str,
    fingerprints: Mapping[Key, bytes],
    not_after: datetime | None,
    turns: Turns,
) -> Compared:
    """Compare fingerprints with all rows between their keys, where these are numbers that lie close together.

    That is several times as fast as to look each one up. Of other keys all stay open, and so do all that differ where
    it matters when a row was changed.
    """
    given = sorted(key[0] for key in fingerprints) if target.statements.select_range else []
    if not given or not are_close(given[0], given[-1], len(given)):
        return Compared(fingerprints, {})
    turns.sent()
    keys, hashes = await conn.fetchrow(target.statements.select_range, source, given[0], given[-1])
    turns.back()
    stored = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes or b""), HASH_BYTES)]
    known = dict(zip(keys or (), stored, strict=True))
    differing = {key: fingerprint for key, fingerprint in fingerprints.items() if known.get(key[0]) != fingerprint}
    if not_after is not None:
        return Compared(differing, {})
    changed = {key: fingerprint for key, fingerprint in differing.items() if key[0] in known}
    return Compared({key: fingerprint for key, fingerprint in differing.items() if key not in changed}, changed)


def _differing_places(given: bytes, stored: bytes) -> list[int]:
    """Return the places of fingerprints that differ, of two values that hold equally many."""
    return [
        at // HASH_BYTES
        for begin in range(0, len(given), _STRETCH)
        if given[begin : begin + _STRETCH] != stored[begin : begin + _STRETCH]
        for at in range(begin, min(begin + _STRETCH, len(given)), HASH_BYTES)
        if given[at : at + HASH_BYTES] != stored[at : at + HASH_BYTES]
    ]


async def differing_from_stored(
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


async def newer_than_stored(
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

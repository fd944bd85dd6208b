"""Erases persons, and fields that are left out or hashed since, from every table that holds them.

Works on the mirror, on history, rejects, the change feed and the state of runs; each function inside the caller's
transaction, which it makes wait for the runs that write the same tables. No value that is erased is returned or logged.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import asyncpg
import msgspec

from syncd.contract import Table
from syncd.records.privacy import HASHED, Markers, Place, marker
from syncd.storage.mirror import writer
from syncd.storage.mirror.history import SCHEMA as HISTORY
from syncd.storage.mirror.history import quoted, table_name
from syncd.storage.mirror.target import Target
from syncd.storage.state import forgotten

LIKENESS = 4
"""A reject without a usable key is a person's if it holds so many of the values stored of them, or their e-mail."""
LIKENESS_CHARS = 3
"""Shorter values, such as initials, say nothing about whose they are."""
REJECTS_AT_ONCE = 500
"""Rejects in memory; a record may be large."""
BLOCKS = 400
"""Blocks of a table (of 8 kB) that are rewritten in one transaction: some 10,000 rows."""

Counts = dict[str, int]
Query = Callable[..., Any]


# --- Persons ----------------------------------------------------------------------------------------------------------


async def erase(
    conn: asyncpg.Connection,
    source: str,
    stream: str,
    persons: Target,
    others: Sequence[tuple[str, Target]],
    keys: Sequence[Any],
    *,
    now: datetime,
) -> Counts:
    """Erase the persons of one stream by their keys and mark them as forgotten; return how many rows by table.

    `others` are the streams whose rows refer to persons of this one: these rows stay, without what is personal. Their
    `_changed_at` stays too, so that history has no gap. Whoever reads a page meanwhile is told by the generation of the
    markers, once this has committed (`runs.record_page`).
    """
    await writer.lock_tables(conn, source, [persons, *(target for _, target in others)])
    await conn.execute("SELECT set_config('enable_seqscan', 'on', true)")
    counts: Counts = {}
    told = await _told_of(conn, source, persons, keys)
    for target, name in await _places(conn, [persons, *persons.children]):
        key = quoted(target.table.key[0])
        status = await conn.execute(
            f"DELETE FROM {name} WHERE source = $1 AND {key} = ANY({persons.arrays(2)})", source, keys
        )
        _count(counts, name, status)
    for _, target in others:
        await _scrub(conn, source, stream, persons, target, keys, counts, now=now)
    await forgotten.mark(conn, source, stream, keys, now=now)
    await _clear_rejects(conn, source, stream, persons, others, keys, told, counts)
    await _clear_feed(conn, source, persons, keys, counts, now=now)
    await _clear_state(conn, source, stream, persons, keys, counts)
    return {name: count for name, count in counts.items() if count}


def _count(counts: Counts, name: str, status: str) -> None:
    plain = name.replace('"', "")
    counts[plain] = counts.get(plain, 0) + int(status.rpartition(" ")[2])


async def _places(conn: asyncpg.Connection, targets: Iterable[Target]) -> list[tuple[Target, str]]:
    """Return each table with its name, and again with that of its history."""
    found = []
    for target in targets:
        kept = f"{quoted(HISTORY)}.{quoted(table_name(target.table))}"
        found.append((target, target.name))
        if await conn.fetchval("SELECT to_regclass($1)", kept):
            found.append((target, kept))
    return found


async def _told_of(conn: asyncpg.Connection, source: str, persons: Target, keys: Sequence[Any]) -> dict[str, set[str]]:
    """Return what is stored of each person, as small texts by key: to know them in a record without a usable key."""
    told: dict[str, set[str]] = {str(key): set() for key in keys}
    for target, name in await _places(conn, [persons, *persons.children]):
        names = [column for column in target.table.personal if column not in target.table.key]
        columns = ", ".join(map(quoted, (target.table.key[0], *names)))
        key = quoted(target.table.key[0])
        rows = await conn.fetch(
            f"SELECT {columns} FROM {name} WHERE source = $1 AND {key} = ANY({persons.arrays(2)})", source, keys
        )
        for row in rows:
            texts = (value.isoformat() if isinstance(value, date) else str(value) for value in tuple(row)[1:] if value)
            told[str(row[0])].update(text.strip().lower() for text in texts if len(text.strip()) >= LIKENESS_CHARS)
    return told


async def _scrub(
    conn: asyncpg.Connection,
    source: str,
    stream: str,
    persons: Target,
    target: Target,
    keys: Sequence[Any],
    counts: Counts,
    *,
    now: datetime,
) -> None:
    """Take what is personal from the rows that refer to these persons, and tell of it."""
    table = target.table
    own = ", ".join(f"'{name}', {quoted(name)}" for name in table.key)
    for refers in (column for column, of in table.refers.items() if of == stream):
        gone = ", ".join(f"{quoted(name)} = NULL" for name in (*_personal(table), "_extra"))
        where = f"WHERE source = $1 AND {quoted(refers)} = ANY({persons.arrays(2)})"
        for _, name in await _places(conn, [target]):
            also = ", _hash = NULL" if name == target.name else ""
            scrubbed = await conn.fetch(
                f"UPDATE {name} SET {gone}{also} {where} RETURNING jsonb_build_object({own})::text", source, keys
            )
            counts[name.replace('"', "")] = len(scrubbed)
            if name == target.name:
                changed = [*_personal(table), "_extra"]
                await _tell(conn, source, target, "update", [row[0] for row in scrubbed], changed=changed, now=now)


def _personal(table: Table) -> list[str]:
    """Return the columns that a row loses whose person was forgotten."""
    return [name for name in dict.fromkeys((*table.refers, *table.personal)) if name not in table.key]


async def _clear_rejects(
    conn: asyncpg.Connection,
    source: str,
    stream: str,
    persons: Target,
    others: Sequence[tuple[str, Target]],
    keys: Sequence[Any],
    told: Mapping[str, set[str]],
    counts: Counts,
) -> None:
    """Delete the rejects of these persons, and take from those that refer to them what is personal."""
    salt = os.urandom(forgotten.SALT_BYTES)
    markers = Markers(digests={stream: {salt: frozenset(marker(salt, stream, key) for key in keys)}})
    targets = dict(others) | {stream: persons}
    gone, changed = [], []
    async for row in conn.cursor(
        "SELECT reject_id, stream, record FROM syncd.rejects WHERE source = $1 AND stream = ANY($2)",
        source, list(targets), prefetch=REJECTS_AT_ONCE,
    ):  # fmt: skip
        target, sent = targets[row["stream"]], row["record"].encode()
        key = target.parser.key(sent)
        left = target.guard.without_persons(sent, markers) if target.guard else sent
        if left != sent:
            changed.append((row["reject_id"], left.decode("utf-8", "replace")))
        elif (row["stream"] == stream and key and key[0] in keys) or (key is None and _is_like(row["record"], told)):
            gone.append(row["reject_id"])
    _count(counts, "syncd.rejects", await conn.execute("DELETE FROM syncd.rejects WHERE reject_id = ANY($1)", gone))
    await conn.executemany("UPDATE syncd.rejects SET record = $2 WHERE reject_id = $1", changed)
    counts["syncd.rejects"] += len(changed)


def _is_like(record: str, told: Mapping[str, set[str]]) -> bool:
    """Say whether a record that names nobody is of one of these persons, by the values in it."""
    held = {text.strip().lower() for text in _texts(record)}
    return any(
        len(found) >= min(LIKENESS, len(values)) or any("@" in text for text in found)
        for values in told.values()
        if (found := values & held)
    )


def _texts(record: str) -> list[str]:
    """Return every text and number of a record; of one that is no JSON what stands between its quotes."""
    try:
        tree = msgspec.json.decode(record)
    except (msgspec.MsgspecError, RecursionError):
        return re.findall(r'"((?:[^"\\]|\\.)*)"', record)
    texts, left = [], [tree]
    while left:
        match left.pop():
            case dict() as fields:
                left.extend(fields.values())
            case list() as places:
                left.extend(places)
            case value:
                texts.append(str(value))
    return texts


async def _clear_feed(
    conn: asyncpg.Connection, source: str, persons: Target, keys: Sequence[Any], counts: Counts, *, now: datetime
) -> None:
    """Take the keys from the change feed, whose numbers must stay, and tell its readers that somebody is gone."""
    for target in (persons, *persons.children):
        status = await conn.execute(
            "UPDATE syncd.changes SET key = '{}'"
            " WHERE source = $1 AND table_name = $2 AND key ->> $3 = ANY($4::text[])",
            source, _plain(target), target.table.key[0], [str(key) for key in keys],
        )  # fmt: skip
        _count(counts, "syncd.changes", status)
    if counts.get(_plain(persons)):
        await _tell(conn, source, persons, "delete", ["{}"], changed=None, now=now)


async def _tell(
    conn: asyncpg.Connection,
    source: str,
    target: Target,
    operation: str,
    keys: Sequence[str],
    *,
    changed: Sequence[str] | None,
    now: datetime,
) -> None:
    """Tell of changes in the feed, if the stream has one."""
    if keys and target.recorder.kept.changes:
        await writer.take_line(conn, target, source)
        await conn.execute(
            "INSERT INTO syncd.changes (id, source, stream, table_name, key, operation, changed, changed_at)"
            " SELECT (SELECT coalesce(max(id), 0) FROM syncd.changes) + row_number() OVER (), $1, $2, $3, key, $4, $5,"
            " $6 FROM unnest($7::jsonb[]) AS key",
            source, target.recorder.kept.stream, _plain(target), operation, changed, now, keys,
        )  # fmt: skip


def _plain(target: Target) -> str:
    return f"{target.table.schema}.{target.table.name}"


async def _clear_state(
    conn: asyncpg.Connection, source: str, stream: str, persons: Target, keys: Sequence[Any], counts: Counts
) -> None:
    """Take the keys from what runs left: what they saw, where they stood, what they said."""
    key = quoted(persons.table.key[0])
    await conn.execute(
        "UPDATE syncd.seen SET keys = ARRAY(SELECT k FROM unnest(keys) k EXCEPT ALL"
        f" SELECT {persons.key_hash} FROM unnest({persons.arrays(3)}) AS t({key}))"
        " WHERE source = $1 AND stream = $2",
        source, stream, keys,
    )  # fmt: skip
    word = r"(?<![0-9A-Za-z])(?:" + "|".join(re.escape(str(key)) for key in keys) + r")(?![0-9A-Za-z])"
    status = await conn.execute(
        "UPDATE syncd.cursors SET cursor = cursor - 'pass' WHERE source = $1 AND stream = $2 AND cursor::text ~ $3",
        source, stream, word,
    )  # fmt: skip
    _count(counts, "syncd.cursors", status)
    status = await conn.execute(
        "UPDATE syncd.runs SET error = regexp_replace(error, $3, '…', 'g'),"
        " notes = regexp_replace(notes::text, $3, '…', 'g')::jsonb"
        " WHERE source = $1 AND stream = $2 AND (error ~ $3 OR notes::text ~ $3)",
        source, stream, word,
    )  # fmt: skip
    _count(counts, "syncd.runs", status)


# --- Fields -----------------------------------------------------------------------------------------------------------


def withheld_of(target: Target, table: Table) -> tuple[list[str], list[str]]:
    """Return which columns of a table are left out now, and which are hashed."""
    if target.guard is None:
        return [], []
    return _columns(target.guard.excluded, table), _columns(target.guard.hashed, table)


def _columns(places: Iterable[Place], table: Table) -> list[str]:
    return [found.column.name for found in places if found.column and found.table is table]


def _arrays(target: Target) -> list[Table]:
    return [found.table for found in target.guard.excluded if found.array] if target.guard else []


def _still_held(excluded: Sequence[str], hashed: Sequence[str], *, is_gone: bool) -> str:
    """Return the condition of rows that hold in their columns what they should not."""
    parts = [f"{quoted(name)} IS NOT NULL" for name in excluded]
    parts += [f"({quoted(name)} !~ '^{HASHED.pattern}$' AND btrim({quoted(name)}) <> '')" for name in hashed]
    return "true" if is_gone else " OR ".join(parts) or "false"


async def count_held(conn: asyncpg.Connection, source: str, target: Target) -> Counts:
    """Return by table how many rows still hold in a column what is left out or hashed now."""
    counts: Counts = {}
    for each, name in await _places(conn, [target, *target.children]):
        held = _still_held(*withheld_of(target, each.table), is_gone=each.table in _arrays(target))
        if held != "false":
            count = await conn.fetchval(f"SELECT count(*) FROM {name} WHERE source = $1 AND ({held})", source)
            counts[name.replace('"', "")] = count
    return {name: count for name, count in counts.items() if count}


async def strip(begin: Query, source: str, stream: str, target: Target) -> Counts:
    """Take from the rows and rejects of a stream what is left out or hashed now, a part of a table in a transaction.

    `begin` opens a transaction. What is stripped stays stripped, so that it may be ended and begun again at any time.
    """
    counts: Counts = {}
    async with begin() as conn:
        places = await _places(conn, [target, *target.children])
        sizes = [await conn.fetchval("SELECT pg_relation_size($1::text::regclass) / 8192", name) for _, name in places]
    for (each, name), blocks in zip(places, sizes, strict=True):
        for first in range(0, blocks, BLOCKS):
            async with begin() as conn:
                await writer.lock_tables(conn, source, [target])
                stripped = await _strip_blocks(conn, source, target, each, name, first)
            plain = name.replace('"', "")
            counts[plain] = counts.get(plain, 0) + stripped
    async with begin() as conn:
        await writer.lock_tables(conn, source, [target])
        counts["syncd.rejects"] = await _strip_rejects(conn, source, stream, target)
    return {name: count for name, count in counts.items() if count}


async def _strip_blocks(
    conn: asyncpg.Connection, source: str, target: Target, each: Target, name: str, first: int
) -> int:
    """Strip the rows in some blocks of a table; return how many were changed or deleted."""
    blocks = f"source = $1 AND ctid >= '({first},0)'::tid AND ctid < '({first + BLOCKS},0)'::tid"
    if each.table in _arrays(target):
        status = await conn.execute(f"DELETE FROM {name} WHERE {blocks}", source)
        return int(status.rpartition(" ")[2])
    guard = target.guard
    if guard is None or guard.sieve is None:
        return 0
    excluded, hashed = withheld_of(target, each.table)
    array = next((child.field for child in target.table.children if child.table is each.table), None)
    read = ", ".join(["ctid::text", "_extra", *map(quoted, hashed)])
    held = _still_held(excluded, hashed, is_gone=False)
    rows = await conn.fetch(
        f"SELECT {read}, ({held}) AS held FROM {name} WHERE {blocks} AND ({held} OR _extra IS NOT NULL)", source
    )
    changed = []
    for row in rows:
        extra = row["_extra"].encode() if row["_extra"] else b""
        left = guard.sieve.stored(extra, array) if extra else b""
        texts = [None if row[column] is None else guard.hash(row[column]) for column in hashed]
        if row["held"] or not _is_same(left, extra):
            changed.append((row["ctid"], left.decode() or None, *texts))
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


async def _strip_rejects(conn: asyncpg.Connection, source: str, stream: str, target: Target) -> int:
    changed = []
    async for row in conn.cursor(
        "SELECT reject_id, record FROM syncd.rejects WHERE source = $1 AND stream = $2", source, stream,
        prefetch=REJECTS_AT_ONCE,
    ):  # fmt: skip
        sent = row["record"].encode()
        left = target.guard.left_of(sent, stored=True) if target.guard else sent
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

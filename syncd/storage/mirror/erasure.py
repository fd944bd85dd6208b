"""Erases persons from every table that holds them: the mirror, history, rejects, the change feed, the state of runs.

All functions work inside the caller's transaction, which makes the runs that write the same tables wait. No value that
is erased is returned or logged.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg
import msgspec

from syncd.contract import Table
from syncd.records.privacy import Markers, marker
from syncd.storage.mirror.history import NUMBER, versions_of
from syncd.storage.mirror.layout import quoted
from syncd.storage.mirror.table_locks import lock_feed, lock_tables
from syncd.storage.mirror.target import Target
from syncd.storage.state import drift, forgotten

LIKENESS = 4
"""A reject without a usable key is a person's if it holds this many of the values stored of them, or their e-mail."""
LIKENESS_CHARS = 3
"""Shorter values, such as initials, do not identify a person."""
REJECTS_AT_ONCE = 500
"""Rejects held in memory at once; a record may be large."""

ByTable = dict[str, int]
"""How many rows, by the name of their table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Persons:
    """Whom to erase: persons of one stream by their keys; `others` are the streams whose rows may refer to them."""

    source: str
    stream: str
    target: Target
    others: Sequence[tuple[str, Target]]
    keys: Sequence[Any]
    now: datetime

    @property
    def tables(self) -> tuple[Target, ...]:
        """The table of the stream and its child tables."""
        return (self.target, *self.target.children)


async def erase(
    conn: asyncpg.Connection,
    source: str,
    stream: str,
    target: Target,
    others: Sequence[tuple[str, Target]],
    keys: Sequence[Any],
    *,
    now: datetime,
) -> ByTable:
    """Erase the persons of one stream by their keys and mark them as forgotten; return how many rows by table.

    `others` are the streams whose rows refer to persons of this one: these rows stay, without what is personal. Their
    `_changed_at` stays too, so that history has no gap. A run that has read a page meanwhile learns of it when it
    records the page: the generation of the markers is another one once this has committed (`runs.record_page`).
    """
    persons = _Persons(source=source, stream=stream, target=target, others=others, keys=keys, now=now)
    await lock_tables(conn, source, [target, *(other for _, other in others)])
    await conn.execute("SELECT set_config('enable_seqscan', 'on', true)")
    counts: ByTable = {}
    values = await _stored_values(conn, persons)
    for each, name in await tables_of(conn, persons.tables):
        key = quoted(each.table.key[0])
        status = await conn.execute(
            f"DELETE FROM {name} WHERE source = $1 AND {key} = ANY({target.layout.arrays(2)})", source, keys
        )
        _count(counts, name, status)
    for _, other in others:
        await _scrub(conn, persons, other, counts)
    await forgotten.mark(conn, source, stream, keys, now=now)
    await _clear_rejects(conn, persons, values, counts)
    await _clear_drift(conn, persons, values, counts)
    await _clear_feed(conn, persons, counts)
    await _clear_state(conn, persons, counts)
    return {name: count for name, count in counts.items() if count}


async def held(conn: asyncpg.Connection, source: str, target: Target, keys: Sequence[Any]) -> set[Any]:
    """Return which of these persons have a row, or an old version of one."""
    found: set[Any] = set()
    key = quoted(target.table.key[0])
    for _, name in await tables_of(conn, [target]):
        rows = await conn.fetch(
            f"SELECT DISTINCT {key} FROM {name} WHERE source = $1 AND {key} = ANY({target.layout.arrays(2)})",
            source, keys,
        )  # fmt: skip
        found |= {row[0] for row in rows}
    return found


async def tables_of(conn: asyncpg.Connection, targets: Iterable[Target]) -> list[tuple[Target, str]]:
    """Return each target with the name of its table, and again with that of its old versions if any are kept."""
    found = []
    for target in targets:
        versions = versions_of(target.table, target.kept.schema)
        found.append((target, target.name))
        if await conn.fetchval("SELECT to_regclass($1)", versions):
            found.append((target, versions))
    return found


def affected(status: str) -> int:
    """Return how many rows a statement changed, by what PostgreSQL says of it (`DELETE 3`)."""
    return int(status.rpartition(" ")[2])


def _count(counts: ByTable, name: str, status: str) -> None:
    plain = name.replace('"', "")
    counts[plain] = counts.get(plain, 0) + affected(status)


async def _stored_values(conn: asyncpg.Connection, persons: _Persons) -> dict[str, set[str]]:
    """Return what is stored of each person, as lower-case texts by key.

    By these values a person is recognised in a record without a usable key.
    """
    values: dict[str, set[str]] = {str(key): set() for key in persons.keys}
    for target, name in await tables_of(conn, persons.tables):
        names = [column for column in target.table.personal if column not in target.table.key]
        columns = ", ".join(map(quoted, (target.table.key[0], *names)))
        key = quoted(target.table.key[0])
        rows = await conn.fetch(
            f"SELECT {columns} FROM {name} WHERE source = $1 AND {key} = ANY({persons.target.layout.arrays(2)})",
            persons.source, persons.keys,
        )  # fmt: skip
        for row in rows:
            texts = (value.isoformat() if isinstance(value, date) else str(value) for value in tuple(row)[1:] if value)
            values[str(row[0])].update(text.strip().lower() for text in texts if len(text.strip()) >= LIKENESS_CHARS)
    return values


async def _scrub(conn: asyncpg.Connection, persons: _Persons, target: Target, counts: ByTable) -> None:
    """Take what is personal from the rows that refer to these persons and from their child rows; tell the feed."""
    for refers in (column for column, of in target.table.refers.items() if of == persons.stream):
        where = f"{quoted(refers)} = ANY({persons.target.layout.arrays(2)})"
        tables = await tables_of(conn, [target])
        own = target.layout.key_names
        parents = " UNION ".join(f"SELECT {own} FROM {name} WHERE source = $1 AND {where}" for _, name in tables)
        for child in target.children:
            if _personal(child.table):
                await _empty(conn, persons, child, f"({own}) IN ({parents})", counts)
        await _empty(conn, persons, target, where, counts)


async def _empty(conn: asyncpg.Connection, persons: _Persons, target: Target, where: str, counts: ByTable) -> None:
    """Set what is personal to null in rows and old versions of one table."""
    emptied = [*_personal(target.table), "_extra"]
    gone = ", ".join(f"{quoted(name)} = NULL" for name in emptied)
    own = ", ".join(f"'{name}', {quoted(name)}" for name in target.table.key)
    for _, name in await tables_of(conn, [target]):
        also = ", _hash = NULL" if name == target.name else ""
        scrubbed = await conn.fetch(
            f"UPDATE {name} SET {gone}{also} WHERE source = $1 AND {where} RETURNING jsonb_build_object({own})::text",
            persons.source, persons.keys,
        )  # fmt: skip
        counts[name.replace('"', "")] = counts.get(name.replace('"', ""), 0) + len(scrubbed)
        if name == target.name:
            await _add_to_feed(conn, persons, target, "update", [row[0] for row in scrubbed], changed=emptied)


def _personal(table: Table) -> list[str]:
    """Return the columns that a row loses whose person was forgotten."""
    return [name for name in dict.fromkeys((*table.refers, *table.personal)) if name not in table.key]


async def _clear_rejects(
    conn: asyncpg.Connection, persons: _Persons, values: Mapping[str, set[str]], counts: ByTable
) -> None:
    """Delete the rejects of these persons, and take from those that refer to them what is personal."""
    salt, stream = os.urandom(forgotten.SALT_BYTES), persons.stream
    markers = Markers(digests={stream: {salt: frozenset(marker(salt, stream, key) for key in persons.keys)}})
    targets = dict(persons.others) | {stream: persons.target}
    gone, changed = [], []
    async for row in conn.cursor(
        "SELECT reject_id, stream, record FROM syncd.rejects WHERE source = $1 AND stream = ANY($2)",
        persons.source, list(targets), prefetch=REJECTS_AT_ONCE,
    ):  # fmt: skip
        intake, sent = targets[row["stream"]].intake, row["record"].encode()
        key = intake.parser.key(sent)
        left = intake.guard.without_persons(sent, markers) if intake.guard else sent
        is_own = row["stream"] == stream and key and key[0] in persons.keys
        if left != sent:
            changed.append((row["reject_id"], left.decode("utf-8", "replace")))
        elif is_own or (key is None and _is_like(row["record"], values)):
            gone.append(row["reject_id"])
    _count(counts, "syncd.rejects", await conn.execute("DELETE FROM syncd.rejects WHERE reject_id = ANY($1)", gone))
    await conn.executemany("UPDATE syncd.rejects SET record = $2 WHERE reject_id = $1", changed)
    counts["syncd.rejects"] += len(changed)


def _is_like(record: str, values: Mapping[str, set[str]]) -> bool:
    """Say whether a record without a usable key is of one of these persons, by the values in it."""
    held = {text.strip().lower() for text in _texts(record)}
    return any(
        len(found) >= min(LIKENESS, len(stored)) or any("@" in text for text in found)
        for stored in values.values()
        if (found := stored & held)
    )


def _texts(record: str) -> list[str]:
    """Return every text and number of a record; if it is not JSON, everything between quotes."""
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


async def _clear_drift(
    conn: asyncpg.Connection, persons: _Persons, values: Mapping[str, set[str]], counts: ByTable
) -> None:
    """Delete drifted fields that an upstream named after one of these persons: by key, e-mail address or the like."""
    texts = {text for stored in values.values() for text in stored} | set(values)
    _count(counts, "syncd.drift", await drift.forget_names(conn, persons.source, sorted(texts)))


async def _clear_feed(conn: asyncpg.Connection, persons: _Persons, counts: ByTable) -> None:
    """Take the keys from the entries of the change feed, which must stay, and add an entry that somebody is gone."""
    for target in persons.tables:
        status = await conn.execute(
            "UPDATE syncd.changes SET key = '{}'"
            " WHERE source = $1 AND table_name = $2 AND key ->> $3 = ANY($4::text[])",
            persons.source, target.layout.plain_name, target.table.key[0], [str(key) for key in persons.keys],
        )  # fmt: skip
        _count(counts, "syncd.changes", status)
    if counts.get(persons.target.layout.plain_name):
        await _add_to_feed(conn, persons, persons.target, "delete", ["{}"], changed=None)


async def _add_to_feed(
    conn: asyncpg.Connection,
    persons: _Persons,
    target: Target,
    operation: str,
    keys: Sequence[str],
    *,
    changed: Sequence[str] | None,
) -> None:
    """Add changes to the feed, if the stream has one."""
    if keys and target.kept.changes:
        await lock_feed(conn, target, persons.source)
        await conn.execute(
            "INSERT INTO syncd.changes (id, source, stream, table_name, key, operation, changed, changed_at)"
            f" SELECT {NUMBER}, $1, $2, $3, key, $4, $5, $6 FROM unnest($7::jsonb[]) AS key",
            persons.source, target.kept.stream, target.layout.plain_name, operation, changed, persons.now, keys,
        )  # fmt: skip


async def _clear_state(conn: asyncpg.Connection, persons: _Persons, counts: ByTable) -> None:
    """Take the keys from what runs left: the keys they saw, their resume points, their errors and notes."""
    layout, source, stream = persons.target.layout, persons.source, persons.stream
    await conn.execute(
        "UPDATE syncd.seen SET keys = ARRAY(SELECT k FROM unnest(keys) k EXCEPT ALL"
        f" SELECT {layout.key_hash} FROM unnest({layout.arrays(3)}) AS t({quoted(layout.table.key[0])}))"
        " WHERE source = $1 AND stream = $2",
        source, stream, persons.keys,
    )  # fmt: skip
    await conn.execute("DELETE FROM syncd.known_pages WHERE source = $1 AND stream = $2", source, stream)
    word = r"(?<![0-9A-Za-z])(?:" + "|".join(re.escape(str(key)) for key in persons.keys) + r")(?![0-9A-Za-z])"
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

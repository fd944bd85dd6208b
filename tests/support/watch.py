"""What streams keep of the changes of their rows, checked as a whole: versions, and the change feed.

`Watch` looks at the mirror again and again: whatever it saw must be a version later on.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from syncd.contract import Table
from syncd.sources import registry
from syncd.storage.mirror.history import table_name
from syncd.storage.postgres.database import Database

Key = tuple[str, ...]
Row = Mapping[str, Any]

TABLES = {
    f"{table.schema}.{table.name}": table
    for source in registry().values()
    for stream in source.streams
    for table in (stream.table, *(child.table for child in stream.table.children))
}
BOTH = "history = true\nchanges = true\n"


def keeping(text: str, lines: str = BOTH) -> str:
    """Return a configuration with these lines for every stream of its sources."""
    for name, source in (("shop", "cyclesoftware"), ("lease", "cyclis"), ("cars", "autengo"), ("parts", "ghs")):
        for stream in registry()[source].streams:
            header = f"[sources.{name}.streams.{stream.name}]\n"
            text = text.replace(header, header + lines) if header in text else f"{text}{header}{lines}"
    return text


class Watch:
    """The states of the mirror that were seen, and what must have been kept of them."""

    def __init__(self, db: Database, tables: Iterable[str] = TABLES) -> None:
        self.db = db
        self.tables = [TABLES[name] for name in tables]
        self.seen: dict[tuple[str, Key], dict[Any, Row]] = {}
        self.versions = 0
        self.left_out: set[tuple[str, Key]] = set()

    async def leave_out(self, where: str) -> None:
        """Judge the rows for which `where` holds no more: what was kept of them is erased."""
        async with self.db.connection() as conn:
            for table in self.tables:
                found = await conn.fetch(f'SELECT * FROM "{table.schema}"."{table.name}" WHERE {where}')
                self.left_out.update((f"{table.schema}.{table.name}", _key(row, table)) for row in found)

    async def look(self) -> None:
        """Remember how the mirror is now."""
        async with self.db.connection() as conn:
            for table in self.tables:
                for row in await _rows(conn, table):
                    self.seen.setdefault((f"{table.schema}.{table.name}", _key(row, table)), {})[row["_changed_at"]] = (
                        row
                    )

    async def faults(self) -> list[str]:
        """Return in words what is wrong with the versions and with the feed; all streams kept both from the start."""
        await self.look()
        told: list[str] = []
        async with self.db.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            feed = list(await conn.fetch("SELECT * FROM syncd.changes ORDER BY id"))
            numbers = [entry["id"] for entry in feed]
            if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
                told.append("the numbers of the changes have a gap")
            for table in self.tables:
                rows = {_key(row, table): row for row in await _rows(conn, table)}
                old: dict[Key, list[Row]] = {}
                for version in await conn.fetch(f"SELECT * FROM history.{table_name(table)} ORDER BY valid_from"):
                    old.setdefault(_key(version, table), []).append(version)
                self.versions += sum(map(len, old.values()))
                place = f"{table.schema}.{table.name}"
                told += [f"{place} {key}: versions of a row that is not there" for key in old.keys() - rows.keys()]
                entries: dict[Key, list[Row]] = {}
                for entry in feed:
                    if entry["table_name"] == place and entry["key"] != "{}":
                        entries.setdefault(_told_key(entry, table), []).append(entry)
                told += [f"{place} {key}: changes of a row that is not there" for key in entries.keys() - rows.keys()]
                for key, row in rows.items():
                    if (place, key) in self.left_out:
                        continue
                    wrong = _chain(old.get(key, []), row, self.seen.get((place, key), {}), table)
                    wrong += _story(entries.get(key, []), [*old.get(key, []), row], table)
                    told += [f"{place} {key}: {each}" for each in wrong]
        return told


async def _rows(conn: asyncpg.Connection, table: Table) -> list[Row]:
    return list(await conn.fetch(f'SELECT * FROM "{table.schema}"."{table.name}"'))


def _key(row: Row, table: Table) -> Key:
    return (row["source"], *(str(row[name]) for name in table.key))


def _told_key(entry: Row, table: Table) -> Key:
    parts = json.loads(entry["key"])
    return (entry["source"], *(str(parts[name]) for name in table.key))


def _content(row: Row, table: Table) -> dict[str, Any]:
    return {name: row[name] for name in (*(column.name for column in table.columns), "_extra", "_deleted_at")}


def _chain(old: list[Row], row: Row, seen: Mapping[Any, Row], table: Table) -> list[str]:
    """Compare a row and its old versions with what was seen: no gap, no overlap, nothing that was seen is lost."""
    starts = [*(version["valid_from"] for version in old), row["_changed_at"]]
    ends = [version["valid_to"] for version in old]
    told = []
    if starts[0] != row["_first_seen_at"]:
        told.append(f"the first version is of {starts[0]}, but the row of {row['_first_seen_at']}")
    if ends != starts[1:]:
        told.append(f"versions from {list(map(str, starts))} to {list(map(str, ends))} are no chain")
    if any(start >= end for start, end in zip(starts, ends, strict=False)):
        told.append("a version ends before it begins")
    versions = dict(zip(starts, [*old, row], strict=True))
    for at, before in seen.items():
        if at not in versions:
            told.append(f"what it was at {at} is no version")
        elif _content(versions[at], table) != _content(before, table):
            told.append(f"what it was at {at} is not what was kept")
    return told


def _story(entries: list[Row], versions: list[Row], table: Table) -> list[str]:
    """Compare what the feed tells of a row with its versions."""
    expected: list[tuple[str, list[str] | None, Any]] = []
    before: Row | None = None
    for version in versions:
        was, is_there = before is not None and before["_deleted_at"] is None, version["_deleted_at"] is None
        at = version.get("valid_from") or version.get("_changed_at")
        if is_there and not was:
            expected.append(("insert", None, at))
        elif was and not is_there:
            expected.append(("delete", None, at))
        elif was and before is not None:
            names = [column.name for column in table.columns if column.name not in table.key]
            changed = [name for name in (*names, "_extra") if version[name] != before[name]]
            expected.append(("update", changed, at))
        before = version
    found = [(entry["operation"], entry["changed"], entry["changed_at"]) for entry in entries]
    return [] if found == expected else [f"the feed tells {found}, the versions {expected}"]

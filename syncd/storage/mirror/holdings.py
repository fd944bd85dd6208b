"""Everything that is stored under the name of a source, in whichever table: counted, moved to another name, deleted.

The tables are found by PostgreSQL's catalog, so that none is forgotten. All functions work inside the caller's
transaction, while the streams of the source are at rest.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import asyncpg

from syncd.frozen import dataclass
from syncd.storage.mirror import history
from syncd.storage.mirror.layout import literal, quoted
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state import losses

STATE: Final = "syncd"
FEED: Final = "syncd.changes"
"""The change feed: its entries have numbers without a gap, so that none is deleted before its time."""
NO_DATA: Final = frozenset(
    {
        "syncd.runs", "syncd.budgets", "syncd.drift", "syncd.callbacks", "syncd.webhooks", "syncd.callback_counts",
        "syncd.pauses", "syncd.backfills", FEED,
    }
)  # fmt: skip
"""Tables that say what was done for a name; a name with rows in these alone holds no data."""
_ONE_ROW_EACH: Final = (
    "syncd.budgets", "syncd.drift", "syncd.webhooks", "syncd.callback_counts", "syncd.pauses", "syncd.backfills",
)  # fmt: skip
"""Of these tables, which have one row for a name and one other thing, a renamed source brings its own."""

_TABLES: Final = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'source'
  AND NOT a.attisdropped
ORDER BY n.nspname, c.relname
"""
_KEY: Final = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = $1::regclass AND i.indisprimary AND a.attname <> 'source' ORDER BY a.attnum
"""

ByTable = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One table that holds rows of sources."""

    schema: str
    table: str

    @property
    def name(self) -> str:
        """The name as SQL writes it."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def plain(self) -> str:
        """The name as people write it."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A table whose changes are told in the feed, and its stream."""

    stream: str
    table: str


async def places(conn: asyncpg.Connection, schemas: Collection[str], *, kept_in: str) -> list[Place]:
    """Return every table of these schemas, of `kept_in` (old versions) and of the state that has a column `source`."""
    rows = await conn.fetch(_TABLES, sorted({*schemas, kept_in, STATE}))
    return [Place(schema=row["schema"], table=row["name"]) for row in rows]


async def count(conn: asyncpg.Connection, source: str, where: Sequence[Place]) -> ByTable:
    """Count what is stored under a name, by table; tables without a row are left out."""
    parts = [f"SELECT {literal(one.plain)} AS place, count(*) FROM {one.name} WHERE source = $1" for one in where]
    found = await conn.fetch(" UNION ALL ".join(parts), source)
    return {row["place"]: row["count"] for row in found if row["count"]}


async def move(conn: asyncpg.Connection, old: str, new: str, where: Sequence[Place]) -> ByTable:
    """Move everything to another name, under which no data lies; return how many rows by table."""
    await _lock(conn, (old, new), where)
    await conn.execute(f"SELECT {losses.ERASING}")
    moved: ByTable = {}
    for one in where:
        if one.plain in _ONE_ROW_EACH:
            await conn.execute(f"DELETE FROM {one.name} WHERE source = $1", new)
        status = await conn.execute(f"UPDATE {one.name} SET source = $2 WHERE source = $1", old, new)
        _note(moved, one, status)
    return moved


async def drop(
    conn: asyncpg.Connection, source: str, where: Sequence[Place], told: Collection[Told], *, now: datetime
) -> ByTable:
    """Delete everything under a name; return how many rows by table.

    Of the tables that the change feed tells about, each living row becomes an entry that it is deleted. The entries
    from before stay until they are too old: readers of the feed rely on numbers without a gap.
    """
    await _lock(conn, (source,), where)
    await conn.execute(f"SELECT {losses.ERASING}")
    before = await conn.fetch("SELECT DISTINCT stream, table_name FROM syncd.changes WHERE source = $1", source)
    feeds = {*told, *(Told(stream=row["stream"], table=row["table_name"]) for row in before)}
    for each in sorted(feeds, key=lambda each: each.table):
        for one in where:
            if one.plain == each.table:
                await _tell_gone(conn, source, each.stream, one, now)
    dropped: ByTable = {}
    for one in where:
        if one.plain != FEED:
            _note(dropped, one, await conn.execute(f"DELETE FROM {one.name} WHERE source = $1", source))
    return dropped


def _note(counts: ByTable, place: Place, status: str) -> None:
    if rows := int(status.rpartition(" ")[2]):
        counts[place.plain] = rows


async def _lock(conn: asyncpg.Connection, names: Collection[str], where: Sequence[Place]) -> None:
    """Keep every other writer of these tables waiting: what forgets, repairs or replays takes the same locks."""
    numbers = [lock_number("table", source, one.name) for one in where for source in sorted(names)]
    await conn.execute("SET LOCAL statement_timeout = 0")
    await conn.execute("SELECT pg_advisory_xact_lock(syncd.lock_key(number)) FROM unnest($1::bigint[]) number", numbers)


async def _tell_gone(conn: asyncpg.Connection, source: str, stream: str, place: Place, now: datetime) -> None:
    """Add an entry to the feed for each living row of a table that is about to be deleted."""
    keys = [row["attname"] for row in await conn.fetch(_KEY, place.name)]
    key = ", ".join(f"{literal(name)}, t.{quoted(name)}" for name in keys)
    await conn.execute(history.LOCK_FEED, lock_number(history.FEED), f"{source}.{stream}")
    await conn.execute(
        "INSERT INTO syncd.changes (id, source, stream, table_name, key, operation, changed, changed_at)"
        f" SELECT {history.NUMBER}, $1, $2, $3, jsonb_build_object({key}), 'delete', NULL, $4"
        f" FROM {place.name} t WHERE t.source = $1 AND t._deleted_at IS NULL",
        source, stream, place.plain, now,
    )  # fmt: skip

"""The mending tools: list, show and replay rejects; show, set and reset cursors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.session import load_config, opened_database
from syncd.config import Config
from syncd.errors import LockHeld, UsageError
from syncd.sources import registry
from syncd.storage.mirror import writer
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.postgres.database import Database
from syncd.storage.state import runs

if TYPE_CHECKING:
    from syncd.engine.syncer import Syncer

LIST_MAX = 500


def _wanted(settings: Config, selectors: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the selected streams as two parallel lists; without selectors all configured ones, off ones too."""
    if selectors:
        pairs = configuration.select(settings, selectors)
    else:
        pairs = [(source.name, stream) for source in settings.sources.values() for stream in source.streams]
    return [source for source, _ in pairs], [stream for _, stream in pairs]


_IN_PAIRS = "(source, stream) IN (SELECT * FROM unnest($1::text[], $2::text[]))"


async def list_rejects(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """List the newest rejects, without their contents."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        rows = await conn.fetch(
            "SELECT reject_id, source, stream, reason, occurrences, first_seen_at, last_seen_at, run_id"
            f" FROM syncd.rejects WHERE {_IN_PAIRS} ORDER BY last_seen_at DESC, reject_id DESC LIMIT {LIST_MAX}",
            *_wanted(settings, selectors),
        )
    if as_json:
        console.print_json([dict(row) for row in rows])
    elif rows:
        columns = ["id", "stream", "reason", "times", "first seen", "last seen"]
        console.print_table(
            "", columns,
            [(r["reject_id"], f"{r['source']}.{r['stream']}", r["reason"], r["occurrences"], r["first_seen_at"],
              r["last_seen_at"]) for r in rows],
        )  # fmt: skip
        console.say("One with its record: syncd rejects show ID. Try again: syncd rejects replay")
    else:
        console.say("no rejects")
    return 0


async def show_reject(path: Path | None, reject_id: int, *, as_json: bool) -> int:
    """Show one reject with its record as sent."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        row = await conn.fetchrow(
            "SELECT reject_id, source, stream, reason, occurrences, first_seen_at, last_seen_at, run_id, record"
            " FROM syncd.rejects WHERE reject_id = $1",
            reject_id,
        )
    if row is None:
        raise UsageError(f"there is no reject {reject_id}", hint="syncd rejects list")
    if as_json:
        console.print_json(dict(row))
    else:
        for name, value in row.items():
            console.say(f"{name}: {value}")
    return 0


async def replay_rejects(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """Parse rejects again and commit those that are rows now; each leaves `syncd.rejects` in the same transaction.

    A row that a run has changed since the reject was last met stays as it is; a record of a person who was forgotten
    leaves without becoming one.
    """
    from syncd.engine.syncer import Syncer

    settings = load_config(path, resolve_secrets=False)
    mended = left = 0
    async with opened_database(settings) as database:
        syncer = Syncer(settings, registry(), database, None)
        async with database.connection() as conn:
            ids = await conn.fetch(
                f"SELECT reject_id, source, stream FROM syncd.rejects WHERE {_IN_PAIRS} ORDER BY reject_id",
                *_wanted(settings, selectors),
            )
        for row in ids:
            if await _replay(database, syncer, row):
                mended += 1
            else:
                left += 1
    if as_json:
        console.print_json({"replayed": mended, "left": left})
    else:
        console.say(f"{mended} became rows, {left} are still rejects")
    return 0


async def _replay(database: Database, syncer: "Syncer", entry: asyncpg.Record) -> bool:
    source, stream = entry["source"], entry["stream"]
    target = syncer.target(source, stream)
    async with database.transaction() as conn:
        await lock_tables(conn, source, [target])
        row = await conn.fetchrow(
            "SELECT record, last_seen_at FROM syncd.rejects WHERE reject_id = $1 FOR UPDATE", entry["reject_id"]
        )
        if row is None:
            return False
        await syncer.learn_forgotten(source, conn)
        read = target.intake.read([row["record"].encode()])
        if read.rejects:
            return False
        written = await writer.write_row_by_row(
            conn, target, source, read, now=syncer.clock(), not_after=row["last_seen_at"]
        )
        if written.rejects:
            return False
        await conn.execute("DELETE FROM syncd.rejects WHERE reject_id = $1", entry["reject_id"])
    return True


async def show_cursors(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """Show where streams resume."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        rows = await conn.fetch(
            f"SELECT source, stream, kind, cursor, updated_at FROM syncd.cursors WHERE {_IN_PAIRS} ORDER BY 1, 2, 3",
            *_wanted(settings, selectors),
        )
    if as_json:
        console.print_json([{**row, "cursor": msgspec.json.decode(row["cursor"])} for row in map(dict, rows)])
    elif rows:
        console.print_table(
            "", ["stream", "kind", "cursor", "updated"],
            [(f"{r['source']}.{r['stream']}", r["kind"], r["cursor"], r["updated_at"]) for r in rows],
        )  # fmt: skip
    else:
        console.say("no cursors yet")
    return 0


async def set_cursor(path: Path | None, selector: str, value: str, *, kind: str) -> int:
    """Set the cursor of one stream, unless a run of it is under way."""
    try:
        cursor = msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UsageError(f"the cursor is no JSON object: {error}", hint="See: syncd cursor show") from None
    settings = load_config(path, resolve_secrets=False)
    pairs = configuration.select(settings, [selector])
    if len(pairs) != 1:
        raise UsageError(f'"{selector}" matches {len(pairs)} streams', hint="Name one, e.g. shop.customers.")
    text = msgspec.json.encode(cursor).decode()
    async with opened_database(settings) as database:
        await _while_at_rest(
            database, *pairs[0], kind,
            "INSERT INTO syncd.cursors (source, stream, kind, cursor, updated_at) VALUES ($1, $2, $3, $4, now())"
            " ON CONFLICT (source, stream, kind) DO UPDATE SET cursor = excluded.cursor, updated_at = now()",
            text,
        )  # fmt: skip
    console.say(f"{pairs[0][0]}.{pairs[0][1]}: {kind} cursor set")
    return 0


async def reset_cursors(path: Path | None, selectors: Sequence[str], *, kind: str) -> int:
    """Forget cursors, unless a run of their stream is under way."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database:
        for source, stream in configuration.select(settings, selectors):
            forgot = await forget_cursor(database, source, stream, kind)
            done = "reset, the next run lists everything" if forgot else "there was none"
            console.say(f"{source}.{stream}: {kind} cursor: {done}")
    return 0


async def forget_cursor(database: Database, source: str, stream: str, kind: str) -> bool:
    """Forget one cursor; say whether there was one. Raises LockHeld while a run of the stream could move it."""
    statement = "DELETE FROM syncd.cursors WHERE source = $1 AND stream = $2 AND kind = $3"
    return await _while_at_rest(database, source, stream, kind, statement) == "DELETE 1"


async def _while_at_rest(database: Database, source: str, stream: str, kind: str, statement: str, *more: object) -> str:
    """Execute a statement about one cursor while no run of the stream can move it. Raises LockHeld."""
    number = runs.stream_lock(source, stream, kind.partition(" ")[0])
    if not await database.try_lock(number):
        raise LockHeld(f"{source}.{stream}: a run is under way", hint="Wait for it, or end that process.")
    try:
        async with database.connection() as conn:
            status: str = await conn.execute(statement, source, stream, kind, *more)
            return status
    finally:
        await database.unlock(number)

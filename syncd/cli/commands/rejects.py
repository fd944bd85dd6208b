"""`syncd rejects`: lists, shows, replays and drops the records that became no row."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import click

from syncd.cli import console, proposals
from syncd.cli.options import config_option, group, json_option, selectors_argument
from syncd.cli.session import IN_STREAMS, execute, load_config, opened_database, selected_streams
from syncd.engine.syncer import Syncer
from syncd.errors import ConfigError, UsageError
from syncd.sources import registry
from syncd.storage.mirror import writer
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.postgres.database import Database


@group(
    examples=[
        ("syncd rejects list shop", "which records of shop could not become rows, and why"),
        ("syncd rejects show 12", "one of them, as sent"),
        ("syncd rejects replay", "try again, after an upgrade of syncd"),
    ],
)
def rejects() -> None:
    """List, show, replay or drop records that became no row."""


@rejects.command(
    "list", examples=[("syncd rejects list", "of every stream"), ("syncd rejects list shop.customers", "of one")]
)
@selectors_argument
@config_option
@json_option
def rejects_list(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """List rejects: number, stream, reason, how often, when.

    Shows no contents: see `syncd rejects show`.
    """
    return execute(list_rejects(config_path, selectors, as_json=as_json))


@rejects.command("show", examples=[("syncd rejects show 12", "12 is a number that `syncd rejects list` prints")])
@click.argument("reject_id", type=int, metavar="ID")
@config_option
@json_option
def rejects_show(reject_id: int, config_path: Path | None, as_json: bool) -> int:
    """Show one reject with its record as sent.

    The record may hold personal data.
    """
    return execute(show_reject(config_path, reject_id, as_json=as_json))


@rejects.command(
    "replay",
    examples=[
        ("syncd rejects replay", "all of them, after an upgrade"),
        ("syncd rejects replay shop", "those of one source"),
    ],
)
@selectors_argument
@config_option
@json_option
def rejects_replay(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """Try again to turn rejects into rows.

    Asks no upstream: the record as sent is parsed by this version of syncd. A row that is newer stays as it is.
    """
    return execute(replay_rejects(config_path, selectors, as_json=as_json))


@rejects.command(
    "drop",
    examples=[
        ("syncd rejects drop 12 13", "two of them, by the numbers that `syncd rejects list` prints"),
        ("syncd rejects drop shop.customers --yes", "those of one stream, in a script"),
    ],
)
@click.argument("what", nargs=-1, required=True, metavar="ID|SELECTOR...", shell_complete=proposals.selectors)
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def rejects_drop(what: tuple[str, ...], yes: bool, config_path: Path | None, as_json: bool) -> int:
    """Delete rejects that nobody needs any more.

    Deletes the records as sent, here alone: what the upstream still sends becomes a reject again with the next run that
    meets it. Asks once.
    """
    return execute(drop_rejects(config_path, what, yes=yes, as_json=as_json))


LIST_MAX = 500
INT64_MAX = 2**63 - 1


async def list_rejects(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """List the newest rejects, without their contents."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        rows = await conn.fetch(
            "SELECT reject_id, source, stream, reason, occurrences, first_seen_at, last_seen_at, run_id"
            f" FROM syncd.rejects WHERE {IN_STREAMS} ORDER BY last_seen_at DESC, reject_id DESC LIMIT {LIST_MAX}",
            *selected_streams(settings, selectors),
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
    settings = load_config(path, resolve_secrets=False)
    mended = left = 0
    async with opened_database(settings) as database:
        syncer = Syncer(settings, registry(), database, None)
        async with database.connection() as conn:
            ids = await conn.fetch(
                f"SELECT reject_id, source, stream FROM syncd.rejects WHERE {IN_STREAMS} ORDER BY reject_id",
                *selected_streams(settings, selectors),
            )
        for source in dict.fromkeys(row["source"] for row in ids):
            with contextlib.suppress(ConfigError):  # a secret is missing that would tell the account
                await syncer.require_same_account(source)
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


async def drop_rejects(path: Path | None, what: Sequence[str], *, yes: bool, as_json: bool) -> int:
    """Delete rejects by number or selector, after it was confirmed; 1 if it was not."""
    settings = load_config(path, resolve_secrets=False)
    numbers = [int(word) for word in what if word.isdecimal()]
    selectors = [word for word in what if not word.isdecimal()]
    if too_long := [number for number in numbers if number > INT64_MAX]:
        raise UsageError(f"there is no reject {too_long[0]}", hint="syncd rejects list")
    sources, streams = selected_streams(settings, selectors) if selectors else ([], [])
    where = "reject_id = ANY($3::bigint[]) OR " + IN_STREAMS
    async with opened_database(settings) as database, database.connection() as conn:
        found = await conn.fetch(
            f"SELECT reject_id, source, stream FROM syncd.rejects WHERE {where}", sources, streams, numbers
        )
        if missing := sorted({*numbers} - {row["reject_id"] for row in found}):
            raise UsageError(f"there is no reject {', '.join(map(str, missing))}", hint="syncd rejects list")
        if found and not yes and not _is_confirmed(found):
            return 1
        ids = [row["reject_id"] for row in found]
        dropped = await conn.fetchval(
            "WITH gone AS (DELETE FROM syncd.rejects WHERE reject_id = ANY($1) RETURNING 1) SELECT count(*) FROM gone",
            ids,
        )
    if as_json:
        console.print_json({"dropped": dropped})
    else:
        console.say(f"{dropped} dropped")
    return 0


def _is_confirmed(found: Sequence[asyncpg.Record]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to confirm this on", hint="Add --yes.")
    streams = ", ".join(sorted({f"{row['source']}.{row['stream']}" for row in found}))
    if click.confirm(f"Delete {len(found):,} of {streams} for good?", default=False, err=True):
        return True
    console.say("nothing was changed")
    return False


async def _replay(database: Database, syncer: Syncer, entry: asyncpg.Record) -> bool:
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
        if read.sent.rejects:
            return False
        written = await writer.write_row_by_row(
            conn, target, source, read, now=syncer.clock(), not_after=row["last_seen_at"]
        )
        if written.rejects:
            return False
        await conn.execute("DELETE FROM syncd.rejects WHERE reject_id = $1", entry["reject_id"])
    return True

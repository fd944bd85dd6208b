"""`syncd cursor`: shows, sets and resets where streams resume."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from syncd import config as configuration
from syncd.cli import console, proposals
from syncd.cli.options import config_option, group, json_option, needed_selectors_argument, selectors_argument
from syncd.cli.session import IN_STREAMS, execute, load_config, opened_database, selected_streams
from syncd.errors import UsageError
from syncd.storage.state import cursors


@group(
    examples=[
        ("syncd cursor show shop", "where the streams of shop resume"),
        ("""syncd cursor set shop.customers '{"since": "2026-01-31T00:00:00Z"}'""", "ask again from then on"),
        ("syncd cursor reset shop.customers", "list everything in the next run"),
    ],
)
def cursor() -> None:
    """Show, set or reset where a stream resumes."""


kind_option = click.option(
    "--kind", default="live", show_default=True, help="live, sweep, or a backfill's as `show` prints it."
)


@cursor.command(
    "show",
    examples=[
        ("syncd cursor show shop.customers", "live, sweep and backfills"),
        ("syncd cursor show --json", "for a script"),
    ],
)
@selectors_argument
@config_option
@json_option
def cursor_show(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """Show the cursors of the matching streams."""
    return execute(show_cursors(config_path, selectors, as_json=as_json))


@cursor.command(
    "set",
    examples=[("""syncd cursor set shop.customers '{"since": "2026-01-31T00:00:00Z"}'""", "")],
)
@click.argument("selector", shell_complete=proposals.selectors)
@click.argument("value", metavar="JSON")
@kind_option
@config_option
def cursor_set(selector: str, value: str, kind: str, config_path: Path | None) -> int:
    """Set the cursor of one stream to a JSON object.

    Of the form that `syncd cursor show` prints for it. Refused while a run of the stream is under way.
    """
    return execute(set_cursor(config_path, selector, value, kind=kind))


@cursor.command(
    "reset",
    examples=[
        ("syncd cursor reset shop.customers", "list everything in the next run"),
        ("syncd cursor reset shop.customers --kind sweep", "forget where a sweep stood"),
    ],
)
@needed_selectors_argument
@kind_option
@config_option
def cursor_reset(selectors: tuple[str, ...], kind: str, config_path: Path | None) -> int:
    """Forget where a stream resumes.

    Its next run lists everything. No row is touched. Refused while a run of the stream is under way.
    """
    return execute(reset_cursors(config_path, selectors, kind=kind))


async def show_cursors(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """Show where streams resume."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        rows = await conn.fetch(
            f"SELECT source, stream, kind, cursor, updated_at FROM syncd.cursors WHERE {IN_STREAMS} ORDER BY 1, 2, 3",
            *selected_streams(settings, selectors),
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
        await cursors.set_cursor(database, *pairs[0], kind, text)
    console.say(f"{pairs[0][0]}.{pairs[0][1]}: {kind} cursor set")
    return 0


async def reset_cursors(path: Path | None, selectors: Sequence[str], *, kind: str) -> int:
    """Forget cursors, unless a run of their stream is under way."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database:
        for source, stream in configuration.select(settings, selectors):
            was_there = await cursors.delete_cursor(database, source, stream, kind)
            done = "reset, the next run lists everything" if was_there else "there was none"
            console.say(f"{source}.{stream}: {kind} cursor: {done}")
    return 0

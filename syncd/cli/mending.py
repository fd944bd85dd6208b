"""The commands that mend: rejects, cursor, verify, forget."""

from pathlib import Path

import click

from syncd.cli import completion
from syncd.cli.options import (
    command,
    config_option,
    execute,
    group,
    json_option,
    needed_selectors_argument,
    selectors_argument,
)


@group(
    examples=[
        ("syncd rejects list shop", "which records of shop could not become rows, and why"),
        ("syncd rejects show 12", "one of them, as sent"),
        ("syncd rejects replay", "try again, after an upgrade of syncd"),
    ],
)
def rejects() -> None:
    """List, show or replay records that became no row."""


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
    from syncd.cli.commands import mend

    return execute(mend.list_rejects(config_path, selectors, as_json=as_json))


@rejects.command("show", examples=[("syncd rejects show 12", "12 is a number that `syncd rejects list` prints")])
@click.argument("reject_id", type=int, metavar="ID")
@config_option
@json_option
def rejects_show(reject_id: int, config_path: Path | None, as_json: bool) -> int:
    """Show one reject with its record as sent.

    The record may hold personal data.
    """
    from syncd.cli.commands import mend

    return execute(mend.show_reject(config_path, reject_id, as_json=as_json))


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
    from syncd.cli.commands import mend

    return execute(mend.replay_rejects(config_path, selectors, as_json=as_json))


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
    from syncd.cli.commands import mend

    return execute(mend.show_cursors(config_path, selectors, as_json=as_json))


@cursor.command(
    "set",
    examples=[("""syncd cursor set shop.customers '{"since": "2026-01-31T00:00:00Z"}'""", "")],
)
@click.argument("selector", shell_complete=completion.selectors)
@click.argument("value", metavar="JSON")
@kind_option
@config_option
def cursor_set(selector: str, value: str, kind: str, config_path: Path | None) -> int:
    """Set the cursor of one stream to a JSON object.

    Of the form that `syncd cursor show` prints for it. Refused while a run of the stream is under way.
    """
    from syncd.cli.commands import mend

    return execute(mend.set_cursor(config_path, selector, value, kind=kind))


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
    from syncd.cli.commands import mend

    return execute(mend.reset_cursors(config_path, selectors, kind=kind))


@command(
    examples=[
        ("syncd verify shop.customers", "compare the first 10 pages"),
        ("syncd verify shop.customers --pages 0 --repair", "all of them, and commit what differs"),
    ]
)
@selectors_argument
@click.option(
    "--pages",
    default=10,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Pages of each stream at most; 0: all.",
)
@click.option("--repair", is_flag=True, help="Commit what differs.")
@config_option
@json_option
def verify(selectors: tuple[str, ...], pages: int, repair: bool, config_path: Path | None, as_json: bool) -> int:
    """Compare the mirror with the upstream, field by field.

    Asks the upstream anew, in the backfill lane, and names every row and field that differs, child rows too. A row gone
    upstream is told of, and left to the next sweep. Exit code 1 if anything differs that was not repaired.
    """
    from syncd.cli.commands import verify as module

    return execute(module.run(config_path, selectors, pages=pages, repair=repair, as_json=as_json))


@command(
    examples=[
        ("syncd forget shop 1006 --dry-run", "what would be erased of a customer, by table"),
        ("syncd forget shop.customers 1006 1007 --yes", "two of them, in a script"),
        ("syncd forget shop 1006 --undo", "the key was mistyped: let them come back"),
        ("syncd forget shop.customers --excluded", "old values of fields that are excluded or hashed now"),
    ]
)
@click.argument("place", metavar="SOURCE[.STREAM]", shell_complete=completion.selectors)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--excluded", is_flag=True, help="Strip a stream of what `exclude` and `hash` name.")
@click.option("--undo", is_flag=True, help="Let persons come back with the next full pass.")
@click.option("--dry-run", is_flag=True, help="Only show how many rows of which tables it concerns.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def forget(
    place: str,
    keys: tuple[str, ...],
    excluded: bool,
    undo: bool,
    dry_run: bool,
    yes: bool,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Erase persons for good.

    KEY is what the upstream knows them by: a customer's number, a cyclist's id. Erases their rows with history and
    rejects, takes what is personal from orders that refer to them, and keeps a salted marker, so that no sync brings
    them back. All of it or nothing. What backups still hold: docs/privacy.md.
    """
    from syncd.cli.commands import forget as module

    return execute(
        module.run(config_path, place, keys, excluded=excluded, undo=undo, dry_run=dry_run, yes=yes, as_json=as_json)
    )

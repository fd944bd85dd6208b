"""`syncd runs`: lists the runs of streams, and shows one with all that is known of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from syncd.cli import console
from syncd.cli.newest import newest, newest_options
from syncd.cli.options import config_option, group, json_option, selectors_argument
from syncd.cli.session import execute, load_config, opened_database
from syncd.config.duration import spoken
from syncd.errors import UsageError
from syncd.status import StreamRun, find_run

LISTED = 50


@group(
    examples=[
        ("syncd runs list", "the newest runs of every stream"),
        ("syncd runs list shop --failed --since 24h", "what went wrong with one source today"),
        ("syncd runs show 4711", "one run: its counts, its error, what happened on the way"),
    ],
)
def runs() -> None:
    """List the runs of streams, or show one with all that is known of it."""


@runs.command(
    "list",
    examples=[
        ("syncd runs list shop.orders", "the newest runs of one stream"),
        ("syncd runs list --failed --since 24h", "runs that did not end well in the last 24 hours"),
        ("syncd runs list shop --json | jq '.[] | select(.requests > 100)'", "for a script"),
    ],
)
@selectors_argument
@newest_options(LISTED)
@config_option
@json_option
def runs_list(
    selectors: tuple[str, ...],
    failed: bool,
    since: float | None,
    limit: int,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """List runs from syncd.runs, the newest first.

    Finished runs are kept as long as [retention] runs says, 90 days by default.
    """
    return execute(list_runs(config_path, selectors, failed=failed, since_s=since, limit=limit, as_json=as_json))


@runs.command("show", examples=[("syncd runs show 4711", "4711 is a number that `syncd runs list` prints")])
@click.argument("run_id", type=int, metavar="ID")
@config_option
@json_option
def runs_show(run_id: int, config_path: Path | None, as_json: bool) -> int:
    """Show one run: counts, error and advice, its process, and what happened on the way."""
    return execute(show_run(config_path, run_id, as_json=as_json))


async def list_runs(
    path: Path | None, selectors: Sequence[str], *, failed: bool, since_s: float | None, limit: int, as_json: bool
) -> int:
    """List the newest runs of the selected streams."""
    found = await newest(path, selectors, failed=failed, since_s=since_s, limit=limit)
    if as_json:
        console.print_json([run_json(one) for one in found])
    elif found:
        columns = ["id", "started", "stream", "kind", "outcome", "took", "new", "changed", "gone", "requests", "error"]
        console.print_table("", columns, [_row(one) for one in found])
    else:
        console.say("no such run" if failed or since_s is not None else "no run yet")
    return 0


def _row(one: StreamRun) -> tuple[object, ...]:
    run = one.run
    return (
        str(run.run_id), run.started_at, one.name, run.kind, run.outcome, took(one), run.rows_inserted,
        run.rows_updated, run.rows_deleted, run.requests, run.error,
    )  # fmt: skip


def took(one: StreamRun) -> str:
    """Say how long a run took; nothing while it is under way."""
    return spoken((one.run.finished_at - one.run.started_at).total_seconds()) if one.run.finished_at else ""


def run_json(one: StreamRun) -> Mapping[str, object]:
    """Return a run as JSON shows it: one flat object."""
    flat = msgspec.structs.asdict(one)
    return flat | msgspec.structs.asdict(flat.pop("run"))


async def show_run(path: Path | None, run_id: int, *, as_json: bool) -> int:
    """Show one run, a line for each thing that is known."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    async with opened_database(settings) as database:
        found = await find_run(database, run_id)
    if found is None:
        raise UsageError(
            f"there is no run {run_id}", hint="syncd runs list shows their numbers; old ones are deleted: [retention]."
        )
    told = run_json(found)
    if as_json:
        console.print_json(told)
        return 0
    margin = max(map(len, told))
    for name, value in told.items():
        if value is not None:
            shown = value if not isinstance(value, list | dict) else msgspec.json.encode(value).decode()
            console.say(f"{name.replace('_', ' '):>{margin}}  {shown}")
    return 0

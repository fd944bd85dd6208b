"""`syncd logs`: prints what streams did, a line for each run, from the database."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.options import DurationType, command, config_option, selectors_argument
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config.duration import spoken
from syncd.status import BAD, StreamRun, newest_runs

PRINTED = 200


@command(
    examples=[
        ("syncd logs", "the newest runs of every stream"),
        ("syncd logs shop.orders --since 2h", "what one stream did in the last two hours"),
        ("syncd logs --failed", "only what did not end well"),
        ("journalctl -u syncd -p warning", "beside it: the log of the service itself"),
    ]
)
@selectors_argument
@click.option("--failed", is_flag=True, help="Only runs that failed, were throttled or were aborted.")
@click.option("--since", type=DurationType(), metavar="DURATION", help="Only runs begun so long ago at most, as 24h.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=PRINTED, show_default=True, help="At most so many, the newest."
)
@config_option
def logs(selectors: tuple[str, ...], failed: bool, since: float | None, limit: int, config_path: Path | None) -> int:
    """Print what streams did, a line for each run, the newest last.

    The lines come from syncd.runs, so that they tell of the runs of every process, whichever machine it ran on. For a
    script: syncd runs list --json.
    """
    return execute(print_logs(config_path, selectors, failed=failed, since_s=since, limit=limit))


async def print_logs(
    path: Path | None, selectors: Sequence[str], *, failed: bool, since_s: float | None, limit: int
) -> int:
    """Print the newest runs of the selected streams in the order in which they began."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    pairs = configuration.matching(settings, selectors)
    since = None if since_s is None else utc_now() - timedelta(seconds=since_s)
    async with opened_database(settings) as database:
        found = await newest_runs(database, pairs, limit=limit, since=since, outcomes=BAD if failed else None)
    for one in reversed(found):
        console.say(line(one))
    if not found:
        console.print_note("no such run")
    return 0


def line(one: StreamRun) -> str:
    """Write one run in one line."""
    run = one.run
    counts = [
        f"{count:,} {word}"
        for word, count in (
            ("new", run.rows_inserted), ("changed", run.rows_updated), ("gone", run.rows_deleted),
            ("rejected", run.rows_rejected),
        )
        if count
    ]  # fmt: skip
    parts = [f"{run.started_at:%Y-%m-%d %H:%M:%SZ} {one.name} {run.kind} {run.outcome}"]
    if run.finished_at:
        parts.append(f"in {spoken((run.finished_at - run.started_at).total_seconds())}")
    requests = "1 request" if run.requests == 1 else f"{run.requests:,} requests"
    parts.append(", ".join([f"{run.rows_seen:,} seen", *counts, requests]))
    words = " · ".join(parts)
    return f"{words}: {' '.join(run.error.split())}" if run.error else words

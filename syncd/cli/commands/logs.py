"""`syncd logs`: prints what streams did, a line for each run, from the database."""

from collections.abc import Sequence
from pathlib import Path

from syncd.cli import console
from syncd.cli.newest import newest, newest_options
from syncd.cli.options import command, config_option, selectors_argument
from syncd.cli.session import execute
from syncd.config.duration import spoken
from syncd.status import StreamRun

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
@newest_options(PRINTED)
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
    found = await newest(path, selectors, failed=failed, since_s=since_s, limit=limit)
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

"""Which runs a command shows: the options by which a user chooses among the newest ones, and the runs themselves."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from syncd import config as configuration
from syncd.cli.options import DurationType
from syncd.cli.session import load_config, opened_database
from syncd.clock import utc_now
from syncd.status import BAD, StreamRun, newest_runs

Function = TypeVar("Function", bound=Callable[..., Any])


def newest_options(limit: int) -> Callable[[Function], Function]:
    """Give a command the options `--failed`, `--since` (as seconds) and `--limit`."""
    options = (
        click.option("--failed", is_flag=True, help="Only runs that failed, were throttled or were aborted."),
        click.option(
            "--since", type=DurationType(), metavar="DURATION", help="Only runs begun so long ago at most, as 24h."
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), default=limit, show_default=True, help="At most so many, the newest."
        ),
    )

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


async def newest(
    path: Path | None, selectors: Sequence[str], *, failed: bool, since_s: float | None, limit: int
) -> list[StreamRun]:
    """Return the newest runs of the selected streams, the newest first."""
    settings = load_config(path, resolve_secrets=False)
    pairs = configuration.matching(settings, selectors)
    since = None if since_s is None else utc_now() - timedelta(seconds=since_s)
    async with opened_database(settings) as database:
        return await newest_runs(database, pairs, limit=limit, since=since, outcomes=BAD if failed else None)

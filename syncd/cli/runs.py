"""The commands that run streams, and show how they stand: sync, backfill, status."""

from pathlib import Path

import click

from syncd.cli.options import (
    command,
    config_option,
    execute,
    json_option,
    needed_selectors_argument,
    selectors_argument,
    verbose_option,
)


@command(
    examples=[
        ("syncd sync", "every stream"),
        ("syncd sync shop", "every stream of the source shop"),
        ("syncd sync shop.customers", "one stream"),
        ("syncd sync '*.orders' --full", "sweep the orders of every source"),
    ]
)
@selectors_argument
@click.option("--full", is_flag=True, help="Sweep: list everything, and bury what is gone.")
@click.option("--accept-deletions", is_flag=True, help="Bury even more rows than the breaker allows.")
@config_option
@json_option
@verbose_option
def sync(
    selectors: tuple[str, ...],
    full: bool,
    accept_deletions: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run each matching stream once, now, in parallel.

    Ctrl-C stops every run at its next page; the next run goes on from there. A stream that another process is running
    is not run twice: the result says who holds it.
    """
    from syncd.cli import runner

    return execute(
        runner.sync(
            config_path, selectors, full=full, accept_deletions=accept_deletions, as_json=as_json, verbose=verbose
        )
    )


@command(
    examples=[
        ("syncd backfill shop.customers --since 2026-01-01 --dry-run", "what would it cost?"),
        ("syncd backfill shop.customers --since 2026-01-01", "do it; again after Ctrl-C: goes on"),
        ("syncd backfill cars --since 2026-01-01 --until 2026-02-01T08:00", "one month"),
    ]
)
@needed_selectors_argument
@click.option("--since", required=True, metavar="T", help="Begin of the range: 2026-01-31 or 2026-01-31T08:00.")
@click.option("--until", metavar="T", help="End of the range, where the API knows one [default: now].")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost; asks the upstream for one page to know.")
@click.option("--again", is_flag=True, help="Walk a range from its beginning that was walked before.")
@config_option
@json_option
@verbose_option
def backfill(
    selectors: tuple[str, ...],
    since: str,
    until: str | None,
    dry_run: bool,
    again: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Fetch a range of the past, beside whatever else runs.

    It spends only the backfill lane's share of the budget, has a cursor of its own, never moves the live one and never
    overwrites what is newer. Times without a zone are read in the zone of the source. Ctrl-C stops at a page; the same
    command goes on there. A range that is complete is not walked again, unless asked for with --again.
    """
    from syncd.cli.commands import backfill as module

    return execute(
        module.run(
            config_path, selectors, since=since, until=until, dry_run=dry_run, again=again, as_json=as_json,
            verbose=verbose,
        )
    )  # fmt: skip


@command(
    examples=[
        ("syncd status", "what is fresh, late or failing, and what the budgets hold"),
        ("syncd status --json | jq '.streams[] | select(.state != \"fresh\")'", "for a script"),
    ]
)
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> int:
    """Show how every stream and every budget stands.

    Streams with state, cursor, rows, last run, freshness and next run; rejects and drift; requests left. --json prints
    the same document as /api/status.
    """
    from syncd.cli import session

    return execute(session.status(config_path, as_json=as_json))

"""`syncd sync`: runs the matching streams once, in parallel."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.options import DurationType, command, config_option, json_option, selectors_argument, verbose_option
from syncd.errors import UsageError

if TYPE_CHECKING:  # what runs is imported where it is used, so that completion and --help are quick
    from syncd.engine.order import Order
    from syncd.engine.syncer import Syncer

WAIT_S = 3600.0
"""How long --wait-fresh waits unless it is told; our choice."""


@command(
    examples=[
        ("syncd sync", "every stream"),
        ("syncd sync shop", "every stream of the source shop"),
        ("syncd sync shop.customers", "one stream"),
        ("syncd sync '*.orders' --full", "sweep the orders of every source"),
        ("syncd sync shop --wait-fresh", "before a report: until every stream is younger than its interval"),
    ]
)
@selectors_argument
@click.option("--full", is_flag=True, help="Sweep: list everything, or ask for every key again; bury what is gone.")
@click.option("--wait-fresh", is_flag=True, help="Run only what is older than its `every`; end once nothing is.")
@click.option(
    "--timeout",
    type=DurationType(),
    metavar="DURATION",
    help="With --wait-fresh: give up after this.  [default: 1h]",
)
@click.option("--accept-deletions", is_flag=True, help="Bury even more rows than the breaker allows.")
@config_option
@json_option
@verbose_option
def sync(
    selectors: tuple[str, ...],
    full: bool,
    wait_fresh: bool,
    timeout: float | None,
    accept_deletions: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run each matching stream once, now, in parallel.

    Ctrl-C stops every run at its next page; the next run goes on from there. A stream that another process is running
    is not run twice: the result says who holds it. A stream for which the account has no scope is paused: the result
    says so, and the exit code stays 0.

    With --wait-fresh, streams that are young enough are left alone, and one that another process runs is waited for. A
    stream that fails is tried again as the daemon would. The exit code is 1 if a stream is still too old at the end: it
    is paused, or the time is over. So it is, with and without --wait-fresh, if a source that is asked for is left out
    because its type cannot be used.
    """
    from syncd.cli.session import execute

    if timeout is not None and not wait_fresh:
        raise UsageError("--timeout says how long --wait-fresh waits", hint="Add --wait-fresh.")
    if wait_fresh and (full or accept_deletions):
        raise UsageError("--wait-fresh makes live runs; --full and --accept-deletions are about sweeps")
    if wait_fresh:
        timeout_s = WAIT_S if timeout is None else timeout
        return execute(wait_until_fresh(config_path, selectors, timeout_s=timeout_s, as_json=as_json, verbose=verbose))

    return execute(
        run_streams(
            config_path, selectors, full=full, accept_deletions=accept_deletions, as_json=as_json, verbose=verbose
        )
    )


async def wait_until_fresh(
    path: Path | None, selectors: Sequence[str], *, timeout_s: float, as_json: bool, verbose: bool
) -> int:
    """Run what is too old until nothing is; 1 if something stays too old."""
    from syncd import config as configuration
    from syncd.cli import console
    from syncd.cli.runner import opened, report
    from syncd.cli.session import stopped_by_signals
    from syncd.cli.waiting import make_fresh

    async with opened(path, selectors, verbose=verbose) as syncer:
        pairs = configuration.select(syncer.config, selectors)
        if not pairs:
            raise UsageError("no stream is on", hint="syncd check says which keys are missing.")
        with stopped_by_signals() as stop:
            waited = await make_fresh(syncer, pairs, timeout_s=timeout_s, stop=stop, quiet=as_json or verbose)
    if waited.results or as_json:
        report(waited.results, as_json=as_json)
    if not waited.is_fresh:
        names = ", ".join(f"{source}.{stream}" for source, stream in waited.stale)
        console.print_note(f"still older than their interval: {names}; {waited.gave_up}")
        return 1
    if not as_json:
        all_of = "1 stream is younger than its" if len(pairs) == 1 else f"{len(pairs)} streams are younger than their"
        console.say(f"{all_of} interval")
    return 1 if configuration.left_out_by(syncer.config, selectors) else 0  # told before the runs began


async def run_streams(
    path: Path | None,
    selectors: Sequence[str],
    *,
    full: bool,
    accept_deletions: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run every matching stream once; 1 if any run was not ok. A stream without its scope is told, and costs no 1."""
    from syncd import config as configuration
    from syncd.cli.runner import Job, opened, report, run_jobs
    from syncd.cli.session import stopped_by_signals

    async with opened(path, selectors, verbose=verbose) as syncer:
        pairs = configuration.select(syncer.config, selectors)
        if not pairs:
            raise UsageError("no stream is on", hint="syncd check says which keys are missing.")
        with stopped_by_signals() as stop:
            jobs = [
                Job(source=source, stream=stream, order=_order(syncer, source, stream, full, accept_deletions, stop))
                for source, stream in pairs
            ]
            results = await run_jobs(syncer, jobs, quiet=as_json or verbose)
    report(results, as_json=as_json)
    if configuration.left_out_by(syncer.config, selectors):  # told before the runs began
        return 1
    return 0 if all(result.outcome == "ok" or result.is_paused for result in results) else 1


def _order(
    syncer: "Syncer", source: str, stream: str, full: bool, accept_deletions: bool, stop: asyncio.Event
) -> "Order":
    from syncd.engine.order import Order

    sweeps = full and syncer.source(source)[0].stream(stream).can_sweep
    return Order(kind="sweep" if sweeps else "live", accept_deletions=accept_deletions, whole=full, stop=stop)

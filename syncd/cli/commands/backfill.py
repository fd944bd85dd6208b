"""`syncd backfill`: a range of the past in the backfill lane, after what it will cost was told; or only that."""

import asyncio
import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.asked import Wish, ask_service
from syncd.cli.estimate import Estimate, estimate, share
from syncd.cli.instant import FORMS, parse_instant
from syncd.cli.options import command, config_option, json_option, needed_selectors_argument, verbose_option
from syncd.cli.runner import Job, opened, report, run_jobs
from syncd.cli.session import execute, stopped_by_signals, unless_stopped
from syncd.config.duration import spoken
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import SyncdError, UsageError
from syncd.storage.state import backfills, cursors


@command(
    examples=[
        ("syncd backfill shop.customers --since 2026-01-01 --dry-run", "what would it cost?"),
        ("syncd backfill shop.customers --since 2026-01-01", "do it; again after Ctrl-C: goes on"),
        ("syncd backfill cars --since 2026-01-01 --until 2026-02-01T08:00", "one month"),
        ("syncd backfill '*.orders' --since 2025-01-01 --in-service", "the daemon or the workers do it"),
    ]
)
@needed_selectors_argument
@click.option("--since", required=True, metavar="T", help=f"Begin of the range: {FORMS}.")
@click.option("--until", metavar="T", help="End of the range, where the API knows one [default: now].")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost; asks the upstream for one page to know.")
@click.option("--again", is_flag=True, help="Walk a range from its beginning that was walked before.")
@click.option(
    "--in-service",
    is_flag=True,
    help="Let the daemon walk it, or the workers, each its own accounts; show how far all of them are.",
)
@click.option("--withdraw", is_flag=True, help="With --in-service: end it at the next page, and ask for it no longer.")
@config_option
@json_option
@verbose_option
def backfill(
    selectors: tuple[str, ...],
    since: str,
    until: str | None,
    dry_run: bool,
    again: bool,
    in_service: bool,
    withdraw: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Fetch a range of the past, beside whatever else runs.

    It spends only the backfill lane's share of the budget, has a cursor of its own, never moves the live one and never
    overwrites what is newer. Times without a zone are read in the zone of the source. Ctrl-C stops at a page; the same
    command goes on there. A range that is complete is not walked again, unless asked for with --again.

    With --in-service the command walks nothing. The daemon does, or the workers do: each walks the accounts that it
    has, and whoever takes an account over goes on with it. Ctrl-C ends the display only.
    """
    if withdraw and not in_service:
        raise UsageError("--withdraw ends what --in-service asked for", hint="Give both, with the same range.")
    wish: Wish = "withdraw" if withdraw else "walk again" if again else "walk"
    return execute(
        run_backfills(
            config_path, selectors, since=since, until=until, dry_run=dry_run, wish=wish, in_service=in_service,
            as_json=as_json, verbose=verbose,
        )
    )  # fmt: skip


async def run_backfills(
    path: Path | None,
    selectors: Sequence[str],
    *,
    since: str,
    until: str | None,
    dry_run: bool,
    wish: Wish,
    in_service: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run, or only estimate, the backfill of every matching stream; 1 if any run was not ok."""
    async with opened(path, selectors, verbose=verbose) as syncer:
        with stopped_by_signals() as stop:
            jobs = [
                Job(source=source, stream=stream, order=_order(syncer, source, since, until, stop))
                for source, stream in _pairs(syncer, selectors)
            ]
            if dry_run:
                return await _estimate_all(syncer, jobs, stop, as_json=as_json)
            if in_service:
                return await ask_service(syncer, jobs, wish, stop, as_json=as_json)
            todo, done = [], {}
            for job in jobs:
                if wish == "walk again":
                    await cursors.delete_cursor(syncer.database, job.source, job.stream, job.order.cursor_kind)
                stands = await _stands(syncer, job)
                if isinstance(stands, Result):
                    done[job.name] = stands
                else:
                    todo.append(await _foretold(syncer, job, stop) if stands == "new" else job)
            try:
                results = await run_jobs(syncer, todo, quiet=as_json or verbose)
            except asyncio.CancelledError:
                _say_how_to_go_on()
                raise
    by_name = done | {result.name: result for result in results}
    ended = [by_name[job.name] for job in jobs]
    report(ended, as_json=as_json)
    if any(result.outcome in ("aborted", "throttled") for result in results):
        _say_how_to_go_on()
    return 0 if all(result.outcome == "ok" for result in ended) else 1


def _say_how_to_go_on() -> None:
    """Print the command that goes on with this one, wherever it is typed."""
    words = [word for word in sys.argv[1:] if word != "--again"]
    is_named = any(word == "--config" or word.startswith("--config=") for word in words)
    found = os.environ.get("SYNCD_CONFIG")
    if found and not is_named:
        words += ["--config", str(Path(found).absolute())]
    console.print_note(f"to go on: {console.program()} {shlex.join(words)}")


def _pairs(syncer: Syncer, selectors: Sequence[str]) -> list[tuple[str, str]]:
    """Return the streams that can be walked over a range; naming one that cannot is an error."""
    pairs = configuration.select(syncer.config, selectors)
    able = [(source, stream) for source, stream in pairs if syncer.source(source)[0].stream(stream).backfills]
    named = [f"{source}.{stream}" for source, stream in pairs if (source, stream) not in able]
    exact = [name for name in named if name in selectors]
    if exact or not able:
        known = [
            f"{name}.{stream.name}"
            for name in syncer.config.sources
            for stream in syncer.source(name)[0].streams
            if stream.backfills
        ]
        raise UsageError(
            f"{', '.join(exact or named)}: this API knows no range for it, every run lists all there is",
            hint=f"Streams with a range: {', '.join(known)}. For the others: syncd sync --full",
        )
    return able


def _order(syncer: Syncer, source: str, since: str, until: str | None, stop: asyncio.Event) -> Order:
    zone = ZoneInfo(str(syncer.config.sources[source].options.get("zone", "UTC")))
    begin = parse_instant(since, zone, "--since")
    end = parse_instant(until, zone, "--until") if until else None
    if begin >= (end or syncer.clock()):
        raise UsageError("the range is empty: --since is not before --until", hint="Until defaults to now.")
    return Order(kind="backfill", since=begin, until=end, stop=stop)


async def _stands(syncer: Syncer, job: Job) -> str | Result:
    """Say how far the range was walked before: "new", "begun", or how it ended."""
    async with syncer.database.connection() as conn:
        stands = await backfills.stands(conn, job.source, job.stream, job.order.cursor_kind)
    match stands.walked:
        case "never":
            return "new"
        case "begun":
            console.print_note(f"{job.name}: goes on where it stopped")
            return "begun"
    console.print_note(f"{job.name}: complete since {stands.at:%Y-%m-%d %H:%M:%S} UTC; --again walks it once more")
    return Result(job.source, job.stream, "backfill", outcome="ok")


async def _foretold(syncer: Syncer, job: Job, stop: asyncio.Event) -> Job:
    """Tell what a backfill will cost, and return its job with the rows to expect; the run itself tells of faults."""
    try:
        cost = None if stop.is_set() else await unless_stopped(stop, estimate(syncer, job))
    except SyncdError:
        return job
    if cost is None:
        return job
    if cost.requests is None:
        known = f"about {cost.rows:,} rows ({cost.rows_known}), in how many requests is not known" if cost.rows else ""
        console.print_note(f"{job.name}: {known or cost.rows_known}")
    else:
        rows = "an unknown number of rows" if cost.rows is None else f"about {cost.rows:,} rows"
        console.print_note(
            f"{job.name}: {rows} ({cost.rows_known}) in {cost.requests:,} requests,"
            f" {spoken(cost.takes_s)}, {console.quota(cost.quota_days or 0.0)}"
        )
    return dataclasses.replace(job, rows=cost.rows)


async def _estimate_all(syncer: Syncer, jobs: Sequence[Job], stop: asyncio.Event, *, as_json: bool) -> int:
    """Print what each backfill would cost; 1 if an upstream did not answer, or all was stopped before."""
    estimates, failed = [], False
    for job in jobs:
        try:
            cost = await unless_stopped(stop, estimate(syncer, job))
            if cost is None:
                failed = True
                break
            estimates.append(cost)
        except SyncdError as error:
            failed = True
            console.print_error(error.at(job.name))
    for source in dict.fromkeys(job.source for job in jobs):
        estimates += await _together(syncer, source, [cost for cost in estimates if cost.source == source])
    if as_json:
        console.print_json(estimates)
    elif estimates:
        console.print_table(
            "Dry run: nothing was written",
            ["stream", "requests", "rows", "a page", "takes", "of today", "of a day", "rows known by"],
            [
                (f"{e.source}.{e.stream}", e.requests, e.rows, e.page_rows, spoken(e.takes_s) or "unknown", _today(e),
                 _quota(e), e.rows_known)
                for e in estimates
            ],
        )  # fmt: skip
        console.print_note("of today: of what the backfill lane may still send; of a day: of what it may send in one")
    return int(failed)


async def _together(syncer: Syncer, source: str, costs: Sequence[Estimate]) -> list[Estimate]:
    """Return what several backfills of a source cost together, as stream `*`: they share its lane."""
    if len(costs) < 2 or any(cost.requests is None for cost in costs):
        return []
    requests = sum(cost.requests or 0 for cost in costs)
    forecast = await syncer.account(source).purse.forecast(requests, "backfill")
    return [
        Estimate(
            source=source, stream="*", page_rows=max(cost.page_rows for cost in costs), rows_known="all of these",
            rows=sum(cost.rows or 0 for cost in costs), requests=requests,
            takes_s=max(forecast.takes_s, *(cost.takes_s or 0.0 for cost in costs)),
            quota_days=forecast.quota_days, today_share=share(requests, forecast),
        )
    ]  # fmt: skip


def _today(cost: Estimate) -> str:
    return "unknown" if cost.today_share is None else f"{cost.today_share:.1%}".replace("%", " %")


def _quota(cost: Estimate) -> str:
    if not cost.quota_days:
        return "unknown" if cost.quota_days is None else "no limit known"
    return console.quota(cost.quota_days).partition(" of ")[0]

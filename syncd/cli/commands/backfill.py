"""`syncd backfill`: a range of the past in the backfill lane, after what it will cost was told; or only that."""

import asyncio
import bisect
import dataclasses
import math
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import click

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.asked import Wish, ask_service
from syncd.cli.instant import FORMS, parse_instant
from syncd.cli.options import command, config_option, json_option, needed_selectors_argument, verbose_option
from syncd.cli.runner import Job, opened, report, run_jobs
from syncd.cli.session import execute, stopped_by_signals, unless_stopped
from syncd.config.duration import spoken
from syncd.contract import Answer, Page, Upstream, Windows
from syncd.contract.early import Early
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import SyncdError, UsageError
from syncd.storage.state import backfills, cursors
from syncd.upstream.budget import Forecast
from syncd.upstream.request import RunUpstream


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


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a backfill would cost; None: not known. `rows_known` says where the number of rows comes from.

    `today_share` is of what the backfill lane may still send today, `quota_days` of what it may send in a day.
    """

    source: str
    stream: str
    page_rows: int
    rows_known: str
    rows: int | None = None
    requests: int | None = None
    takes_s: float | None = None
    today_share: float | None = None
    quota_days: float | None = None


_UNKNOWN = "how many rows it holds is not known: this API does not say, and the mirror holds no more than a page yet"


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


# --- What it will cost ------------------------------------------------------------------------------------------------


class _EnoughError(Exception):
    """A walk asked for more than the one page that an estimate needs."""


@dataclass
class _OnePage:
    """An upstream that gives one page: no request is sent once `closed`."""

    upstream: Upstream
    closed: bool = False

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        if self.closed:
            raise _EnoughError
        return await self.upstream.request(method, path, params=params, query=query, json=json)


async def estimate(syncer: Syncer, job: Job) -> Estimate:
    """Estimate a backfill from its first page (one request or two, nothing is written) and from what is mirrored.

    Where the upstream does not say how many rows the range holds, as many as the mirror holds are assumed: no more than
    that can come where the mirror is complete. Of a range of windows it is known how many there are.
    """
    await syncer.require_same_account(job.source)
    account = syncer.account(job.source)
    upstream = RunUpstream(account, job.stream, "backfill")
    stream = syncer.source(job.source)[0].stream(job.stream)
    walk = await syncer.walk(job.source, job.stream, job.order, upstream, None)
    walk = dataclasses.replace(walk, early=Early())  # nothing is asked for before its turn
    spans = stream.windows.of(walk) if stream.windows else []
    held = await _held(syncer, job, stream.windows, spans) if stream.windows else []
    if spans:  # of windows the fullest is asked for: one that holds little says nothing of the others
        begin, end = spans[max(range(len(spans)), key=lambda at: (held[at], at))]
        walk = dataclasses.replace(walk, since=begin, until=end)
    one_page = _OnePage(walk.upstream)
    pages = stream.walk(dataclasses.replace(walk, upstream=one_page))
    began_at = time.monotonic()
    try:
        page = await anext(pages)
        while spans and not page.records and (more := await anext(pages, None)):
            page = more  # rows may be held back until all that belongs to them has come
        one_page.closed = True
        answer_s = (time.monotonic() - began_at) / max(1, upstream.requests)
        found, is_all = await _rest(page, pages)
    finally:
        await pages.aclose()  # type: ignore[attr-defined]
        await account.purse.flush()
    size = len(page.records)
    cost = Estimate(source=job.source, stream=job.stream, page_rows=size, rows_known=_UNKNOWN)
    rows: int | None
    if spans:
        # a window may come as one page of several requests
        whole = found / upstream.requests + 1 if upstream.requests > 1 else 0
        rows, how, requests = _in_windows(held, whole if is_all else size)
    else:
        rows, how = (found, "the first page holds all") if is_all else (page.total, "the upstream says so")
        if rows is None:
            rows, how = await _mirrored(syncer, job), "as many as the mirror holds"
            if rows <= size:
                return cost
        each = size - 1 if size > 1 else await _rows_a_request(syncer, job)  # pages overlap by one row
        if not is_all and not each:
            return dataclasses.replace(cost, rows=rows, rows_known=how)
        requests = upstream.requests if is_all else max(upstream.requests, math.ceil(rows / each))
    forecast = await account.purse.forecast(requests, "backfill")
    return dataclasses.replace(
        cost, requests=requests, rows=rows, rows_known=how, takes_s=max(forecast.takes_s, requests * answer_s),
        quota_days=forecast.quota_days, today_share=_share(requests, forecast),
    )  # fmt: skip


def _in_windows(held: Sequence[int], page_rows: float) -> tuple[int | None, str, int]:
    """Return the rows of a range of windows, how they are known, and the requests.

    `held` are the mirrored rows of each window. `page_rows` is what one request gives, a row of it twice; 0 if the
    fullest window takes one request.
    """
    requests = sum(max(1, math.ceil(rows / max(1, page_rows - 1))) if page_rows else 1 for rows in held)
    counted = f"its {len(held):,} windows of time are counted"
    if not any(held):
        return None, f"{counted}; how many rows they hold is not known, for the mirror holds none of them yet", requests
    return sum(held), f"{counted}, with as many rows as the mirror holds", requests


async def _held(syncer: Syncer, job: Job, windows: Windows, spans: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """Return how many rows of each window the mirror holds; rows without a time are spread over all windows."""
    target, held = syncer.target(job.source, job.stream), [0] * len(spans)
    begins, ends_at = [begin for begin, _ in spans], spans[-1][1]
    changed = f"coalesce({', '.join(windows.columns)})"
    async with syncer.database.connection() as conn:
        days = await conn.fetch(
            f"SELECT date_trunc('day', {changed}) AS day, count(*) FROM {target.name} WHERE source = $1 GROUP BY day",
            job.source,
        )
    for day, count in days:
        if day is None:
            held = [rows + count // len(spans) for rows in held]
        elif begins[0] <= day <= ends_at:
            held[bisect.bisect_right(begins, day) - 1] += count
    return held


def _share(requests: int, forecast: Forecast) -> float | None:
    """Return the share of today's requests; None where no day limit is known, or where today's are spent."""
    return requests / forecast.left_today if forecast.left_today else None


async def _rest(page: Page, pages: AsyncIterator[Page]) -> tuple[int, bool]:
    """Return the rows that a walk gives without another request, and whether these are all."""
    rows = len(page.records)
    try:
        async for more in pages:
            rows += len(more.records)
    except _EnoughError:
        return rows, False
    return rows, True


async def _rows_a_request(syncer: Syncer, job: Job) -> float:
    """Return how many rows a request has brought so far; 0 if none did yet.

    For streams that are walked in windows of time, of which the first may hold next to nothing.
    """
    async with syncer.database.connection() as conn:
        rate = await conn.fetchval(
            "SELECT sum(rows_seen)::float / nullif(sum(requests), 0) FROM syncd.runs"
            " WHERE source = $1 AND stream = $2 AND outcome = 'ok' AND rows_seen > 0",
            job.source, job.stream,
        )  # fmt: skip
    return cast("float", rate or 0.0)


async def _mirrored(syncer: Syncer, job: Job) -> int:
    target = syncer.target(job.source, job.stream)
    async with syncer.database.connection() as conn:
        count = await conn.fetchval(
            f"SELECT count(*) FROM {target.name} WHERE source = $1 AND _deleted_at IS NULL", job.source
        )
    return cast("int", count)


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
            quota_days=forecast.quota_days, today_share=_share(requests, forecast),
        )
    ]  # fmt: skip


def _today(cost: Estimate) -> str:
    return "unknown" if cost.today_share is None else f"{cost.today_share:.1%}".replace("%", " %")


def _quota(cost: Estimate) -> str:
    if not cost.quota_days:
        return "unknown" if cost.quota_days is None else "no limit known"
    return console.quota(cost.quota_days).partition(" of ")[0]

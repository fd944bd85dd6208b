"""`syncd backfill`: a range of the past in the backfill lane, or first what it would cost."""

import asyncio
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from syncd import config as configuration
from syncd import console
from syncd.commands import Job, opened, report, run_jobs, stopped_by_signals
from syncd.errors import UsageError
from syncd.sync import Order, Syncer


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a backfill would cost at most. `rows_known` says where the number of rows comes from."""

    source: str
    stream: str
    requests: int
    rows: int
    rows_known: str
    page_rows: int
    takes_s: float
    quota_days: float


async def run(
    path: Path | None,
    selectors: Sequence[str],
    *,
    since: str,
    until: str | None,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run, or only estimate, the backfill of every matching stream; 1 if any run was not ok."""
    async with opened(path, verbose=verbose) as syncer:
        stop = asyncio.Event()
        jobs = [
            Job(source=source, stream=stream, order=_order(syncer, source, since, until, stop))
            for source, stream in _pairs(syncer, selectors)
        ]
        if dry_run:
            return _print_estimates([await estimate(syncer, job) for job in jobs], as_json=as_json)
        with stopped_by_signals(stop):
            results = await run_jobs(syncer, jobs, quiet=as_json or verbose)
    code = report(results, as_json=as_json)
    if stop.is_set():
        console.err.print(f"To go on: {shlex.join(['syncd', *sys.argv[1:]])}", markup=False, soft_wrap=True)
    return code


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
    begin = _instant(since, zone, "--since")
    end = _instant(until, zone, "--until") if until else None
    if begin >= (end or syncer.clock()):
        raise UsageError("the range is empty: --since is not before --until", hint="Until defaults to now.")
    return Order(kind="backfill", since=begin, until=end, stop=stop)


def _instant(text: str, zone: ZoneInfo, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: no date or time", hint="2026-01-31 or 2026-01-31T08:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


async def estimate(syncer: Syncer, job: Job) -> Estimate:
    """Estimate a backfill from its first page (one request or two, nothing is written) and from what is mirrored.

    An upper bound where the upstream does not say how many rows the range holds: then all mirrored rows count.
    """
    upstream = syncer.account(job.source).upstream(job.stream, "backfill")
    stream = syncer.source(job.source)[0].stream(job.stream)
    walk = await syncer.walk(job.source, job.stream, job.order, upstream, None)
    pages = stream.walk(walk)
    page = await anext(pages)
    await pages.aclose()  # type: ignore[attr-defined]
    await syncer.account(job.source).purse.flush()
    found, size = len(page.records), max(1, len(page.records))
    target = syncer.target(job.source, job.stream)
    async with syncer.database.connection() as conn:
        mirrored = await conn.fetchval(
            f"SELECT count(*) FROM {target.name} WHERE source = $1 AND _deleted_at IS NULL", job.source
        )
    if page.total is not None:
        rows, known = page.total, "the upstream says so"
    elif page.cursor is None or "pass" not in page.cursor:
        rows, known = found, "the first page holds all"
    else:
        rows, known = max(mirrored, found), "at most: as many as are mirrored"
    requests = max(upstream.requests, math.ceil(rows / max(1, size - 1)))
    forecast = await syncer.account(job.source).purse.forecast(requests, "backfill")
    return Estimate(
        source=job.source, stream=job.stream, requests=requests, rows=rows, rows_known=known, page_rows=size,
        takes_s=forecast.takes_s, quota_days=forecast.quota_days,
    )  # fmt: skip


def _print_estimates(estimates: Sequence[Estimate], *, as_json: bool) -> int:
    if as_json:
        console.print_json(list(estimates))
        return 0
    console.print_table(
        "Dry run: nothing was written",
        ["stream", "requests", "rows", "rows known by", "rows a page", "takes", "share of a day's quota"],
        [
            (f"{e.source}.{e.stream}", e.requests, e.rows, e.rows_known, e.page_rows, console.spoken(e.takes_s),
             f"{e.quota_days * 100:.1f} %" if e.quota_days < 1 else f"{e.quota_days:.1f} days")
            for e in estimates
        ],
    )  # fmt: skip
    return 0

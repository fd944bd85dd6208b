"""What a backfill will cost, from one page of the upstream and from what the mirror holds. Writes nothing."""

import bisect
import dataclasses
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from syncd.cli.runner import Job
from syncd.contract import Answer, Page, Upstream, Windows
from syncd.contract.early import Early
from syncd.engine.syncer import Syncer
from syncd.upstream.budget import Forecast
from syncd.upstream.request import RunUpstream


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
    began_at = time.monotonic()
    try:
        async with stream.pages(dataclasses.replace(walk, upstream=one_page)) as pages:
            page = await anext(pages)
            while spans and not page.records and (more := await anext(pages, None)):
                page = more  # rows may be held back until all that belongs to them has come
            one_page.closed = True
            answer_s = (time.monotonic() - began_at) / max(1, upstream.requests)
            found, is_all = await _rest(page, pages)
    finally:
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
        quota_days=forecast.quota_days, today_share=share(requests, forecast),
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


def share(requests: int, forecast: Forecast) -> float | None:
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

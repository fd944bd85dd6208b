"""Runs that a command asks for: opens what they need, runs them in parallel, shows and reports how they end."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from syncd import config as configuration
from syncd import log
from syncd.cli import console
from syncd.cli.progress import RunsShown, runs_shown
from syncd.cli.session import load_config, opened_database
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, LockHeld, SyncdError
from syncd.frozen import dataclass
from syncd.sources import registry
from syncd.storage.postgres import database
from syncd.upstream.wire import http_session

PARALLEL_RUNS = 8
"""Runs of one source at once in one command; each needs a connection only while it commits a page."""
TICK_S = 1.0
"""How often the display learns whether a source waits for its budget."""
FORESEE_TICKS = 3
CONFIRM_TICKS = 10
"""Every so many ticks it learns what the rest of a backfill will take."""


@contextlib.asynccontextmanager
async def opened(path: Path | None, selectors: Sequence[str], *, verbose: bool = False) -> AsyncIterator[Syncer]:
    """Open everything that a run needs: configuration, database, connections to the upstreams.

    Raises UsageError for selectors that match nothing, before anything is opened.
    """
    settings = load_config(path)
    configuration.select(settings, selectors)
    log.configure(settings.log.format, "info" if verbose else "error")
    for name, why in settings.left_out.items():
        console.print_note(f"source {name} is left out: {why}")
    async with opened_database(settings) as open_database, http_session() as http:
        yield Syncer(settings, registry(), open_database, http)


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One run that a command is to make; `rows` is how many it may meet, if that is known before."""

    source: str
    stream: str
    order: Order
    rows: int | None = None

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"


async def run_jobs(syncer: Syncer, jobs: Sequence[Job], *, quiet: bool) -> list[Result]:
    """Run the jobs in parallel with progress, and return how each ended, in their order.

    A run that asks for what other streams of its source gave waits for these. A stream that is locked elsewhere counts
    as failed. Raises DatabaseError if the database takes no writes, or is lost; runs under way are then over as well.
    """
    await database.require_writable(syncer.database)
    slots = {job.source: asyncio.Semaphore(PARALLEL_RUNS) for job in jobs}
    ended = {job.name: asyncio.Event() for job in jobs}
    with runs_shown(quiet=quiet) as shown:

        async def work(job: Job) -> Result | SyncdError:
            try:
                for name in _before(syncer, job, jobs):
                    await ended[name].wait()
                async with slots[job.source]:
                    if job.order.stop.is_set():
                        return _not_begun(job)
                    shown.begin(job.name, rows=job.rows)
                    result = await _result(syncer, job)
                    shown.end(result)
                    return result
            except SyncdError as error:  # as a value, so that it reaches the user as itself and not inside a group
                return error
            finally:
                ended[job.name].set()

        for job in jobs:
            job.order.progress = shown.advance
        async with ticking(syncer, [job.source for job in jobs], shown, jobs=jobs), asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(job)) for job in jobs]
    outcomes = [task.result() for task in tasks]
    for outcome in outcomes:
        if isinstance(outcome, SyncdError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Result)]


async def _result(syncer: Syncer, job: Job) -> Result:
    try:
        return await syncer.run(job.source, job.stream, job.order)
    except LockHeld as error:
        return Result(job.source, job.stream, job.order.kind, outcome="failed", error=error)


def _not_begun(job: Job) -> Result:
    error = SyncdError(f"{job.name}: stopped before it began")
    return Result(job.source, job.stream, job.order.kind, outcome="aborted", error=error)


def _before(syncer: Syncer, job: Job, jobs: Sequence[Job]) -> list[str]:
    """Return which of the jobs must end first: those whose rows this one reads. Never two that wait for each other."""
    return [
        other.name
        for other in jobs
        if other.source == job.source
        and _rank(syncer, other) < _rank(syncer, job)
        and (_rank(syncer, job) == _ASKS_MIRROR or other.stream in _declared(syncer, job))
    ]


_ASKS_MIRROR = 2


def _rank(syncer: Syncer, job: Job) -> int:
    """Return 0 for a run that asks only its upstream, 1 for one that reads streams by name, 2 for queries."""
    if syncer.source(job.source)[1].streams[job.stream].queries:
        return _ASKS_MIRROR
    return 1 if _declared(syncer, job) else 0


def _declared(syncer: Syncer, job: Job) -> tuple[str, ...]:
    return syncer.source(job.source)[0].stream(job.stream).reads


@contextlib.asynccontextmanager
async def ticking(
    syncer: Syncer, sources: Sequence[str], shown: RunsShown, *, jobs: Sequence[Job] = ()
) -> AsyncIterator[None]:
    """Tell the display every second which sources wait for their budget, and now and then what backfills still take."""

    async def tick() -> None:
        is_told = False
        for count in itertools.count(1):
            await asyncio.sleep(TICK_S)
            if count % CONFIRM_TICKS == 0 and not is_told:
                is_told = await _tell_unconfirmed(syncer)
            if count % FORESEE_TICKS == 0:
                await _foresee(syncer, jobs, shown)
            now = syncer.clock().timestamp()
            opens = {source: syncer.account(source).purse.opens_at for source in dict.fromkeys(sources)}
            shown.tick({source: at - now for source, at in opens.items() if at is not None})

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _tell_unconfirmed(syncer: Syncer) -> bool:
    """Tell that the runs wait for a standby which does not confirm what they commit, if they do."""
    try:
        await syncer.database.require_confirmed()
    except DatabaseError as error:
        console.print_note(error.whole)
        return True
    return False


async def _foresee(syncer: Syncer, jobs: Sequence[Job], shown: RunsShown) -> None:
    """Tell the display what the rest of each backfill takes, given that those of one source share their lane."""
    left = {job: shown.requests_left(job.name) for job in jobs if job.order.lane == "backfill"}
    for source in {job.source for job in left}:
        asked = {job: count for job, count in left.items() if count and job.source == source}
        with contextlib.suppress(DatabaseError):  # the runs will tell
            purse = syncer.account(source).purse
            together = await purse.forecast(sum(asked.values()), "backfill")
            for job, count in asked.items():
                alone = await purse.forecast(count, "backfill")
                shown.foresee(job.name, takes_s=together.takes_s, quota_days=alone.quota_days)


def report(results: Sequence[Result], *, as_json: bool) -> None:
    """Print how runs ended."""
    if as_json:
        console.print_json([result_json(result) for result in results])
    else:
        _print_results(results)


def _print_results(results: Sequence[Result]) -> None:
    """Print how runs ended, one line each, and below what failed and what to do, each reason once."""
    columns: dict[str, Callable[[Result], object]] = {
        "stream": lambda r: r.name, "kind": lambda r: r.kind, "outcome": _outcome_word,
        "seen": lambda r: r.counts.seen, "new": lambda r: r.counts.inserted, "changed": lambda r: r.counts.updated,
        "same": lambda r: r.counts.unchanged, "gone": lambda r: r.counts.deleted,
        "rejected": lambda r: r.counts.rejected, "requests": lambda r: r.spent.requests,
    }  # fmt: skip
    if all(result.kind == "live" for result in results):
        del columns["kind"]
    if console.is_narrow(console.NARROW):
        del columns["same"]
        for name in ("gone", "rejected"):
            if not any(columns[name](result) for result in results):
                del columns[name]
    console.print_table("", list(columns), [[column(result) for column in columns.values()] for result in results])
    told = set()
    for result in results:
        if result.error and str(result.error) not in told:
            told.add(str(result.error))
            if result.outcome == "aborted" or result.is_paused:
                console.print_note(" ".join(filter(None, (f"{result.error}.", result.error.hint))))
            else:
                console.print_error(result.error)
    if any(result.counts.rejected for result in results):
        console.print_note("records that could not become rows: syncd rejects list")


def _outcome_word(result: Result) -> str:
    return "paused" if result.is_paused else result.outcome


def result_json(result: Result) -> Mapping[str, object]:
    """Return a run's end as JSON would show it."""
    counts = result.counts
    return {
        "source": result.source, "stream": result.stream, "kind": result.kind, "outcome": result.outcome,
        "error": log.mask(str(result.error)) if result.error else None,
        "hint": result.error.hint or None if result.error else None, "paused": result.is_paused,
        "requests": result.spent.requests, "pages": result.pages, "rows_seen": counts.seen,
        "rows_inserted": counts.inserted, "rows_updated": counts.updated, "rows_unchanged": counts.unchanged,
        "rows_deleted": counts.deleted, "rows_rejected": counts.rejected,
        "budget_wait_s": round(result.spent.budget_wait_s, 3),
    }  # fmt: skip

"""THE path: one run of one stream, from the lock to the last page; shared by the daemon, `sync` and `backfill`.

    take the stream's lock, load the cursor, open the run, refuse another account
    plan the pass
    for each page: rows, what was seen, rejects, drift, cursor and counts commit in one transaction
    at the end of a full listing: bury what is gone
    close the run

Owns how a run begins and ends, and what it tells. Never touches a row of the mirror: `commit` and `deletions` do.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import asyncpg

from syncd import log
from syncd.contract import Scope
from syncd.engine.commit import commit_page
from syncd.engine.deletions import end_listing
from syncd.engine.growth import Growth
from syncd.engine.order import Order, Result
from syncd.engine.plan import Ending, Listing, Plan, lane_of, may_be_first_load, plan_pass, resumes
from syncd.engine.prefetch import PageReader, fetch_ahead
from syncd.engine.route import Pass, Route
from syncd.engine.seen import seen_keys
from syncd.errors import (
    AnotherAccount,
    DatabaseBusy,
    DatabaseChanged,
    DatabaseError,
    Defect,
    RunFenced,
    ScopeMissing,
    SyncdError,
    Throttled,
)
from syncd.storage.mirror import listing
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writing import burial
from syncd.storage.postgres import driver
from syncd.storage.postgres.locks import to_the_end
from syncd.storage.state import known_pages, losses, runs, sources
from syncd.storage.state.runs import Run
from syncd.upstream.faults import OUTAGES
from syncd.upstream.request import PATIENCE_S, RunUpstream

_log: Final = log.get(__name__)


async def run_stream(route: Route, order: Order) -> Result:
    """Run one stream once and return how it ended; every end is also in `syncd.runs` and in the log.

    Raises LockHeld if the stream is under way elsewhere, and DatabaseError if the database is the problem.
    """
    source, stream = route.source, route.stream.name
    result, lane = Result(source, stream, order.kind), lane_of(route.stream, order.kind)
    try:
        run = await runs.open_run(
            route.database, source, stream,
            kind=order.kind, lane=lane, cursor_kind=order.cursor_kind, now=route.clock(),
        )  # fmt: skip
    except (DatabaseChanged, asyncpg.PostgresError) as error:
        return _refused(route, result, error)
    upstream = RunUpstream(route.account, stream, lane, order.seat, patience_s=PATIENCE_S[order.lane])
    logged_before = log.run.set(run.run_id)
    try:
        restored = await _begin_restoring(route, run)
        await run_pass(await _begin_pass(route, run, order, upstream, result))
        await _end_restoring(route, result, restored)
    except Throttled as error:
        result.outcome, result.error = "throttled", error.at(result.name)
    except (DatabaseBusy, DatabaseChanged) as error:
        result.outcome, result.error = "failed", error.at(result.name)
    except (DatabaseError, RunFenced) as error:
        result.outcome, result.error = "aborted", error
        raise
    except asyncio.CancelledError:
        hint = "The next run goes on from the last committed page."
        result.outcome, result.error = "aborted", SyncdError("ended before its next page boundary", hint=hint)
        raise
    except SyncdError as error:
        result.outcome, result.error = "failed", error.at(result.name)
    except asyncpg.PostgresError as error:
        result.outcome = "failed"
        result.error = driver.refused(error, route.database.shown).at(result.name)
    except Exception as error:  # noqa: BLE001  a bug of ours must end this run only, and be told
        _log.exception("run_crashed", source=source, stream=stream)
        result.outcome = "failed"
        result.error = Defect(error)
    finally:
        result.spent = upstream.spent
        with contextlib.suppress(DatabaseError, asyncpg.PostgresError):  # such as a trigger of others on syncd.runs
            await to_the_end(_close(route, run, result, upstream))
        log.run.reset(logged_before)
    return result


def _refused(route: Route, result: Result, error: DatabaseChanged | asyncpg.PostgresError) -> Result:
    """Return how a run ended that could not be opened, because of what others did to the tables of our state."""
    ours = error if isinstance(error, DatabaseChanged) else driver.refused(error, route.database.shown)
    result.outcome, result.error = "failed", ours.at(result.name)
    _log.warning(
        "run_refused", source=route.source, stream=route.stream.name, kind=result.kind, error=str(ours), hint=ours.hint
    )
    return result


async def _begin_pass(route: Route, run: Run, order: Order, upstream: RunUpstream, result: Result) -> Pass:
    """Plan the pass of an open run, and make all that its pages share. Raises AnotherAccount, DatabaseChanged."""
    sources.require_same(route.source, run.identity, route.identity)
    await route.require_ready()
    turns = Turns()
    upstream.turn = turns.reading
    plan = await _plan(route, run)
    start = plan.cursor
    if run.kind == "sweep":
        async with route.database.connection() as conn:
            await known_pages.recall(conn, route.source, route.stream.name)
    if start and run.lost and route.stream.feed:  # rows that somebody deleted are asked for again, from the first on
        start = {name: value for name, value in start.items() if name != "fed"}
    return Pass(
        route=route,
        run=run,
        order=order,
        upstream=upstream,
        result=result,
        plan=plan,
        walk=await route.begin_walk(order, upstream, start),
        turns=turns,
        reader=PageReader(route.target, turns, expects_new=plan.listing is Listing.FIRST_LOAD),
    )


async def _begin_restoring(route: Route, run: Run) -> Sequence[int]:
    """Return the losses of the stream's rows that a run which asks for everything will bring back, if it ends well.

    Where child rows are gone, the fingerprints of their records no longer say that these are stored.
    """
    stream, target = route.stream, route.target
    lists_all = stream.sweep_s is None and not stream.backfills
    if (
        not run.lost
        or resumes(stream, run.kind, run.cursor)
        or not (run.kind in ("sweep", "backfill") or lists_all or stream.lookup)
    ):
        return ()
    async with route.database.transaction() as conn:
        names = [each.layout.plain_name for each in (target, *target.children)]
        found = await losses.find(conn, route.source, names)
        if any(table != names[0] for table in found.values()):
            await burial.drop_all_hashes(conn, target, route.source)
    return list(found)


async def _end_restoring(route: Route, result: Result, restored: Sequence[int]) -> None:
    if restored and result.outcome == "ok":
        async with route.database.connection() as conn:
            await losses.forget(conn, restored)


async def _plan(route: Route, run: Run) -> Plan:
    """Plan the pass; the table is asked only if the answer matters."""
    is_empty = False
    if may_be_first_load(route.stream, run.kind, run.cursor):
        async with route.database.connection() as conn:
            is_empty = not await listing.holds_any(conn, route.target, route.source)
    return plan_pass(route.stream, run.kind, run.cursor, is_empty)


async def run_pass(work: Pass) -> None:
    """Commit page after page; at the end of a full listing bury what is gone; close the run with the last page."""
    stream, seen, growth = work.route.stream, None, Growth(work.route.max_records)
    walk = work.walk
    async with stream.pages(walk) as pages, fetch_ahead(pages, work.reader.read, work.order.stop) as ahead:
        async for fetched in ahead:
            page = fetched.page
            plan = work.plan.page(page, is_first=seen is None, is_last=fetched.is_last)
            if seen is None:
                seen = seen_keys(
                    plan.tracking, work.route.target, work.route.source, stream.name, began_at=page.requested_at
                )
            await commit_page(work, page, fetched.read, seen, plan)
            if plan.ending is Ending.CLOSES_IF_COMPLETE and work.result.outcome != "ok":
                await end_listing(work, page, page.scope or Scope(), seen)
            work.order.progress(work.result)
            if work.result.outcome != "ok":
                await growth.look(work)
    if work.result.outcome != "ok":
        await _complete_or_stop(work)


async def _complete_or_stop(work: Pass) -> None:
    """End a run whose last page was not known to be the last when it was committed."""
    if work.order.stop.is_set():
        work.result.outcome = "aborted"
        work.result.error = SyncdError("stopped at a page boundary", hint="The next run goes on from here.")
        return
    await runs.complete_run(
        work.route.database, work.run, spent=work.upstream.spent, now=work.route.clock(), notes=work.upstream.notes
    )
    work.result.outcome = "ok"


async def _close(route: Route, run: Run, result: Result, upstream: RunUpstream) -> None:
    """Close the run's row unless its last page did, save the budget, give the lock back, tell the log."""
    error, now = result.error, route.clock()
    try:
        if result.outcome != "ok":
            await runs.close_run(
                route.database, run, outcome=result.outcome, spent=result.spent, now=now,
                error=error.whole if error else None,
                error_kind=type(error).__name__ if error else None, notes=upstream.notes,
            )  # fmt: skip
        await route.account.purse.flush()
    finally:
        with contextlib.suppress(DatabaseError):
            await route.database.unlock(runs.stream_lock(run.source, run.stream, run.kind))
        if result.outcome != "aborted" and (upstream.requests or isinstance(error, AnotherAccount)):
            route.account.health.run_ended(run.stream, error)
        _tell(run, result, upstream, duration_s=max(0.0, (now - run.started_at).total_seconds()))


def _tell(run: Run, result: Result, upstream: RunUpstream, *, duration_s: float) -> None:
    """Log the end of a run; an outage is no warning here, because the account has logged it once."""
    counts, error = result.counts, result.error
    is_told = isinstance(error, (*OUTAGES, ScopeMissing, AnotherAccount))
    tell = _log.info if result.outcome in ("ok", "aborted") or is_told else _log.warning
    tell(
        "run_finished", source=run.source, stream=run.stream, kind=run.kind, outcome=result.outcome,
        run_id=run.run_id, duration_s=round(duration_s, 3), pages=result.pages,
        requests=result.spent.requests, seen=counts.seen, inserted=counts.inserted, updated=counts.updated,
        unchanged=counts.unchanged, deleted=counts.deleted, rejected=counts.rejected,
        **({"error": str(error), "hint": error.hint} if error else {}),
        **({"notes": upstream.notes} if upstream.notes else {}),
    )  # fmt: skip

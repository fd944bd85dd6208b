"""Runs streams until each of them is younger than its interval, beside whatever other processes run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from syncd.cli.runner import Job, run_jobs
from syncd.cli.session import unless_stopped
from syncd.clock import Sleep
from syncd.engine import schedule
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import LockHeld
from syncd.status import Pair, is_young
from syncd.status.facts import Facts

LOOK_S: Final = 2.0
"""How often another process's run is looked at; our choice."""


@dataclass(kw_only=True)
class Waited:
    """How the waiting ended: the runs that were made, and the streams that are still too old."""

    results: list[Result] = field(default_factory=list)
    stale: list[Pair] = field(default_factory=list)
    gave_up: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether every stream is young enough."""
        return not self.stale


async def make_fresh(
    syncer: Syncer,
    pairs: Sequence[Pair],
    *,
    timeout_s: float,
    stop: asyncio.Event,
    quiet: bool,
    sleep: Sleep = asyncio.sleep,
) -> Waited:
    """Return when every stream is younger than its interval, or was read well since the call, or when that is hopeless.

    What is young is not run. A stream that another process runs is waited for. One that fails is tried again as the
    daemon would; one that is paused (no scope, wrong credentials) ends the waiting, as do the timeout and `stop`.
    Raises DatabaseError.
    """
    began, waited = syncer.clock(), Waited()
    until, failed = began + timedelta(seconds=timeout_s), dict[Pair, tuple[int, datetime]]()
    while True:
        facts = await Facts.read(syncer.database, pairs)
        waited.stale = [pair for pair in pairs if not _is_fresh(syncer, facts, pair, began)]
        now = syncer.clock()
        if not waited.stale or stop.is_set() or now >= until:
            if waited.stale:
                waited.gave_up = "it was stopped" if stop.is_set() else f"that did not come about in {timeout_s:.0f} s"
            return waited
        due = [
            pair
            for pair in waited.stale
            if not _is_under_way(facts, pair) and (pair not in failed or failed[pair][1] <= now)
        ]
        results = await run_jobs(syncer, [_job(pair, stop) for pair in due], quiet=quiet) if due else []
        for result in results:
            pair = result.source, result.stream
            if result.outcome != "ok" and not isinstance(result.error, LockHeld):
                failed[pair] = _failure(syncer, pair, result, failed.get(pair, (0, now))[0] + 1)
        waited.results += [result for result in results if not isinstance(result.error, LockHeld)]
        if hopeless := next((result for result in results if _kind(result) in schedule.PAUSING), None):
            waited.stale, waited.gave_up = [(hopeless.source, hopeless.stream)], "waiting does not help"
            return waited
        if not any(result.outcome == "ok" for result in results):
            again = [failed[pair][1] for pair in waited.stale if pair in failed]
            is_known = len(again) == len(waited.stale)  # nothing to wait for but our own next try
            at = min([until, *again]) if is_known else min(until, now + timedelta(seconds=LOOK_S))
            await unless_stopped(stop, sleep(max(0.0, (at - syncer.clock()).total_seconds())))


def _is_fresh(syncer: Syncer, facts: Facts, pair: Pair, began: datetime) -> bool:
    settings, ok = syncer.source(pair[0])[1].streams[pair[1]], facts.run(pair, "ok", "live")
    ok_at = ok.started_at if ok else None
    return (ok_at is not None and ok_at >= began) or is_young(settings, ok_at, syncer.clock())


def _is_under_way(facts: Facts, pair: Pair) -> bool:
    run, is_dead = facts.open_run(pair, "live", "sweep")
    return run is not None and not is_dead


def _job(pair: Pair, stop: asyncio.Event) -> Job:
    return Job(source=pair[0], stream=pair[1], order=Order(kind="live", stop=stop))


def _kind(result: Result) -> str:
    return type(result.error).__name__ if result.error else ""


def _failure(syncer: Syncer, pair: Pair, result: Result, failures: int) -> tuple[int, datetime]:
    now, settings = syncer.clock(), syncer.source(pair[0])[1].streams[pair[1]]
    rest_s = schedule.wait_s(schedule.interval_s(settings, now), failures, _kind(result))
    return failures, now + timedelta(seconds=rest_s)

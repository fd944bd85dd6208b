"""Which runs are under way in the daemon, and when the next ones begin: APScheduler's jobs and our own run tasks.

Owns one job per stream that is on, the limit of runs at once, the rest after failures, and the end of runs. A job only
starts a task of ours and returns, so that runs can be drained. Decides nothing itself: `schedule.py` does.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from syncd import counters, log
from syncd.config import Config, StreamConfig, is_off
from syncd.contract import RunKind
from syncd.engine import schedule
from syncd.engine.schedule import History
from syncd.engine.syncer import Order, Result, Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, LockHeld, RunFenced
from syncd.records.rows import Key
from syncd.service.callbacks.throttle import Calls
from syncd.status import Pair

RUNS_AT_ONCE: Final = 24
"""Runs of this process under way at once. They mostly wait for their upstreams: 4,000 streams of 1.5 s in five minutes
need 20. Each holds a page or two in memory, and borrows a connection of the pool for its statements only."""
RUNS_AT_ONCE_PER_SOURCE: Final = 3
"""Of these for one source: a source that hangs leaves seats to the others."""
CANCEL_S: Final = 2.0
"""A run that was cancelled closes its row in syncd.runs within this."""
LOCKED_S: Final = 5.0
"""A record that a callback named is asked for so much later if another process is at its stream."""
JOB_RULES: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}

_log = log.get(__name__)


@dataclass(kw_only=True)
class _UnderWay:
    """A task of ours, the event that ends its run at the next page, and whether it got a seat yet.

    `named` are the records that it asks for because of callbacks; `is_due` if the poll fell due meanwhile.
    """

    named: tuple[Key, ...] = ()
    is_due: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    is_seated: bool = False
    task: asyncio.Task[None] | None = None


class Timetable:
    """The runs of the daemon."""

    def __init__(
        self,
        syncer: Syncer,
        scheduler: AsyncIOScheduler,
        histories: Mapping[Pair, History],
        *,
        on_outage: Callable[[DatabaseUnavailable], None],
    ) -> None:
        self._syncer = syncer
        self._scheduler = scheduler
        self._histories = dict(histories)
        self._on_outage = on_outage
        self._under_way: dict[Pair, _UnderWay] = {}
        self._seats = asyncio.Semaphore(RUNS_AT_ONCE)
        self._source_seats: dict[str, asyncio.Semaphore] = {}
        self._closed_sources: set[str] = set()
        self._is_closed = self._is_paused = False
        self._missed: set[Pair] = set()
        self._held: set[Pair] = set()
        self._locked_out: set[Pair] = set()
        self._calls: dict[Pair, Calls] = {}
        self._call_timers: dict[Pair, asyncio.TimerHandle] = {}
        self._left_to_poll: set[Pair] = set()
        self._planned: dict[Pair, StreamConfig] = {}

    # --- Planning

    def plan(self, *, anew: Collection[str] = ()) -> None:
        """Make the jobs those of the syncer's configuration; jobs of unchanged streams keep their time.

        `anew` names the sources that changed: their failures are forgiven, since the change may have mended them.
        """
        wanted = {
            (source.name, stream.name): stream
            for source in self._syncer.config.sources.values()
            for stream in source.streams.values()
            if is_off(stream) is None
        }
        for pair in self._planned.keys() - wanted.keys():
            self._remove(pair)
        for pair, settings in wanted.items():
            before = self._planned.get(pair)
            if pair[0] in anew:
                self._histories[pair] = replace(self._history(pair), failures=0, idle=0, sweep_failures=0)
            elif before and (before.every_s, before.cron) == (settings.every_s, settings.cron):
                continue
            self._add(pair, settings, len(wanted))
        self._planned = wanted

    def _add(self, pair: Pair, settings: StreamConfig, streams: int) -> None:
        now = self._syncer.clock()
        jitter_s = schedule.jitter_s(schedule.interval_s(settings, now))
        if settings.cron is not None:
            trigger: Any = CronTrigger.from_crontab(settings.cron, timezone=UTC)
            trigger.jitter = jitter_s
        else:
            trigger = IntervalTrigger(seconds=settings.every_s, jitter=jitter_s, timezone=UTC)
        first_at = schedule.first_at(now, ".".join(pair), settings, self._history(pair), streams)
        self._scheduler.add_job(
            self._tick, trigger, args=[pair], id=_job_id(pair), next_run_time=first_at, **JOB_RULES
        )  # fmt: skip

    def _remove(self, pair: Pair) -> None:
        with contextlib.suppress(JobLookupError):
            self._scheduler.remove_job(_job_id(pair))

    def _move(self, pair: Pair, at: datetime) -> None:
        """Set the next run of a stream, unless it was taken off the timetable meanwhile."""
        if not self._is_closed and self._scheduler.get_job(_job_id(pair)):
            self._scheduler.modify_job(_job_id(pair), next_run_time=at)

    def next_runs(self) -> dict[Pair, datetime]:
        """Return when each stream runs next."""
        jobs = {job.id: job.next_run_time for job in self._scheduler.get_jobs()}
        return {pair: at for pair in self._planned if (at := jobs.get(_job_id(pair)))}

    def follow_clock(self) -> None:
        """Bring forward what a clock that was set back would put off for longer than its interval."""
        now = self._syncer.clock()
        for pair, at in self.next_runs().items():
            settings = self._planned[pair]
            longest_s = max(schedule.interval_s(settings, now), schedule.PROBE_S) + 2 * schedule.SPREAD_S
            if settings.cron is None and at > now + timedelta(seconds=longest_s):
                self._move(pair, now + timedelta(seconds=schedule.spread_s(".".join(pair), schedule.SPREAD_S)))

    # --- Running

    async def _tick(self, pair: Pair) -> None:
        """Start a run of a stream, unless one is under way (then the next tick will do) or runs are held back."""
        if pair in self._under_way:
            self._under_way[pair].is_due = bool(self._under_way[pair].named)
        if self._is_closed or pair in self._under_way or pair[0] in self._closed_sources:
            return
        if self._is_paused:
            self._missed.add(pair)
            return
        is_probing = self._probe_at(pair[0]) and any(other[0] == pair[0] for other in self._under_way)
        if is_probing or self._is_held(pair):
            self._held.add(pair)
            return
        self._begin(pair, _UnderWay())

    def _begin(self, pair: Pair, work: _UnderWay) -> None:
        self._under_way[pair] = work
        work.task = asyncio.create_task(self._work(pair, work))

    async def _work(self, pair: Pair, work: _UnderWay) -> None:
        """Run a stream once, and sweep it if that is due; then set its next run if it failed or was idle.

        A fetch for callbacks leaves the stream's rhythm as it is.
        """
        seats = self._source_seats.setdefault(pair[0], asyncio.Semaphore(RUNS_AT_ONCE_PER_SOURCE))
        try:
            async with contextlib.AsyncExitStack() as stack:
                with counters.one_more(counters.waiting, pair[0]):
                    await stack.enter_async_context(seats)
                    await stack.enter_async_context(self._seats)
                work.is_seated = True
                stack.enter_context(counters.one_more(counters.under_way, pair[0]))
                if self._is_held(pair):  # the source went down while this one waited for its seat
                    self._held.add(pair)
                else:
                    await self._attempt_all(pair, work)
        except Exception:  # noqa: BLE001  a bug of ours must not end the daemon, and must be told
            _log.exception("run_crashed", source=pair[0], stream=pair[1])
        finally:
            del self._under_way[pair]
        if not work.named:
            self._settle(pair)
        if work.is_due:
            await self._tick(pair)
        self._answer(pair)

    async def _attempt_all(self, pair: Pair, work: _UnderWay) -> None:
        """Fetch what callbacks named; or run a stream, and sweep it if that went well and is due."""
        stop = work.stop
        if work.named:
            await self._attempt(pair, "callback", stop, work.named)
            return
        if pair in self._calls:
            self._calls[pair].settle()  # what was told before this run begins, it will find
        await self._attempt(pair, "live", stop)
        sweep_s = self._syncer.config.sources[pair[0]].streams[pair[1]].sweep_s
        history = self._history(pair)
        if not history.failures and schedule.is_sweep_due(self._syncer.clock(), sweep_s, history):
            await self._attempt(pair, "sweep", stop)

    def _settle(self, pair: Pair) -> None:
        """Set the next run of a stream that failed or was idle, and let those go on that waited for its source."""
        now, probe_at = self._syncer.clock(), self._probe_at(pair[0])
        if probe_at is None:
            for other in [other for other in self._held if other[0] == pair[0]]:
                self._held.remove(other)
                self._move(other, now + timedelta(seconds=schedule.spread_s(".".join(other), schedule.SPREAD_S)))
        if pair in self._planned:
            at = probe_at or schedule.again_at(self._planned[pair], self._history(pair))
            if at and at > now:  # else it did not run, since another process does: its job's rhythm holds
                self._move(pair, at)

    def _probe_at(self, source: str) -> datetime | None:
        """Return from when on a source that is down may be asked again; None: it is not down."""
        return schedule.probe_at(
            [(settings, self._history(pair)) for pair, settings in self._planned.items() if pair[0] == source]
        )

    def _is_held(self, pair: Pair) -> bool:
        """Say whether a stream must wait, because its source is down; a clock that was set back prolongs no wait."""
        now, at = self._syncer.clock(), self._probe_at(pair[0])
        return at is not None and now < at <= now + timedelta(seconds=schedule.PROBE_S)

    async def _attempt(self, pair: Pair, kind: RunKind, stop: asyncio.Event, named: tuple[Key, ...] = ()) -> None:
        """Run a stream once and note how it ended."""
        if stop.is_set():
            return
        if self._is_paused:  # it waited for its seat meanwhile
            self._missed.add(pair)
            return
        started_at = self._syncer.clock()
        try:
            result = await self._syncer.run(*pair, Order(kind=kind, named=named, stop=stop))
        except LockHeld as error:
            counters.skipped[pair] += 1
            if pair not in self._locked_out:  # once, however long the other one holds it
                self._locked_out.add(pair)
                _log.info("run_skipped", source=pair[0], stream=pair[1], kind=kind, reason=str(error))
            if named:
                self._calls[pair].put_off(named, time.monotonic() + LOCKED_S)
            return
        except RunFenced:  # told by run_finished
            return
        except DatabaseUnavailable as error:
            self._missed.add(pair)
            self._on_outage(error)
            return
        except DatabaseError as error:
            _log.warning("run_refused", source=pair[0], stream=pair[1], kind=kind, error=str(error), hint=error.hint)
            result = Result(*pair, kind, outcome="failed", error=error)
        self._locked_out.discard(pair)
        if kind == "callback":
            if result.outcome in ("failed", "throttled"):
                self._leave_to_poll(pair)
            return
        if kind == "live" and result.outcome == "ok":
            self._left_to_poll.discard(pair)
        self._histories[pair] = _noted(self._history(pair), result, started_at, self._syncer.clock())

    def _history(self, pair: Pair) -> History:
        return self._histories.get(pair, History())

    # --- Callbacks

    def hear(self, pair: Pair, key: Key) -> str:
        """Fetch a record soon that a callback named; return in a word or two what becomes of it."""
        if pair not in self._planned:
            return "ignored"
        is_new = self._calls.setdefault(pair, Calls()).hear(key, time.monotonic())
        self._answer(pair)
        return "left to poll" if pair in self._left_to_poll else "accepted" if is_new else "repeated"

    def _answer(self, pair: Pair) -> None:
        """Begin what the callbacks about a stream ask for, as soon as it may be.

        Whatever keeps it from beginning now calls this again when it is over. A stream that was never read whole, that
        fails, or whose source is down, is asked by its polls only.
        """
        calls = self._calls.get(pair)
        if calls is None or self._is_closed or self._is_paused or pair in self._under_way:
            return
        if pair[0] in self._closed_sources:
            return
        if pair not in self._planned:
            calls.settle()
            return
        history = self._history(pair)
        if pair in self._left_to_poll or history.ok_at is None or history.failures or self._probe_at(pair[0]):
            self._leave_to_poll(pair)
            return
        if pair in self._call_timers:
            self._call_timers.pop(pair).cancel()
        match calls.step(time.monotonic()):
            case None:
                pass
            case "poll":
                self._begin(pair, _UnderWay())
            case float() as wait_s:
                timer = asyncio.get_running_loop().call_later(wait_s, self._answer, pair)
                self._call_timers[pair] = timer
            case named:
                self._begin(pair, _UnderWay(named=named))

    def _leave_to_poll(self, pair: Pair) -> None:
        """Fetch nothing more for callbacks until a poll went well; told once."""
        self._calls[pair].settle()
        if pair not in self._left_to_poll:
            self._left_to_poll.add(pair)
            _log.info("callbacks_left_to_poll", source=pair[0], stream=pair[1])

    def _answer_all(self) -> None:
        for pair in list(self._calls):
            self._answer(pair)

    # --- Holding back

    def pause(self) -> None:
        """Start no more runs until `resume`: the database is away. Missed ticks are remembered, one per stream."""
        self._is_paused = True

    def resume(self) -> None:
        """Run what was missed, spread as at a start."""
        self._is_paused = False
        now, missed = self._syncer.clock(), self._missed & self._planned.keys()
        self._missed.clear()
        for pair in missed:
            every_s = schedule.interval_s(self._planned[pair], now)
            self._move(pair, now + timedelta(seconds=schedule.spread_s(".".join(pair), every_s, len(missed))))
        self._answer_all()

    async def reconfigure(self, config: Config, *, grace_s: float) -> None:
        """Take a new configuration: runs of sources that changed end first, at a page, and go on under the new one."""
        before = self._syncer.config.sources
        changed = {
            name for name in before.keys() | config.sources.keys() if before.get(name) != config.sources.get(name)
        }
        self._closed_sources |= changed
        try:
            await self._drain([pair for pair in self._under_way if pair[0] in changed], grace_s)
            if not self._is_closed:
                self._syncer.reconfigure(config)
                self.plan(anew=changed)
        finally:
            self._closed_sources -= changed
        self._answer_all()

    async def close(self, *, grace_s: float) -> None:
        """Start nothing more, and end every run at its page boundary; cancel what has not ended after `grace_s`."""
        self._is_closed = True
        for timer in self._call_timers.values():
            timer.cancel()
        await self._drain(list(self._under_way), grace_s)

    async def _drain(self, pairs: Collection[Pair], grace_s: float) -> None:
        tasks = set()
        for work in [self._under_way[pair] for pair in pairs]:
            work.stop.set()
            if work.task is not None:
                tasks.add(work.task)
                if not work.is_seated:
                    work.task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_S)


def _job_id(pair: Pair) -> str:
    return f"run {pair[0]}.{pair[1]}"


def _noted(history: History, result: Result, started_at: datetime, now: datetime) -> History:
    """Add the end of a run to a stream's history; a run that was asked to stop proves nothing."""
    error_kind = type(result.error).__name__ if result.error else None
    is_ok = result.outcome == "ok"
    if not is_ok and result.outcome not in ("failed", "throttled"):
        return history
    if result.kind == "sweep":
        if is_ok:
            return replace(history, swept_at=started_at, sweep_failures=0, sweep_error_kind=None)
        failures = history.sweep_failures + 1
        return replace(history, sweep_failures=failures, sweep_tried_at=now, sweep_error_kind=error_kind)
    if is_ok:
        idle = 0 if result.spent.requests else history.idle + 1
        swept_at = history.swept_at or started_at
        return replace(history, ok_at=started_at, failures=0, error_kind=None, idle=idle, swept_at=swept_at)
    return replace(history, failures=history.failures + 1, failed_at=now, error_kind=error_kind)

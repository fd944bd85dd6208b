"""One job of APScheduler per stream that is on: when it runs next. Starts nothing itself, but for calling `tick`."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from syncd.config import StreamConfig
from syncd.engine import schedule
from syncd.status import Pair

JOB_RULES: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}
"""A late tick is made up for, once; a job of the same name takes the place of the one before."""


class Jobs:
    """The jobs of all streams; `tick` is awaited with the stream whose time has come."""

    def __init__(self, scheduler: AsyncIOScheduler, tick: Callable[[Pair], Awaitable[None]]) -> None:
        self._scheduler = scheduler
        self._tick = tick

    def add(self, pair: Pair, settings: StreamConfig, *, now: datetime, first_at: datetime) -> None:
        """Give a stream its rhythm, from `first_at` on."""
        trigger = _trigger(settings, schedule.jitter_s(schedule.interval_s(settings, now)))
        self._scheduler.add_job(
            self._tick, trigger, args=[pair], id=_job_id(pair), next_run_time=first_at, **JOB_RULES
        )  # fmt: skip

    def remove(self, pair: Pair) -> None:
        """Take a stream off the timetable; harmless if it is not on it."""
        with contextlib.suppress(JobLookupError):
            self._scheduler.remove_job(_job_id(pair))

    def move(self, pair: Pair, at: datetime) -> None:
        """Set the next run of a stream, unless it was taken off the timetable meanwhile."""
        if self._scheduler.get_job(_job_id(pair)):
            self._scheduler.modify_job(_job_id(pair), next_run_time=at)

    def next_runs(self, pairs: Iterable[Pair]) -> dict[Pair, datetime]:
        """Return when each of these streams runs next."""
        jobs = {job.id: job.next_run_time for job in self._scheduler.get_jobs()}
        return {pair: at for pair in pairs if (at := jobs.get(_job_id(pair)))}


def _trigger(settings: StreamConfig, jitter_s: float) -> Any:
    if settings.cron is None:
        return IntervalTrigger(seconds=settings.every_s, jitter=jitter_s, timezone=UTC)
    trigger = CronTrigger.from_crontab(settings.cron, timezone=UTC)
    trigger.jitter = jitter_s
    return trigger


def _job_id(pair: Pair) -> str:
    return f"run {pair[0]}.{pair[1]}"

"""One job of APScheduler per stream that is on: when it runs next. Starts nothing itself, but for calling `tick`."""

import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from syncd.config import StreamConfig
from syncd.engine import schedule
from syncd.status import Pair

JOB_RULES: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}
"""A late tick is made up for, once; a job of the same name takes the place of the one before."""


class Rhythm(BaseTrigger):  # type: ignore[misc]
    """Says when a job is due again; `following` computes it from the instant before and from now.

    APScheduler's own triggers list every instant that was missed. After a jump of the clock by years that takes minutes
    and gigabytes, and nothing else runs meanwhile.
    """

    def __init__(self, following: Callable[[datetime, datetime], datetime], *, jitter_s: float = 0.0) -> None:
        self._following = following
        self._jitter_s = jitter_s

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the next instant, always later than now; APScheduler's name for it."""
        late_s = random.uniform(0.0, self._jitter_s)  # noqa: S311  (spreads work, guards nothing)
        return self._following(previous or now, now) + timedelta(seconds=late_s)


class Jobs:
    """The jobs of all streams; `tick` is awaited with the stream whose time has come."""

    def __init__(self, scheduler: AsyncIOScheduler, tick: Callable[[Pair], Awaitable[None]]) -> None:
        self._scheduler = scheduler
        self._tick = tick

    def add(self, pair: Pair, settings: StreamConfig, *, now: datetime, first_at: datetime) -> None:
        """Give a stream its rhythm, from `first_at` on."""
        jitter_s = schedule.jitter_s(schedule.interval_s(settings, now))
        trigger = Rhythm(partial(schedule.following, settings), jitter_s=jitter_s)
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


def _job_id(pair: Pair) -> str:
    return f"run {pair[0]}.{pair[1]}"

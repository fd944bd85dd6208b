"""The daemon's own jobs: proves that it lives, deletes what is old, tells systemd how the streams stand.

Each may fail without harm. Knows no stream.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd import log
from syncd.clock import utc_now
from syncd.config import Config
from syncd.engine import schedule
from syncd.errors import DatabaseError, DatabaseUnavailable
from syncd.service.notify import Watch
from syncd.service.notify.plan import look_every_s
from syncd.service.process.systemd import Notifier
from syncd.service.timetable import JOB_RULES, Rhythm
from syncd.status import StatusReader
from syncd.storage.postgres.database import Database
from syncd.storage.state import retention, runs

BEAT_S: Final = 5.0
"""The scheduler proves that it lives this often (more often if the watchdog wants it)."""
BEAT_LOST_S: Final = 60.0
"""After this without a beat /healthz says so."""
CLOCK_LOOK_S: Final = 1.0
"""How often the wall clock is compared with the monotonic one."""
CLOCK_STEP_S: Final = 2.0
"""A wall clock that moved back by more than this against the monotonic one was set back."""
CLOCK_TRUST_S: Final = 86_400.0
"""A wall clock that ran ahead of the monotonic one by more than this, since the start, deletes nothing."""
STATUS_S: Final = 30.0
FOLLOW_S: Final = 10.0
"""A pause made on the page of another daemon counts here within this."""
PRUNE_S: Final = 3600.0
CONFIRM_S: Final = 10.0
"""How often is looked for commits that wait for a standby."""
RECOVER_S: Final = 300.0
"""How often is looked for runs whose process died: the next run of a stream closes them, too, if there is one."""
WEBHOOKS_S: Final = 7 * 86_400.0
"""A webhook is known as repeated for so long (STREAMS 4)."""
UNTOLD: Final = ("webhooks", "callback_counts", "backfills")
"""What is pruned without a word: next to nothing."""
HOUSE_JOBS: Final = ("beat", "prune", "tell", "notify", "follow", "recover", "confirm")

_log = log.get(__name__)


class House:
    """The jobs of one life of the service; `on_outage` hears that the database is away.

    `follow` takes what operators decided, also on the page of another daemon.
    """

    def __init__(
        self,
        scheduler: AsyncIOScheduler,
        notifier: Notifier,
        reader: StatusReader,
        watch: Watch,
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        on_outage: Callable[[DatabaseUnavailable], None],
        stop: asyncio.Event,
        follow: Callable[[], Awaitable[None]],
        leads: Callable[[], bool] = lambda: True,
        line: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """Keep house; `leads` says whether this process does what one does for all, `line` how the streams stand."""
        self._scheduler = scheduler
        self._notifier = notifier
        self._watch = watch
        self._config = config
        self._database = database
        self._on_outage = on_outage
        self._stop = stop
        self._leads = leads
        self._line = line or reader.line
        self._follow = follow
        self._beat_at = time.monotonic()
        self._began = utc_now() - timedelta(seconds=time.monotonic())

    def keep(self) -> None:
        """Add the jobs to the scheduler."""
        beat_s = min(BEAT_S, (self._notifier.watchdog_s or BEAT_S * 3) / 3)
        jobs = (self._beat, self._prune, self._tell, self._notify, self._heed, self._recover, self._confirm)
        every: tuple[Callable[[], float], ...] = (
            lambda: beat_s, lambda: PRUNE_S, lambda: STATUS_S,
            lambda: look_every_s(self._config().notify), lambda: FOLLOW_S, lambda: RECOVER_S,
            lambda: CONFIRM_S,
        )  # fmt: skip
        for name, job, every_s in zip(HOUSE_JOBS, jobs, every, strict=True):
            self._scheduler.add_job(
                job, Rhythm(partial(_after, every_s)), id=name,
                next_run_time=utc_now() + timedelta(seconds=every_s() / 20), **JOB_RULES,
            )  # fmt: skip

    def is_alive(self) -> bool:
        """Say whether the scheduler has ticked lately."""
        return time.monotonic() - self._beat_at < BEAT_LOST_S

    async def watch_clock(self, follow: Callable[[float], None]) -> None:
        """Bring jobs forward when the wall clock was set back, because the scheduler waits by it; until the end.

        `follow` hears by how many seconds. A clock that jumps ahead needs nothing: what fell due runs once.
        """
        ahead = time.time() - time.monotonic()
        while not self._stop.is_set():
            await asyncio.sleep(CLOCK_LOOK_S)
            ahead, before = time.time() - time.monotonic(), ahead
            if before - ahead > CLOCK_STEP_S:
                _log.warning("clock_set_back", seconds=round(before - ahead))
                follow(before - ahead)
                for name in HOUSE_JOBS:
                    self._scheduler.modify_job(name, next_run_time=utc_now())

    async def _beat(self) -> None:
        """Prove that the loop turns and that the scheduler ticks: this job is run by both."""
        self._beat_at = time.monotonic()
        self._notifier.send("WATCHDOG=1")

    def _trusted_now(self) -> datetime:
        """Return the time, but none that a clock has jumped to: what is deleted by it does not come back."""
        believed = self._began + timedelta(seconds=time.monotonic() + CLOCK_TRUST_S)
        return min(utc_now(), believed)

    async def _prune(self) -> None:
        """Delete what is older than the configuration keeps, in small statements."""
        if not self._leads():
            return
        now, kept = self._trusted_now(), self._config().retention
        ages = {
            "runs": kept.runs_s, "rejects": kept.rejects_s, "drift": kept.drift_s, "changes": kept.changes_s,
            "versions": kept.history_s, "webhooks": WEBHOOKS_S, "callback_counts": kept.runs_s,
            "backfills": kept.runs_s,
        }  # fmt: skip
        before = {name: now - timedelta(seconds=age_s) for name, age_s in ages.items() if age_s is not None}
        with self._telling("prune_failed"):
            pruned = await retention.prune(self._database(), before)
            if any(count for name, count in pruned.items() if name not in UNTOLD):
                _log.info(
                    "history_pruned", runs=pruned["runs"], rejects=pruned["rejects"], drift=pruned["drift"],
                    changes=pruned["changes"], versions=pruned.get("versions", 0),
                )  # fmt: skip

    async def _recover(self) -> None:
        """Close the runs of processes that died, whatever they were: commands, workers that nobody remembers."""
        if not self._leads():
            return
        with self._telling("recovery_failed"):
            if recovered := await runs.recover(self._database(), now=utc_now()):
                _log.info("runs_recovered", count=recovered)

    async def _tell(self) -> None:
        """Tell systemd how the streams stand; this also notices a database that went away while nothing ran."""
        with self._telling("status_failed"):
            self._notifier.send(f"STATUS={await self._line()}")

    async def _confirm(self) -> None:
        """Notice that commits wait for a standby that is gone: the runs only wait, and no error tells of it."""
        with self._telling("commits_look_failed"):
            await self._database().require_confirmed()

    async def _notify(self) -> None:
        """Tell people what needs a look."""
        if not self._leads():
            return
        with self._telling("notifications_failed"):
            await self._watch.look()

    async def _heed(self) -> None:
        """Take which streams operators paused."""
        with self._telling("pauses_failed"):
            await self._follow()

    @contextlib.contextmanager
    def _telling(self, event: str) -> Iterator[None]:
        """Let a job fail without harm."""
        try:
            yield
        except asyncio.CancelledError:
            if not self._stop.is_set():  # at the end the scheduler cancels its jobs, and would log each as an error
                raise
        except DatabaseUnavailable as error:
            self._on_outage(error)
        except DatabaseError as error:
            _log.warning(event, error=str(error), hint=error.hint)
        except Exception:  # noqa: BLE001  a bug of ours must not end the service, and must be told
            _log.exception(event)


def _after(every_s: Callable[[], float], previous: datetime, now: datetime) -> datetime:
    """Return when a job runs next; its interval is asked for each time, for the configuration may be read anew."""
    return schedule.rhythm_after(every_s(), previous, now)

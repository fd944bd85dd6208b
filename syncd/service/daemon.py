"""The service: puts database, syncer, timetable and status page together, and answers signals and systemd.

Owns the order in which these come and go, what SIGHUP and SIGTERM do, the waiting for a database that is away, and the
hourly pruning. Knows no stream: `engine.schedule` says when to run, `engine.run` how.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import UTC, timedelta
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd import __version__, log, status
from syncd import config as configuration
from syncd.clock import utc_now
from syncd.config import Config
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, SyncdError
from syncd.records.rows import Key
from syncd.service import web
from syncd.service.callbacks import receiver
from syncd.service.callbacks.receiver import Receiver
from syncd.service.systemd import Notifier
from syncd.service.timetable import JOB_RULES, Timetable
from syncd.sources import registry
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.state import retention, runs
from syncd.upstream.wire import http_session

DRAIN_S: Final = 6.0
"""Runs have this long to reach a page boundary; with timetable.CANCEL_S and closing, the end stays within 10 s."""
BEAT_S: Final = 5.0
"""The scheduler proves that it lives this often (more often if the watchdog wants it)."""
BEAT_LOST_S: Final = 60.0
"""After this without a beat /healthz says so."""
CLOCK_STEP_S: Final = 30.0
"""A wall clock that moved back by more than this against the monotonic one was set back."""
STATUS_S: Final = 30.0
PRUNE_S: Final = 3600.0
HOUSE_JOBS: Final = ("beat", "prune", "tell")
BACKOFF_S: Final = (0.5, 30.0)
"""Waits between two looks for a database that is away: first, doubled up to the last."""

_log = log.get(__name__)


async def serve(
    load: Callable[[], Config],
    *,
    environ: Mapping[str, str] = os.environ,
    stop: asyncio.Event | None = None,
    logs: bool = True,
    on_started: Callable[[str | None], None] = lambda _url: None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`: then end every run at its page boundary, within 10 s, and return 0.

    `load` reads the configuration, now and at each SIGHUP; the log follows it, unless `logs` leaves the log to the
    caller. `on_started` hears the address of the status page once all is under way. Raises ConfigError for a wrong
    configuration or address to listen on, and DatabaseError for a database that refuses or is not migrated; one that
    cannot be reached is waited for.
    """
    config = load()
    _protect(config)
    if logs:
        log.configure(config.log.format, config.log.level)
    daemon = _Daemon(config, load, Notifier(environ), stop or asyncio.Event(), logs=logs)
    with _signals(daemon):
        await daemon.serve(on_started)
    return 0


@contextlib.contextmanager
def _signals(daemon: "_Daemon") -> Iterator[None]:
    """Answer signals while the daemon serves."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.end, number.name)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload_soon)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class _Daemon:
    """One life of the service."""

    def __init__(
        self, config: Config, load: Callable[[], Config], notifier: Notifier, stop: asyncio.Event, *, logs: bool
    ) -> None:
        self._config, self._load, self._logs = config, load, logs
        self._notifier, self._stop = notifier, stop
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._timetable: Timetable | None = None
        self._database: Database | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beat_at = time.monotonic()
        self._reload_again = False
        self._receiver = Receiver(
            registry(), config=lambda: self._config, database=self._open, hear=self._hear, clock=utc_now
        )
        self._listens = bool(receiver.sources(config))
        self.reader = status.StatusReader(
            registry(),
            config=lambda: self._config,
            database=self._open,
            clock=utc_now,
            next_runs=lambda: self._timetable.next_runs() if self._timetable else {},
        )

    def _open(self) -> Database:
        """Return the database. Raises DatabaseUnavailable while it has not been reached yet."""
        if self._database is None:
            raise DatabaseUnavailable(f"the database {self._config.database.shown} has not been reached yet")
        return self._database

    async def serve(self, on_started: Callable[[str | None], None]) -> None:
        """Open everything from the inside out, serve, and close it in reverse."""
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(web.serving(self.reader, self._config.http, is_alive=self.is_alive))
            if not await self._unless_ending(self._await_database(stack)):
                return
            http = await stack.enter_async_context(http_session())
            syncer = Syncer(self._config, registry(), self._open(), http)
            self._scheduler.start()
            stack.callback(self._scheduler.shutdown, wait=False)
            pairs = [(source.name, name) for source in self._config.sources.values() for name in source.streams]
            histories = await status.histories(self._open(), pairs)
            self._timetable = Timetable(syncer, self._scheduler, histories, on_outage=self._lost)
            stack.push_async_callback(self._end_tasks)
            stack.push_async_callback(self._timetable.close, grace_s=DRAIN_S)
            self._timetable.plan()
            self._keep_house()
            await stack.enter_async_context(self._listening())
            self._notifier.send("READY=1", "STATUS=started")
            _log.info("daemon_started", version=__version__, url=url, database=self._open().shown,
                      streams=len(configuration.select(self._config, [])), pid=os.getpid())  # fmt: skip
            if self._reload_again:  # asked for while we were waiting for the database
                self.reload_soon()
            on_started(url)
            await self._stop.wait()
            self._notifier.send("STOPPING=1", "STATUS=ending runs at their next page")
        _log.info("daemon_stopped")

    def end(self, why: str) -> None:
        """End the service; harmless when it is ending."""
        if not self._stop.is_set():
            _log.info("daemon_stopping", signal=why)
            self._stop.set()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Listen for callbacks, if any source has them."""
        where = self._config.callback_listen if self._listens else None
        async with receiver.listening(self._receiver, where) as address:
            if address:
                _log.info("callbacks_listening", address=address, sources=receiver.sources(self._config))
            yield

    def _hear(self, pair: status.Pair, key: Key) -> str:
        return self._timetable.hear(pair, key) if self._timetable else "left to poll"

    def is_alive(self) -> bool:
        """Say whether the scheduler has ticked lately (or has not begun to)."""
        return self._timetable is None or time.monotonic() - self._beat_at < BEAT_LOST_S

    # --- The database

    async def _unless_ending(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for the work; cancel it and return False as soon as the service is to end."""
        task, ending = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return not task.cancelled()

    async def _await_database(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the database as soon as it can be reached.

        The embedded one is ours to start: if that fails, waiting does not help.
        """
        settings, waiting_since = self._config.database, 0.0
        async for _ in self._looks():
            try:
                self._database = await self._opened(stack)
            except DatabaseUnavailable as error:
                if settings.is_embedded:
                    raise
                if not waiting_since:
                    waiting_since = time.monotonic()
                    _log.warning("database_lost", error=str(error), hint=error.hint)
                self._notifier.send("STATUS=waiting for the database", "EXTEND_TIMEOUT_USEC=90000000")
                continue
            if waiting_since:
                _log.info("database_recovered", down_s=round(time.monotonic() - waiting_since, 1))
            return

    async def _opened(self, stack: contextlib.AsyncExitStack) -> Database:
        """Open the database, see that it is migrated, and close the runs of processes that died."""
        async with contextlib.AsyncExitStack() as opening:
            opened = await database.connect(self._config.database)
            if self._config.database.is_embedded:  # else systemd would kill the private server with the daemon
                opening.push_async_callback(embedded.release, self._config.database.data_dir)
            opening.push_async_callback(opened.close)
            await migrations.require_migrated(opened)
            await database.require_writable(opened)
            await _recover(opened)
            stack.push_async_exit(opening.pop_all())
        return opened

    async def _looks(self) -> AsyncIterator[None]:
        """Yield at once and then after growing waits, for ever."""
        wait_s = BACKOFF_S[0]
        while True:
            yield
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACKOFF_S[1])

    def _lost(self, error: DatabaseUnavailable) -> None:
        """Hold runs back until the database is there again; told once."""
        if "database" not in self._tasks and not self._stop.is_set():
            _log.warning("database_lost", error=str(error), hint=error.hint)
            if self._timetable is not None:
                self._timetable.pause()
                self._spawn("database", self._await_return)

    async def _await_return(self) -> None:
        """Look for the lost database, by a connection of its own, until it answers; then let runs go on."""
        lost_at = time.monotonic()
        async for _ in self._looks():
            try:
                # also starts the embedded server again
                looking = await database.connect(self._config.database, pool_size=1)
                try:
                    await database.require_writable(looking)
                finally:
                    await looking.close()
                self._open().drop_idle()  # what is left of the old connections is dead
                await _recover(self._open())
            except DatabaseError:
                continue
            _log.info("database_recovered", down_s=round(time.monotonic() - lost_at, 1))
            if self._timetable is not None:
                self._timetable.resume()
            return

    # --- Configuration

    def reload_soon(self) -> None:
        """Read the configuration again, once more if it is just being read."""
        self._reload_again = True
        if self._timetable is not None and "reload" not in self._tasks:
            self._spawn("reload", self._reload)

    async def _reload(self) -> None:
        """Take the configuration if it is good; keep the old one if it is not."""
        while self._reload_again and self._timetable is not None:
            self._reload_again = False
            self._notifier.reloading()
            try:
                config = self._load()
            except SyncdError as error:
                _log.error("config_refused", error=str(error), hint=error.hint, kept="the configuration before")
                self._notifier.send("READY=1", "STATUS=the configuration was refused, the one before is kept")
                continue
            await self._take(config, self._timetable)
            self._notifier.send("READY=1", "STATUS=configuration reloaded")

    async def _take(self, config: Config, timetable: Timetable) -> None:
        old, new = self._config, config
        _protect(new)
        if self._logs and new.log != old.log:
            log.configure(new.log.format, new.log.level)
        late = [key for key in ("database", "http", "callback_listen") if getattr(new, key) != getattr(old, key)]
        if receiver.sources(new) and not self._listens:
            late.append("callbacks")
        for key in late:
            _log.warning("config_needs_restart", key=key, hint="This part of the change counts after a restart.")
        await timetable.reconfigure(new, grace_s=DRAIN_S)
        self._config = new
        self.reader.clear()
        _log.info(
            "config_reloaded",
            added=sorted(new.sources.keys() - old.sources.keys()),
            removed=sorted(old.sources.keys() - new.sources.keys()),
            changed=sorted(n for n in new.sources.keys() & old.sources.keys() if new.sources[n] != old.sources[n]),
            streams=len(configuration.select(new, [])),
        )

    # --- Keeping house

    def _keep_house(self) -> None:
        """Add the daemon's own jobs."""
        beat_s = min(BEAT_S, (self._notifier.watchdog_s or BEAT_S * 3) / 3)
        jobs = (self._beat, self._prune, self._tell)
        for name, job, every_s in zip(HOUSE_JOBS, jobs, (beat_s, PRUNE_S, STATUS_S), strict=True):
            self._scheduler.add_job(
                job, "interval", seconds=every_s, id=name, next_run_time=utc_now() + timedelta(seconds=every_s / 20),
                **JOB_RULES,
            )  # fmt: skip
        self._spawn("clock", self._watch_clock)

    async def _beat(self) -> None:
        """Prove that the loop turns and that the scheduler ticks: this job is run by both."""
        self._beat_at = time.monotonic()
        self._notifier.send("WATCHDOG=1")

    async def _watch_clock(self) -> None:
        """Bring jobs forward when the wall clock was set back, which the scheduler waits by."""
        ahead = time.time() - time.monotonic()
        while not self._stop.is_set():
            await asyncio.sleep(BEAT_S)
            ahead, before = time.time() - time.monotonic(), ahead
            if before - ahead > CLOCK_STEP_S and self._timetable:
                _log.warning("clock_set_back", seconds=round(before - ahead))
                self._timetable.follow_clock()
                for name in HOUSE_JOBS:
                    self._scheduler.modify_job(name, next_run_time=utc_now())

    async def _prune(self) -> None:
        """Delete what is older than the configuration keeps, in small statements."""
        now, kept = utc_now(), self._config.retention
        ages = {"runs": kept.runs_s, "rejects": kept.rejects_s, "changes": kept.changes_s, "versions": kept.history_s}
        before = {name: now - timedelta(seconds=age_s) for name, age_s in ages.items() if age_s is not None}
        with self._telling("prune_failed"):
            pruned = await retention.prune(self._open(), before)
            if any(pruned.values()):
                _log.info(
                    "history_pruned", runs=pruned["runs"], rejects=pruned["rejects"], changes=pruned["changes"],
                    versions=pruned.get("versions", 0),
                )  # fmt: skip

    async def _tell(self) -> None:
        """Tell systemd how the streams stand; by the way, notice a database that went away while nothing ran."""
        with self._telling("status_failed"):
            self._notifier.send(f"STATUS={await self.reader.line()}")

    @contextlib.contextmanager
    def _telling(self, event: str) -> Iterator[None]:
        """Let a house job fail without harm."""
        try:
            yield
        except asyncio.CancelledError:
            if not self._stop.is_set():  # at the end the scheduler cancels its jobs, and would log each as an error
                raise
        except DatabaseUnavailable as error:
            self._lost(error)
        except DatabaseError as error:
            _log.warning(event, error=str(error), hint=error.hint)
        except Exception:  # noqa: BLE001  a bug of ours must not end the service, and must be told
            _log.exception(event)

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async def working() -> None:
            try:
                await work()
            except Exception:  # noqa: BLE001  as above
                _log.exception("daemon_task_failed", task=name)
            finally:
                self._tasks.pop(name, None)

        self._tasks[name] = asyncio.create_task(working(), name=name)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _recover(opened: Database) -> None:
    if recovered := await runs.recover(opened, now=utc_now()):
        _log.info("runs_recovered", count=recovered)


def _protect(config: Config) -> None:
    """Let the log mask every secret; an address of a database without a password is none."""
    for key, secret in configuration.secrets(config):
        if secret.is_resolved and (key != "database.url" or config.database.password):
            log.protect(secret.reveal())

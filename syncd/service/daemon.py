"""The service: puts database, syncer, timetable and status page together, and answers signals and systemd.

Owns the order in which these come and go, and what SIGHUP and SIGTERM do. Knows no stream: `timetable/` says when a
stream runs, `engine.run` how.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC
from functools import partial
from typing import Any, Final, Literal

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd import __version__, log, status
from syncd import config as configuration
from syncd.clock import utc_now
from syncd.config import Config, Log
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, Defect, SyncdError, WorkerLost
from syncd.log import kept
from syncd.records.rows import Key
from syncd.service import accounts, listener, ports, web
from syncd.service.background import Background
from syncd.service.callbacks import receiver
from syncd.service.callbacks.inbox import Inbox
from syncd.service.callbacks.receiver import Receiver
from syncd.service.connection import Connection, loaded
from syncd.service.cycles import free_cycles
from syncd.service.house import House
from syncd.service.notices import Notices, tell_left_out
from syncd.service.notify import Watch
from syncd.service.operations import Operations
from syncd.service.share import Share
from syncd.service.systemd import Notifier
from syncd.service.timetable import Timetable, wanted_of
from syncd.sources import registry
from syncd.storage.mirror import listing
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session

DRAIN_S: Final = 6.0
"""Runs have this long to reach a page boundary; with tasks.CANCEL_S and closing, the end stays within 10 s."""

UNASKED_S: Final = 60.0
"""How often is looked whether a reload brought a query for accounts; our choice."""

Hangup = Literal["reloads", "ends"]
"""What SIGHUP does: systemd sends it for a reload, a terminal when it is closed."""

_log = log.get(__name__)


async def serve(
    load: Callable[[], Config],
    *,
    environ: Mapping[str, str] = os.environ,
    stop: asyncio.Event | None = None,
    logs: bool = True,
    on_started: Callable[[str | None], None] = lambda _url: None,
    hangup: Hangup = "reloads",
    is_worker: bool = False,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`: then end every run at its page boundary, within 10 s, and return 0.

    `load` reads the configuration, now and at each SIGHUP, in a thread of its own; the log follows it, unless `logs`
    leaves the log to the caller. `hangup` says what SIGHUP does. `is_worker`: only the accounts that are this process's
    share, among other workers (`syncd.scale`); declared lost, it begins a new life, and only signals end it.
    `on_started` hears the address of the status page once all is under way, None if it is off or its port is taken.

    Raises ConfigError for a wrong configuration or address to listen on, and
    DatabaseError for a database that refuses or is not migrated. One that cannot be reached is waited for, and so is a
    port that is taken.
    """
    listener.raise_descriptors()
    if logs:  # as it is by default, until the configuration says more: to wait for its accounts must be told
        log.configure(Log.format, Log.level)
    config, told = await loaded(load, Notifier(environ), stop), _Told()
    with _signals(told, hangup):
        while not told.is_end:
            if config.sources_from is None:
                configuration.require_some(config)
            _protect(_known(config, lambda _name: not is_worker))
            if logs:
                log.configure(config.log.format, config.log.level)
            tell_left_out(config)
            ending = asyncio.Event() if is_worker or stop is None else stop
            told.life = daemon = _Daemon(config, load, Notifier(environ), ending, logs=logs, is_worker=is_worker)
            await daemon.serve(on_started)
            if not daemon.is_lost:
                break
            config = daemon.config
    return 0


@dataclass(kw_only=True)
class _Told:
    """What signals ask for, in whichever life of the service they come: also while a lost worker's life ends."""

    life: "_Daemon | None" = None
    is_end: bool = False

    def end(self, why: str) -> None:
        """End this life, and begin no other."""
        self.is_end = True
        if self.life is not None:
            self.life.end(why)

    def reload(self) -> None:
        """Read the configuration again; a life that has not begun reads it anyway."""
        if self.life is not None:
            self.life.reload_soon()


@contextlib.contextmanager
def _signals(told: _Told, hangup: Hangup) -> Iterator[None]:
    """Answer signals while the service lives."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.end, number.name)
    if hangup == "ends":
        loop.add_signal_handler(signal.SIGHUP, told.end, signal.SIGHUP.name)
    else:
        loop.add_signal_handler(signal.SIGHUP, told.reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class _Daemon:
    """One life of the service."""

    def __init__(
        self, config: Config, load: Callable[[], Config], notifier: Notifier, stop: asyncio.Event, *, logs: bool,
        is_worker: bool = False,
    ) -> None:  # fmt: skip
        self._config, self._load, self._logs = config, load, logs
        self._notifier, self._stop = notifier, stop
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._timetable: Timetable | None = None
        self._is_worker = is_worker
        self._share: Share | None = None
        self.is_lost = False
        """Whether this life ended because the worker was declared lost."""
        self._connection = Connection(config, notifier, is_worker=is_worker, on_misfit=self._tell_misfit)
        self._background = Background()
        self._reload_again = self._ask_again = False
        self._refusal: SyncdError | None = None
        self._notices = Notices()
        self._receiver = Receiver(
            registry(), config=lambda: self._config, database=self._connection.get, hear=self._hear,
            push=self._push, values=self._values, clock=utc_now,
        )  # fmt: skip
        self._syncer: Syncer | None = None
        self._inbox = Inbox(self._store)
        self._listens = bool(receiver.sources(config, registry()))
        self.reader = status.StatusReader(
            registry(),
            config=lambda: self._config,
            database=self._connection.get,
            clock=utc_now,
            next_runs=lambda: self._timetable.next_runs() if self._timetable else {},
            next_sweeps=lambda: self._timetable.next_sweeps() if self._timetable else {},
            notices=self._notices.all,
        )
        self._operations = Operations(
            config=lambda: self._config, database=self._connection.get, clock=utc_now, run_now=self._run_now,
            follow=self._follow_pauses, changed=self.reader.clear_status,
        )  # fmt: skip
        self._kept = kept.keep()
        self._held_of: tuple[int, frozenset[str], Config] | None = None
        self._mine = self.reader
        """Reads the status of the accounts whose metrics are this process's: all, or those that a worker holds."""
        if is_worker:
            self._mine = status.StatusReader(
                registry(), config=self._held, database=self._connection.get, clock=utc_now,
                next_runs=lambda: self._timetable.next_runs() if self._timetable else {}, notices=self._notices.all,
            )  # fmt: skip
        self._watch = Watch(self.reader, config=lambda: self._config, database=self._connection.get, clock=utc_now)
        self._house = House(
            self._scheduler, notifier, self.reader, self._watch, config=lambda: self._config,
            database=self._connection.get, on_outage=self._lost, stop=stop,
            leads=lambda: self._share.leads if self._share else not is_worker,
            line=self._line if is_worker else None, follow=self._follow,
        )  # fmt: skip

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self._config

    async def serve(self, on_started: Callable[[str | None], None]) -> None:
        """Open everything from the inside out, serve, and close it in reverse."""
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(self._page())
            if not await self._unless_ending(self._connection.open(stack)):
                return
            http = await stack.enter_async_context(http_session())
            syncer = self._syncer = Syncer(self._config, registry(), self._connection.get(), http)
            self._scheduler.start()
            stack.callback(self._scheduler.shutdown, wait=False)
            stack.push_async_callback(self._background.end)
            timetable = self._timetable = await self._planned(syncer, url)
            stack.push_async_callback(self._close, timetable)
            stack.push_async_callback(self._inbox.close)
            self._house.keep()
            self._background.spawn("clock", lambda: self._house.watch_clock(timetable.follow_clock))
            self._background.spawn("accounts", self._follow_accounts)
            self._background.spawn("cycles", free_cycles)
            await stack.enter_async_context(self._listening())
            self._notifier.send("READY=1", "STATUS=started")
            _log.info("daemon_started", version=__version__, url=url, database=self._connection.get().shown,
                      streams=configuration.count_on(self._config), pid=os.getpid())  # fmt: skip
            if self._reload_again:  # asked for while we were waiting for the database
                self.reload_soon()
            on_started(url)
            await self._stop.wait()
            self._notifier.send("STOPPING=1", "STATUS=ending runs at their next page")
        _log.info("daemon_stopped")

    async def _planned(self, syncer: Syncer, url: str | None) -> Timetable:
        """Return the timetable of all accounts, or an empty one for a worker, which then takes its share."""
        opened = self._connection.get()
        if self._is_worker:
            self._share = Share(
                opened, self, config=lambda: self._config, address=lambda: url, drain_s=DRAIN_S
            )  # fmt: skip
            await self._share.join()
            timetable = Timetable(syncer, self._scheduler, {}, on_outage=self._lost, holds=self._share.holds)
            timetable.pause_streams(await self._operations.paused())
            self._share.begin(timetable)
            return timetable
        histories = await status.histories(opened, list(wanted_of(self._config)))
        paces = await status.read_paces(opened, self._config, now=utc_now())
        timetable = Timetable(syncer, self._scheduler, histories, on_outage=self._lost, paces=paces)
        timetable.pause_streams(await self._operations.paused())
        timetable.plan()
        return timetable

    async def _close(self, timetable: Timetable) -> None:
        """End every run at its page, a lost worker's at once; a worker gives up each shard as soon as that is idle."""
        if self._share and not self.is_lost:
            await self._share.leave()
        await timetable.close(grace_s=0.0 if self.is_lost else DRAIN_S)
        if self._share and self.is_lost:
            await self._share.abandon()

    def end(self, why: str) -> None:
        """End the service; harmless when it is ending."""
        if not self._stop.is_set():
            _log.info("daemon_stopping", signal=why)
            self._stop.set()

    def _listening(self) -> AbstractAsyncContextManager[None]:
        """Listen for callbacks, if any source has them."""
        where = self._config.callback_listen if self._listens else None
        return ports.callbacks(
            partial(receiver.listening, self._receiver, where), self._notices,
            sources=lambda: receiver.sources(self._config, registry()), is_worker=self._is_worker,
        )  # fmt: skip

    def _page(self) -> AbstractAsyncContextManager[str | None]:
        """Serve the status page; streams are synced also while another program has its port."""
        serve = partial(
            web.serving, self.reader, self._config.http, is_alive=self.is_alive, mine=self._mine,
            operations=self._operations, lines=self._kept.of_run,
        )  # fmt: skip
        return ports.page(serve, self._notices)

    def _run_now(self, pairs: Collection[status.Pair]) -> None:
        if self._timetable is None:
            raise DatabaseUnavailable("no run can be started yet", hint="The service is starting; try again soon.")
        mine = [pair for pair in pairs if self._share is None or self._share.holds(pair[0])]
        self._timetable.run_now(mine)
        for pair in pairs:
            if self._share and pair not in mine:
                self._share.ask_to_run(pair)

    def _follow_pauses(self, pairs: Collection[status.Pair]) -> None:
        if self._timetable is not None:
            self._timetable.pause_streams(pairs)

    async def _follow(self) -> None:
        """Take what operators decided elsewhere: which streams are paused, and which backfills are asked for."""
        await self._operations.follow()
        if self._timetable is not None:
            await self._timetable.look_for_backfills()

    def _hear(self, pair: status.Pair, key: Key | None) -> str:
        if self._share and not self._share.holds(pair[0]):
            return self._share.pass_on(pair, key)
        return self._timetable.hear(pair, key) if self._timetable else "left to poll"

    async def _push(self, pair: status.Pair, records: Sequence[bytes]) -> None:
        await self._inbox.store(pair, records)

    async def _store(self, pair: status.Pair, order: Order) -> Result:
        return await self._opened_syncer().run(*pair, order)

    async def _values(self, pair: status.Pair, column: str) -> list[Any]:
        async with self._connection.get().connection() as conn:
            return await listing.first_values(conn, self._opened_syncer().target(*pair), pair[0], column)

    def _opened_syncer(self) -> Syncer:
        if self._syncer is None:
            raise DatabaseUnavailable("the database was not opened yet")
        return self._syncer

    def is_alive(self) -> bool:
        """Say whether the scheduler has ticked lately (or has not begun to)."""
        return self._timetable is None or self._house.is_alive()

    # --- The database

    async def _tell_misfit(self, opened: Database) -> None:
        await self._watch.tell_misfit(opened)

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

    def _lost(self, error: DatabaseUnavailable) -> None:
        """Hold runs back until the database is there again; told once."""
        if isinstance(error, WorkerLost):
            self.forfeit(error)
        elif "database" not in self._background and not self._stop.is_set():
            _log.warning("database_lost", error=str(error), hint=error.hint)
            if self._timetable is not None:
                self._timetable.pause()
                self._background.spawn("database", self._await_return)

    async def _await_return(self) -> None:
        """Let runs go on when the database is there again."""
        await self._connection.await_return()
        if self._timetable is not None:
            self._timetable.resume()

    # --- A worker's life (service.share)

    away = _lost

    def differ(self, names: Sequence[str]) -> None:
        """Show whose configuration has differed from most for over a minute; the worker that leads logs it."""
        if not names:
            self._notices.settle("configs_differ")
        else:
            hint = "Bring the file there, then: syncd reload --all"
            words = f"for over a minute the configuration of {', '.join(names)} has not been that of the other workers"
            self._notices.put("configs_differ", SyncdError(words, hint=hint))
            if self._share and self._share.leads:
                _log.warning("configs_differ", workers=names, hint=hint)
        self._clear()

    def protect(self, config: Config) -> None:
        """Let the log mask the secrets of accounts that this worker takes."""
        _protect(config)

    def forfeit(self, error: WorkerLost) -> None:
        """End this life at once, because others have the accounts; `serve` begins the next one."""
        if not self._stop.is_set():
            self.is_lost = True
            _log.error("lease_lost", error=str(error), hint=error.hint)
            self._stop.set()

    async def reload(self) -> SyncdError | None:
        """Read the configuration again now; return why it was refused."""
        self.reload_soon()
        await self._background.ended("reload")
        return self._refusal

    def _held(self) -> Config:
        """Return the configuration with the accounts that this worker holds, and no others; the same for the same."""
        sources = self._config.sources
        names = frozenset(name for name in sources if self._share and self._share.holds(name))
        if self._held_of is None or self._held_of[:2] != (id(self._config), names):
            held = {name: each for name, each in sources.items() if name in names}
            self._held_of = id(self._config), names, replace(self._config, sources=held)
        return self._held_of[2]

    async def _line(self) -> str:
        return await self._share.line() if self._share else "waiting for the database"

    # --- Configuration

    def _clear(self) -> None:
        self.reader.clear()
        self._mine.clear()

    def reload_soon(self) -> None:
        """Read the configuration again, once more if it is just being read."""
        self._reload_again = True
        if self._timetable is not None and "reload" not in self._background:
            self._background.spawn("reload", self._reload)

    async def _follow_accounts(self) -> None:
        """Ask the query for accounts again and again, until the end; the files are read again by a reload only."""
        while not self._stop.is_set():
            asked = self._config.sources_from
            await asyncio.sleep(asked.every_s if asked else UNASKED_S)
            if asked and self._config.sources_from and "database" not in self._background:
                self._ask_again = True
                if "reload" not in self._background:
                    self._background.spawn("reload", self._reload)

    async def _reload(self) -> None:
        """Take the configuration if it is good; keep the old one if it is not."""
        while (self._reload_again or self._ask_again) and self._timetable is not None:
            is_whole, self._reload_again, self._ask_again = self._reload_again, False, False
            if is_whole:
                self._notifier.reloading()
            before = self._config
            load = self._load if is_whole else partial(accounts.with_accounts, before)
            refuse = self._refuse if is_whole else self._refuse_accounts
            try:
                config = await asyncio.wrap_future(accounts.beside(load))
            except SyncdError as error:
                refuse(error)
                continue
            except Exception as error:  # noqa: BLE001  a bug of ours must not leave the reload under way for ever
                refuse(Defect(error))
                continue
            if config is not before:
                await self._take(config, self._timetable, told={} if is_whole else before.left_out)
            self._notices.settle("accounts_refused")
            if is_whole:
                self._refusal = None
                self._notices.settle("config_refused")
                self._notifier.send("READY=1", "STATUS=configuration reloaded")

    def _refuse_accounts(self, error: SyncdError) -> None:
        """Keep the accounts before, and say so until the query gives some; it is logged once."""
        if not any(notice.what == "accounts_refused" for notice in self._notices.all()):
            _log.error("accounts_refused", error=str(error), hint=error.hint, kept="the accounts before")
        self._notices.put(
            "accounts_refused", SyncdError(f"the accounts could not be asked for: {error}", hint=error.hint)
        )
        self._clear()

    def _refuse(self, error: SyncdError) -> None:
        """Keep the configuration before, and say so until a good one is taken."""
        self._refusal = error
        self._notices.put("config_refused", SyncdError(f"the configuration was refused: {error}", hint=error.hint))
        self._clear()
        _log.error("config_refused", error=str(error), hint=error.hint, kept="the configuration before")
        self._notifier.send("READY=1", f"STATUS=the configuration was refused, the one before is kept: {error}")

    async def _take(self, config: Config, timetable: Timetable, *, told: Mapping[str, str]) -> None:
        """Go on under a new configuration; what is left out for the reason in `told` is not told again."""
        old, new = self._config, config
        holds = self._share.holds if self._share else lambda _name: True
        _protect(_known(new, holds))
        tell_left_out(new, told)
        if self._logs and new.log != old.log:
            log.configure(new.log.format, new.log.level)
        late = [
            key for key in ("database", "http", "callback_listen", "scale") if getattr(new, key) != getattr(old, key)
        ]
        if receiver.sources(new, registry()) and not self._listens:
            late.append("callbacks")
        for key in late:
            _log.warning("config_needs_restart", key=key, hint="This part of the change counts after a restart.")
        turned_on = [pair for pair in wanted_of(new).keys() - wanted_of(old).keys() if holds(pair[0])]
        with contextlib.suppress(DatabaseError):  # then their sweeps count from now on
            timetable.learn(await status.histories(self._connection.get(), turned_on))
        await timetable.reconfigure(new, grace_s=DRAIN_S)
        self._config = new
        self._clear()
        _log.info(
            "config_reloaded",
            added=sorted(new.sources.keys() - old.sources.keys()),
            removed=sorted(old.sources.keys() - new.sources.keys()),
            changed=sorted(n for n in new.sources.keys() & old.sources.keys() if new.sources[n] != old.sources[n]),
            streams=configuration.count_on(new),
        )


def _known(config: Config, holds: Callable[[str], bool]) -> Config:
    """Return the configuration with the accounts whose secrets this process uses: those held, and those called back.

    To know 50,000 secrets by all their spellings takes more memory than all else of a worker.
    """
    called = set(receiver.sources(config, registry()))
    return replace(config, sources={name: s for name, s in config.sources.items() if name in called or holds(name)})


def _protect(config: Config) -> None:
    """Let the log mask every secret; an address of a database without a password is none."""
    for secret in configuration.masked(config):
        if secret.is_resolved:
            log.protect(secret.reveal())

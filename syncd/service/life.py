"""One life of the service: puts database, syncer, timetable and status page together, and takes them apart again.

Owns the order in which these come and go. Knows no stream: `timetable/` says when a stream runs, `engine.run` how.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd import __version__, log, status
from syncd import config as configuration
from syncd.clock import utc_now
from syncd.config import Config
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, SyncdError, WorkerLost
from syncd.log import kept
from syncd.records.rows import Key
from syncd.service import web
from syncd.service.callbacks import receiver
from syncd.service.callbacks.inbox import Inbox
from syncd.service.callbacks.receiver import Receiver
from syncd.service.connection import Connection
from syncd.service.house import House
from syncd.service.listeners import ports
from syncd.service.notices import Notices
from syncd.service.notify import Watch
from syncd.service.operations import Operations
from syncd.service.process.background import Background
from syncd.service.process.memory import free_memory
from syncd.service.process.systemd import Notifier
from syncd.service.reload import Reload
from syncd.service.share import Share
from syncd.service.timetable import Timetable, wanted_of
from syncd.sources import registry
from syncd.storage.mirror import listing
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session

SECRETS_AT_ONCE: Final = 100
"""Secrets that the log learns to find before others have their turn: some hundredths of a second."""
DRAIN_S: Final = 6.0
"""Runs have this long to reach a page boundary; with tasks.CANCEL_S and closing, the end stays within 10 s."""

_log = log.get(__name__)


class Life:
    """The service from its start to its end, or until it is declared lost as a worker."""

    def __init__(
        self, config: Config, load: Callable[[], Config], notifier: Notifier, stop: asyncio.Event, *, logs: bool,
        is_worker: bool = False,
    ) -> None:  # fmt: skip
        self._notifier, self._stop = notifier, stop
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._timetable: Timetable | None = None
        self._is_worker = is_worker
        self._share: Share | None = None
        self.is_lost = False
        """Whether this life ended because the worker was declared lost."""
        self._connection = Connection(config, notifier, is_worker=is_worker, on_misfit=self._tell_misfit)
        self._background = Background()
        self._notices = Notices()
        self._reload = Reload(
            config, load, logs=logs, background=self._background, notices=self._notices, notifier=notifier,
            apply=self._apply, changed=self._clear,
        )  # fmt: skip
        self._receiver = Receiver(
            registry(), config=lambda: self.config, database=self._connection.get, hear=self._hear,
            push=self._push, values=self._values, clock=utc_now,
        )  # fmt: skip
        self._syncer: Syncer | None = None
        self._inbox = Inbox(self._store)
        self.reader = status.StatusReader(
            registry(),
            config=lambda: self.config,
            database=self._connection.get,
            clock=utc_now,
            next_runs=lambda pairs: self._timetable.next_runs(pairs) if self._timetable else {},
            next_sweeps=lambda pairs: self._timetable.next_sweeps(pairs) if self._timetable else {},
            notices=self._notices.all,
            every_budget=not is_worker,
        )
        self._operations = Operations(
            config=lambda: self.config, database=self._connection.get, clock=utc_now, run_now=self._run_now,
            follow=self._follow_pauses, changed=self.reader.clear_status,
        )  # fmt: skip
        self._kept = kept.keep()
        self._held_of: tuple[Config, frozenset[int], Config] | None = None
        self._mine = self.reader
        """Reads the status of the accounts whose metrics are this process's: all, or those that a worker holds."""
        if is_worker:
            self._mine = status.StatusReader(
                registry(), config=self._held, database=self._connection.get, clock=utc_now,
                next_runs=lambda pairs: self._timetable.next_runs(pairs) if self._timetable else {},
                notices=self._notices.all,
            )  # fmt: skip
        self._watch = Watch(self.reader, config=lambda: self.config, database=self._connection.get, clock=utc_now)
        self._house = House(
            self._scheduler, notifier, self.reader, self._watch, config=lambda: self.config,
            database=self._connection.get, on_outage=self._lost, stop=stop,
            leads=lambda: self._share.leads if self._share else not is_worker,
            line=self._line if is_worker else None, follow=self._follow,
        )  # fmt: skip

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self._reload.config

    async def serve(self, on_started: Callable[[str | None], None]) -> None:
        """Open everything from the inside out, serve, and close it in reverse."""
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(self._page())
            if not await self._unless_ending(self._connection.open(stack)):
                return
            http = await stack.enter_async_context(http_session())
            syncer = self._syncer = Syncer(self.config, registry(), self._connection.get(), http)
            self._scheduler.start()
            stack.callback(self._scheduler.shutdown, wait=False)
            stack.push_async_callback(self._background.end)
            timetable = self._timetable = await self._planned(syncer, url)
            stack.push_async_callback(self._close, timetable)
            stack.push_async_callback(self._inbox.close)
            self._house.keep()
            self._background.spawn("clock", lambda: self._house.watch_clock(timetable.follow_clock))
            self._background.spawn("memory", free_memory)
            await stack.enter_async_context(self._listening())
            self._notifier.send("READY=1", "STATUS=started")
            _log.info("daemon_started", version=__version__, url=url, database=self._connection.get().shown,
                      streams=configuration.count_on(self.config), pid=os.getpid())  # fmt: skip
            self._reload.begin()
            on_started(url)
            await self._stop.wait()
            self._notifier.send("STOPPING=1", "STATUS=ending runs at their next page")
        _log.info("daemon_stopped")

    async def _planned(self, syncer: Syncer, url: str | None) -> Timetable:
        """Return the timetable of all accounts, or an empty one for a worker, which then takes its share."""
        opened = self._connection.get()
        if self._is_worker:
            self._share = Share(
                opened, self, config=lambda: self.config, address=lambda: url, drain_s=DRAIN_S
            )  # fmt: skip
            await self._share.join()
            timetable = Timetable(syncer, {}, on_outage=self._lost, holds=self._share.holds)
            timetable.pause_streams(await self._operations.paused())
            self._share.begin(timetable)
            return timetable
        histories = await status.histories(opened, list(wanted_of(self.config)))
        paces = await status.read_paces(opened, self.config, now=utc_now())
        timetable = Timetable(syncer, histories, on_outage=self._lost, paces=paces)
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

    def reload_soon(self) -> None:
        """Read the configuration again, once the service has started."""
        self._reload.soon()

    def end(self, why: str) -> None:
        """End the service; harmless when it is ending."""
        if not self._stop.is_set():
            _log.info("daemon_stopping", signal=why)
            self._stop.set()

    def _listening(self) -> AbstractAsyncContextManager[None]:
        """Listen for callbacks, if any source has them."""
        where = self.config.callback_listen if receiver.sources(self.config, registry()) else None
        return ports.callbacks(
            partial(receiver.listening, self._receiver, where), self._notices,
            sources=lambda: receiver.sources(self.config, registry()), is_worker=self._is_worker,
        )  # fmt: skip

    def _page(self) -> AbstractAsyncContextManager[str | None]:
        """Serve the status page; streams are synced also while another program has its port."""
        serve = partial(
            web.serving, self.reader, self.config.http, is_alive=self.is_alive, mine=self._mine,
            operations=self._operations, lines=self._kept.of_run,
        )  # fmt: skip
        return ports.page(serve, self._notices)

    def _run_now(self, pairs: Collection[status.Pair]) -> None:
        mine = [pair for pair in pairs if self._runs_here(pair[0])]
        self._opened_timetable().run_now(mine)
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

    def _runs_here(self, source: str) -> bool:
        return self._share is None or self._share.holds(source)

    def _opened_timetable(self) -> Timetable:
        if self._timetable is None:
            raise DatabaseUnavailable("no run can be started yet", hint="The service is starting; try again soon.")
        return self._timetable

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

    async def protect(self, config: Config) -> None:
        """Let the log mask the secrets of accounts that this worker takes; others have their turn meanwhile."""
        for place, secret in enumerate(_used(config, lambda _name: True), 1):
            log.protect(secret)
            if place % SECRETS_AT_ONCE == 0:
                log.prepare()
                await asyncio.sleep(0)
        log.prepare()

    def forfeit(self, error: WorkerLost) -> None:
        """End this life at once, because others have the accounts; `serve` begins the next one."""
        if not self._stop.is_set():
            self.is_lost = True
            _log.error("lease_lost", error=str(error), hint=error.hint)
            self._stop.set()

    async def reload(self) -> SyncdError | None:
        """Read the configuration again now; return why it was refused."""
        return await self._reload.now()

    def _held(self) -> Config:
        """Return the configuration with the accounts that this worker holds, and no others; the same for the same."""
        shards = self._share.shards if self._share else frozenset()
        if self._held_of is None or self._held_of[0] is not self.config or self._held_of[1] != shards:
            names = set(self._share.accounts(shards)) if self._share else set()
            held = {name: each for name, each in self.config.sources.items() if name in names}
            self._held_of = self.config, shards, replace(self.config, sources=held)
        return self._held_of[2]

    async def _line(self) -> str:
        return await self._share.line() if self._share else "waiting for the database"

    def _clear(self) -> None:
        self._held_of = None
        self.reader.clear()
        self._mine.clear()

    async def _apply(self, new: Config) -> None:
        """Let the timetable go on under a new configuration; the runs that it ends reach their next page."""
        before = self.config.sources
        turned = {
            name: each
            for name, each in new.sources.items()
            if (name not in before or before[name] != each) and self._runs_here(name)
        }
        await self.protect(replace(new, sources=turned))
        were_on = wanted_of(replace(new, sources={name: before[name] for name in turned if name in before}))
        turned_on = list(wanted_of(replace(new, sources=turned)).keys() - were_on.keys())
        timetable = self._opened_timetable()
        with contextlib.suppress(DatabaseError):  # then their sweeps count from now on
            timetable.learn(await status.histories(self._connection.get(), turned_on))
        await timetable.reconfigure(new, grace_s=DRAIN_S)


def protect(config: Config, holds: Callable[[str], bool]) -> None:
    """Let the log mask the secrets that this process uses; an address of a database without a password is none.

    These are the secrets of the accounts that it holds, and of those that are called back.
    To know 50,000 secrets by all their spellings takes more memory than all else of a worker.
    """
    for secret in _used(config, holds):
        log.protect(secret)


def _used(config: Config, holds: Callable[[str], bool]) -> Iterator[str]:
    called = set(receiver.sources(config, registry()))
    used = {name: each for name, each in config.sources.items() if name in called or holds(name)}
    for secret in configuration.masked(replace(config, sources=used)):
        if secret.is_resolved:
            yield secret.reveal()

"""The daemon's timetable: starts runs when they are due, and decides what follows each one.

Each run is a task of ours, so that it can be ended at a page. When a stream is due, and how long it rests after a
failure, is decided in `engine/schedule.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from syncd import log
from syncd.config import Config, StreamConfig
from syncd.contract import RunKind
from syncd.engine import schedule
from syncd.engine.order import Order, Result
from syncd.engine.pace import Paces
from syncd.engine.schedule import History
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseUnavailable
from syncd.records.rows import Key
from syncd.service.callbacks.answers import Answers
from syncd.service.timetable.attempts import Attempts, NotRun
from syncd.service.timetable.backfills import Backfills
from syncd.service.timetable.gate import Door, Gate
from syncd.service.timetable.jobs import Jobs, Later, by_the_loop
from syncd.service.timetable.seats import Seats
from syncd.service.timetable.streams import UNKNOWN, Streams, answered_last, wanted_of
from syncd.service.timetable.tasks import Tasks, Work
from syncd.status import Pair

SOURCES_AT_ONCE: Final = 250
"""Sources that are planned before others have their turn: some hundredths of a second."""

_log = log.get(__name__)


class Timetable:
    """The runs of the daemon."""

    def __init__(
        self,
        syncer: Syncer,
        histories: Mapping[Pair, History],
        *,
        on_outage: Callable[[DatabaseUnavailable], None],
        paces: Mapping[str, Paces] | None = None,
        holds: Callable[[str], bool] = lambda _source: True,
        later: Later = by_the_loop,
    ) -> None:
        """Plan the runs of the sources that are held: all, or those that `adopt` brings."""
        self._syncer = syncer
        self._holds = holds
        self._streams = Streams(histories, paces or {})
        self._jobs = Jobs(self._tick, self._streams.settings, syncer.clock, later)
        self._seats = Seats(self._streams.answered_last())
        self._tasks = Tasks(self._work)
        self._gate = Gate()
        self._attempts = Attempts(syncer, on_outage)
        self._answers = Answers(self._answer)
        self._backfills = Backfills(syncer, self._attempts, may_begin=self._may_backfill)
        self.look_for_backfills = self._backfills.look

    # --- Planning

    def plan(self, *, anew: Collection[str] | None = None) -> None:
        """Make the jobs those of the syncer's configuration.

        `anew` names the sources that changed: jobs of all others keep their time, and the failures of these are
        forgiven, since the change may have mended them. None: nothing was planned yet.
        """
        config = self._syncer.config
        names = config.sources if anew is None else [name for name in anew if name in config.sources]
        wanted = wanted_of(replace(config, sources={name: config.sources[name] for name in names if self._holds(name)}))
        for pair in self._streams.of(anew) - wanted.keys():
            self._jobs.remove(pair)
        self._streams.plan(wanted, anew)
        now = self._syncer.clock()
        for pair, settings in wanted.items():
            if anew is not None:
                self._streams.forgive(pair)
            history = self._streams.history(pair)
            first_at = schedule.first_at(now, ".".join(pair), settings, history, len(wanted))
            self._jobs.add(pair, first_at=first_at)

    def learn(self, histories: Mapping[Pair, History]) -> None:
        """Take what is known of earlier runs of streams that a new configuration turns on, before `reconfigure`."""
        self._streams.learn(histories)

    async def adopt(
        self, sources: Sequence[str], histories: Mapping[Pair, History], paces: Mapping[str, Paces]
    ) -> None:
        """Run these sources from now on, too, as another process did until now.

        Others have their turn meanwhile. A source that is held no more by then is left out.
        """
        now, overdue, late = self._syncer.clock(), 0, list[str]()
        async for wanted in self._some_of(sources):
            known = {pair: history for pair in wanted if (history := histories.get(pair))}
            self._seats.know(answered_last(known))
            self._streams.adopt(wanted, known, {name: paces[name] for name, _ in wanted if name in paces})
            for pair, settings in wanted.items():
                if due_at := schedule.due_at(now, settings, known.get(pair, UNKNOWN)):
                    self._jobs.add(pair, first_at=due_at)
                else:
                    overdue += 1
                    if pair[0] not in late[-1:]:
                        late.append(pair[0])
        async for wanted in self._some_of(late):
            for pair, settings in wanted.items():
                if pair not in self._jobs:
                    history, name = self._streams.history(pair), ".".join(pair)
                    self._jobs.add(pair, first_at=schedule.taken_over_at(now, name, settings, history, overdue))

    async def _some_of(self, sources: Sequence[str]) -> AsyncIterator[dict[Pair, StreamConfig]]:
        """Yield the streams of these sources that are on now and held, a few sources at a time."""
        for at in range(0, len(sources), SOURCES_AT_ONCE):
            config, some = self._syncer.config, sources[at : at + SOURCES_AT_ONCE]
            mine = {name: config.sources[name] for name in some if name in config.sources and self._holds(name)}
            yield wanted_of(replace(config, sources=mine))
            await asyncio.sleep(0)

    async def drop(self, sources: Collection[str], *, grace_s: float) -> None:
        """Run these sources no longer: end their runs at a page, and cancel what has not ended after `grace_s`."""
        with self._gate.closing(sources):
            for pair in self._streams.drop(sources):
                self._jobs.remove(pair)
            await self._drain(sources, grace_s)
            self._syncer.forget(sources)

    def next_runs(self, pairs: Collection[Pair] | None = None) -> dict[Pair, datetime]:
        """Return when each of these streams runs next (None: each that is planned)."""
        return self._jobs.next_runs(self._streams if pairs is None else pairs)

    def next_sweeps(self, pairs: Collection[Pair] | None = None) -> dict[Pair, datetime]:
        """Return from when on a sweep follows the live run of those that have sweeps."""
        planned = self._streams if pairs is None else [pair for pair in pairs if pair in self._streams]
        found = {pair: self._streams.sweep_at(pair) for pair in planned}
        return {pair: at for pair, at in found.items() if at is not None}

    def follow_clock(self, back_s: float) -> None:
        """Bring every run forward by as much as the clock was set back: each would wait that much longer."""
        now = self._syncer.clock()
        for pair, at in self.next_runs().items():
            self.move(pair, schedule.clock_set_back(self._streams.settings(pair), at, back_s, now))

    def move(self, pair: Pair, at: datetime) -> None:
        """Set the next run of a stream; nothing moves once the service ends."""
        if not self._gate.is_closed:
            self._jobs.move(pair, at)

    def _move_soon(self, pair: Pair, now: datetime) -> None:
        self.move(pair, now + timedelta(seconds=schedule.spread_s(".".join(pair), schedule.SPREAD_S)))

    def run_due(self) -> None:
        """Start what is due; the timer calls it at the right times."""
        self._jobs.run_due()

    # --- Running

    def _tick(self, pair: Pair) -> None:
        """Start a run of a stream, unless one is under way (then the next tick will do) or runs are held back."""
        if work := self._tasks.get(pair):
            work.is_due = bool(work.named)
            return
        if pair in self._gate.paused:
            return
        match self._gate.of(pair[0]):
            case Door.CLOSED:
                return
            case Door.PAUSED:
                self._gate.missed.add(pair)
                return
            case Door.OPEN:
                pass
        is_probing = self._streams.probe_at(pair[0]) is not None and self._tasks.any_of(pair[0])
        if is_probing or self._is_held(pair):
            self._gate.held.add(pair)
            return
        self._tasks.begin(pair)

    async def _work(self, pair: Pair, work: Work) -> None:
        """Run a stream once, and sweep it if that is due; then set its next run if it failed or was idle.

        A fetch for callbacks leaves the stream's rhythm as it is.
        """
        try:
            async with self._seats.taken(pair[0]) as work.seat:
                work.is_seated = True
                if self._is_held(pair):  # the source went down while this run waited for its seat
                    self._gate.held.add(pair)
                else:
                    await self._attempt_all(pair, work)
        except Exception:  # noqa: BLE001  a bug of ours must not end the daemon, and must be told
            _log.exception("run_crashed", source=pair[0], stream=pair[1])
        finally:
            self._tasks.ended(pair, work)
        if not work.named:
            self._settle(pair)
        if work.is_due:
            self._tick(pair)
        self._answer(pair)

    async def _attempt_all(self, pair: Pair, work: Work) -> None:
        """Fetch what callbacks named; or run a stream, and sweep it if that went well and is due."""
        if work.named:
            await self._attempt(pair, "callback", work)
            return
        self._answers.settle(pair)  # what was told before this run begins, it will find
        await self._attempt(pair, "live", work)
        sweep_s = self._syncer.config.sources[pair[0]].streams[pair[1]].sweep_s
        if self._streams.is_sweep_due(pair, sweep_s, self._syncer.clock()):
            await self._attempt(pair, "sweep", work)

    async def _attempt(self, pair: Pair, kind: RunKind, work: Work) -> None:
        """Run a stream once and note how it ended."""
        if work.stop.is_set():
            return
        if self._gate.of(pair[0]) is Door.PAUSED:  # the database went away while this run waited for its seat
            self._gate.missed.add(pair)
            return
        started_at = self._syncer.clock()
        order = Order(kind=kind, named=work.named, stop=work.stop, seat=work.seat)
        match await self._attempts.attempt(pair, order):
            case Result() as result:
                self._note(pair, result, started_at)
            case NotRun.LOCKED if work.named:
                self._answers.put_off(pair, work.named)
            case NotRun.DATABASE_AWAY:
                self._gate.missed.add(pair)
            case _:
                pass

    def _note(self, pair: Pair, result: Result, started_at: datetime) -> None:
        """Note how a run ended; only a polling run says how the stream stands."""
        if result.kind == "callback":
            if result.outcome in ("failed", "throttled"):
                self._answers.leave_to_poll(pair)
            return
        if result.kind == "live" and result.outcome == "ok":
            self._answers.polled_well(pair)
        self._streams.note(pair, result, started_at, self._syncer.clock())

    def _settle(self, pair: Pair) -> None:
        """Set the next run of a stream that failed or was idle, and let those go on that waited for its source."""
        now, probe_at = self._syncer.clock(), self._streams.probe_at(pair[0])
        if probe_at is None:
            for other in self._gate.let_go(pair[0]):
                self._move_soon(other, now)
        if pair in self._streams:
            at = probe_at or schedule.again_at(self._streams.settings(pair), self._streams.history(pair))
            if at and at > now:  # else it did not run, because another process does: its job's rhythm holds
                self.move(pair, min(at, schedule.longest_at(self._streams.settings(pair), now)))
            elif auto_at := self._streams.auto_at(pair, now):
                self.move(pair, auto_at)

    def _is_held(self, pair: Pair) -> bool:
        return self._streams.is_held(pair, self._syncer.clock())

    # --- Callbacks

    def hear(self, pair: Pair, key: Key | None) -> str:
        """Fetch a record soon that a callback named, or (None) run its stream; return in words what becomes of it."""
        return self._answers.hear(pair, key) if pair in self._streams else "ignored"

    def _answer(self, pair: Pair) -> None:
        """Begin what the callbacks about a stream ask for, as soon as that is possible.

        Whatever keeps it from beginning now calls this again when it is over. A stream that was never read whole, that
        fails, or whose source is down, is asked by its polls only.
        """
        if pair not in self._answers or pair in self._tasks or self._gate.of(pair[0]) is not Door.OPEN:
            return
        if pair not in self._streams:
            self._answers.settle(pair)
            return
        if pair in self._gate.paused or self._answers.is_left_to_poll(pair) or not self._streams.is_well(pair):
            self._answers.leave_to_poll(pair)
            return
        match self._answers.next(pair):
            case None:
                pass
            case "poll":
                self._tasks.begin(pair)
            case named:
                self._tasks.begin(pair, named)

    # --- Operators

    def run_now(self, pairs: Collection[Pair]) -> None:
        """Run these streams as soon as they can, as an operator asks: the failures of their sources are forgiven."""
        now = self._syncer.clock()
        asked = {source for source, _ in pairs}
        for pair in [pair for pair in self._streams if pair[0] in asked]:
            self._streams.forgive(pair)
        for pair in pairs:
            self.move(pair, now)

    def pause_streams(self, paused: Collection[Pair]) -> None:
        """Start runs of all streams but these; those of them under way end at their next page. Idempotent.

        Streams that are no longer paused run at once.
        """
        before, self._gate.paused = self._gate.paused, frozenset(paused)
        for pair in self._gate.paused - before:
            self._tasks.stop(pair)
        now = self._syncer.clock()
        for pair in before - self._gate.paused:
            self.move(pair, now)

    # --- Holding back

    def pause(self) -> None:
        """Start no more runs until `resume`: the database is away. Missed ticks are remembered, one per stream."""
        self._gate.pause()

    def resume(self) -> None:
        """Run what was missed, spread as at a start."""
        now, missed = self._syncer.clock(), [pair for pair in self._gate.resume() if pair in self._streams]
        for pair in missed:
            every_s = schedule.interval_s(self._streams.settings(pair), now)
            self.move(pair, now + timedelta(seconds=schedule.spread_s(".".join(pair), every_s, len(missed))))
        self._answers.look_at_all()

    async def reconfigure(self, config: Config, *, grace_s: float) -> None:
        """Take a new configuration: runs of sources that changed end first, at a page, and go on under the new one."""
        before = self._syncer.config.sources
        changed = {
            name
            for name in before.keys() | config.sources.keys()
            if before.get(name) != config.sources.get(name) and self._holds(name)
        }
        with self._gate.closing(changed):
            await self._drain(changed, grace_s)
            if not self._gate.is_closed:
                self._syncer.reconfigure(config)
                self.plan(anew=changed)
        self._answers.look_at_all()

    async def close(self, *, grace_s: float) -> None:
        """Start nothing more, and end every run at its page boundary; cancel what has not ended after `grace_s`."""
        self._gate.close()
        self._jobs.close()
        self._answers.close()
        await self._drain(None, grace_s)

    async def _drain(self, sources: Collection[str] | None, grace_s: float) -> None:
        await asyncio.gather(self._tasks.drain(sources, grace_s), self._backfills.drain(sources, grace_s))

    def _may_backfill(self, pair: Pair) -> bool:
        """Say whether a backfill of a stream may begin: neither paused, nor held back, nor of a source that is down."""
        is_open = self._gate.of(pair[0]) is Door.OPEN and pair not in self._gate.paused
        return is_open and pair in self._streams and self._streams.probe_at(pair[0]) is None

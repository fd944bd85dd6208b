"""One life of a worker among the others: it beats, takes and gives back shards, and steps in for those that are lost.

Every second one round: beat, declare lost who was silent, decide, adopt or drop accounts. A round waits for no run,
so that no beat is late because of one. What adopting and dropping mean, the service knows.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import msgspec

from syncd import __version__, log
from syncd.config import Config
from syncd.errors import DatabaseError, DatabaseUnavailable, WorkerLost
from syncd.scale import duties, placement, queue, workers
from syncd.scale.duties import NEWS, Agreement, Lead, tell_news
from syncd.scale.placement import Step, shard_of
from syncd.scale.queue import Queue
from syncd.scale.workers import Worker
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.driver import translated

BEATS: Final = 3
"""Rounds in a lease: two beats may be late before a worker counts as lost."""
LEAST_S: Final = 0.05
"""Time between two rounds at least."""
HINTS: Final = "syncd_hints"
"""The channel on which a callback reaches the worker that has its account."""
RUNS: Final = "syncd_runs_now"
"""The channel on which an operator's wish to run a stream now reaches the worker that has its account."""

_log = log.get(__name__)
Hint = tuple[str, str, tuple[object, ...] | None]
"""Source and stream that a callback is about, and the key of the record that it names."""


@dataclass(frozen=True, kw_only=True)
class Household:
    """What a worker does with its shards, as the service does it; each is called with shards.

    adopt    begins to run their accounts
    drop     ends the runs of their accounts at a page, and returns when the last has ended
    forfeit  ends the runs of their accounts at once, and returns when the last has ended
    reload   reads the configuration again; returns why it was refused, None if it was taken
    hear     is called with what a callback said that another worker received
    run_now  is called with a stream that an operator wants to run now, asked for on the page of another worker
    differ   hears whose configuration has differed from most for over a minute; nobody's: all agree again
    away     hears that the database is away
    lost     hears that this worker was declared lost: it may do nothing more
    """

    adopt: Callable[[Collection[int]], Awaitable[None]]
    drop: Callable[[int], Awaitable[None]]
    forfeit: Callable[[Collection[int]], Awaitable[None]]
    reload: Callable[[], Awaitable[str | None]]
    hear: Callable[[Hint], None]
    run_now: Callable[[str, str], None]
    differ: Callable[[Sequence[str]], None]
    away: Callable[[DatabaseUnavailable], None]
    lost: Callable[[WorkerLost], None]


class Membership:
    """A worker among the others; `config` is the configuration of now, `address` that of the status page."""

    def __init__(
        self,
        database: Database,
        household: Household,
        *,
        config: Callable[[], Config],
        address: Callable[[], str | None],
    ) -> None:
        self.worker: Final = uuid4()
        self.shards = 0
        self.running: set[int] = set()
        self.crew: list[Worker] = []
        self._database, self._household = database, household
        self._config, self._address = config, address
        self._lease_s = config().scale.lease_s
        self._conn: asyncpg.Connection | None = None
        self._queue: Queue | None = None
        self._ending: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        """Those of the tasks that end runs and give shards back."""
        self._rounds: asyncio.Task[None] | None = None
        self._is_leaving = False
        self._news = asyncio.Event()
        self._of_shards: tuple[Config, dict[int, list[str]]] | None = None
        self._steady_since = time.monotonic()
        self._round_at = time.monotonic()
        self._reloads_followed = self._reloads_asked = -1
        self._refused: str | None = None
        self._lead = Lead()
        self._agreement, self._differing = Agreement(), frozenset[UUID]()

    # --- What others ask

    def shard(self, source: str) -> int:
        """Return the shard of an account."""
        return shard_of(source, self.shards)

    def holds(self, source: str) -> bool:
        """Say whether this worker runs an account."""
        return self.shard(source) in self.running

    def accounts(self, shards: Collection[int]) -> list[str]:
        """Return the configured accounts in some shards."""
        config = self._config()
        if self._of_shards is None or self._of_shards[0] is not config:
            of_shards: dict[int, list[str]] = {}
            for name in config.sources:
                of_shards.setdefault(self.shard(name), []).append(name)
            self._of_shards = config, of_shards
        return [name for shard in sorted(shards) for name in self._of_shards[1].get(shard, ())]

    @property
    def leads(self) -> bool:
        """Whether this worker does what is done once for all of them."""
        return placement.leader([one.worker_id for one in self.crew if one.is_alive]) == self.worker

    # --- Coming and going

    async def join(self) -> None:
        """Enter the list, so that the others leave this worker its share; the database's sessions bear its name then.

        Raises UsageError where a daemon has every account, or where the extra is missing.
        """
        queue.load()
        await workers.require_no_daemon(self._database)
        wanted = self._config().scale.shards
        async with self._database.transaction() as conn:
            self.shards = await workers.settle_shards(conn, wanted)
            await workers.join(
                conn, self.worker, host=socket.gethostname(), pid=os.getpid(), version=__version__,
                digest=self._config().common_digest, address=self._address(), lease_s=self._lease_s,
            )  # fmt: skip
            await tell_news(conn)
        if self.shards != wanted:
            _log.warning(
                "shards_settled", configured=wanted, used=self.shards,
                hint="The first worker of this database settled the number, and it stays.",
            )  # fmt: skip
        self._database.become(workers.program_of(self.worker), lambda conn: workers.admit(conn, self.worker))
        self._queue = Queue(self.worker, self.shards)
        _log.info("worker_joined", worker=str(self.worker), shards=self.shards)

    def begin(self) -> None:
        """Begin the rounds, after `join`."""
        self._steady_since = self._round_at = time.monotonic()
        self._rounds = asyncio.create_task(self._go_round(), name="membership")

    async def leave(self) -> None:
        """Give every shard back as soon as its last run has ended, and leave the list; at once if declared lost.

        The beats go on meanwhile. Never raises what the database raises: the others notice the silence.
        """
        self._is_leaving = True
        with contextlib.suppress(DatabaseError, TimeoutError):
            await self._drop(frozenset(self.running))
        for task in self._tasks - self._endings:  # what is being adopted or reloaded may take longer than the end
            task.cancel()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._end_rounds()
        self._disconnect()  # the round that was ended may have left it in the middle of a statement
        with contextlib.suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(self._lease_s):
                conn = await self._ready()
                with translated(self._database.shown):
                    await queue.give_all_back(conn, self.worker)
                    await workers.leave(conn, self.worker)
                    await tell_news(conn)
                _log.info("worker_left", worker=str(self.worker))
        self._disconnect()

    async def abandon(self) -> None:
        """End without a word to the database, which has declared this worker lost."""
        await self._end_rounds()
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._disconnect()

    async def _end_rounds(self) -> None:
        if self._rounds:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)

    def pass_on(self, hint: Hint) -> None:
        """Let the worker that has the account know what a callback said; a hint that is lost, a poll makes up for."""
        self._spawn(partial(self._notify, HINTS, hint))

    def ask_to_run(self, source: str, stream: str) -> None:
        """Let the worker that has the account run a stream now; a wish that is lost is made good by its next run."""
        self._spawn(partial(self._notify, RUNS, (source, stream)))

    # --- Rounds

    async def _go_round(self) -> None:
        every_s = self._lease_s / BEATS
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._lease_s):
                    await self._round()
            except WorkerLost as error:
                self._household.lost(error)
                return
            except DatabaseUnavailable as error:
                self._unsettle()
                self._household.away(error)
            except (DatabaseError, TimeoutError) as error:
                self._unsettle()
                words = str(error) or f"the database {self._database.shown} gave no answer in {self._lease_s:g} s"
                self._household.away(DatabaseUnavailable(words, hint="Is the server overloaded, or out of reach?"))
            except Exception:  # noqa: BLE001  a bug of ours must not cost the lease at once, and must be told
                _log.exception("daemon_task_failed", task="membership")
                self._unsettle()
            await self._wait_for_news(every_s - (time.monotonic() - began))

    async def _wait_for_news(self, left_s: float) -> None:
        """Wait for the next round: until the next beat is due, a lease may be over, or another worker has news."""
        others = (one.left_s for one in self.crew if one.is_alive and one.worker_id != self.worker)
        await asyncio.sleep(LEAST_S)
        with contextlib.suppress(TimeoutError):  # no wait_for: it loses the end of the rounds if news comes just then
            async with asyncio.timeout(max(0.0, min([left_s, *others]) - LEAST_S)):
                await self._news.wait()
        self._news.clear()

    def _unsettle(self) -> None:
        """Begin anew to count for how long this worker has beaten steadily, on a new connection."""
        self._disconnect()
        self._steady_since = time.monotonic()

    async def _round(self) -> None:
        """Beat, see who is there, and do what follows for the shards."""
        conn = await self._ready()
        with translated(self._database.shown):
            beat = await workers.beat(
                conn,
                self.worker,
                shards=self.running,
                is_leaving=self._is_leaving,
                digest=self._config().common_digest,
                address=self._address(),
                reloads_followed=max(0, self._reloads_followed),
                refused=self._refused,
            )
            self.crew = await workers.crew(conn)
            now = time.monotonic()
            if now - self._round_at > self._lease_s:  # this process stood still: the others may have, too
                self._steady_since = now
            self._round_at = now
            if now - self._steady_since >= self._lease_s:
                self.crew = await duties.step_in(conn, self.worker, self._database, self.accounts)
            self._follow(beat.reloads)
            await self._settle_shards(conn, queue.shards_of(beat.jobs))
            if self.leads and self._queue:
                await self._lead.look(conn, self._queue)
            self._compare()

    def _compare(self) -> None:
        """Say so when configurations differ for long, and when they do no more."""
        alive = {one.worker_id: one for one in self.crew if one.is_alive}
        digests = {worker: one.config_digest for worker, one in alive.items()}
        found = self._agreement.look(digests, at_s=time.monotonic())
        if found != self._differing:
            self._differing = found
            self._household.differ(sorted(alive[worker].name for worker in found))

    async def _settle_shards(self, conn: asyncpg.Connection, owned: frozenset[int]) -> None:
        if self._queue is None:
            raise AssertionError("a worker takes shards after it has joined")
        wanted: frozenset[int] = frozenset()
        if not self._is_leaving:
            there = frozenset(one.worker_id for one in self.crew if one.is_alive and not one.is_leaving)
            wanted = placement.placed(self.shards, there).get(self.worker, frozenset())
        step = placement.next_step(wanted, owned=owned, running=self.running, ending=self._ending)
        if step.forfeit:
            self._forfeit(step.forfeit)
        if step.release:
            await self._queue.give_back(conn, step.release)
            await tell_news(conn)
        await self._drop(step.drop)
        taken = await self._queue.take(conn, step.take)
        self._adopt(step, taken)

    def _adopt(self, step: Step, taken: frozenset[int]) -> None:
        if adopted := step.adopt | taken:
            self.running |= adopted
            self._news.set()  # the next round says so to all who read syncd.workers
            self._spawn(partial(self._adopt_all, adopted))

    async def _adopt_all(self, shards: frozenset[int]) -> None:
        """Let shards that could not be adopted be tried again with the next round."""
        try:
            await self._household.adopt(shards)
        except Exception as error:
            self.running -= shards
            if not isinstance(error, DatabaseUnavailable):
                raise

    async def _drop(self, shards: frozenset[int]) -> None:
        """End the runs of these shards, each in a task of its own, and give each back as soon as its last has ended."""
        self.running -= shards
        self._ending |= shards
        for shard in shards:
            self._spawn(partial(self._drop_one, shard), ends=True)

    async def _drop_one(self, shard: int) -> None:
        try:
            await self._household.drop(shard)
            async with asyncio.timeout(self._lease_s), self._database.connection() as conn:
                if self._queue:
                    await self._queue.give_back(conn, [shard])
                    await tell_news(conn)
        except TimeoutError:  # the next round gives it back
            pass
        finally:
            self._ending.discard(shard)

    def _forfeit(self, shards: frozenset[int]) -> None:
        """Stop at once what belongs to shards whose jobs are gone: another worker may have them already."""
        _log.warning("shards_lost", count=len(shards), hint="Somebody else changed syncd_queue.pgqueuer.")
        self.running -= shards
        self._ending |= shards
        self._spawn(partial(self._forfeit_all, shards), ends=True)

    async def _forfeit_all(self, shards: frozenset[int]) -> None:
        try:
            await self._household.forfeit(shards)
        finally:
            self._ending -= shards

    def _follow(self, reloads: int) -> None:
        """Read the configuration again if all workers were told to."""
        if self._reloads_followed < 0:
            self._reloads_followed = self._reloads_asked = reloads
        elif reloads > self._reloads_asked and not self._is_leaving:
            self._reloads_asked = reloads
            self._spawn(partial(self._reload, reloads))

    async def _reload(self, reloads: int) -> None:
        self._refused = await self._household.reload()
        self._reloads_followed = reloads

    # --- The connection

    async def _ready(self) -> asyncpg.Connection:
        if self._conn is None or self._conn.is_closed():
            with translated(self._database.shown):
                self._conn = await self._database.open_session()
                await self._conn.add_listener(HINTS, self._hear)
                await self._conn.add_listener(RUNS, self._hear_wish)
                await self._conn.add_listener(NEWS, lambda *_news: self._news.set())
        return self._conn

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn:
            conn.terminate()

    def _hear(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            hint = msgspec.json.decode(str(payload), type=Hint)
            if self.holds(hint[0]):
                self._household.hear(hint)

    def _hear_wish(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            source, stream = msgspec.json.decode(str(payload), type=tuple[str, str])
            if self.holds(source):
                self._household.run_now(source, stream)

    async def _notify(self, channel: str, told: Hint | tuple[str, str]) -> None:
        async with self._database.connection() as conn:
            await conn.execute("SELECT pg_notify($1, $2)", channel, msgspec.json.encode(told).decode())

    def _spawn(self, work: Callable[[], Awaitable[None]], *, ends: bool = False) -> None:
        """Do something beside the rounds; `ends`: it ends runs, and the worker does not leave before that is done.

        `work` is called when its task begins: a coroutine made here would stay unawaited if the task is ended before.
        """
        task = asyncio.create_task(self._beside(work))
        for tasks in (self._tasks, self._endings) if ends else (self._tasks,):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something beside the rounds; a database that is away, the rounds tell of."""
        try:
            await work()
        except DatabaseUnavailable:
            pass
        except Exception:  # noqa: BLE001  a bug of ours must not cost the lease, and must be told
            _log.exception("daemon_task_failed", task="membership")

"""Workers that hand the runs of one bench to each other; whoever begins one without a fault is lost in it.

By turns it is lost before its first answer, and after its first page, where its run has more than one. They live in
this process. Each has sessions of its own, which bear its name, and knows only what is stored.
"""

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

import aiohttp

from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, RunFenced
from syncd.scale import duties
from syncd.scale import workers as rows
from syncd.sources import registry
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session
from tests.support.bench import Bench

LEASE_S = 3600.0
"""Nobody is silent by accident."""


@dataclass(kw_only=True)
class _Gate:
    """Holds requests back until the worker is lost: the first one, or those after a page was committed."""

    is_at_once: bool
    reached: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    lost: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def pass_by(self, *_request: Any) -> None:
        if self.is_at_once:
            self.reached.set()
        if self.reached.is_set():
            await self.lost.wait()

    def commit(self, _result: Result) -> None:
        self.reached.set()


@dataclass(frozen=True, kw_only=True)
class _Worker:
    worker: UUID
    database: Database


class Crew:
    """The workers; `run` takes the place of a Syncer's, `lost` counts those that were lost in a run."""

    def __init__(self, bench: Bench, workers: int) -> None:
        self._bench, self._number = bench, workers
        self._alive: deque[_Worker] = deque()
        self.lost = self._begun = 0

    async def run(self, source: str, stream: str, order: Order) -> Result:
        """Run a stream in the next worker; without a fault in two, of which the first is lost."""
        while len(self._alive) < self._number:
            self._alive.append(await self._join())
        if not self._bench.sandbox.faults.armed():
            await self._lose(self._alive.popleft(), source, stream, order)
        heir = self._alive[0]
        self._alive.rotate()
        async with http_session() as http:
            return await self._syncer(heir, http).run(source, stream, order)

    async def close(self) -> None:
        for each in self._alive:
            await each.database.close()

    async def _join(self) -> _Worker:
        worker = uuid4()
        async with self._bench.db.connection() as conn:
            await rows.settle_shards(conn, 8)
            await rows.join(
                conn, worker, host="here", pid=1, version="1", digest="d", address=None, lease_s=LEASE_S
            )  # fmt: skip
        database = Database(self._bench.db_url, "here", pool_size=4)
        database.become(rows.program_of(worker), lambda conn: rows.admit(conn, worker))
        return _Worker(worker=worker, database=database)

    async def _lose(self, worker: _Worker, source: str, stream: str, order: Order) -> None:
        """Let a worker run the stream until it asks, or has committed a page; then others declare it lost."""
        gate = _Gate(is_at_once=self._begun % 2 == 0)
        self._begun += 1
        begun = dataclasses.replace(order, progress=gate.commit)
        async with http_session() as http:
            http.trace_configs.append(_traced(gate))
            run = asyncio.create_task(self._syncer(worker, http).run(source, stream, begun))
            reached = asyncio.create_task(gate.reached.wait())
            await asyncio.wait({run, reached}, return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            await self._declare_lost(worker, source)
            gate.lost.set()
            try:
                result = await run
            except (DatabaseError, RunFenced):
                self.lost += 1
            else:
                assert result.outcome == "ok", (result.outcome, result.error)
        await worker.database.close()

    async def _declare_lost(self, worker: _Worker, source: str) -> None:
        async with self._bench.db.connection() as conn:
            silent = "UPDATE syncd.workers SET beat_at = beat_at - interval '1 day' WHERE worker_id = $1"
            await conn.execute(silent, worker.worker)
            await duties.step_in(conn, uuid4(), self._bench.db, lambda _shards: [source])

    def _syncer(self, worker: _Worker, http: aiohttp.ClientSession) -> Syncer:
        time = self._bench.time
        return Syncer(
            self._bench.config, registry(), worker.database, http,
            clock=time.now, sleep=time.sleep, jitter=lambda: 0.0,
        )  # fmt: skip


def _traced(gate: _Gate) -> aiohttp.TraceConfig:
    traced = aiohttp.TraceConfig()
    traced.on_request_start.append(gate.pass_by)
    traced.freeze()
    return traced


@contextlib.asynccontextmanager
async def handing_on(bench: Bench, workers: int) -> AsyncIterator[Crew]:
    """Let workers make the runs of a bench until the block ends."""
    usual, crew = bench.syncer, Crew(bench, workers)
    bench.syncer = cast("Syncer", crew)
    try:
        yield crew
    finally:
        bench.syncer = usual
        await crew.close()

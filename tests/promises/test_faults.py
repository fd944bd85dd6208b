"""The fault matrix: every misbehaviour of the sandbox × every source and way of paging that it can happen to.

Each cell: a clean load, changes, the fault once and then for good (in live runs, and in sweeps where that differs),
then a clean run; nothing may be buried wrongly on the way, no run may be `ok` that lost something, the run's
record names what happened, and at the end the mirror equals the truth, and every state of a row was kept.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from syncd.engine.order import Result
from syncd.engine.syncer import Syncer
from syncd.sandbox import FAULTS
from syncd.sandbox.faults import KINDS
from syncd.sources import registry
from syncd.storage.postgres import embedded
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session
from tests.support.bench import Bench, open_bench, own_database
from tests.support.crew import handing_on
from tests.support.forgetting import CANARIES, KEY, canary, forgotten, leaks
from tests.support.matrix import CELLS, HARDEST, MATRIX
from tests.support.matrix_fault import AT_ONCE, BUDGET_OPENS, Fault
from tests.support.matrix_streams import CHILDREN, PUSHED, RECENT, SIZES
from tests.support.search import sampled
from tests.support.truth import NAMES, differences, told, wrongly_buried
from tests.support.watch import Watch

PAGE = 4
"""Rows on a page, so that these few records fill several."""
LINES = {"autengo": f"limit = {PAGE}"}
EXTRA = """
[sources.shop.streams.sales_orders]
from = "2026-10-20"
[sources.shop.streams.sales_transactions]
from = "2026-06-01"
[sources.shop.streams.payments]
from = "2026-06-01"
[sources.shop.streams.workshop_orders]
from = "2025-08-01"
[sources.parts.streams.orders]
window = 200
"""
SHORT = aiohttp.ClientTimeout(total=0.15)
"""For answers that never end; real seconds."""
SLOW = ("hang", "slow-drip")

NEEDS = {
    "lease.orders": ("lease.companies",),
    "lease.cyclists": ("lease.companies",),
    "cars.models": ("cars.makes",),
    "shop.stock_objects": ("shop.stock_items",),
}
FED = {"shop.stock_objects": "shop.stock_items"}
"""Lookups whose keys the mirror gives: without a change that the mirror knows of they ask for nothing."""
RUNS = {"shop.customer_phone_numbers": "shop.customers"}
"""The stream to run, where a fault strikes what rides in another one's records."""
CHANGED = {"shop.stock": "stock_items", "shop.customer_phone_numbers": "customers", "cars.filter_values": "vehicles",
           "shop.stock_objects": "stock_items"}  # fmt: skip


# --- The bench of a cell ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def shared(
    server: embedded.Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Database, str, Path]]:
    """One database for all cells, emptied between them."""
    folder = tmp_path_factory.mktemp("faults")
    async with own_database(server, "faults", folder) as (opened, url):
        yield opened, url, folder


@pytest.fixture
async def bench(shared: tuple[Database, str, Path]) -> AsyncIterator[Bench]:
    """A small sandbox with short pages, over an empty mirror."""
    db, url, folder = shared
    async with db.connection() as conn:
        tables = await conn.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('syncd', 'history', 'cyclesoftware', 'cyclis', 'autengo', 'ghs')"
            " AND tablename <> 'migrations'"
        )
        await conn.execute(";".join(f"DELETE FROM {row['name']}" for row in tables))
    async with AsyncExitStack() as stack:
        yield await open_bench(stack, db, url, folder, extra=EXTRA, lines=LINES, page_size=PAGE, keeps=True, **SIZES)


def change(bench: Bench, selector: str, *, ties: bool, rest: dict[str, float]) -> None:
    """Let records of a stream change and a new one come, more than a page of them; then let time pass."""
    name, _, stream = selector.partition(".")
    world, api, stream = bench.sandbox.world, NAMES[name], CHANGED.get(selector, stream)
    keys = list(world[api, stream].keys())
    for key in keys[-10:] if selector in RECENT else keys[:10]:
        bench.time.pass_by(seconds=0 if ties else 1)
        world.change(api, stream, key)
    for _ in range(0 if stream == "account" else 2 * PAGE if selector in RECENT else 1):
        world.put(api, stream, world.fresh(api, stream))
    bench.time.pass_by(**rest)


def delete(bench: Bench, selector: str) -> None:
    """Let the fourth record of a stream be deleted, if it has so many."""
    name, _, stream = selector.partition(".")
    api, stream = NAMES[name], CHANGED.get(selector, stream)
    keys = bench.sandbox.world[api, stream].keys()
    if len(keys) > 3:
        bench.sandbox.delete(api, stream, keys[3])


# --- The cells --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "selector"), CELLS)
async def test_the_mirror_outlives_the_fault(bench: Bench, fault: Fault, selector: str) -> None:
    await _Cell(bench, fault, selector).run()


@pytest.mark.parametrize(("fault", "selector"), HARDEST)
async def test_the_mirror_outlives_the_fault_with_workers_of_which_one_is_lost_in_each_clean_run(
    bench: Bench, fault: Fault, selector: str
) -> None:
    async with handing_on(bench, workers=3) as crew:
        await _Cell(bench, fault, selector).run()
    assert crew.lost > 0, "no worker was lost in a run: this cell proves nothing"


class _Cell:
    """One cell of the matrix."""

    def __init__(self, bench: Bench, fault: Fault, selector: str) -> None:
        self.bench = bench
        self.fault = fault
        self.selector = selector
        self.runs = RUNS.get(selector, selector)
        source, _, self.stream = self.runs.partition(".")
        self.api = NAMES[source]
        declared = registry()[self.api].stream(self.stream)
        self.has_sweep = declared.sweep_s is not None
        self.struck = 0
        self.refused = False
        tables = (declared.table, *(child.table for child in declared.table.children))
        self.watch = Watch(bench.db, [f"{table.schema}.{table.name}" for table in tables])

    async def run(self) -> None:
        await self.clean("live")
        if self.runs == "cars.vehicles":
            # the first live pass reads the newest vehicle of the load again, which only a sweep would read once more
            self.change()
            await self.clean("live")
        self.change()
        if not self.has_sweep:
            delete(self.bench, self.selector)
        await self.strike("live")
        if self.fault.changes_soon:
            self.change()
        await self.refuse("live")
        await self.clean("live")
        if not (self.fault.deletes and self.has_sweep):
            await self.equals()
        if self.has_sweep and self.fault.sweeps:
            delete(self.bench, self.selector)
            self.change()
            await self.strike("sweep")
            self.bench.time.pass_by(**BUDGET_OPENS)
            await self.refuse("sweep")
            await self.clean("sweep")
            await self.equals()
        assert bool(self.struck) == self.fault.strikes, "the fault never struck: this cell proves nothing"
        assert self.refused == self.fault.refuses_once, "no clean run refused: the fault needs no such leave"
        wrong = await self.watch.faults()
        assert not wrong, told(wrong)
        # the orders that change first are older than what was asked for, and so new to the mirror; filter values are
        # nothing but keys; the payments that change are older than what a run asks for
        never_change = ("shop.sales_orders", "cars.filter_values", "shop.payments")
        assert self.watch.versions or self.runs in never_change, "nothing was kept: this cell proves nothing"

    def change(self) -> None:
        rest = {"minutes": 1.0} if self.fault.rest == AT_ONCE else {"minutes": 20.0}
        change(self.bench, self.selector, ties=self.fault.ties, rest=rest)

    async def clean(self, kind: str) -> None:
        """Run without faults: nothing may go wrong."""
        if self.runs in FED:
            self.change()
        for selector in (*NEEDS.get(self.runs, ()), self.runs):
            result = await self.bench.sync(selector, "live" if selector != self.runs else kind)
            assert result.outcome == "ok", (selector, result.error)
        await self.watch.look()

    async def refuse(self, kind: str) -> None:
        """Run once without the fault, where such a run may refuse to bury what records without keys may be."""
        if not self.fault.refuses_once:
            return
        result = await self.bench.sync(self.runs, kind)
        if result.outcome != "ok":
            assert "had no usable key and may be these; nothing was buried" in str(result.error)
            self.refused = True
        await self.watch.look()

    async def equals(self) -> None:
        found = await differences(self.bench, self.runs)
        assert not found, told(found)

    async def strike(self, kind: str) -> None:
        """Run under the fault, striking once and then for good."""
        self.bench.time.pass_by(**self.fault.wait)
        for times, allowed in ((1, self.fault.once), (None, self.fault.lasting)):
            if allowed is None:
                continue
            if self.runs in FED:
                self.change()
                await self.bench.sync(FED[self.runs])
            self.arm(times)
            before = self.bench.sandbox.faults.hits(self.fault.name)
            result = await self.faulty_run(kind)
            hits = self.bench.sandbox.faults.hits(self.fault.name) - before
            self.bench.sandbox.faults.clear()
            self.struck += hits
            await self.watch.look()
            assert result.outcome in allowed, (kind, times, result.outcome, result.error)
            await self.is_told(result, hits)
            if not self.fault.buries:
                buried = await wrongly_buried(self.bench, self.runs)
                assert not buried, told(buried)
            if result.outcome == "ok" and self.fault.rest != AT_ONCE and not self.fault.moves_the_world:
                await self.equals()  # nothing but an odd row or a later change excuses a run that says ok
            self.bench.time.pass_by(**self.fault.rest)

    def arm(self, times: int | None) -> None:
        stream = self.fault.target or self.selector.partition(".")[2]
        self.bench.sandbox.faults.add(
            self.fault.name, api=self.api, stream=stream, times=times, after=self.fault.after, **self.fault.params
        )

    async def faulty_run(self, kind: str) -> Result:
        """Run the stream with a session of its own where the fault asks for one."""
        bench = self.bench
        if self.fault.wait or not (self.fault.target or self.fault.name in SLOW):
            return await bench.sync(self.runs, kind)
        usual = bench.syncer
        async with http_session(SHORT if self.fault.name in SLOW else aiohttp.ClientTimeout(total=30)) as http:
            bench.syncer = Syncer(
                bench.config, registry(), bench.db, http,
                clock=bench.time.now, sleep=bench.time.sleep, jitter=lambda: 0.0,
            )  # fmt: skip
            try:
                return await bench.sync(self.runs, kind)
            finally:
                bench.syncer = usual

    async def is_told(self, result: Result, hits: int) -> None:
        """Require that the run's record and the tables of oddities name what happened."""
        row = (await self.bench.fetch("SELECT * FROM syncd.runs ORDER BY run_id DESC LIMIT 1"))[0]
        assert row["outcome"] == result.outcome
        if result.outcome != "ok":
            assert row["error"], "a run that failed says nothing"
            assert row["error_kind"], "a run that failed has no kind of error"
        if hits and self.fault.says and not (self.fault.re_asked and result.outcome == "ok"):
            text = f"{row['error']} {row['notes']}"
            assert re.search(self.fault.says, text), text
        if hits and self.fault.leaves:
            assert await self.bench.fetch(f"SELECT FROM syncd.{self.fault.leaves}"), f"nothing in {self.fault.leaves}"


def test_every_fault_of_the_sandbox_is_in_the_matrix() -> None:
    assert {fault.name for fault in MATRIX} == set(FAULTS)


def test_every_stream_is_in_the_matrix_but_those_that_are_never_asked_for() -> None:
    met = {stream for fault in MATRIX for stream in fault.streams}
    known = {f"{name}.{stream.name}" for name, api in NAMES.items() for stream in registry()[api].streams}
    assert known - met == {*PUSHED}


def test_every_source_meets_every_kind_of_fault_that_it_can() -> None:
    met = {(fault.name, NAMES[stream.partition(".")[0]]) for fault in MATRIX for stream in fault.streams}
    known = {(kind.name, api) for kind in KINDS.values() for api in kind.apis}
    assert known - met == IMPOSSIBLE


IMPOSSIBLE = {("string-key", "cyclis"), ("own-offsets-only", "autengo")}
"""Keys of Cyclis are UUIDs, which no number can be. Vehicles are walked by value, which asks for no offset but 0."""


# --- Who was forgotten ------------------------------------------------------------------------------------------------

STRIKING = sorted(
    {fault.name for fault in MATRIX if {"shop.customers", *CHILDREN[:1]} & {*fault.streams} and fault.strikes}
    - {*SLOW, "auth-expired"}
)


@pytest.mark.parametrize("name", sampled(STRIKING, every=8))
async def test_no_fault_brings_back_who_was_forgotten(bench: Bench, name: str) -> None:
    selector, faults = "shop.customers", bench.sandbox.faults
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    assert (await bench.sync(selector)).outcome == "ok"
    assert len(await leaks(bench, *CANARIES, KEY)) == len(CANARIES) + 1
    counts = await forgotten(bench, selector, KEY)
    assert counts["cyclesoftware.customers"] == 1
    struck = 0
    for times, kind in ((1, "live"), (None, "sweep"), (None, "live")):
        bench.time.pass_by(hours=30)
        bench.sandbox.put("cyclesoftware", "customers", canary(bench) | {"city": f"{times} {kind}"})
        try:
            faults.add(name, api="cyclesoftware", stream="customers", times=times)
        except ValueError:
            faults.add(name, api="cyclesoftware", stream="customer_phone_numbers", times=times)
        await bench.sync(selector, kind)
        struck += faults.hits(name)
        faults.clear()
        assert await leaks(bench, *CANARIES, KEY) == [], (kind, times)
    assert struck
    bench.time.pass_by(hours=30)
    assert (await bench.sync(selector, "sweep", accept_deletions=True)).outcome == "ok"
    assert await leaks(bench, *CANARIES, KEY) == []
    found = await differences(bench, selector)
    assert [line for line in found if f"('{KEY}'" not in line] == [], told(found)

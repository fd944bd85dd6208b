"""The fault matrix: every misbehaviour of the sandbox × every source and way of paging that it can happen to.

Each cell: a clean load, changes, the fault once and then for good (in live runs, and in sweeps where that differs),
then a clean run; nothing may be buried wrongly on the way, no run may be `ok` that lost something, the run's
record names what happened, and at the end the mirror equals the truth, and every state of a row was kept.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from syncd import config as configuration
from syncd.engine.syncer import Result, Syncer
from syncd.sandbox import FAULTS
from syncd.sandbox.faults import KINDS, Stage
from syncd.sources import registry
from syncd.storage.postgres import database, embedded
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session
from tests.support.bench import Bench, database_url, open_bench
from tests.support.forgetting import CANARIES, KEY, canary, forgotten, leaks
from tests.support.truth import NAMES, differences, told, wrongly_buried
from tests.support.watch import Watch

OK = frozenset({"ok"})
FAILED = frozenset({"failed"})
THROTTLED = frozenset({"throttled"})
EITHER = OK | FAILED
MAYBE_THROTTLED = OK | THROTTLED

LISTS = ("shop.customers", "shop.sales_orders", "lease.orders", "cars.vehicles", "parts.orders")
"""One list of every way of paging: next_offset, windows, links, by value, newest first."""
WHOLE = ("shop.stores", "shop.platform_keys", "lease.dealers", "lease.cyclists", "cars.models", "parts.account")
LOOKUPS = ("shop.stock", "shop.leads", "cars.contacts", "parts.products")
SESSIONS = ("cars.vehicles", "cars.models", "parts.orders", "parts.products")
LIMITED = ("shop.customers", "shop.stock", "shop.sales_orders")
SEVERAL = ("shop.customers", "shop.sales_orders", "shop.stock", "cars.vehicles", "cars.models", "parts.orders",
           "parts.products")  # fmt: skip
"""Streams of which even a small run takes several requests."""
WIRE = ("shop.customers", "shop.stock", "lease.orders", "cars.vehicles", "parts.orders", "parts.products")
"""What goes wrong below the form of an answer meets all streams of a source alike: lists, a POST, single records."""
ROWS = ("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.orders")
"""An odd value in a row: one stream of each source, and the one with a flag of deletion."""
NUMBERS = ("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.products")
"""An odd number: one stream of each source whose records hold any."""
CHILDREN = ("shop.customer_phone_numbers", "parts.urgent_messages")

SIZES = {
    "customers": 14, "stock_items": 12, "leads": 4, "sales_orders": 14, "companies": 4, "cyclists": 10,
    "cyclis_orders": 14, "dealers": 6, "vehicles": 14, "makes": 3, "contacts": 6, "products": 14, "orders": 104,
}  # fmt: skip
PAGE = 4
"""Rows on a page, so that these few records fill several."""
LINES = {"autengo": f"limit = {PAGE}"}
EXTRA = '[sources.shop.streams.sales_orders]\nfrom = "2026-10-20"\n[sources.parts.streams.orders]\nwindow = 200\n'
SHORT = aiohttp.ClientTimeout(total=0.15)
"""For answers that never end; real seconds."""
SLOW = ("hang", "slow-drip")
BUDGET_OPENS = {"hours": 26.0}
SOON = {"minutes": 1.0}
AT_ONCE = {"minutes": 5.0}
"""Within the overlap of a cursor: what was sent wrong once is asked for again."""

NEEDS = {
    "lease.orders": ("lease.companies",),
    "lease.cyclists": ("lease.companies",),
    "cars.models": ("cars.makes",),
}
RUNS = {"shop.customer_phone_numbers": "shop.customers"}
"""The stream to run, where a fault strikes what rides in another one's records."""
CHANGED = {"shop.stock": "stock_items", "shop.customer_phone_numbers": "customers"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is expected of one fault.

    once, lasting   outcomes allowed while it strikes one request, and while it strikes all (None: not tried)
    says            what the run's record says of it (error, notes); None where nothing went wrong
    leaves          the table in which it leaves a trace: drift or rejects
    after           requests that it lets pass first, so that it strikes in mid-run
    rest            time that passes before the clean run
    wait            time that passes before it strikes
    strikes         False where syncd never asks in the way that provokes it
    re_asked        True where some sources ask once more before they believe it, so that once may leave no word
    deletes         True where it deletes upstream: only a sweep finds that
    ties            True if all changes are made in one second
    changes_soon    True if more changes before the clean run: a cursor that is ahead would pass over them
    buries          True where the upstream's lie cannot be told from a deletion; the row must then come back
    sweeps          False where there is nothing to see in a sweep
    """

    name: str
    streams: tuple[str, ...]
    once: frozenset[str] = OK
    lasting: frozenset[str] | None = FAILED
    says: str | None = None
    leaves: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    after: int = 0
    rest: dict[str, float] = field(default_factory=lambda: BUDGET_OPENS)
    buries: bool = False
    sweeps: bool = True
    target: str | None = None
    wait: dict[str, float] = field(default_factory=dict)
    strikes: bool = True
    re_asked: bool = False
    deletes: bool = False
    ties: bool = False
    changes_soon: bool = False

    @property
    def shown(self) -> str:
        """The name with its parameters."""
        at = " on the second request" if self.after else ""
        return self.name + "".join(f" {name}={value}" for name, value in self.params.items()) + at

    @property
    def moves_the_world(self) -> bool:
        """Whether the upstream itself changes once it has answered, so that only a later run can know."""
        return KINDS[self.name].stage is Stage.WORLD


def _passing(name: str, says: str, **more: Any) -> Fault:
    return Fault(name=name, streams=WIRE, says=says, **more)


def _lying(name: str, says: str, streams: tuple[str, ...] = WIRE, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, once=EITHER, says=says, **more)


def _limiting(name: str, **more: Any) -> Fault:
    streams = ("shop.customers", "shop.stock", "lease.orders", "cars.vehicles", "parts.orders")
    return Fault(
        name=name, streams=streams, once=MAYBE_THROTTLED, lasting=THROTTLED, says="429|budget", sweeps=False, **more
    )


def _harmless(name: str, streams: tuple[str, ...] = WIRE, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, lasting=OK, **more)


def _odd(name: str, streams: tuple[str, ...] = (*ROWS, *CHILDREN), *, sweeps: bool = False, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, lasting=OK, rest=AT_ONCE, sweeps=sweeps, **more)


MATRIX: tuple[Fault, ...] = (
    # HTTP
    _passing("reset", "no whole answer"),
    _passing("reset", "no whole answer", params={"at": "start"}),
    _passing("truncated-body", "no whole answer"),
    _passing("corrupt-gzip", "no whole answer"),
    Fault(name="hang", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"), once=EITHER,
          says="Timeout", sweeps=False),
    Fault(name="slow-drip", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"), once=EITHER,
          says="Timeout", sweeps=False, params={"chunk_bytes": 4, "delay_s": 0.1}),
    _passing("gateway-504", "504"),
    _passing("error-500", "500"),
    _passing("error-xml", "500"),
    _passing("error-soap", "500"),
    _passing("reset-205", "205"),
    Fault(name="error-500", streams=SEVERAL, says="503", params={"status": 503}, after=1),
    _lying("error-in-200", "error inside|expected"),
    _lying("html-200", "HTML"),
    _lying("empty-200", "empty body"),
    _lying("nested-error", "error inside|expected", streams=(*LISTS, "shop.stores", "cars.models"), re_asked=True),
    _lying("wrong-content-length", "broken|expected"),
    _lying("not-found-list", "404", streams=(*LISTS, "shop.stores", "lease.dealers", "shop.platform_keys")),
    _lying("redirect-other-host", "redirect to elsewhere.example"),
    _lying("null-list", "expected an array", streams=(*LISTS, "shop.stores", "shop.stock", "lease.cyclists"),
           re_asked=True),
    _lying("missing-list", "expected an array", streams=(*LISTS, "shop.stores", "shop.stock", "lease.cyclists"),
           re_asked=True),
    _harmless("gzip-required", streams=LIMITED, strikes=False, sweeps=False),
    _harmless("unasked-gzip", sweeps=False),
    _harmless("unasked-gzip", params={"labelled": False}, sweeps=False),
    _harmless("bom", sweeps=False),
    _harmless("wrong-charset", sweeps=False),
    Fault(name="gzip-bomb", streams=("shop.stores", "lease.dealers", "cars.makes", "parts.account"), once=FAILED,
          says="larger than", lasting=None, params={"megabytes": 300}, sweeps=False),
    # Authentication
    _passing("auth-expired", "401"),
    Fault(name="auth-expired", streams=SEVERAL, says="401", after=1),
    Fault(name="broken-session", streams=("parts.orders", "parts.products"), says="401"),
    Fault(name="error-xml", streams=("shop.customers", "shop.stock", "lease.orders"), says="401",
          params={"status": 401}),
    _passing("bad-credentials", "401"),
    _lying("scope-revoked", "403"),
    Fault(name="login-error-200", streams=SESSIONS, once=EITHER, says="login", target="auth"),
    Fault(name="refresh-fails", streams=("cars.vehicles",), lasting=OK, target="auth",
          wait={"hours": 22.5}),
    Fault(name="token-expires-early", streams=SESSIONS, once=OK, lasting=EITHER, says="401", target="auth"),
    _harmless("rotate-cookie", streams=("parts.orders", "parts.products")),
    Fault(name="expired-session-empty-list", streams=("cars.vehicles", "cars.models", "parts.orders", "parts.products"),
          lasting=EITHER),
    # Limits
    _limiting("rate-limited"),
    _limiting("early-429"),
    _limiting("retry-after"),
    _limiting("retry-after-date"),
    _limiting("retry-after-garbage"),
    _limiting("retry-after-huge"),
    _limiting("daily-exhausted"),
    Fault(name="other-spender", streams=LIMITED, lasting=MAYBE_THROTTLED, params={"requests": 200}),
    _harmless("reset-in-past", streams=LIMITED, sweeps=False),
    _harmless("no-limit-headers", streams=LIMITED, sweeps=False),
    _harmless("bad-limit-headers", streams=LIMITED, sweeps=False),
    # Paging
    _harmless("row-inserted-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders")),
    Fault(name="row-deleted-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          lasting=EITHER, deletes=True),
    Fault(name="row-moved-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          lasting=EITHER),
    _harmless("late-commit", streams=(*LISTS, "shop.stores", "cars.models")),
    _harmless("object-moves", streams=("shop.stock", "shop.stock_items")),
    _harmless("shuffled-order", streams=("parts.products",)),
    _harmless("unstable-ties", streams=("cars.vehicles",), ties=True),
    Fault(name="ignored-offset", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER, ties=True),
    _harmless("clamped-limit", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders",
                                        "parts.products"), params={"rows": 2}),
    _harmless("linked-pages", streams=("lease.orders", "lease.cyclists", "lease.companies", "lease.dealers"),
              params={"rows": 3}),
    _harmless("since-ignored", streams=("shop.customers", "shop.sales_orders", "lease.orders", "cars.vehicles"),
              sweeps=False),
    Fault(name="next-offset-repeats", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="loop"),
    Fault(name="next-offset-falls", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="loop"),
    Fault(name="next-offset-absent", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="pagination"),
    Fault(name="next-offset-absent", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="pagination",
          params={"whole": True}),
    _harmless("next-offset-string", streams=("shop.customers", "shop.sales_orders")),
    Fault(name="empty-page-with-next", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER),
    Fault(name="count-disagrees", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER),
    Fault(name="total-changes", streams=("cars.vehicles", "parts.orders"), lasting=EITHER),
    Fault(name="next-link-other-host", streams=("lease.orders", "lease.cyclists", "lease.dealers"), once=FAILED,
          says="another host"),
    _harmless("next-link-other-host", streams=("shop.customers", "cars.vehicles", "parts.orders")),
    _harmless("duplicate-key-on-page", streams=(*LISTS, "shop.stock_items", "shop.stores", "shop.stock", "cars.makes")),
    _harmless("duplicate-key-on-page", streams=(*LISTS, "shop.stores", "shop.stock"), params={"stale": False}),
    # Data
    _odd("nul-in-text", leaves="drift"),
    _odd("lone-surrogate", leaves="drift"),
    _odd("invalid-utf8", leaves="drift", streams=(*ROWS, "parts.urgent_messages")),
    _odd("wrong-type", leaves="drift"),
    _odd("huge-integer", streams=NUMBERS),
    _odd("big-integer", streams=NUMBERS),
    _odd("nan", streams=NUMBERS, leaves="drift"),
    _odd("infinity", streams=NUMBERS, leaves="drift"),
    _odd("megabyte-note", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders")),
    _odd("null-field"),
    _odd("unknown-field", leaves="drift"),
    _odd("missing-field"),
    _odd("unknown-enum", streams=("shop.customers", "shop.leads", "lease.orders", "cars.vehicles", "parts.orders",
                                  "parts.urgent_messages")),
    _odd("bad-time", streams=("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.orders",
                              "parts.urgent_messages")),
    Fault(name="null-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="empty-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="missing-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="null-key", streams=("shop.stores", "shop.stock", "cars.models", "lease.cyclists",
                                    "parts.urgent_messages"), once=EITHER, lasting=EITHER, rest=AT_ONCE,
          says="no usable key", leaves="rejects"),
    _odd("null-key", streams=("shop.customer_phone_numbers",), leaves="drift", buries=True),
    _odd("string-key", streams=("shop.customers", "shop.stock_items", "shop.stock", "shop.sales_orders", "cars.makes",
                                "cars.contacts", "parts.urgent_messages")),
    _odd("arrays-reordered", streams=("shop.customers", "lease.dealers", "cars.vehicles", "parts.orders",
                                      "parts.account")),
    Fault(name="null-record", streams=(*ROWS, "shop.stores", "shop.stock", "cars.models"), lasting=EITHER, once=EITHER,
          leaves="rejects", rest=AT_ONCE),
    _odd("orphan-relation", streams=("shop.stock", "shop.leads", "shop.sales_orders", "lease.orders", "lease.cyclists",
                                     "parts.orders"), buries=True),
    _odd("row-vanishes", streams=(*LISTS, "shop.stores", "shop.stock", "shop.stock_items", "cars.models"), buries=True,
         sweeps=True),
    Fault(name="empty-list", streams=("shop.stores", "shop.platform_keys", "shop.stock_items", "lease.dealers",
                                      "lease.cyclists"), once=FAILED, says="would bury"),
    Fault(name="empty-list", streams=("cars.vehicles", "cars.models", "parts.orders", "lease.orders", "shop.customers"),
          once=EITHER, lasting=EITHER, rest=AT_ONCE),
    # Time
    _harmless("clock-ahead", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("clock-behind", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("clock-jumps", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("bad-date", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False),
)  # fmt: skip

CELLS = [
    pytest.param(fault, stream, id=f"{fault.shown}-{stream}".replace(" ", "-"))
    for fault in MATRIX
    for stream in fault.streams
]


# --- The bench of a cell ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def shared(
    server: embedded.Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Database, str, Path]]:
    """One database for all cells, emptied between them: to copy one takes longer than to empty it."""
    folder = tmp_path_factory.mktemp("faults")
    conn = await asyncpg.connect(**server.connect_arguments)
    await conn.execute("CREATE DATABASE faults TEMPLATE template STRATEGY file_copy")
    url = database_url(server, "faults")
    opened = await database.connect(configuration.Database(url=configuration.Secret(url), data_dir=folder))
    yield opened, url, folder
    await opened.close()
    await conn.execute("DROP DATABASE faults WITH (FORCE)")
    await conn.close()


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
    for key in list(world[api, stream].keys())[:10]:
        bench.time.pass_by(seconds=0 if ties else 1)
        world.change(api, stream, key)
    if stream != "account":
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
        await self.clean("live")
        if not (self.fault.deletes and self.has_sweep):
            await self.equals()
        if self.has_sweep and self.fault.sweeps:
            delete(self.bench, self.selector)
            self.change()
            await self.strike("sweep")
            self.bench.time.pass_by(**BUDGET_OPENS)
            await self.clean("sweep")
            await self.equals()
        assert bool(self.struck) == self.fault.strikes, "the fault never struck: this cell proves nothing"
        wrong = await self.watch.faults()
        assert not wrong, told(wrong)
        # the orders that change first are older than what was asked for, and so new to the mirror
        assert self.watch.versions or self.runs == "shop.sales_orders", "nothing was kept: this cell proves nothing"

    def change(self) -> None:
        rest = {"minutes": 1.0} if self.fault.rest == AT_ONCE else {"minutes": 20.0}
        change(self.bench, self.selector, ties=self.fault.ties, rest=rest)

    async def clean(self, kind: str) -> None:
        """Run without faults: nothing may go wrong."""
        for selector in (*NEEDS.get(self.runs, ()), self.runs):
            result = await self.bench.sync(selector, "live" if selector != self.runs else kind)
            assert result.outcome == "ok", (selector, result.error)
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


def test_every_source_meets_every_kind_of_fault_that_it_can() -> None:
    met = {(fault.name, NAMES[stream.partition(".")[0]]) for fault in MATRIX for stream in fault.streams}
    known = {(kind.name, api) for kind in KINDS.values() for api in kind.apis}
    assert known - met == IMPOSSIBLE


IMPOSSIBLE = {("string-key", "cyclis")}
"""Keys of Cyclis are UUIDs, which no number can be."""


# --- Who was forgotten ------------------------------------------------------------------------------------------------

STRIKING = sorted(
    {fault.name for fault in MATRIX if {"shop.customers", *CHILDREN[:1]} & {*fault.streams} and fault.strikes}
    - {*SLOW, "auth-expired"}
)


@pytest.mark.parametrize("name", STRIKING)
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

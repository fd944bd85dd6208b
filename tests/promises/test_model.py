"""Whatever happens between upstream, network and process: after a rest and one clean pass the mirror is the truth.

And on the way there every state of a row that was seen is a version of it, and the change feed tells of each.

A state machine lets upstream changes, runs, sweeps, faults and crashes follow each other in any order.
"""

import asyncio
import math
import os
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from syncd.engine.order import Order, Result
from syncd.storage.postgres.database import Database
from tests.support import truth
from tests.support.accounts import changed
from tests.support.bench import Bench, open_bench
from tests.support.forgetting import forgotten
from tests.support.search import examples, search
from tests.support.watch import Watch

EXAMPLES = int(os.environ.get("SYNCD_MODEL_EXAMPLES", "0")) or examples(150, part=24)
"""Of all streams together."""
STEPS = 8
T = TypeVar("T")

STREAMS = {
    "shop.customers": ("cyclesoftware", "customers"),
    "lease.orders": ("cyclis", "orders"),
    "cars.vehicles": ("autengo", "vehicles"),
    "parts.orders": ("ghs", "orders"),
    "shop.sales_transactions": ("cyclesoftware", "sales_transactions"),
    "shop.workshop_orders": ("cyclesoftware", "workshop_orders"),
}
WATCHED = {
    "shop.customers": ("cyclesoftware.customers", "cyclesoftware.customer_phone_numbers"),
    "lease.orders": ("cyclis.orders",),
    "cars.vehicles": ("autengo.vehicles",),
    "parts.orders": ("ghs.orders", "ghs.urgent_messages"),
    "shop.sales_transactions": ("cyclesoftware.sales_transactions", "cyclesoftware.sales_transaction_items"),
    "shop.workshop_orders": ("cyclesoftware.workshop_orders", "cyclesoftware.workshop_order_items"),
}
PERSONS = {"shop.customers": ("shop.customers", "customer_id"), "lease.orders": ("lease.cyclists", "cyclist_id")}
"""Whose persons can be forgotten, and the column that names them here."""
PERSONAL = ("cost_center", "employee_id")
EMPTIED = "the mirror has None, upstream False"
"""What a row of who was forgotten says of a field that does not fit its column."""
ALL = 1_000_000
CHANGED = {
    "customers": "name", "orders": "state", "vehicles": "description", "sales_transactions": "type_name",
    "workshop_orders": "repair_description",
}  # fmt: skip
FAULTS = (
    "error-500", "gateway-504", "html-200", "error-in-200", "truncated-body", "rate-limited", "auth-expired",
    "row-inserted-ahead", "row-deleted-ahead", "clamped-limit", "empty-list", "null-key", "missing-key", "nul-in-text",
    "lone-surrogate", "wrong-type", "missing-field", "unknown-field", "duplicate-key-on-page", "clock-ahead",
    "clock-behind", "late-commit", "since-ignored", "not-found-list", "count-disagrees", "ignored-offset",
    "token-expired", "next-url-absent", "next-url-repeats", "range-refused", "days-in-utc", "last-day-excluded",
)  # fmt: skip
BELIEVED = {
    "empty-list",
    "null-key",
    "missing-key",
    "nul-in-text",
    "lone-surrogate",
    "wrong-type",
    "missing-field",
    "unknown-field",
    "duplicate-key-on-page",
    "late-commit",
}
"""Faults that a live run cannot tell from the truth: what they left behind is mended by the next sweep only."""
SIZES = {
    "customers": 14, "page_size": 4, "cyclis_orders": 9, "cyclists": 6, "companies": 3, "vehicles": 14, "orders": 14,
    "stock_items": 5, "sales_orders": 3, "leads": 1, "dealers": 2, "makes": 2, "contacts": 1, "products": 12,
    "sales_transactions": 60, "workshop_orders": 12, "payments": 0,
}  # fmt: skip
EXTRA = """
[sources.parts.streams.orders]
window = 5
[sources.shop.streams.sales_transactions]
from = "2026-06-01"
[sources.shop.streams.workshop_orders]
from = "2025-08-01"
"""


def machine(  # noqa: C901  (a class of rules inside, so that they share the loop)
    make: Callable[[], Awaitable[Bench]], loop: asyncio.AbstractEventLoop, selector: str
) -> type[RuleBasedStateMachine]:
    """Return the state machine of a stream, over benches that `make` makes.

    It runs in a thread of its own, its work on `loop`.
    """
    api, stream = STREAMS[selector]

    def on_loop(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    class Machine(RuleBasedStateMachine):
        bench: Bench
        graveyard: list[dict[str, Any]]
        believed: bool
        watch: Watch
        forgotten: set[str]

        @initialize()
        def begin(self) -> None:
            self.bench = on_loop(_made(make))
            self.graveyard = []
            self.believed = False
            self.watch = Watch(self.bench.db, WATCHED[selector])
            self.forgotten = set()

        def records(self) -> list[dict[str, Any]]:
            return sorted(self.bench.sandbox.truth(api, stream), key=repr)

        def key(self, record: dict[str, Any]) -> Any:
            if stream == "sales_transactions":
                return record["account_id"], record["sales_transaction_number"]
            names = {"customers": "customer_id", "vehicles": "sellingId", "workshop_orders": "workshop_order_id"}
            return record[names.get(stream, "id" if api == "cyclis" else "orderId")]

        @rule(at=st.integers(0, 50), text=st.sampled_from(["a", "b", "ü", ""]), age_s=st.sampled_from([0, 0, 0, 240]))
        def change(self, at: int, text: str, age_s: int) -> None:
            """One record changes; now, or in a transaction that began minutes ago."""
            if records := self.records():
                record = records[at % len(records)]
                inner = record["attributes"] if api == "cyclis" else record
                inner["externalOrderId" if api == "ghs" else CHANGED[stream]] = text
                stamp = self.bench.time.now() - timedelta(seconds=age_s)
                self.bench.sandbox.put(api, stream, record, modified_at=stamp)

        @rule(at=st.integers(0, 50))
        def delete(self, at: int) -> None:
            # a booked transaction never disappears: it is cancelled by another one
            if records := [record for record in self.records() if not record.get("is_final")]:
                record = records[at % len(records)]
                self.graveyard.append(record)
                self.bench.sandbox.delete(api, stream, self.key(record))

        @rule()
        def come_back(self) -> None:
            if self.graveyard:
                self.bench.sandbox.put(api, stream, self.graveyard.pop())

        @rule(steps=st.integers(1, 12))
        def burst(self, steps: int) -> None:
            self.bench.sandbox.evolve(steps)

        @rule(minutes=st.sampled_from([0.01, 1, 7, 61, 60 * 25, 60 * 24 * 31]))
        def pass_time(self, minutes: float) -> None:
            self.bench.time.pass_by(minutes=minutes)

        @rule(kind=st.sampled_from(["live", "live", "sweep"]))
        def run(self, kind: str) -> None:
            on_loop(self.bench.sync(selector, kind=kind))
            on_loop(self.watch.look())

        @rule(name=st.sampled_from(FAULTS), times=st.sampled_from([1, 2, 30]), kind=st.sampled_from(["live", "sweep"]))
        def run_with_fault(self, name: str, times: int, kind: str) -> None:
            faults = self.bench.sandbox.faults
            try:
                faults.add(name, api=api, stream=stream, times=times, after=times % 2)
            except ValueError:
                return  # not a misbehaviour of this API
            on_loop(self.bench.sync(selector, kind=kind))
            on_loop(self.watch.look())
            faults.clear()
            self.believed |= name in BELIEVED

        @rule(pages=st.integers(0, 3), kind=st.sampled_from(["live", "sweep"]))
        def crash(self, pages: int, kind: str) -> None:
            """The run ends for good after some pages, with the next request under way."""
            on_loop(_crashed(self.bench, selector, kind, pages))
            on_loop(self.watch.look())

        @rule()
        def backfill(self) -> None:
            if api in ("cyclesoftware", "autengo"):
                since = self.bench.time.now() - timedelta(days=400)
                on_loop(self.bench.sync(selector, kind="backfill", since=since))
                on_loop(self.watch.look())

        @rule(at=st.integers(0, 50))
        def forget(self, at: int) -> None:
            """A customer is forgotten, or the cyclist of an order."""
            records = self.records()
            if selector in PERSONS and records:
                stream, column = PERSONS[selector]
                record = records[at % len(records)]
                who = record["relationships"]["cyclist"]["data"]["id"] if api == "cyclis" else record["customer_id"]
                on_loop(self.watch.leave_out(f"{column} = '{who}'"))
                on_loop(forgotten(self.bench, stream, uuid.UUID(who) if api == "cyclis" else who))
                self.forgotten.add(str(who))

        async def differences(self, *, swept: bool = False) -> list[str]:
            """Return where the mirror differs from the truth; of who was forgotten it must hold nothing."""
            found = await truth.differences(self.bench, selector, shown=ALL, swept=swept)
            if selector not in PERSONS:
                return found
            table, column = WATCHED[selector][0], PERSONS[selector][1]
            for name in (table, f"history.{table.replace('.', '_')}"):
                held = await self.bench.fetch(
                    f"SELECT FROM {name} WHERE {column}::text = ANY($1)", list(self.forgotten)
                )
                assert not held, f"{name} holds who was forgotten"
            if api == "cyclesoftware":
                return [told for told in found if not any(f"('{who}'" in told for who in self.forgotten)]
            gone = [f"('{r['id']}',).relationships.cyclist." for r in self.records() if self.is_gone(r)]
            gone += [
                f"('{r['id']}',).attributes.{name}" for r in self.records() if self.is_gone(r) for name in PERSONAL
            ]
            found = [told for told in found if not any(place in told for place in gone)]
            if swept:
                return found
            # forgetting empties _extra, where a false for a text stands, too: the next sweep asks for it again
            orders = [f"('{r['id']}',).attributes." for r in self.records() if self.is_gone(r)]
            return [told for told in found if not (told.endswith(EMPTIED) and any(order in told for order in orders))]

        def is_gone(self, record: dict[str, Any]) -> bool:
            return record["relationships"]["cyclist"]["data"]["id"] in self.forgotten

        def teardown(self) -> None:
            if hasattr(self, "bench"):
                on_loop(self._rest())

        async def _rest(self) -> None:
            self.bench.sandbox.faults.clear()
            self.bench.time.pass_by(hours=1)
            live = await self.bench.sync(selector)
            assert (live.outcome, live.error) == ("ok", None)
            if not self.believed:
                found = await self.differences()
                unseen = [told for told in found if not told.endswith("it is gone upstream")]
                assert not unseen, truth.told(unseen)
            await self._sweep()
            found = await self.differences(swept=True)
            assert not found, truth.told(found)
            wrong = await self.watch.faults()
            assert not wrong, truth.told(wrong)

        async def _sweep(self) -> None:
            """Sweep from the beginning on.

            One that goes on after a crash does not see what disappeared since from what it had read (decision 83): the
            next one does.
            """
            goes_on = await self.bench.fetch("SELECT FROM syncd.cursors WHERE kind = 'sweep' AND cursor ? 'pass'")
            for _ in range(2 if goes_on else 1):
                sweep = await self.bench.sync(selector, kind="sweep", accept_deletions=True)
                assert (sweep.outcome, sweep.error) == ("ok", None)

    return Machine


async def _made(make: Callable[[], Awaitable[Bench]]) -> Bench:
    return await make()


async def _crashed(bench: Bench, selector: str, kind: str, pages: int) -> None:
    reached = asyncio.Event()

    def count(result: Result) -> None:
        if result.pages >= pages:
            reached.set()

    source, _, stream = selector.partition(".")
    order = Order(kind=kind, progress=count)  # type: ignore[arg-type]
    running = asyncio.ensure_future(bench.syncer.run(source, stream, order))
    waiting = asyncio.ensure_future(reached.wait())
    if pages:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)


TABLES = (
    "cyclesoftware.customers", "cyclesoftware.customer_phone_numbers", "cyclis.orders", "autengo.vehicles",
    "ghs.orders", "ghs.urgent_messages", "cyclesoftware.sales_transactions", "cyclesoftware.sales_transaction_items",
    "cyclesoftware.workshop_orders", "cyclesoftware.workshop_order_items", "history.cyclesoftware_sales_transactions",
    "history.cyclesoftware_sales_transaction_items", "history.cyclesoftware_workshop_orders",
    "history.cyclesoftware_workshop_order_items", "history.cyclesoftware_customers",
    "history.cyclesoftware_customer_phone_numbers", "history.cyclis_orders", "history.autengo_vehicles",
    "history.ghs_orders", "history.ghs_urgent_messages", "syncd.changes", "syncd.cursors",
    "syncd.runs", "syncd.rejects", "syncd.drift", "syncd.budgets",
    "syncd.seen", "syncd.forgotten", "syncd.sources",
)  # fmt: skip


@search
@pytest.mark.timeout(900)
@pytest.mark.parametrize("selector", STREAMS)
async def test_the_mirror_ends_as_the_truth(db: Database, db_url: str, tmp_path: Path, selector: str) -> None:
    loop = asyncio.get_running_loop()
    limits = settings(
        max_examples=math.ceil(EXAMPLES / len(STREAMS)), stateful_step_count=STEPS, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    async with AsyncExitStack() as stack:

        async def make() -> Bench:
            await stack.aclose()  # the bench of the example before
            fresh = await open_bench(stack, db, db_url, tmp_path, extra=EXTRA, keeps=True, **cast("Any", SIZES))
            cars = fresh.config.sources["cars"]
            cast("dict[str, Any]", fresh.config.sources)["cars"] = changed(cars, options={**cars.options, "limit": 5})
            async with db.connection() as conn:
                await conn.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
            return fresh

        await asyncio.to_thread(run_state_machine_as_test, machine(make, loop, selector), settings=limits)

"""CycleSoftware's payments: groups, ranges, and what a sweep may bury."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from syncd.contract.errors import BadPayload
from syncd.engine.order import Order
from tests.support.bench import Bench, MakeBench
from tests.support.crashed import crashed
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, Script, expected, mirror_of, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

SELECTOR = "shop.payments"
API = "cyclesoftware"
GROUP = {
    "store_id": 1, "customer_id": 235, "invoice_number": None, "sales_order_id": 50, "ecommerce_reference_text": "Web",
    "ecommerce_reference_id": "W1", "psp": [{"psp_reference": "P", "psp_reference_2": None, "amount_cents": 300}],
}  # fmt: skip
PAYMENT = {
    "payment_id": 7, "book_location_id": 2, "method": "Pin", "method_id": 1, "amount_cents": 100,
    "book_date": "09-03-2026 10:00:00", "created_at": "10-03-2026 11:30:00", "related_to_invoice_number": None,
}  # fmt: skip


async def read(*groups: Any, wrapped: bool = False) -> Any:
    body: Any = {"data": list(groups)} if wrapped else list(groups)
    walk = walk_of(Script([body]), cursor={"as_of": NOW.isoformat()})
    (page,) = await pages_of("payments", walk)
    return [json.loads(record) for record in page.records]


@pytest.mark.parametrize("wrapped", [False, True])
async def test_each_payment_bears_what_its_group_says(wrapped: bool) -> None:
    second = {**PAYMENT, "payment_id": 8}
    found = await read({**GROUP, "payments": [PAYMENT, second]}, wrapped=wrapped)
    assert found == [{**GROUP, **PAYMENT}, {**GROUP, **second}]
    row = parsed("payments", found[0])
    assert row.extra is None
    of_row = values("payments", row)
    assert of_row["book_date"] == datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
    assert json.loads(of_row["psp"]) == GROUP["psp"]
    same = set(of_row) - {"book_date", "created_at", "psp"}
    assert {name: of_row[name] for name in same} == {name: {**GROUP, **PAYMENT}[name] for name in same}


async def test_a_group_without_payments_is_a_reject_as_sent_and_nothing_is_lost() -> None:
    for group in ({**GROUP, "payments": []}, GROUP, {**GROUP, "payments": None}, 7, None):
        (found,) = await read(group)
        assert found == group
    (twice,) = await read({**GROUP, "payments": [{**PAYMENT, "store_id": 3}]})
    assert (twice["store_id"], twice["group_store_id"]) == (3, 1)


@pytest.mark.parametrize("body", [{"error": False}, {"data": None}, "x", 7, {"data": 7}])
async def test_another_form_of_answer_fails_the_run(body: Any) -> None:
    with pytest.raises(BadPayload):
        await pages_of("payments", walk_of(Script([body]), cursor={"as_of": NOW.isoformat()}))


def days(script: Script) -> list[tuple[date, date]]:
    return [(date.fromisoformat(a[2]["start_date"]), date.fromisoformat(a[2]["end_date"])) for a in script.asked]


async def test_a_live_run_asks_for_three_days_and_for_what_an_outage_left_out() -> None:
    for behind, first in ((timedelta(0), date(2026, 3, 7)), (timedelta(days=9), date(2026, 2, 26))):
        script = Script([[] for _ in range(9)])
        pages = await pages_of("payments", walk_of(script, cursor={"as_of": (NOW - behind).isoformat()}))
        assert days(script)[0] == (first, date(2026, 3, 12))
        assert pages[-1].cursor == {"as_of": NOW.isoformat()}
        assert not any(page.scope for page in pages)


async def test_a_sweep_speaks_of_payments_all_of_whose_dates_lie_inside() -> None:
    script = Script([[] for _ in range(9)])
    pages = await pages_of("payments", walk_of(script, "sweep"))
    assert days(script) == [(date(2026, 2, 7), date(2026, 3, 7)), (date(2026, 3, 3), date(2026, 3, 12))]
    scope = pages[-1].scope
    assert scope is not None
    assert scope.within == ("book_date", "created_at")
    assert (scope.since, scope.until) == (
        datetime(2026, 2, 7, 23, tzinfo=UTC),
        datetime(2026, 3, 10, 23, tzinfo=UTC),
    )
    odd = await pages_of("payments", walk_of(Script([[{"payments": [{}], "psp": []}], []]), "sweep"))
    assert odd[-1].doubt == "1 payments had no payment_id"


async def test_all_since_from_comes_in_a_first_run_and_in_a_full_sync() -> None:
    for kind in ("live", "sweep"):
        script = Script([[] for _ in range(40)])
        walk = walk_of(script, kind, stream_options={"from": "2026-01-01"}, whole=kind == "sweep")
        await pages_of("payments", walk)
        assert days(script)[0][0] == date(2025, 12, 31)
        assert all((last - first).days <= 31 for first, last in days(script))


def pay(bench: Bench, *, booked: str | None = None) -> int:
    """Let somebody pay now; the payment is booked for now unless it is booked for an earlier time."""
    record = bench.sandbox.world.fresh(API, "payments")
    bench.sandbox.put(API, "payments", {**record, "book_date": booked or record["created_at"]})
    return int(record["payment_id"])


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    extra = '[sources.shop.streams.payments]\nfrom = "2026-01-01"\n'
    return await make_bench(customers=30, stock_items=0, sales_orders=0, extra=extra)


async def test_the_mirror_follows_and_buries_recent_payments_that_are_gone(bench: Bench) -> None:
    assert (await bench.sync(SELECTOR)).outcome == "ok"
    fresh = [pay(bench) for _ in range(6)]
    pay(bench, booked="12-11-2026 10:00:00")  # only a sweep asks for that day
    bench.time.pass_by(minutes=15)
    live = await bench.sync(SELECTOR)
    assert (live.outcome, live.counts.inserted, live.spent.requests) == ("ok", 6, 1)
    bench.time.pass_by(days=24)
    for key in fresh[:2]:
        bench.sandbox.delete(API, "payments", key)
    edge = pay(bench)
    await bench.sync(SELECTOR)
    bench.sandbox.delete(API, "payments", edge)
    sweep = await bench.sync(SELECTOR, kind="sweep")
    assert (sweep.outcome, sweep.counts.deleted, sweep.spent.requests) == ("ok", 3, 2)
    rows = await bench.rows("cyclesoftware.payments", "_deleted_at IS NOT NULL")
    assert {row["payment_id"] for row in rows} == {*fresh[:2], edge}
    found = await differences(bench, SELECTOR)
    assert not found, told(found)


async def test_a_full_sync_makes_old_payments_right(bench: Bench) -> None:
    world = bench.sandbox.world
    await bench.sync(SELECTOR)
    for record in world[API, "payments"].records():
        world.change(API, "payments", record["payment_id"])
    bench.time.pass_by(hours=1)
    assert (await bench.sync(SELECTOR, kind="sweep", whole=True)).outcome == "ok"
    mirrored = await mirror_of(bench, "payments")
    truth = expected("payments", bench.sandbox.truth(API, "payments"))
    assert len(mirrored) > 5
    assert mirrored == {key: truth[key] for key in mirrored}


async def test_a_killed_sweep_goes_on_and_what_moved_behind_it_is_not_buried(bench: Bench) -> None:
    whole: dict[str, Any] = {"kind": "sweep", "whole": True}
    await bench.sync(SELECTOR)
    gone, moved = pay(bench), pay(bench)
    await bench.sync(SELECTOR)
    bench.time.pass_by(days=24)
    usual = await bench.sync(SELECTOR, **whole)
    await crashed(bench, SELECTOR, Order(**whole), pages=4)
    rest = await bench.sync(SELECTOR, **whole)
    assert (rest.outcome, rest.counts.deleted) == ("ok", 0)
    assert rest.spent.requests == usual.spent.requests - 4

    bench.sandbox.delete(API, "payments", gone)
    await crashed(bench, SELECTOR, Order(**whole), pages=4)
    record = bench.sandbox.get(API, "payments", moved)
    bench.sandbox.put(API, "payments", {**record, "book_date": "12-02-2026 10:00:00"})  # to what was read before
    rest = await bench.sync(SELECTOR, **whole)
    assert (rest.outcome, rest.counts.deleted) == ("ok", 1)
    (row,) = await bench.rows("cyclesoftware.payments", "_deleted_at IS NOT NULL")
    assert row["payment_id"] == gone
    assert rest.spent.requests <= usual.spent.requests + 1, "the windows that were read before are asked for again"
    assert (await bench.sync(SELECTOR, **whole)).counts.updated == 1
    found = await differences(bench, SELECTOR)
    assert not found, told(found)


async def test_who_is_forgotten_leaves_the_payment_and_its_amount_stays(bench: Bench) -> None:
    record = {**bench.sandbox.world.fresh(API, "payments"), "customer_id": 30_001, "ecommerce_reference_text": "Piet"}
    bench.sandbox.put(API, "payments", record)
    for selector in ("shop.customers", SELECTOR):
        assert (await bench.sync(selector)).outcome == "ok"
    await forgotten(bench, "shop.customers", 30_001)
    for _ in range(2):
        (row,) = await bench.rows("cyclesoftware.payments", f"payment_id = {record['payment_id']}")
        assert (row["customer_id"], row["ecommerce_reference_text"]) == (None, None)
        assert row["amount_cents"] == record["amount_cents"]
        bench.time.pass_by(hours=1)
        await bench.sync(SELECTOR, kind="sweep")

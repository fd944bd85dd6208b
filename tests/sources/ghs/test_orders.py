"""GHS' orders: the first pass, the window, and what paging faults cannot do."""

from itertools import product

import pytest

from tests.support.bench import MakeBench
from tests.support.search import sampled
from tests.support.sources.ghs import assert_mirrors, synced


async def test_orders_first_pass_window_and_sweep(make_bench: MakeBench) -> None:
    bench = await make_bench(orders=730)
    await synced(bench, "orders")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))
    bench.time.pass_by(minutes=5)
    result = await synced(bench, "orders")
    assert result.spent.requests == 2
    assert result.counts.inserted == result.counts.updated == 0
    bench.sandbox.evolve(3)
    await synced(bench, "orders")
    await synced(bench, "orders", "sweep")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))


async def test_orders_live_pass_reaches_back_to_the_last_one(make_bench: MakeBench) -> None:
    bench = await make_bench(orders=350)
    await synced(bench, "orders")
    known = len(bench.sandbox.truth("ghs", "orders"))
    for _ in range(260):
        bench.sandbox.put("ghs", "orders", bench.sandbox.world.fresh("ghs", "orders"))
    bench.time.pass_by(minutes=5)
    result = await synced(bench, "orders")
    assert result.counts.inserted == 260
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))
    assert len(bench.sandbox.truth("ghs", "orders")) == known + 260


PAGING = (
    "auth-expired",
    "broken-session",
    "clamped-limit",
    "count-disagrees",
    "empty-list",
    "empty-page-with-next",
    "error-in-200",
    "expired-session-empty-list",
    "ignored-offset",
    "missing-list",
    "reset-205",
    "rotate-cookie",
    "row-deleted-ahead",
    "row-inserted-ahead",
    "row-vanishes",
    "total-changes",
)


@pytest.mark.parametrize(("fault", "times"), sampled(product(PAGING, (1, None)), every=5))
async def test_live_passes_lose_nothing_to(make_bench: MakeBench, fault: str, times: int | None) -> None:
    """Whatever happens to the list, live passes alone bring every order once the fault is over."""
    bench = await make_bench(orders=350)
    bench.sandbox.faults.add(fault, api="ghs", stream="orders", times=times)
    for _ in range(3):
        await bench.sync("parts.orders")
        bench.sandbox.put("ghs", "orders", bench.sandbox.world.fresh("ghs", "orders"))
        bench.time.pass_by(minutes=5)
    assert bench.sandbox.faults.hits(fault)
    bench.sandbox.faults.clear()
    await synced(bench, "orders")
    truth = bench.sandbox.truth("ghs", "orders")
    keys = {record["orderId"] for record in truth}
    lost = [row["order_id"] for row in await bench.rows("ghs.orders") if row["order_id"] not in keys]
    await bench.fetch("UPDATE ghs.orders SET _deleted_at = now() WHERE order_id = ANY($1)", lost)
    await assert_mirrors(bench, "orders", truth)


@pytest.mark.parametrize("fault", sampled([fault for fault in PAGING if fault != "row-vanishes"], every=5))
async def test_sweeps_bury_nothing_alive_under(make_bench: MakeBench, fault: str) -> None:
    """Whatever happens, no living order is buried, and one clean sweep later the mirror is right."""
    bench = await make_bench(orders=350)
    await synced(bench, "orders")
    bench.sandbox.faults.add(fault, api="ghs", stream="orders", after=1)
    for _ in range(2):
        bench.sandbox.evolve(2)
        bench.time.pass_by(days=1)
        await bench.sync("parts.orders", "sweep")
    alive = {record["orderId"] for record in bench.sandbox.truth("ghs", "orders")}
    buried = await bench.rows("ghs.orders", "_deleted_at IS NOT NULL")
    assert not [row for row in buried if row["order_id"] in alive]
    bench.sandbox.faults.clear()
    await synced(bench, "orders")
    await synced(bench, "orders", "sweep")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))

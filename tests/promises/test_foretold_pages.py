"""A fault that strikes a page which was only foretold costs no row, and little is asked for in vain."""

from typing import Any

import pytest

from tests.support.bench import MakeBench
from tests.support.search import sampled
from tests.support.truth import differences, told

CUSTOMERS, PAGE, IN_FLIGHT, TRIES = 60, 8, 4, 4
PAGES = -(-(CUSTOMERS - 1) // (PAGE - 1))
SMALL: dict[str, Any] = {
    "cyclis_orders": 1, "cyclists": 1, "companies": 1, "vehicles": 1, "orders": 1, "stock_items": 1, "sales_orders": 1,
    "leads": 1, "dealers": 1, "makes": 1, "contacts": 1, "products": 1,
}  # fmt: skip
PASSING = (
    "reset",
    "truncated-body",
    "corrupt-gzip",
    "error-500",
    "gateway-504",
    "early-429",
    "retry-later",
)
"""A single one never fails a run."""
ODD = (
    "empty-200",
    "html-200",
    "not-found-list",
    "next-offset-falls",
    "empty-page-with-next",
    "count-disagrees",
    "missing-list",
)
"""One of these fails a run, unless it struck a page that was only foretold: that one is asked for again."""
MOVES = ("late-commit", "duplicate-key-on-page")


@pytest.mark.parametrize("fault", sampled([*PASSING, *ODD, *MOVES], every=6))
async def test_a_fault_that_strikes_a_foretold_page_costs_no_row(shared_bench: Any, fault: str) -> None:
    bench = shared_bench
    for after in (2, 3, 6):
        keys = bench.sandbox.world["cyclesoftware", "customers"].keys()
        for key in (keys[1], keys[30], keys[-2]):
            bench.sandbox.world.change("cyclesoftware", "customers", key)
        bench.sandbox.delete("cyclesoftware", "customers", keys[after])
        bench.sandbox.world.put("cyclesoftware", "customers", bench.sandbox.world.fresh("cyclesoftware", "customers"))
        bench.time.pass_by(hours=26)
        bench.sandbox.faults.add(fault, api="cyclesoftware", stream="customers", times=1, after=after)
        struck = await bench.sync("shop.customers", "sweep")
        hits = bench.sandbox.faults.hits(fault)
        bench.sandbox.faults.clear()
        assert hits or fault in MOVES
        assert struck.outcome == "ok" or fault in (*ODD, *MOVES), (after, struck.error)
        assert struck.spent.requests <= PAGES + 1 + TRIES + IN_FLIGHT, (after, struck.spent)
        bench.time.pass_by(hours=26)
        if struck.outcome != "ok" or fault in MOVES:
            assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
        found = await differences(bench, "shop.customers")
        assert not found, (after, told(found))


@pytest.fixture
async def shared_bench(make_bench: MakeBench) -> Any:
    bench = await make_bench(**SMALL, customers=CUSTOMERS, page_size=PAGE)
    loaded = await bench.sync("shop.customers")
    assert (loaded.outcome, loaded.pages) == ("ok", PAGES), loaded
    assert loaded.spent.requests <= PAGES + IN_FLIGHT - 1
    return bench


async def test_a_pass_that_knows_how_long_the_list_is_asks_for_nothing_in_vain(shared_bench: Any) -> None:
    swept = await shared_bench.sync("shop.customers", "sweep")
    assert (swept.outcome, swept.spent.requests) == ("ok", PAGES)


async def test_a_tick_foretells_nothing(shared_bench: Any) -> None:
    for key in shared_bench.sandbox.world["cyclesoftware", "customers"].keys()[: 3 * PAGE]:
        shared_bench.sandbox.world.change("cyclesoftware", "customers", key)
    shared_bench.time.pass_by(minutes=20)
    ticked = await shared_bench.sync("shop.customers")
    assert ticked.outcome == "ok"
    assert ticked.spent.requests == ticked.pages > 2

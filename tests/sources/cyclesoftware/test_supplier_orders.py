"""CycleSoftware's orders at suppliers: the sample, and which the mirror asks for again until all was delivered."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadRequest, NotFound
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

ITEM = {
    "supplier_order_item_id": 5, "item_type_id": 1, "article_id": "03505002", "barcode": "0871714418679",
    "quantity": 2.5, "quantity_delivered": 1, "quantity_open": 1.5, "supplier_item_reference": "R",
}  # fmt: skip
ORDER: dict[str, Any] = {
    "supplier_order_id": 31001, "supplier_id": 7, "store_id": 1, "order_type_id": 1, "status_id": 2,
    "supplier_comment": "c", "supplier_reference": "s", "own_reference": "o", "created_at": "2026-03-01 10:00:00",
    "items": [ITEM, {**ITEM, "supplier_order_item_id": 6, "supplier_delivery_date": "2026-07-15"}],
}  # fmt: skip


async def _page(answer: Any, key: str = "31001") -> Any:
    (page,) = await pages_of("supplier_orders", walk_of(Script([answer]), lookup={"ids": [key]}))
    return page


@pytest.mark.parametrize("form", ["list", "map"])
async def test_the_sample_field_by_field(form: str) -> None:
    items = ORDER["items"] if form == "list" else {str(at): item for at, item in enumerate(ORDER["items"])}
    page = await _page({**ORDER, "items": items})
    row = parsed("supplier_orders", page.records[0])
    assert (row.extra, row.absent) == (None, frozenset())
    plain = {name: value for name, value in ORDER.items() if name != "items"}
    assert values("supplier_orders", row) == {**plain, "created_at": datetime(2026, 3, 1, 9, tzinfo=UTC)}
    (items,) = row.children
    assert items is not None
    first, second = items
    numbers = {name: Decimal(str(ITEM[name])) for name in ("quantity", "quantity_delivered", "quantity_open")}
    names = [
        "supplier_order_id", "supplier_order_item_id", "item_type_id", "article_id", "barcode", *numbers,
        "supplier_delivery_date", "supplier_item_reference",
    ]  # fmt: skip
    assert dict(zip(names, first.values, strict=True)) == {
        **ITEM, **numbers, "supplier_order_id": 31001, "supplier_delivery_date": None,
    }  # fmt: skip
    assert second.values[names.index("supplier_delivery_date")] == date(2026, 7, 15)


async def test_what_is_not_found_is_gone_and_another_order_is_odd() -> None:
    scope = Scope(column="supplier_order_id", values=(31001,), guarded=False)
    assert (await _page(NotFound("no", status=404))).scope == scope
    with pytest.raises(BadRequest, match="got another"):
        await _page(ORDER, "8")


async def test_an_order_is_asked_for_until_all_of_it_was_delivered(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    world, shop = bench.sandbox.world, bench.config.sources["shop"]
    assert (await bench.sync("shop.supplier_orders")).counts.inserted > 5, "those that are named"
    found = await differences(bench, "shop.supplier_orders")
    assert not found, told(found)
    await bench.fetch("DELETE FROM cyclesoftware.supplier_orders")
    await bench.fetch("DELETE FROM cyclesoftware.supplier_order_items")
    unnamed = replace(shop.streams["supplier_orders"], lookup={"ids": ()})
    streams = {**shop.streams, "supplier_orders": unnamed}
    sources = {**bench.config.sources, "shop": changed(shop, streams=streams)}
    bench.syncer.reconfigure(replace(bench.config, sources=sources))
    idle = await bench.sync("shop.supplier_orders")
    assert (idle.outcome, idle.spent.requests) == ("ok", 0), "no packing list names any"

    usual = world.fresh("cyclesoftware", "packing_list_items")
    for number, order in enumerate((31_001, 31_002, 31_003, 31_003, 0)):
        item = {**usual, "supplier_packinglist_item_id": 900 + number, "supplier_order_id": order}
        item["created_at"] = world.local("cyclesoftware", bench.time.now())
        world.put("cyclesoftware", "packing_list_items", item)
    for order, left in ((31_001, 1.5), (31_002, 0)):
        record = world.get("cyclesoftware", "supplier_orders", order)
        record["items"] = [{**record["items"][0], "quantity_open": left}]
        world.put("cyclesoftware", "supplier_orders", record)
    bench.time.pass_by(hours=1)
    await bench.sync("shop.packing_list_items")
    first = await bench.sync("shop.supplier_orders")
    assert (first.spent.requests, first.counts.inserted) == (3, 2), "each once; one is unknown"
    again = await bench.sync("shop.supplier_orders")
    assert (again.spent.requests, again.counts.updated) == (2, 0), "the open one, and the unknown one"
    rows = await bench.rows("cyclesoftware.supplier_order_items")
    assert [row["quantity_open"] for row in rows] == [Decimal("1.5"), Decimal(0)]
    bench.time.pass_by(days=91)
    assert (await bench.sync("shop.supplier_orders")).spent.requests == 0, "the packing lists are old"
    cursor = (await bench.fetch("SELECT cursor FROM syncd.cursors WHERE stream = 'supplier_orders'"))[0]["cursor"]
    assert json.loads(cursor)["asked"] == 5

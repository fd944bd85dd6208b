"""CycleSoftware's objects in stock in full: the sample, what is asked for and when, and what is gone."""

import json
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadRequest, NotFound
from tests.support.bench import Bench, MakeBench
from tests.support.search import trial
from tests.support.sources.cyclesoftware import Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

STATUS = {
    "available": True, "expected_at": None, "is_demo": False, "is_rental": False, "is_reserved": False,
    "is_sold": False, "is_used": False, "km_age": 0,
}  # fmt: skip
INNER = {
    "stock_object_id": 144922, "store_id": 1, "is_reserved": False, "is_demo": False, "reference": "F.1-144922",
    "barcode": "0871714418679", "article_id": "03505002", "brand_name": "Sparta", "brand_id": 44,
    "model_name": "a-Lane", "article_main_group": 1, "article_group": "A", "article_sub_group": 0,
    "frame_type": "Dames", "model_year": 2025, "frame_height": 57.5, "frame_size_supplier": "L", "wheel_size": 28,
    "customer_group": "Dames", "frame_material": "Aluminium", "color": "Zwart mat", "primary_color": "zwart",
    "secondary_color": "", "type_brake_system_front": "Schijf", "brand_brake_system_front": "Shimano",
    "model_brake_system_front": "MT200", "type_brake_system_rear": "Schijf", "brand_brake_system_rear": "Shimano",
    "model_brake_system_rear": "MT201", "type_gear_system": "Naaf", "brand_gear_system": "Enviolo",
    "model_gear_system": "TR", "gear_count": 999, "description_short": "a-Lane", "description": "a-Lane Lite",
    "purchase_price_cents": 150000, "sales_price_cents": 289900, "rrp_cents": 299900, "ecommerce": True,
    "ecommerce_price_cents": 279900, "nett_weight_kg": 22.5, "gross_weight_kg": 31,
    "supplier_invoice_reference": "I1", "supplier_order_reference": "O1", "custom_variable_1": "a",
    "custom_variable_2": "b", "custom_variable_3": "c", "custom_variable_4": "d", "warranty_duration_months": None,
    "warranty_type": 1, "has_front_suspension": True, "front_suspension_brand": "Suntour",
    "front_suspension_model": "NEX", "rear_suspension_brand": "", "rear_suspension_model": "",
}  # fmt: skip
NUMBERS = {
    "battery_number": "AC1", "battery_number_2": "AC2", "engine_number": "M1", "frame_number": "SP1",
    "imei_number": "35", "key_number": "K1", "key_number_2": "K2", "license_plate_number": "AA-1",
    "lock_number": "L1", "lock_number_2": "L2", "serial_number": "S1", "velopass_code": "V1",
}  # fmt: skip
OBJECT: dict[str, Any] = {
    "stock_object_id": 144922, "customer_id": None, "store_id": 1, "sales_order_id": None,
    "sales_transaction_number": None, "status": STATUS, "identification": NUMBERS, "images": [], "object": INNER,
}  # fmt: skip


async def _page(answer: Any, key: str = "144922") -> Any:
    (page,) = await pages_of("stock_objects", walk_of(Script([answer]), lookup={"ids": [key]}))
    return page


async def test_the_sample_field_by_field() -> None:
    page = await _page(OBJECT)
    row = parsed("stock_objects", page.records[0])
    assert (row.extra, row.absent, page.scope) == (None, frozenset(), None)
    found = values("stock_objects", row)
    assert json.loads(found.pop("images")) == []
    plain = {name: value for name, value in OBJECT.items() if not isinstance(value, dict | list)}
    assert found == {
        **plain,
        **{f"status_{name}": value for name, value in STATUS.items()},
        **{f"identification_{name}": value for name, value in NUMBERS.items()},
        **{f"object_{name}": value for name, value in INNER.items()},
    }


async def test_suspension_beside_the_object_and_an_empty_map_as_an_array() -> None:
    names = [name for name in INNER if "suspension" in name]
    inner = {name: value for name, value in INNER.items() if name not in names}
    page = await _page({**OBJECT, "object": inner, "identification": [], **{name: INNER[name] for name in names}})
    row = parsed("stock_objects", page.records[0])
    assert (row.extra, row.absent) == (None, frozenset())
    found = values("stock_objects", row)
    assert (found["object_front_suspension_brand"], found["identification_frame_number"]) == ("Suntour", None)


async def test_what_is_not_found_is_gone_and_another_object_is_odd() -> None:
    page = await _page(NotFound("no", status=404))
    assert (list(page.records), page.scope) == (
        [], Scope(column="stock_object_id", values=(144922,), guarded=False),
    )  # fmt: skip
    for answer, key, word in ((OBJECT, "8", "got another"), (OBJECT, "8x", "expected a whole number")):
        with pytest.raises(BadRequest, match=word):
            await _page(answer, key)


A_RUN, A_DAY = 200, 500


@pytest.mark.parametrize("stock_items", [60, pytest.param(900, marks=trial)])
async def test_objects_follow_the_stock_within_the_caps(make_bench: MakeBench, stock_items: int) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=stock_items)
    assert (await bench.sync("shop.stock_objects")).spent.requests == 0, "nothing is in stock yet"
    await bench.sync("shop.stock_items")
    ids = await bench.fetch("SELECT DISTINCT object_id FROM cyclesoftware.stock_items WHERE _deleted_at IS NULL")
    asked = [(await bench.sync("shop.stock_objects")).spent.requests for _ in range(4)]
    within = [min(A_RUN, max(0, len(ids) - before)) for before in (0, A_RUN)]
    assert asked == [*within, min(A_DAY - 2 * A_RUN, max(0, len(ids) - 2 * A_RUN)), 0], "500 a day"
    run = (await bench.fetch("SELECT notes FROM syncd.runs WHERE stream = 'stock_objects' ORDER BY run_id DESC"))[0]
    assert ("wait for tomorrow" in str(run["notes"])) == (len(ids) > A_DAY)
    bench.time.pass_by(days=1)
    rest = [(await bench.sync("shop.stock_objects")).spent.requests for _ in range(2)]
    assert rest == [max(0, len(ids) - A_DAY), 0], "every object once"
    rows = await bench.rows("cyclesoftware.stock_objects")
    assert len(rows) == len(bench.sandbox.truth("cyclesoftware", "stock_objects"))
    found = await differences(bench, "shop.stock_objects")
    assert not found, told(found)

    world, own = bench.sandbox.world, [row["stock_object_id"] for row in rows]
    world.change("cyclesoftware", "stock_items", (1, own[0]))
    bench.sandbox.delete("cyclesoftware", "stock_items", (1, own[1]))
    bench.time.pass_by(minutes=30)
    await bench.sync("shop.stock_items")
    result = await bench.sync("shop.stock_objects")
    assert (result.spent.requests, result.counts.updated, result.counts.deleted) == (2, 1, 1)
    bench.time.pass_by(minutes=30)
    assert (await bench.sync("shop.stock_objects")).spent.requests == 0

    await bench.fetch("DELETE FROM cyclesoftware.stock_objects WHERE stock_object_id = $1", own[2])
    assert (await bench.sync("shop.stock_objects")).counts.inserted in (0, 1)
    for _ in range(3):
        await bench.sync("shop.stock_objects")
    bench.time.pass_by(days=1)
    await bench.sync("shop.stock_objects")
    assert own[2] in {row["stock_object_id"] for row in await bench.rows("cyclesoftware.stock_objects")}, (
        "what somebody deleted is asked for again"
    )

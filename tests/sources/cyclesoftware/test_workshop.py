"""CycleSoftware's repair codes and rental objects, which come as bare arrays: samples, forms, burials."""

import json
from typing import Any

import pytest

from syncd.config import is_off
from syncd.contract import Scope
from syncd.contract.errors import BadPayload
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import Script, answer, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

REPAIR_CODE = {
    "code_id": 11, "code": "B01", "category": "Banden", "description": "Band plakken", "extra_text": "",
    "price_cents": 1495, "time_minutes": 15, "workshop_rate_id": 1, "vat_code": 1,
}  # fmt: skip

TEXTS = (
    "article_id", "barcode", "category_name", "dst_sub_id", "brand_name", "frame_type", "brakes_or_transmission",
    "name_brakes", "object_barcode", "model_name", "color", "gears", "year_description", "size", "frame_height",
    "wheel_size", "frame_size_supplier", "tyre_size", "customer_group", "material_description", "basic_color",
    "basic_color_secondary", "frame_number", "chip_number", "lock_number", "key_number", "license_plate_number",
    "engine_number", "battery_number",
)  # fmt: skip
IMAGES = [{"url": "https://img.example.org/1.jpg", "modified_at": "2021-01-01T12:00:99"}]
FLAGS = {"is_elo": True, "is_moped": False, "is_reserved": False, "is_demo": False, "is_rental": True}
NUMBERS = {"account_id": 1, "store_id": 1, "stock_object_id": 20297, "dst_main_id": 1, "dst_sub_sub_id": 0}
RENTAL_OBJECT = {
    "code": "F1-20297", **NUMBERS, **FLAGS, **{name: f"0{name}" for name in TEXTS}, "images": IMAGES,
}  # fmt: skip


def test_repair_code_sample() -> None:
    row = parsed("repair_codes", REPAIR_CODE)
    assert values("repair_codes", row) == REPAIR_CODE
    assert row.extra is None


def test_rental_object_sample_keeps_a_time_that_is_none() -> None:
    row = parsed("rental_objects", RENTAL_OBJECT)
    found = values("rental_objects", row)
    assert json.loads(found.pop("images")) == IMAGES
    assert found == {name: value for name, value in RENTAL_OBJECT.items() if name != "images"}
    assert row.extra is None
    assert not row.notes


@pytest.mark.parametrize("stream", ["repair_codes", "rental_objects"])
async def test_a_bare_array_is_the_list_and_so_is_data_and_one_object_is_a_list_of_one(stream: str) -> None:
    record = {"code_id": 1, "code": "a"}
    for body in ([record], {"data": [record]}, {"data": record}):
        (page,) = await pages_of(stream, walk_of(Script([answer(body)])))
        assert [json.loads(record)["code"] for record in page.records] == ["a"]
        assert (page.scope, page.whole_walk) == (Scope(), True)


@pytest.mark.parametrize("body", [b"null", b'"x"', b"{}", b'{"data": null}', b'{"data": 7}', b"[1, 2"])
async def test_anything_else_fails_the_run(body: Any) -> None:
    with pytest.raises(BadPayload, match=r"expected an? "):
        await pages_of("repair_codes", walk_of(Script([answer(body)])))


async def test_two_codes_with_one_code_id_are_two_rows(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    assert (await bench.sync("shop.repair_codes")).counts.inserted == 12
    shared = await bench.rows("cyclesoftware.repair_codes", "code_id = 13")
    assert [row["code"] for row in shared] == ["B03", "R01"]
    bench.sandbox.delete("cyclesoftware", "repair_codes", (13, "B03"))
    bench.time.pass_by(days=1)
    assert (await bench.sync("shop.repair_codes")).counts.deleted == 1
    assert [
        row["code"] for row in await bench.rows("cyclesoftware.repair_codes", "code_id = 13 AND _deleted_at IS NULL")
    ] == ["R01"]
    found = await differences(bench, "shop.repair_codes")
    assert not found, told(found)


async def test_rental_objects_are_off_by_default(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    streams = bench.config.sources["shop"].streams
    assert is_off(streams["rental_objects"]) == "off by default (enabled = true turns it on)"
    assert is_off(streams["repair_codes"]) is None


async def test_rental_objects_are_mirrored_once_they_are_on(make_bench: MakeBench) -> None:
    lines = "[sources.shop.streams.rental_objects]\nenabled = true\n"
    bench: Bench = await make_bench(customers=0, stock_items=0, extra=lines)
    assert is_off(bench.config.sources["shop"].streams["rental_objects"]) is None
    assert (await bench.sync("shop.rental_objects")).counts.inserted == 16
    world = bench.sandbox.world
    keys = list(world["cyclesoftware", "rental_objects"].keys())
    world.change("cyclesoftware", "rental_objects", keys[0])
    bench.sandbox.delete("cyclesoftware", "rental_objects", keys[1])
    bench.time.pass_by(hours=1)
    result = await bench.sync("shop.rental_objects")
    assert (result.counts.updated, result.counts.deleted) == (1, 1)
    found = await differences(bench, "shop.rental_objects")
    assert not found, told(found)

"""CycleSoftware's warehouse: samples, and for each way of paging what is gone and what is only not seen."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from syncd.contract import Page, Scope
from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

VARIABLES = {f"custom_variable_{place}": f"v{place}" for place in range(1, 6)}
ARTICLE = {
    "supplier": "Pon", "article_id": "03505002", "barcode": "0871714418679", "description": "a-Lane",
    "frame_id": "SP1", "purchase_price_cents": 99_900, "purchase_price_cents_packinglist": 98_000,
    "dealer_rrp_cents": 164_900,
}  # fmt: skip
SAMPLES: dict[str, dict[str, Any]] = {
    "warehouse_stock_items": {
        "stock_item_id": 7, "outbound_order_id": 0, **ARTICLE, "claimed_for_account_id": 5393,
        "claimed_for_store_id": 12, "is_blocked_for_claiming": False, "is_claimed_for_obo": True,
        "is_sold_to_customer": False, "is_shipped": False, "is_deleted": False, "stocked_at": "2026-03-01 10:00:00",
        **VARIABLES,
    },
    "warehouse_pos_items": {
        "account_id": 5393, "store_id": 12, "object_id": 8, "warehouse_stock_item_id": None, "sales_order_id": 0,
        **ARTICLE, "is_sold_to_customer": False, "is_demo": False, "has_invoice": False, "stocked_at": "2026-03-01",
        **VARIABLES, "is_deleted": False, "is_rental": False, "is_used": True,
    },
    "warehouse_delivered_items": {
        "article_id": "03505002", "barcode": "0871714418679", "datetime_delivered": "2026-03-01 10:00:00",
        "inbound_delivery_id": 5, "inbound_delivery_item_id": 6, "packinglist_number": "PL1",
        "purchase_price_cents": 300, "quantity_missing": 0, "quantity_packinglist": 2, "quantity_scanned": 2,
        "quantity_stocked": 2, "supplier_id": 7,
    },
    "warehouse_open_order_items": {
        "dealer_id": 791_825, "outbound_order_id": 1, "outbound_order_item_id": 2, "created_at": "2026-03-01 10:00:00",
        "ecommerce_reference_id": "01", "ecommerce_reference_text": "", "barcode": "0871714418679",
        "description": "a-Lane", "quantity": 2, "quantity_claimed": 1, "quantity_shipped": 0, "reference": "R",
        "is_sold_to_customer": False, "is_blocked_for_claiming": False, "is_pooled_within_stores": True,
    },
    "warehouse_assemblies": {
        "stock_item_id": 7, "is_assembled": True, "released_by": "J. Jansen",
        "scheduled_for_release_at": "2026-03-01", "released_for_shipment_at": "2026-03-02",
        "claimed_by_dealer_id": 131_073, "outbound_order_id": 1, "outbound_order_item_id": 2,
        "outbound_shipment_id": 3, "outbound_shipment_item_id": 4, "is_sold_to_customer": False,
    },
    "warehouse_availability": {
        "warehouse_group_name": "", "code": "PALLET", "description": "Pallet", "available_locations": 12,
    },
}  # fmt: skip
AT = {"2026-03-01 10:00:00": datetime(2026, 3, 1, 9, tzinfo=UTC), "2026-03-01": date(2026, 3, 1),
      "2026-03-02": date(2026, 3, 2)}  # fmt: skip
OMITTED = {"shipped_at": None, "warehouse_group_name": None, "warehouse_location": None}
BACKLOG = {
    "id": 5, "supplier_id": 7, "is_sold_to_customer": False, "in_transit": True, "article_id": "03505002",
    "barcode": "0871714418679", "supplier_reference": "S", "supplier_reference_2": "T", "delivery_date": "2026-03-01",
    "original_delivery_date": "2026-03-02", "external_remarks": "x", "internal_remarks": None,
    "created_at": "2026-03-01 10:00:00", "modified_at": "2026-03-01 10:00:00",
}  # fmt: skip
FULL = ("stock_items", "pos_items", "backlog_items", "open_order_items", "availability")


@pytest.mark.parametrize("stream", SAMPLES)
def test_samples_field_by_field(stream: str) -> None:
    sample = SAMPLES[stream]
    row = parsed(stream, sample)
    assert (row.extra, row.absent) == (None, frozenset())
    omitted = OMITTED if stream == "warehouse_stock_items" else {}
    assert values(stream, row) == {**omitted, **{name: AT.get(str(value), value) for name, value in sample.items()}}


@pytest.mark.parametrize("assignment", [[], None, {"assigned_to_entity_type_id": 20, "assigned_to_entity_id": 9,
                                                  "outbound_order_id": 8, "reference": "R"}])  # fmt: skip
async def test_what_a_backlog_item_is_meant_for_may_be_an_empty_array(assignment: Any) -> None:
    body = {"data": [{**BACKLOG, "assignment": assignment}], "pagination": {"count": 1, "next_offset": None}}
    (page,) = await pages_of("warehouse_backlog_items", walk_of(Script([body])))
    row = parsed("warehouse_backlog_items", page.records[0])
    assert (row.extra, row.absent, row.notes) == (None, frozenset(), [] if row.notes == [] else ())
    names = ("assigned_to_entity_type_id", "assigned_to_entity_id", "outbound_order_id", "reference")
    meant = {f"assignment_{name}": (assignment or {}).get(name) for name in names}
    assert values("warehouse_backlog_items", row) == {
        **{name: AT.get(str(value), value) for name, value in BACKLOG.items()}, **meant,
    }  # fmt: skip


async def test_figures_of_the_whole_warehouse_bear_an_empty_group() -> None:
    place = {"code": "PALLET", "description": "Pallet", "available_locations": 12}
    groups: list[dict[str, Any]] = [
        {"warehouse_group_name": "Hal A", "availability": [place]},
        {"name": "Hal B", "availability": []},
    ]
    body = {"data": {"availability": [place], "availability_per_warehouse_group": groups}}
    (page,) = await pages_of("warehouse_availability", walk_of(Script([body])))
    found = [json.loads(record) for record in page.records]
    assert [(each["warehouse_group_name"], each["code"]) for each in found] == [("", "PALLET"), ("Hal A", "PALLET")]
    assert (page.scope, page.whole_walk) == (Scope(), True)
    groups[0].pop("warehouse_group_name")
    with pytest.raises(BadPayload, match="warehouse_group_name"):
        await pages_of("warehouse_availability", walk_of(Script([body])))


# --- Pages by token ---------------------------------------------------------------------------------------------------


def _linked(*ids: int, token: str = "") -> dict[str, Any]:
    link = f"https://s01.cyclesoftware.nl/api/v2/x.json?token={token}" if token else None
    rows = [{**SAMPLES["warehouse_pos_items"], "object_id": number} for number in ids]
    return {"data": rows, "pagination": {"next_url": link}}


async def test_only_a_walk_without_a_repeated_row_proves_what_is_gone() -> None:
    for second, expected in (((3, 4), None), ((2, 3), "a row came twice")):
        script = Script([_linked(1, 2, token="+/="), _linked(*second)])
        pages = await pages_of("warehouse_pos_items", walk_of(script))
        assert [page.whole_walk for page in pages] == [False, True]
        assert str(expected or None) in str(pages[-1].unproven)
        assert (pages[0].cursor or {})["pass"]["query"] == "token=+/="
    going = {"pass": {"started_at": "2026-03-10T12:00:00+00:00", "query": "token=a"}}
    (page,) = await pages_of("warehouse_pos_items", walk_of(Script([_linked(3)]), cursor=going))
    assert "went on" in str(page.unproven)


# --- Pages by number --------------------------------------------------------------------------------------------------


def _numbered(number: Any, *ids: int, more: Any = False) -> dict[str, Any]:
    rows = [{**SAMPLES["warehouse_open_order_items"], "outbound_order_item_id": each} for each in ids]
    return {"data": rows, "pagination": {"page": number, "has_next_page": more}}


async def _open_orders(*answers: Any, held: tuple[int, ...] = ()) -> tuple[list[Page], Script]:
    async def keys(_scope: Scope) -> list[tuple[int]]:
        return [(each,) for each in held]

    script = Script(list(answers))
    return await pages_of("warehouse_open_order_items", replace(walk_of(script), held=keys)), script


async def test_pages_by_number_must_be_those_that_were_asked_for() -> None:
    pages, script = await _open_orders(_numbered(1, 1, 2, more=True), _numbered("2", 3))
    assert [asked[2] for asked in script.asked] == [{"page": "1"}, {"page": "2"}]
    assert [(len(page.records), page.whole_walk) for page in pages] == [(2, False), (1, True)]
    with pytest.raises(BadPayload, match="is the page ignored"):
        await _open_orders(_numbered(1, 1, more=True), _numbered(1, 1, more=True))
    with pytest.raises(BadPayload, match="has_next_page"):
        await _open_orders({"data": [], "pagination": {"page": 1}})
    with pytest.raises(BadPayload, match="empty pages in a row"):
        await _open_orders(*(_numbered(number, more=True) for number in range(1, 60)))


async def test_rows_that_are_missing_from_several_pages_are_looked_for_once_more() -> None:
    first = (_numbered(1, 1, 2, more=True), _numbered(2, 4))  # 3 slid onto the first page while it was walked
    pages, script = await _open_orders(*first, _numbered(1, 2, 3, more=True), _numbered(2, 4), held=(1, 2, 3, 4))
    assert [page.whole_walk for page in pages] == [False, False, False, True]
    assert {key for page in pages for key in page.keys or ()} == {(1,), (2,), (3,), (4,)}
    _, script = await _open_orders(_numbered(1, 1), held=(1, 2))
    assert len(script.asked) == 1, "one page cannot shift"
    _, script = await _open_orders(*first, held=(1, 2, 4))
    assert len(script.asked) == 2, "nothing is missing"


# --- Against the sandbox ----------------------------------------------------------------------------------------------


async def test_full_lists_follow_the_upstream(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=7)
    world, streams = bench.sandbox.world, [f"warehouse_{name}" for name in FULL]
    assert not any(SOURCE.stream(stream).is_on for stream in streams)
    for stream in streams:
        first = await bench.sync(f"shop.{stream}")
        assert (first.outcome, first.counts.inserted) == ("ok", len(bench.sandbox.truth("cyclesoftware", stream)))
        keys = list(world["cyclesoftware", stream].keys())
        alive = [key for key in keys if not world.get("cyclesoftware", stream, key).get("is_deleted")]
        world.delete("cyclesoftware", stream, alive[1])
        world.change("cyclesoftware", stream, alive[2])
        world.put("cyclesoftware", stream, {**world.fresh("cyclesoftware", stream), "is_deleted": False})
    bench.time.pass_by(hours=1)
    for stream in streams:
        result = await bench.sync(f"shop.{stream}")
        assert (result.outcome, result.counts.inserted, result.counts.updated, result.counts.deleted) == (
            "ok", 1, 1, 1,
        ), (stream, result)  # fmt: skip
        found = await differences(bench, f"shop.{stream}")
        assert not found, told(found)
    assert await bench.fetch("SELECT stream FROM syncd.seen") == []


async def test_days_are_right_under_any_reading_of_them(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    faults, world = bench.sandbox.faults, bench.sandbox.world
    for stream in ("warehouse_delivered_items", "warehouse_assemblies"):
        await bench.sync(f"shop.{stream}")
        for kind in ("range-refused", "days-in-utc", "last-day-excluded"):
            faults.add(kind, api="cyclesoftware", stream=stream)
            world.put("cyclesoftware", stream, world.fresh("cyclesoftware", stream))
            bench.time.pass_by(hours=1)
            result = await bench.sync(f"shop.{stream}", "sweep" if kind == "range-refused" else "live")
            assert (result.outcome, result.counts.inserted) == ("ok", 1), (stream, kind, result)
            faults.clear()


async def test_deliveries_and_assemblies_are_walked_by_days_and_never_buried(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=7)
    world = bench.sandbox.world
    for stream in ("warehouse_delivered_items", "warehouse_assemblies"):
        for _ in range(9):
            world.put("cyclesoftware", stream, world.fresh("cyclesoftware", stream))
        first = await bench.sync(f"shop.{stream}")
        held = len(bench.sandbox.truth("cyclesoftware", stream))
        assert (first.outcome, first.counts.inserted, first.pages > 3) == ("ok", held, True), first.error
        key = list(world["cyclesoftware", stream].keys())[-1]
        world.delete("cyclesoftware", stream, key)
        world.change("cyclesoftware", stream, list(world["cyclesoftware", stream].keys())[-1])
        bench.time.pass_by(hours=1)
        live = await bench.sync(f"shop.{stream}")
        assert (live.counts.updated, live.counts.deleted, live.spent.requests <= 3) == (1, 0, True), live
        whole = await bench.sync(f"shop.{stream}", "sweep", whole=True)
        everything = len(bench.sandbox.truth("cyclesoftware", stream)) + 1
        assert (whole.outcome, whole.counts.deleted) == ("ok", 0)
        assert len(await bench.rows(f"cyclesoftware.{stream}")) == everything, "what is older comes with the sweep"

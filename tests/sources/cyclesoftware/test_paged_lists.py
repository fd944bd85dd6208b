"""CycleSoftware's pro-forma invoices and repair objects, read whole page by page: samples, links, resuming, burials."""

import json
from datetime import date
from typing import Any

import pytest

from syncd.contract import Page, Scope
from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware import SOURCE
from syncd.sources.cyclesoftware.paged_lists import offset_of_link
from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, QUERY, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

INVOICE = {
    "created_at": "2026-01-05 10:00:00", "customer_id": 0, "modified_at": "2026-01-06 11:30:00", "sales_order_id": None,
    "sales_transaction_number": 880001, "store_id": 1, "total_amount_cents": 12900, "transaction_date": "2026-01-05",
    "unpayed_amount_cents": 12900,
}  # fmt: skip
OBJECT_TEXTS = (
    "object_barcode", "object_type_name", "category", "brand", "model", "color", "variant", "phone_number_id",
    "license_plate", "km_mileage", "frame_id", "chip_id", "key_id", "engine_id", "battery_id", "lock_id",
    "lease_contract_number",
)  # fmt: skip
OBJECT_NUMBERS = (
    "object_id", "customer_id", "workshop_rate_id", "service_level_id", "lease_fleet_customer_id",
    "lease_employer_customer_id",
)  # fmt: skip
OBJECT = {
    **{name: f"0{name}" for name in OBJECT_TEXTS}, **{name: at for at, name in enumerate(OBJECT_NUMBERS, 7)},
    "is_active": False, "model_year": 2024, "images": [],
}  # fmt: skip


def test_proforma_invoice_sample() -> None:
    row = parsed("proforma_invoices", INVOICE)
    found = values("proforma_invoices", row)
    assert (found["created_at"].isoformat(), found["transaction_date"]) == (
        "2026-01-05T10:00:00+01:00",
        date(2026, 1, 5),
    )
    same = set(INVOICE) - {"created_at", "modified_at", "transaction_date"}
    assert {name: found[name] for name in same} == {name: INVOICE[name] for name in same}
    assert set(found) == set(INVOICE)
    assert row.extra is None


def test_repair_object_sample_takes_a_year_that_is_a_number() -> None:
    row = parsed("repair_objects", OBJECT)
    assert values("repair_objects", row) == {**OBJECT, "model_year": "2024", "images": "[]"}
    assert row.key == (7,)


@pytest.mark.parametrize(
    ("link", "offset"),
    [
        ("https://s01.cyclesoftware.nl/api/v2/workshop/repair-objects.json?limit=150&offset=150", 150),
        ("/api/v1/workshop/repair-objects.json?offset=7", 7),
        ("?offset=1000", 1000),
        (None, None),
    ],
)
def test_of_a_link_only_the_offset_is_used(link: str | None, offset: int | None) -> None:
    assert offset_of_link(json.dumps(link).encode()) == offset


@pytest.mark.parametrize(
    "link", ["https://x.example/a", "", "?offset=", "?offset=-1", "?offset=1&offset=2", 7, [], "//["]
)
def test_a_link_without_an_offset_is_an_error(link: Any) -> None:
    with pytest.raises(BadPayload, match="expected a link with an offset"):
        offset_of_link(json.dumps(link).encode())


async def test_a_list_whose_links_hold_no_offset_goes_on_by_their_queries() -> None:
    """And nothing is buried for its absence alone: rows that slide past are not noticed then."""
    answers = [
        objects(1, 2, after="https://s01.cyclesoftware.nl/x.json?limit=2&offset=2"),
        objects(2, 3, after="/x.json?page=3&limit=2"),
        objects(4, after="?page=4"),
        objects(5, after=None),
    ]
    script = Script([*answers])
    pages = await pages_of("repair_objects", walk_of(script))
    assert [asked[2] for asked in script.asked[2:]] == [{QUERY: "page=3&limit=2"}, {QUERY: "page=4"}]
    assert [len(page.records) for page in pages] == [2, 2, 1, 1]
    assert [(page.whole_walk, bool(page.unproven)) for page in pages] == [*[(False, False)] * 3, (True, True)]
    rest = Script(answers[2:])
    resumed = await pages_of("repair_objects", walk_of(rest, cursor=pages[1].cursor))
    assert [asked[2] for asked in rest.asked] == [asked[2] for asked in script.asked[2:]]
    assert (resumed[-1].cursor, resumed[-1].unproven) == (pages[-1].cursor, pages[-1].unproven)


def objects(*numbers: int, after: str | None) -> dict[str, Any]:
    return {"error": False, "data": [{"object_id": n} for n in numbers], "pagination": {"next_url": after}}


async def test_pages_are_asked_for_on_our_own_path_one_row_early() -> None:
    elsewhere = "https://s01.cyclesoftware.nl/api/v2/other.json?offset=2&limit=150&token=abc"
    script = Script([objects(1, 2, after=elsewhere), objects(2, 3, after=None)])
    first, last = await pages_of("repair_objects", walk_of(script))
    path = "/api/v1/workshop/repair-objects.json"
    assert [(asked[1], asked[2]) for asked in script.asked] == [
        (path, {"limit": "1000"}),
        (path, {"offset": "1", "limit": "1000"}),
    ]
    assert first.cursor == {"pass": {"started_at": NOW.isoformat(), "offset": 2, "tail": [[1], [2]]}}
    assert (first.scope, first.whole_walk) == (None, False)
    assert (last.cursor, last.scope, last.whole_walk) == ({"as_of": NOW.isoformat()}, Scope(), True)
    resumed = Script([objects(2, 3, after=None)])
    (page,) = await pages_of("repair_objects", walk_of(resumed, cursor=first.cursor))
    assert resumed.asked[0][2]["offset"] == "1"
    assert page.cursor == {"as_of": NOW.isoformat()}


@pytest.mark.parametrize("links", [["?offset=2", "?offset=2"], ["?offset=2", "?offset=1"]])
async def test_an_offset_that_does_not_grow_is_a_loop(links: list[str]) -> None:
    script = Script([objects(1, 2, after=links[0]), objects(2, 3, after=links[1]), objects(3, 4, after=None)])
    with pytest.raises(BadPayload, match="loop"):
        await pages_of("repair_objects", walk_of(script))


@pytest.mark.parametrize("pagination", [{}, {"pagination": {}}, {"pagination": None}, {"pagination": []}])
@pytest.mark.parametrize("stream", ["repair_objects", "proforma_invoices"])
async def test_an_unknown_end_keeps_the_rows_and_fails_the_run(stream: str, pagination: dict[str, Any]) -> None:
    seen: list[Page] = []
    key = "object_id" if stream == "repair_objects" else "sales_transaction_number"
    walk = walk_of(Script([{"data": [{key: 1}], **pagination}]))

    async def read() -> None:
        async for page in SOURCE.stream(stream).walk(walk):
            seen.append(page)  # noqa: PERF401  (a comprehension would lose what came before the error)

    with pytest.raises(BadPayload, match="is missing beside `data`"):
        await read()
    assert [(len(page.records), page.cursor, page.scope) for page in seen] == [(1, None, None)]


SELECTORS = ("shop.repair_objects", "shop.proforma_invoices")


@pytest.mark.parametrize("selector", SELECTORS)
async def test_the_mirror_follows_changes_and_buries_what_is_gone(make_bench: MakeBench, selector: str) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=13)
    stream = selector.partition(".")[2]
    first = await bench.sync(selector)
    assert (first.outcome, first.counts.inserted) == ("ok", len(bench.sandbox.truth("cyclesoftware", stream)))
    assert first.pages > 3
    world = bench.sandbox.world
    keys = list(world["cyclesoftware", stream].keys())
    world.change("cyclesoftware", stream, keys[20])
    world.put("cyclesoftware", stream, world.fresh("cyclesoftware", stream))
    bench.sandbox.delete("cyclesoftware", stream, keys[3])
    bench.time.pass_by(hours=6)
    result = await bench.sync(selector)
    assert (result.outcome, result.counts.inserted, result.counts.updated) == ("ok", 1, 1)
    assert result.counts.deleted == 1
    found = await differences(bench, selector)
    assert not found, told(found)


async def test_a_repair_object_that_the_list_lost_is_asked_for_before_it_is_buried(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    await bench.sync("shop.repair_objects")
    bench.sandbox.faults.add("row-vanishes", api="cyclesoftware", stream="repair_objects", times=1)
    bench.time.pass_by(hours=6)
    result = await bench.sync("shop.repair_objects")
    assert (result.outcome, result.counts.deleted) == ("ok", 0)
    assert "/repair-objects/{id" in bench.sandbox.requests[-1].endpoint


async def test_who_is_forgotten_leaves_both_tables_and_amounts_stay(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(stock_items=0)
    world = bench.sandbox.world
    customer_id = world["cyclesoftware", "repair_objects"].records()[0]["customer_id"]
    invoice = world["cyclesoftware", "proforma_invoices"].records()[0]
    bench.sandbox.put("cyclesoftware", "proforma_invoices", {**invoice, "customer_id": customer_id})
    for selector in ("shop.customers", *SELECTORS):
        assert (await bench.sync(selector)).outcome == "ok"
    await forgotten(bench, "shop.customers", customer_id)
    for _ in range(2):  # as it is, and after a run that reads all of it again
        assert await bench.rows("cyclesoftware.repair_objects", f"customer_id = {customer_id}") == []
        assert await bench.rows("cyclesoftware.proforma_invoices", f"customer_id = {customer_id}") == []
        number = invoice["sales_transaction_number"]
        (kept,) = await bench.rows("cyclesoftware.proforma_invoices", f"sales_transaction_number = {number}")
        assert (kept["customer_id"], kept["total_amount_cents"]) == (None, invoice["total_amount_cents"])
        bench.time.pass_by(hours=6)
        for selector in SELECTORS:
            await bench.sync(selector)

"""CycleSoftware's sales transactions: samples, tokens, sweeps, and unbooked ones that vanish."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadRequest, NotFound
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, QUERY, Script, pages_of, parsed, table, values, walk_of
from tests.support.truth import differences, told, wrongly_buried

SELECTOR = "shop.sales_transactions"
API = "cyclesoftware"
SINCE = {"since": NOW.isoformat()}


def nested(columns: tuple[Any, ...]) -> dict[str, Any]:
    """Return a record in which every column has a value, by its kind."""
    given = {
        "bigint": 7, "text": "0x", "boolean": True, "numeric": 2.5, "date": "2026-01-05",
        "timestamptz": "2026-01-05 10:00:00", "jsonb": [1],
    }  # fmt: skip
    record: dict[str, Any] = {}
    for column in columns:
        *outer, last = column.path
        place = record
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = given[column.kind.value]
    return record


def test_every_documented_field_has_its_column() -> None:
    transactions = table("sales_transactions")
    record = nested(transactions.columns)
    assert {"customer", "sales_order", "workshop_order"} <= set(record)
    assert {"object", "identification"} <= set(record["workshop_order"])
    (child,) = transactions.children
    item = nested(child.table.columns)
    assert item["object"]["object_barcode"] == item["object"]["barcode"] == "0x"
    item["object"] |= {"object_barcode": "F1", "barcode": "871"}
    row = parsed("sales_transactions", {**record, "sales_items": [item]})
    found = values("sales_transactions", row)
    assert row.extra is None
    assert None not in found.values()
    assert (row.key, found["customer_date_of_birth"]) == ((7, 7), date(2026, 1, 5))
    rows = next(iter(row.children)) or []
    held = rows[0]
    assert (held.key, held.extra) == ((7, 7, 7), None)
    of_item = dict(zip((column.name for column in child.table.columns), held.values, strict=True))
    assert (of_item["object_barcode"], of_item["object_article_barcode"]) == ("F1", "871")
    assert of_item["quantity"] == Decimal("2.5")
    assert None not in of_item.values()


async def read(*records: dict[str, Any]) -> list[Any]:
    script = Script([{"data": list(records), "pagination": {"next_url": None}}])
    (page,) = await pages_of("sales_transactions", walk_of(script, cursor=SINCE))
    return [json.loads(record) for record in page.records]


async def test_names_that_the_vendor_spells_in_two_ways_are_one() -> None:
    key = {"account_id": 1, "sales_transaction_number": 2}
    item = {"sales_item_id": 3, "object": {"object_type_id": 1, "object_id": 4, "object_status": "Nieuw"}}
    (found,) = await read(
        {**key, "unpayed_amount_cents": 5, "sales_order": {"sales_order_id": 6, "sales_order_type_id": 3},
         "sales_items": [item]}
    )  # fmt: skip
    assert found == {
        **key, "unpaid_amount_cents": 5, "sales_order": {"sales_order_id": 6, "type_id": 3},
        "sales_items": [{"sales_item_id": 3, "object": {"type_id": 1, "object_id": 4, "object_status": "Nieuw"}}],
    }  # fmt: skip
    (both,) = await read({**key, "unpayed_amount_cents": 5, "unpaid_amount_cents": 6})
    assert both["unpaid_amount_cents"] == 6


async def test_of_a_transaction_that_comes_twice_on_a_page_the_later_one_counts() -> None:
    key = {"account_id": 1, "sales_transaction_number": 2}
    newer, older = ({**key, "modified_at": f"2026-01-0{day} 10:00:00"} for day in (6, 5))
    assert (await read(newer, older))[-1] == newer


async def test_pages_are_asked_for_by_token_and_a_killed_walk_goes_on() -> None:
    link = "https://s01.cyclesoftware.nl/api/v2/salesdata/transactions.json?token=a+/b=="
    key = {"account_id": 1, "sales_transaction_number": 2}
    script = Script([{"data": [key], "pagination": {"next_url": link}}, {"data": [], "pagination": {"next_url": None}}])
    first, last = await pages_of("sales_transactions", walk_of(script, cursor=SINCE))
    path = "/api/v3/salesdata/transactions.json"
    days = {"date_field": "modified_at", "date_start": "2026-03-10", "date_end": "2026-03-12"}
    assert [(asked[1], asked[2]) for asked in script.asked] == [(path, days), (path, {QUERY: "token=a+/b=="})]
    assert first.cursor is not None
    assert first.cursor["since"] == NOW.isoformat()
    assert last.cursor == SINCE
    assert (last.scope, last.whole_walk) == (None, False)
    stale = BadRequest("Invalid token", status=400)
    rest = Script([stale, *({"data": [key], "pagination": {"next_url": None}} for _ in range(2))])
    await pages_of("sales_transactions", walk_of(rest, cursor=first.cursor))
    assert [asked[2] for asked in rest.asked] == [{QUERY: "token=a+/b=="}, days, days], "its window, not the run"


async def test_a_killed_sweep_begins_its_window_again_for_a_token_may_stand_for_older_rows() -> None:
    link = "https://s01.cyclesoftware.nl/api/v2/salesdata/transactions.json?token=a+/b=="
    key = {"account_id": 1, "sales_transaction_number": 2}
    options: dict[str, object] = {"from": "2026-01-01"}
    end = {"data": [], "pagination": {"next_url": None}}
    script = Script([{"data": [key], "pagination": {"next_url": link}}, *[end] * 40])
    first, *_ = await pages_of("sales_transactions", walk_of(script, "sweep", stream_options=options))
    rest = Script([end] * 40)
    await pages_of("sales_transactions", walk_of(rest, "sweep", cursor=first.cursor, stream_options=options))
    assert rest.asked[0][2] == script.asked[0][2]
    assert not any(QUERY in asked[2] for asked in rest.asked)


async def test_a_server_without_the_third_version_is_told() -> None:
    with pytest.raises(NotFound) as caught:
        await pages_of("sales_transactions", walk_of(Script([NotFound("404", status=404)]), cursor=SINCE))
    assert "version 3" in caught.value.hint


async def test_a_sweep_speaks_of_unbooked_transactions_only() -> None:
    script = Script([{"data": [], "pagination": {"next_url": None}} for _ in range(40)])
    pages = await pages_of("sales_transactions", walk_of(script, "sweep", stream_options={"from": "2026-01-01"}))
    assert [page.scope for page in pages] == [None, None, Scope(column="is_final", values=(False,))]
    assert pages[-1].unproven


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(
        customers=0, stock_items=0, sales_orders=0, page_size=50,
        extra='[sources.shop.streams.sales_transactions]\nfrom = "2025-04-01"\n',
    )  # fmt: skip


async def test_the_mirror_follows_and_buries_only_unbooked_ones_that_no_list_holds(bench: Bench) -> None:
    first = await bench.sync(SELECTOR)
    world, transactions = bench.sandbox.world, bench.sandbox.world[API, "sales_transactions"]
    assert (first.outcome, first.counts.inserted) == ("ok", len(transactions))
    assert first.spent.requests > 20
    keys = list(transactions.keys())
    open_ones = [key for key in keys if not transactions.get(key)["is_final"]]
    final, kept, lost, booked = open_ones[:3] + [key for key in keys if key not in open_ones][:1]
    bench.time.pass_by(minutes=15)
    world.put(API, "sales_transactions", {**transactions.get(final), "is_final": True})
    world.put(API, "sales_transactions", world.fresh(API, "sales_transactions"))
    live = await bench.sync(SELECTOR)
    assert (live.outcome, live.counts.inserted, live.counts.updated) == ("ok", 1, 1)
    assert live.spent.requests <= 3

    proforma = bench.sandbox.world[API, "proforma_invoices"].get(kept[1])
    for key in (kept, lost, booked):
        bench.sandbox.delete(API, "sales_transactions", key)
    bench.sandbox.put(API, "proforma_invoices", proforma)  # one list lost it, the other did not
    bench.time.pass_by(hours=1)
    sweep = await bench.sync(SELECTOR, kind="sweep")
    assert (sweep.outcome, sweep.counts.deleted) == ("ok", 1)
    dead = await bench.rows("cyclesoftware.sales_transactions", "_deleted_at IS NOT NULL")
    assert [row["sales_transaction_number"] for row in dead] == [lost[1]]
    items = await bench.rows("cyclesoftware.sales_transaction_items", f"sales_transaction_number = {lost[1]}")
    assert items
    assert all(row["_deleted_at"] for row in items)
    assert await wrongly_buried(bench, SELECTOR) == []
    notes = await bench.fetch("SELECT notes::text FROM syncd.runs WHERE kind = 'sweep'")
    assert "asked another way, the upstream still holds them" in notes[0][0]


async def test_without_the_list_of_proforma_invoices_nothing_is_buried(bench: Bench) -> None:
    await bench.sync(SELECTOR)
    transactions = bench.sandbox.world[API, "sales_transactions"]
    lost = next(transactions.key_of(record) for record in transactions.records() if not record["is_final"])
    bench.sandbox.delete(API, "sales_transactions", lost)
    bench.sandbox.faults.add("scope-revoked", api=API, stream="proforma_invoices")
    bench.time.pass_by(hours=1)
    sweep = await bench.sync(SELECTOR, kind="sweep", whole=True)
    assert (sweep.outcome, sweep.counts.deleted, sweep.is_paused) == ("ok", 0, False)
    bench.sandbox.faults.clear()
    bench.time.pass_by(hours=1)
    assert (await bench.sync(SELECTOR, kind="sweep")).counts.deleted == 1
    found = await differences(bench, SELECTOR)
    assert not found, told(found)


async def test_who_is_forgotten_leaves_the_invoice_and_its_lines_and_amounts_stay(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(stock_items=0, keeps=True)
    transactions = bench.sandbox.world[API, "sales_transactions"]
    record = next(
        record
        for record in transactions.records()
        if record["customer"] and any(item["identification"] for item in record["sales_items"])
    )
    key = transactions.key_of(record)
    who = record["customer"]["customer_id"]
    for selector in ("shop.customers", SELECTOR):
        assert (await bench.sync(selector)).outcome == "ok"
    await forgotten(bench, "shop.customers", who)
    personal = SOURCE.stream("sales_transactions").table.personal
    for _ in range(2):  # as it is, and after a sweep that reads all of it again
        where = f"sales_transaction_number = {key[1]}"
        (row,) = await bench.rows("cyclesoftware.sales_transactions", where)
        assert {row[name] for name in personal} == {None}
        assert row["total_amount_cents"] == record["total_amount_cents"]
        items = await bench.rows("cyclesoftware.sales_transaction_items", where)
        assert items
        assert {item["identification_frame_number"] for item in items} == {None}
        bench.time.pass_by(hours=6)
        await bench.sync(SELECTOR, kind="sweep")
    old = await bench.fetch(
        f"SELECT identification_frame_number FROM history.cyclesoftware_sales_transaction_items WHERE {where}"
    )
    assert {version[0] for version in old} <= {None}

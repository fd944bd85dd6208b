"""CycleSoftware's sales orders: windows of time, and orders that come item by item."""

import json
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, Script, expected, mirror_of, pages_of, parsed, walk_of
from tests.support.truth import differences, told


def orders(*records: Any, after: int | None = None) -> dict[str, Any]:
    rows = [{"sales_order_id": each} if isinstance(each, int) else each for each in records]
    return {"error": False, "data": rows, "pagination": {"count": len(rows), "next_offset": after}}


async def test_first_walk_of_orders_tiles_the_time_with_windows_of_at_most_31_days() -> None:
    script = Script([orders(n) for n in range(40)])
    pages = await pages_of("sales_orders", walk_of(script, stream_options={"from": "2025-12-01"}))
    asked = [
        (date.fromisoformat(a[2]["modified_start"]), date.fromisoformat(a[2]["modified_end"])) for a in script.asked
    ]
    assert asked[0][0] <= date(2025, 11, 30)
    assert asked[-1][1] > NOW.date()
    assert all((end - start).days <= 30 for start, end in asked)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(asked))
    assert all(a[2]["include_deleted"] == "1" for a in script.asked)
    marks = [(page.cursor or {})["since"] for page in pages]
    assert marks == sorted(marks)
    assert marks[-1] == NOW.isoformat()
    assert not any(page.scope or page.whole_walk for page in pages)


async def test_first_walk_of_orders_goes_two_years_back() -> None:
    script = Script([orders() for _ in range(40)])
    await pages_of("sales_orders", walk_of(script, stream_options={"from": None}))
    assert script.asked[0][2]["modified_start"] == "2024-03-10"
    option = next(each for each in SOURCE.stream("sales_orders").options if each.name == "from")
    assert option.kind == "day", "so the configuration refuses last year when it is read"


async def test_killed_walk_of_orders_goes_on_in_its_window_then_asks_once_more() -> None:
    first = Script([orders(1, 2, after=2)])
    walking = SOURCE.stream("sales_orders").walk(walk_of(first, cursor={"since": "2026-03-01T00:00:00+00:00"}))
    page = await anext(walking)
    assert page.cursor is not None
    assert page.cursor["since"] == "2026-03-01T00:00:00+00:00"
    later = Script([orders(2, 3), orders(1)])
    resumed, fresh = await pages_of("sales_orders", walk_of(later, cursor=json.loads(json.dumps(page.cursor))))
    assert later.asked[0][2] == {**first.asked[0][2], "offset": "1"}
    assert "offset" not in later.asked[1][2]
    assert resumed.cursor == fresh.cursor == {"since": NOW.isoformat()}


async def test_backfill_of_orders_keeps_to_its_range() -> None:
    since, until = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    script = Script([orders(n) for n in range(9)])
    pages = await pages_of("sales_orders", walk_of(script, "backfill", since=since, until=until))
    assert script.asked[0][2]["modified_start"] == "2025-01-01"
    assert "2025-03-01" < script.asked[-1][2]["modified_end"] <= "2025-03-03"
    assert pages[-1].cursor == {"since": since.isoformat(), "until": until.isoformat()}
    rest = Script([orders(n) for n in range(9)])
    await pages_of("sales_orders", walk_of(rest, "backfill", since=since, until=until, cursor=pages[0].cursor))
    assert len(rest.asked) == len(script.asked) - 1


async def test_orders_that_come_item_by_item_become_whole_orders() -> None:
    def head(order: int) -> dict[str, Any]:
        return {"sales_order_id": order, "status_id": 2, "datetime_modified": "2026-03-01 10:00:00"}

    def item(order: int, number: int, barcode: str) -> dict[str, Any]:
        return {**head(order), **line(order, number, barcode)}

    def line(order: int, number: int, barcode: str) -> dict[str, Any]:
        return {"sales_order_id": order, "order_item_id": number, "barcode": barcode}

    script = Script(
        [
            orders(item(54228, 10, "b"), item(54228, 2, "a"), item(54230, 0, ""), after=3),
            orders(item(54230, 0, ""), item(54230, 1, "c"), 9),
        ]
    )
    first, last = await pages_of("sales_orders", walk_of(script, cursor={"since": NOW.isoformat()}))
    assert (list(first.records), first.cursor) == ([], None)
    found = [json.loads(record) for record in last.records]
    assert found == [
        {"sales_order_id": 9},
        {
            **head(54228),
            "order_items": [item(54228, 2, "a"), item(54228, 10, "b")],
            "sales_order_items": [line(54228, 2, "a"), line(54228, 10, "b")],
        },
        {
            **head(54230),
            "order_items": [item(54230, 0, ""), item(54230, 1, "c")],
            "sales_order_items": [line(54230, 1, "c")],
        },
    ]
    row = parsed("sales_orders", last.records[1])
    assert row.extra is None
    assert {note.field.partition("[")[0] for note in row.notes} == {"sales_order_items"}, (
        "of its lines, which say little"
    )


async def test_sales_orders_hold_deleted_ones_too(make_bench: MakeBench) -> None:
    bench = await make_bench(seed=7, page_size=37)
    result = await bench.sync("shop.sales_orders")
    assert result.outcome == "ok", result.error
    truth = expected("sales_orders", bench.sandbox.truth("cyclesoftware", "sales_orders"))
    assert await mirror_of(bench, "sales_orders") == truth | expected(
        "sales_orders", bench.sandbox.deleted_sales_orders()
    )


async def test_an_order_without_items_has_no_line_and_one_that_lost_an_item_loses_its_line(
    make_bench: MakeBench,
) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=37)
    assert (await bench.sync("shop.sales_orders")).outcome == "ok"
    orders = bench.sandbox.world["cyclesoftware", "sales_orders"]
    none, several = (
        next(order for order in orders.records() if (order["order_items"][0]["order_item_id"] > 0) is has)
        for has in (False, True)
    )
    where = "sales_order_id = {}"
    assert await bench.rows("cyclesoftware.sales_orders", where.format(none["sales_order_id"]))
    assert await bench.rows("cyclesoftware.sales_order_items", where.format(none["sales_order_id"])) == []
    lines = await bench.rows("cyclesoftware.sales_order_items", where.format(several["sales_order_id"]))
    assert [row["order_item_id"] for row in lines] == [item["order_item_id"] for item in several["order_items"]]
    bench.time.pass_by(minutes=10)
    placeholder = {"order_item_id": 0, "description": "-", "quantity": 0}
    bench.sandbox.put("cyclesoftware", "sales_orders", {**several, "order_items": [placeholder]})
    assert (await bench.sync("shop.sales_orders")).outcome == "ok"
    lines = await bench.rows("cyclesoftware.sales_order_items", where.format(several["sales_order_id"]))
    assert all(row["_deleted_at"] for row in lines)
    found = await differences(bench, "shop.sales_orders")
    assert not found, told(found)

"""CycleSoftware's repairs: planned days, the list without days, deletions by flag and by absence."""

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from syncd.contract import Due
from syncd.contract.errors import BadPayload, NotFound
from syncd.engine.order import Order
from syncd.sources.cyclesoftware.workshop_orders import TOLD_MOST
from tests.support.bench import Bench, MakeBench
from tests.support.crashed import crashed
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, QUERY, Script, pages_of, parsed, table, values, walk_of
from tests.support.truth import differences, told, wrongly_buried

SELECTOR = "shop.workshop_orders"
API = "cyclesoftware"
FROM_NOW = {"key": "", "at": NOW.isoformat()}
GIVEN = {"bigint": 7, "text": "0x", "boolean": True, "numeric": 2.5, "timestamptz": "2026-01-05 10:00:00", "jsonb": [1]}


def test_every_documented_field_has_its_column() -> None:
    orders = table("workshop_orders")
    (child,) = orders.children
    record, line = ({column.name: GIVEN[column.kind.value] for column in of.columns} for of in (orders, child.table))
    row = parsed("workshop_orders", {**record, "order_items": [line]})
    assert row.extra is None
    assert None not in values("workshop_orders", row).values()
    rows = next(iter(row.children)) or []
    assert (rows[0].key, rows[0].extra) == ((7, 7), None)
    assert None not in rows[0].values


def page(*orders: Any, after: str | None = None, alone: bool = False) -> dict[str, Any]:
    rows = [{"workshop_order_id": n} if isinstance(n, int) else n for n in orders]
    return {"data": rows[0] if alone else rows, "pagination": {"next_url": after}}


def days(script: Script) -> list[tuple[str, str] | None]:
    return [
        (asked[2]["date_from"], asked[2]["date_until"]) if "date_from" in asked[2] else None for asked in script.asked
    ]


async def test_one_repair_comes_as_an_object_and_one_without_lines_has_none() -> None:
    script = Script([page({"workshop_order_id": 1}, alone=True)])
    (found,) = await pages_of("workshop_orders", walk_of(script, cursor={"wide_at": NOW.isoformat()}))
    assert [json.loads(record) for record in found.records] == [{"workshop_order_id": 1, "order_items": []}]


async def test_a_live_run_asks_for_near_days_and_for_far_ones_now_and_then() -> None:
    near = Script([page(1)])
    (last,) = await pages_of(
        "workshop_orders", walk_of(near, cursor={"wide_at": (NOW - timedelta(hours=5)).isoformat()})
    )
    assert days(near) == [("2026-03-08", "2026-03-12")]
    assert last.cursor == {"wide_at": (NOW - timedelta(hours=5)).isoformat(), "told": FROM_NOW}
    wide = Script([page(n) for n in range(9)])
    pages = await pages_of("workshop_orders", walk_of(wide, cursor={"wide_at": (NOW - timedelta(hours=6)).isoformat()}))
    asked = days(wide)
    assert asked[0]
    assert asked[-1]
    assert (asked[0][0], asked[-1][1]) == ("2026-01-24", "2026-07-10")
    assert pages[-1].cursor == {"wide_at": NOW.isoformat(), "told": FROM_NOW}
    assert not any(page.scope for page in pages)


async def test_a_killed_wide_run_goes_on_as_one_and_takes_any_form_of_link() -> None:
    link = "https://s01.cyclesoftware.nl/api/v2/workshop/orders.json?cursor=a+b"
    script = Script([page(1, after=link), *(page(n) for n in range(2, 9))])
    first, *_ = await pages_of("workshop_orders", walk_of(script, cursor={"wide_at": "2026-03-01T00:00:00+00:00"}))
    assert script.asked[1][2] == {QUERY: "cursor=a+b"}
    rest = Script([page(n) for n in range(2, 9)])
    later = await pages_of("workshop_orders", walk_of(rest, cursor=first.cursor))
    assert [asked[2] for asked in rest.asked] == [asked[2] for asked in script.asked[1:]]
    assert later[-1].cursor == {"wide_at": NOW.isoformat(), "told": FROM_NOW}


async def test_a_sweep_lists_what_is_not_planned_and_then_all_windows() -> None:
    script = Script([page(1, 2, after="?token=a"), page(3), *(page(1, 2, 3) for _ in range(40))])
    pages = await pages_of("workshop_orders", walk_of(script, "sweep", stream_options={"from": "2026-01-01"}))
    asked = days(script)
    assert asked[:2] == [None, None]
    assert all(asked[2:])
    assert asked[2]
    assert date.fromisoformat(asked[2][0]) == date(2025, 12, 31)
    assert asked[-1]
    assert date.fromisoformat(asked[-1][1]) > NOW.date() + timedelta(days=360)
    assert pages[-1].cursor == {"swept_at": NOW.isoformat()}
    assert pages[-1].whole_walk
    for at in (0, 1, 4):  # in the list, at its end, between two windows
        again = Script([page(1, 2, after="?token=a"), page(3), *(page(1, 2, 3) for _ in range(40))])
        walk = walk_of(again, "sweep", stream_options={"from": "2026-01-01"}, cursor=pages[at].cursor)
        rest = await pages_of("workshop_orders", walk)
        assert days(again) == [None, None, *asked[max(2, at + 1) :]], "the list is read whole, to compare the windows"
        assert [page.starts_over for page in rest] == [at == 0, *(False for _ in rest[1:])]
        assert rest[-1].whole_walk


@pytest.mark.parametrize(("at", "asks"), [(0, [None]), (1, [None, None]), (4, [None, None])])
async def test_a_first_run_that_is_killed_goes_on_in_its_list_or_window(at: int, asks: list[None]) -> None:
    options = {"from": "2026-01-01"}
    script = Script([page(1, 2, after="?token=a"), page(3), *(page(1, 2, 3) for _ in range(40))])
    pages = await pages_of("workshop_orders", walk_of(script, stream_options=options))
    windows = days(script)[max(2, at + 1) :]
    lists = [page(3)] if at == 0 else [page(1, 2, after="?token=a"), page(3)]
    rest = Script([*lists, *(page(1, 2, 3) for _ in range(40))])
    resumed = await pages_of("workshop_orders", walk_of(rest, stream_options=options, cursor=pages[at].cursor))
    assert days(rest) == [*asks, *windows], "the list is read again, for what was entered meanwhile"
    assert resumed[-1].cursor == pages[-1].cursor == {"wide_at": NOW.isoformat(), "told": FROM_NOW}


async def test_a_list_that_lacks_repairs_buries_nothing() -> None:
    script = Script([page(1, 2), *(page(1, 9) for _ in range(40))])
    pages = await pages_of("workshop_orders", walk_of(script, "sweep", stream_options={"from": "2026-01-01"}))
    assert (pages[-1].scope, pages[-1].whole_walk) == (None, False)
    assert pages[-1].cursor == {"swept_at": NOW.isoformat()}
    rest = Script([page(1, 2), *(page(1) for _ in range(40))])
    walk = walk_of(rest, "sweep", stream_options={"from": "2026-01-01"}, cursor=pages[3].cursor)
    assert (await pages_of("workshop_orders", walk))[-1].scope is None, "who goes on remembers it"


@pytest.mark.parametrize("pagination", [{}, {"pagination": {}}, {"pagination": {"next_url": "/no-query"}}])
async def test_an_unknown_end_fails_the_run(pagination: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        await pages_of("workshop_orders", walk_of(Script([{"data": [], **pagination}])))


async def test_repairs_that_other_rows_tell_of_are_asked_for_and_one_that_is_not_there_proves_nothing() -> None:
    at = NOW - timedelta(hours=1)
    asked: list[tuple[Due | None, int]] = []

    async def due(after: Due | None, most: int) -> list[Due]:
        asked.append((after, most))
        return [Due(key="7/70", at=at), Due(key="8/80", at=NOW)]

    known = {"wide_at": NOW.isoformat(), "told": {"key": "5/50", "at": at.isoformat()}}
    script = Script([{"workshop_order_id": 7}, NotFound("no such repair", status=404), page(1)])
    walk = replace(walk_of(script, cursor=known), due=due)
    pages = await pages_of("workshop_orders", walk)
    assert asked == [(Due(key="5/50", at=at), TOLD_MOST)]
    assert [each[1] for each in script.asked[:2]] == [f"/api/v1/customers/{n}0/workshop-order/{n}.json" for n in (7, 8)]
    assert [len(each.records) for each in pages] == [1, 0, 1]
    assert [(each.cursor or {})["told"]["key"] for each in pages] == ["7/70", "8/80", "8/80"]
    assert not any(each.scope for each in pages)
    asked.clear()
    await pages_of("workshop_orders", replace(walk_of(Script([page(1)]), cursor={"wide_at": NOW.isoformat()}), due=due))
    assert asked == [], "what was told before the first run is in it"


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    extra = '[sources.shop.streams.workshop_orders]\nfrom = "2025-06-01"\n'
    return await make_bench(customers=30, stock_items=0, sales_orders=0, extra=extra)


async def test_the_mirror_follows_near_repairs_and_sweeps_find_the_rest(bench: Bench) -> None:
    first = await bench.sync(SELECTOR)
    world, orders = bench.sandbox.world, bench.sandbox.world[API, "workshop_orders"]
    assert first.outcome == "ok"
    assert {bool(record["datetime_scheduled_start"]) for record in orders.records()} == {True, False}
    rows = await bench.rows("cyclesoftware.workshop_orders", "true")
    assert len(rows) == len(orders)
    assert {row["workshop_order_id"] for row in rows if row["_deleted_at"]} == {
        record["workshop_order_id"] for record in orders.records() if not record["is_active"]
    }
    fresh = world.put(API, "workshop_orders", world.fresh(API, "workshop_orders"))
    live = await bench.sync(SELECTOR)
    assert (live.outcome, live.counts.inserted, live.spent.requests) == ("ok", 1, 1)

    alive = [r["workshop_order_id"] for r in orders.records() if r["is_active"] and r["workshop_order_id"] != fresh]
    with_day = [key for key in alive if orders.get(key)["datetime_scheduled_start"]]
    has_items = {row["workshop_order_id"] for row in await bench.rows("cyclesoftware.workshop_order_items", "true")}
    planned = [key for key in with_day if key in has_items]
    unplanned = [key for key in alive if key not in with_day]
    world.change(API, "workshop_orders", unplanned[0])
    bench.sandbox.put(API, "workshop_orders", {**orders.get(planned[0]), "is_active": False})
    for gone in (planned[1], unplanned[1]):
        bench.sandbox.delete(API, "workshop_orders", gone)
    bench.time.pass_by(hours=1)
    sweep = await bench.sync(SELECTOR, kind="sweep")
    assert (sweep.outcome, sweep.counts.deleted, sweep.counts.updated) == ("ok", 2, 2)
    dead = await bench.rows("cyclesoftware.workshop_orders", "_deleted_at IS NOT NULL")
    assert {planned[0], planned[1], unplanned[1]} <= {row["workshop_order_id"] for row in dead}
    for buried in planned[:2]:
        items = await bench.rows("cyclesoftware.workshop_order_items", f"workshop_order_id = {buried}")
        assert items
        assert all(row["_deleted_at"] for row in items)
    bench.sandbox.put(API, "workshop_orders", {**orders.get(planned[0]), "is_active": True})
    await bench.sync(SELECTOR, kind="sweep")
    for name in ("workshop_orders", "workshop_order_items"):
        assert await bench.rows(f"cyclesoftware.{name}", f"workshop_order_id = {planned[0]} AND _deleted_at IS NULL")
    found = [*await differences(bench, SELECTOR), *await wrongly_buried(bench, SELECTOR)]
    assert not found, told(found)


async def test_a_far_repair_whose_sales_order_changed_is_in_the_mirror_with_the_next_run(bench: Bench) -> None:
    world, orders = bench.sandbox.world, bench.sandbox.world[API, "workshop_orders"]
    for selector in (SELECTOR, "shop.sales_orders"):
        assert (await bench.sync(selector)).outcome == "ok"
    unplanned = [r for r in orders.records() if r["is_active"] and not r["datetime_scheduled_start"]]
    bench.time.pass_by(minutes=20)
    for repair in (*unplanned[:2], {"workshop_order_id": 9_999_999, "customer_id": unplanned[0]["customer_id"]}):
        order = world.fresh(API, "sales_orders") | {
            "order_type_text": "Reparatie",
            "customer_id": repair["customer_id"],
        }
        world.put(API, "sales_orders", {**order, "sales_order_id": repair["workshop_order_id"]})
    world.change(API, "workshop_orders", unplanned[0]["workshop_order_id"])
    assert (await bench.sync("shop.sales_orders")).counts.inserted == 3
    live = await bench.sync(SELECTOR)
    assert (live.outcome, live.counts.updated, live.counts.deleted, live.spent.requests) == ("ok", 1, 0, 4), live
    again = await bench.sync(SELECTOR)
    assert (again.outcome, again.spent.requests) == ("ok", 1), "each is asked for once"
    old = world.fresh(API, "sales_orders") | {
        "order_type_text": "Reparatie",
        "customer_id": 1,
        "sales_order_id": 8_888_888,
    }
    world.put(API, "sales_orders", old, modified_at=bench.time.now() - timedelta(days=3))
    assert (await bench.sync("shop.sales_orders", kind="sweep", whole=True)).counts.inserted == 1
    assert (await bench.sync(SELECTOR)).spent.requests == 1, "a sale of long ago tells nothing new"
    found = await differences(bench, SELECTOR)
    assert not found, told(found)


async def test_a_repair_that_lists_lost_is_asked_for_and_one_without_customer_stays(bench: Bench) -> None:
    world = bench.sandbox.world
    assert (await bench.sync(SELECTOR)).outcome == "ok"
    orders = world[API, "workshop_orders"]
    lost, nobodys = [r["workshop_order_id"] for r in orders.records() if r["is_active"]][:2]
    bench.sandbox.put(API, "workshop_orders", {**orders.get(nobodys), "customer_id": 0})
    bench.sandbox.faults.add("row-left-out", api=API, stream="workshop_orders", key=lost)
    bench.time.pass_by(hours=1)
    assert (await bench.sync(SELECTOR, kind="sweep")).counts.deleted == 0
    bench.sandbox.delete(API, "workshop_orders", nobodys)
    sweep = await bench.sync(SELECTOR, kind="sweep")
    assert (sweep.outcome, sweep.counts.deleted) == ("ok", 0)
    notes = (await bench.fetch("SELECT notes::text FROM syncd.runs ORDER BY run_id DESC LIMIT 1"))[0][0]
    assert "is alive" in notes
    assert "without customer_id cannot be asked for" in notes


@pytest.mark.parametrize("pages", [1, 5, 9])
async def test_a_sweep_that_was_killed_goes_on_and_buries_at_its_end(make_bench: MakeBench, pages: int) -> None:
    extra = '[sources.shop.streams.workshop_orders]\nfrom = "2025-06-01"\n'
    bench: Bench = await make_bench(customers=30, stock_items=0, sales_orders=0, page_size=40, extra=extra)
    assert (await bench.sync(SELECTOR)).outcome == "ok"
    orders = bench.sandbox.world[API, "workshop_orders"]
    bench.sandbox.requests.clear()
    whole = await bench.sync(SELECTOR, kind="sweep", whole=True)
    of_list = next(at for at, request in enumerate(bench.sandbox.requests) if "date_from" in request.query)
    gone = next(record["workshop_order_id"] for record in orders.records() if record["is_active"])
    bench.sandbox.delete(API, "workshop_orders", gone)
    bench.time.pass_by(hours=1)
    await crashed(bench, SELECTOR, Order(kind="sweep", whole=True), pages=pages)
    rest = await bench.sync(SELECTOR, kind="sweep", whole=True)
    assert (rest.outcome, rest.counts.deleted) == ("ok", 1)
    saved = max(0, pages - of_list)  # the list is read again, and one request confirms
    assert 0 < of_list < 9
    assert rest.spent.requests == whole.spent.requests + 1 - saved
    found = await differences(bench, SELECTOR)
    assert not found, told(found)


async def test_who_is_forgotten_leaves_the_repair(bench: Bench) -> None:
    orders = bench.sandbox.world[API, "workshop_orders"]
    record = {
        **next(record for record in orders.records() if record.get("order_items")),
        "customer_id": 30_001, "repair_description": "Piet belt",
    }  # fmt: skip
    record["order_items"][0]["assigned_to_customer_id"] = 30_001
    bench.sandbox.put(API, "workshop_orders", record)
    for selector in ("shop.customers", SELECTOR):
        assert (await bench.sync(selector)).outcome == "ok"
    await forgotten(bench, "shop.customers", 30_001)
    where = f"workshop_order_id = {record['workshop_order_id']}"
    for _ in range(2):
        (row,) = await bench.rows("cyclesoftware.workshop_orders", where)
        assert (row["customer_id"], row["repair_description"]) == (None, None)
        items = await bench.rows("cyclesoftware.workshop_order_items", where)
        assert items
        assert {item["assigned_to_customer_id"] for item in items} == {None}
        bench.time.pass_by(hours=1)
        await bench.sync(SELECTOR, kind="sweep")

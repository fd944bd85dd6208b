"""CycleSoftware's service items: days of change, whole lists, and the request that confirms a burial."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from syncd.contract import CannotTell, Scope
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

STREAM = SOURCE.stream("service_items")
ITEM = {
    "account_id": 1, "store_id": 3, "service_id": 9001, "service_item_id": 40001, "service_barcode": "DSK-9001-1",
    "service_status_id": 2001, "invoice_number": 250001, "customer_id": 1006, "object_id": 60001, "is_open": True,
    "is_scheduled": False, "title": "Eerste beurt", "description": "", "gross_unit_price_cents": 4995,
    "unit_discount_amount_cents": 0, "amount_payed_in_advance_cents": 4995, "time_minutes": 30,
    "scheduled_at": "2026-05-01", "scheduled_at_km_age": 500, "modified_at": "2026-03-01 09:30:00",
}  # fmt: skip
SINCE = {"since": "2026-03-10T11:30:00+00:00"}
PATH = "/api/v1/workshop/repair-objects/service-items.json"


def items(*numbers: int, after: Any = None, **pagination: Any) -> dict[str, Any]:
    rows = [{"service_item_id": n, "service_id": 9} for n in numbers]
    return {"error": False, "data": rows, "pagination": {"count": len(rows), "next_offset": after, **pagination}}


def test_service_item_sample() -> None:
    row = parsed("service_items", ITEM)
    found = values("service_items", row)
    assert (found["modified_at"].isoformat(), found["scheduled_at"]) == ("2026-03-01T09:30:00+01:00", date(2026, 5, 1))
    same = set(ITEM) - {"modified_at", "scheduled_at"}
    assert {name: found[name] for name in same} == {name: ITEM[name] for name in same}
    assert set(found) == set(ITEM)
    assert (row.key, row.extra, row.absent) == ((40001,), None, frozenset())


def test_a_service_item_without_its_service_erases_that_number_and_no_other() -> None:
    row = parsed("service_items", {name: ITEM[name] for name in ("service_item_id", "title")})
    assert "service_id" not in row.absent
    assert {"customer_id", "store_id", "modified_at"} <= row.absent


async def test_first_walk_and_sweeps_ask_for_the_whole_list() -> None:
    for kind, cursor in (("live", None), ("sweep", SINCE)):
        script = Script([items(1, 2, after=2), items(2, 3)])
        first, last = await pages_of("service_items", walk_of(script, kind, cursor=cursor))  # type: ignore[arg-type]
        assert [(asked[1], asked[2]) for asked in script.asked] == [(PATH, {}), (PATH, {"offset": "1"})]
        assert (first.scope, first.whole_walk, last.scope, last.whole_walk) == (None, False, Scope(), True)
        assert last.cursor == {"since" if kind == "live" else "swept_at": NOW.isoformat()}


async def test_live_walk_asks_for_days_that_hold_its_time_in_any_zone() -> None:
    script = Script([items(1)])
    (page,) = await pages_of("service_items", walk_of(script, cursor={"since": "2026-03-10T00:05:00+00:00"}))
    assert script.asked[0][2] == {"modified_start": "2026-03-09", "modified_end": "2026-03-12"}
    assert (page.cursor, page.scope, page.whole_walk) == ({"since": NOW.isoformat()}, None, False)


async def test_long_absence_is_walked_in_windows_of_at_most_31_days() -> None:
    script = Script([items(n) for n in range(1, 5)])
    pages = await pages_of("service_items", walk_of(script, cursor={"since": "2026-01-01T12:00:00+00:00"}))
    asked = [[date.fromisoformat(day) for day in each[2].values()] for each in script.asked]
    assert [first for first, _ in asked] == [date(2026, 1, 1), date(2026, 1, 28), date(2026, 2, 24)]
    assert all((last - first).days <= 30 for first, last in asked)
    assert asked[-1][1] == date(2026, 3, 12)
    marks = [(page.cursor or {})["since"] for page in pages]
    assert marks == sorted(marks)
    assert marks[-1] == NOW.isoformat()


async def test_a_walk_that_was_cut_off_goes_on_and_asks_once_more() -> None:
    for cursor, window in ((SINCE, {"modified_start", "modified_end"}), (None, set())):
        page = await anext(STREAM.walk(walk_of(Script([items(1, 2, after=2)]), cursor=cursor)))
        later = Script([items(2, 3), items(1)])
        walk = walk_of(later, cursor=json.loads(json.dumps(page.cursor)))
        resumed, fresh = await pages_of("service_items", walk)
        assert later.asked[0][2].keys() == window | {"offset"}
        assert later.asked[1][2].keys() == {"modified_start", "modified_end"}
        assert (resumed.scope, fresh.cursor) == (None, {"since": NOW.isoformat()})


async def test_a_range_that_the_server_finds_too_wide_is_halved_once() -> None:
    refused = BadRequest("400: The range is limited to 14 days", status=400)
    since = {"since": "2026-02-20T12:00:00+00:00"}
    script = Script([refused, items(1), items(2)])
    pages = await pages_of("service_items", walk_of(script, cursor=since))
    assert [(asked[2]["modified_start"], asked[2]["modified_end"]) for asked in script.asked[1:]] == [
        ("2026-02-20", "2026-03-06"),
        ("2026-03-05", "2026-03-12"),
    ]
    assert pages[-1].cursor == {"since": NOW.isoformat()}
    with pytest.raises(BadRequest, match="14 days"):
        await pages_of("service_items", walk_of(Script([refused, refused]), cursor=since))


async def test_an_unknown_end_keeps_the_rows_and_moves_no_cursor() -> None:
    for pagination in ({}, {"pagination": {"count": 1}}, {"pagination": None}):
        pages = STREAM.walk(walk_of(Script([{"data": [{"service_item_id": 1}], **pagination}]), "sweep"))
        page = await anext(pages)
        assert (len(page.records), page.cursor, page.scope) == (1, None, None)
        with pytest.raises(BadPayload, match="is missing beside `data`"):
            await anext(pages)


async def test_a_count_above_the_rows_fails_and_one_below_is_a_doubt() -> None:
    with pytest.raises(BadPayload, match="rows are missing"):
        await pages_of("service_items", walk_of(Script([items(1, count=2)])))
    (page,) = await pages_of("service_items", walk_of(Script([items(1, 2, count=1)])))
    assert "says 1" in (page.doubt or "")


ROW = {"customer_id": 1006, "service_id": 9}


async def test_a_service_item_is_asked_for_with_its_service() -> None:
    assert STREAM.confirm
    script = Script([[{"service_item_id": 1}, {"service_item_id": 2}]])
    assert await STREAM.confirm(walk_of(script, "sweep", stored=ROW), (2,)) == b'{"service_item_id": 2}'
    assert script.asked[0][:2] == ("GET", "/api/v1/customers/1006/service-items/9.json")
    for gone in ([], [{"service_item_id": 1}], NotFound("404", status=404)):
        with pytest.raises(NotFound):
            await STREAM.confirm(walk_of(Script([gone]), "sweep", stored=ROW), (2,))
    with pytest.raises(BadPayload):
        await STREAM.confirm(walk_of(Script([[{"title": "x"}]]), "sweep", stored=ROW), (2,))


@pytest.mark.parametrize("row", [{}, {"customer_id": None, "service_id": 9}, {"customer_id": 1006, "service_id": None}])
async def test_a_service_item_whose_service_is_unknown_cannot_be_asked_for(row: dict[str, Any]) -> None:
    assert STREAM.confirm
    with pytest.raises(CannotTell):
        await STREAM.confirm(walk_of(Script([]), "sweep", stored=row), (2,))


@pytest.mark.parametrize("faults", [(), ("days-in-utc",), ("last-day-excluded",), ("days-in-utc", "last-day-excluded")])
async def test_the_mirror_follows_changes_however_the_server_reads_days(
    make_bench: MakeBench, faults: tuple[str, ...]
) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=13)
    for name in faults:
        bench.sandbox.faults.add(name, api="cyclesoftware", stream="service_items")
    assert (await bench.sync("shop.service_items")).pages > 3
    world = bench.sandbox.world
    for at in (datetime(2026, 11, 22, 22, 50, tzinfo=UTC), datetime(2026, 11, 23, 0, 10, tzinfo=UTC)):
        bench.time.at = at
        world.change("cyclesoftware", "service_items", world["cyclesoftware", "service_items"].keys()[at.hour])
        world.put("cyclesoftware", "service_items", world.fresh("cyclesoftware", "service_items"))
        result = await bench.sync("shop.service_items")
        assert (result.outcome, result.counts.inserted, result.counts.updated) == ("ok", 1, 1)
    found = await differences(bench, "shop.service_items")
    assert not found, told(found)


async def test_what_a_sweep_lacks_is_asked_for_and_buried_or_stays(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=13)
    await bench.sync("shop.service_items")
    records = bench.sandbox.truth("cyclesoftware", "service_items")
    nameless = next(each["service_item_id"] for each in records if "service_id" not in each)
    gone, lost = records[0]["service_item_id"], records[3]["service_item_id"]
    for number in (gone, nameless):
        bench.sandbox.delete("cyclesoftware", "service_items", number)
    bench.sandbox.faults.add("row-vanishes", api="cyclesoftware", stream="service_items", times=1, key=lost)
    bench.time.pass_by(days=7)
    result = await bench.sync("shop.service_items", "sweep")
    assert (result.outcome, result.counts.deleted) == ("ok", 1)
    buried = await bench.rows("cyclesoftware.service_items", "_deleted_at IS NOT NULL")
    assert [row["service_item_id"] for row in buried] == [gone]
    (run,) = await bench.fetch("SELECT notes FROM syncd.runs WHERE kind = 'sweep'")
    assert "1 missing rows stay: a service item without" in str(run["notes"])
    found = await differences(bench, "shop.service_items")
    assert not found, told(found)


async def test_who_is_forgotten_leaves_service_items(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(stock_items=0)
    item = bench.sandbox.truth("cyclesoftware", "service_items")[0]
    for selector in ("shop.customers", "shop.service_items"):
        assert (await bench.sync(selector)).outcome == "ok"
    await forgotten(bench, "shop.customers", item["customer_id"])
    for _ in range(2):  # as it is, and after a sweep that reads all of it again
        assert not await bench.rows("cyclesoftware.service_items", f"customer_id = {item['customer_id']}")
        (kept,) = await bench.rows("cyclesoftware.service_items", f"service_item_id = {item['service_item_id']}")
        assert (kept["customer_id"], kept["title"]) == (None, item["title"])
        bench.time.pass_by(hours=6)
        await bench.sync("shop.service_items", "sweep")

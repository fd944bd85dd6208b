"""CycleSoftware's trading hours: one row per store and day, employees beside them, and days that stay when past."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

MECHANIC = {
    "employee_id": 7, "capacity_minutes": 420, "scheduled_minutes": 60, "available_minutes": 360,
    "available_slots": [{"start": "08:30", "duration_minutes": 360}],
}  # fmt: skip
DAY: dict[str, Any] = {
    "date": "2026-03-10", "capacity_minutes": 780, "scheduled_minutes": 60, "available_minutes": 720, "day_id": 2,
    "week_no": 11, "is_closed": False,
    "workshop_trading_hours": [{"start": "07:30", "finish": "20:15", "duration_minutes": 780}],
    "availability_per_employee": [MECHANIC],
}  # fmt: skip
STORE = {"store_id": 3, "store_name": "Uden", "trading_hours": [DAY, {**DAY, "date": "2026-03-11"}]}
PATH = "/api/v2/workshop/trading-hours-per-store.json"


def stores(*records: Any, after: str | None = None) -> dict[str, Any]:
    return {"error": False, "data": list(records), "pagination": {"next_url": after}}


async def rows_of(*records: Any) -> list[dict[str, Any]]:
    (page,) = await pages_of("trading_hours", walk_of(Script([stores(*records)])))
    return [json.loads(record) for record in page.records]


async def test_trading_hours_sample() -> None:
    first, second = await rows_of(STORE)
    row = parsed("trading_hours", first)
    found = values("trading_hours", row)
    assert (row.key, row.extra, row.absent, list(row.notes)) == ((3, date(2026, 3, 10)), None, frozenset(), [])
    same = set(DAY) - {"date", "availability_per_employee", "workshop_trading_hours"}
    assert {name: found[name] for name in same} == {name: DAY[name] for name in same}
    assert json.loads(found["workshop_trading_hours"]) == DAY["workshop_trading_hours"]
    assert (found["store_id"], found["store_name"]) == (3, "Uden")
    ((mechanic,),) = [rows or [] for rows in row.children]
    assert mechanic.key == (3, date(2026, 3, 10), 7)
    assert mechanic.values[:6] == (3, date(2026, 3, 10), 7, 420, 60, 360)
    assert (json.loads(mechanic.values[6]), mechanic.extra) == (MECHANIC["available_slots"], None)
    assert second["date"] == "2026-03-11"


async def test_nothing_that_a_store_tells_is_lost() -> None:
    first, second = await rows_of({**STORE, "region": "Zuid", "date": "?"})
    assert (first["region"], second["region"], first["date"]) == ("Zuid", "Zuid", "2026-03-10")
    assert json.loads(parsed("trading_hours", first).extra or "") == {"region": "Zuid"}


@pytest.mark.parametrize(
    ("hours", "expected"), [([], []), ({"0": DAY, "3": {**DAY, "date": "x"}}, ["2026-03-10", "x"])]
)
async def test_a_store_may_have_no_hours_and_php_writes_lists_as_maps(hours: Any, expected: list[str]) -> None:
    found = await rows_of({**STORE, "trading_hours": hours})
    assert [each["date"] for each in found] == expected


async def test_an_odd_store_or_day_costs_no_other_row() -> None:
    found = await rows_of(None, {**STORE, "trading_hours": [None, DAY]}, {"store_id": 4})
    assert [each and each.get("date", each["store_id"]) for each in found] == [None, None, "2026-03-10", 4]


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Amsterdam", "2026-03-11"), ("UTC", "2026-03-10"), ("Pacific/Kiritimati", "2026-03-11")]
)
async def test_days_are_asked_for_from_today_in_the_zone_of_the_account(zone: str, day: str) -> None:
    script = Script([stores()])
    walk = walk_of(script, zone=zone, now=datetime(2026, 3, 10, 23, 30, tzinfo=UTC))
    await pages_of("trading_hours", walk)
    assert script.asked[0][1:3] == (PATH, {"start_date": day, "day_count": "14"})


async def test_pages_of_stores_meet_and_only_the_last_one_moves_the_cursor() -> None:
    link = "https://s01.cyclesoftware.nl/api/v2/workshop/trading-hours-per-store.json?offset=2&day_count=7"
    fourth = {**STORE, "store_id": 4}
    script = Script([stores({**STORE, "store_id": 1}, STORE, after=link), stores(STORE, fourth)])
    first, last = await pages_of("trading_hours", walk_of(script))
    assert script.asked[1][1:3] == (PATH, {"start_date": "2026-03-10", "day_count": "14", "offset": "1"})
    assert (len(first.records), first.cursor, first.scope) == (4, None, None)
    assert (last.cursor, last.scope, last.whole_walk) == ({"as_of": NOW.isoformat()}, None, False)


async def test_an_unknown_end_keeps_the_days_and_fails_the_run() -> None:
    pages = SOURCE.stream("trading_hours").walk(walk_of(Script([{"data": [STORE]}])))
    page = await anext(pages)
    assert (len(page.records), page.cursor) == (2, None)
    with pytest.raises(BadPayload, match="is missing beside `data`"):
        await anext(pages)


async def test_future_days_are_exact_and_past_days_stay(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=2)
    first = await bench.sync("shop.trading_hours")
    assert (first.outcome, first.pages, first.counts.inserted) == ("ok", 2, 28)
    world = bench.sandbox.world
    today, future = (1, "2026-11-22"), (1, "2026-11-30")
    bench.time.pass_by(days=1)
    for key in (today, future):
        world.change("cyclesoftware", "trading_hours", key)
    emptied = world.get("cyclesoftware", "trading_hours", (3, "2026-11-25"))
    world.put("cyclesoftware", "trading_hours", {**emptied, "availability_per_employee": []})
    result = await bench.sync("shop.trading_hours")
    assert (result.outcome, result.counts.inserted, result.counts.updated, result.counts.deleted) == ("ok", 2, 2, 0)
    found = await differences(bench, "shop.trading_hours")
    assert not found, told(found)
    rows = await bench.rows("cyclesoftware.trading_hours", "date < '2026-11-23' AND _deleted_at IS NULL")
    assert [(row["store_id"], row["scheduled_minutes"]) for row in rows] != []
    gone = await bench.rows("cyclesoftware.trading_hours_employees", "store_id = 3 AND date = '2026-11-25'")
    assert gone
    assert all(row["_deleted_at"] for row in gone)

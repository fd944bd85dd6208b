"""CycleSoftware's packing lists: days of import, times in two forms, links of which only the offset counts."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

ITEM = {
    "supplier_packinglist_id": 71001, "supplier_packinglist_item_id": 510001, "store_id": 3, "supplier_id": 501,
    "supplier_name": "Fietsimport Noord", "packinglist_number": "PL012345", "supplier_order_id": 0, "employee_id": 7,
    "employee_name": "T. van Dam", "barcode": "0871812345678", "article_id": "0123456",
    "unit_purchase_price_ex_vat_cents": 1250, "quantity": 2.5, "stock_object_id": 144922,
    "created_at": "27-09-2025 14:05:30",
}  # fmt: skip
PATH = "/api/v1/supplier/packinglists.json"


def page_of(*numbers: int, after: Any = None) -> dict[str, Any]:
    rows = [{"supplier_packinglist_item_id": n} for n in numbers]
    return {"data": rows, "pagination": {"previous": None, "next": after}}


@pytest.mark.parametrize("text", ["27-09-2025 14:05:30", "2025-09-27 14:05:30"])
def test_packing_list_item_sample(text: str) -> None:
    row = parsed("packing_list_items", {**ITEM, "created_at": text})
    found = values("packing_list_items", row)
    expected = {**ITEM, "created_at": datetime(2025, 9, 27, 12, 5, 30, tzinfo=UTC), "quantity": Decimal("2.5")}
    assert found == expected
    assert (row.key, row.extra, list(row.notes)) == ((510001,), None, [])


def test_what_may_be_missing_erases() -> None:
    row = parsed("packing_list_items", {"supplier_packinglist_item_id": 1})
    assert not {"supplier_name", "packinglist_number", "stock_object_id"} & row.absent
    assert {"employee_name", "barcode", "created_at"} <= row.absent


def asked(script: Script) -> list[tuple[date, date]]:
    return [(_day(each[2]["start_date"]), _day(each[2]["end_date"])) for each in script.asked]


def _day(text: str) -> date:
    day, month, year = map(int, text.split("-"))
    return date(year, month, day)


@pytest.mark.parametrize(
    ("kind", "cursor", "days"),
    [
        ("live", {"as_of": "2026-03-10T11:00:00+00:00"}, 7),
        ("live", {"as_of": "2026-02-20T12:00:00+00:00"}, 18),  # nobody asked for two weeks
        ("live", {"as_of": "2020-01-01T00:00:00+00:00"}, 62),
        ("live", None, 730),
        ("sweep", None, 62),
    ],
)
async def test_days_are_asked_for_in_windows_with_the_day_first(kind: Any, cursor: Any, days: int) -> None:
    script = Script([page_of(n) for n in range(1, 40)])
    pages = await pages_of("packing_list_items", walk_of(script, kind, cursor=cursor))
    ranges = asked(script)
    assert NOW.date() - ranges[0][0] in (timedelta(days=days), timedelta(days=days + 1))
    assert ranges[-1][1] == date(2026, 3, 12)
    assert all(timedelta(0) <= last - first <= timedelta(days=30) for first, last in ranges)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(ranges))
    assert pages[-1].cursor == {"swept_at" if kind == "sweep" else "as_of": NOW.isoformat()}
    assert not any(page.scope or page.whole_walk for page in pages)


async def test_a_sweep_that_was_ordered_goes_two_years_back() -> None:
    script = Script([page_of(n) for n in range(1, 40)])
    await pages_of("packing_list_items", walk_of(script, "sweep", whole=True))
    assert asked(script)[0][0] == date(2024, 3, 10)


async def test_links_lead_to_our_own_path_one_row_early() -> None:
    link = "https://s01.cyclesoftware.nl/api/v2/other.json?start_date=01-01-2020&end_date=02-01-2020&offset=2"
    script = Script([page_of(1, 2, after=link), page_of(2, 3)])
    cursor = {"as_of": "2026-03-10T11:00:00+00:00"}
    first, last = await pages_of("packing_list_items", walk_of(script, cursor=cursor))
    question = {"start_date": "03-03-2026", "end_date": "12-03-2026"}
    assert [(each[1], each[2]) for each in script.asked] == [(PATH, question), (PATH, {**question, "offset": "1"})]
    resumed = Script([page_of(2, 3)])
    again = walk_of(resumed, cursor=json.loads(json.dumps(first.cursor)))
    assert (await pages_of("packing_list_items", again))[-1].cursor == last.cursor
    assert resumed.asked[0][2] == {**question, "offset": "1"}


async def test_an_unknown_end_keeps_the_rows_and_fails_the_run() -> None:
    body = {"data": [{"supplier_packinglist_item_id": 1}], "pagination": {"previous": None}}
    pages = SOURCE.stream("packing_list_items").walk(walk_of(Script([body])))
    page = await anext(pages)
    assert (len(page.records), page.cursor, page.scope) == (1, None, None)
    with pytest.raises(BadPayload, match="is missing beside `data`"):
        await anext(pages)


@pytest.mark.parametrize("fault", ["days-in-utc", "last-day-excluded"])
async def test_live_runs_find_what_is_imported_and_sweeps_what_changes(make_bench: MakeBench, fault: str) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=5)
    bench.sandbox.faults.add(fault, api="cyclesoftware", stream="packing_list_items")
    world = bench.sandbox.world

    def imported() -> int:
        return int(world.put("cyclesoftware", "packing_list_items", world.fresh("cyclesoftware", "packing_list_items")))

    numbers = [imported() for _ in range(12)]
    seeded = len(bench.sandbox.truth("cyclesoftware", "packing_list_items")) - 12
    first = await bench.sync("shop.packing_list_items")
    assert (first.outcome, first.counts.inserted) == ("ok", seeded + 12)
    assert first.pages > 3
    bench.time.pass_by(days=20)
    world.change("cyclesoftware", "packing_list_items", numbers[0])
    bench.sandbox.delete("cyclesoftware", "packing_list_items", numbers[1])
    imported()
    live = await bench.sync("shop.packing_list_items")
    assert (live.outcome, live.counts.inserted) == ("ok", 1)
    sweep = await bench.sync("shop.packing_list_items", "sweep")
    assert (sweep.outcome, sweep.counts.inserted, sweep.counts.deleted) == ("ok", 0, 0)
    found = await differences(bench, "shop.packing_list_items")
    assert not found, told(found)
    rows = await bench.rows("cyclesoftware.packing_list_items")
    assert len(rows) == seeded + 13  # what is gone upstream stays
    by_number = {row["supplier_packinglist_item_id"]: row for row in rows}
    assert by_number[numbers[0]]["stock_object_id"] is not None
    assert {row["_extra"] for row in rows} == {None}

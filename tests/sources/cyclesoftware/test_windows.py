"""Windows of days, shown by sales orders: sweeps that ask for everything and resume, servers that refuse a width."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.contract import Answer, Page, RunKind
from syncd.contract.early import Early
from syncd.contract.errors import BadRequest, UpstreamError
from syncd.contract.windows import CLAMPED, HALVED, Range
from syncd.engine.order import Order
from syncd.sandbox.faults.windows import DATED
from tests.support.bench import Bench, MakeBench
from tests.support.crashed import crashed
from tests.support.forgetting import forgotten, remembered
from tests.support.search import trial
from tests.support.sources.cyclesoftware import NOW, Script, answer, pages_of, walk_of
from tests.support.truth import differences, told

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
FROM = {"from": "2026-01-01"}


def orders(*numbers: int, after: int | None = None) -> dict[str, Any]:
    rows = [{"sales_order_id": n} for n in numbers]
    return {"data": rows, "pagination": {"count": len(rows), "next_offset": after}}


def days(script: Script) -> list[tuple[date, date]]:
    return [
        (date.fromisoformat(a[2]["modified_start"]), date.fromisoformat(a[2]["modified_end"])) for a in script.asked
    ]


@pytest.mark.parametrize(
    "begin", [datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 10, 24, 22, 30, tzinfo=UTC)]
)
def test_windows_hold_their_time_whichever_way_days_are_read(begin: datetime) -> None:
    """Days of Amsterdam or of UTC, the last one included or not."""
    wanted = Range(begin=begin, limit=begin + timedelta(days=100), overlap=timedelta(minutes=10), zone=AMSTERDAM)
    at = begin
    while True:
        window = wanted.window(at, timedelta(days=27))
        for zone in (UTC, AMSTERDAM):
            first = datetime.combine(window.first, datetime.min.time(), zone)
            until = datetime.combine(window.last, datetime.min.time(), zone)  # as if it did not count
            assert first <= at
            assert window.end <= until
        assert (window.last - window.first).days <= 31
        if window.is_open:
            break
        at = window.end - wanted.overlap
    assert window.end == wanted.limit


async def test_a_sweep_asks_for_all_windows_and_a_killed_one_goes_on() -> None:
    whole = Script([orders(n) for n in range(9)])
    pages = await pages_of(
        "sales_orders", walk_of(whole, "sweep", stream_options=FROM, cursor={"swept_at": "2026-01-01"})
    )
    assert len(pages) == 3
    assert days(whole)[0][0] == date(2025, 12, 31)
    assert pages[-1].cursor == {"swept_at": NOW.isoformat()}
    assert not any(page.scope for page in pages)
    rest = Script([orders(n) for n in range(9)])
    again = await pages_of("sales_orders", walk_of(rest, "sweep", stream_options=FROM, cursor=pages[0].cursor))
    assert days(rest) == days(whole)[1:]
    assert again[-1].cursor == pages[-1].cursor


async def test_windows_are_asked_for_together_and_come_in_order_and_the_open_one_is_asked_last() -> None:
    """What changes while the walk asks moves into the open window: it must not be asked before another is answered."""
    asked: list[str] = []
    most = under_way = 0

    async def request(_method: str, _path: str, *, params: Sequence[tuple[str, str]], **_: Any) -> Answer:
        nonlocal most, under_way
        first = dict(params)["modified_start"]
        asked.append(first)
        under_way += 1
        most = max(most, under_way)
        if first == open_since:
            assert under_way == 1
        for _turn in range(200 - 10 * len(asked)):  # the later asked, the sooner answered
            await asyncio.sleep(0)
        under_way -= 1
        return answer(orders(len(asked)))

    plain = Script([orders(n) for n in range(20)])
    options = {"from": "2025-06-01"}
    expected = await pages_of("sales_orders", walk_of(plain, stream_options=options))
    open_since = str(days(plain)[-1][0])
    walk = walk_of(SimpleNamespace(request=request), stream_options=options)
    pages = await pages_of("sales_orders", replace(walk, early=Early(in_flight=3)))
    assert [page.cursor for page in pages] == [page.cursor for page in expected]
    assert sorted(asked) == [str(first) for first, _ in days(plain)]
    assert most == 3


@pytest.mark.parametrize("change", [{"at": "2026-03-01T00:00:00+00:00"}, {"ordered": True}, {"begin": None}])
async def test_a_sweep_that_rested_too_long_begins_anew(change: dict[str, Any]) -> None:
    whole = Script([orders(n) for n in range(9)])
    first, *_ = await pages_of("sales_orders", walk_of(whole, "sweep", stream_options=FROM))
    assert first.cursor is not None
    going = {name: value for name, value in {**first.cursor["pass"], **change}.items() if value is not None}
    again = Script([orders(n) for n in range(9)])
    cursor = {**first.cursor, "pass": going}
    page, *_ = await pages_of("sales_orders", walk_of(again, "sweep", stream_options=FROM, cursor=cursor))
    assert days(again) == days(whole)
    assert page.starts_over


async def test_a_server_that_refuses_27_days_is_asked_for_13() -> None:
    refusal = BadRequest("the range is limited to 14 days", status=400)
    script = Script(
        [refusal, refusal, *(orders(n) for n in range(20))]
    )  # the first: include_deleted, the second: without
    walk = walk_of(script, stream_options={"from": "2026-02-01"})
    pages = await pages_of("sales_orders", walk)
    assert HALVED in walk.ways
    assert all((last - first).days <= 16 for first, last in days(script)[2:])
    assert days(script)[2][0] == days(script)[0][0]
    assert pages[-1].cursor == {"since": NOW.isoformat()}
    assert len(pages) == len(days(script)) - 2
    again = Script([orders(n) for n in range(20)])
    later = walk_of(again, stream_options={"from": "2026-02-01"})
    later.ways.update(walk.ways)
    assert len(await pages_of("sales_orders", later)) == len(pages)


@dataclass
class Clamping:
    """A server that knows orders by the day of their change, and answers for the first or last days of a range only."""

    changed: dict[int, date]
    first_days: int = 99
    last_days: int = 99
    page: int = 99
    asked: list[tuple[date, date]] = field(default_factory=list)

    async def request(self, _method: str, _path: str, *, params: Sequence[tuple[str, str]], **_: Any) -> Answer:
        query = dict(params)
        first, last = (date.fromisoformat(query[name]) for name in ("modified_start", "modified_end"))
        offset = int(query.get("offset", 0))
        self.asked.append((first, last))
        until, begin = first + timedelta(days=self.first_days), last - timedelta(days=self.last_days)
        rows = [
            {"sales_order_id": number, "datetime_modified": f"{day} 12:00:00"}
            for number, day in self.changed.items()
            if max(first, begin) <= day <= last and day < until
        ]
        here, end = rows[offset : offset + self.page], offset + self.page
        return answer(
            {"data": here, "pagination": {"count": len(here), "next_offset": end if end < len(rows) else None}}
        )


def numbers(pages: Sequence[Page]) -> set[int]:
    return {json.loads(record)["sales_order_id"] for page in pages for record in page.records}


SINCE = {"from": "2025-01-01"}
DAILY = {n: date(2025, 1, 1) + timedelta(days=n) for n in range(430)}
SELDOM = {n: date(2025, 2, 3) + timedelta(days=20 * n) for n in range(20)}


@pytest.mark.parametrize(("first_days", "last_days"), [(17, 99), (99, 17), (25, 99), (99, 24)])
@pytest.mark.parametrize("changed", [DAILY, SELDOM])
@pytest.mark.parametrize(("kind", "page"), [("live", 99), ("live", 7), ("sweep", 99), ("backfill", 7)])
async def test_a_server_that_answers_for_a_part_of_a_range_is_found_out(
    changed: dict[int, date], first_days: int, last_days: int, kind: RunKind, page: int
) -> None:
    server = Clamping(changed, first_days, last_days, page)
    walk = walk_of(server, kind, stream_options=SINCE)
    pages = await pages_of("sales_orders", walk)
    assert numbers(pages) == set(changed)
    assert CLAMPED in walk.ways
    assert "pass" not in (pages[-1].cursor or {})


@pytest.mark.parametrize(("changed", "more"), [(DAILY, 0), (SELDOM, 2), ({}, 0)])
async def test_a_server_that_answers_for_all_days_is_hardly_asked_more(changed: dict[int, date], more: int) -> None:
    server = Clamping(changed)
    walk = walk_of(server, stream_options=SINCE)
    pages = await pages_of("sales_orders", walk)
    assert len(server.asked) == len(pages) + more
    assert not any("pass" in (page.cursor or {}) for page in pages)
    before = len(server.asked)
    again = replace(walk_of(server, "sweep", stream_options=SINCE), ways=walk.ways)
    assert len(await pages_of("sales_orders", again)) == len(server.asked) - before == len(pages)


async def test_who_is_killed_after_a_clamp_was_found_begins_anew() -> None:
    server = Clamping(SELDOM, first_days=17)
    walk = walk_of(server, stream_options=SINCE)
    pages = await pages_of("sales_orders", walk)
    at = next(at for at, page in enumerate(pages) if "pass" in (page.cursor or {}))
    assert pages[at].cursor == {"pass": {"begin": "2025-01-01T00:00:00+01:00", "began_at": NOW.isoformat()}}
    later = replace(walk, cursor=pages[at].cursor, ways=set())
    assert numbers(await pages_of("sales_orders", later)) == set(SELDOM)


async def test_a_server_that_answers_for_few_days_whatever_it_is_asked_fails() -> None:
    server = Clamping(SELDOM, first_days=5)
    walk = walk_of(server, stream_options=SINCE)
    with pytest.raises(UpstreamError, match="fewer than 13 days"):
        await pages_of("sales_orders", walk)


@pytest.mark.parametrize("since", ["2026-02-01T00:00:00+00:00", NOW.isoformat()])
async def test_a_refusal_of_half_the_width_or_of_a_narrow_window_fails(since: str) -> None:
    script = Script([BadRequest("no", status=400)] * 9)
    walk = walk_of(script, cursor={"since": since})
    with pytest.raises(UpstreamError, match="no"):
        await pages_of("sales_orders", walk)
    assert len(script.asked) == (4 if since < "2026-03" else 2)
    assert not walk.ways


@trial
async def test_no_stream_of_windows_loses_rows_to_a_server_that_answers_for_a_part(make_bench: MakeBench) -> None:
    few = {"sales_orders": 60, "sales_transactions": 40, "workshop_orders": 30, "payments": 30, "repair_objects": 30}
    bench: Bench = await make_bench(customers=20, stock_items=0, page_size=50, **few)
    for at, stream in enumerate((*DATED, "sales_orders")):
        if stream in DATED:
            bench.sandbox.faults.add("range-clamped", api="cyclesoftware", stream=stream, end=at % 2 == 1)
        result = await bench.sync(f"shop.{stream}", "sweep" if stream == "service_items" else "live")
        assert (result.outcome, result.counts.inserted > 0) == ("ok", True), (stream, result)
        found = await differences(bench, f"shop.{stream}")
        assert not found, told(found)
        lanes = {row["lane"] for row in await bench.fetch("SELECT lane FROM syncd.runs WHERE stream = $1", stream)}
        assert lanes == {"live" if stream == "service_items" else "backfill"}, (stream, "a long first run")
        result = await bench.sync(f"shop.{stream}")
        assert (result.outcome, result.spent.lane) == ("ok", "live"), (stream, "a tick")
    notes = await bench.fetch("SELECT DISTINCT stream FROM syncd.runs WHERE notes::text LIKE '%fewer days%'")
    assert {row["stream"] for row in notes} == {*DATED} - {"service_items"}


async def test_a_full_sync_of_orders_reads_all_of_them_again_and_resumes(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=20, stock_items=0, page_size=50)
    for selector in ("shop.customers", "shop.sales_orders"):
        assert (await bench.sync(selector)).outcome == "ok"
    world = bench.sandbox.world
    order = world["cyclesoftware", "sales_orders"].records()[0]
    await forgotten(bench, "shop.customers", order["customer_id"])
    await remembered(bench, "shop.customers", order["customer_id"])
    assert await differences(bench, "shop.sales_orders")
    bench.time.pass_by(hours=1)
    before = len(bench.sandbox.requests)
    await crashed(bench, "shop.sales_orders", Order(kind="sweep", whole=True), pages=10)
    asked = len(bench.sandbox.requests) - before
    result = await bench.sync("shop.sales_orders", kind="sweep", whole=True)
    assert (result.outcome, result.counts.deleted) == ("ok", 0)
    assert asked >= 10
    assert 17 <= result.spent.requests <= 20, "27 windows and some, of which ten were asked for before"
    found = await differences(bench, "shop.sales_orders")
    assert not found, told(found)
    lanes = await bench.fetch("SELECT DISTINCT lane FROM syncd.runs WHERE kind = 'sweep'")
    assert [row["lane"] for row in lanes] == ["backfill"]

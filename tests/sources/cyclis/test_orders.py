"""Cyclis' orders: the vendor's sample, and walks by time of change and by company."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncd.errors import NotFound, UsageError
from tests.support.sources.cyclis import (
    NOW,
    ORDER,
    SAMPLE_ID,
    A,
    B,
    C,
    Script,
    answer,
    companies,
    in_scope,
    order,
    pages_of,
    parsed,
    values,
    walk_of,
)

SAMPLE_AT = datetime(2019, 8, 24, 14, 15, 22, tzinfo=UTC)


def test_order_sample() -> None:
    row = parsed("orders", ORDER)
    assert values("orders", row) == {
        "id": SAMPLE_ID,
        "type": "order",
        "name": "SO12345",
        "bike_name": "Super Bike Turbo 3000",
        "bike_brand": "Super Bike",
        "bike_model": "Turbo 3000",
        "bike_type": "City Bike",
        "bike_frame_type": "Unisex",
        "bike_size": "55",
        "bike_color": "Yellow",
        "bike_order_state": "ordered",
        "state": "quote",
        "insurance": True,
        "maintenance": True,
        "assistance": True,
        "lease_cost": Decimal("91.26"),
        "lease_duration": 36,
        "maintenance_budget": Decimal(300),
        "start_lease_date": SAMPLE_AT,
        "end_lease_date": SAMPLE_AT,
        "cost_center": "CC12345",
        "employee_id": "EM12345",
        "create_timestamp": SAMPLE_AT,
        "cyclist_id": SAMPLE_ID,
        "cyclist_type": "cyclist",
        "company_id": SAMPLE_ID,
        "company_type": "company",
    }
    assert (row.extra, row.notes, row.absent) == (None, [], frozenset())


@pytest.mark.parametrize("company", [{"data": None}, None])
def test_order_without_a_company_has_none(company: Any) -> None:
    row = parsed("orders", {**ORDER, "relationships": {**ORDER["relationships"], "company": company}})
    assert values("orders", row)["company_id"] is None
    assert "company_id" not in row.absent
    assert row.extra is None


async def test_first_live_walk_reads_everything_and_starts_the_watermark() -> None:
    served = NOW - timedelta(minutes=3)
    script = Script([answer({"data": [order(1, A)]}, served_at=served), companies(A, B)])
    (page,) = await pages_of("orders", walk_of(script, companies=[B, A]))
    assert script.asked == [("/orders", {}), ("/companies", {})]
    assert page.cursor == {"since": served.isoformat(), "companies": [A, B]}
    assert (page.scope, page.whole_walk) == (in_scope(A, B), True)


@pytest.mark.parametrize(
    ("zone", "since", "asked"),
    [
        ("Europe/Brussels", "2026-07-01T12:10:00.9+00:00", "2026-07-01T12:00:00"),
        ("Europe/Brussels", "2026-10-25T01:40:00+00:00", "2026-10-25T01:30:00"),
        ("America/New_York", "2026-07-01T12:10:00+00:00", "2026-07-01T08:00:00"),
    ],
)
async def test_updated_since_is_early_enough_in_either_zone(zone: str, since: str, asked: str) -> None:
    script = Script([{"data": []}])
    (page,) = await pages_of(
        "orders", walk_of(script, cursor={"since": since, "companies": []}, options={"zone": zone})
    )
    assert script.asked == [("/orders", {"updated_since": asked})]
    assert page.scope is None


async def test_watermark_never_goes_back() -> None:
    script = Script([answer({"data": []}, served_at=NOW - timedelta(days=1))])
    (page,) = await pages_of("orders", walk_of(script, cursor={"since": NOW.isoformat(), "companies": []}))
    assert page.cursor == {"since": NOW.isoformat(), "companies": []}


async def test_orders_of_a_new_company_are_read_whole_before_the_watermark_moves() -> None:
    before = (NOW - timedelta(hours=1)).isoformat()
    script = Script([{"data": [order(1, A)]}, {"data": [order(2, B)]}, {"data": [order(3, C)]}])
    walk = walk_of(script, cursor={"since": before, "companies": [A]}, companies=[A, B, C])
    pages = await pages_of("orders", walk)
    assert script.asked[1:] == [("/orders", {"company_id": B}), ("/orders", {"company_id": C})]
    assert [page.cursor for page in pages] == [
        None,
        {"since": before, "companies": [A, B]},
        {"since": NOW.isoformat(), "companies": [A, B, C]},
    ]
    assert not any(page.scope for page in pages)


async def test_company_that_was_taken_away_is_new_when_it_returns() -> None:
    cursor = {"since": NOW.isoformat(), "companies": [A, B]}
    (page,) = await pages_of("orders", walk_of(Script([{"data": []}]), cursor=cursor, companies=[A]))
    assert page.cursor == {"since": NOW.isoformat(), "companies": [A]}
    script = Script([{"data": []}, {"data": [order(2, B)]}])
    await pages_of("orders", walk_of(script, cursor=page.cursor, companies=[A, B]))
    assert script.asked[1] == ("/orders", {"company_id": B})


async def test_company_that_is_not_found_stays_unknown() -> None:
    script = Script([{"data": []}, NotFound("404")])
    cursor = {"since": NOW.isoformat(), "companies": [A]}
    pages = await pages_of("orders", walk_of(script, cursor=cursor, companies=[A, B]))
    assert pages[-1].cursor == cursor
    assert not pages[-1].records


async def test_backfill_has_no_end_and_buries_nothing() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    script = Script([{"data": [order(1, A)]}])
    (page,) = await pages_of("orders", walk_of(script, "backfill", since=since))
    assert script.asked == [("/orders", {"updated_since": "2026-01-01T00:00:00"})]
    assert (page.cursor, page.scope) == ({"since": since.isoformat()}, None)


async def test_cursor_set_by_hand_is_checked() -> None:
    with pytest.raises(UsageError, match="yesterday"):
        await pages_of("orders", walk_of(Script([]), cursor={"since": "yesterday"}))

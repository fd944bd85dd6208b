"""CycleSoftware's customers: the vendor's samples, and walks by time of change."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.errors import BadPayload, NotFound, UsageError
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import MakeBench
from tests.support.sources.cyclesoftware import (
    CUSTOMER,
    NOW,
    Script,
    answer,
    customers,
    expected,
    mirror_of,
    pages_of,
    parsed,
    values,
    walk_of,
)


def test_customer_sample() -> None:
    row = parsed("customers", CUSTOMER)
    assert values("customers", row) == {
        "customer_id": 1006,
        "customer_type_name": "Klant",
        "customer_reference": "OwnRef",
        "postcode": "5388GM",
        "house_number": "1",
        "house_number_postfix": "c",
        "company_name": "Company name",
        "attn": "Name of address",
        "title": "Dhr./Mevr. ",
        "initials": "T",
        "insertion": "van",
        "first_name": "Tim",
        "name": "LastName",
        "street": "Raadhuisplein",
        "city": "Nistelrode",
        "country_code_iso_3166": "NL",
        "email": "name@domain.nl",
        "vat_number": "NL855630693B01",
        "coc_number": "64356582",
        "discount_percentage": Decimal(0),
        "datetime_created": datetime(2023, 1, 3, 11, 30, 44, tzinfo=UTC),
    }
    assert row.extra is None
    assert not row.notes


def test_phone_numbers_take_the_customer_that_holds_them() -> None:
    (numbers,) = parsed("customers", CUSTOMER).children
    assert [number.values for number in numbers or ()] == [
        (1006, "mob", "06-12345678", "Dhr./Mevr. T UnitTest"),
        (1006, "tel", "0733030050", "Dhr./Mevr.  T UnitTest"),
    ]
    assert [json.loads(number.extra or "null") for number in numbers or ()] == [{"customer_id": 6}] * 2


async def test_first_live_walk_reads_everything_and_starts_the_watermark() -> None:
    script = Script(
        [answer(customers(1, 2, after="2"), served_at=NOW - timedelta(minutes=3)), customers(2, 3, after=None)]
    )
    first, last = await pages_of("customers", walk_of(script))
    assert [asked[2] for asked in script.asked] == [{}, {"offset": "1"}]
    started = (NOW - timedelta(minutes=3)).isoformat()
    assert first.cursor == {
        "pass": {"started_at": started, "asked_since": None, "doubt": None, "offset": 2, "tail": [[1], [2]]}
    }
    assert not first.whole_walk
    assert last.cursor == {"since": started}
    assert last.scope == Scope()
    assert last.whole_walk


@pytest.mark.parametrize(
    ("zone", "since", "asked"),
    [
        ("Europe/Amsterdam", "2026-07-01T12:10:00.9+00:00", "2026-07-01 12:00:00"),
        ("Europe/Amsterdam", "2026-10-25T01:40:00+00:00", "2026-10-25 01:30:00"),
        ("America/New_York", "2026-07-01T12:10:00+00:00", "2026-07-01 08:00:00"),
        ("America/New_York", "2026-11-01T05:40:00+00:00", "2026-11-01 00:30:00"),  # 01:30 comes twice: the hour before
        ("Europe/London", "2026-01-01T12:10:00+00:00", "2026-01-01 12:00:00"),
    ],
)
async def test_modified_since_is_early_enough_in_either_zone(zone: str, since: str, asked: str) -> None:
    script = Script([customers(after=None)])
    await pages_of("customers", walk_of(script, cursor={"since": since}, zone=zone))
    assert script.asked[0][2] == {"modified_since": asked}


async def test_watermark_never_goes_back() -> None:
    since = NOW.isoformat()
    script = Script([answer(customers(after=None), served_at=NOW - timedelta(days=1))])
    (page,) = await pages_of("customers", walk_of(script, cursor={"since": since}))
    assert page.cursor == {"since": since}
    assert page.scope is None


async def test_resumed_pass_asks_the_same_question_and_is_followed_by_a_fresh_one() -> None:
    started = NOW - timedelta(hours=2)
    cursor = {
        "since": "2026-03-10T09:00:00+00:00",
        "pass": {
            "started_at": started.isoformat(),
            "asked_since": "2026-03-10 08:50:00",
            "offset": 500,
            "tail": [[500]],
        },
    }
    script = Script([customers(500, 501, after=None), customers(7, after=None)])
    resumed, fresh = await pages_of("customers", walk_of(script, cursor=cursor))
    assert [asked[2] for asked in script.asked] == [
        {"modified_since": "2026-03-10 08:50:00", "offset": "499"},
        {"modified_since": "2026-03-10 09:50:00"},
    ]
    assert resumed.cursor == {"since": started.isoformat()}
    assert fresh.cursor == {"since": NOW.isoformat()}


async def test_sweep_speaks_for_all_rows_and_remembers_doubt_over_a_restart() -> None:
    script = Script([customers(1, 2, after=2, count=1), customers(2, 3, after=None)])
    first, last = await pages_of(
        "customers", walk_of(script, "sweep", cursor={"swept_at": "2026-03-01T00:00:00+00:00"})
    )
    assert first.doubt == last.doubt == "`pagination.count` says 1, but `customers` holds 2"
    assert (last.scope, last.whole_walk, last.cursor) == (Scope(), True, {"swept_at": NOW.isoformat()})
    (resumed,) = await pages_of(
        "customers", walk_of(Script([customers(2, 3, after=None)]), "sweep", cursor=first.cursor)
    )
    assert resumed.doubt == first.doubt


async def test_backfill_resumes_its_own_range_only() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    script = Script([customers(1, 2, after=2), NotFound("gone")])
    pages = SOURCE.stream("customers").walk(walk_of(script, "backfill", since=since))
    page = await anext(pages)
    assert page.cursor is not None
    again = Script([customers(2, 3, after=None)])
    (last,) = await pages_of("customers", walk_of(again, "backfill", since=since, cursor=page.cursor))
    assert again.asked[0][2] == {"modified_since": "2026-01-01 00:00:00", "offset": "1"}
    assert last.cursor == {"since": since.isoformat()}
    other = Script([customers(1, after=None)])
    await pages_of("customers", walk_of(other, "backfill", since=since - timedelta(days=1), cursor=page.cursor))
    assert other.asked[0][2] == {"modified_since": "2025-12-31 00:00:00"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"customers": [], "pagination": {"count": 0}}, "next_offset"),
        ({"customers": [], "pagination": {"count": 0, "next_offset": "soon"}}, '"soon"'),
        ({"customers": [], "pagination": {"count": 0, "next_offset": False}}, "false"),
        ({"customers": [], "pagination": {"count": 0, "next_offset": -1}}, "-1"),
        ({"customers": [], "pagination": {"count": 3, "next_offset": None}}, "rows are missing"),
        ({"customers": []}, "pagination"),
        ({"customers": [], "pagination": []}, "pagination"),
        ({"pagination": {"count": 0, "next_offset": None}}, "customers"),
        (b"<html></html>", "HTML"),
        (b"[]", "array"),
    ],
)
async def test_broken_envelope_fails_the_pass(body: Any, message: str) -> None:
    with pytest.raises(BadPayload, match=message):
        await pages_of("customers", walk_of(Script([body])))


async def test_cursor_set_by_hand_is_checked() -> None:
    with pytest.raises(UsageError, match="yesterday"):
        await pages_of("customers", walk_of(Script([]), cursor={"since": "yesterday"}))


async def test_confirming_a_customer() -> None:
    confirm = SOURCE.stream("customers").confirm
    assert confirm is not None
    script = Script([CUSTOMER.encode(), CUSTOMER.encode(), NotFound("404")])
    assert await confirm(walk_of(script), (1006,)) == CUSTOMER.encode()
    assert script.asked[0][1] == "/api/v1/customers/1006.json"
    with pytest.raises(BadPayload, match="asked for customer 7, got 1006"):
        await confirm(walk_of(script), (7,))
    with pytest.raises(NotFound):
        await confirm(walk_of(script), (1006,))


async def test_live_run_of_customers_reads_what_changed_only(make_bench: MakeBench) -> None:
    bench = await make_bench(seed=7, page_size=37)
    first = await bench.sync("shop.customers")
    bench.time.pass_by(minutes=30)
    bench.sandbox.evolve(5)
    second = await bench.sync("shop.customers")
    assert (first.outcome, second.outcome) == ("ok", "ok")
    assert second.counts.seen < first.counts.seen / 10
    found = await mirror_of(bench, "customers")
    truth = expected("customers", bench.sandbox.truth("cyclesoftware", "customers"))
    assert {key: row for key, row in found.items() if key in truth} == truth

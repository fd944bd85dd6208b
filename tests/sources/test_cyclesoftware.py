"""What the CycleSoftware source makes of the vendor's samples, of odd values, and of a whole walk."""

import base64
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.config import Secret
from syncd.contract import Answer, Cursor, Page, RunKind, Scope, Table, Walk
from syncd.errors import BadPayload, ConfigError, NotFound, UsageError
from syncd.records.parser import Parser
from syncd.records.rows import Reject, Row
from syncd.sources.cyclesoftware import SOURCE
from syncd.sources.cyclesoftware.api import fault_of
from tests.support.bench import Bench, MakeBench

ZONE = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OPTIONS = {"username": "u", "password": Secret("p"), "zone": "Europe/Amsterdam", "overlap": 600.0}

CUSTOMER = """{
    "customer_id": 1006, "customer_type_name": "Klant", "customer_reference": "OwnRef", "postcode": "5388GM",
    "house_number": "1", "house_number_postfix": "c", "company_name": "Company name", "attn": "Name of address",
    "title": "Dhr./Mevr. ", "initials": "T", "insertion": "van", "first_name": "Tim", "name": "LastName",
    "street": "Raadhuisplein", "city": "Nistelrode", "country_code_iso_3166": "NL", "email": "name@domain.nl",
    "vat_number": "NL855630693B01", "coc_number": "64356582", "discount_percentage": 0,
    "datetime_created": "2023-01-03 12:30:44",
    "phone_numbers": [
        {"phone_number_id": "mob", "customer_id": 6, "phone_number": "06-12345678", "name": "Dhr./Mevr. T UnitTest"},
        {"phone_number_id": "tel", "customer_id": 6, "phone_number": "0733030050", "name": "Dhr./Mevr.  T UnitTest"}
    ]
}"""
STORE = """{
    "store_id": "5185-1", "store_gln": "8718288145482", "store_name": "CS-Unit test", "store_address": "Kievitsven 22",
    "store_postal_code": "5249JJ", "store_phone_number": "", "store_country_code": "NL",
    "store_email": "email5185@example.nl", "store_coordinates": [51.7261667, 5.3978953]
}"""
STOCK = """{
    "store_id": "5185-1", "object_id": 144922, "barcode": "8717144186799", "article_id": "03505002",
    "brand_name": "Sparta", "is_demo": false
}"""
STOCK_ITEM = """{
    "account_id": 1, "store_id": 1, "object_id": 22952, "sales_order_id": 0, "supplier": "Batavus",
    "article_id": "BE100086", "barcode": "8713568256155", "description": "Batavus STREAM", "frame_id": "BA5169351",
    "purchase_price_cents": 219900, "dealer_rrp_cents": 259900, "is_sold_to_customer": false, "is_demo": true,
    "is_new": true, "has_invoice": false, "is_deleted": false, "is_rental": false, "stocked_at": "2015-12-08",
    "custom_variable_1": "Custom var 1"
}"""
KEY_TEXT = "Ls6m1ZOgt5JbClmZZHAr8GNhk1qL4Dx0SB7hyyWf"  # the vendor's sample, good for nothing
PLATFORM_KEY = f"""{{
    "key": "{KEY_TEXT}", "is_active": true,
    "store": {{
        "store_id": "1-3", "store_gln": "", "store_name": "CycleSoftware", "store_address": "Kievitsven 22Z",
        "store_postal_code": "5249JJ", "store_city": "Rosmalen", "store_country_code": "NL",
        "store_phone_number": "073 303 0050", "store_email": "email1@example.nl", "store_coordinates": [0, 0],
        "store_meta_data": {{"drg_dealer_number": "999"}}
    }}
}}"""
LEAD = """{
    "uuid": "0c6b40a4-a217-11e8-92bb-005056a46320", "store_id": "1-1", "type": "information", "status": "open",
    "title": "Kieskeurig: proefrit", "message": "Een potientiele klant wil een proefrit maken",
    "costs_ex_vat_cents": 1500,
    "options": {"test_ride_requested": false, "phone_call_requested": true, "finance_information_requested": false,
                "insurance_information_requested": true},
    "object": {"description": "Batavus Crescendo", "object_id": 12212, "article_number": "ART1",
               "barcode": "877474749349"},
    "exchange_object": {"exchange_description": "", "exchange_remarks": "krasje"},
    "customer": {"customer_address_id": 91953, "address_type": "delivery_address", "customer_id": 235240102,
                 "is_business_address": false, "company_name": "", "name": "Name 91953", "street": "Slangenburg",
                 "house_number": "314", "house_number_postfix": "", "postal_code": "7423ZR", "city": "Deventer",
                 "country_code": "NL", "phone_number": "06 38668303", "email": "email91953@example.nl", "notes": ""},
    "created_at": "2020-04-14T06:33:26+02:00", "modified_at": "2020-04-14T06:33:26+02:00"
}"""


def table(name: str) -> Table:
    return SOURCE.stream(name).table


def parsed(name: str, record: str | bytes | dict[str, Any]) -> Row:
    raw = (
        json.dumps(record).encode()
        if isinstance(record, dict)
        else record.encode()
        if isinstance(record, str)
        else record
    )
    row = Parser(table(name), ZONE).parse(raw)
    assert isinstance(row, Row), row
    return row


def values(name: str, row: Row) -> dict[str, Any]:
    return dict(zip((each.name for each in table(name).columns), row.values, strict=True))


# --- The vendor's samples ---------------------------------------------------------------------------------------------


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


def test_store_sample() -> None:
    row = parsed("stores", STORE)
    assert values("stores", row) == {
        "store_id": "5185-1",
        "store_gln": "8718288145482",
        "store_name": "CS-Unit test",
        "store_address": "Kievitsven 22",
        "store_postal_code": "5249JJ",
        "store_phone_number": "",
        "store_country_code": "NL",
        "store_email": "email5185@example.nl",
        "store_latitude": Decimal("51.7261667"),
        "store_longitude": Decimal("5.3978953"),
    }
    assert row.extra is None
    assert not row.notes


def test_stock_sample() -> None:
    row = parsed("stock", STOCK)
    assert values("stock", row) == {
        "store_id": "5185-1",
        "object_id": 144922,
        "barcode": "8717144186799",
        "article_id": "03505002",
        "brand_name": "Sparta",
        "is_demo": False,
    }
    assert row.extra is None
    assert not row.notes


def test_stock_item_sample() -> None:
    row = parsed("stock_items", STOCK_ITEM)
    assert values("stock_items", row) == {
        "account_id": 1,
        "store_id": 1,
        "object_id": 22952,
        "sales_order_id": 0,
        "brand_name": None,
        "supplier": "Batavus",
        "article_id": "BE100086",
        "barcode": "8713568256155",
        "description": "Batavus STREAM",
        "frame_id": "BA5169351",
        "purchase_price_cents": 219900,
        "dealer_rrp_cents": 259900,
        "is_sold_to_customer": False,
        "is_demo": True,
        "is_used": None,
        "has_invoice": False,
        "is_deleted": False,
        "is_rental": False,
        "is_new": True,
        "stocked_at": date(2015, 12, 8),
        "custom_variable_1": "Custom var 1",
    }
    assert row.extra is None
    assert not row.notes
    assert not row.absent


def test_platform_key_sample_holds_a_digest_only() -> None:
    row = parsed("platform_keys", PLATFORM_KEY)
    assert values("platform_keys", row) == {
        "key_sha256": hashlib.sha256(KEY_TEXT.encode()).hexdigest(),
        "is_active": True,
        "store_id": "1-3",
        "store_gln": "",
        "store_name": "CycleSoftware",
        "store_address": "Kievitsven 22Z",
        "store_postal_code": "5249JJ",
        "store_city": "Rosmalen",
        "store_country_code": "NL",
        "store_phone_number": "073 303 0050",
        "store_email": "email1@example.nl",
        "store_latitude": Decimal(0),
        "store_longitude": Decimal(0),
        "store_meta_data_drg_dealer_number": "999",
    }
    assert row.extra is None
    assert not row.notes


def test_lead_sample() -> None:
    row = parsed("leads", LEAD)
    assert values("leads", row) == {
        "uuid": uuid.UUID("0c6b40a4-a217-11e8-92bb-005056a46320"),
        "store_id": "1-1",
        "type": "information",
        "status": "open",
        "title": "Kieskeurig: proefrit",
        "message": "Een potientiele klant wil een proefrit maken",
        "costs_ex_vat_cents": 1500,
        "options_test_ride_requested": False,
        "options_phone_call_requested": True,
        "options_finance_information_requested": False,
        "options_insurance_information_requested": True,
        "object_description": "Batavus Crescendo",
        "object_id": 12212,
        "object_article_number": "ART1",
        "object_barcode": "877474749349",
        "exchange_object_exchange_description": "",
        "exchange_object_exchange_remarks": "krasje",
        "customer_address_id": 91953,
        "customer_address_type": "delivery_address",
        "customer_id": 235240102,
        "customer_is_business_address": False,
        "customer_company_name": "",
        "customer_name": "Name 91953",
        "customer_street": "Slangenburg",
        "customer_house_number": "314",
        "customer_house_number_postfix": "",
        "customer_postal_code": "7423ZR",
        "customer_city": "Deventer",
        "customer_country_code": "NL",
        "customer_phone_number": "06 38668303",
        "customer_email": "email91953@example.nl",
        "customer_notes": "",
        "created_at": datetime(2020, 4, 14, 4, 33, 26, tzinfo=UTC),
        "modified_at": datetime(2020, 4, 14, 4, 33, 26, tzinfo=UTC),
    }
    assert row.extra is None
    assert not row.notes


# --- Odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "sample", "change", "column", "value", "extra"),
    [
        ("customers", CUSTOMER, {"customer_id": "1006"}, "customer_id", 1006, {"customer_id": "1006"}),
        ("customers", CUSTOMER, {"discount_percentage": "2.50"}, "discount_percentage", Decimal("2.50"),
         {"discount_percentage": "2.50"}),
        ("customers", CUSTOMER, {"datetime_created": None}, "datetime_created", None, None),
        ("customers", CUSTOMER, {"datetime_created": "0000-00-00 00:00:00"}, "datetime_created", None,
         {"datetime_created": "0000-00-00 00:00:00"}),
        ("customers", CUSTOMER, {"country_code_iso_3166": "sr"}, "country_code_iso_3166", "sr", None),
        ("customers", CUSTOMER, {"loyalty_points": 430}, "customer_id", 1006, {"loyalty_points": 430}),
        ("stores", STORE, {"store_coordinates": []}, "store_latitude", None, {"store_coordinates": []}),
        ("stores", STORE, {"store_coordinates": None}, "store_latitude", None, None),
        ("stores", STORE, {"store_coordinates": [1, 2, 3]}, "store_latitude", None, {"store_coordinates": [1, 2, 3]}),
        ("stock", STOCK, {"article_id": 30015}, "article_id", "30015", {"article_id": 30015}),
        ("stock", STOCK, {"is_demo": "NO"}, "is_demo", False, {"is_demo": "NO"}),
        ("leads", LEAD, {"store_id": "43831"}, "store_id", "43831", None),
        ("leads", LEAD, {"options": []}, "options_test_ride_requested", None, {"options": []}),
    ],
)  # fmt: skip
def test_odd_value(stream: str, sample: str, change: dict[str, Any], column: str, value: Any, extra: Any) -> None:
    row = parsed(stream, {**json.loads(sample), **change})
    assert values(stream, row)[column] == value
    assert json.loads(row.extra or "null") == extra


def test_missing_field_erases_only_where_the_vendor_declares_it_optional() -> None:
    sample = json.loads(CUSTOMER)
    del sample["company_name"], sample["datetime_created"]
    assert parsed("customers", sample).absent == {"company_name"}


def test_record_without_a_key_is_turned_away_without_its_secret() -> None:
    record = json.loads(PLATFORM_KEY)
    found = Parser(table("platform_keys"), ZONE).parse(json.dumps({**record, "key": None}).encode())
    assert isinstance(found, Reject)
    assert KEY_TEXT not in found.record


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"error": true, "error_message": "Unauthorized"}', "Unauthorized"),
        (b'\xef\xbb\xbf {"error": 1, "error_message": "two\\nlines"}', "two lines"),
        (b'{"error": "true", "error_message": ""}', "true"),
        (b'{"error": true}', "an error without a message"),
        (b'{"error": true, "error_message": "' + b"x" * 300 + b'"}', "x" * 200),
        (b'{"data": {"data": {"error": true, "error_message": "deep"}}}', "deep"),
        (b'{"error": false, "error_message": null, "customers": []}', None),
        (b'{"error": "0", "error_message": "", "data": []}', None),
        (b"<?xml?><result><error>1</error><error_message>No &amp; no</error_message></result>", "No & no"),
        (b"<SOAP-ENV:Fault><faultcode>400</faultcode><faultstring>The problem</faultstring></SOAP-ENV:Fault>",
         "The problem"),
        (b"<result><error>0</error></result>", None),
        (b"<html><body>Welcome</body></html>", None),
        (b"[]", None),
        (b"", None),
        (CUSTOMER.encode(), None),
    ],
)  # fmt: skip
def test_fault_in_any_form(body: bytes, fault: str | None) -> None:
    assert fault_of(answer(body)) == fault


def test_requests_are_signed_and_the_secret_stays_inside() -> None:
    auth = SOURCE.auth({**OPTIONS, "username": "üser", "password": Secret("p:w")})
    assert auth.headers() == {"Authorization": "Basic " + base64.b64encode("üser:p:w".encode()).decode()}
    assert not auth.due(NOW)
    assert not auth.refused()
    assert "p:w" not in repr(auth)
    with pytest.raises(ConfigError, match="colon"):
        SOURCE.auth({**OPTIONS, "username": "a:b"})


# --- Walks by script --------------------------------------------------------------------------------------------------


def answer(body: Any, *, sent_at: datetime = NOW, served_at: datetime | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=200, headers={}, body=raw, sent_at=sent_at, served_at=served_at)


@dataclass
class Script:
    """An upstream that gives prepared answers and keeps what it was asked for."""

    answers: list[Any]
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: Any = None
    ) -> Answer:
        self.asked.append((method, path, dict(params), json))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else answer(given)


async def never(_stream: str, _column: str) -> list[Any]:
    raise AssertionError("this walk reads nothing of the mirror")


def walk_of(
    upstream: Any,
    kind: RunKind = "live",
    *,
    cursor: Cursor | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    lookup: dict[str, list[Any]] | None = None,
    stream_options: dict[str, Any] | None = None,
    zone: str = "Europe/Amsterdam",
) -> Walk:
    return Walk(
        upstream=upstream,
        kind=kind,
        cursor=cursor,
        options={**OPTIONS, "zone": zone},
        stream_options=stream_options or {},
        lookup=lookup or {},
        now=lambda: NOW,
        mirrored=never,
        since=since,
        until=until,
    )


async def pages_of(stream: str, walk: Walk) -> list[Page]:
    return [page async for page in SOURCE.stream(stream).walk(walk)]


def customers(*ids: int, after: int | str | None, count: Any = ...) -> dict[str, Any]:
    pagination = {"count": len(ids) if count is ... else count, "next_offset": after}
    return {
        "error": False,
        "error_message": None,
        "customers": [{"customer_id": n} for n in ids],
        "pagination": pagination,
    }


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


async def test_full_listing_follows_paging_only_if_it_appears() -> None:
    whole = Script([{"error": False, "data": [json.loads(STOCK_ITEM)]}])
    (page,) = await pages_of("stock_items", walk_of(whole))
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})
    items = [{"account_id": 1, "object_id": n} for n in (1, 2, 3)]
    paged = Script(
        [
            {"data": items[:2], "pagination": {"next_offset": 2}},
            {"data": items[1:], "pagination": {"next_offset": None}},
        ]
    )
    first, last = await pages_of("stock_items", walk_of(paged))
    assert (first.cursor, first.scope, first.whole_walk) == (None, None, False)
    assert (last.cursor, last.scope, last.whole_walk) == ({"as_of": NOW.isoformat()}, Scope(), True)
    elsewhere = Script([{"data": items, "pagination": {"next_url": "https://other.example/x"}}])
    with pytest.raises(BadPayload, match="next_offset"):
        await pages_of("stock_items", walk_of(elsewhere))


async def test_stock_is_asked_for_in_batches_that_each_speak_for_themselves() -> None:
    barcodes = [f"{n:013d}" for n in range(150)]
    script = Script([{"stores": [], "stock": [json.loads(STOCK)]}, {"stock": []}, {"stock": []}])
    walk = walk_of(script, lookup={"barcodes": [*barcodes, barcodes[0]], "article_ids": ["03505002"]})
    pages = await pages_of("stock", walk)
    assert [asked[0] for asked in script.asked] == ["POST"] * 3
    assert script.asked[1][3] == [{"barcode": code} for code in barcodes[100:]]
    assert script.asked[2][3] == [{"article_id": "03505002"}]
    assert [page.scope for page in pages] == [
        Scope(column="barcode", values=tuple(barcodes[:100]), guarded=False),
        Scope(column="barcode", values=tuple(barcodes[100:]), guarded=False),
        Scope(column="article_id", values=("03505002",), guarded=False),
    ]
    assert [len(page.records) for page in pages] == [1, 0, 0]
    assert not any(page.whole_walk for page in pages)


@pytest.mark.parametrize("stream", ["stock", "leads"])
async def test_lookup_without_keys_asks_nothing(stream: str) -> None:
    script = Script([])
    (page,) = await pages_of(stream, walk_of(script, cursor={"as_of": "x"}))
    assert (list(page.records), page.scope, page.cursor) == ([], None, {"as_of": "x"})
    assert not script.asked


async def test_leads() -> None:
    known, gone = uuid.UUID("0c6b40a4-a217-11e8-92bb-005056a46320"), uuid.uuid4()
    script = Script(
        [{"error": False, "sales_lead": json.loads(LEAD)}, NotFound("404"), {"sales_lead": json.loads(LEAD)}]
    )
    other = uuid.uuid4()
    pages = await pages_of("leads", walk_of(script, lookup={"uuids": [str(known).upper(), str(gone), str(other)]}))
    assert [asked[1] for asked in script.asked] == [f"/api/v1/leads/{key}.json" for key in (known, gone, other)]
    assert [page.scope for page in pages] == [
        Scope(column="uuid", values=(known,), guarded=False),
        Scope(column="uuid", values=(gone,), guarded=False),
        None,  # it came back with another uuid: proves nothing about the one asked for
    ]
    assert [len(page.records) for page in pages] == [1, 0, 1]


async def test_invalid_uuid_is_named_before_anything_is_asked() -> None:
    script = Script([])
    with pytest.raises(ConfigError, match="not-a-uuid"):
        await pages_of("leads", walk_of(script, lookup={"uuids": [str(uuid.uuid4()), "not-a-uuid"]}))
    assert not script.asked


# --- Sales orders -----------------------------------------------------------------------------------------------------


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
    with pytest.raises(ConfigError, match="last year"):
        await pages_of("sales_orders", walk_of(Script([]), stream_options={"from": "last year"}))


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
        return {**head(order), "order_item_id": number, "barcode": barcode}

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
        },
        {
            **head(54230),
            "order_items": [item(54230, 0, ""), item(54230, 1, "c")],
        },
    ]
    row = parsed("sales_orders", last.records[1])
    assert row.extra is None
    assert not row.notes


# --- Walks against the sandbox ----------------------------------------------------------------------------------------


async def mirror_of(bench: Bench, stream: str) -> dict[Any, Any]:
    columns, key = [each.name for each in table(stream).columns], table(stream).key
    return {
        tuple(row[name] for name in key): (
            tuple(row[name] for name in columns),
            row["_extra"] and json.loads(row["_extra"]),
        )
        for row in await bench.rows(f"cyclesoftware.{stream}")
    }


def expected(stream: str, records: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    parser = Parser(table(stream), ZONE)
    rows = [parser.parse(json.dumps(each).encode()) for each in records]
    deleted_at = parser.names.index("is_deleted") if stream == "stock_items" else None
    return {
        row.key: (row.values, row.extra and json.loads(row.extra))
        for row in rows
        if isinstance(row, Row) and (deleted_at is None or not row.values[deleted_at])
    }


@pytest.mark.parametrize("stream", ["customers", "stores", "stock_items", "platform_keys", "stock", "leads"])
async def test_mirror_equals_the_sandbox_after_a_run(make_bench: MakeBench, stream: str) -> None:
    bench = await make_bench(seed=7, page_size=37)
    result = await bench.sync(f"shop.{stream}")
    assert result.outcome == "ok", result.error
    truth = expected(stream, bench.sandbox.truth("cyclesoftware", stream))
    assert truth
    assert await mirror_of(bench, stream) == truth


@pytest.mark.parametrize("stream", ["customers", "stores", "stock_items", "platform_keys"])
async def test_full_listing_follows_changes_and_deletions(make_bench: MakeBench, stream: str) -> None:
    bench = await make_bench(seed=7, page_size=37)
    await bench.sync(f"shop.{stream}")
    bench.time.pass_by(minutes=30)
    bench.sandbox.evolve(20)
    bench.time.pass_by(minutes=1)
    result = await bench.sync(f"shop.{stream}", "sweep" if stream == "customers" else "live")
    assert result.outcome == "ok", result.error
    assert await mirror_of(bench, stream) == expected(stream, bench.sandbox.truth("cyclesoftware", stream))


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


async def test_sales_orders_hold_deleted_ones_too(make_bench: MakeBench) -> None:
    bench = await make_bench(seed=7, page_size=37)
    result = await bench.sync("shop.sales_orders")
    assert result.outcome == "ok", result.error
    truth = expected("sales_orders", bench.sandbox.truth("cyclesoftware", "sales_orders"))
    assert await mirror_of(bench, "sales_orders") == truth | expected(
        "sales_orders", bench.sandbox.deleted_sales_orders()
    )

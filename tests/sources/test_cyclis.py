"""What the Cyclis source makes of the vendor's samples, of odd values, and of a whole walk."""

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest

from syncd.config import Secret
from syncd.contract import Answer, CannotTell, Cursor, Kind, Page, RunKind, Scope, Table, Walk
from syncd.errors import BadPayload, NotFound, ScopeMissing, UsageError
from syncd.records.parser import Parser
from syncd.records.rows import Reject, Row
from syncd.sandbox import CREDENTIALS, Sandbox, serve
from syncd.sources.cyclis import SOURCE
from syncd.sources.cyclis.api import fault_of
from tests.support.bench import Bench, MakeBench

ZONE = ZoneInfo("Europe/Brussels")
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BASE = "https://api.cyclis.example/v1"
OPTIONS = {
    "api_token": Secret("t0ken"),
    "zone": "Europe/Brussels",
    "overlap": 600.0,
    **{f"{stream}_path": f"/{stream}" for stream in ("orders", "cyclists", "dealers", "companies")},
}

ID = "497f6eca-6276-4993-bfeb-53cbbbba6f08"  # the vendor's page uses this one everywhere
SAMPLE_ID = uuid.UUID(ID)
SAMPLE_AT = datetime(2019, 8, 24, 14, 15, 22, tzinfo=UTC)

CYCLIST: dict[str, Any] = {
    "id": ID,
    "type": "cyclist",
    "attributes": {
        "first_name": "John",
        "last_name": "Doe",
        "email": "user@example.com",
        "lang": "en_US",
        "external_identifier": "string",
        "metadata": {},
    },
    "relationships": {"company": {"data": {"type": "company", "id": ID}}},
}
DEALER: dict[str, Any] = {
    "id": ID,
    "type": "dealer",
    "attributes": {
        "name": "The Dealer",
        "street_name": "string",
        "street_number": "string",
        "postal_code": "string",
        "city": "string",
        "country_code": "BE",
        "email": "dealer@example.com",
        "phone": "014 30 30 30",
        "mobile": "0495 10 20 30",
        "vat": "BE 0123.456.789",
        "latitude": 50.8503,
        "longitude": 4.3517,
        "brands": ["Gazelle"],
    },
}
ORDER: dict[str, Any] = {
    "id": ID,
    "type": "order",
    "attributes": {
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
        "lease_cost": 91.26,
        "lease_duration": 36,
        "maintenance_budget": 300,
        "start_lease_date": "2019-08-24T14:15:22Z",
        "end_lease_date": "2019-08-24T14:15:22Z",
        "cost_center": "CC12345",
        "employee_id": "EM12345",
        "create_timestamp": "2019-08-24T14:15:22Z",
    },
    "relationships": {
        "cyclist": {"data": {"type": "cyclist", "id": ID}},
        "company": {"data": {"type": "company", "id": ID}},
    },
}


def table(name: str) -> Table:
    return SOURCE.stream(name).table


def parsed(name: str, record: dict[str, Any]) -> Row:
    row = Parser(table(name), ZONE).parse(json.dumps(record).encode())
    assert isinstance(row, Row), row
    return row


def values(name: str, row: Row) -> dict[str, Any]:
    return dict(zip((each.name for each in table(name).columns), row.values, strict=True))


# --- The vendor's samples ---------------------------------------------------------------------------------------------


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


def test_cyclist_sample() -> None:
    row = parsed("cyclists", CYCLIST)
    assert values("cyclists", row) == {
        "id": SAMPLE_ID,
        "type": "cyclist",
        "first_name": "John",
        "last_name": "Doe",
        "email": "user@example.com",
        "lang": "en_US",
        "external_identifier": "string",
        "metadata": "{}",
        "company_id": SAMPLE_ID,
        "company_type": "company",
    }
    assert (row.extra, row.notes, row.absent) == (None, [], frozenset())


def test_dealer_sample() -> None:
    row = parsed("dealers", DEALER)
    assert values("dealers", row) == {
        "id": SAMPLE_ID,
        "type": "dealer",
        "name": "The Dealer",
        "street_name": "string",
        "street_number": "string",
        "postal_code": "string",
        "city": "string",
        "country_code": "BE",
        "email": "dealer@example.com",
        "phone": "014 30 30 30",
        "mobile": "0495 10 20 30",
        "vat": "BE 0123.456.789",
        "latitude": Decimal("50.8503"),
        "longitude": Decimal("4.3517"),
        "brands": '["Gazelle"]',
    }
    assert (row.extra, row.notes, row.absent) == (None, [], frozenset())


def test_company_keeps_whatever_it_brings() -> None:
    row = parsed("companies", {"id": ID, "type": "company", "attributes": {"name": "X NV", "vat": "BE 1"}})
    assert values("companies", row) == {"id": SAMPLE_ID, "type": "company", "name": "X NV"}
    assert json.loads(row.extra or "") == {"attributes": {"vat": "BE 1"}}


# --- Odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "sent", "value", "kept"),
    [
        ("cost_center", False, None, True),  # Odoo's false for an empty text
        ("start_lease_date", False, None, True),
        ("start_lease_date", None, None, False),
        ("start_lease_date", "2026-01-15T10:00:00", datetime(2026, 1, 15, 9, tzinfo=UTC), False),
        ("start_lease_date", "2026-01-15", datetime(2026, 1, 14, 23, tzinfo=UTC), True),
        ("lease_cost", False, None, True),
        ("lease_cost", "91.26", Decimal("91.26"), True),
        ("lease_duration", 36.0, 36, True),
        ("insurance", False, False, False),
        ("state", "brand_new_state", "brand_new_state", False),
        ("bike_size", 55, "55", True),
    ],
)
def test_odd_value(attribute: str, sent: Any, value: Any, kept: bool) -> None:
    row = parsed("orders", {**ORDER, "attributes": {**ORDER["attributes"], attribute: sent}})
    assert values("orders", row)[attribute] == value
    assert json.loads(row.extra or "null") == ({"attributes": {attribute: sent}} if kept else None)


@pytest.mark.parametrize("company", [{"data": None}, None])
def test_order_without_a_company_has_none(company: Any) -> None:
    row = parsed("orders", {**ORDER, "relationships": {**ORDER["relationships"], "company": company}})
    assert values("orders", row)["company_id"] is None
    assert "company_id" not in row.absent
    assert row.extra is None


def test_relationship_of_another_type_can_be_told() -> None:
    relationships = {**ORDER["relationships"], "company": {"data": {"type": "branch", "id": ID}}}
    assert values("orders", parsed("orders", {**ORDER, "relationships": relationships}))["company_type"] == "branch"


@pytest.mark.parametrize("key", [None, False, "", "12"])
def test_record_without_a_uuid_is_turned_away(key: Any) -> None:
    assert isinstance(Parser(table("orders"), ZONE).parse(json.dumps({**ORDER, "id": key}).encode()), Reject)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"error": "NOACC", "message": "Your API token is not allowed to edit ..."},
         "NOACC: Your API token is not allowed to edit ..."),
        ({"data": {"data": {"error": "NOACC", "message": "nested"}}}, "NOACC: nested"),
        ({"data": {"error": "NOACC", "message": "in data"}}, "NOACC: in data"),
        ({"error": True}, "an error without a message"),
        ({"error": 404, "message": "x" * 300}, ("404: " + "x" * 300)[:200]),
        ({"error": {"code": 200, "message": "Odoo Server Error"}}, "200: Odoo Server Error"),
        ({"error": "A\nB", "message": None}, "A B"),
        ({"error": False, "data": []}, None),
        ({"error": None, "message": "fine", "data": []}, None),
        ({"data": [ORDER]}, None),
        ({"data": ORDER}, None),
        ([], None),
    ],
)  # fmt: skip
def test_fault_in_any_form(body: Any, fault: str | None) -> None:
    assert fault_of(answer(body)) == fault


def test_requests_bear_the_token_and_hide_it() -> None:
    auth = SOURCE.auth(OPTIONS)
    assert auth.headers() == {"API-TOKEN": "t0ken"}
    assert not auth.due(NOW)
    assert not auth.refused()
    assert "t0ken" not in repr(vars(auth))


# --- Walks by script --------------------------------------------------------------------------------------------------

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def order(number: int, company: str | None) -> dict[str, Any]:
    data = {"type": "company", "id": company} if company else None
    relationships = {**ORDER["relationships"], "company": {"data": data}}
    return {**ORDER, "id": str(uuid.UUID(int=1000 + number)), "relationships": relationships}


def answer(body: Any, *, sent_at: datetime = NOW, served_at: datetime | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=200, headers={}, body=raw, sent_at=sent_at, served_at=served_at)


@dataclass
class Script:
    """An upstream that gives prepared answers and keeps what it was asked for."""

    answers: list[Any]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: Any = None
    ) -> Answer:
        assert (method, json) == ("GET", None)
        self.asked.append((path, dict(params)))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else answer(given)


def walk_of(
    upstream: Any,
    kind: RunKind = "live",
    *,
    cursor: Cursor | None = None,
    since: datetime | None = None,
    companies: Sequence[str] = (),
    base_url: str = BASE,
    options: dict[str, Any] | None = None,
) -> Walk:
    async def mirrored(stream: str, column: str) -> list[Any]:
        return [uuid.UUID(company) for company in companies] if (stream, column) == ("companies", "id") else []

    return Walk(
        upstream=upstream,
        kind=kind,
        cursor=cursor,
        options={**OPTIONS, **(options or {})},
        stream_options={},
        lookup={},
        now=lambda: NOW,
        mirrored=mirrored,
        since=since,
        base_url=base_url,
    )


async def pages_of(stream: str, walk: Walk) -> list[Page]:
    return [page async for page in SOURCE.stream(stream).walk(walk)]


def companies(*ids: str) -> dict[str, Any]:
    return {"data": [{"id": each, "type": "company"} for each in ids]}


def in_scope(*ids: str) -> Scope:
    return Scope(column="company_id", values=tuple(uuid.UUID(each) for each in ids))


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


@pytest.mark.parametrize("stream", ["orders", "cyclists"])
@pytest.mark.parametrize(
    ("second", "scope"),
    [
        (companies(B, C), in_scope(A, B, C)),
        (NotFound("404"), in_scope(A, C)),
        (ScopeMissing("403"), in_scope(A, C)),
    ],
)
async def test_full_list_speaks_only_for_companies_that_are_visible(stream: str, second: Any, scope: Scope) -> None:
    script = Script([{"data": [order(1, C), order(2, A), order(3, None)]}, second])
    kind: RunKind = "sweep" if stream == "orders" else "live"
    (page,) = await pages_of(stream, walk_of(script, kind))
    assert (page.scope, page.whole_walk) == (scope, True)
    assert page.cursor == {"swept_at" if stream == "orders" else "as_of": NOW.isoformat()}


@pytest.mark.parametrize("stream", ["companies", "dealers"])
async def test_plain_full_list_speaks_for_all_rows(stream: str) -> None:
    script = Script([{"data": [DEALER]}])
    (page,) = await pages_of(stream, walk_of(script, options={f"{stream}_path": "api/own/"}))
    assert script.asked == [("/api/own", {})]
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})


async def test_single_object_is_a_list_of_one() -> None:
    (page,) = await pages_of("dealers", walk_of(Script([{"data": DEALER}])))
    assert [json.loads(record) for record in page.records] == [DEALER]


@pytest.mark.parametrize(
    "link",
    [
        f"{BASE}/dealers?page%5Boffset%5D=1",
        "https://api.cyclis.example:443/v1/dealers?page%5Boffset%5D=1",
        "/v1/dealers?page%5Boffset%5D=1",
        "/dealers?page%5Boffset%5D=1",
        "dealers?page%5Boffset%5D=1",
        "?page%5Boffset%5D=1",
        {"href": f"{BASE}/dealers?page%5Boffset%5D=1"},
    ],
)
async def test_next_link_on_the_same_host_is_followed(link: Any) -> None:
    script = Script([{"data": [DEALER], "links": {"next": link}}, {"data": [], "links": {"next": None}}])
    first, last = await pages_of("dealers", walk_of(script))
    assert script.asked[1] == ("/dealers", {"page[offset]": "1"})
    assert (first.cursor, first.scope) == (None, None)
    assert last.whole_walk


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ("https://evil.example/dealers?token=x", "https://evil.example"),
        ("//evil.example/dealers?token=x", "https://evil.example"),
        ("http://api.cyclis.example/v1/dealers?token=x", "http://api.cyclis.example"),
        ("https://api.cyclis.example:8443/v1/dealers?token=x", ":8443"),
        ("https://api.cyclis.example@evil.example/v1?token=x", "https://evil.example"),
        ("https://[broken/v1?token=x", "no valid address"),
        ("https://api.cyclis.example:99999/?token=x", "no valid address"),
    ],
)
async def test_next_link_to_another_host_is_never_followed(link: str, named: str) -> None:
    script = Script([{"data": [DEALER], "links": {"next": link}}])
    with pytest.raises(BadPayload, match=named) as caught:
        await pages_of("dealers", walk_of(script))
    assert "token=x" not in str(caught.value)
    assert len(script.asked) == 1


async def test_absolute_link_is_refused_where_the_host_is_not_known() -> None:
    script = Script([{"data": [DEALER], "links": {"next": f"{BASE}/dealers?page=2"}}])
    with pytest.raises(BadPayload, match="another host"):
        await pages_of("dealers", walk_of(script, base_url=""))


async def test_link_that_repeats_is_a_loop() -> None:
    looping = {"data": [DEALER], "links": {"next": "/dealers?page=2"}}
    with pytest.raises(BadPayload, match="loop"):
        await pages_of("dealers", walk_of(Script([looping, looping])))


async def test_links_without_end_are_a_loop() -> None:
    endless = [{"data": [DEALER], "links": {"next": f"/dealers?page={number}"}} for number in range(100)]
    with pytest.raises(BadPayload, match="nothing new"):
        await pages_of("dealers", walk_of(Script(list(endless))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": None}, "null"),
        ({}, "nothing"),
        (b"<html></html>", "HTML"),
        ({"data": [], "links": {"next": 2}}, "links.next"),
    ],
)
async def test_broken_envelope_fails_the_pass(body: Any, message: str) -> None:
    with pytest.raises(BadPayload, match=message):
        await pages_of("orders", walk_of(Script([body])))


async def test_cursor_set_by_hand_is_checked() -> None:
    with pytest.raises(UsageError, match="yesterday"):
        await pages_of("orders", walk_of(Script([]), cursor={"since": "yesterday"}))


# --- Walks against the sandbox ----------------------------------------------------------------------------------------


@dataclass
class Http:
    """A bare upstream: signs and sends, and knows only what a walk must be told."""

    session: aiohttp.ClientSession
    base_url: str

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: Any = None
    ) -> Answer:
        auth = SOURCE.auth({"api_token": Secret(str(CREDENTIALS["cyclis"]["api_token"]))})
        sent_at = datetime.now(UTC)
        async with self.session.request(
            method, f"{self.base_url}{path}", params=list(params), json=json, headers=dict(auth.headers())
        ) as response:
            found = replace(answer(await response.read(), sent_at=sent_at), status=response.status)
        if response.status == 404:
            raise NotFound("404", status=404)
        assert (response.status, fault_of(found)) == (200, None)
        return found


@asynccontextmanager
async def sandbox_upstream() -> AsyncIterator[tuple[Sandbox, Http]]:
    sandbox = Sandbox(seed=7)
    async with serve(sandbox) as address, aiohttp.ClientSession() as session:
        yield sandbox, Http(session, address.base_url("cyclis"))


def keyed(stream: str, records: Sequence[bytes | dict[str, Any]]) -> dict[Any, Any]:
    parser = Parser(table(stream), ZONE)
    raws = [msgspec.json.encode(each) if isinstance(each, dict) else each for each in records]
    rows = [parser.parse(raw) for raw in raws]
    return {row.key: (row.values, row.extra and json.loads(row.extra)) for row in rows if isinstance(row, Row)}


async def found_by(stream: str, upstream: Http, **kwargs: Any) -> tuple[dict[Any, Any], list[Page]]:
    walk = walk_of(upstream, base_url=upstream.base_url, **kwargs)
    pages = await pages_of(stream, replace(walk, now=lambda: datetime.now(UTC)))
    return keyed(stream, [record for page in pages for record in page.records]), pages


async def mirror_of(bench: Bench, stream: str) -> dict[Any, Any]:
    decoded = {each.name for each in table(stream).columns if each.kind is Kind.JSON} | {"_extra"}
    columns = [each.name for each in table(stream).columns]
    found = {}
    for row in await bench.rows(f"cyclis.{stream}"):
        read = {name: json.loads(value) if name in decoded and value else value for name, value in row.items()}
        found[row["id"],] = (tuple(read[name] for name in columns), read["_extra"])
    return found


def expected(stream: str, records: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    decoded = [each.name for each in table(stream).columns if each.kind is Kind.JSON]
    places = [Parser(table(stream), ZONE).names.index(name) for name in decoded]
    return {
        key: (tuple(json.loads(v) if i in places and v else v for i, v in enumerate(row)), extra)
        for key, (row, extra) in keyed(stream, records).items()
    }


@pytest.mark.parametrize("stream", ["companies", "dealers", "cyclists", "orders"])
async def test_mirror_equals_the_sandbox_after_a_run_and_after_changes(make_bench: MakeBench, stream: str) -> None:
    bench = await make_bench(seed=7)
    for kind in ("live", "sweep" if stream == "orders" else "live"):
        result = await bench.sync(f"lease.{stream}", kind)
        assert result.outcome == "ok", result.error
        truth = expected(stream, bench.sandbox.truth("cyclis", stream))
        assert truth
        assert await mirror_of(bench, stream) == truth
        bench.time.pass_by(minutes=30)
        bench.sandbox.evolve(20)
        bench.time.pass_by(minutes=1)


async def test_revoked_company_keeps_its_rows_and_a_granted_one_brings_them(make_bench: MakeBench) -> None:
    bench = await make_bench(seed=7)
    orders = bench.sandbox.truth("cyclis", "orders")
    company = orders[0]["relationships"]["company"]["data"]["id"]
    whole = expected("orders", orders)
    theirs = expected("orders", [each for each in orders if each["relationships"]["company"]["data"]["id"] == company])
    bench.sandbox.revoke_company(company)
    await bench.sync("lease.companies")
    await bench.sync("lease.orders")
    assert (await mirror_of(bench, "orders")).keys() == whole.keys() - theirs.keys()
    bench.sandbox.grant_company(company)
    await bench.sync("lease.companies")
    assert (await bench.sync("lease.orders")).outcome == "ok"
    assert await mirror_of(bench, "orders") == whole
    bench.sandbox.revoke_company(company)
    bench.time.pass_by(days=1)
    assert (await bench.sync("lease.orders", "sweep")).outcome == "ok"
    assert await mirror_of(bench, "orders") == whole


async def test_walk_by_links_finds_all_that_the_sandbox_holds() -> None:
    async with sandbox_upstream() as (sandbox, upstream):
        sandbox.faults.add("linked-pages", api="cyclis", rows=7)
        found, pages = await found_by("orders", upstream)
        assert len(pages) > 2
        assert found == keyed("orders", sandbox.truth("cyclis", "orders"))


# --- Callbacks --------------------------------------------------------------------------------------------------------

CALLED = "095be615-a8ad-4c33-8e9c-c7612fbf6c9f"  # of the vendor's sample
SAMPLE_CALL = {"data": {"type": "orderCallback", "attributes": {"uuid": CALLED}}}
URL = "https://sync.example.com/callbacks/lease/x"
CALLBACK_OPTIONS = {**OPTIONS, "callbacks_path": "/callbacks", "callbacks_field": "url"}
assert SOURCE.callbacks
CALLBACKS = SOURCE.callbacks


def test_the_sample_of_a_callback_names_an_order() -> None:
    assert CALLBACKS.named(json.dumps(SAMPLE_CALL).encode()) == (uuid.UUID(CALLED),)
    assert CALLBACKS.named(json.dumps(SAMPLE_CALL).replace(CALLED, CALLED.upper()).encode()) == (uuid.UUID(CALLED),)


def test_a_callback_of_another_type_names_nothing() -> None:
    assert CALLBACKS.named(json.dumps({"data": {"type": "companyCallback"}}).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 4000, b'{"data": null}', b'{"data": {"type": null}}',
        b'{"data": {"type": "orderCallback"}}', b'{"data": {"type": "orderCallback", "attributes": {"uuid": 1}}}',
        json.dumps(SAMPLE_CALL).replace(CALLED, f"{CALLED}/..").encode(),
        json.dumps(SAMPLE_CALL).replace(CALLED, CALLED.replace("-", "")).encode(),
        json.dumps(SAMPLE_CALL).replace(CALLED, f"{{{CALLED}}}").encode(),
        json.dumps([SAMPLE_CALL]).encode(),
    ],
)  # fmt: skip
def test_a_callback_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload):
        CALLBACKS.named(body)


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ({"data": {"type": "callback", "attributes": {"url": URL}}}, URL),
        ({"data": [{"type": "callback", "attributes": {"callback_url": URL}}]}, URL),
        ({"url": URL, "links": {"self": "https://api.cyclis.example/v1/callbacks"}}, URL),
        ({"data": {"url": URL, "again": URL}}, URL),
        ({"data": None}, None),
        ({"data": []}, None),
        ({}, None),
    ],
)
async def test_the_registered_address_is_read_whatever_its_field_is_called(told: Any, url: str | None) -> None:
    upstream = Script([told])
    assert await CALLBACKS.registered(upstream, CALLBACK_OPTIONS) == url
    assert upstream.asked == [("/callbacks", {})]


@pytest.mark.parametrize(
    "told",
    [
        NotFound("404"), ScopeMissing("403"), {"data": {"id": "1"}}, {"data": {"a": URL, "b": f"{URL}2"}}, b"", b"[]",
        b"<html>",
    ],
)  # fmt: skip
async def test_an_upstream_that_says_nothing_clear_does_not_tell(told: Any) -> None:
    with pytest.raises(CannotTell):
        await CALLBACKS.registered(Script([told]), CALLBACK_OPTIONS)


async def test_a_named_order_is_asked_for_by_its_id_and_speaks_for_no_other() -> None:
    upstream = Script([{"data": ORDER}, NotFound("404"), {"data": [ORDER]}])
    other = uuid.UUID(CALLED)
    walk = replace(walk_of(upstream, "callback"), named=[(SAMPLE_ID,), (other,), (SAMPLE_ID,)])
    pages = await pages_of("orders", walk)
    assert [path for path, _ in upstream.asked] == [f"/orders/{ID}", f"/orders/{CALLED}", f"/orders/{ID}"]
    assert [len(page.records) for page in pages] == [1, 0, 1]
    assert {(page.cursor, page.scope, page.whole_walk) for page in pages} == {(None, None, False)}


async def test_another_order_than_was_asked_for_fails_the_walk() -> None:
    walk = replace(walk_of(Script([{"data": ORDER}]), "callback"), named=[(uuid.UUID(CALLED),)])
    with pytest.raises(BadPayload, match="something else"):
        await pages_of("orders", walk)

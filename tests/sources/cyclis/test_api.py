"""Cyclis: faults, the token, odd values, and how next links are followed."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from syncd.config import Secret
from syncd.contract import Answer, Page
from syncd.errors import BadPayload, NotFound
from syncd.records.parser import Parser
from syncd.records.rows import Reject
from syncd.sandbox import CREDENTIALS, Sandbox, serve
from syncd.sources.cyclis import SOURCE
from syncd.sources.cyclis.api import fault_of
from tests.support.bench import MakeBench
from tests.support.sources.cyclis import (
    BASE,
    DEALER,
    ID,
    NOW,
    OPTIONS,
    ORDER,
    ZONE,
    Script,
    answer,
    expected,
    keyed,
    mirror_of,
    pages_of,
    parsed,
    table,
    values,
    walk_of,
)


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


@dataclass
class Http:
    """A bare upstream: signs and sends, and knows only what a walk must be told."""

    session: aiohttp.ClientSession
    base_url: str

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
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


async def found_by(stream: str, upstream: Http, **kwargs: Any) -> tuple[dict[Any, Any], list[Page]]:
    walk = walk_of(upstream, base_url=upstream.base_url, **kwargs)
    pages = await pages_of(stream, replace(walk, now=lambda: datetime.now(UTC)))
    return keyed(stream, [record for page in pages for record in page.records]), pages


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


async def test_walk_by_links_finds_all_that_the_sandbox_holds() -> None:
    async with sandbox_upstream() as (sandbox, upstream):
        sandbox.faults.add("linked-pages", api="cyclis", rows=7)
        found, pages = await found_by("orders", upstream)
        assert len(pages) > 2
        assert found == keyed("orders", sandbox.truth("cyclis", "orders"))

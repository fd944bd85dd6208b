"""Every fault does what its description says, strikes as often as it is told, and is gone after."""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from syncd.sandbox import FAULTS, parse_fault
from syncd.sandbox.faults import KINDS, Stage
from tests.support.caller import CUSTOMERS, VEHICLES, Caller, Reply

PATHS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("cyclesoftware", "customers"): (CUSTOMERS, {"offset": 100}),
    ("cyclesoftware", "stock_items"): ("/api/v1/stock/pos-items.json", {}),
    ("cyclis", "orders"): ("/orders", {}),
    ("autengo", "vehicles"): (VEHICLES, {"offset": 25}),
    ("ghs", "orders"): ("/api/orders", {"skip": 20, "take": 20}),
    ("ghs", "products"): ("/api/products", {"searchTerm": "e", "take": 20}),
}

Check = Callable[[Reply, Reply], object]


def rows(reply: Reply) -> list[Any]:
    body = reply.json()
    return next(body[name] for name in ("customers", "data", "list", "orders", "products") if name in body)


def first(reply: Reply) -> dict[str, Any]:
    row: dict[str, Any] = rows(reply)[0]
    return row


def offset_of(reply: Reply) -> Any:
    return reply.json()["pagination"]["next_offset"]


def status(wanted: int) -> Check:
    return lambda bad, _good: bad.status == wanted


def limited(name: str, value: Callable[[str], bool]) -> Check:
    return lambda bad, _good: value(bad.headers.get(name, ""))


def skew_s(reply: Reply, other: Reply) -> float:
    return (parsedate_to_datetime(reply.headers["Date"]) - parsedate_to_datetime(other.headers["Date"])).total_seconds()


@dataclass(kw_only=True)
class Case:
    """`check` compares the answer with the fault to the one without."""

    check: Check
    api: str = "cyclesoftware"
    stream: str = "customers"
    params: dict[str, Any] = field(default_factory=dict)


CYCLIS: dict[str, Any] = {"api": "cyclis", "stream": "orders"}
CARS: dict[str, Any] = {"api": "autengo", "stream": "vehicles"}
PARTS: dict[str, Any] = {"api": "ghs", "stream": "orders"}

CASES: dict[str, Case] = {
    "error-in-200": Case(check=lambda bad, _: bad.status == 200 and bad.json()["error"] is True),
    "html-200": Case(check=lambda bad, _: bad.status == 200 and b"<html" in bad.body),
    "empty-200": Case(check=lambda bad, _: bad.status == 200 and bad.body == b""),
    "error-xml": Case(
        check=lambda bad, _: bad.status == 401 and b"<error>1</error>" in bad.body, params={"status": 401}
    ),
    "error-soap": Case(check=lambda bad, _: bad.status == 500 and b"SOAP-ENV:Fault" in bad.body),
    "nested-error": Case(check=lambda bad, _: bad.json()["data"]["data"]["error"] == "NOACC", **CYCLIS),
    "error-500": Case(check=status(503), params={"status": 503}),
    "gateway-504": Case(check=status(504), **PARTS),
    "reset-205": Case(check=lambda bad, _: bad.status == 205 and bad.body == b"", **PARTS),
    "not-found-list": Case(check=status(404)),
    "redirect-other-host": Case(check=lambda bad, _: bad.status == 302 and "elsewhere" in bad.headers["Location"]),
    "auth-expired": Case(check=status(401)),
    "broken-session": Case(check=lambda bad, _: bad.status == 401 and b"broken-session" in bad.body, **PARTS),
    "bad-credentials": Case(check=status(401)),
    "scope-revoked": Case(check=status(403)),
    "rotate-cookie": Case(check=lambda bad, _: bad.status == 200 and "ss-id=" in bad.headers["Set-Cookie"], **PARTS),
    "expired-session-empty-list": Case(check=lambda bad, _: bad.status == 200 and rows(bad) == [], **PARTS),
    "bom": Case(check=lambda bad, good: bad.body == b"\xef\xbb\xbf" + good.body),
    "wrong-charset": Case(check=lambda bad, _: "iso-8859-1" in bad.headers["Content-Type"]),
    "wrong-content-length": Case(
        check=lambda bad, good: good.body.startswith(bad.body) and len(bad.body) < len(good.body)
    ),
    "slow-drip": Case(check=lambda bad, good: bad.body == good.body, params={"chunk_bytes": 20_000, "delay_s": 0.001}),
    "unasked-gzip": Case(check=lambda bad, _: bad.headers["Content-Encoding"] == "gzip", **CARS),
    "gzip-bomb": Case(check=lambda bad, _: bad.headers["Content-Encoding"] == "gzip", params={"megabytes": 2}),
    "clock-ahead": Case(check=lambda bad, good: skew_s(bad, good) == 600),
    "clock-behind": Case(check=lambda bad, good: skew_s(bad, good) == -60, params={"skew_s": 60}),
    "clock-jumps": Case(check=lambda bad, good: abs(skew_s(bad, good)) == 600),
    "bad-date": Case(check=lambda bad, _: bad.headers["Date"] == "gisteren"),
    "unstable-ties": Case(check=lambda bad, good: len(rows(bad)) == len(rows(good)), **CARS),
    "shuffled-order": Case(check=lambda bad, good: rows(bad) != rows(good), api="ghs", stream="products"),
    "ignored-offset": Case(check=lambda bad, good: first(bad) != first(good) and first(bad)["customer_id"] == 4),
    "clamped-limit": Case(check=lambda bad, _: len(rows(bad)) == 10 and bad.json()["limit"] == 25, **CARS),
    "linked-pages": Case(
        check=lambda bad, _: len(rows(bad)) == 50 and "127.0.0.1" in bad.json()["links"]["next"], **CYCLIS
    ),
    "next-offset-repeats": Case(check=lambda bad, _: offset_of(bad) == 100),
    "next-offset-falls": Case(check=lambda bad, _: offset_of(bad) == 50),
    "next-offset-absent": Case(check=lambda bad, _: "next_offset" not in bad.json()["pagination"]),
    "next-offset-string": Case(check=lambda bad, _: offset_of(bad) == "200"),
    "empty-page-with-next": Case(check=lambda bad, _: rows(bad) == [] and offset_of(bad) == 200),
    "count-disagrees": Case(check=lambda bad, _: bad.json()["pagination"]["count"] == len(rows(bad)) + 1),
    "total-changes": Case(check=lambda bad, good: bad.json()["total"] != good.json()["total"], **CARS),
    "next-link-other-host": Case(check=lambda bad, _: "elsewhere" in bad.json()["links"]["next"], **CYCLIS),
    "duplicate-key-on-page": Case(
        check=lambda bad, _: first(bad)["customer_id"] == rows(bad)[1]["customer_id"] and first(bad) != rows(bad)[1]
    ),
    "nul-in-text": Case(check=lambda bad, _: b"\\u0000" in bad.body),
    "lone-surrogate": Case(check=lambda bad, _: b"\\ud83d" in bad.body),
    "wrong-type": Case(check=lambda bad, _: first(bad)["name"] is False, params={"field": "name"}),
    "huge-integer": Case(check=lambda bad, _: first(bad)["discount_percentage"] == 2**70),
    "big-integer": Case(check=lambda bad, _: first(bad)["discount_percentage"] == 2**53 + 1),
    "nan": Case(check=lambda bad, _: b"NaN" in bad.body, **CYCLIS),
    "infinity": Case(check=lambda bad, _: b"Infinity" in bad.body, **CARS),
    "megabyte-note": Case(check=lambda bad, _: len(bad.body) > 3_000_000, **PARTS),
    "null-field": Case(check=lambda bad, _: first(bad)["city"] is None, params={"field": "city"}),
    "invalid-utf8": Case(check=lambda bad, _: b"\xc3\x28" in bad.body),
    "unknown-field": Case(check=lambda bad, _: first(bad)["attributes"]["brand_new_field"] == "nieuw", **CYCLIS),
    "missing-field": Case(check=lambda bad, _: "city" not in first(bad), params={"field": "city"}),
    "unknown-enum": Case(check=lambda bad, _: first(bad)["attributes"]["state"] == "zweeft", **CYCLIS),
    "bad-time": Case(check=lambda bad, _: first(bad)["updated"] == "0000-00-00 00:00:00", **CARS),
    "null-key": Case(check=lambda bad, _: first(bad)["customer_id"] is None),
    "empty-key": Case(check=lambda bad, _: first(bad)["sellingId"] == "", **CARS),
    "missing-key": Case(check=lambda bad, _: "id" not in first(bad), **CYCLIS),
    "string-key": Case(check=lambda bad, good: first(bad)["customer_id"] == str(first(good)["customer_id"])),
    "orphan-relation": Case(
        check=lambda bad, _: first(bad)["relationships"]["company"]["data"]["id"].endswith("dead"), **CYCLIS
    ),
    "null-record": Case(check=lambda bad, good: rows(bad) == [None, *rows(good)]),
    "row-vanishes": Case(check=lambda bad, good: rows(bad) == rows(good)[1:]),
    "empty-list": Case(check=lambda bad, _: rows(bad) == [] and offset_of(bad) is None),
    "null-list": Case(check=lambda bad, _: bad.json()["customers"] is None),
    "missing-list": Case(check=lambda bad, _: "customers" not in bad.json()),
    "arrays-reordered": Case(
        check=lambda bad, good: first(bad)["phone_numbers"] == first(good)["phone_numbers"][::-1] != []
    ),
    "rate-limited": Case(check=lambda bad, _: bad.status == 429 and "Retry-After" not in bad.headers),
    "early-429": Case(
        check=lambda bad, _: bad.status == 429 and int(bad.headers["X-RateLimit-Minutely-Remaining"]) > 300
    ),
    "retry-after": Case(check=limited("Retry-After", lambda text: text == "30")),
    "retry-after-date": Case(check=limited("Retry-After", lambda text: text.endswith("GMT"))),
    "retry-after-garbage": Case(check=limited("Retry-After", lambda text: text == "straks")),
    "retry-after-huge": Case(check=limited("Retry-After", lambda text: int(text) > 10**9)),
    "other-spender": Case(
        check=lambda bad, good: (
            int(good.headers["X-RateLimit-Daily-Remaining"]) - int(bad.headers["X-RateLimit-Daily-Remaining"]) == 11
        )
    ),
    "reset-in-past": Case(
        check=lambda bad, good: (
            int(bad.headers["X-RateLimit-Daily-Reset"]) < parsedate_to_datetime(good.headers["Date"]).timestamp()
        )
    ),
    "no-limit-headers": Case(check=lambda bad, _: not [name for name in bad.headers if name.startswith("X-RateLimit")]),
    "bad-limit-headers": Case(check=limited("X-RateLimit-Daily-Limit", lambda text: text == "onbeperkt")),
    "own-offsets-only": Case(check=status(400), params={"rows": 77}),
    "parameter-refused": Case(check=status(400), params={"which": "offset", "most": 99}),
    "header-refused": Case(check=status(406), params={"which": "Accept-Encoding"}),
    "firewall-page": Case(check=lambda bad, _: bad.status == 403 and b"Just a moment" in bad.body),
    "echo": Case(check=lambda bad, _: bad.status == 400 and b"Authorization" in bad.body),
    "retry-later": Case(check=lambda bad, _: bad.status == 503 and bad.headers["Retry-After"] == "30"),
    "odd-status": Case(check=status(304)),
    "odd-cookie": Case(check=lambda bad, _: "ss-id=odd\x01session" in bad.headers["Set-Cookie"], **PARTS),
    "odd-link": Case(check=lambda bad, _: "\x01" in bad.json()["links"]["next"], **CYCLIS),
    "encoded-body": Case(
        check=lambda bad, good: bad.headers["Content-Encoding"] == "shrunk" and len(bad.body) == len(good.body),
        params={"encoding": "shrunk"},
    ),
}  # fmt: skip
# These need more than one answer to be seen; each has a test of its own below.
TOLD_BELOW = {
    "truncated-body", "reset", "hang", "corrupt-gzip", "login-error-200", "refresh-fails", "token-expires-early",
    "row-inserted-ahead", "row-deleted-ahead", "row-moved-ahead", "late-commit", "object-moves", "since-ignored",
    "daily-exhausted", "gzip-required", "odd-session", "unsound-http",
    "next-url-absent", "next-url-repeats", "token-expired", "range-refused", "days-in-utc", "last-day-excluded",
    "range-clamped", "stock-changes-unseen", "row-left-out",
}  # fmt: skip


def test_every_fault_has_a_test() -> None:
    assert set(CASES) | TOLD_BELOW == set(FAULTS)
    assert all(description for description in FAULTS.values())


@pytest.mark.parametrize("name", CASES)
async def test_fault_strikes_once_and_is_gone(caller: Caller, name: str) -> None:
    case = CASES[name]
    path, query = PATHS[case.api, case.stream]
    good = await caller.call(case.api, path, query)
    caller.sandbox.faults.add(name, api=case.api, stream=case.stream, times=1, **case.params)
    bad = await caller.call(case.api, path, query)
    assert case.check(bad, good), bad.body[:500]
    assert caller.sandbox.faults.hits(name) == 1
    caller.tokens.clear()
    caller.sandbox.faults.clear()
    again = await caller.call(case.api, path, query)
    assert again.status == 200
    if name not in {"empty-page-with-next", "unstable-ties", "shuffled-order"}:
        assert rows(again) == rows(good)


@pytest.mark.parametrize("api", ["autengo", "ghs"])
async def test_a_login_can_give_what_no_request_can_carry(caller: Caller, api: str) -> None:
    caller.sandbox.faults.add("odd-session", api=api, times=1)
    await caller.login(api)
    assert "\x01" in caller.tokens[api]
    await caller.login(api)
    assert "\x01" not in caller.tokens[api]


@pytest.mark.parametrize("name", ["truncated-body", "reset", "corrupt-gzip"])
async def test_damaged_answers_raise_in_a_client(caller: Caller, name: str) -> None:
    caller.sandbox.faults.add(name, api="cyclesoftware", times=1)
    with pytest.raises(aiohttp.ClientError):
        await caller.call("cyclesoftware", CUSTOMERS)
    assert (await caller.call("cyclesoftware", CUSTOMERS)).status == 200


async def test_reset_at_the_start_leaves_no_answer(caller: Caller) -> None:
    caller.sandbox.faults.add("reset", at="start")
    with pytest.raises(aiohttp.ClientError):
        await caller.call("cyclis", "/orders")
    assert {entry.status for entry in caller.sandbox.requests} == {0}  # aiohttp tries a GET twice by itself


async def test_a_hanging_server_answers_nothing(caller: Caller) -> None:
    caller.sandbox.faults.add("hang", times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await caller.call("cyclis", "/orders")


@pytest.mark.parametrize("api", ["autengo", "ghs"])
async def test_a_login_can_fail_inside_a_200(caller: Caller, api: str) -> None:
    caller.sandbox.faults.add("login-error-200", api=api, times=1)
    reply = await caller.login(api)
    assert reply.status == 200
    assert "token" not in reply.json()
    assert "sessionId" not in reply.json()
    assert api not in caller.tokens


@pytest.mark.parametrize(("api", "stream"), [("autengo", "vehicles"), ("ghs", "orders")])
async def test_a_token_can_expire_early(caller: Caller, api: str, stream: str) -> None:
    path, query = PATHS[api, stream]
    caller.sandbox.faults.add("token-expires-early", api=api, times=1, uses=2)
    answers = [(await caller.call(api, path, query)).status for _ in range(3)]
    assert answers == [200, 200, 401]
    caller.tokens.clear()
    assert (await caller.call(api, path, query)).status == 200


async def test_a_refresh_can_fail(caller: Caller) -> None:
    caller.sandbox.faults.add("refresh-fails", times=1)
    assert (await caller.call("autengo", "/auth/refresh")).status == 401
    assert (await caller.call("autengo", "/auth/refresh")).status == 200


async def test_bad_credentials_reach_the_login_too(caller: Caller) -> None:
    caller.sandbox.faults.add("bad-credentials", api="ghs")
    assert (await caller.login("ghs")).status == 401
    caller.sandbox.faults.remove("bad-credentials")
    assert (await caller.login("ghs")).status == 200


@pytest.mark.parametrize("name", ["row-inserted-ahead", "row-deleted-ahead", "row-moved-ahead", "late-commit"])
@pytest.mark.parametrize(
    ("api", "stream"), [("cyclesoftware", "customers"), ("autengo", "vehicles"), ("ghs", "orders")]
)
async def test_the_list_moves_between_pages(caller: Caller, name: str, api: str, stream: str) -> None:
    path, _ = PATHS[api, stream]
    query: dict[str, Any] = {"skip": 0, "take": 20} if api == "ghs" else {"offset": 0}
    before = caller.sandbox.truth(api, stream)
    caller.sandbox.faults.add(name, api=api, stream=stream, times=1)
    page = rows(await caller.call(api, path, query))
    after = caller.sandbox.truth(api, stream)
    assert after != before
    grown = {"row-inserted-ahead": 1, "row-deleted-ahead": -1}.get(name, 0)
    assert len(after) - len(before) == grown
    if name == "row-deleted-ahead":
        assert page[0] in before
        assert page[0] not in after
    if name in {"row-inserted-ahead", "row-deleted-ahead"}:
        assert rows(await caller.call(api, path, query))[0] != page[0]


async def test_a_late_commit_is_not_seen_by_a_cursor_at_its_own_time(caller: Caller) -> None:
    caller.sandbox.faults.add("late-commit", stream="customers", times=1, age_s=300, key=8)
    await caller.call("cyclesoftware", CUSTOMERS)
    assert await caller.walk_customers(modified_since="2026-10-01 13:59:00") == []
    assert [row["customer_id"] for row in await caller.walk_customers(modified_since="2026-10-01 13:55:00")] == [8]


async def test_an_object_moves_to_another_store(caller: Caller) -> None:
    path, query = PATHS["cyclesoftware", "stock_items"]
    caller.sandbox.faults.add("object-moves", stream="stock_items", times=1)
    before = first(await caller.call("cyclesoftware", path, query))
    after = first(await caller.call("cyclesoftware", path, query))
    assert (before["object_id"], before["store_id"]) != (after["object_id"], after["store_id"])
    stock = {(row["store_id"], row["object_id"]) for row in caller.sandbox.truth("cyclesoftware", "stock")}
    assert ("5185-7", 144922) in stock
    assert ("5185-1", 144922) not in stock


@pytest.mark.parametrize(
    ("api", "path", "query"),
    [
        ("cyclesoftware", CUSTOMERS, {"modified_since": "2030-01-01 00:00:00"}),
        (
            "cyclesoftware",
            "/api/v2/salesdata/orders.json",
            {"modified_start": "2029-01-01 00:00:00", "modified_end": "2029-01-20 00:00:00"},
        ),
        ("cyclis", "/orders", {"updated_since": "2030-01-01"}),
        ("autengo", VEHICLES, {"and[updated]": ">=|2030-01-01 00:00:00"}),
    ],
)
async def test_since_can_be_ignored(caller: Caller, api: str, path: str, query: dict[str, str]) -> None:
    assert rows(await caller.call(api, path, query)) == []
    caller.sandbox.faults.add("since-ignored", api=api, times=1)
    assert len(rows(await caller.call(api, path, query))) > 20


async def test_the_day_can_be_exhausted_until_it_resets(caller: Caller) -> None:
    caller.sandbox.faults.add("daily-exhausted", times=1)
    replies = [await caller.call("cyclesoftware", CUSTOMERS) for _ in range(2)]
    assert [reply.status for reply in replies] == [429, 429]
    assert {reply.headers["X-RateLimit-Daily-Remaining"] for reply in replies} == {"0"}
    caller.clock.pass_s(86_400)
    assert (await caller.call("cyclesoftware", CUSTOMERS)).status == 200


async def test_gzip_can_be_required(caller: Caller) -> None:
    caller.sandbox.faults.add("gzip-required")
    plain = {"Accept-Encoding": "identity"}
    assert (await caller.call("cyclesoftware", CUSTOMERS, headers=plain)).status == 400
    assert (await caller.call("cyclesoftware", CUSTOMERS)).status == 200


async def test_an_empty_page_loses_no_row_to_a_walk(caller: Caller) -> None:
    caller.sandbox.faults.add("empty-page-with-next", stream="customers", times=1, after=1)
    assert await caller.walk_customers() == caller.sandbox.truth("cyclesoftware", "customers")


async def test_faults_can_be_aimed_at_phone_numbers_and_messages(caller: Caller) -> None:
    caller.sandbox.faults.add("null-key", stream="customer_phone_numbers", times=1)
    assert first(await caller.call("cyclesoftware", CUSTOMERS))["phone_numbers"][0]["phone_number_id"] is None
    caller.sandbox.faults.add("unknown-enum", stream="urgent_messages", times=1)
    reply = await caller.call("ghs", "/api/account")
    assert reply.json()["urgentMessages"][0]["level"] == "zweeft"


async def test_a_row_can_be_chosen_by_its_key(caller: Caller) -> None:
    caller.sandbox.faults.add("null-field", stream="customers", key=1006, field="city")
    found = {row["customer_id"]: row["city"] for row in await caller.walk_customers()}
    assert found[1006] is None
    assert found[8] == "Heerenveen"
    assert caller.sandbox.faults.hits("null-field") == 1


async def test_after_skips_requests_and_times_ends_it(caller: Caller) -> None:
    caller.sandbox.faults.add("error-500", api="cyclis", times=2, after=1)
    assert [(await caller.call("cyclis", "/orders")).status for _ in range(4)] == [200, 500, 500, 200]
    assert caller.sandbox.faults.hits("error-500") == 2


async def test_faults_never_change_the_truth(caller: Caller) -> None:
    before = caller.sandbox.truth("cyclesoftware", "customers")
    for name, case in CASES.items():
        if case.api == "cyclesoftware":
            caller.sandbox.faults.add(name, api="cyclesoftware", times=1, **case.params)
    for _ in range(10):
        await caller.call("cyclesoftware", CUSTOMERS)
    assert caller.sandbox.truth("cyclesoftware", "customers") == before


@pytest.mark.parametrize(("api", "stream"), PATHS)
async def test_faults_can_meet_on_one_request(
    caller: Caller, caplog: pytest.LogCaptureFixture, api: str, stream: str
) -> None:
    path, query = PATHS[api, stream]
    for name, kind in KINDS.items():
        met = api in kind.apis and (kind.streams is None or stream in kind.streams)
        if met and kind.stage in {Stage.ASK, Stage.WORLD, Stage.ANSWER}:
            caller.sandbox.faults.add(name, api=api, stream=stream, times=3)
    for _ in range(4):
        reply = await caller.call(api, path, query)
        assert reply.status in {200, 401}
        caller.tokens.clear()
    assert "Error handling request" not in caplog.text


def test_specs_are_read() -> None:
    assert parse_fault("reset") == {"name": "reset", "api": None, "stream": None, "times": None}
    whole = {"name": "null-key", "api": "cyclis", "stream": "orders", "times": 3}
    assert parse_fault("null-key:cyclis.orders@3") == whole
    for wrong in ("", "Reset!", "reset:", "reset@x"):
        with pytest.raises(ValueError, match="is no fault"):
            parse_fault(wrong)


@pytest.mark.parametrize(
    "wrong", [{"name": "earthquake"}, {"name": "broken-session", "api": "cyclis"}, {"name": "reset", "stream": "boats"}]
)
async def test_unknown_names_are_refused(caller: Caller, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"there is|knows"):
        caller.sandbox.faults.add(**wrong)


def test_the_bomb_is_small_and_holds_the_answer() -> None:
    from syncd.sandbox.faults.wire import _blanks

    packed = _blanks(3) + gzip.compress(b'{"error":false}')
    assert len(packed) < 100_000
    assert json.loads(gzip.decompress(packed)) == {"error": False}


ARTICLES = "/api/v4/articledata/entries.json"
SERVICE_ITEMS = "/api/v1/workshop/repair-objects/service-items.json"
TRANSACTIONS = "/api/v3/salesdata/transactions.json"


async def test_stock_can_change_without_a_time_of_change(caller: Caller) -> None:
    caller.sandbox.faults.add("stock-changes-unseen", api="cyclesoftware", times=1)
    before = [{**each, "stock": None} for each in caller.sandbox.truth("cyclesoftware", "articles")]
    stock = caller.sandbox.truth("cyclesoftware", "article_stock")
    await caller.call("cyclesoftware", ARTICLES)
    assert caller.sandbox.truth("cyclesoftware", "article_stock") != stock
    assert [{**each, "stock": None} for each in caller.sandbox.truth("cyclesoftware", "articles")] == before


async def test_a_link_can_lack_or_repeat_and_a_token_expire(caller: Caller) -> None:
    days = {"date_field": "modified_at", "date_start": "2020-01-01", "date_end": "2027-01-01"}
    caller.sandbox.faults.add("next-url-absent", api="cyclesoftware", times=1)
    assert "next_url" not in (await caller.call("cyclesoftware", TRANSACTIONS, days)).json()["pagination"]
    link = (await caller.call("cyclesoftware", ARTICLES)).json()["pagination"]["next_url"]
    headers = await caller.credentials("cyclesoftware")
    place = f"{caller.address.base_url('cyclesoftware')}{ARTICLES}?{link.partition('?')[2]}"
    following = URL(place, encoded=True)  # a token goes back as it came
    caller.sandbox.faults.add("next-url-repeats", api="cyclesoftware", times=1)
    again = (await caller.raw("GET", following, headers=headers)).json()["pagination"]["next_url"]
    assert again.partition("?")[2] == link.partition("?")[2]
    caller.sandbox.faults.add("token-expired", api="cyclesoftware", times=1)
    assert (await caller.raw("GET", following, headers=headers)).status == 400
    assert (await caller.raw("GET", following, headers=headers)).status == 200


async def test_days_can_be_read_in_other_ways(caller: Caller) -> None:
    async def found(first: str, last: str) -> list[Any]:
        days = {"modified_start": first, "modified_end": last}
        return rows(await caller.call("cyclesoftware", SERVICE_ITEMS, days))

    record = caller.sandbox.world.fresh("cyclesoftware", "service_items")
    night = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)  # the first of July in Amsterdam
    caller.sandbox.world.put("cyclesoftware", "service_items", record, modified_at=night)
    assert len(await found("2026-07-01", "2026-07-01")) == 1
    caller.sandbox.faults.add("days-in-utc", api="cyclesoftware", times=1)
    assert await found("2026-07-01", "2026-07-01") == []
    caller.sandbox.faults.add("last-day-excluded", api="cyclesoftware", times=1)
    assert await found("2026-07-01", "2026-07-01") == []
    caller.sandbox.faults.add("range-refused", api="cyclesoftware", times=1)
    days = {"modified_start": "2026-06-01", "modified_end": "2026-06-27"}
    assert (await caller.call("cyclesoftware", SERVICE_ITEMS, days)).status == 400
    assert (await caller.call("cyclesoftware", SERVICE_ITEMS, days)).status == 200


async def test_a_range_can_be_answered_for_in_part(caller: Caller) -> None:
    world, days = caller.sandbox.world, {"modified_start": "2026-07-01", "modified_end": "2026-07-27"}
    for day in (3, 26):
        record = world.fresh("cyclesoftware", "service_items")
        world.put("cyclesoftware", "service_items", record, modified_at=datetime(2026, 7, day, 12, tzinfo=UTC))
    for end, seen in ((False, ["2026-07-03"]), (True, ["2026-07-26"])):
        caller.sandbox.faults.add("range-clamped", api="cyclesoftware", times=1, end=end)
        found = rows(await caller.call("cyclesoftware", SERVICE_ITEMS, days))
        assert [each["modified_at"][:10] for each in found] == seen


async def test_a_list_can_leave_out_a_row(caller: Caller) -> None:
    path = "/api/v1/workshop/orders.json"
    key = rows(await caller.call("cyclesoftware", path))[0]["workshop_order_id"]
    caller.sandbox.faults.add("row-left-out", api="cyclesoftware", times=1, key=key)
    for holds in (False, True):
        found = rows(await caller.call("cyclesoftware", path))
        assert (key in {each["workshop_order_id"] for each in found}) is holds

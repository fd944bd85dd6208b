"""Faults of the sandbox that one request does not show."""

import asyncio
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from syncd.sandbox import parse_fault
from syncd.sandbox.faults import KINDS, Stage
from tests.support.caller import CUSTOMERS, VEHICLES, Caller
from tests.support.fault_cases import CASES, PATHS, first, rows
from tests.support.search import sampled


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


@pytest.mark.parametrize(("api", "stream"), sampled(PATHS, every=2))
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

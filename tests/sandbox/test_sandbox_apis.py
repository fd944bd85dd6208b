"""The four APIs answer as their vendors document them."""

from typing import Any

import pytest

from syncd.sandbox import CREDENTIALS, Limits
from syncd.sandbox.world import samples
from tests.support.caller import CUSTOMERS, VEHICLES, Caller, calling

SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    api: samples(f"syncd.sandbox.apis.{api}") for api in ("cyclesoftware", "cyclis", "autengo", "ghs")
}
KEYS = "/api/v1/platform/authentication/keys.json"
STORES = "/api/v1/stock-in-store-locator/stores.json"
STOCK = "/api/v1/stock-in-store-locator/stock.json"
LEAD = "/api/v1/leads/0c6b40a4-a217-11e8-92bb-005056a46320.json"
SALES = "/api/v2/salesdata/orders.json"
JUNE = {"modified_start": "2026-06-01 00:00:00", "modified_end": "2026-06-30 23:59:59"}


# CycleSoftware


@pytest.mark.parametrize("sample", SAMPLES["cyclesoftware"]["customers"], ids=lambda sample: str(sample["customer_id"]))
async def test_documented_customers_come_back_field_by_field(caller: Caller, sample: dict[str, Any]) -> None:
    reply = await caller.call("cyclesoftware", f"/api/v1/customers/{sample['customer_id']}.json")
    assert reply.json() == sample
    assert [*reply.json()] == [*sample]
    assert sample in caller.sandbox.truth("cyclesoftware", "customers")


async def test_documented_stores_keys_stock_and_lead_come_back(caller: Caller) -> None:
    samples = SAMPLES["cyclesoftware"]
    stores = (await caller.call("cyclesoftware", STORES)).json()["stores"]
    assert stores[:2] == samples["stores"]
    assert {(), ""} >= {store["store_gln"] for store in stores if store["store_coordinates"] == [0, 0]}
    assert (await caller.call("cyclesoftware", KEYS)).json()["keys"][:2] == samples["platform_keys"]
    assert (await caller.call("cyclesoftware", LEAD)).json() == {
        "error": False,
        "error_message": None,
        "sales_lead": samples["leads"][0],
    }
    asked = [{"barcode": "8717144186799"}, {"barcode": "8717231204726"}]
    answer = (await caller.call("cyclesoftware", STOCK, method="POST", json=asked)).json()
    assert answer["stock"] == samples["stock"]
    assert answer["stores"] == stores
    by_article = await caller.call("cyclesoftware", STOCK, method="POST", json=[{"article_id": "03505002"}])
    assert by_article.json()["stock"] == samples["stock"][:1]


async def test_lists_are_paged_by_next_offset(caller: Caller) -> None:
    page = (await caller.call("cyclesoftware", CUSTOMERS)).json()
    assert page["pagination"] == {"count": 100, "next_offset": 100}
    assert await caller.walk_customers() == caller.sandbox.truth("cyclesoftware", "customers")


async def test_modified_since_is_amsterdam_time_on_a_hidden_field(caller: Caller) -> None:
    customer = caller.sandbox.get("cyclesoftware", "customers", 8)
    caller.sandbox.put("cyclesoftware", "customers", {**customer, "city": "Sneek"})
    assert [row["city"] for row in await caller.walk_customers(modified_since="2026-10-01 14:00:00")] == ["Sneek"]
    assert await caller.walk_customers(modified_since="2026-10-01 14:00:01") == []
    assert not {field for field in customer if "modified" in field}


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (CUSTOMERS, {"modified_since": "gisteren"}, 400),
        (CUSTOMERS, {"offset": "-1"}, 400),
        ("/api/v1/customers/424242.json", {}, 404),
        ("/api/v1/leads/0c6b40a4-0000-0000-0000-000000000000.json", {}, 404),
        (SALES, {}, 400),
        (SALES, {"modified_start": "2026-01-01 00:00:00", "modified_end": "2026-02-02 00:00:00"}, 400),
        ("/api/v1/nothing.json", {}, 404),
    ],
)
async def test_wrong_requests_get_the_documented_error(
    caller: Caller, path: str, query: dict[str, str], status: int
) -> None:
    reply = await caller.call("cyclesoftware", path, query)
    assert reply.status == status
    assert reply.json()["error"] is True
    assert reply.json()["error_message"]


async def test_writing_is_refused_and_logged(caller: Caller) -> None:
    reply = await caller.call("cyclesoftware", "/api/v1/customers.json", method="POST", json={"name": "x"})
    assert reply.status == 400
    assert caller.sandbox.requests[-1].method == "POST"


async def test_sales_orders_show_the_deleted_ones_as_cancelled_on_request(caller: Caller) -> None:
    order = caller.sandbox.truth("cyclesoftware", "sales_orders")[0]
    key = order["sales_order_id"]
    caller.sandbox.delete("cyclesoftware", "sales_orders", key)
    window = {"modified_start": "2026-10-01 13:00:00", "modified_end": "2026-10-01 15:00:00"}
    assert (await caller.call("cyclesoftware", SALES, window)).json()["data"] == []
    shown = (await caller.call("cyclesoftware", SALES, {**window, "include_deleted": "1"})).json()["data"]
    (deleted,) = caller.sandbox.deleted_sales_orders()
    assert (deleted["sales_order_id"], deleted["status_text"]) == (key, "cancelled")
    assert shown == deleted["order_items"] == [{**item, "status_text": "cancelled"} for item in order["order_items"]]
    assert key not in {row["sales_order_id"] for row in caller.sandbox.truth("cyclesoftware", "sales_orders")}


async def test_limit_headers_stand_on_limited_endpoints_only(caller: Caller) -> None:
    limited = await caller.call("cyclesoftware", CUSTOMERS)
    assert limited.headers["X-RateLimit-Minutely-Remaining"] == "359"
    assert limited.headers["X-RateLimit-Daily-Remaining"] == "14999"
    assert limited.headers["X-RateLimit-Daily-Reset"] == "1790892000"  # 2026-10-02 00:00 in Amsterdam
    assert "X-RateLimit-Daily-Limit" not in (await caller.call("cyclesoftware", KEYS)).headers


async def test_answers_are_gzipped_where_that_is_accepted(caller: Caller) -> None:
    packed = await caller.call("cyclesoftware", CUSTOMERS)
    plain = await caller.call("cyclesoftware", CUSTOMERS, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.body == plain.body


async def test_the_moving_minute_and_the_day_are_enforced() -> None:
    async with calling(limits=Limits(per_minute=3, per_day=5)) as caller:

        async def statuses(count: int) -> list[int]:
            return [(await caller.call("cyclesoftware", CUSTOMERS)).status for _ in range(count)]

        assert await statuses(2) == [200, 200]
        caller.clock.pass_s(40)
        assert await statuses(2) == [200, 429]
        caller.clock.pass_s(20)  # the first two leave the minute, the third does not
        assert await statuses(3) == [200, 200, 429]
        caller.clock.pass_s(3_600)
        assert await statuses(1) == [429]  # the day is spent
        caller.clock.pass_s(12 * 3_600)
        assert await statuses(1) == [200]


# Cyclis


async def test_cyclis_samples_come_back(caller: Caller) -> None:
    for stream in ("orders", "cyclists", "dealers"):
        reply = (await caller.call("cyclis", f"/{stream}")).json()
        assert SAMPLES["cyclis"][stream][0] in reply["data"]
        assert reply["data"] == caller.sandbox.truth("cyclis", stream)
        assert set(reply) == {"data"}


@pytest.mark.parametrize("since", ["2026-10-01", "2026-10-01T11:59:59", "2026-10-01T12:00:00Z"])
async def test_updated_since_takes_dates_and_date_times(caller: Caller, since: str) -> None:
    order = caller.sandbox.truth("cyclis", "orders")[5]
    caller.sandbox.put("cyclis", "orders", order)
    assert (await caller.call("cyclis", "/orders", {"updated_since": since})).json()["data"] == [order]


async def test_cyclis_filters(caller: Caller) -> None:
    cyclist = caller.sandbox.truth("cyclis", "cyclists")[3]
    company_id = cyclist["relationships"]["company"]["data"]["id"]
    email = cyclist["attributes"]["email"].upper()
    assert cyclist in (await caller.call("cyclis", "/cyclists", {"filter[email]": email})).json()["data"]
    of_company = (await caller.call("cyclis", "/orders", {"company_id": company_id})).json()["data"]
    assert of_company
    assert {order["relationships"]["company"]["data"]["id"] for order in of_company} == {company_id}
    of_cyclist = (await caller.call("cyclis", "/orders", {"cyclist_id": cyclist["id"]})).json()["data"]
    assert all(order["relationships"]["cyclist"]["data"]["id"] == cyclist["id"] for order in of_cyclist)


async def test_a_revoked_company_takes_its_orders_along_without_an_update(caller: Caller) -> None:
    before = {stream: caller.sandbox.truth("cyclis", stream) for stream in ("orders", "cyclists", "companies")}
    company_id = before["companies"][2]["id"]
    caller.sandbox.revoke_company(company_id)
    for stream, records in before.items():
        sent = (await caller.call("cyclis", f"/{stream}")).json()["data"]
        assert sent == caller.sandbox.truth("cyclis", stream)
        assert 0 < len(sent) < len(records)
    caller.sandbox.grant_company(company_id)
    assert (await caller.call("cyclis", "/orders", {"updated_since": "2026-09-30"})).json()["data"] == []
    assert caller.sandbox.truth("cyclis", "orders") == before["orders"]


# Autengo


async def test_autengo_samples_come_back(caller: Caller) -> None:
    assert (await caller.call("autengo", "/vehicle/AIQWXW")).json() == {"vehicle": SAMPLES["autengo"]["vehicles"][0]}
    contact = SAMPLES["autengo"]["contacts"][0]
    for path in ("/contact/123", "/contact/tecfactura/D123456789"):
        assert (await caller.call("autengo", path)).json()["data"]["contact"] == contact
    makes = (await caller.call("autengo", "/vehicle/reference/make")).json()
    assert makes["list"][0] == {"makeId": 190, "makeName": "Audi"}
    models = (await caller.call("autengo", "/vehicle/reference/make/190/model")).json()
    assert {"modelId": 3813, "modelName": "A4"} in models["list"]
    for path in ("/vehicle/NONE00", "/contact/999999", "/contact/tecfactura/X"):
        assert (await caller.call("autengo", path)).status == 404


async def test_vehicles_are_paged_and_a_limit_is_clamped_silently(caller: Caller) -> None:
    page = (await caller.call("autengo", VEHICLES)).json()
    assert (page["limit"], page["offset"], page["total"], len(page["list"])) == (25, 0, 150, 25)
    page = (await caller.call("autengo", VEHICLES, {"limit": 1000, "offset": 100})).json()
    assert (page["limit"], len(page["list"])) == (100, 50)


async def test_vehicles_are_newest_first_unless_ordered(caller: Caller) -> None:
    created = [row["created"] for row in (await caller.call("autengo", VEHICLES)).json()["list"]]
    assert created == sorted(created, reverse=True)
    order = {"order[field]": "updated", "order[dir]": "asc", "limit": 100}
    updated = [row["updated"] for row in (await caller.call("autengo", VEHICLES, order)).json()["list"]]
    assert updated == sorted(updated)
    assert max(updated.count(at) for at in updated) > 30
    assert (await caller.call("autengo", VEHICLES, {"order[field]": "updated"})).status == 400


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"and[makeName]": "Ford"}, lambda row: row["makeName"] == "Ford"),
        ({"and[vehicleState]": "inventory"}, lambda row: row["vehicleState"]["key"] == "inventory"),
        ({"and[colorId][]": ["4", "7"]}, lambda row: row["colorId"]["key"] in {4, 7}),
        ({"and[kilometers][]": [">=|25000", "<=|90000"]}, lambda row: 25_000 <= row["kilometers"] <= 90_000),
        (
            {"and[kilometers][0]": ">|25000", "and[kilometers][1]": "<|90000"},
            lambda row: 25_000 < row["kilometers"] < 90_000,
        ),
        ({"and[isDamaged]": "true"}, lambda row: row["isDamaged"]),
        ({"and[fuelType]": "<>|diesel"}, lambda row: row["fuelType"]["key"] != "diesel"),
        ({"and[updated]": ">=|2026-04-01 00:00:00"}, lambda row: row["updated"] >= "2026-04-01"),
        ({"or[makeName]": "Ford", "or[doorCount]": "99"}, lambda row: row["makeName"] == "Ford"),
        ({"search": "xdrive"}, lambda row: row["modelVersion"] == "xDrive"),
    ],
)
async def test_vehicles_are_filtered(caller: Caller, query: dict[str, Any], fits: Any) -> None:
    reply = await caller.call("autengo", VEHICLES, {**query, "limit": 100})
    wanted = {row["sellingId"] for row in caller.sandbox.truth("autengo", "vehicles") if fits(row)}
    assert reply.json()["total"] == len(wanted) > 0
    assert {row["sellingId"] for row in reply.json()["list"]} <= wanted


async def test_the_language_changes_texts_only(caller: Caller) -> None:
    german = (await caller.call("autengo", "/vehicle/AIQWXW")).json()["vehicle"]
    english = (await caller.call("autengo", "/vehicle/AIQWXW", headers={"Accept-Language": "en"})).json()["vehicle"]
    assert german["driveType"] == {"key": "rear", "text": "Heckantrieb"}
    assert english["driveType"] == {"key": "rear", "text": "Rear"}
    assert {**german, **{field: 0 for field, value in german.items() if isinstance(value, dict)}} == {
        **english,
        **{field: 0 for field, value in english.items() if isinstance(value, dict)},
    }


@pytest.mark.parametrize(
    ("name", "scheme"), [("X-Authorization", "Bearer"), ("Authorization", "JWT"), ("Authorization", "Bearer")]
)
async def test_tokens_travel_in_either_header_and_live_a_day(caller: Caller, name: str, scheme: str) -> None:
    token = (await caller.login("autengo")).json()
    assert (token["expires_in"], token["token_type"], token["scope"]) == (86_400, "Bearer", "AutengoApiV3")
    headers = {"X-Api-Key": str(CREDENTIALS["autengo"]["api_key"]), name: f"{scheme} {token['token']}"}
    url = f"{caller.address.base_url('autengo')}/vehicle/reference/make"
    assert (await caller.raw("GET", url, headers=headers)).status == 200
    caller.clock.pass_s(86_400)
    assert (await caller.raw("GET", url, headers=headers)).status == 401


# GHS


async def test_ghs_messages_ride_on_every_answer(caller: Caller) -> None:
    for path in ("/api/account", "/api/orders", "/api/products/nope"):
        reply = (await caller.call("ghs", path)).json()
        assert reply["urgentMessages"] == caller.sandbox.truth("ghs", "urgent_messages")
    assert caller.sandbox.truth("ghs", "urgent_messages")[0] == SAMPLES["ghs"]["urgent_messages"][0]


async def test_ghs_sessions_travel_unquoted_and_end_after_twenty_idle_minutes(caller: Caller) -> None:
    login = await caller.login("ghs")
    session_id = login.json()["sessionId"]
    assert "/" in session_id
    assert "+" in session_id
    assert f"ss-id={session_id}; path=/; HttpOnly" in login.headers.getall("Set-Cookie")
    url = f"{caller.address.base_url('ghs')}/api/account"
    assert (await caller.raw("GET", url, headers={"Cookie": f'ss-id="{session_id}"'})).status == 401
    assert (await caller.raw("GET", url, headers={"Cookie": f"a=b; ss-id={session_id}"})).status == 200
    caller.clock.pass_s(15 * 60)
    renewed = await caller.raw("GET", url, headers={"Cookie": f"ss-id={session_id}"})
    assert renewed.headers["Set-Cookie"].startswith("ss-id=")
    caller.clock.pass_s(20 * 60)
    reply = await caller.raw("GET", url, headers={"Cookie": f"ss-id={session_id}"})
    assert reply.status == 401
    assert reply.json()["responseStatus"]["errorCode"]


async def test_ghs_products_by_id_ean_and_search_term(caller: Caller) -> None:
    product = caller.sandbox.truth("ghs", "products")[1]
    assert len(product["id"]) == 9
    assert product["id"].startswith("00")
    assert (await caller.call("ghs", f"/api/products/{product['id']}")).json()["product"] == product
    codes = product["tecDoc"]["eanNumbers"]
    query = {"eanCodes": ",".join(codes), "withoutRouteInfo": "true"}
    assert (await caller.call("ghs", "/api/products", query)).json()["products"] == [product]
    found = (await caller.call("ghs", "/api/products", {"searchTerm": "bosch"})).json()
    assert found["totalResults"] == len(found["products"]) > 1
    assert len((await caller.call("ghs", "/api/products", {"searchTerm": "e"})).json()["products"]) == 25
    assert (await caller.call("ghs", "/api/products/000000000")).status == 404
    assert b"invalid-productid" in (await caller.call("ghs", "/api/products/1")).body


async def test_ghs_refuses_a_search_that_finds_too_much() -> None:
    async with calling(products=220) as caller:
        reply = await caller.call("ghs", "/api/products", {"searchTerm": "e"})
        assert reply.status == 400
        assert reply.json()["responseStatus"]["errorCode"] == "too-many-results-refine-the-search"


async def test_ghs_orders_need_skip_and_take_and_come_newest_first(caller: Caller) -> None:
    assert (await caller.call("ghs", "/api/orders", {"take": 5})).status == 400
    first = (await caller.call("ghs", "/api/orders", {"skip": 0, "take": 5})).json()
    assert first["totalResults"] == 60
    second = (await caller.call("ghs", "/api/orders", {"skip": 5, "take": 5})).json()
    dates = [int(order["orderDate"][6:].split("-")[0]) for order in first["orders"] + second["orders"]]
    assert dates == sorted(dates, reverse=True)
    caller.sandbox.evolve(1)
    third = (await caller.call("ghs", "/api/orders", {"skip": 0, "take": 1})).json()
    assert third["orders"] != first["orders"][:1]


async def test_ghs_account_is_one_record(caller: Caller) -> None:
    account = caller.sandbox.truth("ghs", "account")
    body = (await caller.call("ghs", "/api/account")).json()
    assert account == [
        {name: value for name, value in body.items() if name not in {"responseStatus", "urgentMessages"}}
    ]


# All


@pytest.mark.parametrize("api", ["cyclesoftware", "cyclis", "autengo", "ghs"])
async def test_wrong_credentials_get_401(caller: Caller, api: str) -> None:
    path = {"cyclesoftware": CUSTOMERS, "cyclis": "/orders", "autengo": VEHICLES, "ghs": "/api/account"}[api]
    headers = {
        "Authorization": "Basic d3Jvbmc6d3Jvbmc=",
        "API-TOKEN": "wrong",
        "X-Api-Key": "wrong",
        "Cookie": "ss-id=x",
    }
    reply = await caller.raw("GET", caller.address.base_url(api) + path, headers=headers)
    assert reply.status == 401
    body = reply.json()
    assert body.get("error") or body.get("statusText") or body["responseStatus"]["errorCode"]


@pytest.mark.parametrize(
    ("api", "wrong"), [("autengo", {"dealer_alzura_id": 1}), ("ghs", {"password": "x"}), ("ghs", {"api_key": "x"})]
)
async def test_wrong_logins_get_401(caller: Caller, api: str, wrong: dict[str, Any]) -> None:
    assert (await caller.login(api, **wrong)).status == 401


async def test_the_log_holds_no_credentials(caller: Caller) -> None:
    for api, path in (
        ("cyclesoftware", CUSTOMERS),
        ("cyclis", "/orders"),
        ("autengo", VEHICLES),
        ("ghs", "/api/account"),
    ):
        await caller.call(api, path)
    log = repr(caller.sandbox.requests)
    for account in CREDENTIALS.values():
        assert not [value for value in account.values() if str(value) != "garage" and str(value) in log]
    assert [entry.stream for entry in caller.sandbox.requests] == [
        "customers",
        "orders",
        "auth",
        "vehicles",
        "auth",
        "account",
    ]

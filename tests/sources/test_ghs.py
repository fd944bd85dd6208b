"""What the GHS source makes of samples, odd values, its session, and lists that move while they are walked."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.config import Secret
from syncd.contract import Answer, Table
from syncd.errors import BadCredentials, BadPayload, BadRequest, Unreachable
from syncd.records.parser import Parser
from syncd.records.rows import Row
from syncd.sandbox.world import samples
from syncd.sources.ghs import SOURCE
from syncd.sources.ghs.api import fault_of
from tests.support.bench import Bench, MakeBench

UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
VENDORS_EXAMPLE_AT = datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)  # 1400000000000 on its page
BEFORE_EPOCH = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
UNSET = "/Date(-62135596800000)/"


def table(name: str) -> Table:
    return SOURCE.stream(name).table


def parsed(name: str, record: dict[str, Any]) -> Row:
    row = Parser(table(name), UTC_ZONE).parse(json.dumps(record).encode())
    assert isinstance(row, Row), row
    return row


def values(name: str, row: Row) -> dict[str, Any]:
    return dict(zip((each.name for each in table(name).columns), row.values, strict=True))


# --- Samples: the one that the vendor documents, and one of each stream with every field that is known (FACTS) --------


def test_urgent_message_sample() -> None:
    [sample] = samples("syncd.sandbox.apis.ghs")["urgent_messages"]
    row = parsed("urgent_messages", sample)
    assert row.extra is None
    assert values("urgent_messages", row) == {
        "id": 1,
        "start_date": datetime(2014, 6, 27, 7, 23, tzinfo=UTC),
        "level": "Error",
        "title": "Problemen bij TecDoc",
        "message": "Beste klant, <br>TecDoc Heeft momenteel een technische storing. Onze excuses voor de overlast.",
    }


PRODUCT: dict[str, Any] = {
    "id": "001200037",
    "articleDataId": 4711,
    "alfaCode": "BREM",
    "articleNo": "0 986 494 001",
    "name": "Remblokkenset",
    "commercialName": None,
    "description": "Vooras",
    "shortDescription": "Remblok",
    "longDescription": "<p>Remblok</p>",
    "brandName": "Brembo",
    "brandId": "065",
    "productGroup": "Remblokken",
    "productGroupId": "0402",
    "boschProductGroupId": "B12",
    "requiresLegitimation": False,
    "isGaik": True,
    "isNotRetourable": False,
    "isFGas": False,
    "canBackorder": True,
    "nettoPrice": 23.45,
    "brutoPrice": 38.5,
    "isLeadSurcharge": False,
    "leadSurcharge": 0,
    "isDisposalFee": True,
    "disposalFee": 0.15,
    "priceLabel": "per set",
    "unitsPerSale": 1,
    "quantityLinkedWarehouse": 2,
    "quantityAllWarehouses": 40,
    "depositFee": 12.0,
    "environmentalTax": 0.05,
    "removalFee": 1.1,
    "hasCharacteristic": True,
    "countryCode": "NL",
    "availableLinkedWarehouse": True,
    "availableNextRoute": False,
    "routeExpiryDate": "/Date(1436853600000-0000)/",
    "isNextRoute": False,
    "isVheckRoute": True,
    "isInPromotion": False,
    "isNettoPriceProvided": True,
    "isRouteInfoProvided": False,
    "isKnownProduct": True,
    "relevance": 0.875,
    "brandLabel": "A",
    "sortOrder": 3,
    "origins": ["TecDoc"],
    "hasSetParts": False,
    "isRentalProduct": False,
    "isLeisureProduct": False,
    "hasCompatibleCars": True,
    "hbase": None,
    "heijl": {"code": "7"},
    "tecDoc": {"articleId": 12},
}


def test_product_with_every_known_field() -> None:
    row = parsed("products", PRODUCT)
    assert row.extra is None
    assert not row.absent
    assert values("products", row) == {
        "id": "001200037",
        "article_data_id": 4711,
        "alfa_code": "BREM",
        "article_no": "0 986 494 001",
        "name": "Remblokkenset",
        "commercial_name": None,
        "description": "Vooras",
        "short_description": "Remblok",
        "long_description": "<p>Remblok</p>",
        "brand_name": "Brembo",
        "brand_id": "065",
        "product_group": "Remblokken",
        "product_group_id": "0402",
        "bosch_product_group_id": "B12",
        "requires_legitimation": False,
        "is_gaik": True,
        "is_not_retourable": False,
        "is_f_gas": False,
        "can_backorder": True,
        "netto_price": Decimal("23.45"),
        "bruto_price": Decimal("38.5"),
        "is_lead_surcharge": False,
        "lead_surcharge": Decimal(0),
        "is_disposal_fee": True,
        "disposal_fee": Decimal("0.15"),
        "price_label": "per set",
        "units_per_sale": Decimal(1),
        "quantity_linked_warehouse": Decimal(2),
        "quantity_all_warehouses": Decimal(40),
        "deposit_fee": Decimal(12),
        "environmental_tax": Decimal("0.05"),
        "removal_fee": Decimal("1.1"),
        "has_characteristic": True,
        "country_code": "NL",
        "available_linked_warehouse": True,
        "available_next_route": False,
        "route_expiry_date": datetime(2015, 7, 14, 6, 0, tzinfo=UTC),  # 08:00 in the vendor's example of routes
        "is_next_route": False,
        "is_vheck_route": True,
        "is_in_promotion": False,
        "is_netto_price_provided": True,
        "is_route_info_provided": False,
        "is_known_product": True,
        "relevance": Decimal("0.875"),
        "brand_label": "A",
        "sort_order": 3,
        "origins": '["TecDoc"]',
        "has_set_parts": False,
        "is_rental_product": False,
        "is_leisure_product": False,
        "has_compatible_cars": True,
        "hbase": None,
        "heijl": '{"code": "7"}',
        "tec_doc": '{"articleId": 12}',
    }


def test_order_and_account() -> None:
    order = {
        "orderId": "088040000",
        "externalOrderId": "32-HL-BK",
        "deliveryRoute": "R24572180800",
        "items": [{"productId": "001200037", "productName": "Remblok", "quantity": 2}],
        "status": "Besteld",
    }
    row = parsed("orders", order)
    assert json.loads(row.extra or "") == {"status": "Besteld"}
    assert values("orders", row) == {
        "order_id": "088040000",
        "external_order_id": "32-HL-BK",
        "delivery_route": "R24572180800",
        "items": '[{"productId": "001200037", "productName": "Remblok", "quantity": 2}]',
    }
    account = {
        "userId": "0012345",
        "displayName": "Garage Jansen",
        "email": "inkoop@example.com",
        "address": {"city": "Hoensbroek"},
        "customerGroup": "B2B",
        "linkedWarehouse": {"id": "01", "region": "Limburg", "name": "HOOFDMAGAZIJN"},
        "pickupWarehouse": {"id": "02"},
    }
    row = parsed("account", account)
    assert json.loads(row.extra or "") == {"linkedWarehouse": {"name": "HOOFDMAGAZIJN"}}
    assert row.absent == {"pickup_warehouse_region"}
    assert values("account", row) == {
        "user_id": "0012345",
        "display_name": "Garage Jansen",
        "email": "inkoop@example.com",
        "address": '{"city": "Hoensbroek"}',
        "customer_group": "B2B",
        "linked_warehouse_id": "01",
        "linked_warehouse_region": "Limburg",
        "pickup_warehouse_id": "02",
        "pickup_warehouse_region": None,
    }


# --- Odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "sent", "column", "expected", "kept"),
    [
        ("routeExpiryDate", UNSET, "route_expiry_date", None, True),
        ("routeExpiryDate", "/Date(1400000000000)/", "route_expiry_date", VENDORS_EXAMPLE_AT, False),
        ("routeExpiryDate", "/Date(0+0200)/", "route_expiry_date", datetime(1970, 1, 1, tzinfo=UTC), False),
        ("routeExpiryDate", "/Date(-1000)/", "route_expiry_date", BEFORE_EPOCH, False),
        ("routeExpiryDate", "/Date(99999999999999999)/", "route_expiry_date", None, True),
        ("nettoPrice", "NaN", "netto_price", None, True),
        ("nettoPrice", None, "netto_price", None, False),
        ("brandId", 65, "brand_id", "65", True),
        ("quantityLinkedWarehouse", 0.5, "quantity_linked_warehouse", Decimal("0.5"), False),
        ("isGaik", "NO", "is_gaik", False, True),
        ("origins", "array", "origins", '"array"', False),
        ("productKind", {"a": 1}, "name", "Remblokkenset", True),
    ],
)  # fmt: skip
def test_odd_value_of_a_product(field: str, sent: Any, column: str, expected: Any, kept: bool) -> None:
    row = parsed("products", {**PRODUCT, field: sent})
    assert values("products", row)[column] == expected
    assert (json.loads(row.extra or "{}").get(field) == sent and sent is not None) is kept


def answer(body: Any, status: int = 200) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={}, body=text, sent_at=NOW, served_at=None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"responseStatus": {}, "orders": []}, None),
        (200, {"responseStatus": None}, None),
        (200, {"responseStatus": {"errorCode": "cart-is-locked", "message": "locked"}}, "cart-is-locked: locked"),
        (200, {"responseStatus": {"errorCode": "", "message": "fine"}}, None),
        (200, {"message": "a product's own text"}, None),
        (200, b"<html>", None),
        (205, b"", None),
        (400, {"responseStatus": {"errorCode": "not-found", "message": "not-found"}}, "not-found"),
        (400, {"message": "invalid-productid"}, "invalid-productid"),
        (400, b"too-many-results-refine-the-search", "too-many-results-refine-the-search"),
        (401, b'"broken-session"\r\n', "broken-session"),
        (400, b"required-length-for-{0}-is-{1}", "required-length-for-{0}-is-{1}"),
        (500, b"<html><body>Runtime Error</body></html>", None),
        (500, {"responseStatus": {"errorCode": "E", "message": "x" * 900}}, "E: " + "x" * 197),
    ],
)
def test_fault_of(status: int, body: Any, expected: str | None) -> None:
    assert fault_of(answer(body, status)) == expected


# --- The session ------------------------------------------------------------------------------------------------------


class Sent:
    """The other end of a login: gives one answer and keeps what was sent."""

    def __init__(self, reply: Answer | Exception) -> None:
        self.reply = reply
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, method: str, path: str, *, headers: Any = None, json: Any = None) -> Answer:
        self.sent.append((method, path, dict(headers or {}), json))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


OPTIONS = {"api_key": Secret("k3y"), "username": "garage", "password": Secret("pöss")}
LOGIN = {"sessionId": "P7/JJm75PKnIDw+THfzS", "authToken": "5e6d", "userName": "garage", "responseStatus": {}}


async def test_session_is_opened_signed_rotated_and_lost() -> None:
    auth, send = SOURCE.auth(OPTIONS), Sent(answer(LOGIN))
    assert auth.due(NOW)
    assert auth.headers() == {}
    await auth.login(send, NOW)
    body = {"UserName": "garage", "Password": "pöss", "RememberMe": False}
    assert send.sent == [("POST", "/api/auth/credentials", {"X-ApiKey": "k3y"}, body)]
    assert auth.headers() == {"Cookie": "ss-id=P7/JJm75PKnIDw+THfzS"}
    auth.received(answer({}), {"ss-id": "a/b+c=", "ss-pid": "p/q"}, NOW + timedelta(minutes=5))
    assert auth.headers() == {"Cookie": "ss-id=a/b+c=; ss-pid=p/q"}
    assert not auth.due(NOW + timedelta(minutes=23))
    assert auth.due(NOW + timedelta(minutes=25))
    assert auth.refused()
    assert auth.due(NOW + timedelta(minutes=6))
    assert auth.headers() == {}
    auth.received(answer({}, 401), {"ss-id": "nobody"}, NOW)
    assert auth.due(NOW), "the id of a stranger's session is no login"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"responseStatus": {}}),
        answer({"sessionId": "", "responseStatus": {}}),
        answer({**LOGIN, "responseStatus": {"errorCode": "auth-invalid-username-password"}}),
        BadPayload("login answered 200 with an error inside: auth-invalid-username-password", status=200),
    ],
)
async def test_login_200_without_a_session_is_bad_credentials(reply: Answer | Exception) -> None:
    auth = SOURCE.auth(OPTIONS)
    with pytest.raises(BadCredentials) as caught:
        await auth.login(Sent(reply), NOW)
    assert auth.due(NOW)
    assert "5e6d" not in str(caught.value)


async def test_login_that_is_no_json_is_an_outage() -> None:
    with pytest.raises(BadPayload):
        await SOURCE.auth(OPTIONS).login(Sent(answer(b"<html>")), NOW)
    with pytest.raises(Unreachable):
        await SOURCE.auth(OPTIONS).login(Sent(Unreachable("down")), NOW)


# --- Walks against the sandbox ----------------------------------------------------------------------------------------


async def assert_mirrors(bench: Bench, stream: str, truth: list[dict[str, Any]]) -> None:
    """Assert that the live rows of the stream are exactly these records, field by field."""
    parser = Parser(table(stream), UTC_ZONE)
    jsons = {each.name for each in table(stream).columns if each.kind == "jsonb"}
    expected, found = {}, {}
    for record in truth:
        row = parser.parse(json.dumps(record).encode())
        assert isinstance(row, Row)
        expected[row.key] = readable(dict(zip(parser.names, row.values, strict=True)), row.extra, jsons)
    for mirrored in await bench.rows(f"ghs.{stream}"):
        key = tuple(mirrored[name] for name in table(stream).key)
        found[key] = readable({name: mirrored[name] for name in parser.names}, mirrored["_extra"], jsons)
    assert found.keys() == expected.keys()
    assert [key for key, content in expected.items() if found[key] != content] == []


def readable(row: dict[str, Any], extra: str | None, jsons: set[str]) -> dict[str, Any]:
    """Return a row with its jsonb read, so that blanks do not count."""
    read = {name: json.loads(row[name]) for name in jsons if row[name] is not None}
    return {**row, **read, "_extra": json.loads(extra or "null")}


async def synced(bench: Bench, stream: str, kind: Any = "live", **order: Any) -> Any:
    result = await bench.sync(f"parts.{stream}", kind, **order)
    assert result.outcome == "ok", result.error
    return result


def found_by(bench: Bench) -> list[dict[str, Any]]:
    """Return the products that the configured keys find."""
    keys = bench.sandbox.lookups["products"]

    def fits(record: dict[str, Any]) -> bool:
        texts = [record[name] or "" for name in ("name", "articleNo", "brandName", "description", "id")]
        terms = [term.lower() for term in keys["search_terms"]]
        return (
            record["id"] in keys["ids"]
            or bool({*record["tecDoc"]["eanNumbers"]} & {*keys["ean_codes"]})
            or any(term in text.lower() for term in terms for text in texts)
        )

    return [record for record in bench.sandbox.truth("ghs", "products") if fits(record)]


async def test_products_by_id_ean_and_term(bench: Bench) -> None:
    await synced(bench, "products")
    await assert_mirrors(bench, "products", found_by(bench))
    queries = [entry.query for entry in bench.sandbox.requests if entry.stream == "products"]
    assert all(query["withoutRouteInfo"] == "true" for query in queries)
    assert {query["take"] for query in queries if "searchTerm" in query} == {"25"}


async def test_unknown_product_is_buried_by_its_id_only(bench: Bench) -> None:
    await synced(bench, "products")
    keys = bench.sandbox.lookups["products"]
    by_ean = next(
        record["id"]
        for record in bench.sandbox.truth("ghs", "products")
        if record["tecDoc"]["eanNumbers"][0] in keys["ean_codes"]
    )
    bench.sandbox.delete("ghs", "products", keys["ids"][0])
    bench.sandbox.delete("ghs", "products", by_ean)
    assert (await synced(bench, "products")).counts.deleted == 1
    [buried] = await bench.rows("ghs.products", "_deleted_at IS NOT NULL")
    assert buried["id"] == keys["ids"][0]


async def test_refused_keys_cost_no_other(make_bench: MakeBench) -> None:
    bench = await make_bench(products=600)
    lookup: Any = bench.config.sources["parts"].streams["products"].lookup
    lookup["ids"] = ("123", *lookup["ids"])
    lookup["search_terms"] = (*lookup["search_terms"], "e")
    result = await bench.sync("parts.products")
    assert isinstance(result.error, BadRequest)
    assert "2 of " in str(result.error)
    assert "9 characters" in result.error.hint
    await assert_mirrors(bench, "products", found_by(bench))
    lookup["ids"] = lookup["ids"][1:]
    result = await bench.sync("parts.products")
    assert result.error
    assert "refine the search term 'e'" in result.error.hint


async def test_orders_first_pass_window_and_sweep(make_bench: MakeBench) -> None:
    bench = await make_bench(orders=730)
    await synced(bench, "orders")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))
    bench.time.pass_by(minutes=5)
    result = await synced(bench, "orders")
    assert result.spent.requests == 2
    assert result.counts.inserted == result.counts.updated == 0
    bench.sandbox.evolve(3)
    await synced(bench, "orders")
    await synced(bench, "orders", "sweep")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))


async def test_orders_live_pass_reaches_back_to_the_last_one(make_bench: MakeBench) -> None:
    bench = await make_bench(orders=350)
    await synced(bench, "orders")
    known = len(bench.sandbox.truth("ghs", "orders"))
    for _ in range(260):
        bench.sandbox.put("ghs", "orders", bench.sandbox.world.fresh("ghs", "orders"))
    bench.time.pass_by(minutes=5)
    result = await synced(bench, "orders")
    assert result.counts.inserted == 260
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))
    assert len(bench.sandbox.truth("ghs", "orders")) == known + 260


async def test_account_and_messages(bench: Bench) -> None:
    await synced(bench, "account")
    for stream in ("account", "urgent_messages"):  # the messages ride along
        await assert_mirrors(bench, stream, bench.sandbox.truth("ghs", stream))
    for message in bench.sandbox.truth("ghs", "urgent_messages"):
        bench.sandbox.delete("ghs", "urgent_messages", message["id"])
    await synced(bench, "account")
    assert await bench.rows("ghs.urgent_messages")
    await synced(bench, "urgent_messages")
    assert await bench.rows("ghs.urgent_messages") == []


async def test_session_lives_through_rotation_and_idleness(bench: Bench) -> None:
    for minutes in (0, 11, 11, 25, 120):
        bench.time.pass_by(minutes=minutes)
        await synced(bench, "account")
    await synced(bench, "orders")
    logins = [entry.status for entry in bench.sandbox.requests if entry.stream == "auth"]
    assert logins == [200, 200, 200]
    assert 401 not in {entry.status for entry in bench.sandbox.requests}


async def test_login_that_carries_an_error(bench: Bench) -> None:
    bench.sandbox.faults.add("login-error-200", api="ghs")
    result = await bench.sync("parts.account")
    assert isinstance(result.error, BadCredentials)
    assert "auth-invalid-username-password" in str(result.error)


async def test_secrets_are_nowhere(bench: Bench) -> None:
    for stream in SOURCE.names:
        await synced(bench, stream)
    for name in SOURCE.names:
        for row in await bench.fetch(f"SELECT t::text FROM ghs.{name} t"):
            assert "authToken" not in row[0]
            assert "sessionId" not in row[0]
    rows = await bench.fetch("SELECT c::text FROM syncd.cursors c UNION ALL SELECT r::text FROM syncd.runs r")
    assert not [row for row in rows if "ss-id" in row[0]]


PAGING = (
    "auth-expired",
    "broken-session",
    "clamped-limit",
    "count-disagrees",
    "empty-list",
    "empty-page-with-next",
    "error-in-200",
    "expired-session-empty-list",
    "ignored-offset",
    "missing-list",
    "reset-205",
    "rotate-cookie",
    "row-deleted-ahead",
    "row-inserted-ahead",
    "row-vanishes",
    "total-changes",
)


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("fault", PAGING)
async def test_live_passes_lose_nothing_to(make_bench: MakeBench, fault: str, times: int | None) -> None:
    """Whatever happens to the list, live passes alone bring every order once the fault is over."""
    bench = await make_bench(orders=350)
    bench.sandbox.faults.add(fault, api="ghs", stream="orders", times=times)
    for _ in range(3):
        await bench.sync("parts.orders")
        bench.sandbox.put("ghs", "orders", bench.sandbox.world.fresh("ghs", "orders"))
        bench.time.pass_by(minutes=5)
    assert bench.sandbox.faults.hits(fault)
    bench.sandbox.faults.clear()
    await synced(bench, "orders")
    truth = bench.sandbox.truth("ghs", "orders")
    keys = {record["orderId"] for record in truth}
    lost = [row["order_id"] for row in await bench.rows("ghs.orders") if row["order_id"] not in keys]
    await bench.fetch("UPDATE ghs.orders SET _deleted_at = now() WHERE order_id = ANY($1)", lost)
    await assert_mirrors(bench, "orders", truth)


@pytest.mark.parametrize("fault", [fault for fault in PAGING if fault != "row-vanishes"])
async def test_sweeps_bury_nothing_alive_under(make_bench: MakeBench, fault: str) -> None:
    """Whatever happens, no living order is buried, and one clean sweep later the mirror is right."""
    bench = await make_bench(orders=350)
    await synced(bench, "orders")
    bench.sandbox.faults.add(fault, api="ghs", stream="orders", after=1)
    for _ in range(2):
        bench.sandbox.evolve(2)
        bench.time.pass_by(days=1)
        await bench.sync("parts.orders", "sweep")
    alive = {record["orderId"] for record in bench.sandbox.truth("ghs", "orders")}
    buried = await bench.rows("ghs.orders", "_deleted_at IS NOT NULL")
    assert not [row for row in buried if row["order_id"] in alive]
    bench.sandbox.faults.clear()
    await synced(bench, "orders")
    await synced(bench, "orders", "sweep")
    await assert_mirrors(bench, "orders", bench.sandbox.truth("ghs", "orders"))


@pytest.mark.parametrize("fault", ["expired-session-empty-list", "shuffled-order", "clamped-limit", "rotate-cookie"])
async def test_products_survive(bench: Bench, fault: str) -> None:
    bench.sandbox.faults.add(fault, api="ghs", stream="products", times=3)
    await bench.sync("parts.products")
    bench.sandbox.faults.clear()
    await synced(bench, "products")
    await assert_mirrors(bench, "products", found_by(bench))

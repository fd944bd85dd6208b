"""What the Autengo source makes of the vendor's samples, of odd values and of a list that moves while it is walked."""

import json
from datetime import UTC, date, datetime, timedelta
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
from syncd.sources.autengo import SOURCE
from syncd.sources.autengo.api import fault_of
from tests.support.bench import Bench, MakeBench

ZONE = ZoneInfo("Europe/Berlin")
SAMPLES = samples("syncd.sandbox.apis.autengo")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def table(name: str) -> Table:
    return SOURCE.stream(name).table


def parsed(name: str, record: dict[str, Any]) -> Row:
    row = Parser(table(name), ZONE).parse(json.dumps(record).encode())
    assert isinstance(row, Row), row
    return row


def values(name: str, row: Row) -> dict[str, Any]:
    return dict(zip((each.name for each in table(name).columns), row.values, strict=True))


# --- The vendor's samples ---------------------------------------------------------------------------------------------

VEHICLE: dict[str, Any] = {
    "selling_id": "AIQWXW",
    "internal_id": "MY-CUSTOM-ID",
    "branch_id": 12345,
    "make_name": "Ford",
    "model_name": "Focus",
    "model_version": "GTI 1.6",
    "source_type": "leasingReturn",
    "vehicle_state": "inventory",
    "vehicle_state_text": "Im Bestand",
    "description": "New car",
    "first_registration": date(2007, 5, 19),
    "kilometers": Decimal(120000),
    "vehicle_type_id": 6,
    "vehicle_type_id_text": "Limousine",
    "climatisation_type": "automaticClimateControl",
    "climatisation_type_text": "Auto",
    "condition_type": "used",
    "condition_type_text": "Gebraucht",
    "vin": "WVWZZZ1KZCW162691",
    "power_kw": Decimal(185),
    "cubic_capacity": Decimal(999),
    "door_count": Decimal(5),
    "seat_count": Decimal(5),
    "pollution_badge": Decimal(4),
    "pollution_badge_text": "Grün",
    "emission_class": Decimal(9),
    "emission_class_text": "Euro 6d-Temp",
    "color_id": 7,
    "color_id_text": "Blau",
    "manufacturer_color_name": "blue-ish",
    "is_metallic_color": False,
    "airbag_type": "driverAirbag",
    "airbag_type_text": "Fahrerairbag",
    "interior_type": "fullLeather",
    "interior_type_text": "Vollleder",
    "interior_color_id": 3,
    "interior_color_id_text": "Beige",
    "fuel_type": "gasoline",
    "fuel_type_text": "Benzin",
    "fuel_detail_type": "diesel",
    "fuel_detail_type_text": "Diesel",
    "transmission_type": "semiAutomatic",
    "transmission_type_text": "Halbautomatik",
    "is_damaged": False,
    "had_accident_damage": False,
    "is_drivable": True,
    "next_inspection": "2017-05",
    "is_inspection_new": False,
    "last_service": "2017-05-19",
    "has_full_service_history": True,
    "tyre_type": "allSeasonTyres",
    "tyre_type_text": "Ganzjahresreifen",
    "tyre_brand": "Yamaha",
    "tyre_tread_l": "1.2",
    "tyre_tread_r": "1.2",
    "tyre_tread_bl": "1.2",
    "tyre_tread_br": "1.2",
    "warranty_expiry": date(2017, 5, 19),
    "tsn": "TSN",
    "hsn": Decimal(1234),
    "gears": Decimal(6),
    "cylinders": Decimal(6),
    "country_id": "DE",
    "delivery_date": "2017-05-19",
    "delivery_period": "TODO",
    "is_non_smoker": True,
    "particulate_filter": False,
    "is_bio_diesel_suitable": False,
    "is_vegetable_oil_suitable": False,
    "is_plugin_hybrid": False,
    "is_e10_enabled": False,
    "weight": Decimal(1232),
    "has_sparewheel": False,
    "drive_type": "rear",
    "drive_type_text": "Heckantrieb",
    "created": datetime(2018, 8, 7, 13, 47, 17, tzinfo=UTC),
    "updated": datetime(2018, 8, 7, 13, 47, 17, tzinfo=UTC),
    "previous_owner_count": Decimal(2),
    "is_warranty_granted": True,
    "is_net_price": False,
    "is_price_negotiable": False,
    "dealer_price": Decimal(13444),
    "equipment": '"array"',
    "damages": '"array"',
    "documents": '"array"',
    "ads": '"array"',
    "price_export": Decimal("3456.12"),
    "recommended_retail_price": Decimal("3456.12"),
    "price_yard": Decimal("3456.12"),
    "price_overpass": Decimal("3456.12"),
    "sliding_door": "slidingDoorBoth",
    "sliding_door_text": "Schiebetüren",
    "emissions_combined_co2_class": "A",
    "emissions_discharged_co2_class": "G",
    "co2_emission_combined": Decimal(108),
    "consumption_fuel_combined": Decimal("4.8"),
    "consumption_fuel_city": Decimal("4.5"),
    "consumption_fuel_suburban": Decimal("4.5"),
    "consumption_fuel_rural": Decimal("4.2"),
    "consumption_fuel_highway": Decimal("5.5"),
    "consumption_power_combined": Decimal("22.8"),
    "co2_emission_combined_weighted": Decimal(34),
    "consumption_fuel_combined_weighted": Decimal("4.1"),
    "consumption_power_combined_weighted": Decimal("15.5"),
    "co2_emissions_discharged": Decimal(108),
    "consumption_power_city": Decimal("22.8"),
    "consumption_power_suburban": Decimal("22.8"),
    "consumption_power_rural": Decimal("22.8"),
    "consumption_power_highway": Decimal("22.8"),
    "electric_range_plugin_hybrid": Decimal(50),
    "energie_cost_fuel_price": Decimal("1.5"),
    "energie_cost_power_price": Decimal("0.25"),
    "energie_cost_consumption_price_year": Decimal(1500),
    "energie_cost_tax": Decimal(150),
    "energie_cost_consumption_costs": Decimal(1500),
    "energie_cost_co2_costs_low": Decimal(150),
    "energie_cost_co2_costs_high": Decimal(150),
    "energie_cost_co2_costs_middle": Decimal(150),
}

CONTACT: dict[str, Any] = {
    "id": 123,
    "title": "Mr",
    "first_name": "Max",
    "last_name": "Mustermann",
    "street_address": "123 Main St",
    "zip_code": "12345",
    "city": "Anytown",
    "phone_number": "555-1234",
    "phone_number_mobile": "555-5678",
    "email": "max.mustermann@example.org",
    "fax_number": Decimal(1234567),
    "website": "https://example.org",
    "contact_source": "walkIn",
    "customer_rating": Decimal(5),
    "is_privat": False,
    "is_opt_in": False,
    "date_of_birth": date(1990, 1, 1),
    "license_plate": "B-AB 1234",
    "facebook": "https://facebook.com/example",
    "linkedin": "https://linkedin.com/in/example",
    "xing": "https://xing.com/profile/example",
    "key_account": "Key Account A",
    "phone_number_business": "555-9999",
    "phone_number_business_mobile": "555-9998",
    "fax_number_business": "555-9997",
    "contact_person_business": "Jane Doe",
    "website_business": "https://business.example.org",
    "email_business": "business@example.org",
    "ust_id": "DE123456789",
    "billing_street_address": "456 Billing St",
    "billing_zip_code": "54321",
    "billing_city": "Billingtown",
    "title_or_degree": "Dr.",
    "type": "customer",
    "position": "Manager",
    "country": "Germany",
    "billing_country": "Germany",
    "tax_id": "DE123456789",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
    "sales_tax_regulation": "withTax",
    "notes": "Important customer notes",
    "customer_number": "C-10001",
    "driver_license_number": "D1234567",
    "driver_license_issued_by": "Berlin",
    "driver_license_date_of_issue": date(2010, 5, 10),
    "tecfactura_id": "D123456789",
}


def test_vehicle_sample() -> None:
    row = parsed("vehicles", SAMPLES["vehicles"][0])
    assert values("vehicles", row) == VEHICLE
    # what is documented with another type is read, and kept as sent
    assert json.loads(row.extra or "{}") == {
        "tyreTreadL": 1.2,
        "tyreTreadR": 1.2,
        "tyreTreadBL": 1.2,
        "tyreTreadBR": 1.2,
        "isNetPrice": "NO",
        "isPriceNegotiable": "NO",
    }


def test_contact_sample() -> None:
    row = parsed("contacts", SAMPLES["contacts"][0])
    assert values("contacts", row) == CONTACT
    assert row.extra is None


def test_reference_samples() -> None:
    assert values("makes", parsed("makes", {"makeId": 190, "makeName": "Audi"})) == {
        "make_id": 190,
        "make_name": "Audi",
    }
    model = {"makeId": 190, "modelId": 3813, "modelName": "A4"}
    assert values("models", parsed("models", model)) == {"make_id": 190, "model_id": 3813, "model_name": "A4"}


# --- Odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "sent", "expected", "kept"),
    [
        ("vehicleState", "sold", {"vehicle_state": "sold", "vehicle_state_text": None}, True),  # not translated
        ("vehicleState", {"key": "scrapped", "text": "Verschrottet"}, {"vehicle_state": "scrapped"}, False),
        ("vehicleState", None, {"vehicle_state": None, "vehicle_state_text": None}, False),
        ("vehicleState", {"key": "sold", "text": "x", "id": 3}, {"vehicle_state": "sold"}, True),
        ("vehicleTypeId", {"key": "6", "text": "Limousine"}, {"vehicle_type_id": 6}, True),
        ("sourceType", {"key": "trade-in", "text": "?"}, {"source_type": None}, True),
        ("isNetPrice", "YES", {"is_net_price": True}, True),
        ("isNetPrice", "vielleicht", {"is_net_price": None}, True),
        ("equipment", ["ABS", {"code": 7}], {"equipment": '["ABS", {"code": 7}]'}, False),
        ("tyreTreadBL", "6,5 mm", {"tyre_tread_bl": "6,5 mm"}, False),
        ("firstRegistration", "0000-00-00", {"first_registration": None}, True),
        ("firstRegistration", "2017-05", {"first_registration": None}, True),
        ("updated", "0000-00-00 00:00:00", {"updated": None}, True),
        ("updated", "2026-01-05T10:00:00Z", {"updated": datetime(2026, 1, 5, 10, tzinfo=UTC)}, False),
        ("updated", "2026-10-25 02:30:00", {"updated": datetime(2026, 10, 25, 0, 30, tzinfo=UTC)}, False),
        ("updated", "2026-03-29 02:30:00", {"updated": datetime(2026, 3, 29, 1, 30, tzinfo=UTC)}, True),
        ("kilometers", 12.5, {"kilometers": Decimal("12.5")}, False),
        ("hsn", "0005", {"hsn": None}, True),
    ],
)
def test_odd_value_of_a_vehicle(field: str, sent: Any, expected: dict[str, Any], kept: bool) -> None:
    row = parsed("vehicles", {**SAMPLES["vehicles"][0], field: sent})
    found = values("vehicles", row)
    assert {name: found[name] for name in expected} == expected
    assert (field in json.loads(row.extra or "{}")) is kept


def test_missing_field_erases_nothing() -> None:
    record = {name: value for name, value in SAMPLES["vehicles"][0].items() if name not in ("vehicleState", "vin")}
    assert parsed("vehicles", record).absent == {"vehicle_state", "vehicle_state_text", "vin"}


def answer(body: Any, status: int = 200) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={}, body=text, sent_at=NOW, served_at=None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"list": [], "total": 0}, None),
        (200, {"status": "success", "statusText": "Contact created successfully", "data": {}}, None),
        (200, {"status": "error", "statusText": "Contact not found"}, "Contact not found"),
        (200, {"error": True, "message": "down"}, "down"),
        (200, {"error": False, "message": "fine"}, None),
        (200, b"<html>", None),
        (400, {"message": "Invalid request"}, "Invalid request"),
        (400, {"error": {"message": "bad filter"}}, "bad filter"),
        (500, {"error": "boom"}, "boom"),
        (500, b"<html>oops", None),
        (500, [], None),
        (400, {"message": "x" * 500}, "x" * 200),
    ],
)
def test_fault_of(status: int, body: Any, expected: str | None) -> None:
    assert fault_of(answer(body, status)) == expected


# --- The token --------------------------------------------------------------------------------------------------------


class Sent:
    """The other end of a login: gives the answers it was made with, and keeps what was sent."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, method: str, path: str, *, headers: Any = None, json: Any = None) -> Answer:
        self.sent.append((method, path, dict(headers or {}), json))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def options(**other: Any) -> dict[str, Any]:
    fixed = {"api_key": Secret("k3y"), "dealer_alzura_id": 12, "user_alzura_id": 34}
    return {**fixed, "token_header": "X-Authorization: Bearer", **other}


TOKEN = {"token": "jwt1", "expires_in": 86400, "token_type": "Bearer", "scope": "AutengoApiV3"}


async def test_token_is_asked_for_renewed_and_asked_for_again() -> None:
    auth = SOURCE.auth(options())
    send = Sent(
        answer(TOKEN), answer({**TOKEN, "token": "jwt2"}), BadCredentials("no"), answer({**TOKEN, "token": "jwt3"})
    )
    assert auth.due(NOW)
    await auth.login(send, NOW)
    assert send.sent[0] == ("POST", "/auth/token", {"X-Api-Key": "k3y"}, {"dealerAlzuraId": 12, "userAlzuraId": 34})
    assert auth.headers() == {"X-Api-Key": "k3y", "X-Authorization": "Bearer jwt1"}
    assert not auth.due(NOW + timedelta(hours=21))
    late = NOW + timedelta(hours=22)
    assert auth.due(late)
    await auth.login(send, late)
    assert send.sent[1][:2] == ("GET", "/auth/refresh")
    assert send.sent[1][2]["X-Authorization"] == "Bearer jwt1"
    await auth.login(send, late + timedelta(hours=22))  # the renewal is refused: a new token
    assert [path for _, path, _, _ in send.sent[2:]] == ["/auth/refresh", "/auth/token"]
    assert "X-Authorization" not in send.sent[3][2]
    assert auth.headers()["X-Authorization"] == "Bearer jwt3"
    assert auth.refused()
    assert auth.due(late + timedelta(hours=22))


async def test_expired_token_is_not_renewed() -> None:
    auth, send = SOURCE.auth(options()), Sent(answer(TOKEN), answer(TOKEN))
    await auth.login(send, NOW)
    await auth.login(send, NOW + timedelta(hours=25))
    assert [path for _, path, _, _ in send.sent] == ["/auth/token", "/auth/token"]


@pytest.mark.parametrize(
    ("header", "name", "text"),
    [
        ("Authorization: JWT", "Authorization", "JWT jwt1"),
        ("Authorization: Bearer", "Authorization", "Bearer jwt1"),
        ("X-Authorization: Bearer", "X-Authorization", "Bearer jwt1"),
    ],
)
async def test_token_header_follows_the_option(header: str, name: str, text: str) -> None:
    auth = SOURCE.auth(options(token_header=header))
    await auth.login(Sent(answer(TOKEN)), NOW)
    assert auth.headers()[name] == text


@pytest.mark.parametrize(
    "reply",
    [
        answer({"token": "", "expires_in": 1}),
        answer({"expires_in": 86400}),
        answer({"status": "error", "statusText": "nobody"}),
        answer({**TOKEN, "error": "nobody"}),
        BadPayload("login answered 200 with an error inside: nobody", status=200),
    ],
)
async def test_login_200_without_a_token_is_bad_credentials(reply: Answer | Exception) -> None:
    auth = SOURCE.auth(options())
    with pytest.raises(BadCredentials):
        await auth.login(Sent(reply), NOW)
    assert auth.due(NOW)


async def test_login_that_is_no_json_is_an_outage() -> None:
    with pytest.raises(BadPayload):
        await SOURCE.auth(options()).login(Sent(answer(b"<html>")), NOW)
    with pytest.raises(Unreachable):
        await SOURCE.auth(options()).login(Sent(Unreachable("down")), NOW)


@pytest.mark.parametrize("expires_in", [None, "soon", 0, -1, float("nan"), 1e300, "600"])
async def test_odd_expiry_neither_fails_nor_hammers(expires_in: Any) -> None:
    auth = SOURCE.auth(options())
    await auth.login(Sent(answer({**TOKEN, "expires_in": expires_in})), NOW)
    assert not auth.due(NOW + timedelta(seconds=30))
    assert auth.due(NOW + timedelta(hours=2))


# --- Walks against the sandbox ----------------------------------------------------------------------------------------


async def assert_mirrors(bench: Bench, stream: str, truth: list[dict[str, Any]]) -> None:
    """Assert that the live rows of the stream are exactly these records, field by field."""
    parser = Parser(table(stream), ZONE)
    expected = {}
    for record in truth:
        row = parser.parse(json.dumps(record).encode())
        assert isinstance(row, Row)
        expected[row.key] = (plain(dict(zip(parser.names, row.values, strict=True))), json.loads(row.extra or "null"))
    found = {}
    for mirrored in await bench.rows(f"autengo.{stream}"):
        key = tuple(mirrored[name] for name in table(stream).key)
        found[key] = (plain({name: mirrored[name] for name in parser.names}), json.loads(mirrored["_extra"] or "null"))
    assert found.keys() == expected.keys()
    assert [key for key, content in expected.items() if found[key] != content] == []


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its jsonb read, so that blanks do not count."""
    arrays = {name: json.loads(row[name]) for name in ("equipment", "damages", "documents", "ads") if row.get(name)}
    return {**row, **arrays}


async def synced(bench: Bench, stream: str, kind: str = "live", **order: Any) -> Any:
    result = await bench.sync(f"cars.{stream}", kind, **order)
    assert result.outcome == "ok", result.error
    return result


def asked(bench: Bench, path: str) -> list[dict[str, str]]:
    return [entry.query for entry in bench.sandbox.requests if entry.path.endswith(path)]


@pytest.mark.parametrize("sizes", [{}, {"vehicles": 1}, {"vehicles": 100}, {"vehicles": 700}])
async def test_vehicles_first_pass_mirrors_everything(make_bench: MakeBench, sizes: dict[str, int]) -> None:
    bench = await make_bench(**sizes)
    await synced(bench, "vehicles")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_vehicles_live_pass_reads_only_what_moved(bench: Bench) -> None:
    await synced(bench, "vehicles")
    first = len(asked(bench, "/vehicle"))
    bench.time.pass_by(hours=3)
    bench.sandbox.evolve(3)
    result = await synced(bench, "vehicles")
    assert result.counts.updated + result.counts.inserted > 0
    assert result.spent.requests <= 2
    query = asked(bench, "/vehicle")[first]
    assert query["order[field]"] == "updated"
    assert query["order[dir]"] == "asc"
    assert query["and[updated]"].startswith(">=|")
    await synced(bench, "vehicles", "sweep")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_vehicles_quiet_tick_costs_one_request_and_writes_nothing(bench: Bench) -> None:
    await synced(bench, "vehicles")
    bench.time.pass_by(minutes=5)
    result = await synced(bench, "vehicles")
    assert result.spent.requests == 1
    assert result.counts.inserted == result.counts.updated == 0


async def test_vehicles_sweep_buries_what_is_gone(bench: Bench) -> None:
    await synced(bench, "vehicles")
    key = bench.sandbox.truth("autengo", "vehicles")[3]["sellingId"]
    bench.sandbox.delete("autengo", "vehicles", key)
    await synced(bench, "vehicles")
    result = await synced(bench, "vehicles", "sweep")
    assert result.counts.deleted == 1
    assert asked(bench, f"/vehicle/{key}") == [{}]  # asked for by its id before it was buried
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_vehicles_ties_longer_than_a_page(make_bench: MakeBench) -> None:
    bench = await make_bench(vehicles=130)
    stamp = "2026-05-05 05:05:05"
    for record in bench.sandbox.truth("autengo", "vehicles"):
        bench.sandbox.put("autengo", "vehicles", {**record, "updated": stamp, "created": stamp})
    bench.sandbox.faults.add("clamped-limit", api="autengo", stream="vehicles", rows=10)
    for kind in ("live", "sweep"):
        await synced(bench, "vehicles", kind)
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_vehicles_without_times_are_found(bench: Bench) -> None:
    for record in bench.sandbox.truth("autengo", "vehicles")[::7]:
        bench.sandbox.put("autengo", "vehicles", {**record, "updated": None, "created": None})
    for kind in ("live", "sweep"):
        result = await synced(bench, "vehicles", kind)
        assert result.counts.deleted == 0
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_vehicles_backfill_reads_the_range_only(bench: Bench) -> None:
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    await synced(bench, "vehicles", "backfill", since=since, until=until)
    found = await bench.rows("autengo.vehicles")
    wanted = [
        record
        for record in bench.sandbox.truth("autengo", "vehicles")
        if "2026-01-01 01:00:00" <= record["updated"] <= "2026-04-01 00:00:00"
    ]
    assert wanted
    assert {record["sellingId"] for record in wanted} <= {row["selling_id"] for row in found}
    assert len(found) < len(bench.sandbox.truth("autengo", "vehicles"))
    query = bench.sandbox.requests[-1].query
    assert query["and[updated][]"]
    assert not await bench.fetch("SELECT 1 FROM syncd.cursors WHERE kind = 'live'")


async def test_makes_and_models(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    for stream in ("makes", "models"):
        await assert_mirrors(bench, stream, bench.sandbox.truth("autengo", stream))
    gone = bench.sandbox.truth("autengo", "models")[0]
    bench.sandbox.delete("autengo", "models", (gone["makeId"], gone["modelId"]))
    assert (await synced(bench, "models")).counts.deleted == 1
    await assert_mirrors(bench, "models", bench.sandbox.truth("autengo", "models"))


async def test_models_of_a_lost_make_are_buried(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    make_id = bench.sandbox.truth("autengo", "makes")[-1]["makeId"]
    bench.sandbox.delete("autengo", "makes", make_id)
    assert (await synced(bench, "makes")).counts.deleted == 1
    assert (await synced(bench, "models")).counts.deleted > 0
    assert make_id not in {row["make_id"] for row in await bench.rows("autengo.models")}


async def test_models_of_a_make_without_an_answer_are_left_alone(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    before = await bench.rows("autengo.models")
    bench.sandbox.faults.add("not-found-list", api="autengo", stream="models", times=1)
    await synced(bench, "models")
    assert len(await bench.rows("autengo.models")) == len(before)


async def test_interrupted_models_go_on(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    gone = bench.sandbox.truth("autengo", "models")[0]
    bench.sandbox.delete("autengo", "models", (gone["makeId"], gone["modelId"]))
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="models", after=5)
    assert (await bench.sync("cars.models")).outcome == "failed"
    bench.sandbox.faults.clear()
    result = await synced(bench, "models")
    makes = len(bench.sandbox.truth("autengo", "makes"))
    assert makes + 1 < result.spent.requests < 2 * makes, "it goes on, and then lists all anew"
    assert result.counts.deleted == 1
    await assert_mirrors(bench, "models", bench.sandbox.truth("autengo", "models"))


async def test_contacts_by_both_ids(bench: Bench) -> None:
    await synced(bench, "contacts")
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))
    key = bench.sandbox.lookups["contacts"]["ids"][1]
    other = bench.sandbox.truth("autengo", "contacts")[-1]
    bench.sandbox.delete("autengo", "contacts", key)
    bench.sandbox.delete("autengo", "contacts", other["ID"])
    result = await synced(bench, "contacts")
    assert result.counts.deleted == 2
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))


async def test_refused_contact_costs_no_other(bench: Bench) -> None:
    stream = bench.config.sources["cars"].streams["contacts"]
    assert isinstance(stream.lookup, dict)
    stream.lookup["ids"] = ("none", *stream.lookup["ids"])
    result = await bench.sync("cars.contacts")
    assert result.outcome == "failed"
    assert isinstance(result.error, BadRequest)
    assert "'none'" in str(result.error)
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))


async def test_wrong_token_header_is_not_hidden(make_bench: MakeBench) -> None:
    bench = await make_bench()
    bench.sandbox.faults.add("login-error-200", api="autengo")
    result = await bench.sync("cars.vehicles")
    assert isinstance(result.error, BadCredentials)
    assert "Token could not be issued" in str(result.error)


# --- Misbehaviour -----------------------------------------------------------------------------------------------------

SIZES = {"vehicles": 230, "makes": 3, "contacts": 6}
PAGING = (
    "auth-expired",
    "clamped-limit",
    "count-disagrees",
    "empty-list",
    "empty-page-with-next",
    "error-in-200",
    "expired-session-empty-list",
    "late-commit",
    "missing-list",
    "row-deleted-ahead",
    "row-inserted-ahead",
    "row-moved-ahead",
    "since-ignored",
    "token-expires-early",
    "total-changes",
    "unstable-ties",
)
DATA = ("bad-time", "duplicate-key-on-page", "missing-key", "null-record", "nul-in-text", "row-vanishes", "wrong-type")


async def test_ignored_offset_is_told(make_bench: MakeBench) -> None:
    bench = await make_bench(vehicles=130)
    for record in bench.sandbox.truth("autengo", "vehicles"):
        bench.sandbox.put("autengo", "vehicles", {**record, "updated": "2026-05-05 05:05:05"})
    bench.sandbox.faults.add("ignored-offset", api="autengo", stream="vehicles")
    result = await bench.sync("cars.vehicles")
    assert isinstance(result.error, BadPayload)
    assert "is the offset ignored?" in str(result.error)
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_old_unfinished_sweep_starts_again(make_bench: MakeBench) -> None:
    """What was deleted behind an interrupted sweep would else stay alive."""
    bench = await make_bench(**SIZES)
    await synced(bench, "vehicles")
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="vehicles", after=1)
    assert (await bench.sync("cars.vehicles", "sweep")).outcome == "failed"
    bench.sandbox.faults.clear()
    [cursor] = await bench.fetch("SELECT cursor FROM syncd.cursors WHERE kind = 'sweep'")
    assert json.loads(cursor["cursor"])["pass"]["offset"] == 100
    oldest = min(bench.sandbox.truth("autengo", "vehicles"), key=lambda record: str(record["created"]))
    bench.sandbox.delete("autengo", "vehicles", oldest["sellingId"])
    bench.time.pass_by(hours=2)
    await synced(bench, "vehicles", "sweep")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_recent_unfinished_pass_goes_on(make_bench: MakeBench) -> None:
    bench = await make_bench(vehicles=700)
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="vehicles", after=4)
    assert (await bench.sync("cars.vehicles")).outcome == "failed"
    bench.sandbox.faults.clear()
    seen = (await bench.fetch("SELECT count(*) FROM autengo.vehicles"))[0][0]
    result = await synced(bench, "vehicles")
    assert result.counts.seen < 700 - seen + 250
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("fault", PAGING)
async def test_live_passes_lose_nothing_to(make_bench: MakeBench, fault: str, times: int | None) -> None:
    """Whatever happens to the list, live passes alone bring every vehicle once the fault is over."""
    bench = await make_bench(**SIZES)
    stream = "auth" if fault == "token-expires-early" else "vehicles"
    bench.sandbox.faults.add(fault, api="autengo", stream=stream, times=times)
    for _ in range(3):
        await bench.sync("cars.vehicles")
        bench.sandbox.evolve(2)
        bench.time.pass_by(minutes=5)
    assert bench.sandbox.faults.hits(fault)
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    truth = bench.sandbox.truth("autengo", "vehicles")
    keys = {record["sellingId"] for record in truth}
    lost = [row["selling_id"] for row in await bench.rows("autengo.vehicles") if row["selling_id"] not in keys]
    await bench.fetch("UPDATE autengo.vehicles SET _deleted_at = now() WHERE selling_id = ANY($1)", lost)
    await assert_mirrors(bench, "vehicles", truth)


@pytest.mark.parametrize("fault", [*PAGING, *DATA])
async def test_sweeps_bury_nothing_alive_under(make_bench: MakeBench, fault: str) -> None:
    """Whatever happens, no living vehicle is buried, and one clean sweep later the mirror is right."""
    bench = await make_bench(**SIZES)
    await synced(bench, "vehicles")
    stream = "auth" if fault == "token-expires-early" else "vehicles"
    bench.sandbox.faults.add(fault, api="autengo", stream=stream, after=1)
    for _ in range(2):
        bench.sandbox.evolve(2)
        bench.time.pass_by(days=1)
        await bench.sync("cars.vehicles", "sweep")
    alive = {record["sellingId"] for record in bench.sandbox.truth("autengo", "vehicles")}
    assert not [row for row in await bench.rows("autengo.vehicles", "_deleted_at IS NOT NULL") if row[1] in alive]
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    await synced(bench, "vehicles", "sweep")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))

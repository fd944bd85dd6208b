"""Autengo's vehicles: the vendor's sample, odd values, and passes against the sandbox."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.search import sampled
from tests.support.sources.autengo import SAMPLES, assert_mirrors, parsed, synced, values

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


def asked(bench: Bench, path: str) -> list[dict[str, str]]:
    return [entry.query for entry in bench.sandbox.requests if entry.path.endswith(path)]


@pytest.mark.parametrize("sizes", sampled([{"vehicles": 100}, {}, {"vehicles": 1}, {"vehicles": 700}], every=2))
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

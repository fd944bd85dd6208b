"""The comparison with the truth sees every kind of difference: nothing else would hold if it were blind."""

import pytest

from tests.support.bench import MakeBench
from tests.support.matrix_streams import SIZES
from tests.support.search import sampled
from tests.support.truth import differences, wrongly_buried

CUSTOMERS = "cyclesoftware.customers"
NUMBERS = "cyclesoftware.customer_phone_numbers"
FIRST = f"customer_id = (SELECT min(customer_id) FROM {CUSTOMERS})"


@pytest.mark.parametrize(
    ("selector", "spoils", "says"),
    sampled(
        [
            ("shop.customers", f"DELETE FROM {CUSTOMERS} WHERE {FIRST}", "is missing"),
            ("shop.customers", f"UPDATE {CUSTOMERS} SET _deleted_at = now() WHERE {FIRST}", "is buried"),
            ("shop.customers", f"UPDATE {CUSTOMERS} SET street = NULL WHERE {FIRST}", ".street"),
            ("shop.customers", f"UPDATE {CUSTOMERS} SET _extra = '{{\"x\": 1}}' WHERE {FIRST}", ".x"),
            (
                "shop.customers",
                f"UPDATE {CUSTOMERS} SET datetime_created = datetime_created + interval '1 s'",
                ".datetime_created",
            ),
            ("shop.customers", f"UPDATE {CUSTOMERS} SET customer_id = -1 WHERE {FIRST}", "gone upstream"),
            ("shop.customers", f"UPDATE {NUMBERS} SET name = 'x' WHERE {FIRST}", "customer_phone_numbers"),
            ("shop.customers", f"UPDATE {NUMBERS} SET _extra = NULL", ".customer_id"),
            ("shop.customers", f"DELETE FROM {NUMBERS} WHERE {FIRST}", "is missing"),
            (
                "shop.stores",
                "UPDATE cyclesoftware.stores SET store_latitude = store_longitude",
                ".store_coordinates[0]",
            ),
            ("shop.platform_keys", "UPDATE cyclesoftware.platform_keys SET is_active = NOT is_active", ".is_active"),
            (
                "shop.platform_keys",
                "UPDATE cyclesoftware.platform_keys SET key_sha256 = upper(key_sha256)",
                "is missing",
            ),
            ("shop.stock_items", "UPDATE cyclesoftware.stock_items SET stocked_at = stocked_at + 1", ".stocked_at"),
            ("lease.orders", "UPDATE cyclis.orders SET lease_cost = lease_cost + 0.01", ".lease_cost"),
            ("lease.orders", "UPDATE cyclis.orders SET create_timestamp = now()", ".create_timestamp"),
            ("cars.vehicles", "UPDATE autengo.vehicles SET vehicle_state_text = 'x'", ".vehicleState.text"),
            ("cars.vehicles", "UPDATE autengo.vehicles SET updated = updated + interval '1 h'", ".updated"),
            ("cars.vehicles", "UPDATE autengo.vehicles SET equipment = '[]'", ".equipment"),
            ("parts.orders", "UPDATE ghs.orders SET items = '[]'", ".items"),
            ("parts.orders", "UPDATE ghs.orders SET _extra = NULL", ".orderDate"),
            ("parts.urgent_messages", "UPDATE ghs.urgent_messages SET start_date = now()", ".startDate"),
        ],
        every=3,
    ),
)
async def test_a_spoiled_mirror_is_told_from_a_sound_one(
    make_bench: MakeBench, selector: str, spoils: str, says: str
) -> None:
    bench = await make_bench(**SIZES)
    assert (await bench.sync(selector)).outcome == "ok"
    assert not await differences(bench, selector)
    assert not await wrongly_buried(bench, selector)
    await bench.fetch(spoils)
    found = await differences(bench, selector)
    assert any(says in line for line in found), found
    assert bool(await wrongly_buried(bench, selector)) == (says == "is buried")

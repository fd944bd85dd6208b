"""GHS' account and urgent messages."""

import json
from datetime import UTC, datetime

from syncd.sandbox.world import samples
from tests.support.bench import Bench
from tests.support.sources.ghs import assert_mirrors, parsed, synced, values


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

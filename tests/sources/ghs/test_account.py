"""GHS' account and urgent messages."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.sandbox.world import samples
from syncd.sources.ghs import SOURCE
from tests.support.bench import Bench
from tests.support.sources.cyclesoftware import Script, walk_of
from tests.support.sources.ghs import assert_mirrors, parsed, synced, table, values

JSONS = [column.name for column in table("account").columns if column.kind == "jsonb"]


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


ACCOUNT = {
    "userId": "0012345", "displayName": "Garage Jansen", "email": "inkoop@example.com", "customerGroup": "B2B",
    "address": {"city": "Hoensbroek"},
    "linkedWarehouse": {
        "id": "01", "region": "Limburg", "name": "HOOFDMAGAZIJN", "warehouseEmail": "m@example.com",
        "shouldEmailExternalOrders": True, "address": {"city": "Hoensbroek"},
    },
    "pickupWarehouse": {"id": "02"},
    "preferredStyle": "ghs", "logo": "", "technicalDataProvider": "HaynesPro", "hasMijnGrossierAccounts": False,
    "hasReleventPickupWarehouse": True, "district": "Limburg",
    "linkedCompany": {
        "linkedCompanyId": "GHS", "linkedCompanyName": "GHS Automotive", "companyPreferredStyle": "ghs",
        "contactEmail": "a@example.com", "supportEmail": "b@example.com", "supportTeamPage": "https://a.example.com",
        "mapUrl": "https://b.example.com", "b2BUrl": "https://c.example.com", "bmfEmail": "c@example.com",
        "serverEmail": "d@example.com", "dieselInjectorEmail": "e@example.com", "externalOrderEmail": "f@example.com",
    },
    "certificate": {"certificateId": "F-17", "name": "F-gassen", "endDate": "31-12-2027", "isValid": True},
    "promotions": [], "deliveryAddresses": [{"id": 1}], "deliveryTimePreferences": [], "enrollments": [],
    "externalUsers": [],
    "userSettings": {
        "language": "nl", "lastId": "SECRET1", "inner": [{"LastIdType": "SECRET2", "lastAdditionalId": 9}],
    },
}  # fmt: skip


async def test_an_account_as_the_metadata_shows_it() -> None:
    (page,) = [
        page async for page in SOURCE.stream("account").walk(walk_of(Script([{**ACCOUNT, "urgentMessages": []}])))
    ]
    row = parsed("account", page.records[0])
    assert json.loads(row.extra or "") == {"linkedWarehouse": {"name": "HOOFDMAGAZIJN"}}
    assert row.absent == {
        f"pickup_warehouse_{name}" for name in ("region", "warehouse_email", "should_email_external_orders", "address")
    }
    found = values("account", row)
    assert b"SECRET" not in page.records[0]
    jsons = {name: json.loads(found.pop(name)) for name in JSONS if found[name] is not None}
    assert jsons == {
        "address": {"city": "Hoensbroek"}, "linked_warehouse_address": {"city": "Hoensbroek"}, "promotions": [],
        "delivery_addresses": [{"id": 1}], "delivery_time_preferences": [], "enrollments": [], "external_users": [],
        "user_settings": {"language": "nl", "inner": [{}]},
    }  # fmt: skip
    assert {name: value for name, value in found.items() if value is not None} == {
        "user_id": "0012345", "display_name": "Garage Jansen", "email": "inkoop@example.com", "customer_group": "B2B",
        "linked_warehouse_id": "01", "linked_warehouse_region": "Limburg",
        "linked_warehouse_warehouse_email": "m@example.com", "linked_warehouse_should_email_external_orders": True,
        "pickup_warehouse_id": "02", "preferred_style": "ghs", "logo": "", "technical_data_provider": "HaynesPro",
        "has_mijn_grossier_accounts": False, "has_relevent_pickup_warehouse": True, "district": "Limburg",
        "linked_company_id": "GHS", "linked_company_name": "GHS Automotive",
        "linked_company_company_preferred_style": "ghs", "linked_company_contact_email": "a@example.com",
        "linked_company_support_email": "b@example.com", "linked_company_support_team_page": "https://a.example.com",
        "linked_company_map_url": "https://b.example.com", "linked_company_b2_b_url": "https://c.example.com",
        "linked_company_bmf_email": "c@example.com", "linked_company_server_email": "d@example.com",
        "linked_company_diesel_injector_email": "e@example.com",
        "linked_company_external_order_email": "f@example.com",
        "certificate_id": "F-17", "certificate_name": "F-gassen", "certificate_end_date": "31-12-2027",
        "certificate_is_valid": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "sent",
    [
        {"certificate": {"id": "F-17", "isValid": True}},
        {"certificate": {"certificateId": "F-17", "isValid": True}},
        {"certificateId": "F-17", "certificateIsValid": True},
        {"certificate": {"id": "F-17", "certificateIsValid": True}},
    ],
)
async def test_a_certificate_however_it_is_named(sent: dict[str, Any]) -> None:
    (page,) = [page async for page in SOURCE.stream("account").walk(walk_of(Script([{"userId": "1", **sent}])))]
    row = parsed("account", page.records[0])
    found = values("account", row)
    assert (found["certificate_id"], found["certificate_is_valid"], row.extra) == ("F-17", True, None)


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

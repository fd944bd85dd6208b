"""The forms in which CycleSoftware sends a list: an array, a map of numbers, one object; bare or within `data`."""

from typing import Any

import pytest

from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware.store_orders import as_record
from tests.support.sources.cyclesoftware import Script, pages_of, parsed, walk_of

LAST = {"pagination": {"next_url": None, "next_offset": None, "next": None, "count": None}}
WINDOW = {"cursor": {"since": "2026-03-10T11:00:00+00:00", "as_of": "2026-03-10T11:00:00+00:00"}}
GROUPS = {"payments": [{"payment_id": 5}], "store_id": 1}

LISTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sales_orders": ({"sales_order_id": 5}, WINDOW),
    "sales_transactions": ({"account_id": 1, "sales_transaction_number": 5}, WINDOW),
    "service_items": ({"service_item_id": 5}, WINDOW),
    "packing_list_items": ({"supplier_packinglist_item_id": 5}, WINDOW),
    "repair_objects": ({"object_id": 5}, {}),
    "proforma_invoices": ({"sales_transaction_number": 5}, {}),
    "articles": ({"barcode": "5"}, {}),
}
BARE: dict[str, tuple[Any, dict[str, Any]]] = {
    "payments": (GROUPS, WINDOW),
    "insurances": ({"insurance_id": 5}, WINDOW),
    "repair_codes": ({"code_id": 5, "code": "a"}, {}),
    "rental_objects": ({"code": "5"}, {}),
}


async def number_of_rows(stream: str, body: Any, how: dict[str, Any]) -> int:
    pages = await pages_of(stream, walk_of(Script([body]), **how))
    return sum(parsed(stream, record).key is not None for page in pages for record in page.records)


@pytest.mark.parametrize("stream", LISTS)
async def test_a_list_in_data_may_be_a_map_of_numbers_or_one_object_alone(stream: str) -> None:
    record, how = LISTS[stream]
    for data, rows in (([record], 1), ({"3": record}, 1), (record, 1), ({}, 0), ([], 0)):
        assert await number_of_rows(stream, {"data": data, **LAST}, how) == rows
    with pytest.raises(BadPayload):
        await number_of_rows(stream, {"data": "none", **LAST}, how)


@pytest.mark.parametrize("stream", BARE)
async def test_a_bare_list_may_be_a_map_of_numbers_or_stand_in_data(stream: str) -> None:
    record, how = BARE[stream]
    for body in ([record], {"3": record}, {"data": [record]}, {"data": {"3": record}}, {"data": record}):
        assert await number_of_rows(stream, body, how) == 1
    for nothing in ({}, {"data": None}, {"message": "none"}):
        with pytest.raises(BadPayload):
            await number_of_rows(stream, nothing, how)


@pytest.mark.parametrize(
    "items", [b'[{"barcode": "1"}, {"barcode": "2"}]', b'{"0": {"barcode": "1"}, "4": {"barcode": "2"}}']
)
def test_items_of_an_internal_delivery_have_their_places_in_either_form(items: bytes) -> None:
    row = parsed("store_orders", as_record({"store_order_id": b"9", "items": items}, b"1"))
    (found,) = row.children
    assert [each.key for each in found or ()] == [(9, 0), (9, 1)]

"""What the bodies of webhooks tell: the vendor's samples, and anything else that may come."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.contract import Hint
from syncd.contract.errors import BadPayload
from syncd.sources.cyclesoftware import SOURCE
from syncd.sources.cyclesoftware.webhooks import WEBHOOKS

SAMPLE: dict[str, Any] = {
    "id": "20c5d026-68b3-11ec-90d6-0242ac120003",
    "account_id": 1,
    "event_name": "store_order.created",
    "event_timestamp": 1640787926.323,
    "payload": {
        "store_order_id": 45287,
        "status_id": 1,
        "items": [
            {"store_order_item_id": 2, "barcode": "1000", "object_id": None},
            {"store_order_item_id": 2, "barcode": "F.1000", "object_id": 1000},
        ],
    },
}  # fmt: skip


def body(event: str, payload: Any, **more: Any) -> bytes:
    return json.dumps({**SAMPLE, "event_name": event, "payload": payload, **more}).encode()


def run(*streams: str) -> tuple[Hint, ...]:
    return tuple(Hint(stream=stream) for stream in streams)


def of_order(number: int) -> Hint:
    return Hint(stream="sales_transactions", key=(number,))


@pytest.mark.parametrize(
    ("event", "payload", "hints"),
    [
        ("customer.created", {"customer": {"customer_id": 20}}, (Hint(stream="customers", key=(20,)),)),
        ("customer.updated", {"customer": {"customer_id": "20"}}, (Hint(stream="customers", key=(20,)),)),
        ("customer.updated", {"customer": {}}, run("customers")),
        ("sales_order.updated", {"sales_order_id": 7}, run("sales_orders")),
        ("sales_order.deleted", {"sales_order_id": 7}, run("sales_orders")),
        ("sales_order.invoiced", {"sales_order_id": 7}, (*run("sales_orders"), of_order(7))),
        ("sales_transaction.created", {"invoice_number": 1, "sales_order_id": 7},
         (of_order(7), *run("proforma_invoices"))),
        ("sales_transaction.updated", {"invoice_number": 1, "sales_order_id": None},
         run("sales_transactions", "proforma_invoices")),
        ("payments.created", {"entity_type_id": 7, "entity_id": 9}, (*run("payments"), of_order(9))),
        ("payments.created", {"entity_type_id": 5, "entity_id": 9}, run("payments", "sales_transactions")),
        ("workshop_order.updated", {"workshop_order_id": 5, "sales_order": {"customer_id": 6}},
         (Hint(stream="workshop_orders", key=(5, 6, False)),)),
        ("workshop_order.deleted", {"workshop_order_id": 5, "sales_order": {"customer_id": 6}},
         (Hint(stream="workshop_orders", key=(5, 6, True)),)),
        ("workshop_order_roadworthy.created", {"workshop_order_id": 5}, run("workshop_orders")),
        ("warehouse_outbound_order.created_or_updated", {}, run("warehouse_open_order_items")),
        ("warehouse_outbound_order.updated", {"warehouse_stock_item_id": 1},
         run("warehouse_stock_items", "warehouse_assemblies")),
        ("quote.lost", {"quote_id": 1}, ()),
    ],
)  # fmt: skip
def test_an_event_names_its_streams_and_the_record_that_can_be_asked_for(
    event: str, payload: Any, hints: tuple[Hint, ...]
) -> None:
    told = WEBHOOKS.told(body(event, payload))
    assert (told.hints, told.records, told.is_empty) == (hints, {}, not hints)
    assert (told.delivery, told.account) == (SAMPLE["id"], 1)


def test_the_sample_of_a_store_order_becomes_a_record_with_places_and_its_time() -> None:
    told = WEBHOOKS.told(json.dumps(SAMPLE).encode())
    (record,) = told.records["store_orders"]
    items = [{**item, "position": place} for place, item in enumerate(SAMPLE["payload"]["items"])]
    assert json.loads(record) == {**SAMPLE["payload"], "items": items, "event_timestamp": 1640787926.323}
    assert told.hints == ()


def test_every_event_to_be_entered_is_known_and_every_stream_of_the_source_that_it_names_exists() -> None:
    told = [WEBHOOKS.told(body(event, {"store_order_id": 1})) for event in WEBHOOKS.events]
    assert not [event for event, one in zip(WEBHOOKS.events, told, strict=True) if one.is_empty]
    assert {name for one in told for name in one.records} <= {s.name for s in SOURCE.streams if s.is_pushed}


@pytest.mark.parametrize("sent", [None, "", " ", "x" * 101, {"a": 1}, True, "\x00"])
def test_a_call_without_a_usable_number_is_known_by_its_body(sent: Any) -> None:
    one, other = (WEBHOOKS.told(body("quote.lost", {"n": n}, id=sent)).delivery for n in (1, 2))
    assert one.startswith("sha256 ")
    assert one != other


def test_a_number_in_capitals_is_the_same_number() -> None:
    assert WEBHOOKS.told(body("quote.lost", {}, id=SAMPLE["id"].upper())).delivery == SAMPLE["id"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.sampled_from(WEBHOOKS.events) | st.text(max_size=20)
PAYLOADS = ANY | st.fixed_dictionaries({}, optional={
    "customer": ANY, "customer_id": ANY, "items": ANY, "store_order_id": ANY, "warehouse_stock_item_id": ANY,
})  # fmt: skip


@given(
    sent=st.binary(max_size=200)
    | st.fixed_dictionaries(
        {},
        optional={
            "id": ANY,
            "account_id": ANY,
            "event_name": EVENTS | ANY,
            "event_timestamp": ANY,
            "payload": PAYLOADS,
        },
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_sent_is_told_or_refused_and_every_record_is_json(sent: bytes) -> None:
    assert WEBHOOKS.signed(sent)[0] == sent
    try:
        told = WEBHOOKS.told(sent)
    except BadPayload:
        return
    for records in told.records.values():
        for record in records:
            msgspec.json.decode(record)

"""A record that is nested more deeply than a decoder reads: it is kept, and its page goes on."""

import copy
from typing import Any

import pytest
from msgspec import Raw

from syncd.errors import BadPayload
from syncd.records.split import ARRAY, decoded, elements, envelope
from syncd.sandbox.answer import Answer
from tests.support.bench import MakeBench

DEEP = {"arrays": "[" * 1100 + "]" * 1100, "objects": '{"a":' * 1500 + "1" + "}" * 1500}
SIZES = {
    "customers": 12, "page_size": 20, "cyclis_orders": 3, "cyclists": 2, "companies": 2, "vehicles": 12, "orders": 12,
    "stock_items": 5, "sales_orders": 8, "leads": 1, "dealers": 2, "makes": 2, "contacts": 1, "products": 12,
}  # fmt: skip
STREAMS = {
    "shop.customers": ("cyclesoftware", "customers"),
    "shop.sales_orders": ("cyclesoftware", "sales_orders"),
    "cars.vehicles": ("autengo", "vehicles"),
    "lease.dealers": ("cyclis", "dealers"),
    "parts.orders": ("ghs", "orders"),
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("selector", STREAMS)
async def test_a_deeply_nested_field_costs_neither_its_row_nor_its_page(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, selector: str, deep: str
) -> None:
    encoded = Answer.encoded  # the sandbox itself decodes its records, so the text is put in on the way out
    monkeypatch.setattr(Answer, "encoded", lambda answer: encoded(answer).replace(b'"DEEP"', deep.encode()))
    bench = await make_bench(**SIZES)
    api, stream = STREAMS[selector]
    record: dict[str, Any] = copy.deepcopy(bench.sandbox.truth(api, stream)[-1])
    record.get("attributes", record)["surprise"] = "DEEP"
    bench.sandbox.put(api, stream, record)
    synced = await bench.sync(selector)
    assert synced.outcome == "ok", synced
    assert len(await bench.rows(f"{api}.{stream}")) == len(bench.sandbox.truth(api, stream)) > 1
    # an order comes item by item: what has no column stands with each item
    table = "sales_order_items" if stream == "sales_orders" else stream
    held, *others = await bench.fetch(
        f"SELECT _extra::text AS e FROM {api}.{table} WHERE _extra::text LIKE '%surprise%'"
    )
    assert bool(others) is (stream == "sales_orders" and len(record["order_items"]) > 1)
    assert deep.replace('"', r"\"") in held["e"].replace('\\"', r"\"")


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
async def test_a_deeply_nested_child_element_costs_neither_its_parent_nor_its_siblings(
    make_bench: MakeBench, deep: str
) -> None:
    bench = await make_bench(**SIZES)
    record: dict[str, Any] = copy.deepcopy(bench.sandbox.truth("cyclesoftware", "customers")[-1])
    record["phone_numbers"] = [
        {"phone_number_id": "tel", "phone_number": "1"},
        {"phone_number_id": "mob", "phone_number": "2", "surprise": Raw(deep.encode())},
        Raw(deep.encode()),
    ]
    bench.sandbox.put("cyclesoftware", "customers", record)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    phones = await bench.fetch(
        "SELECT phone_number_id, _extra::text AS e FROM cyclesoftware.customer_phone_numbers WHERE customer_id = $1",
        record["customer_id"],
    )
    assert {row["phone_number_id"]: "surprise" in (row["e"] or "") for row in phones} == {"tel": False, "mob": True}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
async def test_a_deeply_nested_key_makes_a_reject_of_its_record_alone(make_bench: MakeBench, deep: str) -> None:
    bench = await make_bench(**SIZES)
    intake = bench.syncer.target("shop", "customers").intake
    read = intake.read([b'{"customer_id":' + deep.encode() + b"}", b'{"customer_id":7}', deep.encode()])
    assert list(read.sent.settled) == [(7,)]
    assert [deep in reject.record for reject, _ in read.sent.rejects] == [True, True]


def test_deep_json_is_split_as_shallow_json_is() -> None:
    for deep in DEEP.values():
        array = b'[1, {"a": "],[", "b": ' + deep.encode() + b'} , "\\"]", ' + deep.encode() + b"]"
        parts = [b"1", b'{"a": "],[", "b": ' + deep.encode() + b"}", b'"\\"]"', deep.encode()]
        assert list(map(bytes, decoded(ARRAY, array))) == parts == list(elements(array, "data"))
        members = envelope(b'{ "data" :' + array + b',"\\u0061,:": 1, "e": {} }')
        assert members == {"data": array, "a,:": b"1", "e": b"{}"}


@pytest.mark.parametrize("tail", ["", "]", "}", "]]]"])
def test_brackets_that_do_not_match_are_no_json(tail: str) -> None:
    with pytest.raises(BadPayload, match="expected an array"):
        elements(b"[" + DEEP["arrays"].encode() + b"," + tail.encode() * 3, "data")

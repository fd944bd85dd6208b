"""Deletions of what is looked up, revoked or below a parent."""

import re
from typing import Any

import pytest

from syncd import config as configuration
from syncd.sources import specs
from tests.support.bench import Bench, MakeBench
from tests.support.sweeps import GONE, keys, synced
from tests.support.truth import NAMES, differences, told

# --- Lookups ----------------------------------------------------------------------------------------------------------


async def test_what_is_no_longer_in_stock_is_buried_only_if_it_was_asked_for(bench: Bench) -> None:
    await synced(bench, "shop.stock")
    rows = await bench.rows("cyclesoftware.stock")
    asked = rows[0]["barcode"]
    others = {(row["store_id"], row["object_id"]) for row in rows if row["barcode"] != asked}
    assert others
    for row in bench.sandbox.truth("cyclesoftware", "stock"):
        bench.sandbox.delete("cyclesoftware", "stock", (row["store_id"], row["object_id"]))
    path = bench.folder / "bench.toml"
    text = re.sub(r"(?m)^barcodes = .*$", f'barcodes = ["{asked}"]', path.read_text())
    path.write_text(re.sub(r"(?m)^article_ids = .*$", "", text))
    bench.syncer.reconfigure(configuration.load(path, specs()))
    bench.time.pass_by(minutes=5)

    bench.sandbox.faults.add("error-500", api="cyclesoftware", stream="stock")
    assert (await bench.sync("shop.stock")).outcome == "failed"
    assert len(await bench.rows("cyclesoftware.stock")) == len(rows), "no answer says nothing"

    bench.sandbox.faults.clear()
    result = await synced(bench, "shop.stock")
    assert result.counts.deleted == len(rows) - len(others)
    left = {(row["store_id"], row["object_id"]) for row in await bench.rows("cyclesoftware.stock")}
    assert left == others
    assert await keys(bench, "cyclesoftware.stock", "barcode", GONE) == {asked}


async def test_an_object_that_moves_to_another_store_dies_there_and_lives_here(bench: Bench) -> None:
    await synced(bench, "shop.stock")
    row = bench.sandbox.truth("cyclesoftware", "stock")[0]
    bench.sandbox.delete("cyclesoftware", "stock", (row["store_id"], row["object_id"]))
    bench.sandbox.put("cyclesoftware", "stock", {**row, "store_id": "5185-9"})
    bench.time.pass_by(minutes=5)
    await synced(bench, "shop.stock")
    where = f"object_id = {row['object_id']} AND store_id IN ('{row['store_id']}', '5185-9')"
    found = {each["store_id"]: each["_deleted_at"] is None for each in await bench.rows("cyclesoftware.stock", where)}
    assert found == {row["store_id"]: False, "5185-9": True}


@pytest.mark.parametrize(
    ("selector", "key"), [("shop.leads", "uuid"), ("cars.contacts", "ID"), ("parts.products", "id")]
)
async def test_a_record_that_is_not_found_by_its_own_key_is_buried_and_returns(
    bench: Bench, selector: str, key: str
) -> None:
    name, _, stream = selector.partition(".")
    api = NAMES[name]
    await synced(bench, selector)
    record = bench.sandbox.truth(api, stream)[0]
    bench.sandbox.delete(api, stream, record[key])
    bench.time.pass_by(hours=2)
    await synced(bench, selector)
    column = key.lower()
    assert {str(value) for value in await keys(bench, f"{api}.{stream}", column, GONE)} == {str(record[key])}

    bench.sandbox.put(api, stream, record)
    bench.time.pass_by(hours=2)
    await synced(bench, selector)
    assert not await bench.rows(f"{api}.{stream}", GONE)
    assert not await differences(bench, selector)


async def test_to_have_no_urgent_message_is_no_reason_for_doubt(bench: Bench) -> None:
    await synced(bench, "parts.urgent_messages")
    messages = bench.sandbox.truth("ghs", "urgent_messages")
    assert messages
    for message in messages:
        bench.sandbox.delete("ghs", "urgent_messages", message["id"])
    bench.time.pass_by(minutes=15)
    result = await synced(bench, "parts.urgent_messages")
    assert result.counts.deleted == len(messages)


# --- Cyclis: taken from the key is not deleted ------------------------------------------------------------------------


async def test_rows_of_a_revoked_company_stay_while_deleted_ones_go(bench: Bench) -> None:
    streams = ("lease.companies", "lease.cyclists", "lease.orders")
    await synced(bench, *streams)
    orders = bench.sandbox.truth("cyclis", "orders")

    def company_of(order: dict[str, Any]) -> str:
        company: str = order["relationships"]["company"]["data"]["id"]
        return company

    revoked = company_of(orders[0])
    theirs = {order["id"] for order in orders if company_of(order) == revoked}
    dead = next(order["id"] for order in orders if company_of(order) != revoked)
    changed = bench.sandbox.get("cyclis", "orders", orders[0]["id"])
    bench.sandbox.revoke_company(revoked)
    bench.sandbox.delete("cyclis", "orders", dead)
    bench.time.pass_by(days=1)

    await synced(bench, *streams)
    await synced(bench, "lease.orders", kind="sweep")
    alive = {str(key) for key in await keys(bench, "cyclis.orders", "id")}
    assert theirs <= alive
    assert {str(key) for key in await keys(bench, "cyclis.orders", "id", GONE)} == {dead}
    assert not [row for row in await bench.rows("cyclis.cyclists", GONE) if str(row["company_id"]) == revoked]

    # while it cannot be seen it changes, and it bears no trace of that: the time of its change lies in the past
    changed["attributes"]["state"] = "done"
    bench.sandbox.put("cyclis", "orders", changed)
    bench.time.pass_by(days=1)
    bench.sandbox.grant_company(revoked)
    await synced(bench, *streams)
    found = await differences(bench, *streams)
    assert not found, told(found)


# --- Child rows -------------------------------------------------------------------------------------------------------


def _with_numbers(bench: Bench, count: int) -> dict[str, Any]:
    """Give a customer so many phone numbers and return it."""
    customer = bench.sandbox.truth("cyclesoftware", "customers")[3]
    customer["phone_numbers"] = [
        {"phone_number_id": str(700 + at), "customer_id": customer["customer_id"], "phone_number": f"06-{at}",
         "name": f"Extra {at}"}
        for at in range(count)
    ]  # fmt: skip
    bench.sandbox.put("cyclesoftware", "customers", customer)
    return customer


async def _numbers(bench: Bench, customer_id: int) -> dict[str, bool]:
    """Return the phone numbers of a customer by id, and whether each is alive."""
    rows = await bench.rows("cyclesoftware.customer_phone_numbers", f"customer_id = {customer_id}")
    return {row["phone_number_id"]: row["_deleted_at"] is None for row in rows if row["phone_number_id"] >= "700"}


async def test_child_rows_follow_their_parent(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=30)
    customer = _with_numbers(bench, 3)
    number = customer["customer_id"]
    await synced(bench, "shop.customers")
    assert await _numbers(bench, number) == {"700": True, "701": True, "702": True}

    bench.time.pass_by(hours=1)
    bench.sandbox.delete("cyclesoftware", "customer_phone_numbers", (number, "701"))
    await synced(bench, "shop.customers")
    assert await _numbers(bench, number) == {"700": True, "701": False, "702": True}
    parent = (await bench.rows("cyclesoftware.customers", f"customer_id = {number}"))[0]
    assert parent["_changed_at"] == bench.time.now(), "a change of its numbers is a change of the customer"

    bench.time.pass_by(hours=1)
    bench.sandbox.delete("cyclesoftware", "customers", number)
    await synced(bench, "shop.customers", kind="sweep")
    assert await _numbers(bench, number) == {"700": False, "701": False, "702": False}

    bench.time.pass_by(hours=1)
    customer["phone_numbers"] = customer["phone_numbers"][1:]
    bench.sandbox.put("cyclesoftware", "customers", customer)
    await synced(bench, "shop.customers")
    assert await _numbers(bench, number) == {"700": False, "701": True, "702": True}
    found = await differences(bench, "shop.customers")
    assert not found, told(found)


async def test_a_parent_that_returns_as_it_was_brings_its_child_rows_back(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=30)
    customer = _with_numbers(bench, 2)
    number = customer["customer_id"]
    await synced(bench, "shop.customers")
    bench.sandbox.delete("cyclesoftware", "customers", number)
    bench.time.pass_by(hours=1)
    await synced(bench, "shop.customers", kind="sweep")
    assert await _numbers(bench, number) == {"700": False, "701": False}
    bench.sandbox.put("cyclesoftware", "customers", customer)
    bench.time.pass_by(hours=1)
    await synced(bench, "shop.customers")
    assert await _numbers(bench, number) == {"700": True, "701": True}
    assert not await differences(bench, "shop.customers")


async def test_an_array_that_is_missing_buries_no_child_and_an_empty_one_buries_all(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=30)
    customer = _with_numbers(bench, 2)
    number = customer["customer_id"]
    await synced(bench, "shop.customers")
    bench.sandbox.faults.add(
        "missing-field", api="cyclesoftware", stream="customers", key=number, field="phone_numbers", times=1
    )
    bench.time.pass_by(minutes=2)
    await synced(bench, "shop.customers", kind="sweep")
    assert bench.sandbox.faults.hits("missing-field") == 1
    assert await _numbers(bench, number) == {"700": True, "701": True}

    bench.sandbox.put("cyclesoftware", "customers", {**customer, "phone_numbers": []})
    bench.time.pass_by(minutes=2)
    await synced(bench, "shop.customers")
    assert await _numbers(bench, number) == {"700": False, "701": False}
    assert not await differences(bench, "shop.customers")

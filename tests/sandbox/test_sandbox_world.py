"""The sandbox's world: seeds, changes, lookup keys, the control paths, the configuration."""

import asyncio
import functools
import signal
import sys
import time
import tomllib
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from syncd.sandbox import CREDENTIALS, Sandbox, config_text, serve
from syncd.sandbox.catalog import KEYS
from tests.support.caller import CUSTOMERS, Caller, Clock, calling

STREAMS = [(api, stream) for api, streams in KEYS.items() for stream in streams]


def everything(sandbox: Sandbox) -> dict[tuple[str, str], list[dict[str, Any]]]:
    return {(api, stream): sandbox.truth(api, stream) for api, stream in STREAMS}


def test_a_seed_gives_the_same_world_and_the_same_evolution() -> None:
    one, same, other = (Sandbox(seed=seed, now=Clock()) for seed in (7, 7, 8))
    assert everything(one) == everything(same)
    assert one.truth("cyclesoftware", "customers") != other.truth("cyclesoftware", "customers")
    one.evolve(5)
    same.evolve(5)
    assert everything(one) == everything(same)


def test_a_seed_does_not_depend_on_the_day() -> None:
    late = Clock()
    late.pass_s(400 * 86_400)
    assert everything(Sandbox(now=Clock())) == everything(Sandbox(now=late))


@pytest.mark.parametrize(("api", "stream"), STREAMS)
def test_keys_are_unique_and_streams_have_records(api: str, stream: str) -> None:
    records = Sandbox(now=Clock()).truth(api, stream)
    keys = [tuple(record[field] for field in KEYS[api][stream]) for record in records]
    assert keys
    assert len({*keys}) == len(keys)


@pytest.mark.parametrize(("api", "stream"), [pair for pair in STREAMS if pair != ("autengo", "makes")])
def test_evolution_reaches_every_stream(api: str, stream: str) -> None:
    assert Sandbox(now=Clock()).truth(api, stream) != evolved().truth(api, stream)


@functools.cache
def evolved() -> Sandbox:
    sandbox = Sandbox(now=Clock())
    sandbox.evolve(20)
    return sandbox


@pytest.mark.parametrize(("api", "stream"), STREAMS)
def test_put_get_and_delete_are_seen_at_once(api: str, stream: str) -> None:
    sandbox = Sandbox(now=Clock())
    record = sandbox.truth(api, stream)[-1]
    fields = KEYS[api][stream]
    key = tuple(record[field] for field in fields) if len(fields) > 1 else record[fields[0]]
    assert sandbox.get(api, stream, key) == record
    changed = {**record, "brand_new": 1}
    sandbox.put(api, stream, changed)
    assert sandbox.get(api, stream, key)["brand_new"] == 1
    sandbox.delete(api, stream, key)
    with pytest.raises(KeyError):
        sandbox.get(api, stream, key)
    assert all(
        tuple(one[field] for field in fields) != tuple(record[field] for field in fields)
        for one in sandbox.truth(api, stream)
    )
    sandbox.put(api, stream, record)
    assert _unstamped(sandbox.get(api, stream, key)) == _unstamped(record)


def _unstamped(value: Any) -> Any:
    """Return a record without its times of change."""
    if isinstance(value, list):
        return [_unstamped(each) for each in value]
    if not isinstance(value, dict):
        return value
    stamps = {"updated", "modified_at", "datetime_modified"}
    return {name: _unstamped(each) for name, each in value.items() if name not in stamps}


def test_put_stamps_the_fields_that_show_a_change() -> None:
    sandbox = Sandbox(now=Clock(), zones={"autengo": "UTC"})
    vehicle = sandbox.get("autengo", "vehicles", "AIQWXW")
    sandbox.put("autengo", "vehicles", vehicle)
    assert sandbox.get("autengo", "vehicles", "AIQWXW")["updated"] == "2026-10-01 12:00:00"
    sandbox.put("autengo", "vehicles", vehicle, modified_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert sandbox.get("autengo", "vehicles", "AIQWXW")["updated"] == "2026-10-25 00:30:00"


def test_a_sold_bike_leaves_the_stock_locator_and_comes_back() -> None:
    sandbox = Sandbox(now=Clock())
    item = sandbox.get("cyclesoftware", "stock_items", (1, 18695))
    sandbox.put("cyclesoftware", "stock_items", {**item, "is_sold_to_customer": True})
    with pytest.raises(KeyError):
        sandbox.get("cyclesoftware", "stock", ("1-1", 18695))
    sandbox.put("cyclesoftware", "stock_items", {**item, "store_id": 3})
    assert sandbox.get("cyclesoftware", "stock", ("1-3", 18695))["barcode"] == item["barcode"]


def test_stock_shows_what_is_for_sale() -> None:
    sandbox = Sandbox(now=Clock())
    sandbox.evolve(30)
    for_sale = {
        (f"{item['account_id']}-{item['store_id']}", item["object_id"])
        for item in sandbox.truth("cyclesoftware", "stock_items")
        if not item["is_sold_to_customer"] and not item["is_deleted"]
    }
    assert {(row["store_id"], row["object_id"]) for row in sandbox.truth("cyclesoftware", "stock")} == for_sale


def test_the_odd_spots_of_the_samples_are_there() -> None:
    sandbox = Sandbox(now=Clock())
    customers = sandbox.truth("cyclesoftware", "customers")
    assert any("company_name" not in customer for customer in customers)
    assert any(customer["discount_percentage"] % 1 for customer in customers)
    assert any(customer["title"].endswith(" ") for customer in customers)
    assert any(customer["country_code_iso_3166"] == "sr" for customer in customers)
    numbers = sandbox.truth("cyclesoftware", "customer_phone_numbers")
    assert any(number["customer_id"] != number["_customer_id"] for number in numbers)
    assert any(number["phone_number"] == "" for number in numbers)
    assert {order["attributes"]["bike_color"] for order in sandbox.truth("cyclis", "orders")} >= {False}
    assert {vehicle["isNetPrice"] for vehicle in sandbox.truth("autengo", "vehicles")} >= {"NO", False}
    orders = sandbox.truth("ghs", "orders")
    assert any((order["dateOfBirthCheck"] or "").startswith("/Date(-") for order in orders)
    assert any(product["routeExpiryDate"] == "/Date(-62135596800000)/" for product in sandbox.truth("ghs", "products"))


async def test_lookup_keys_exist_and_cover_the_stock(caller: Caller) -> None:
    lookups = caller.sandbox.lookups
    entries = [{"barcode": code} for code in lookups["stock"]["barcodes"]]
    entries += [{"article_id": code} for code in lookups["stock"]["article_ids"]]
    path = "/api/v1/stock-in-store-locator/stock.json"
    sent = (await caller.call("cyclesoftware", path, method="POST", json=entries)).json()["stock"]
    assert sent == caller.sandbox.truth("cyclesoftware", "stock")
    for uuid in lookups["leads"]["uuids"]:
        assert (await caller.call("cyclesoftware", f"/api/v1/leads/{uuid}.json")).status == 200
    for key in lookups["contacts"]["ids"]:
        assert (await caller.call("autengo", f"/contact/{key}")).status == 200
    for key in lookups["contacts"]["tecfactura_ids"]:
        assert (await caller.call("autengo", f"/contact/tecfactura/{key}")).status == 200
    for code in lookups["products"]["ean_codes"]:
        assert (await caller.call("ghs", "/api/products", {"eanCodes": code})).json()["products"]


async def test_control_paths_serve_other_processes(caller: Caller) -> None:
    base = f"{caller.address.url}/_sandbox"
    truth = (await caller.raw("GET", f"{base}/truth/cyclis/orders")).json()
    assert truth == caller.sandbox.truth("cyclis", "orders")
    added = await caller.raw(
        "POST", f"{base}/faults", json={"fault": "error-500:cyclis.orders@1", "params": {"status": 502}}
    )
    assert added.status == 200
    assert (await caller.call("cyclis", "/orders")).status == 502
    await caller.raw("POST", f"{base}/faults", json={"fault": "reset"})
    assert [fault["name"] for fault in (await caller.raw("GET", f"{base}/faults")).json()["armed"]] == ["reset"]
    assert (await caller.raw("DELETE", f"{base}/faults/reset")).json() == []
    assert (await caller.raw("DELETE", f"{base}/faults")).json() == []
    await caller.raw("POST", f"{base}/evolve", json={"steps": 2})
    assert caller.sandbox.truth("cyclis", "orders") != truth
    record = {**truth[0], "id": "new"}
    await caller.raw("POST", f"{base}/put", json={"api": "cyclis", "stream": "orders", "record": record})
    assert caller.sandbox.get("cyclis", "orders", "new") == record
    await caller.raw("POST", f"{base}/delete", json={"api": "cyclis", "stream": "orders", "key": "new"})
    counts = (await caller.raw("GET", f"{base}/requests")).json()
    assert counts == {"cyclis GET /orders": {"502": 1}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "truth/cyclis/boats", None, 404),
        ("POST", "faults", {"fault": "earthquake"}, 400),
        ("POST", "faults", {"fault": "broken-session:cyclis"}, 400),
        ("POST", "delete", {"api": "cyclis", "stream": "orders", "key": "none"}, 400),
    ],
)
async def test_control_paths_refuse_wrong_words(caller: Caller, method: str, path: str, body: Any, status: int) -> None:
    reply = await caller.raw(method, f"{caller.address.url}/_sandbox/{path}", json=body)
    assert reply.status == status
    assert reply.json()["error"]


async def test_the_configuration_names_every_source_and_key(caller: Caller) -> None:
    config = tomllib.loads(config_text(caller.sandbox, caller.address))
    sources = config["sources"]
    assert {name: source["type"] for name, source in sources.items()} == {
        "shop": "cyclesoftware",
        "lease": "cyclis",
        "cars": "autengo",
        "parts": "ghs",
    }
    for source in sources.values():
        assert source["base_url"] == caller.address.base_url(source["type"])
        assert {key: source[key] for key in CREDENTIALS[source["type"]]} == CREDENTIALS[source["type"]]
    assert sources["shop"]["streams"]["stock"] == caller.sandbox.lookups["stock"]
    assert sources["parts"]["streams"]["products"]["search_terms"]


@pytest.mark.acceptance
async def test_a_huge_world_starts_and_answers_quickly() -> None:
    started_at = time.process_time()
    async with calling(customers=200_000, page_size=1000) as caller:
        assert time.process_time() - started_at < 5
        await caller.call("cyclesoftware", CUSTOMERS, {"offset": 100_000})
        started_at = time.process_time()
        page = await caller.call("cyclesoftware", CUSTOMERS, {"offset": 100_000})
        assert time.process_time() - started_at < 0.2  # 5 ms; of CPU, because other processes may have the machine
        assert len(page.json()["customers"]) == 1000


async def test_only_loopback_is_served() -> None:
    with pytest.raises(ValueError, match="loopback"):
        async with serve(Sandbox(), host="0.0.0.0"):  # noqa: S104 (that is what is refused)
            pass


async def test_the_command_serves_until_it_is_told_to_end() -> None:
    arguments = ["-m", "syncd.sandbox", "--customers", "7", "--fault", "error-500:cyclis.dealers@1"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        text = b""
        while b"[sources.parts.streams.products]" not in text:
            text += await asyncio.wait_for(process.stdout.readline(), 20)
        url = tomllib.loads(text.decode())["sources"]["lease"]["base_url"].removesuffix("/cyclis")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/_sandbox/truth/cyclesoftware/customers") as response:
                assert len(await response.json()) == 7
            async with session.get(f"{url}/_sandbox/faults") as response:
                assert [fault["stream"] for fault in (await response.json())["armed"]] == ["dealers"]
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0


async def test_the_command_refuses_an_unknown_fault() -> None:
    arguments = ["-m", "syncd.sandbox", "--fault", "earthquake"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"there is no fault 'earthquake'" in errors

"""What is buried and what is not: flags, sweeps and their breaker, confirmation, lookups, child rows, killed sweeps."""

import asyncio
import re
from typing import Any

import asyncpg
import pytest

from syncd import config as configuration
from syncd.engine.deletions import CONFIRM_ROWS
from syncd.engine.order import Order, Result
from syncd.sources import specs
from tests.support.bench import Bench, MakeBench
from tests.support.truth import NAMES, differences, told, wrongly_buried

GONE = "_deleted_at IS NOT NULL"


async def synced(bench: Bench, *selectors: str, kind: str = "live", **order: Any) -> Result:
    """Run streams one after the other; each must be ok. Return the last result."""
    for selector in selectors:
        result = await bench.sync(selector, kind, **order)
        assert result.outcome == "ok", (selector, result.error)
    return result


async def last_run(bench: Bench) -> asyncpg.Record:
    return (await bench.fetch("SELECT * FROM syncd.runs ORDER BY run_id DESC LIMIT 1"))[0]


async def keys(bench: Bench, table: str, column: str, where: str = "_deleted_at IS NULL") -> set[Any]:
    return {row[column] for row in await bench.rows(table, where)}


# --- The upstream's own flag ------------------------------------------------------------------------------------------


async def test_a_row_that_is_flagged_as_deleted_bears_a_tombstone_until_the_flag_is_gone(bench: Bench) -> None:
    await synced(bench, "shop.stock_items")
    item = next(item for item in bench.sandbox.truth("cyclesoftware", "stock_items") if not item["is_deleted"])
    where = f"object_id = {item['object_id']} AND account_id = {item['account_id']}"

    bench.sandbox.put("cyclesoftware", "stock_items", {**item, "is_deleted": True, "description": "weg"})
    bench.time.pass_by(minutes=30)
    await synced(bench, "shop.stock_items")
    row = (await bench.rows("cyclesoftware.stock_items", where))[0]
    assert row["_deleted_at"] == bench.time.now()
    assert row["description"] == "weg"
    buried_at = row["_deleted_at"]

    bench.sandbox.put("cyclesoftware", "stock_items", {**item, "is_deleted": True, "description": "echt weg"})
    bench.time.pass_by(minutes=30)
    await synced(bench, "shop.stock_items")
    row = (await bench.rows("cyclesoftware.stock_items", where))[0]
    assert (row["_deleted_at"], row["description"]) == (buried_at, "echt weg"), "the day of its death stays"

    bench.sandbox.put("cyclesoftware", "stock_items", item)
    bench.time.pass_by(minutes=30)
    await synced(bench, "shop.stock_items")
    row = (await bench.rows("cyclesoftware.stock_items", where))[0]
    assert row["_deleted_at"] is None
    assert row["_first_seen_at"] < row["_changed_at"] == bench.time.now()


# --- Sweeps and the breaker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "gone", "outcome"),
    [
        pytest.param(40, 10, "ok", id="a quarter, but only ten rows"),
        pytest.param(40, 11, "failed", id="eleven rows and more than a fifth"),
        pytest.param(60, 12, "ok", id="a fifth exactly"),
        pytest.param(60, 13, "failed", id="more than a fifth"),
        pytest.param(5, 4, "ok", id="nearly all of very few"),
        pytest.param(5, 5, "failed", id="all of very few"),
    ],
)
async def test_a_listing_that_lacks_too_many_rows_buries_nothing(
    make_bench: MakeBench, there: int, gone: int, outcome: str
) -> None:
    bench = await make_bench(dealers=there)
    await synced(bench, "lease.dealers")
    before = await keys(bench, "cyclis.dealers", "id")
    assert len(before) == there
    dead = [dealer["id"] for dealer in bench.sandbox.truth("cyclis", "dealers")[:gone]]
    for key in dead:
        bench.sandbox.delete("cyclis", "dealers", key)
    bench.time.pass_by(hours=6)

    result = await bench.sync("lease.dealers")
    assert result.outcome == outcome
    left = await keys(bench, "cyclis.dealers", "id")
    run = await last_run(bench)
    if outcome == "ok":
        assert {str(key) for key in before - left} == set(dead)
        assert run["rows_deleted"] == gone
        return
    assert left == before
    assert (run["outcome"], run["error_kind"], run["rows_deleted"]) == ("failed", "SweepRefused", 0)
    assert "--accept-deletions" in run["error"]
    assert "lease.dealers" in run["error"]

    assert (await bench.sync("lease.dealers")).outcome == "failed", "it does not wear off"
    await synced(bench, "lease.dealers", accept_deletions=True)
    left = await keys(bench, "cyclis.dealers", "id")
    assert {str(key) for key in before - left} == set(dead)
    assert not await differences(bench, "lease.dealers")


@pytest.mark.parametrize("selector", ["shop.customers", "lease.orders", "cars.vehicles", "parts.orders"])
async def test_a_sweep_finds_what_live_runs_cannot_and_raises_what_returns(
    make_bench: MakeBench, selector: str
) -> None:
    bench = await make_bench(customers=60, vehicles=40)
    name, _, stream = selector.partition(".")
    api = NAMES[name]
    await synced(bench, *(["lease.companies"] if name == "lease" else []), selector)
    records = bench.sandbox.truth(api, stream)
    key = bench.sandbox.world[api, stream].keys()[5]
    record = bench.sandbox.get(api, stream, key)
    bench.sandbox.delete(api, stream, key)
    bench.time.pass_by(hours=2)

    await synced(bench, selector)
    assert await differences(bench, selector), "no API tells of a deletion"
    result = await synced(bench, selector, kind="sweep")
    assert result.counts.deleted == 1
    assert not await differences(bench, selector)
    buried = await bench.rows(f"{api}.{stream}", GONE)
    assert len(buried) == 1
    assert buried[0]["_deleted_at"] == buried[0]["_changed_at"] == bench.time.now()

    assert (await synced(bench, selector, kind="sweep")).counts.deleted == 0, "a dead row dies once"
    bench.time.pass_by(hours=2)
    bench.sandbox.put(api, stream, record)
    await synced(bench, selector)
    assert not await bench.rows(f"{api}.{stream}", GONE)
    raised = [row for row in await bench.rows(f"{api}.{stream}") if row["_changed_at"] == bench.time.now()]
    assert [row["_first_seen_at"] for row in raised] == [buried[0]["_first_seen_at"]]
    assert len(await bench.rows(f"{api}.{stream}")) == len(records)
    found = await differences(bench, selector)
    assert not found, told(found)


@pytest.mark.parametrize("selector", ["shop.customers", "lease.orders", "cars.vehicles", "parts.orders"])
async def test_a_sweep_that_fails_buries_nothing(make_bench: MakeBench, selector: str) -> None:
    bench = await make_bench(customers=60, vehicles=40, orders=120, page_size=10)
    name, _, stream = selector.partition(".")
    await synced(bench, *(["lease.companies"] if name == "lease" else []), selector)
    bench.sandbox.delete(NAMES[name], stream, bench.sandbox.world[NAMES[name], stream].keys()[0])
    bench.time.pass_by(hours=2)
    after = 0 if selector in ("lease.orders", "cars.vehicles") else 1
    bench.sandbox.faults.add("error-500", api=NAMES[name], stream=stream, after=after)

    result = await bench.sync(selector, "sweep")
    assert result.outcome == "failed"
    assert bench.sandbox.faults.hits("error-500") > 1
    assert not await bench.rows(f"{NAMES[name]}.{stream}", GONE)

    bench.sandbox.faults.clear()
    await synced(bench, selector, kind="sweep")
    assert len(await bench.rows(f"{NAMES[name]}.{stream}", GONE)) == 1


@pytest.mark.parametrize("selector", ["shop.customers", "cars.vehicles"])
async def test_what_is_deleted_behind_a_killed_sweep_is_found_by_the_next_one(
    make_bench: MakeBench, selector: str
) -> None:
    bench = await make_bench(customers=60, vehicles=140, page_size=10)
    name, _, stream = selector.partition(".")
    api = NAMES[name]
    await synced(bench, selector)
    bench.time.pass_by(days=1)
    order = Order(kind="sweep")
    seen: list[int] = []

    def killed(result: Result) -> None:
        seen.append(result.pages)
        order.stop.set()

    order.progress = killed
    result = await bench.syncer.run(name, stream, order)
    assert (result.outcome, seen) == ("aborted", [1])
    assert not await bench.rows(f"{api}.{stream}", GONE), "half a listing proves nothing"

    key = bench.sandbox.world[api, stream].keys()[0]
    if selector == "cars.vehicles":  # a sweep walks by `created`: the oldest one is on its first page
        key = min(bench.sandbox.truth(api, stream), key=lambda vehicle: str(vehicle["created"]))["sellingId"]
    bench.sandbox.delete(api, stream, key)
    bench.time.pass_by(minutes=10)
    result = await synced(bench, selector, kind="sweep")
    assert result.counts.deleted == 1
    assert not await differences(bench, selector)


async def test_a_refused_listing_is_not_taken_up_again_at_its_end(bench: Bench) -> None:
    """The models are listed make by make, with a place to resume: what was refused must be asked for anew."""
    await synced(bench, "cars.makes", "cars.models")
    bench.sandbox.faults.add("empty-list", api="autengo", stream="models")
    bench.time.pass_by(days=1)
    result = await bench.sync("cars.models")
    assert (result.outcome, (await last_run(bench))["error_kind"]) == ("failed", "SweepRefused")

    bench.sandbox.faults.clear()
    bench.time.pass_by(minutes=5)
    await synced(bench, "cars.models", accept_deletions=True)
    assert not await bench.rows("autengo.models", GONE)
    assert not await differences(bench, "cars.models")


async def test_a_record_without_a_key_may_be_any_row_that_is_missing(bench: Bench) -> None:
    await synced(bench, "shop.stores")
    bench.sandbox.faults.add("null-key", api="cyclesoftware", stream="stores", row=2)
    bench.time.pass_by(hours=1)
    result = await bench.sync("shop.stores")
    run = await last_run(bench)
    assert (result.outcome, run["error_kind"]) == ("failed", "SweepRefused")
    assert "no usable key" in run["error"]
    assert not await bench.rows("cyclesoftware.stores", GONE)
    rejects = await bench.fetch("SELECT reason FROM syncd.rejects")
    assert len(rejects) == 1

    bench.sandbox.faults.clear()
    bench.time.pass_by(hours=1)
    await synced(bench, "shop.stores")
    assert not await differences(bench, "shop.stores")


# --- Confirmation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["shop.customers", "cars.vehicles"])
async def test_a_row_that_is_missing_from_the_listing_but_alive_when_asked_for_is_kept(
    make_bench: MakeBench, selector: str
) -> None:
    bench = await make_bench(customers=60, vehicles=40)
    name, _, stream = selector.partition(".")
    api = NAMES[name]
    await synced(bench, selector)
    hidden, dead = bench.sandbox.world[api, stream].keys()[4:6]
    bench.sandbox.world.change(api, stream, hidden)
    bench.sandbox.delete(api, stream, dead)
    bench.sandbox.faults.add("row-vanishes", api=api, stream=stream, key=hidden)
    bench.time.pass_by(days=1)

    result = await synced(bench, selector, kind="sweep")
    assert bench.sandbox.faults.hits("row-vanishes") == 1
    assert not await wrongly_buried(bench, selector)
    assert [str(row[1]) for row in await bench.rows(f"{api}.{stream}", GONE)] == [str(dead)]
    assert result.counts.deleted == 1
    assert "alive" in str((await last_run(bench))["notes"])
    found = await differences(bench, selector)
    assert not found, told(found)


async def test_of_very_many_missing_rows_one_that_is_alive_discredits_the_listing(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=CONFIRM_ROWS + 20)
    await synced(bench, "shop.customers")
    before = await keys(bench, "cyclesoftware.customers", "customer_id")
    bench.sandbox.faults.add("empty-list", api="cyclesoftware", stream="customers", times=1)
    bench.time.pass_by(days=1)
    result = await bench.sync("shop.customers", "sweep", accept_deletions=True)
    assert result.outcome == "failed"
    assert (await last_run(bench))["error_kind"] == "SweepRefused"
    assert await keys(bench, "cyclesoftware.customers", "customer_id") == before


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


async def test_a_run_that_is_cancelled_in_a_sweep_buries_nothing(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=60, page_size=10)
    await synced(bench, "shop.customers")
    bench.sandbox.delete("cyclesoftware", "customers", bench.sandbox.world["cyclesoftware", "customers"].keys()[2])
    bench.time.pass_by(days=1)
    order = Order(kind="sweep")
    run = asyncio.ensure_future(bench.syncer.run("shop", "customers", order))
    order.progress = lambda result: None if result.pages < 3 else _cancelled(run)
    with pytest.raises(asyncio.CancelledError):
        await run
    closed = await last_run(bench)
    assert closed["outcome"] == "aborted"
    assert "ended before its next page" in closed["error"]
    assert not await bench.rows("cyclesoftware.customers", GONE)
    assert (await synced(bench, "shop.customers", kind="sweep")).counts.deleted == 1


def _cancelled(run: asyncio.Future[Result]) -> None:
    run.cancel()


async def test_a_stream_that_is_never_listed_in_full_remembers_no_keys(make_bench: MakeBench) -> None:
    bench = await make_bench(sales_orders=60, page_size=10)
    await synced(bench, "shop.sales_orders")
    for key in bench.sandbox.world["cyclesoftware", "sales_orders"].keys()[:30]:
        bench.sandbox.world.change("cyclesoftware", "sales_orders", key)
    bench.time.pass_by(minutes=1)
    assert (await synced(bench, "shop.sales_orders")).pages > 2
    assert not await bench.fetch("SELECT FROM syncd.seen")


async def test_keys_of_a_stopped_listing_are_dropped_by_one_that_fits_a_page(bench: Bench) -> None:
    await synced(bench, "lease.dealers")
    stop = asyncio.Event()
    bench.sandbox.faults.add("linked-pages", api="cyclis", stream="dealers", rows=15)
    bench.time.pass_by(minutes=30)
    stopped = await bench.sync("lease.dealers", stop=stop, progress=lambda _result: stop.set())
    assert stopped.outcome == "aborted"
    assert await bench.fetch("SELECT FROM syncd.seen")
    bench.sandbox.faults.clear()
    bench.time.pass_by(minutes=30)
    assert (await synced(bench, "lease.dealers")).pages == 1
    assert not await bench.fetch("SELECT FROM syncd.seen")

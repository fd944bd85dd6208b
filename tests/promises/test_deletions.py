"""Deletions: only a clean, complete listing buries, and only what is gone upstream."""

import asyncio

import asyncpg
import pytest

from syncd.engine.deletions import CONFIRM_ROWS
from syncd.engine.order import Order, Result
from tests.support.bench import Bench, MakeBench
from tests.support.sweeps import GONE, keys, synced
from tests.support.truth import NAMES, differences, told, wrongly_buried


async def last_run(bench: Bench) -> asyncpg.Record:
    return (await bench.fetch("SELECT * FROM syncd.runs ORDER BY run_id DESC LIMIT 1"))[0]


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

"""`syncd sync`: one run of each stream, a sweep, and Ctrl-C."""

import pytest

from syncd.sandbox import Limits
from tests.support.bench import Bench, MakeBench
from tests.support.command import HELD_S, WallClock, requests_reach, started, syncd
from tests.support.matrix_streams import SIZES
from tests.support.search import trial


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """The bench of every command, with little beside its customers: these commands sync all."""
    limits = Limits(per_minute=10_000, per_day=100_000)
    return await make_bench(time=WallClock(), page_size=50, limits=limits, **(SIZES | {"customers": 250}))


@trial
async def test_sync_prints_a_line_for_each_run_and_repeats_nothing(shop: Bench) -> None:
    path = shop.config_file()
    first = await syncd("sync", "--config", path)
    assert first.code == 0, first
    assert first.row("shop.customers")[1] == "ok"
    assert first.row("shop.customers")[3] == "250"
    assert int(first.row("cars.models")[2]) > 0, "the models were asked for before the makes were there"
    again = await syncd("sync", "shop.customers", "--json", "--config", path)
    assert again.code == 0
    assert [(run["rows_inserted"], run["rows_updated"], run["outcome"]) for run in again.json] == [(0, 0, "ok")]
    fresh = await syncd("sync", "shop.customers", "--wait-fresh", "--timeout", "1m", "--config", path)
    assert (fresh.code, fresh.out) == (0, "1 stream is younger than its interval\n")


async def test_full_sweeps_and_the_breaker_asks_for_accept_deletions(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    for customer in shop.sandbox.truth("cyclesoftware", "customers")[:100]:
        shop.sandbox.delete("cyclesoftware", "customers", customer["customer_id"])
    refused = await syncd("sync", "shop.customers", "--full", "--config", path)
    assert refused.code == 1
    assert "hint: If they are really gone: syncd sync shop.customers --full --accept-deletions" in refused.err
    accepted = await syncd("sync", "shop.customers", "--full", "--accept-deletions", "--json", "--config", path)
    assert accepted.code == 0
    assert accepted.json[0]["rows_deleted"] == 100


async def test_full_asks_again_for_what_is_asked_for_key_by_key(shop: Bench) -> None:
    """An item that was sold and came back looks as before, while its object was read in between."""
    path, selector = shop.config_file(), "shop.stock_objects"
    first = await syncd("sync", "shop.stock_items", selector, "--json", "--config", path)
    assert first.code == 0
    changed = {**shop.sandbox.truth("cyclesoftware", "stock_objects")[0], "store_id": 9}
    shop.sandbox.put("cyclesoftware", "stock_objects", changed)
    for words, updated in (((), 0), (("--full",), 1), ((), 0)):
        again = await syncd("sync", selector, *words, "--json", "--config", path)
        assert (again.code, again.json[0]["rows_updated"]) == (0, updated)
    rows = {row["stock_object_id"]: row["store_id"] for row in await shop.rows("cyclesoftware.stock_objects")}
    assert rows[changed["stock_object_id"]] == 9


@trial
async def test_a_missing_scope_pauses_its_stream_is_told_and_costs_no_exit_code(shop: Bench) -> None:
    path = shop.config_file()
    shop.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="enums")
    first = await syncd("sync", "shop", "--config", path)
    assert first.code == 0, first
    assert first.row("shop.enums")[1] == "paused"
    assert first.row("shop.employees")[1] == "ok"
    assert "answered 403" in first.err
    assert "Ask the vendor for the scope" in first.err
    assert await shop.rows("cyclesoftware.enums") == []
    told = await syncd("sync", "shop.enums", "--json", "--config", path)
    assert (told.code, told.json[0]["outcome"], told.json[0]["paused"]) == (0, "failed", True)
    shop.sandbox.faults.add("error-500", api="cyclesoftware", stream="employees")
    assert (await syncd("sync", "shop.employees", "shop.enums", "--config", path)).code == 1
    shop.sandbox.faults.clear()
    given_back = await syncd("sync", "shop.enums", "--full", "--json", "--config", path)
    assert (given_back.code, given_back.json[0]["paused"]) == (0, False)
    assert given_back.json[0]["rows_inserted"] > 0


async def test_ctrl_c_stops_at_a_page_and_loses_nothing(shop: Bench) -> None:
    shop.sandbox.latency_s = 0.2
    path = shop.config_file()
    async with started("sync", "shop.customers", "--config", path) as running:
        await requests_reach(shop, 3)
        shop.sandbox.latency_s = HELD_S
        running.interrupt()
        ended = await running.ended()
    assert ended.code == 1
    assert ended.row("shop.customers")[1] == "aborted"
    assert "stopped at a page boundary. The next run goes on from here." in ended.err
    shop.sandbox.latency_s, before = 0.0, len(await shop.rows("cyclesoftware.customers"))
    assert 0 < before < 250
    assert (await syncd("sync", "shop.customers", "--config", path)).code == 0
    assert len(await shop.rows("cyclesoftware.customers")) == 250

"""What is read while a person is forgotten does not bring that person back."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from syncd import config as configuration
from syncd.cli.commands import forget as command
from syncd.storage.mirror import table_locks
from syncd.storage.postgres import database
from tests.support.bench import Bench, MakeBench
from tests.support.canary_shop import KEPT, SHOP, canary_shop
from tests.support.forgetting import CANARIES, KEY, canary, erased, leaks


async def forget(bench: Bench, place: str, *keys: object, **options: Any) -> int:
    defaults = {"excluded": False, "undo": False, "dry_run": False, "yes": True, "as_json": True}
    return await command.erase(bench.config_file(KEPT), place, [str(key) for key in keys], **(defaults | options))


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    return await canary_shop(make_bench)


async def waiting(bench: Bench, count: int = 1) -> None:
    """Wait until so many sessions wait for a lock."""
    async with asyncio.timeout(20):
        while len(await bench.fetch("SELECT FROM pg_locks WHERE NOT granted")) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["live", "sweep", "backfill"])
@pytest.mark.parametrize("is_stored", [False, True])
async def test_a_page_that_was_read_before_does_not_bring_a_person_back(
    make_bench: MakeBench, kind: str, is_stored: bool
) -> None:
    bench = await make_bench(customers=30, page_size=10)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    if is_stored:
        assert (await bench.sync(SHOP)).outcome == "ok"
        bench.time.pass_by(hours=1)
        bench.sandbox.put("cyclesoftware", "customers", canary(bench) | {"city": "Elders"})
    order: dict[str, Any] = {"since": bench.time.now().replace(year=2020)} if kind == "backfill" else {}
    async with bench.db.transaction() as conn:
        await table_locks.lock_tables(conn, "shop", [bench.syncer.target("shop", "customers")])
        running = asyncio.ensure_future(bench.sync(SHOP, kind, **order))
        await waiting(bench)
        counts = await erased(bench, conn, SHOP, KEY)
        assert counts.get("cyclesoftware.customers", 0) == is_stored
    result = await running
    assert (result.outcome, result.error) == ("ok", None)
    assert await leaks(bench, *CANARIES, KEY) == []
    (run,) = await bench.fetch("SELECT * FROM syncd.runs ORDER BY run_id DESC LIMIT 1")
    assert run["pages"] == result.pages, "a page that was read again counts once"
    assert run["rows_seen"] == result.counts.seen
    assert len(await bench.rows("cyclesoftware.customers")) == 30


async def test_a_page_under_way_is_waited_for_and_then_erased(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=5)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    assert (await bench.sync("shop.stores")).outcome == "ok"
    async with bench.db.transaction() as held:
        await held.execute("LOCK TABLE syncd.cursors IN EXCLUSIVE MODE")  # where a page ends, its rows written
        running = asyncio.ensure_future(bench.sync(SHOP))
        await waiting(bench)
        forgetting = asyncio.ensure_future(forget(bench, "shop", KEY))
        await waiting(bench, 2)
        assert not forgetting.done()
    assert (await running).outcome == "ok"
    assert await forgetting == 0
    assert await leaks(bench, *CANARIES, KEY) == []
    assert len(await bench.rows("cyclesoftware.customers")) == 5


class Erasing(deque[Any]):
    """The sandbox's log of requests, in which a customer is forgotten while asked for by number."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.counts: dict[str, int] = {}

    def append(self, entry: Any) -> None:
        super().append(entry)
        if entry.path.endswith(f"/{KEY}.json") and not self.counts:
            with ThreadPoolExecutor() as thread:
                thread.submit(asyncio.run, self.erase()).result(20)

    async def erase(self) -> None:
        place = configuration.DatabaseConfig(url=configuration.Secret(self.bench.db_url), data_dir=self.bench.folder)
        opened = await database.connect(place)
        async with opened.transaction() as conn:
            self.counts = await erased(self.bench, conn, SHOP, KEY)
        await opened.close()


async def test_a_row_that_a_sweep_asked_for_by_its_key_is_not_brought_back_either(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=30)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    assert (await bench.sync(SHOP)).outcome == "ok"
    bench.time.pass_by(hours=1)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench) | {"city": "Elders"})
    bench.sandbox.faults.add("row-vanishes", api="cyclesoftware", stream="customers", key=KEY)
    bench.sandbox.requests = erasing = Erasing(bench)
    result = await bench.sync(SHOP, "sweep")
    assert erasing.counts["cyclesoftware.customers"] == 1
    assert (result.outcome, result.counts.inserted) == ("ok", 0)
    assert await leaks(bench, *CANARIES, KEY) == []


async def test_no_marker_costs_no_statement(bench: Bench) -> None:
    """A tick that finds nothing: the same statements as ever, none of them about who was forgotten but the page's."""
    await bench.sync(SHOP)
    said: list[str] = []
    async with bench.db.connection() as conn:
        original = type(conn).fetch

    async def heard(self: Any, query: str, *values: Any, **options: Any) -> Any:
        said.append(query)
        return await original(self, query, *values, **options)

    try:
        type(conn).fetch = heard
        bench.time.pass_by(minutes=5)
        assert (await bench.sync(SHOP)).outcome == "ok"
    finally:
        type(conn).fetch = original
    assert not [query for query in said if "forgotten" in query]

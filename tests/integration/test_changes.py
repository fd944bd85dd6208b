"""The change feed: what it tells, in the order of the commits, and who hears of it."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from syncd.storage.mirror import table_locks, writer
from syncd.storage.mirror.target import Target
from syncd.storage.state import retention
from tests.support.bench import Bench, MakeBench
from tests.support.feed import CUSTOMERS, LONGEST_S, NUMBERS, SIZES, STREAM, first_customer, newest
from tests.support.search import trial
from tests.support.watch import Watch


async def feed(bench: Bench, after: int = 0) -> list[asyncpg.Record]:
    return await bench.fetch("SELECT * FROM syncd.changes WHERE id > $1 ORDER BY id", after)


def told(entries: list[asyncpg.Record]) -> list[tuple[str, str, Any, Any]]:
    return [(e["table_name"], e["operation"], json.loads(e["key"]), e["changed"]) for e in entries]


# --- What is told -----------------------------------------------------------------------------------------------------


async def test_a_run_tells_of_each_row_by_its_key_and_of_no_value(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    loaded = await feed(bench)
    rows = await bench.rows(CUSTOMERS)
    keys = [json.loads(entry["key"]) for entry in loaded if entry["table_name"] == CUSTOMERS]
    assert sorted(key["customer_id"] for key in keys) == [row["customer_id"] for row in rows]
    assert len(loaded) == len(rows) + len(await bench.rows(NUMBERS))
    assert {(entry["operation"], entry["changed"], entry["stream"]) for entry in loaded} == {
        ("insert", None, "customers")
    }
    assert {entry["run_id"] for entry in loaded} == {row["run_id"] for row in await bench.fetch("TABLE syncd.runs")}

    bench.time.pass_by(minutes=20)
    customer = first_customer(bench)
    key = {"customer_id": customer["customer_id"]}
    number = key | {"phone_number_id": customer["phone_numbers"][0]["phone_number_id"]}
    bench.sandbox.put(
        "cyclesoftware", "customers", customer | {"name": "Geheim", "new_field": "Geheim", "email": "g@h"}
    )
    await bench.sync(STREAM)
    after = await newest(bench)
    assert told(await feed(bench, len(loaded))) == [(CUSTOMERS, "update", key, ["name", "email", "_extra"])]

    customer["phone_numbers"][0]["phone_number"] = "0600000000"
    bench.sandbox.put(
        "cyclesoftware", "customers", customer | {"name": "Geheim", "new_field": "Geheim", "email": "g@h"}
    )
    await bench.sync(STREAM)
    assert told(await feed(bench, after)) == [
        (NUMBERS, "update", number, ["phone_number"]),
        (CUSTOMERS, "update", key, []),
    ]
    assert "Geheim" not in str([dict(entry) for entry in await feed(bench)])


async def test_a_row_that_goes_is_deleted_and_one_that_returns_is_inserted(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    customer = first_customer(bench)
    key = {"customer_id": customer["customer_id"]}
    after = await newest(bench)
    bench.sandbox.delete("cyclesoftware", "customers", customer["customer_id"])
    bench.time.pass_by(days=8)
    await bench.sync(STREAM, "sweep", accept_deletions=True)
    bench.sandbox.put("cyclesoftware", "customers", customer)
    await bench.sync(STREAM)
    own = [entry for entry in told(await feed(bench, after)) if entry[0] == CUSTOMERS]
    assert own == [(CUSTOMERS, "delete", key, None), (CUSTOMERS, "insert", key, None)]
    others = [entry[1] for entry in told(await feed(bench, after)) if entry[0] == NUMBERS]
    assert others == ["delete"] * len(customer["phone_numbers"]) + ["insert"] * len(customer["phone_numbers"])


async def test_a_record_that_is_flagged_as_deleted_from_the_start_is_never_told_of(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    item = bench.sandbox.truth("cyclesoftware", "stock_items")[0]
    bench.sandbox.put("cyclesoftware", "stock_items", item | {"is_deleted": True})
    await bench.sync("shop.stock_items")
    buried = await bench.rows("cyclesoftware.stock_items", "_deleted_at IS NOT NULL")
    assert item["object_id"] in {row["object_id"] for row in buried}
    alive = {row["object_id"] for row in await bench.rows("cyclesoftware.stock_items")}
    assert {json.loads(entry["key"])["object_id"] for entry in await feed(bench)} == alive
    bench.time.pass_by(hours=1)
    after = await newest(bench)
    bench.sandbox.put("cyclesoftware", "stock_items", item | {"is_deleted": True, "description": "anders"})
    await bench.sync("shop.stock_items")
    assert await feed(bench, after) == []
    bench.sandbox.put("cyclesoftware", "stock_items", item | {"is_deleted": False})
    await bench.sync("shop.stock_items")
    assert [entry[1] for entry in told(await feed(bench, after))] == ["insert"]


# --- In the order of the commits --------------------------------------------------------------------------------------


class Writing:
    """A transaction that writes one new record of a stream, and waits before it commits."""

    def __init__(self, bench: Bench, selector: str) -> None:
        source, _, stream = selector.partition(".")
        self.bench, self.source = bench, source
        self.target: Target = bench.syncer.target(source, stream)
        api = self.target.table.schema
        self.record = bench.sandbox.world.fresh(api, stream)
        self.has_written, self.may_commit = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._go())

    async def _go(self) -> None:
        async with self.bench.db.transaction() as conn:
            await table_locks.lock_tables(conn, self.source, [self.target])
            read = self.target.intake.read([json.dumps(self.record).encode()])
            written = await writer.write_page(conn, self.target, self.source, read, now=self.bench.time.now())
            assert written.counts.inserted == 1
            self.has_written.set()
            await self.may_commit.wait()

    async def commit(self) -> None:
        self.may_commit.set()
        await asyncio.wait_for(self.task, LONGEST_S)


async def waiting(bench: Bench) -> None:
    """Wait until somebody waits for an advisory lock."""
    async with asyncio.timeout(LONGEST_S):
        query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await bench.fetch(query):  # noqa: ASYNC110  what happens in the server sets no event here
            await asyncio.sleep(0)


async def test_who_remembers_the_last_number_misses_nothing_that_commits_later(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    slow = Writing(bench, "shop.stores")
    await slow.has_written.wait()
    quick = Writing(bench, "lease.companies")
    await waiting(bench)
    assert not quick.has_written.is_set(), "it has got a number before the one that began earlier has committed"
    assert await feed(bench) == []

    await slow.commit()
    seen = await feed(bench)
    assert [entry["stream"] for entry in seen] == ["stores"]
    await asyncio.wait_for(quick.has_written.wait(), LONGEST_S)
    assert await feed(bench, seen[-1]["id"]) == []
    await quick.commit()
    assert [entry["stream"] for entry in await feed(bench, seen[-1]["id"])] == ["companies"]


async def test_with_numbers_of_a_sequence_something_would_be_missed(bench: Bench) -> None:
    await bench.fetch("CREATE TABLE told (id bigint GENERATED ALWAYS AS IDENTITY, who text)")
    async with bench.db.connection() as slow, bench.db.connection() as quick:
        begun = slow.transaction()
        await begun.start()
        await slow.execute("INSERT INTO told (who) VALUES ('slow')")
        await quick.execute("INSERT INTO told (who) VALUES ('quick')")
        [seen] = await bench.fetch("SELECT * FROM told ORDER BY id")
        await begun.commit()
    assert await bench.fetch("SELECT FROM told WHERE id > $1", seen["id"]) == []
    assert len(await bench.fetch("SELECT FROM told")) == 2


async def test_a_transaction_that_fails_leaves_no_gap_in_the_numbers(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    failing = Writing(bench, "shop.stores")
    await failing.has_written.wait()
    failing.task.cancel()
    await asyncio.gather(failing.task, return_exceptions=True)
    assert failing.task.cancelled()
    good = Writing(bench, "lease.companies")
    await good.commit()
    assert [(entry["id"], entry["stream"]) for entry in await feed(bench)] == [(1, "companies")]


FEW = ("shop.customers", "shop.sales_orders", "shop.stock_items", "lease.orders", "cars.vehicles", "cars.makes",
       "parts.orders")  # fmt: skip


@trial
@pytest.mark.parametrize(("streams", "rounds"), [(FEW, 2), ((), 3)], ids=["few", "all"])
async def test_many_runs_at_once_neither_block_each_other_for_good_nor_lose_a_change(
    make_bench: MakeBench, streams: Sequence[str], rounds: int
) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    every = [f"{source.name}.{stream}" for source in bench.config.sources.values() for stream in source.streams]
    selectors = streams or every
    orders = [(selector, "live") for selector in selectors]
    orders += [(s, "backfill") for s in ("shop.customers", "shop.sales_orders", "cars.vehicles")]
    since = bench.time.now() - timedelta(days=400)
    watch = Watch(bench.db)
    for _ in range(rounds):
        results = await asyncio.wait_for(
            asyncio.gather(
                *(bench.sync(name, kind, since=since if kind == "backfill" else None) for name, kind in orders)
            ),
            LONGEST_S,
        )
        assert {(result.name, result.outcome) for result in results} == {(name, "ok") for name, _ in orders}
        bench.time.pass_by(hours=1)
        bench.sandbox.evolve(60)
        await watch.look()
    assert await watch.faults() == []
    assert watch.versions > 20


# --- Who listens ------------------------------------------------------------------------------------------------------


async def test_listeners_hear_of_it_once_it_is_committed_and_of_nothing_else(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    heard: asyncio.Queue[str] = asyncio.Queue()
    conn = await asyncpg.connect(bench.db_url)
    await conn.add_listener("syncd_changes", lambda *args: heard.put_nowait(str(args[-1])))
    writing = Writing(bench, "lease.companies")
    await writing.has_written.wait()
    await conn.execute("SELECT 1")
    assert heard.empty()
    await writing.commit()
    assert await asyncio.wait_for(heard.get(), LONGEST_S) == "lease.companies"

    await bench.sync(STREAM)
    [[pages]] = await bench.fetch("SELECT pages FROM syncd.runs")
    await conn.execute("SELECT 1")
    assert [heard.get_nowait() for _ in range(heard.qsize())] == ["shop.customers"] * pages
    await bench.sync(STREAM)
    await conn.execute("SELECT 1")
    assert heard.empty(), "a run that found nothing new is no news"
    await conn.close()


async def test_who_fell_behind_is_told_so(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PRUNE_BATCH", 3)
    bench = await make_bench(keeps=True, **SIZES)
    since = "SELECT * FROM syncd.changes_since($1, 5)"
    assert await bench.fetch(since, 0) == []
    await bench.sync(STREAM)
    many = await newest(bench)
    assert [entry["id"] for entry in await bench.fetch(since, 0)] == [1, 2, 3, 4, 5]
    assert [entry["id"] for entry in await bench.fetch(since, many - 1)] == [many]
    assert await bench.fetch(since, many) == []

    bench.time.pass_by(days=31)
    await bench.sync("lease.companies")
    all_told = await newest(bench)
    assert await retention.prune(bench.db, {"changes": bench.time.now() - timedelta(days=30)}) == {"changes": many}
    assert [entry["id"] for entry in await bench.fetch(since, many)] == list(range(many + 1, all_told + 1))[:5]
    for position in (0, many - 1):
        with pytest.raises(asyncpg.NoDataFoundError, match=f"from {position + 1} to {many} are no longer kept"):
            await bench.fetch(since, position)
    with pytest.raises(asyncpg.NoDataFoundError, match=f"the newest change is {all_told}, not {all_told + 1}"):
        await bench.fetch(since, all_told + 1)

    bench.time.pass_by(days=31)
    assert await retention.prune(bench.db, {"changes": bench.time.now()}) == {"changes": all_told - many - 1}
    assert await newest(bench) == all_told, "the last change stays: the next number comes of it"
    assert await bench.fetch(since, all_told) == []
    with pytest.raises(asyncpg.NoDataFoundError):
        await bench.fetch(since, all_told - 2)

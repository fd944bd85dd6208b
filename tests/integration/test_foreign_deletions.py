"""Rows that others delete, and locks that others hold."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from syncd.errors import DatabaseError, LockHeld
from syncd.sources import registry
from syncd.status import collect
from syncd.status.model import StreamStatus
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state.runs import stream_lock
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.foreign import execute
from tests.support.search import sampled, trial

# --- What others demand of our rows -----------------------------------------------------------------------------------


CUSTOMERS = "cyclesoftware.customers"


# --- Rows that others delete ------------------------------------------------------------------------------------------


async def state_of(bench: Bench, stream: str) -> StreamStatus:
    found = await collect(bench.db, bench.config, registry(), now=bench.time.now())
    return next(one for one in found.streams if one.name == stream)


DELETIONS = {
    "TRUNCATE cyclesoftware.customers CASCADE": "cyclesoftware.customers",
    "TRUNCATE cyclesoftware.customers, cyclesoftware.customer_phone_numbers CASCADE": "customer_phone_numbers",
    "DELETE FROM cyclesoftware.customers WHERE customer_id % 2 = 0": "cyclesoftware.customers",
    "TRUNCATE cyclesoftware.customer_phone_numbers": "cyclesoftware.customer_phone_numbers",
    "SET session_replication_role = replica; DELETE FROM cyclesoftware.customers": "cyclesoftware.customers",
}


@pytest.mark.parametrize("statement", sampled(DELETIONS, every=3))
async def test_rows_that_others_delete_are_missed_and_a_full_sync_brings_them_back(
    make_bench: MakeBench, db_url: str, statement: str
) -> None:
    bench = await make_bench(page_size=20)
    for stream in ("shop.customers", "shop.stores"):
        await bench.sync(stream)
    tables = (CUSTOMERS, "cyclesoftware.customer_phone_numbers")
    content = "SELECT count(*), sum(hashtextextended((t.*)::text, 0)) FROM (SELECT {} FROM {}) t"
    columns = ["customer_id, name, email, _deleted_at", "customer_id, phone_number_id, phone_number, _deleted_at"]
    queries = [content.format(*pair) for pair in zip(columns, tables, strict=True)]
    before = [await bench.fetch(query) for query in queries]
    assert (await state_of(bench, "shop.customers")).state == "fresh"
    await execute(db_url, statement, role="postgres")
    await bench.sync("shop.customers")  # a live run finds nothing new, and does not make it whole
    told = await state_of(bench, "shop.customers")
    assert told.state == "failing"
    assert "rows are missing" in told.why
    assert DELETIONS[statement] in told.why
    assert "by role postgres" in told.why
    assert "syncd sync shop.customers --full" in told.why
    assert (await state_of(bench, "shop.stores")).state == "fresh"
    checked = await syncd("check", "--config", bench.config_file())
    assert "rows are missing" in checked.out
    assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
    assert (await state_of(bench, "shop.customers")).state == "fresh"
    assert [await bench.fetch(query) for query in queries] == before


@trial
async def test_of_a_stream_that_only_a_backfill_lists_the_backfill_brings_rows_back(
    make_bench: MakeBench, db_url: str
) -> None:
    bench = await make_bench()
    since = bench.time.now() - timedelta(days=3650)
    await bench.sync("shop.sales_orders", "backfill", since=since)
    await bench.sync("shop.sales_orders")
    count = len(await bench.rows("cyclesoftware.sales_orders"))
    assert count > 0
    await execute(db_url, "TRUNCATE cyclesoftware.sales_orders CASCADE")
    told = await state_of(bench, "shop.sales_orders")
    assert (told.state, "syncd backfill shop.sales_orders --since" in told.why) == ("failing", True)
    await bench.sync("shop.sales_orders", "backfill", since=since - timedelta(days=1))
    assert len(await bench.rows("cyclesoftware.sales_orders")) == count
    assert (await state_of(bench, "shop.sales_orders")).state == "fresh"


async def test_every_table_of_the_mirror_is_watched(db: Database) -> None:
    query = """
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attname = '_first_seen_at' AND c.relkind = 'r'
      AND 2 <> (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A')
    """
    async with db.connection() as conn:
        assert await conn.fetchval("SELECT count(DISTINCT tgrelid) FROM pg_trigger WHERE tgenabled = 'A'") > 15
        assert [row["name"] for row in await conn.fetch(query)] == []


# --- Locks ------------------------------------------------------------------------------------------------------------


async def test_who_knows_only_the_words_of_a_lock_cannot_take_it(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    stranger = await asyncpg.connect(db_url.replace("//syncd@", "//postgres@"))
    try:
        numbers = [stream_lock("shop", "stores", kind) for kind in ("live", "backfill")]
        numbers.append(lock_number("table", "shop", bench.syncer.target("shop", "stores").name))
        for number in numbers:
            await stranger.execute("SELECT pg_advisory_lock($1)", number)
        async with asyncio.timeout(20):
            assert (await bench.sync("shop.stores")).outcome == "ok"
    finally:
        await stranger.close()


async def test_a_stranger_who_holds_a_lock_is_named(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    stranger = await asyncpg.connect(
        db_url.replace("//syncd@", "//postgres@"), server_settings={"application_name": "a BI tool"}
    )
    try:
        await stranger.execute("SELECT pg_advisory_lock(syncd.lock_key($1))", stream_lock("shop", "stores", "live"))
        with pytest.raises(LockHeld, match=r"its lock is held by role postgres \(session \d+ .*a BI tool") as caught:
            await bench.sync("shop.stores")
        assert f"pg_terminate_backend({stranger.get_server_pid()})" in caught.value.hint
        checked = await syncd("check", "--config", bench.config_file())
        assert "the lock of shop.stores is held by role postgres" in checked.out
        await stranger.execute(f"SELECT pg_advisory_unlock_all(), pg_advisory_lock({migrations.LOCK})")
        with pytest.raises(DatabaseError, match="the lock of migrations is held by role postgres"):
            await migrations.migrate(bench.db)
    finally:
        await stranger.close()


async def test_a_process_of_an_older_version_and_a_new_one_never_run_a_stream_at_once(
    make_bench: MakeBench, db_url: str
) -> None:
    bench = await make_bench()
    number = stream_lock("shop", "stores", "live")
    old = await asyncpg.connect(db_url)
    try:
        opening = "SELECT taken FROM syncd.open_run($1, 'shop', 'stores', 'live', 'live', 'live', now(), 'old', 1)"
        assert await old.fetchval(opening, number)
        with pytest.raises(LockHeld):
            await bench.sync("shop.stores")
        await old.fetchval("SELECT pg_advisory_unlock($1)", number)  # as it gives its lock back: in vain
        with pytest.raises(LockHeld):
            await bench.sync("shop.stores")
        assert await old.fetchval(opening, number)
    finally:
        await old.close()
    assert (await bench.sync("shop.stores")).outcome == "ok"

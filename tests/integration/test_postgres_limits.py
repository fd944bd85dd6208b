"""What has an end: waiting for a lock, a statement, and how long runs and rejects are kept."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from syncd.errors import DatabaseBusy
from syncd.service import house
from syncd.storage.postgres import session
from syncd.storage.postgres.database import Database
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Now, count, serving, until, write


@pytest.fixture
async def short(monkeypatch: pytest.MonkeyPatch, make_bench: MakeBench) -> Bench:
    """A bench whose connections have little patience."""
    monkeypatch.setitem(session.SETTINGS, "lock_timeout", "200ms")
    monkeypatch.setitem(session.SETTINGS, "statement_timeout", "2s")
    bench = await make_bench()
    bench.db.drop_idle()
    return bench


@pytest.fixture
async def other(db_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of somebody else's."""
    conn = await asyncpg.connect(db_url)
    yield conn
    await conn.close()


async def test_a_stuck_lock_fails_the_run_of_its_table_in_words_and_no_other(
    short: Bench, other: asyncpg.Connection
) -> None:
    holding = other.transaction()
    await holding.start()
    await other.execute("LOCK TABLE cyclesoftware.customers")
    async with asyncio.timeout(20):
        stuck, free = await asyncio.gather(short.sync("shop.customers"), short.sync("shop.stores"))
    assert (stuck.outcome, free.outcome) == ("failed", "ok")
    assert isinstance(stuck.error, DatabaseBusy)
    assert "shop.customers: a lock in the database" in str(stuck.error)
    assert "pg_stat_activity" in stuck.error.hint
    (run,) = await short.fetch("SELECT outcome, error, error_kind FROM syncd.runs WHERE stream = 'customers'")
    assert (run["outcome"], run["error_kind"]) == ("failed", "DatabaseBusy")
    assert "canceling statement due to lock timeout" in run["error"]
    await holding.rollback()
    again = await short.sync("shop.customers")
    assert again.outcome == "ok"
    assert len(await short.rows("cyclesoftware.customers")) == len(short.sandbox.truth("cyclesoftware", "customers"))


async def test_a_statement_without_end_is_ended(short: Bench) -> None:
    with pytest.raises(DatabaseBusy, match="took too long: canceling statement due to statement timeout"):
        async with short.db.connection() as conn:
            await conn.execute("SELECT pg_sleep(60)")


async def test_what_an_administrator_cancels_fails_one_run(short: Bench, other: asyncpg.Connection) -> None:
    async def canceled() -> bool:
        found = await other.fetchval(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
            " AND state = 'active' AND pid != pg_backend_pid()"
        )
        return bool(found)

    async def sleep() -> None:
        async with short.db.connection() as conn:
            await conn.execute("SELECT pg_sleep(60)")

    sleeping = asyncio.create_task(sleep())
    await until(canceled)
    with pytest.raises(DatabaseBusy, match="due to user request"):
        await sleeping


# --- Retention --------------------------------------------------------------------------------------------------------


async def test_the_daemon_keeps_history_for_as_long_as_the_configuration_says(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(time=Now())
    for age in ("1 day", "10 days", "100 days"):
        await bench.fetch(
            "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome)"
            f" SELECT 'gone', 'things', 'live', 'live', t, t, 'failed' FROM (SELECT now() - interval '{age}' AS t) AS t"
        )
        await bench.fetch(
            "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at,"
            f" last_seen_at) SELECT 'gone', 'things', '{age}', '', '{age}', 1, t, t"
            f" FROM (SELECT now() - interval '{age}' AS t) AS t"
        )
    monkeypatch.setattr(house, "PRUNE_S", 1.0)
    kept = '[retention]\nruns = "7d"\nrejects = "30d"\n'
    async with serving(write(bench, {"shop.stores": 'every = "1h"'}, extra=kept)):

        async def pruned() -> bool:
            return (
                await count(bench, "syncd.rejects") == 2 and await count(bench, "syncd.runs WHERE source='gone'") == 1
            )

        await until(pruned)
    assert [row[0] for row in await bench.fetch("SELECT reason FROM syncd.rejects ORDER BY 1")] == ["1 day", "10 days"]


async def test_a_statement_that_was_cut_short_costs_nobody_else_a_connection(db: Database) -> None:
    async def sleep() -> None:
        async with db.connection() as conn:
            await conn.execute("SELECT pg_sleep(60)")

    sleeping = asyncio.ensure_future(sleep())
    async with db.connection() as conn:
        while not await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"):
            pass
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    async with db.connection() as one, db.connection() as other:
        assert (await one.fetchval("SELECT 1"), await other.fetchval("SELECT 2")) == (1, 2)

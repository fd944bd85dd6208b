"""Behind pgbouncer: in session mode everything works, transaction mode is refused in words."""

import asyncio
import signal
from pathlib import Path

import asyncpg
import pytest

from syncd import config as configuration
from syncd.errors import DatabaseError
from syncd.storage.postgres import database, session
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import Now, count, mirrors_customers, serving, spawned, until, write
from tests.support.postgres import pgbouncer


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), customers=60, page_size=20)


async def test_daemon_commands_and_sweep_work_in_session_mode(live: Bench, tmp_path: Path) -> None:
    async with pgbouncer(tmp_path, live.db_url, mode="session", size=60) as url:
        path = write(live, {"shop.customers": 'every = "1s"\nsweep = "2s"', "lease.orders": 'every = "1h"'}, url=url)
        async with spawned(path) as process:
            await until(mirrors_customers(live))
            gone = live.sandbox.truth("cyclesoftware", "customers")[3]["customer_id"]
            live.sandbox.delete("cyclesoftware", "customers", gone)
            await until(mirrors_customers(live))
            ended = await syncd("sync", "lease", "--json", "--config", path)
            assert [run["outcome"] for run in ended.json] == ["ok"]
            code, _ = await process.end(signal.SIGTERM)
        assert code == 0
        checked = await syncd("check", "--config", path)
    assert checked.code == 0, checked.out
    assert await count(live, "syncd.runs WHERE kind = 'sweep' AND outcome = 'ok'")
    assert await count(live, "syncd.runs WHERE outcome NOT IN ('ok', 'aborted')") == 0


async def test_the_settings_of_a_session_and_its_locks_hold_in_session_mode(live: Bench, tmp_path: Path) -> None:
    async with pgbouncer(tmp_path, live.db_url, mode="session") as url:
        settings = configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=tmp_path)
        one, other = await database.connect(settings), await database.connect(settings)
        try:
            async with one.connection() as conn:
                found = [await conn.fetchval(f"SHOW {name}") for name in ("lock_timeout", "statement_timeout")]
            assert found == ["1min", "10min"]
            assert await one.try_lock(7)
            assert await other.try_lock(7) is None
            await one.unlock(7)
            assert await other.try_lock(7)
        finally:
            await one.close()
            await other.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_transaction_mode_is_refused_and_told(live: Bench, tmp_path: Path, mode: str) -> None:
    async with pgbouncer(tmp_path, live.db_url, mode=mode) as url:
        path = write(live, {"shop.customers": 'every = "1s"'}, url=url)
        checked = await syncd("check", "--config", path)
        assert checked.code == 3
        assert "pool_mode = transaction" in " ".join(checked.out.split())
        assert "Set pool_mode = session" in " ".join(checked.out.split())
        with pytest.raises(DatabaseError, match="gives each transaction another session"):
            async with serving(path):
                pass
    assert await count(live, "syncd.runs") == 0


async def test_transaction_mode_is_found_while_others_use_the_pool(live: Bench, tmp_path: Path) -> None:
    async with pgbouncer(tmp_path, live.db_url, mode="transaction") as url:
        settings = configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=tmp_path)

        async def busy() -> None:
            conn = await asyncpg.connect(url, statement_cache_size=0)
            while True:
                await conn.execute("SELECT 1")

        others = [asyncio.create_task(busy()) for _ in range(4)]
        try:
            for _ in range(10):
                with pytest.raises(DatabaseError, match="gives each transaction another session"):
                    await database.connect(settings)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)


async def test_a_pool_that_is_too_small_is_told(live: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_TIMEOUT_S", 0.5)
    async with pgbouncer(tmp_path, live.db_url, mode="session", size=1) as url:
        settings = configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=tmp_path)
        with pytest.raises(DatabaseError, match="gave no second session") as told:
            await database.connect(settings)
        assert "default_pool_size" in told.value.hint

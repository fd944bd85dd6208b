"""Accounts that a query gives: they come and go while the daemon runs, and a wrong one costs no other."""

import os
import signal

import aiohttp
import msgspec
import pytest

from syncd.sandbox import CREDENTIALS
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock
from tests.support.daemon import Events, serving, spawned, until, was_told, write

QUERY = (
    '[sources_from]\nquery = "SELECT name, type, base_url, username, password, options FROM accounts"\nevery = "1s"\n'
)


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    return await make_bench(time=WallClock(), customers=5)


async def add(bench: Bench, name: str, held: str = "env:SHOP_PASSWORD") -> None:
    """Add an account to the table, of which the stores are read and nothing else."""
    from syncd.sources import registry

    streams: dict[str, object] = {each: {"enabled": False} for each in registry()["cyclesoftware"].names}
    streams["stores"] = {"every": "1s"}
    await bench.fetch(
        "INSERT INTO accounts VALUES ($1, 'cyclesoftware', $2, $3, $4, $5)", name,
        bench.address.base_url("cyclesoftware"), CREDENTIALS["cyclesoftware"]["username"], held,
        msgspec.json.encode({"streams": streams}).decode(),
    )  # fmt: skip


async def test_accounts_of_a_table_come_and_go_and_a_failing_query_changes_nothing(
    live: Bench, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", str(CREDENTIALS["cyclesoftware"]["password"]))
    await live.fetch(
        "CREATE TABLE accounts (name text, type text, base_url text, username text, password text, options jsonb)"
    )
    await add(live, "shop")
    await add(live, "plain", "hunter2")

    async def runs_of(name: str, more_than: int = 0) -> bool:
        found = await live.fetch("SELECT FROM syncd.runs WHERE source = $1 AND outcome = 'ok'", name)
        return len(found) > more_than

    async def reloaded(removed: list[str]) -> bool:
        return any(event["event"] == "config_reloaded" and event["removed"] == removed for event in events)

    path = write(live, {}, extra=QUERY)
    async with serving(path) as url, aiohttp.ClientSession() as http:

        async def notices() -> list[str]:
            async with http.get(f"{url}api/status") as answer:
                return [notice["what"] for notice in (await answer.json())["notices"]]

        await until(lambda: runs_of("shop"))
        left = [event for event in events if event["event"] == "source_left_out"]
        assert [event["source"] for event in left] == ["plain"]
        assert "a secret does not stand in a table" in left[0]["error"]

        await add(live, "second")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: runs_of("second"))
        await live.fetch("DELETE FROM accounts WHERE name = 'shop'")
        await until(lambda: reloaded(["shop"]))  # by itself

        await live.fetch("ALTER TABLE accounts RENAME TO away")
        await until(lambda: was_told(events, "accounts_refused"))
        assert "accounts_refused" in await notices()
        had = len(await live.fetch("SELECT FROM syncd.runs WHERE source = 'second' AND outcome = 'ok'"))
        await until(lambda: runs_of("second", had))
        await live.fetch("ALTER TABLE away RENAME TO accounts")

        async def settled() -> bool:
            return "accounts_refused" not in await notices()

        await until(settled)
    assert "hunter2" not in str(events)
    assert [event["event"] for event in events].count("accounts_refused") == 1


async def test_a_database_of_accounts_that_is_away_at_the_start_is_waited_for_and_told(live: Bench) -> None:
    path = write(live, {}, url="postgresql://nobody@127.0.0.1:9/nothing", extra=QUERY)
    async with spawned(path) as process:

        async def told() -> bool:
            return bool(process.events("database_lost"))

        await until(told)
        assert process.process.returncode is None

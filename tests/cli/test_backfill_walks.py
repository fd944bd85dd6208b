"""`syncd backfill`: its walk, its cursor, and what it never overwrites."""

import asyncio
from typing import Any

import pytest

from tests.support.bench import Bench
from tests.support.command import (
    HELD_S,
    asked,
    requests_reach,
    started,
    syncd,
)


async def live_cursor(bench: Bench, stream: str = "customers") -> Any:
    found = await bench.fetch("SELECT cursor FROM syncd.cursors WHERE stream = $1 AND kind = 'live'", stream)
    return found[0]["cursor"] if found else None


async def test_backfill_is_estimated_without_a_trace_and_then_walked_once(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    cursor = await live_cursor(shop)
    words = ["backfill", "shop.customers", "--since", "2020-01-01", "--config", str(path)]
    dry = await syncd(*words, "--dry-run", "--json")
    assert dry.code == 0
    (cost,) = dry.json
    assert (cost["rows"], cost["page_rows"], cost["requests"] >= 5) == (250, 50, True)
    assert cost["takes_s"] > 0 < cost["quota_days"] < 1
    assert not await shop.fetch("SELECT FROM syncd.runs WHERE kind = 'backfill'")

    first = await syncd(*words)
    assert first.code == 0
    assert first.row("shop.customers")[1:3] == ["backfill", "ok"]
    assert first.row("shop.customers")[4:6] == ["0", "0"]
    assert "about 250 rows" in first.err
    spent = asked(shop)
    second = await syncd(*words)
    assert second.code == 0
    assert "complete since" in second.err
    assert asked(shop) == spent, "a range that is complete was walked again"
    assert (await syncd(*words, "--again")).code == 0
    assert asked(shop) > spent
    assert await live_cursor(shop) == cursor


async def test_backfill_stops_at_a_page_says_how_to_go_on_and_does_while_live_runs_go_on(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.stores")
    shop.sandbox.latency_s = 0.2
    words = ["backfill", "shop.customers", "--since", "2020-01-01", "--config", str(path)]
    async with started(*words) as running:
        await requests_reach(shop, 4)
        shop.sandbox.latency_s = HELD_S
        live = asyncio.create_task(shop.sync("shop.customers"))  # another process, the same stream
        running.interrupt()
        ended = await running.ended()
        shop.sandbox.latency_s = 0.0
    assert ended.code == 1
    assert f"to go on: syncd {' '.join(words)}" in ended.err
    assert (await live).outcome == "ok"
    cursor, spent = await live_cursor(shop), asked(shop)
    done = await syncd(*words)
    assert done.code == 0
    assert "goes on where it stopped" in done.err
    assert asked(shop) - spent < 5, "it began anew"
    assert await live_cursor(shop) == cursor


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["to walk", "dry run"])
async def test_backfill_stops_while_it_still_estimates(shop: Bench, more: tuple[str, ...]) -> None:
    shop.sandbox.faults.add("hang", api="cyclesoftware")
    words = ["backfill", "shop.customers", "--since", "2020-01-01", *more, "--config", str(shop.config_file())]
    async with started(*words) as running:
        await requests_reach(shop, 1)
        running.process.terminate()
        ended = await asyncio.wait_for(running.ended(), 20)
    assert ended.code == 1
    assert "stopping at the next page" in ended.err
    if not more:
        assert ended.row("shop.customers")[1:3] == ["backfill", "aborted"]
        assert f"to go on: syncd {' '.join(words)}" in ended.err
    assert await shop.fetch("SELECT FROM syncd.runs") == []


async def test_backfill_overwrites_nothing_newer(shop: Bench) -> None:
    await shop.sync("shop.customers")
    shop.sandbox.latency_s = 0.2
    async with started(
        "backfill", "shop.customers", "--since", "2020-01-01", "--config", shop.config_file()
    ) as running:
        await requests_reach(shop, asked(shop) + 2)
        shop.sandbox.latency_s = HELD_S
        async with shop.db.connection() as conn:  # as a live run would that fetched a later state of every row
            await conn.execute(
                "UPDATE cyclesoftware.customers"
                " SET city = 'Nieuwstad', _hash = NULL, _changed_at = now() + interval '1 min'"
            )
        shop.sandbox.latency_s = 0.0
        assert (await running.ended()).code == 0
    assert {row["city"] for row in await shop.rows("cyclesoftware.customers")} == {"Nieuwstad"}

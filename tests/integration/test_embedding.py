"""syncd in a program of its user: the Python interface, and waiting until streams are fresh."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest

from syncd import SyncdError, open_mirror
from syncd.cli.waiting import make_fresh
from syncd.errors import ConfigError, UsageError
from syncd.sandbox.limits import Limits
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, syncd
from tests.support.daemon import write
from tests.support.search import trial


async def test_a_program_syncs_asks_for_the_status_and_reads_runs(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=30)
    path = bench.config_file()
    handlers = list(logging.getLogger().handlers)
    async with open_mirror(path) as mirror:
        assert [trouble.words for trouble in await mirror.troubles("shop.customers")] == [
            "shop.customers is late: no run has succeeded yet"
        ]
        [run] = await mirror.sync("shop.customers")
        assert (run.name, run.outcome, run.is_good, run.rows_inserted) == ("shop.customers", "ok", True, 30)
        bench.sandbox.faults.add("missing-list", api="cyclesoftware", stream="stores")
        [failed] = await mirror.sync("shop.stores")
        assert (failed.outcome, failed.is_good) == ("failed", False)
        assert failed.error
        assert await mirror.troubles("shop.customers") == []
        [stream] = (await mirror.status("shop.customers", counts_rows=True)).streams
        assert (stream.state, stream.rows and stream.rows.alive) == ("fresh", 30)
        [bad] = await mirror.runs("shop", failed=True)
        assert (bad.name, bad.run.outcome) == ("shop.stores", "failed")
        assert await mirror.runs(since=timedelta(0)) == []
        requests = len(bench.sandbox.requests)
        assert await mirror.sync("shop.customers", wait_fresh=True) == []
        assert len(bench.sandbox.requests) == requests, "a young stream was run"
        with pytest.raises(UsageError, match="matches no stream"):
            await mirror.sync("shop.custommers")
    assert logging.getLogger().handlers == handlers, "the program's own logging was changed"


@trial
async def test_a_source_that_is_left_out_is_told_where_all_is_synced(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), limits=Limits(per_minute=10_000, per_day=100_000))
    path = write(bench, {"shop.stores": ""}, extra='[sources.web]\ntype = "lightspeed"\nshop = "x"\n')
    async with open_mirror(path) as mirror:
        assert "lightspeed is not installed" in mirror.left_out["web"]
        *ran, told = await mirror.sync()
        assert [(run.name, run.is_good) for run in ran] == [("shop.stores", True)]
        assert (told.name, told.outcome, told.is_good) == ("web", "failed", False)
        assert "source web is left out: the source type lightspeed is not installed" in (told.error or "")
        assert [run.name for run in await mirror.sync("shop")] == ["shop.stores"]
        assert [run.name for run in await mirror.sync("*.stores", wait_fresh=True)] == ["web"]
        with pytest.raises(UsageError, match="left out"):
            await mirror.sync("web")
    ended = await syncd("sync", "--json", "--config", path)
    assert (ended.code, [run["stream"] for run in ended.json]) == (1, ["stores"])
    assert "source web is left out" in ended.err
    for selectors, code in ((), 1), (("*.stores",), 1), (("shop",), 0):
        young = await syncd("sync", *selectors, "--wait-fresh", "--config", path)
        assert (young.code, young.out) == (code, "1 stream is younger than its interval\n")
        assert ("source web is left out" in young.err) is True
    checked = await syncd("check", "--json", "--config", path)
    [found] = [one for one in checked.json if one["what"] == "source web"]
    assert (checked.code, found["state"]) == (2, "failed")


async def test_a_program_without_a_loop_does_the_same_and_one_with_a_loop_is_told(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=5)
    path = bench.config_file()

    def program() -> tuple[int, str, int]:
        with open_mirror(str(path)) as mirror:
            [run] = mirror.sync("shop.customers")
            return run.rows_inserted, mirror.status("shop.customers").line, len(mirror.runs(limit=5))

    assert await asyncio.to_thread(program) == (5, "1 stream: 1 fresh", 1)
    with pytest.raises(UsageError, match="event loop"), open_mirror(path):
        pass
    with pytest.raises(ConfigError, match="no configuration file found") as told:
        async with open_mirror(Path("/nowhere/config.toml")):
            pass
    assert isinstance(told.value, SyncdError)


async def test_a_stream_that_another_process_runs_is_waited_for_and_not_run_twice(bench: Bench) -> None:
    bench.sandbox.latency_s = 0.2
    other = asyncio.create_task(bench.sync("shop.customers"))
    while not await bench.fetch("SELECT 1 FROM syncd.runs WHERE outcome = 'running'"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    waited = await make_fresh(
        bench.syncer, [("shop", "customers")], timeout_s=86_400.0, stop=asyncio.Event(), quiet=True,
        sleep=bench.time.sleep,
    )  # fmt: skip
    assert (await other).outcome == "ok"  # its row tells the end a moment before the task does
    assert (waited.results, waited.is_fresh) == ([], True)
    assert len(await bench.fetch("SELECT FROM syncd.runs")) == 1


async def test_waiting_until_fresh_runs_what_is_old_retries_what_fails_and_gives_up_in_time(bench: Bench) -> None:
    pairs = [("shop", "customers"), ("shop", "stores")]

    async def wait(timeout_s: float = 3600.0) -> tuple[list[str], list[str], str]:
        waited = await make_fresh(
            bench.syncer, pairs, timeout_s=timeout_s, stop=asyncio.Event(), quiet=True, sleep=bench.time.sleep
        )
        results = [f"{result.name} {result.outcome}" for result in waited.results]
        return results, [".".join(pair) for pair in waited.stale], waited.gave_up

    await bench.sync("shop.customers")
    assert await wait() == (["shop.stores ok"], [], ""), "customers are young"
    bench.time.pass_by(days=2)
    bench.sandbox.faults.add("missing-list", api="cyclesoftware", stream="stores", times=1)
    made, stale, _ = await wait()
    assert (made[0], made[-1], stale) == ("shop.customers ok", "shop.stores ok", [])
    assert "shop.stores failed" in made
    bench.time.pass_by(days=2)
    bench.sandbox.faults.add("missing-list", api="cyclesoftware", stream="stores")
    made, stale, why = await wait(60.0)
    assert (stale, why) == (["shop.stores"], "that did not come about in 60 s")
    bench.sandbox.faults.clear()
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    assert (await wait())[1:] == (["shop.stores"], "waiting does not help")

"""Workers under hard treatment, each trial a minute or more: killed, stopped for long, cut off from the database.

With SYNCD_TRIAL_KILLS, SYNCD_TRIAL_STOPPED_S and SYNCD_TRIAL_ACCOUNTS a trial is shorter than what was promised.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from syncd.engine import schedule
from syncd.sandbox import Limits
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import Gate, Now, Process, through, until
from tests.support.workers import all_ran, crossing, held, newest_run, runs_since, shared, working, write

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
SCALE = "shards = 256\nlease = '3s'"
ACCOUNTS = 40
KILLS = int(os.environ.get("SYNCD_TRIAL_KILLS", "20"))
STOPPED_S = float(os.environ.get("SYNCD_TRIAL_STOPPED_S", "60"))
EVERY_S = 120
MANY = int(os.environ.get("SYNCD_TRIAL_ACCOUNTS", "2000"))


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=1_000_000, per_day=10_000_000))


async def timed(bench: Bench, pids: Collection[int], timeout_s: float = 30.0) -> float:
    """Return how long it takes until these workers share everything and every account has run."""
    began, since = time.monotonic(), await newest_run(bench)
    await until(shared(bench, pids, 256), timeout_s)
    took_s = time.monotonic() - began
    await all_ran(bench, ACCOUNTS, since, pids, timeout_s)
    return took_s


async def test_whoever_is_killed_has_heirs_within_five_seconds(bench: Bench) -> None:
    path = write(bench, ACCOUNTS, scale=SCALE)
    took: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        alive = [await stack.enter_async_context(working(path, f"worker{number}")) for number in range(3)]
        await timed(bench, [one.process.pid for one in alive])
        for number in range(KILLS):
            alive.pop(0).process.kill()
            took.append(await timed(bench, [one.process.pid for one in alive]))
            alive.append(await stack.enter_async_context(working(path, f"worker{number + 3}")))
            joined_s = await timed(bench, [one.process.pid for one in alive])
            assert joined_s < 10
    print(f"{len(took)} kills: heirs after {min(took):.1f} to {max(took):.1f} s")  # noqa: T201
    assert max(took) < 5
    assert await crossing(bench) == []


async def stopped_in_a_run(bench: Bench, worker: Process) -> list[Any]:
    """Stop a worker while it has runs under way; return these."""

    async def stop() -> list[Any]:
        os.kill(worker.process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.05)  # what it sent before it stopped is done by then
        found = await bench.fetch(
            "SELECT run_id, pages, rows_seen FROM syncd.runs WHERE outcome = 'running' AND pid = $1",
            worker.process.pid,
        )
        if not found:
            os.kill(worker.process.pid, signal.SIGCONT)
        return found

    return list(await until(stop))


async def test_whoever_stood_still_in_the_middle_of_a_page_commits_nothing(bench: Bench) -> None:
    path = write(bench, ACCOUNTS, scale=SCALE, every="1s", streams="customers")
    bench.sandbox.faults.add("slow-drip", api="cyclesoftware", chunk_bytes=2048, delay_s=0.02)
    async with working(path, "one") as one, working(path, "two") as two:
        pids = [one.process.pid, two.process.pid]
        await timed(bench, pids)
        its = await stopped_in_a_run(bench, one)
        stopped_at = time.monotonic()
        await timed(bench, [two.process.pid])
        print(f"heirs after {time.monotonic() - stopped_at:.1f} s")  # noqa: T201
        await asyncio.sleep(max(0.0, STOPPED_S - (time.monotonic() - stopped_at)))
        before = await bench.fetch("SELECT * FROM syncd.runs WHERE pid = $1 ORDER BY run_id", one.process.pid)
        assert {row["outcome"] for row in before} <= {"ok", "aborted", "failed"}
        os.kill(one.process.pid, signal.SIGCONT)
        resumed_at = time.monotonic()
        await until(lambda: _told(one, "lease_lost"))
        print(f"left after {time.monotonic() - resumed_at:.2f} s")  # noqa: T201
        assert time.monotonic() - resumed_at < 1
        await until(lambda: _told(one, "worker_joined", 2))
        after = await bench.fetch(
            "SELECT * FROM syncd.runs WHERE pid = $1 AND run_id <= $2 ORDER BY run_id",
            one.process.pid, before[-1]["run_id"],
        )  # fmt: skip
        assert after == before
        assert [row["pages"] for row in after if row["run_id"] in {each["run_id"] for each in its}] == [
            each["pages"] for each in its
        ]
        await timed(bench, pids)
    assert await crossing(bench) == []


async def test_a_database_that_is_away_costs_no_worker_and_no_shard(bench: Bench, gate: Gate) -> None:
    path = write(bench, ACCOUNTS, scale=SCALE)
    path.write_text(path.read_text().replace(bench.db_url, through(gate, bench)))
    async with working(path, "one") as one, working(path, "two") as two, working(path, "three") as three:
        pids = [each.process.pid for each in (one, two, three)]
        await timed(bench, pids)
        before = await held(bench)
        gate.shut()
        await asyncio.sleep(STOPPED_S / 2)
        await gate.open()
        took_s = await timed(bench, pids)
        print(f"everything is held again after {took_s:.1f} s")  # noqa: T201
        assert [each.process.returncode for each in (one, two, three)] == [None] * 3
        assert await held(bench) == before
        assert [each.events("worker_lost") for each in (one, two, three)] == [[], [], []]
    assert await crossing(bench) == []


async def test_many_accounts_are_shared_fairly_and_run_in_time(bench: Bench) -> None:
    path = write(bench, MANY, scale=SCALE, every=f"{EVERY_S}s")
    async with working(path, "one") as one, working(path, "two") as two, working(path, "three") as three:
        workers = [one, two, three]
        pids = [each.process.pid for each in workers]
        began = time.monotonic()
        await until(shared(bench, pids, 256), 120)
        print(f"shared after {time.monotonic() - began:.1f} s")  # noqa: T201

        async def ran_twice() -> bool:
            rows = await bench.fetch(
                "SELECT count(*) FROM (SELECT source FROM syncd.runs WHERE outcome = 'ok' GROUP BY 1"
                " HAVING count(*) > 1) AS twice"
            )
            return int(rows[0][0]) == MANY

        await until(ran_twice, 800)
        of = Counter({row["source"]: row["pid"] for row in await runs_since(bench, 0)}.values())
        late = await bench.fetch(
            "SELECT extract(epoch FROM started_at - lag(started_at) OVER (PARTITION BY source ORDER BY run_id))::float8"
            " - $1 AS late_s FROM syncd.runs WHERE outcome = 'ok'",
            float(EVERY_S) + schedule.jitter_s(EVERY_S),
        )
        delays = sorted(max(0.0, row["late_s"]) for row in late if row["late_s"] is not None)
        p99_s = delays[len(delays) * 99 // 100]
        told = f"late p50 {delays[len(delays) // 2]:.2f} s, p99 {p99_s:.2f} s"
        print(f"accounts by worker: {sorted(of.values())}; {told}")  # noqa: T201
        assert all(abs(number - MANY / 3) < MANY / 3 * 0.2 for number in of.values())
        assert p99_s <= 5
        async with working(path, "four") as four:
            joined_s = await timed_share(bench, [*pids, four.process.pid])
            print(f"a fourth worker has its share {joined_s:.1f} s after it was started")  # noqa: T201
            assert joined_s < 10
            since = await newest_run(bench)
            code, ended_s = await one.end(signal.SIGTERM)
            again_s = await timed_share(bench, [*pids[1:], four.process.pid])
            print(f"ended in {ended_s:.1f} s, others have its shards {again_s:.1f} s later")  # noqa: T201
            assert (code, ended_s < 10) == (0, True)
            assert again_s < 3
            its = {source for source, pid in of.items() if pid == one.process.pid}
            await until(lambda: _have_run(bench, its, since, but_by=one.process.pid), EVERY_S * 1.5)
            [gone] = await bench.fetch("DELETE FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.3' RETURNING id")
            await until(lambda: _any_told([two, three, four], "shards_lost"))
            seeded_s = await timed_share(bench, [*pids[1:], four.process.pid])
            print(f"a job that was deleted is held again {seeded_s:.1f} s after its holder noticed")  # noqa: T201
            [seeded] = await bench.fetch("SELECT id FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.3'")
            assert seeded["id"] != gone["id"]
    assert await crossing(bench) == []


async def timed_share(bench: Bench, pids: Collection[int]) -> float:
    """Return how long it takes until exactly these workers share everything."""
    began = time.monotonic()
    await until(shared(bench, pids, 256), 30)
    return time.monotonic() - began


async def _have_run(bench: Bench, accounts: Collection[str], since: int, *, but_by: int) -> bool:
    rows = await runs_since(bench, since)
    return set(accounts) <= {row["source"] for row in rows if row["outcome"] == "ok" and row["pid"] != but_by}


async def _any_told(workers: Collection[Process], name: str) -> bool:
    return any(worker.events(name) for worker in workers)


async def _told(worker: Process, name: str, times: int = 1) -> bool:
    return len(worker.events(name)) >= times


async def test_a_backfill_is_shared_by_workers_and_goes_on_where_one_was_killed(make_bench: MakeBench) -> None:
    limits = Limits(per_minute=1_000_000, per_day=10_000_000)
    bench, accounts = await make_bench(time=Now(), limits=limits, customers=120, page_size=10), 12
    path = write(bench, accounts, scale=SCALE, every="1h", streams="customers")
    bench.sandbox.faults.add("slow-drip", api="cyclesoftware", chunk_bytes=1024, delay_s=0.02)
    walk = "SELECT source, pid, outcome, rows_seen FROM syncd.runs WHERE kind = 'backfill'"
    async with working(path, "one") as one, working(path, "two") as two:
        pids = [one.process.pid, two.process.pid]
        await until(shared(bench, pids, 256), 60)
        asked = asyncio.create_task(
            syncd("backfill", "*.customers", "--since", "2020-01-01", "--in-service", "--json", "--config", str(path))
        )

        async def has_begun_both() -> bool:
            rows = await bench.fetch(walk)
            its = [row for row in rows if row["pid"] == pids[0] and row["outcome"] == "running" and row["rows_seen"]]
            return bool(its) and {row["pid"] for row in rows} == set(pids)

        await until(has_begun_both, 60)
        one.process.kill()
        ended = await asyncio.wait_for(asked, 240)
    rows = await bench.fetch(walk)
    told = json.loads(ended.out)["parts"]
    print(f"{told}; runs: {Counter((row['pid'] == pids[0], row['outcome']) for row in rows)}")  # noqa: T201
    assert (ended.code, told["parts"], told["ok"]) == (0, accounts, accounts), ended.err
    assert {row["outcome"] for row in rows if row["pid"] == pids[0]} >= {"aborted"}
    well = Counter(row["source"] for row in rows if row["outcome"] == "ok")
    assert (len(well), max(well.values())) == (accounts, 1)  # each once, by one of them
    assert await crossing(bench) == []

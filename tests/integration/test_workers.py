"""Workers that share the accounts: real processes, real signals, one database."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from types import CoroutineType, SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd.config import Scale
from syncd.errors import DatabaseUnavailable, UsageError, WorkerLost
from syncd.sandbox import CREDENTIALS, Limits
from syncd.scale import queue, workers
from syncd.scale.placement import shard_of
from syncd.scale.queue import Queue
from syncd.service.house import House
from syncd.sources import registry
from syncd.storage.postgres.database import Database
from tests.support import forks
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import Now, spawned, until
from tests.support.members import member
from tests.support.workers import all_ran, held, newest_run, shared, working, write

ACCOUNTS = 24


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=1_000_000, per_day=10_000_000))


async def joined(db: Database, *, shards: int = 4, lease_s: float = 3.0) -> tuple[UUID, Queue]:
    worker = uuid4()
    async with db.connection() as conn:
        await workers.settle_shards(conn, shards)
        await workers.join(
            conn, worker, host="here", pid=1, version="1", digest="d", address=None, lease_s=lease_s
        )  # fmt: skip
    return worker, Queue(worker, shards)


async def beat(conn: asyncpg.Connection, worker: UUID) -> workers.Beat:
    return await workers.beat(
        conn, worker, shards=[], is_leaving=False, digest="d", address=None, reloads_followed=0, refused=None
    )  # fmt: skip


async def silence(db: Database, worker: UUID) -> None:
    async with db.connection() as conn:
        await conn.execute("UPDATE syncd.workers SET beat_at = now() - interval '1 min' WHERE worker_id = $1", worker)


async def write_meanwhile(database: Database, work: Awaitable[None]) -> None:
    async with database.transaction() as conn:
        await conn.execute("CREATE TABLE syncd.never (n int)")
        await work


async def test_a_worker_that_was_declared_lost_commits_nothing_and_keeps_no_job(db: Database, db_url: str) -> None:
    lost, its = await joined(db)
    heir, heirs = await joined(db)
    zombie = Database(db_url, "here")
    zombie.become(workers.program_of(lost), lambda conn: workers.admit(conn, lost))
    try:
        async with db.connection() as conn:
            assert await its.seed(conn) == frozenset(range(4))
            assert await its.seed(conn) == frozenset()
            assert await its.take(conn, [0, 1, 2]) == {0, 1, 2}
            assert await heirs.take(conn, [0, 1, 2, 3]) == {
                3
            }  # what is held is not taken, however often it is asked for
            assert queue.shards_of((await beat(conn, lost)).jobs) == {0, 1, 2}
        await silence(db, lost)

        async def declare_lost() -> None:
            async with db.connection() as conn:
                assert await workers.declare_lost(conn, heir) == [lost]
                assert await workers.declare_lost(conn, heir) == []
                assert await workers.end_sessions(conn, lost) == 1
                assert await queue.give_all_back(conn, lost) == {0, 1, 2}
                assert await queue.give_all_back(conn, lost) == frozenset()

        with pytest.raises(DatabaseUnavailable):
            await write_meanwhile(zombie, declare_lost())
        with pytest.raises(WorkerLost, match="silent for longer than its lease"):
            async with zombie.connection():
                pass
        async with db.connection() as conn:
            assert await conn.fetchval("SELECT to_regclass('syncd.never')") is None
            assert await heirs.take(conn, [0, 1, 2, 3]) == {0, 1, 2}
            with pytest.raises(WorkerLost):
                await beat(conn, lost)
            await its.give_back(conn, [0, 1, 2])  # the heir's by now
            assert queue.shards_of((await beat(conn, heir)).jobs) == {0, 1, 2, 3}
    finally:
        await zombie.close()


async def test_a_beat_renews_the_own_jobs_only_and_deleted_jobs_are_queued_again(db: Database) -> None:
    one, ones = await joined(db, lease_s=0.0)
    other, others = await joined(db)
    async with db.connection() as conn:
        await ones.seed(conn)
        await ones.take(conn, [0, 1])
        await others.take(conn, [2])
        await conn.execute("UPDATE syncd_queue.pgqueuer SET heartbeat = now() - interval '1 hour'")
        await beat(conn, one)
        stale = await conn.fetch(
            "SELECT entrypoint FROM syncd_queue.pgqueuer WHERE heartbeat < now() - interval '1 min'"
        )
        assert {row["entrypoint"] for row in stale} == {"shard.2", "shard.3"}
        await conn.execute("DELETE FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.0'")
        assert queue.shards_of((await beat(conn, one)).jobs) == {1}
        assert await others.seed(conn) == {0}
        await conn.execute("UPDATE syncd_queue.pgqueuer_log SET created = now() - interval '2 days'")
        await queue.prune_log(conn)
        assert await conn.fetchval("SELECT count(*) FROM syncd_queue.pgqueuer_log") == 0
        assert await queue.free_of_nobody(conn) == frozenset()
        await workers.leave(conn, other)
        assert await queue.free_of_nobody(conn) == {2}
        assert [each.worker_id for each in await workers.crew(conn)] == [one]
        assert await workers.settle_shards(conn, 99) == 4


async def test_two_workers_share_the_accounts_and_one_that_is_killed_has_an_heir(bench: Bench) -> None:
    path = write(bench, ACCOUNTS)
    async with working(path, "one") as one:
        await until(shared(bench, [one.process.pid]))
        async with working(path, "two") as two:
            pids = [one.process.pid, two.process.pid]
            await until(shared(bench, pids))
            await all_ran(bench, ACCOUNTS, await newest_run(bench), pids)
            assert await _sources_of(bench, one.process.pid)
            assert await _sources_of(bench, two.process.pid)

            assert await _told_of_by(bench, "/metrics") == [ACCOUNTS, ACCOUNTS]  # each account by one of them
            assert await _told_of_by(bench, "/api/status") == [2 * ACCOUNTS, ACCOUNTS]

            refused = await syncd("run", "--config", str(path))
            assert (refused.code, "2 workers share the accounts" in refused.err) == (2, True)
            listed = await syncd("workers", "--json", "--config", str(path))
            assert {(each["pid"], each["state"]) for each in json.loads(listed.out)} == {(pid, "alive") for pid in pids}

            path.write_text(path.read_text().replace("lease = '2s'", "lease = '2s'\npool = 3"))
            reloaded = await syncd("reload", "--all", "--config", str(path))
            assert (reloaded.code, reloaded.out.count("took it")) == (0, 2)
            path.write_text(path.read_text().replace("pool = 3", "pol = 3"))
            refusing = await syncd("reload", "--all", "--config", str(path))
            assert refusing.code == 2  # the command reads the same file
            path.write_text(path.read_text().replace("pol = 3", "pool = 3"))

            two.process.kill()
            since = await newest_run(bench)
            await until(shared(bench, [one.process.pid]))
            await all_ran(bench, ACCOUNTS, since, [one.process.pid])
            [lost] = one.events("worker_lost")
            assert (lost["worker_pid"], lost["shards"]) == (two.process.pid, 4)
        await bench.fetch("DELETE FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.3'")
        await until(lambda: _told(one.events, "shards_lost"))
        await until(shared(bench, [one.process.pid]))
        code, took_s = await one.end(signal.SIGTERM)
        assert (code, took_s < 10) == (0, True)
    assert await held(bench) == {}
    assert await bench.fetch("SELECT FROM syncd.workers WHERE lost_at IS NULL") == []
    assert await bench.fetch("SELECT FROM syncd_queue.pgqueuer WHERE status <> 'queued'") == []
    crossing = await bench.fetch(
        "SELECT a.run_id FROM syncd.runs a JOIN syncd.runs b ON a.source = b.source AND a.stream = b.stream"
        " AND a.pid <> b.pid AND a.started_at < b.started_at AND a.finished_at > b.started_at"
        " WHERE a.outcome <> 'aborted'"
    )
    assert crossing == []


async def test_what_an_operator_wants_now_runs_at_once_whichever_worker_has_the_account(bench: Bench) -> None:
    path, token = write(bench, ACCOUNTS, every="1h"), "operators-token-1234567890"
    path.write_text(path.read_text().replace("[scale]", f'operator_token = "{token}"\n[scale]', 1))
    async with working(path, "one") as one, working(path, "two") as two:
        pids = [one.process.pid, two.process.pid]
        await until(shared(bench, pids))
        [row] = await bench.fetch("SELECT http_address FROM syncd.workers WHERE pid = $1", pids[0])
        shards, names = await held(bench), [f"shop{number:04}" for number in range(ACCOUNTS)]
        wanted = [next(name for name in names if shard_of(name, 8) in shards[pid]) for pid in pids]

        async def press() -> None:
            for source in wanted:
                form, headers = {"action": "sync", "subject": source}, {"Authorization": f"Bearer {token}"}
                address = f"{row['http_address'].rstrip('/')}/operator/act"
                async with aiohttp.request("POST", address, data=form, headers=headers) as answer:
                    assert (answer.status, await answer.json()) == (200, {"done": f"{source}: runs now"})

        bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
        await press()
        await until(lambda: _ended(bench, "failed", wanted))  # each of them is paused now
        bench.sandbox.faults.clear()
        await press()
        await until(lambda: _ended(bench, "ok", wanted))
        rows = await bench.fetch(
            "SELECT source, pid FROM syncd.runs WHERE outcome = 'ok' AND source = ANY ($1)", wanted
        )
        assert {row["source"]: row["pid"] for row in rows} == dict(zip(wanted, pids, strict=True))


async def _ended(bench: Bench, outcome: str, sources: list[str]) -> bool:
    rows = await bench.fetch("SELECT DISTINCT source FROM syncd.runs WHERE outcome = $1", outcome)
    return {row["source"] for row in rows} >= set(sources)


async def test_a_worker_refuses_to_join_a_daemon(bench: Bench) -> None:
    path = write(bench, 1)
    async with spawned(path) as daemon:
        await until(lambda: _told(daemon.events, "daemon_started"))
        with pytest.raises(UsageError, match=r"a daemon \(syncd run\) has every account"):
            await workers.require_no_daemon(bench.db)
        refused = await syncd("worker", "--config", str(path))
        assert (refused.code, "a daemon (syncd run) has every account" in refused.err) == (2, True)


def parts(bench: Bench, accounts: int) -> Path:
    """Write a configuration of accounts that log in for a session, each with one stream."""
    path = write(bench, 0, scale="shards = 12\nlease = '3s'")
    lines = [path.read_text()]
    for number in range(accounts):
        lines += [f'[sources.parts{number}]\ntype = "ghs"\nbase_url = "{bench.address.base_url("ghs")}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS["ghs"].items()]
        for name in registry()["ghs"].names:
            said = 'every = "1s"' if name == "urgent_messages" else "enabled = false"
            lines += [f"[sources.parts{number}.streams.{name}]", said]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.acceptance
async def test_three_workers_log_in_once_and_tell_of_an_outage_once_for_each_account(bench: Bench) -> None:
    path = parts(bench, 6)
    async with working(path, "one") as one, working(path, "two") as two, working(path, "three") as three:
        crew = [one, two, three]
        await until(shared(bench, [each.process.pid for each in crew], 12), 40)

        async def runs_of(outcome: str, least: int) -> bool:
            rows = await bench.fetch("SELECT count(*) AS n FROM syncd.runs WHERE outcome = $1 GROUP BY source", outcome)
            return len(rows) == 6 and min(row["n"] for row in rows) >= least

        await until(lambda: runs_of("ok", 1), 30)
        before = len([entry for entry in bench.sandbox.requests if entry.stream == "auth"])
        assert before >= 6
        await bench.fetch("DELETE FROM syncd.runs WHERE outcome = 'ok'")
        await until(lambda: runs_of("ok", 2), 30)
        assert len([entry for entry in bench.sandbox.requests if entry.stream == "auth"]) == before

        bench.sandbox.faults.add("error-500", api="ghs")
        await until(lambda: runs_of("failed", 1), 40)
        bench.sandbox.faults.clear()

        async def told() -> list[str]:
            found = [line["source"] for each in crew for line in each.events("source_failing")]
            return found if len(found) >= 6 else []

        assert sorted(await until(told)) == [f"parts{number}" for number in range(6)]


async def _told_of_by(bench: Bench, path: str) -> list[int]:
    """Return how many accounts all workers tell of, and how many different ones these are."""
    told = []
    for row in await bench.fetch("SELECT http_address FROM syncd.workers WHERE lost_at IS NULL"):
        async with aiohttp.request("GET", row["http_address"].rstrip("/") + path) as answer:
            told += sorted(set(re.findall(r"shop\d{4}", await answer.text())))
    return [len(told), len(set(told))]


async def _sources_of(bench: Bench, pid: int) -> set[str]:
    return {row["source"] for row in await bench.fetch("SELECT DISTINCT source FROM syncd.runs WHERE pid = $1", pid)}


async def _told(events: Callable[[str], list[dict[str, Any]]], name: str) -> bool:
    return bool(events(name))


# --- Without processes: memberships that share one loop ---------------------------------------------------------------


async def test_members_share_pass_callbacks_on_reload_and_leave_in_order(bench: Bench) -> None:
    config = replace(bench.config, scale=Scale(shards=6, lease_s=3.0))
    async with member(bench.db_url, config) as one:
        await until(lambda: _is(len(one.membership.running) == 6))
        async with member(bench.db_url, config) as two:
            await until(lambda: _is([len(each.membership.running) for each in (one, two)] == [3, 3]))
            assert one.membership.running | two.membership.running == set(range(6))
            assert [each.membership.leads for each in (one, two)].count(True) == 1

            name = next(name for name in map(str, range(100)) if two.membership.holds(name))
            one.membership.pass_on((name, "orders", (7, "a")))
            await until(lambda: _is(two.of("hear")))
            assert (two.of("hear"), one.of("hear")) == ([(name, "orders", (7, "a"))], [])

            async with bench.db.connection() as conn:
                number = await workers.ask_reload(conn)
                await until(lambda: _followed(conn, number))
                assert [(each.refused, each.is_alive) for each in await workers.crew(conn)] == [
                    ("it is wrong", True)
                ] * 2
            assert (one.of("reload"), two.of("reload")) == ([None], [None])

            await bench.fetch("UPDATE syncd.workers SET lost_at = now() WHERE worker_id = $1", two.membership.worker)
            await until(lambda: _is(two.of("lost")))
            await until(lambda: _is(len(one.membership.running) == 6))
        assert [type(error) for error in two.of("lost")] == [WorkerLost]
        assert len(one.of("drop")) == 3  # what the second one got
    assert await bench.fetch("SELECT FROM syncd.workers WHERE lost_at IS NULL") == []
    assert await bench.fetch("SELECT FROM syncd_queue.pgqueuer WHERE status <> 'queued'") == []


async def test_a_member_whose_rounds_end_while_it_hears_news_ends_them(bench: Bench) -> None:
    config = replace(bench.config, scale=Scale(shards=6, lease_s=30.0))
    for turns in range(4):  # of the loop, between the news and the end
        async with member(bench.db_url, config) as one:
            rounds = next(task for task in asyncio.all_tasks() if task.get_name() == "membership")
            await until(lambda: _is(_waits_for_news(rounds)))  # noqa: B023  it is asked at once
            one.membership._news.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            rounds.cancel()
            await asyncio.wait({rounds}, timeout=5)
            assert rounds.cancelled()


def _waits_for_news(task: asyncio.Task[Any]) -> bool:
    frame, within = task.get_coro(), list[str]()
    while isinstance(frame, CoroutineType) and frame.cr_await is not None:
        within.append(frame.__name__)
        frame = frame.cr_await
    return "_wait_for_news" in within and "sleep" not in within


async def test_what_is_done_once_for_all_is_done_by_the_worker_that_leads(bench: Bench) -> None:
    await bench.sync("shop.customers")
    long_ago = "now() - interval '10 years'"
    await bench.fetch(
        "INSERT INTO syncd.runs"
        " (source, stream, kind, lane, started_at, finished_at, outcome, requests, pages, host, pid)"
        f" VALUES ('shop', 'orders', 'live', 'live', {long_ago}, {long_ago}, 'failed', 1, 1, 'gone', 1)"
    )  # fmt: skip
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome, requests, pages, host, pid)"
        " VALUES ('shop', 'leads', 'live', 'live', now(), 'running', 1, 1, 'gone', 1)"
    )

    async def outcomes() -> set[tuple[str, str]]:
        rows = await bench.fetch("SELECT stream, outcome FROM syncd.runs WHERE host = 'gone'")
        return {(row["stream"], row["outcome"]) for row in rows}

    async def keep_house(*, leads: bool) -> None:
        scheduler, parts = AsyncIOScheduler(timezone=UTC), cast("Any", SimpleNamespace(watchdog_s=None, line=None))
        House(
            scheduler, parts, parts, parts, config=lambda: bench.config, database=lambda: bench.db, on_outage=parts,
            stop=asyncio.Event(), follow=parts, leads=lambda: leads,
        ).keep()  # fmt: skip
        for job in ("prune", "recover"):
            await scheduler.get_job(job).func()

    await keep_house(leads=False)
    assert await outcomes() == {("orders", "failed"), ("leads", "running")}
    await keep_house(leads=True)
    assert await outcomes() == {("leads", "aborted")}


async def _is(met: object) -> bool:
    return bool(met)


async def _followed(conn: asyncpg.Connection, number: int) -> bool:
    return all(each.reloads_followed == number for each in await workers.crew(conn))


# --- The commands -----------------------------------------------------------------------------------------------------


@pytest.mark.acceptance  # five starts of Python
async def test_run_with_workers_starts_them_again_when_they_die_and_ends_with_them(bench: Bench) -> None:
    path = write(bench, 4)
    log = bench.folder / "machine.log"
    with log.open("wb") as file:
        machine = await forks.start(
            "run", "--workers", "2", "--config", str(path), stdout=file.fileno(), stderr=file.fileno()
        )
    try:
        await until(lambda: _are_two(bench), 30)
        before = await held(bench)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: _are_two(bench, other_than=min(before)), 30)
    finally:
        machine.terminate()
        code = await asyncio.wait_for(machine.wait(), 20)
        forks.let_go(machine)
    assert code == 0, log.read_text()[-2000:]
    assert await held(bench) == {}
    assert '"worker_died"' in log.read_text()


async def _are_two(bench: Bench, other_than: int = 0) -> bool:
    now = await held(bench)
    return len(now) == 2 and other_than not in now and sum(map(len, now.values())) == 8


WITHOUT = """
import sys
sys.modules["pgqueuer"] = None
from syncd.cli import cli, exits
for words in (["worker"], ["run", "--workers", "2"], ["worker", "--help"], ["run", "--help"], ["workers", "--help"]):
    print(words, exits.guarded(lambda: cli(words, standalone_mode=False)))
print("pgqueuer" in [name.partition(".")[0] for name, module in sys.modules.items() if module])
"""


async def test_without_the_extra_help_is_there_and_workers_say_how_to_install_it() -> None:
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = (text.decode() for text in await ended.communicate())
    assert "['worker'] 2\n" in out, err
    assert "['run', '--workers', '2'] 2\n" in out
    assert out.count("--help'] 0\n") == 3
    assert err.count("pip install 'syncd[scale]'") == 2
    assert out.endswith("False\n")

"""Memberships and their queue without processes: several share one loop."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC
from types import CoroutineType, SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd.config import Scale
from syncd.errors import DatabaseUnavailable, WorkerLost
from syncd.sandbox import Limits
from syncd.scale import queue, workers
from syncd.scale.queue import Queue
from syncd.service.house import House
from syncd.storage.postgres.database import Database
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Now, until
from tests.support.members import member


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

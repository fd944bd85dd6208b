"""What goes wrong with workers elsewhere: hoarded shards, deaf listeners, queues that grow, files that differ."""

import asyncio
import gc
import signal
import warnings
from collections.abc import Sequence
from dataclasses import replace

import aiohttp
import pytest

from syncd.config import Config, Scale
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseUnavailable, SyncdError, WorkerLost
from syncd.sandbox import Limits
from syncd.scale import duties, membership, workers
from syncd.service import daemon, share
from syncd.service.life import Life
from syncd.service.timetable import Timetable
from syncd.sources import registry
from syncd.storage.postgres.database import Database
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Now, count, load, serving, until
from tests.support.members import Recording, member
from tests.support.workers import write

SHARDS = 256


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=1_000_000, per_day=10_000_000))


@pytest.fixture
def config(bench: Bench) -> Config:
    return replace(bench.config, scale=Scale(shards=SHARDS, lease_s=3.0))


def evenly(members: Sequence[Recording]) -> bool:
    """Say whether these members run all shards, none twice, and as many each as any other."""
    held = [each.membership.running for each in members]
    sizes = sorted(map(len, held))
    return sum(sizes) == SHARDS == len(set().union(*held)) and sizes[-1] - sizes[0] <= 1


async def test_the_first_member_hoards_nothing_and_a_deaf_one_hears_again(bench: Bench, config: Config) -> None:
    await bench.fetch(
        "INSERT INTO syncd_queue.pgqueuer_log (created, job_id, status, priority, entrypoint)"
        " VALUES (now() - interval '2 days', 1, 'queued', 0, 'shard.1')"
    )
    async with member(bench.db_url, config) as one:
        await until(lambda: _is(evenly([one]) and one.of("adopt")))  # it takes the shards, and then is told of them
        assert one.of("adopt") == [set(range(SHARDS))]  # all in one round, however many there are
        async with member(bench.db_url, config) as two, member(bench.db_url, config) as three:
            await until(lambda: _is(evenly([one, two, three])))

            async with bench.db.connection() as conn:  # with its session the member's LISTEN is gone
                ended = [await workers.end_sessions(conn, each.membership.worker) for each in (two, three)]
            assert min(ended) > 0
            kept = set(two.membership.running)
            name = next(name for name in map(str, range(1000)) if two.membership.holds(name))

            async def heard() -> bool:
                one.membership.pass_on((name, "orders", None))
                return bool(two.of("hear"))

            await until(heard)
            assert two.membership.running == kept
            assert [each.of("lost") for each in (one, two, three)] == [[], [], []]
        await until(lambda: _is(evenly([one])))
    # a job for each shard and none of the future, however often they changed hands; and no log without an end
    assert await count(bench, "syncd_queue.pgqueuer WHERE status = 'queued' AND execute_after <= now()") == SHARDS
    assert await count(bench, "syncd_queue.pgqueuer") == SHARDS
    assert await count(bench, "syncd_queue.pgqueuer_log WHERE created < now() - interval '1 day'") == 0


async def test_a_member_that_leaves_waits_neither_for_accounts_under_way_nor_for_a_reload(
    bench: Bench, config: Config
) -> None:
    async with member(bench.db_url, config) as one:
        one.may_end.clear()
        await until(lambda: _is(one.of("adopt")))
        async with bench.db.connection() as conn:
            await workers.ask_reload(conn)
        await until(lambda: _is(one.of("reload")))
        async with asyncio.timeout(5):
            await one.membership.leave()
    assert one.of("drop"), "what was under way is given up, too"
    assert await count(bench, "syncd_queue.pgqueuer WHERE status = 'queued'") == SHARDS
    assert await count(bench, "syncd.workers") == 0


async def test_what_a_member_was_about_to_begin_when_it_leaves_is_never_begun(bench: Bench, config: Config) -> None:
    async with member(bench.db_url, config) as one:
        await until(lambda: _is(one.of("adopt")))
        one.membership.pass_on(("shop", "orders", None))
        one.membership.ask_to_run("shop", "orders")
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            await one.membership.leave()  # both tasks are ended before their first step
            gc.collect()
    assert [str(warning.message) for warning in heard] == []
    assert await count(bench, "syncd.workers") == 0


async def test_members_that_no_news_reaches_share_all_the_same(
    bench: Bench, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "NEWS", "nobody_says_anything_here")  # they tell, and do not listen
    async with member(bench.db_url, config) as one, member(bench.db_url, config) as two:
        await until(lambda: _is(evenly([one, two])))
        assert await bench.fetch("DELETE FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.7' RETURNING id")
        await until(lambda: _is(one.of("forfeit") or two.of("forfeit")))
        await until(lambda: _is(evenly([one, two])))


async def test_files_that_differ_for_long_are_told_on_the_page_and_in_the_metrics_until_they_agree(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "DIFFER_S", 0.1)
    path = write(bench, 2)
    async with serving(path, is_worker=True) as url, aiohttp.ClientSession() as http:

        async def says(words: str, page: str) -> bool:
            async with http.get(url + page) as answer:
                return words in await answer.text()

        assert await says("syncd_configs_differ 0.0\n", "metrics")
        await bench.fetch(
            "INSERT INTO syncd.workers (worker_id, host, pid, version, config_digest, lease_s, started_at, beat_at,"
            " is_leaving, shards, reloads_followed) SELECT gen_random_uuid(), 'other', n, '1', 'another', 60, now(),"
            " now(), true, '{}', 0 FROM generate_series(1, 2) AS n"
        )
        await until(lambda: says("syncd_configs_differ 1.0\n", "metrics"))
        assert await says("has not been that of the other workers", "")
        assert await says("syncd reload --all", "api/status")
        await bench.fetch("DELETE FROM syncd.workers WHERE host = 'other'")
        await until(lambda: says("syncd_configs_differ 0.0\n", "metrics"))
        assert not await says("has not been that of the other workers", "")


async def test_a_worker_that_is_told_to_end_while_it_is_being_lost_begins_no_new_life(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forfeit = Life.forfeit

    def and_signal(self: Life, error: WorkerLost) -> None:
        forfeit(self, error)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Life, "forfeit", and_signal)
    path, started = write(bench, 2), asyncio.Event()
    serve = daemon.serve(
        lambda: load(path), logs=False, environ={}, on_started=lambda _url: started.set(), is_worker=True
    )
    task = asyncio.create_task(serve)
    await asyncio.wait_for(started.wait(), 30)
    await bench.fetch("UPDATE syncd.workers SET lost_at = now()")
    assert await asyncio.wait_for(task, 10) == 0
    assert await count(bench, "syncd.workers WHERE lost_at IS NULL") == 0


async def _is(met: object) -> bool:
    return bool(met)


class Slow:
    """What a share asks of the service: it notes the accounts whose secrets it protects, and lets go when told to."""

    def __init__(self) -> None:
        self.protected: list[str] = []
        self.may_go = asyncio.Event()

    async def protect(self, config: Config) -> None:
        self.protected += config.sources
        await self.may_go.wait()

    async def reload(self) -> SyncdError | None:
        return None

    def differ(self, names: Sequence[str]) -> None:
        pass

    def away(self, error: DatabaseUnavailable) -> None:
        raise error

    def forfeit(self, error: WorkerLost) -> None:
        raise error


async def test_a_worker_that_takes_accounts_leaves_those_out_that_others_have_by_then(
    bench: Bench, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "ACCOUNTS_AT_ONCE", 1)
    lease = bench.config.sources["lease"]
    config = replace(config, sources={name: changed(lease, name=name) for name in (f"lease{n}" for n in range(40))})
    database, life = Database(bench.db_url, "here", pool_size=2), Slow()
    own = share.Share(database, life, config=lambda: config, address=lambda: None, drain_s=1.0)
    await own.join()
    timetable = Timetable(
        Syncer(config, registry(), database, None), {}, on_outage=life.away, holds=own.holds,
        later=lambda _delay_s, ring: asyncio.Handle(ring, (), asyncio.get_running_loop()),
    )  # fmt: skip
    own.begin(timetable)
    try:
        await until(lambda: _is(life.protected))
        assert len(own.shards) == SHARDS
        async with member(bench.db_url, config) as other:
            await until(lambda: _is(len(own.shards) == len(other.membership.running) == SHARDS / 2))
            life.may_go.set()
            held = {name for name in config.sources if own.holds(name)}
            await until(lambda: _is({source for source, _ in timetable.next_runs()} == held))
            assert 0 < len(held) < 40
            assert set(life.protected[1:]) - held == set()
            assert len(life.protected) == len(set(life.protected))
    finally:
        await own.leave()
        await timetable.close(grace_s=0.0)
        await database.close()

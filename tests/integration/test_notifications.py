"""Notifications as somebody who is told meets them: a receiver, a heartbeat, daemons that share a database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from syncd.config import Notify, Secret
from syncd.config.hours import parse_hours
from syncd.errors import DatabaseError, DatabaseUnavailable
from syncd.sandbox import CREDENTIALS
from syncd.service.notify import Watch
from syncd.sources import registry
from syncd.status import StatusReader, is_nearly_spent
from syncd.storage.postgres.database import Database
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import serving, until, write
from tests.support.receiver import Receiver, receiving
from tests.support.search import trial

ON = ("customers", "stores", "employees")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


class Told:
    """A bench whose daemon tells a receiver."""

    def __init__(self, bench: Bench, receiver: Receiver, **wishes: Any) -> None:
        self.bench, self.receiver, self.database = bench, receiver, bench.db
        notify = Notify(urls=(Secret(receiver.notify_url),), heartbeat_url=Secret(receiver.heartbeat_url), **wishes)
        shop = bench.config.sources["shop"]
        streams = {name: replace(one, enabled=name in ON) for name, one in shop.streams.items()}
        self.config = replace(bench.config, notify=notify, sources={"shop": changed(shop, streams=streams)})
        self.watch = self.daemon()

    def daemon(self, host: str = "server1") -> Watch:
        def database() -> Any:
            return self.database

        def config() -> Any:
            return self.config

        reader = StatusReader(registry(), config=config, database=database, clock=self.bench.time.now)
        return Watch(reader, config=config, database=database, clock=self.bench.time.now, host=host)

    async def sync(self) -> None:
        for stream in ON:
            await self.bench.sync(f"shop.{stream}")

    async def look(self, **later: float) -> list[str]:
        """Let time pass, look, and return what was told by that."""
        self.bench.time.pass_by(**later)
        before = len(self.receiver.messages)
        await self.watch.look()
        return self.receiver.titles[before:]


async def test_an_outage_is_told_once_grouped_with_its_end_over_restarts_and_by_one_of_two_daemons(
    bench: Bench, receiver: Receiver
) -> None:
    told = Told(bench, receiver)
    await told.sync()
    assert await told.look() == []
    assert receiver.beats == 1
    bench.sandbox.faults.add("error-500", api="cyclesoftware")
    await told.sync()
    assert await told.look() == []
    [title] = await told.look(seconds=61)
    assert title.startswith("syncd: shop: host unreachable, 3 streams, since 10:0")
    assert "customers, " in receiver.messages[-1]["message"]
    assert await told.look(seconds=61) == []
    told.watch = told.daemon()  # a restart
    assert await told.look(seconds=61) == []
    told.watch = told.daemon("server2")
    assert await told.look(seconds=61) == []
    assert receiver.beats == 1, "the heartbeat goes on though something is wrong"
    bench.sandbox.faults.clear()
    await told.sync()
    [over] = await told.look()
    assert over.startswith("syncd: over: shop: host unreachable, 3 streams, ")
    assert await told.look(seconds=61) == []
    assert receiver.beats >= 2
    rows = await bench.fetch("SELECT * FROM syncd.notifications")
    assert [(row["cause"], row["over_told_at"] is not None) for row in rows] == [("shop Unreachable", True)]
    everything = repr(receiver.messages) + repr([dict(row) for row in rows])
    for secret in CREDENTIALS["cyclesoftware"].values():
        assert str(secret) not in everything or len(str(secret)) < 3


async def test_two_daemons_that_look_at_once_send_one_message(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver, after_s=1.0)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await told.sync()
    watches = [told.daemon(f"server{number}") for number in range(3)]
    for _ in range(3):
        bench.time.pass_by(seconds=2)
        await asyncio.gather(*(watch.look() for watch in watches))
    assert [title.partition(", since")[0] for title in receiver.titles] == ["syncd: shop.stores: scope missing"]


async def test_what_could_not_be_sent_is_sent_later_and_not_each_time(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver, after_s=1.0)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await told.sync()
    receiver.status = 500
    assert await told.look() == []
    assert await told.look(seconds=2) == []
    receiver.status = 200
    assert await told.look(seconds=15) == [], "it is tried again too early"
    [title] = await told.look(seconds=60)
    assert "scope missing" in title


async def test_lateness_rejects_a_spent_budget_and_a_backfill_are_told(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver, after_s=1.0)
    await told.sync()
    await told.look()
    await bench.fetch(
        "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at,"
        " occurrences) SELECT 'shop', 'customers', 'no key', '{\"email\": \"secret@example.com\"}', 'x', max(run_id),"
        " $1, $1, 1 FROM syncd.runs",
        bench.time.now(),
    )
    run = await bench.sync("shop.customers", kind="backfill", since=bench.time.now() - timedelta(days=30))
    assert run.outcome == "ok"
    [first] = await told.look()
    assert first == "syncd: shop.customers: the backfill is complete"
    [second] = await told.look(seconds=2)
    assert second.startswith("syncd: shop: 1 record became no row in 24 h, since")
    assert "secret@example.com" not in repr(receiver.messages)
    beats = receiver.beats
    assert await told.look(seconds=61) == []
    assert receiver.beats == beats + 1, "a reject alone stops no heartbeat"
    assert await told.look(hours=1) == [], "it may be over soon"
    beats = receiver.beats
    [late] = await told.look(seconds=2)
    assert late.startswith("syncd: shop.customers: late, since ")
    assert await told.look(minutes=5) == []
    assert receiver.beats == beats, "the heartbeat goes on though a stream is late"


async def test_quiet_hours_and_the_digest(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver, after_s=1.0, quiet=parse_hours("09:00-17:00"), digest=time(18), zone="UTC")
    assert (bench.time.now().hour, bench.time.now().minute) == (9, 0)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await told.sync()
    assert await told.look() == []
    assert await told.look(minutes=10) == []
    [title] = await told.look(hours=8)
    assert title == "syncd: shop.stores: scope missing, since 09:00"
    digests = [title for title in await told.look(hours=1) if title.startswith("syncd: the day until 18:")]
    assert len(digests) == 1
    told.watch = told.daemon("server2")
    assert [title for title in await told.look(minutes=5) if "the day until" in title] == []


async def test_a_database_that_is_away_is_told_with_its_end(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver, after_s=10.0)
    await told.sync()
    told.database = Database("postgresql://nobody@127.0.0.1:1/none", "postgresql://nobody@127.0.0.1:1/none")
    for seconds in (0.0, 15.0, 15.0):
        with pytest.raises(DatabaseUnavailable):
            await told.look(seconds=seconds)
    told.database = bench.db
    assert len(receiver.titles) == 1
    assert "server1: the database cannot be reached, since" in receiver.titles[0]
    [over] = await told.look(seconds=15)
    assert over.startswith("syncd: over: server1: the database cannot be reached, ")
    assert await told.look(seconds=15) == []


async def test_a_daemon_that_cannot_start_on_its_database_tells_that_once_and_its_end(
    bench: Bench, receiver: Receiver
) -> None:
    path = write(bench, {"shop.stores": ""}, extra=(
        f'[notify]\nurls = ["{receiver.notify_url}"]\nheartbeat_url = "{receiver.heartbeat_url}"'
    ))  # fmt: skip
    [[revision]] = await bench.fetch("SELECT version_num FROM syncd.migrations")
    await bench.fetch("UPDATE syncd.migrations SET version_num = '0001'")
    for _ in range(2):
        with pytest.raises(DatabaseError, match="this syncd needs"):
            async with serving(path):
                pass
    [title] = receiver.titles
    assert title.startswith("syncd: the database and this syncd do not fit, since ")
    assert "Run: syncd migrate" in receiver.messages[0]["message"]
    await bench.fetch("UPDATE syncd.migrations SET version_num = $1", revision)
    async with serving(path):
        await until(beats(receiver))
    assert [title.partition(", ")[0] for title in receiver.titles[1:]] == [
        "syncd: over: the database and this syncd do not fit"
    ]


def beats(receiver: Receiver) -> Callable[[], Awaitable[bool]]:
    async def heard() -> bool:
        return receiver.beats > 0

    return heard


@trial
async def test_notify_test_sends_to_everybody_and_says_what_failed(make_bench: MakeBench, receiver: Receiver) -> None:
    bench = await make_bench()
    path = bench.config_file(
        f'[notify]\nurls = ["{receiver.notify_url}", "nonsense://token-000111222333"]\n'
        f'heartbeat_url = "{receiver.heartbeat_url}"\n'
    )
    ended = await syncd("notify", "test", "--json", "--config", path)
    assert ended.code == 1
    assert [(one["what"], one["problem"] is None) for one in ended.json] == [
        ("urls 1", True), ("urls 2", False), ("heartbeat_url", True),
    ]  # fmt: skip
    assert (receiver.titles, receiver.beats) == (["syncd: a test"], 1)
    assert "token" not in ended.out + ended.err


# --- What a look costs, and that it misses nothing --------------------------------------------------------------------


async def test_a_look_asks_only_about_what_has_changed(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver)
    await told.sync()
    for _ in range(2):
        await told.look(seconds=15)
    asked: list[asyncpg.connection.LoggedQuery] = []
    async with bench.db.connection() as one, bench.db.connection() as other:
        one.add_query_logger(asked.append)
        other.add_query_logger(asked.append)

    def streams() -> list[tuple[list[str], list[str]]]:
        return [query.args for query in asked if "unnest($1::text[], $2::text[])" in query.query]

    await told.look(seconds=15)
    assert streams() == [], "nothing has changed, so no stream is asked about"
    assert 5 < len(asked) < 30, [query.query for query in asked]
    assert not [query.query for query in asked if "syncd.cursors" in query.query or "syncd.drift" in query.query]
    await bench.sync("shop.stores")
    asked.clear()
    await told.look(seconds=15)
    assert streams() == [(["shop"], ["stores"])]


async def test_a_look_finds_what_a_whole_status_finds(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver)
    reader = StatusReader(registry(), config=lambda: told.config, database=lambda: told.database, clock=bench.time.now)
    seen = set[str]()

    async def agree() -> dict[str, str]:
        looked, whole, now = await reader.look(), await reader.brief(), bench.time.now()
        on: dict[str, str] = {one.stream: one.state for one in whole.streams if one.state not in ("off", "disabled")}
        told = {one.stream: one for one in looked.status.streams}
        well = [pair for pair, *_ in looked.standing.each_well()]
        states: dict[str, str] = {name: looked.standing.stream((source, name), now).state for source, name in well}
        states |= {name: one.state for name, one in told.items()}
        late = {stream for _, stream in looked.late}
        assert {name: "late" if state == "fresh" and name in late else state for name, state in states.items()} == on
        assert looked.status.counts == whole.counts
        assert [source.budget for source in looked.status.sources] == [source.budget for source in whole.sources]
        seen.update(on.values())
        return on

    assert set((await agree()).values()) == {"never"}
    await told.sync()
    assert set((await agree()).values()) == {"fresh"}
    bench.sandbox.faults.add("error-500", api="cyclesoftware", stream="customers")
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await told.sync()
    assert (await agree())["customers"] == "failing"
    bench.sandbox.faults.clear()
    bench.time.pass_by(minutes=5)
    await told.sync()
    await agree()
    bench.time.pass_by(days=2)
    assert "late" in (await agree()).values()
    await told.sync()
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome)"
        " VALUES ('shop', 'employees', 'live', 'live', $1, 'running')",
        bench.time.now(),
    )
    assert (await agree())["employees"] == "failing", "its process is gone"
    async with bench.db.connection() as conn:
        await conn.execute("DELETE FROM cyclesoftware.stores WHERE store_id IS NOT NULL")
    assert (await agree())["stores"] == "failing", "somebody deleted its rows"
    await bench.fetch(
        "UPDATE syncd.runs SET outcome = 'ok', finished_at = $1 WHERE outcome = 'running'", bench.time.now()
    )
    assert (await agree())["employees"] == "fresh"
    told.config = replace(told.config, sources={
        "shop": changed(shop := told.config.sources["shop"], streams={
            name: replace(one, enabled=one.enabled and name != "employees") for name, one in shop.streams.items()
        })
    })  # fmt: skip
    assert "employees" not in await agree()
    assert seen >= {"never", "fresh", "failing", "paused", "late"}


async def test_a_look_that_reads_no_other_budgets_finds_the_spent_ones(bench: Bench, receiver: Receiver) -> None:
    told = Told(bench, receiver)
    await told.sync()
    slim = StatusReader(
        registry(), config=lambda: told.config, database=lambda: told.database, clock=bench.time.now, every_budget=False
    )
    [before] = (await slim.look()).status.sources
    assert before.budget is None
    [used] = await bench.fetch("SELECT day_used_live AS n FROM syncd.budgets")
    shop = bench.config.sources["shop"]
    tight = changed(shop, budget=msgspec.structs.replace(shop.budget, per_day=used["n"] + 1, live_reserve=0.0))
    told.config = replace(told.config, sources={"shop": tight})
    bench.syncer.reconfigure(told.config)
    await bench.sync("shop.customers")
    bench.time.pass_by(seconds=1)
    [after] = (await slim.look()).status.sources
    assert after.budget
    assert is_nearly_spent(after.budget)
    assert [cause.key for cause in await slim.causes((await slim.look()).status)] == ["shop budget"]
    bench.time.pass_by(days=1)
    [after] = (await slim.look()).status.sources
    assert after.budget
    assert not is_nearly_spent(after.budget), "a new day has begun, though nobody wrote to the budget"

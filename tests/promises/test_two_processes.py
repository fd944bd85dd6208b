"""Several processes on one mirror: locks, budgets and resume points hold between them, and none tells a secret."""

import asyncio
import socket
from typing import Any

import pytest

from syncd.sandbox import Limits
from syncd.storage.postgres.locks import lock_number
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, started, syncd, until
from tests.support.matrix_streams import SIZES
from tests.support.search import trial
from tests.support.secrets import secrets
from tests.support.stored import everything_stored

PAGES = 8
HELD_S = 3.0
"""Latency of the sandbox that keeps a run under way while something else happens, also on a busy machine."""
LIMITS = Limits(per_minute=10_000, per_day=100_000)


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench on the real clock, with customers on PAGES pages, and limits that no command has to wait for."""
    return await make_bench(time=WallClock(), customers=PAGES * 30, page_size=30, limits=LIMITS)


def asked(bench: Bench) -> list[Any]:
    """Return the requests for customers, in order."""
    return [entry for entry in bench.sandbox.requests if entry.stream == "customers"]


async def reached(bench: Bench, requests: int) -> None:
    await until(lambda: len(asked(bench)) >= requests)


async def assert_mirrored(bench: Bench) -> None:
    """Every customer is there, once, with its phone numbers."""
    truth = bench.sandbox.truth("cyclesoftware", "customers")
    rows = await bench.rows("cyclesoftware.customers")
    assert [row["customer_id"] for row in rows] == sorted(record["customer_id"] for record in truth)
    assert {row["customer_id"]: row["name"] for row in rows} == {
        record["customer_id"]: record["name"] for record in truth
    }
    phones = await bench.rows("cyclesoftware.customer_phone_numbers")
    assert len(phones) == len(bench.sandbox.truth("cyclesoftware", "customer_phone_numbers"))


async def test_of_two_syncs_of_a_stream_one_runs_and_the_other_says_who_does(shop: Bench) -> None:
    shop.sandbox.latency_s = 0.25
    path = shop.config_file()
    async with started("sync", "shop.customers", "--json", "--config", path) as first:
        await reached(shop, 2)
        shop.sandbox.latency_s = HELD_S
        second = await syncd("sync", "shop.customers", "shop.stores", "--config", path)
        shop.sandbox.latency_s = 0.0
        assert second.code == 1
        (run,) = await shop.fetch("SELECT run_id, pid FROM syncd.runs WHERE stream = 'customers'")
        assert run["pid"] == first.pid
        assert f"error: shop.customers: run {run['run_id']} (live) is under way for " in second.err
        assert f" in process {run['pid']} on {socket.gethostname()}\n" in second.err
        assert second.row("shop.stores")[1] == "ok"
        ended = await first.ended()
    assert (ended.code, ended.json[0]["outcome"]) == (0, "ok")
    await assert_mirrored(shop)


async def test_a_run_killed_in_the_middle_is_resumed_where_it_was(shop: Bench) -> None:
    shop.sandbox.latency_s = 0.15
    path = shop.config_file()
    async with started("sync", "shop.customers", "--config", path) as first:
        await reached(shop, 5)
        shop.sandbox.latency_s = HELD_S
        first.kill()
    before = await shop.rows("cyclesoftware.customers")
    (cursor,) = await shop.fetch("SELECT cursor FROM syncd.cursors WHERE stream = 'customers'")
    assert 0 < len(before) < PAGES * 30
    assert '"pass"' in cursor["cursor"]
    shop.sandbox.latency_s, spent = 0.0, len(asked(shop))
    again = await syncd("sync", "shop.customers", "--json", "--config", path)
    assert again.code == 0, again
    offsets = [int(entry.query.get("offset", 0)) for entry in asked(shop)[spent:]]
    assert offsets[0] >= len(before) - 1, "it began anew"
    await assert_mirrored(shop)
    runs = await shop.fetch("SELECT outcome, error_kind FROM syncd.runs WHERE stream = 'customers' ORDER BY run_id")
    assert [(run["outcome"], run["error_kind"]) for run in runs] == [("aborted", "Killed"), ("ok", None)]


async def test_a_budget_holds_over_processes_and_restarts(make_bench: MakeBench) -> None:
    limit = 12
    bench = await make_bench(
        time=WallClock(), customers=60, page_size=30, extra=f"[sources.shop.budget]\nper_minute = {limit}\n"
    )
    path = bench.config_file(f"[sources.shop.budget]\nper_minute = {limit}\n")
    streams = ["shop.stores", "shop.platform_keys", "shop.stock_items"]
    async with started("sync", *streams, "--json", "--config", path) as one:
        async with started("sync", "shop.customers", "--json", "--config", path) as two:
            assert [(await one.ended()).code, (await two.ended()).code] == [0, 0]
    spent = len(bench.sandbox.requests)
    (budget,) = await bench.fetch("SELECT minute_limit, minute_remaining FROM syncd.budgets WHERE source = 'shop'")
    assert budget["minute_limit"] == limit
    assert budget["minute_remaining"] <= limit - spent
    # a third process after both have ended, with more to ask for than is left of the minute
    async with started("sync", "shop.leads", "--config", path) as three:
        await until(lambda: len(bench.sandbox.requests) >= limit - 2)
        await asyncio.sleep(1)
        three.interrupt()
        ended = await three.ended()
    assert ended.code == 1
    assert ended.row("shop.leads")[1] == "aborted"
    times = sorted(entry.at.timestamp() for entry in bench.sandbox.requests)
    assert spent < len(times)
    assert max(sum(at <= other < at + 60 for other in times) for at in times) <= limit
    assert len(times) >= limit - 2, "the minute was not used"


@trial
async def test_no_secret_is_ever_told(make_bench: MakeBench) -> None:
    shop = await make_bench(time=WallClock(), limits=LIMITS, **SIZES)
    path = shop.config_file()
    said = []
    commands = [["check"], ["sync", "-v"], ["status"], ["status", "--json"]]
    for ended in await asyncio.gather(*(syncd(*words, "--config", path) for words in commands)):
        assert ended.code == 0, ended
        said += [ended.out, ended.err]
    for fault, api in (("bad-credentials", None), ("broken-session", "ghs"), ("token-expires-early", "autengo")):
        shop.sandbox.faults.add(fault, api=api)
    text = path.read_text()
    text = text.replace(shop.address.base_url("cyclis"), shop.address.base_url("cyclis").replace("http:", "https:"))
    path.write_text(text)
    quick = ["shop.stores", "lease.companies", "cars.makes", "parts.account"]
    commands = [["check"], ["sync", "-v", *quick], ["verify", *quick]]
    for ended in await asyncio.gather(*(syncd(*words, "--config", path) for words in commands)):
        assert ended.code == 1, ended
        said += [ended.out, ended.err]
    ended = await syncd("status", "--config", path)
    said += [ended.out, ended.err]
    everything = "\n".join([*said, await everything_stored(shop)])
    assert "401" in everything
    assert "run_finished" in everything
    told = [name for name, secret in secrets().items() if secret in everything]
    assert told == []


def test_the_secrets_that_are_looked_for_are_those_of_the_sandbox() -> None:
    assert len(secrets()) == 7
    assert all(len(secret) > 8 for secret in secrets().values())


async def test_a_list_in_which_nothing_changed_waits_for_no_writer(shop: Bench) -> None:
    stores = len(shop.sandbox.truth("cyclesoftware", "stores"))
    await shop.sync("shop.stores")
    async with shop.db.transaction() as other:
        number = lock_number("table", "shop", shop.syncer.target("shop", "stores").name)
        await other.execute("SELECT pg_advisory_xact_lock(syncd.lock_key($1))", number)
        async with asyncio.timeout(20):
            result = await shop.sync("shop.stores")
    assert (result.outcome, result.counts.unchanged) == ("ok", stores)
    _, run = await shop.fetch("SELECT outcome, pages, rows_seen, rows_unchanged FROM syncd.runs ORDER BY run_id")
    assert tuple(run) == ("ok", 1, stores, stores)

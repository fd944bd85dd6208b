"""What the listener answers machines: the API, health, metrics."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import asyncpg
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd import config as configuration
from syncd import status
from syncd.errors import DatabaseUnavailable
from syncd.service import web
from syncd.sources import registry
from syncd.status import Status, StatusReader
from syncd.storage.postgres import database, embedded
from tests.support.bench import Bench, MakeBench, database_url
from tests.support.daemon import Now
from tests.support.outline import page
from tests.support.site import Site, reader_of, serving


@pytest.fixture
async def site(bench: Bench) -> AsyncIterator[Site]:
    async with serving(reader_of(bench)) as served:
        yield served


async def test_the_api_gives_the_status_as_the_command_does(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    code, text, headers = await site.get("api/status")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    given = msgspec.json.decode(text, type=Status)
    assert given == await status.collect(bench.db, bench.config, registry(), now=bench.time.now())


async def test_healthz_follows_the_process_and_readyz_the_database(bench: Bench, server: embedded.Server) -> None:
    alive = True
    async with serving(reader_of(bench), is_alive=lambda: alive) as site:
        assert (await site.get("healthz"))[:2] == (200, "ok\n")
        assert (await site.get("readyz"))[:2] == (200, "ok\n")
        alive = False
        assert (await site.get("healthz"))[0] == 503
    conn = await asyncpg.connect(**server.connect_arguments)
    await conn.execute("CREATE DATABASE bare_of_web")
    url = configuration.Secret(database_url(server, "bare_of_web"))
    bare = await database.connect(configuration.DatabaseConfig(url=url, data_dir=bench.folder))
    try:
        async with serving(reader_of(replace(bench, db=bare))) as site:
            code, text, _ = await site.get("readyz")
            assert (code, text.startswith("the database is at revision none")) == (503, True)
            assert "is not migrated" in (await page(site, "", 503)).words
            code, text, _ = await site.get("api/status")
            hint = "Run: syncd migrate. If it has nothing to do, restore what is missing from a dump (docs/upgrade.md)."
            assert (code, msgspec.json.decode(text)["hint"]) == (503, hint)
    finally:
        await bare.close()
        await conn.execute("DROP DATABASE bare_of_web WITH (FORCE)")
        await conn.close()


async def test_without_a_database_every_page_answers_in_words(bench: Bench) -> None:
    def away() -> database.Database:
        raise DatabaseUnavailable("the database postgresql://db cannot be reached", hint="Is the server running?")

    reader = StatusReader(registry(), config=lambda: bench.config, database=away, clock=bench.time.now)
    async with serving(reader) as site:
        assert "Is the server running?" in (await page(site, "", 503)).words
        assert (await page(site, "streams/shop/customers", 503)).all("h1")
        assert (await site.get("healthz"))[0] == 200
        assert (await site.get("readyz"))[:2] == (503, "the database postgresql://db cannot be reached\n")
        assert (await site.samples())["syncd_database_up", ()] == 0


async def test_metrics_tell_how_the_streams_stand(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    bench.time.pass_by(minutes=20)
    found = await site.samples()
    stream = (("source", "shop"), ("stream", "customers"))
    assert found["syncd_database_up", ()] == 1
    assert found["syncd_stream_freshness_seconds", stream] == 1200
    assert found["syncd_stream_state", (stream[0], ("state", "late"), stream[1])] == 1
    assert found["syncd_stream_state", (stream[0], ("state", "fresh"), stream[1])] == 0
    assert found["syncd_rejects", stream] == 0
    assert found["syncd_sweep_refused", stream] == 0
    rows = len(bench.sandbox.truth("cyclesoftware", "customers"))
    assert found["syncd_mirror_rows", (stream[0], ("status", "alive"), stream[1])] == rows
    assert found["syncd_budget_limit", (("source", "shop"), ("window", "minute"))] > 0
    assert found["syncd_budget_remaining", (("source", "shop"), ("window", "day"))] > 0
    assert ("syncd_stream_freshness_seconds", (("source", "shop"), ("stream", "stores"))) not in found


async def test_counters_count_every_run_once_whoever_ran_it(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now())
    await bench.sync("shop.customers")  # before we began: not counted
    stream = (("source", "shop"), ("stream", "customers"))

    def runs(found: Mapping[Any, float], outcome: str) -> float:
        labels = (("kind", "live"), ("outcome", outcome), *stream)
        return found["syncd_runs_total", labels]

    async with serving(reader_of(bench)) as site:
        found = await site.samples()
        assert (runs(found, "ok"), runs(found, "failed")) == (0, 0)
        bench.sandbox.faults.add("hang", api="cyclesoftware", stream="customers", times=1)
        hanging = asyncio.create_task(bench.sync("shop.customers"))
        await bench.sync("shop.stores")
        await site.samples()  # while one is under way
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        for _ in range(2):
            bench.sandbox.put(
                "cyclesoftware", "customers", bench.sandbox.truth("cyclesoftware", "customers")[0] | {"city": "X"}
            )
            await bench.sync("shop.customers")
        for _ in range(3):  # asking changes nothing
            found = await site.samples()
        assert (runs(found, "ok"), runs(found, "aborted"), runs(found, "failed")) == (2, 1, 0)
        in_table = await bench.fetch(
            "SELECT sum(requests), sum(rows_updated) FROM syncd.runs WHERE stream = 'customers' AND run_id > 1"
        )
        assert found["syncd_requests_total", stream] == in_table[0][0]
        assert found["syncd_rows_total", (("change", "updated"), *stream)] == in_table[0][1] == 1


async def test_metric_names_and_labels_keep_to_the_conventions(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    _, text, headers = await site.get("metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    allowed = {"source", "stream", "state", "status", "window", "lane", "kind", "outcome", "change", "version"}
    allowed |= {"digest", "result"}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith(("syncd_", "process_"))  # the second ones are of every program
        assert family.documentation
        assert {label for sample in family.samples for label in sample.labels} <= allowed


async def test_nothing_listens_when_the_configuration_says_off(bench: Bench) -> None:
    async with web.serving(reader_of(bench), None) as url:
        assert url is None

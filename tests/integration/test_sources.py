"""Whose data a source holds: another account under the old name is refused before anything is asked of it."""

import asyncio
import dataclasses
import html
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

from syncd.config import Secret
from syncd.contract import RunKind
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.errors import AnotherAccount
from syncd.sources import registry
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.postgres import migrations
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.command import requests_reach, syncd
from tests.support.daemon import Events, Now, count, more, serving, until, was_told, write
from tests.support.search import trial


def of(bench: Bench, source: str, *, base_url: str | None = None, **options: Any) -> Syncer:
    """Return a syncer as another process would have it, in whose configuration a source has other options."""
    settings = bench.config.sources[source]
    other = changed(settings, base_url=base_url or settings.base_url, options={**settings.options, **options})
    config = dataclasses.replace(bench.config, sources={**bench.config.sources, source: other})
    return Syncer(
        config, registry(), bench.db, bench.syncer._http, clock=bench.time.now, sleep=bench.time.sleep, jitter=float
    )


async def stored(bench: Bench) -> list[tuple[str, ...]]:
    return [tuple(row) for row in await bench.fetch("SELECT source, type, address FROM syncd.sources ORDER BY 1")]


STREAMS = {"shop": "stores", "lease": "companies", "cars": "makes", "parts": "account"}
"""A stream of each source that takes one request or two."""

OTHERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "username of CycleSoftware": ("shop", {"username": "someone-else"}),
    "token of Cyclis": ("lease", {"api_token": Secret("another-token")}),
    "dealer of Autengo": ("cars", {"dealer_alzura_id": 77}),
    "user of Autengo": ("cars", {"user_alzura_id": 77}),
    "username of GHS": ("parts", {"username": "someone-else"}),
    "host of CycleSoftware": ("shop", {"base_url": "http://localhost:9"}),
    "port of Autengo": ("cars", {"base_url": "http://127.0.0.1:9"}),
    "path of GHS": ("parts", {"base_url": "http://127.0.0.1/v4"}),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_a_run_for_another_account_is_refused_before_a_request(make_bench: MakeBench, what: str) -> None:
    bench = await make_bench(customers=20)
    source, options = OTHERS[what]
    stream = STREAMS[source]
    assert (await bench.sync(f"{source}.{stream}")).outcome == "ok"
    before = await bench.fetch("SELECT * FROM syncd.cursors ORDER BY 1, 2, 3")
    bench.sandbox.requests.clear()
    other = of(bench, source, **options)
    kinds: tuple[RunKind, ...] = ("live", "sweep", "backfill", "callback")
    for kind in kinds:
        result = await other.run(source, stream, Order(kind=kind, since=bench.time.at))
        assert (result.outcome, type(result.error)) == ("failed", AnotherAccount), result
        assert "another account" in str(result.error)
    assert not bench.sandbox.requests
    assert await bench.fetch("SELECT * FROM syncd.cursors ORDER BY 1, 2, 3") == before
    told = await bench.fetch("SELECT error, error_kind, requests FROM syncd.runs WHERE outcome = 'failed'")
    assert [(row["error_kind"], row["requests"]) for row in told] == [("AnotherAccount", 0)] * 4
    assert f"syncd sources adopt {source}" in told[0]["error"]
    assert (await bench.sync(f"{source}.{stream}")).outcome == "ok"


SAME: Mapping[str, tuple[str, dict[str, Any]]] = {
    "password of CycleSoftware": ("shop", {"password": Secret("new")}),
    "key of Autengo": ("cars", {"api_key": Secret("new")}),
    "key and password of GHS": ("parts", {"api_key": Secret("new"), "password": Secret("new")}),
    "zone of Cyclis": ("lease", {"zone": "Europe/Amsterdam"}),
}


@pytest.mark.parametrize("what", SAME)
async def test_a_renewed_secret_is_no_other_account_where_something_else_names_it(
    make_bench: MakeBench, what: str
) -> None:
    bench = await make_bench(customers=20)
    source, options = SAME[what]
    await bench.sync(f"{source}.{STREAMS[source]}")
    await of(bench, source, **options).require_same_account(source)
    assert [name for name, *_ in await stored(bench)] == [source]


async def test_another_spelling_of_the_address_is_no_other_account(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=20)
    await bench.sync("shop.stores")
    spelled = bench.config.sources["shop"].base_url.replace("http://", "HTTP://") + "/"
    assert (await of(bench, "shop", base_url=spelled).run("shop", "stores", Order())).outcome == "ok"


async def test_of_two_accounts_that_begin_at_once_only_one_is_stored(make_bench: MakeBench) -> None:
    """Both began before any row was there, in two streams: the second may not commit its page."""
    bench = await make_bench(customers=20)
    elsewhere = bench.config.sources["shop"].base_url.replace("127.0.0.1", "localhost")  # the same server answers
    other = of(bench, "shop", base_url=elsewhere)
    async with bench.db.transaction() as conn:
        await lock_tables(conn, "shop", [bench.syncer.target("shop", "customers")])  # its first page cannot commit yet
        slow = asyncio.ensure_future(bench.sync("shop.customers"))
        await requests_reach(bench, 1)
        assert (await other.run("shop", "stores", Order())).outcome == "ok"
    ended = await slow
    assert (ended.outcome, type(ended.error)) == ("failed", AnotherAccount)
    assert not await bench.rows("cyclesoftware.customers", "true")
    assert [row["stream"] for row in await bench.fetch("SELECT stream FROM syncd.cursors")] == ["stores"]


async def test_only_digests_of_secrets_are_stored(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=20)
    token = bench.config.sources["lease"].secret("api_token")
    await bench.sync("lease.companies")
    (row,) = await bench.fetch("SELECT account::text FROM syncd.sources")
    assert "sha256:" in row[0]
    assert token not in row[0]


async def test_rows_of_an_older_version_take_the_first_account_that_runs(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=20)
    await bench.sync("shop.customers")
    await bench.fetch("DELETE FROM syncd.sources")  # as version 0.1.0 left it
    assert (await bench.sync("shop.customers")).outcome == "ok"
    assert [name for name, *_ in await stored(bench)] == ["shop"]
    refused = await of(bench, "shop", username="x").run("shop", "customers", Order())
    assert type(refused.error) is AnotherAccount


LIVE = {"shop.stores": 'every = "1s"', "lease.companies": 'every = "1s"'}


async def test_a_daemon_tells_once_of_another_account_and_goes_on_with_other_sources(
    make_bench: MakeBench, events: Events
) -> None:
    """The account changes with a reload; nothing is asked of the new one, and the page says why."""
    bench = await make_bench(time=Now(), customers=20)
    path = write(bench, LIVE | {"shop.leads": 'every = "1s"'})
    async with serving(path) as url:
        await until(lambda: count(bench, "cyclesoftware.stores"))
        there = bench.address.base_url("cyclesoftware")
        path.write_text(path.read_text().replace(there, there.replace("127.0.0.1", "localhost")))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_reloaded"))
        bench.sandbox.requests.clear()
        await until(lambda: was_told(events, "account_refused"))
        ran = await count(bench, "syncd.runs WHERE source = 'lease'")
        await until(lambda: more(bench, "syncd.runs WHERE source = 'lease'", ran + 2))
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            page = html.unescape(await answer.text())
    (told,) = [event for event in events if event["event"] == "account_refused"]
    assert (told["source"], "another account" in told["error"], "adopt shop" in told["hint"]) == ("shop", True, True)
    assert "shop: another account: its rows are of cyclesoftware at http://127.0.0.1" in page
    assert {entry.api for entry in bench.sandbox.requests} == {"cyclis"}


async def test_the_page_names_an_orphan(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now(), customers=20)
    await bench.sync("parts.account")
    async with serving(write(bench, LIVE)) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        page = html.unescape(await answer.text())
    assert "The mirror holds 3 rows of ghs under the name parts" in page
    assert "syncd sources drop parts" in page


async def test_a_callback_address_is_not_registered_with_another_account(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now(), customers=20)
    await bench.sync("lease.companies")
    bench.sandbox.requests.clear()
    path = bench.config_file()
    path.write_text(path.read_text().replace(bench.config.sources["lease"].secret("api_token"), "another-token"))
    ended = await syncd("callbacks", "status", "lease", "--config", path)
    assert (ended.code, "another account" in ended.err) == (1, True), ended
    assert not bench.sandbox.requests


async def test_rejects_are_not_replayed_for_another_account(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now(), customers=20)
    bench.sandbox.faults.add("missing-key", api="cyclis", stream="companies")
    assert (await bench.sync("lease.companies")).counts.rejected > 0
    path = bench.config_file()
    path.write_text(path.read_text().replace(bench.config.sources["lease"].secret("api_token"), "another-token"))
    ended = await syncd("rejects", "replay", "--config", path)
    assert (ended.code, "another account" in ended.err) == (1, True), ended


def upgrade_to(revision: str) -> Callable[[sa.Connection], None]:
    def upgrade(conn: sa.Connection) -> None:
        settings = alembic.config.Config()
        settings.set_main_option("script_location", str(migrations.migrations_dir()))
        settings.attributes["connection"] = conn
        alembic.command.upgrade(settings, revision)

    return upgrade


@trial
async def test_a_database_of_version_0_1_0_is_upgraded_and_takes_the_first_account(make_bench: MakeBench) -> None:
    """Its rows and cursors were there before the table of the identities."""
    bench = await make_bench(time=Now(), customers=20)
    schemas = await bench.fetch("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'")
    async with migrations.engine_of(bench.db).begin() as conn:
        for (name,) in schemas:
            await conn.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
        await conn.run_sync(upgrade_to("0010"))
    await bench.fetch(
        "INSERT INTO cyclesoftware.stores (source, store_id, _first_seen_at, _changed_at)"
        " VALUES ('shop', 1, now(), now())"
    )
    await bench.fetch("INSERT INTO syncd.cursors VALUES ('shop', 'stores', 'live', '{}', now())")
    path = bench.config_file()
    assert (await syncd("sync", "shop.stores", "--config", path)).code == 3
    migrated = await syncd("migrate", "--config", path)
    assert (migrated.code, "applied: 0011, 0012" in migrated.out) == (0, True), migrated
    assert [name for name, *_ in await stored(bench)] == ["shop"]
    good = path.read_text()
    path.write_text(good.replace("sandbox-shop", "someone-else"))
    refused = await syncd("sync", "shop.stores", "--config", path)
    assert (refused.code, "another account" in refused.err) == (1, True), refused
    path.write_text(good)
    assert (await syncd("sync", "shop.stores", "--config", path)).code == 0

"""The status page and its machine-readable sisters, over HTTP, on a mirror filled by real runs."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd import config as configuration
from syncd import database, embedded, ledger, status, web
from syncd.config import Http
from syncd.errors import DatabaseUnavailable
from syncd.sandbox import CREDENTIALS
from syncd.sources import registry
from syncd.status import Status, StatusReader
from tests.conftest import Bench, MakeBench, database_url
from tests.test_daemon import Now

PAGES = ("", "streams/shop/customers", "streams/shop/nothing", "healthz", "readyz", "metrics", "api/status", "nothing")


class Site:
    """A served status page."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def get(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        async with self._http.get(f"{self.url}{path}") as answer:
            return answer.status, await answer.text(), answer.headers

    async def post(self, path: str) -> int:
        async with self._http.post(f"{self.url}{path}") as answer:
            return answer.status

    async def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return the metrics by name and labels."""
        _, text, _ = await self.get("metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@asynccontextmanager
async def serving(reader: StatusReader, **options: Any) -> AsyncIterator[Site]:
    async with web.serving(reader, Http(host="127.0.0.1", port=0), **options) as url, aiohttp.ClientSession() as http:
        assert url is not None
        yield Site(url, http)


def reader_of(bench: Bench) -> StatusReader:
    return StatusReader(registry(), config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now)


@pytest.fixture
async def site(bench: Bench) -> AsyncIterator[Site]:
    async with serving(reader_of(bench)) as served:
        yield served


class _Outline(HTMLParser):
    """Collects what a page is made of; fails on tags that do not close."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


async def page(site: Site, path: str, expected: int = 200) -> _Outline:
    code, text, headers = await site.get(path)
    assert (code, headers["Content-Type"]) == (expected, "text/html; charset=utf-8")
    outline = _Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    return outline


# --- Pages ------------------------------------------------------------------------------------------------------------


async def test_the_page_shows_every_stream_and_budget(bench: Bench, site: Site) -> None:
    for selector in ("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"):
        await bench.sync(selector)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await bench.sync("shop.stores")
    found = await page(site, "")
    streams = [(name, stream) for name, source in bench.config.sources.items() for stream in source.streams]
    links = [attrs["href"] for attrs in found.all("a")]
    assert all(f"/streams/{source}/{stream}" in links for source, stream in streams)
    assert "Streams" in found.words
    assert "Budgets" in found.words
    assert "paused 1" in found.words
    assert "fresh 4" in found.words
    assert "answered 403" in found.words
    assert f"{len(bench.sandbox.truth('cyclesoftware', 'customers')):,}" in found.words
    assert found.all("meter")
    # what moves has an id, or the script could not find it again
    assert all(attrs.get("id") for _, attrs in found.tags if "data-live" in attrs)


async def test_every_page_stands_on_its_own_and_can_be_read_aloud(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    for path in ("", "streams/shop/customers"):
        found = await page(site, path)
        assert found.all("html")[0]["lang"] == "en"
        assert len(found.all("h1")) == 1
        assert len(found.all("caption")) == len(found.all("table")) > 0
        assert all("scope" in attrs for attrs in found.all("th"))
        assert all(attrs.get("aria-label") for attrs in [*found.all("meter"), *found.all("progress")])
        assert not found.all("style")
        assert not any("style" in attrs for _, attrs in found.tags)
        assets = [attrs["src"] for attrs in found.all("script")] + [attrs["href"] for attrs in found.all("link")]
        assert all(asset is not None and asset.startswith("/static/") for asset in assets)
        for asset in assets:
            code, text, headers = await site.get(str(asset).removeprefix("/"))
            assert (code, bool(text), headers["X-Content-Type-Options"]) == (200, True, "nosniff")


async def test_a_stream_has_a_page_with_its_runs_cursor_and_drift(bench: Bench, site: Site) -> None:
    bench.sandbox.faults.add("unknown-field", api="cyclesoftware", stream="customers", times=1)
    bench.sandbox.faults.add("missing-key", api="cyclesoftware", stream="customers", times=1)
    for _ in range(3):
        await bench.sync("shop.customers")
        bench.time.pass_by(minutes=5)
    found = await page(site, "streams/shop/customers")
    for words in ("Runs, newest first", "Drift: fields", "resumes with changes since 2026-11-22 10:10:00", "Rejects 1"):
        assert words in found.words
    assert len(found.all("tr")) >= 5


async def test_only_the_newest_runs_are_listed(bench: Bench, site: Site) -> None:
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome)"
        " SELECT 'shop', 'customers', 'live', 'live', $1::timestamptz, $1, 'ok' FROM generate_series(1, 120)",
        bench.time.now(),
    )
    rows = [attrs for attrs in (await page(site, "streams/shop/customers")).all("th") if attrs.get("scope") == "row"]
    assert len(rows) == 50


async def test_backfills_show_their_progress(bench: Bench, site: Site) -> None:
    assert await bench.db.try_lock(ledger.stream_lock("cars", "vehicles", "backfill"))
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome, rows_seen, rows_expected, pages)"
        " VALUES ('cars', 'vehicles', 'backfill', 'backfill', $1, 'running', 1200, 4000, 12)",
        bench.time.now(),
    )
    found = await page(site, "")
    assert "1,200 of 4,000 rows, 12 pages" in found.words
    assert found.all("progress")[0]["max"] == "4000"


async def test_unknown_streams_and_pages_are_404_and_harmless(site: Site) -> None:
    found = await page(site, "streams/shop/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404)
    assert "shop.<script>alert(1)</script>" in found.words
    assert (await site.get("nothing"))[0] == 404
    assert (await site.get("static/../server.py"))[0] == 404


async def test_what_an_upstream_said_cannot_become_markup(bench: Bench, site: Site) -> None:
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, error, error_kind)"
        " VALUES ('shop', 'customers', 'live', 'live', $1, $1, 'failed', '<script>alert(1)</script>', 'BadPayload')",
        bench.time.now(),
    )
    for path in ("", "streams/shop/customers"):
        assert len((await page(site, path)).all("script")) == 1
        assert "&lt;script&gt;alert(1)" in (await site.get(path))[1]


async def test_every_answer_bears_strict_headers_and_nothing_can_be_written(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    for path in PAGES:
        _, _, headers = await site.get(path)
        assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert await site.post(path) in (404, 405)


async def test_no_secret_and_no_personal_data_is_ever_shown(bench: Bench, site: Site) -> None:
    # a fault that leaves a reject and drift behind, which hold a record
    bench.sandbox.faults.add("missing-key", api="cyclesoftware", stream="customers", times=1)
    bench.sandbox.faults.add("wrong-type", api="cyclesoftware", stream="customers", times=1)
    for selector in ("shop.customers", "shop.platform_keys", "shop.leads", "lease.cyclists", "cars.contacts"):
        await bench.sync(selector)
    bench.sandbox.faults.add("bad-credentials", api="autengo")
    await bench.sync("cars.vehicles")
    shown = ""
    for name, source in bench.config.sources.items():
        for stream in source.streams:
            shown += (await site.get(f"streams/{name}/{stream}"))[1]
    for path in PAGES:
        shown += (await site.get(path))[1]
    words = set(re.findall(r"[\w@.+/=-]+", shown))
    secrets = {
        str(value)
        for credentials in CREDENTIALS.values()
        for name, value in credentials.items()
        if name in ("password", "api_key", "api_token")
    }
    secrets |= {row["key"] for row in bench.sandbox.truth("cyclesoftware", "platform_keys")}
    assert [secret for secret in secrets if secret in shown] == []
    people = {row["email"] for row in bench.sandbox.truth("cyclesoftware", "customers")}
    people |= {row["name"] for row in bench.sandbox.truth("cyclesoftware", "customers") if len(row["name"]) > 5}
    people |= {row["street"] for row in bench.sandbox.truth("cyclesoftware", "customers") if len(row["street"]) > 5}
    assert {word for word in people if word} & words == set()


# --- For machines -----------------------------------------------------------------------------------------------------


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
    bare = await database.connect(configuration.Database(url=url, data_dir=bench.folder))
    try:
        async with serving(reader_of(replace(bench, db=bare))) as site:
            code, text, _ = await site.get("readyz")
            assert (code, text.startswith("the database is at revision none")) == (503, True)
            assert "is not migrated" in (await page(site, "", 503)).words
            code, text, _ = await site.get("api/status")
            assert (code, msgspec.json.decode(text)["hint"]) == (503, "Run: syncd migrate")
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
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("syncd_")
        assert family.documentation
        assert {label for sample in family.samples for label in sample.labels} <= allowed


async def test_nothing_listens_when_the_configuration_says_off(bench: Bench) -> None:
    async with web.serving(reader_of(bench), None) as url:
        assert url is None

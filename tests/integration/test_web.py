"""The pages: what they show, and what no page ever shows."""

import hashlib
import re
from collections.abc import AsyncIterator

import pytest

from syncd.errors import DatabaseUnavailable
from syncd.sandbox import CREDENTIALS
from syncd.service.web.rendering import FOLDER
from syncd.sources import registry
from syncd.status import StatusReader
from syncd.status.day import DAY
from syncd.storage.postgres.database import Database
from syncd.storage.state import runs
from tests.support.bench import Bench, streams_on
from tests.support.outline import page
from tests.support.site import Site, reader_of, serving

PAGES = (
    "",
    "streams/shop/customers",
    "streams/shop/nothing",
    "healthz",
    "readyz",
    "freshz",
    "metrics",
    "api/status",
    "nothing",
)


@pytest.fixture
async def site(bench: Bench) -> AsyncIterator[Site]:
    async with serving(reader_of(bench)) as served:
        yield served


async def test_freshz_is_503_while_a_stream_is_late_and_says_which(bench: Bench, site: Site) -> None:
    code, text, _ = await site.get("freshz")
    assert (code, "shop.customers is late: no run has succeeded yet\n" in text) == (503, True)
    await bench.sync("shop.customers")
    bench.time.pass_by(minutes=2)
    assert (await site.get("freshz?stream=shop.customers"))[:2] == (200, "1 stream: all well\n")
    code, text, _ = await site.get("freshz?stream=shop.customers&max_age=1m")
    assert (code, text) == (503, "shop.customers is late: the last good run started 2 min ago, more than 60 s\n")
    for wrong, words in (("stream=shop.nothing", "matches no stream"), ("max_age=soon", "expected a duration")):
        code, text, _ = await site.get(f"freshz?{wrong}")
        assert (code, words in text) == (400, True)


async def test_the_page_shows_every_stream_and_budget(bench: Bench, site: Site) -> None:
    for selector in ("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"):
        await bench.sync(selector)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await bench.sync("shop.stores")
    found = await page(site, "?range=24h")
    streams = [(name, stream) for name, source in bench.config.sources.items() for stream in source.streams]
    links = [attrs["href"] for attrs in found.all("a")]
    assert all(f"/streams/{source}/{stream}" in links for source, stream in streams)
    assert f"1 of {streams_on(bench)} streams needs a look" in found.words
    assert "paused 1" in found.words
    assert "fresh 4" in found.words
    assert "answered 403" in found.words
    assert f"{len(bench.sandbox.truth('cyclesoftware', 'customers')):,}" in found.words
    shop = next(source for source in (await reader_of(bench).status()).sources if source.source == "shop")
    assert shop.budget is not None
    assert f"Minute {shop.budget.minute_remaining:,} of {shop.budget.minute_limit:,} left" in found.words
    assert f"live {shop.budget.day_used_live} backfill 0" in found.words
    assert f"kept for live {shop.budget.live_reserve:,}" in found.words
    assert re.search(r"Today: [1-9]\d* requests?; no limit known", found.words)
    bars = [attrs for attrs in found.all("svg") if attrs.get("class") == "bar"]
    assert len(bars) == 2
    strips = [attrs["aria-label"] for attrs in found.all("svg") if attrs.get("class") == "strip"]
    assert len(strips) == streams_on(bench)
    assert "Last 24 hours: in time throughout" in strips


async def test_every_page_stands_on_its_own_and_can_be_read_aloud(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    for path in ("", "streams/shop/customers"):
        found = await page(site, path)
        assert found.all("html")[0]["lang"] == "en"
        assert len(found.all("h1")) == 1
        assert len(found.all("caption")) == len(found.all("table")) > 0
        assert all("scope" in attrs for attrs in found.all("th"))
        assert all("aria-label" in attrs or "aria-hidden" in attrs for attrs in found.all("svg"))
        assert len(found.all("main")) == len(found.all("header")) == len(found.all("footer")) == 1
        ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
        assert len(ids) == len(set(ids)) > 5  # the script finds by them what it changes
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
    found = await page(site, "streams/shop/customers?range=24h")
    drifted = (await bench.fetch("SELECT count(*) FROM syncd.drift"))[0][0]
    for words in ("newest 3 runs", "vanished", "resumes at 2026-11-22 10:10:00 Europe/Amsterdam", "syncd rejects list"):
        assert words in found.words
    assert "Next run now every 5 min, sweep every 7 days" in found.words
    rows = [attrs for attrs in found.all("tr") if str(attrs.get("id", "")).startswith("r-")]
    assert len(rows) == 3
    assert len([attrs for attrs in found.all("th") if attrs.get("scope") == "row"]) == 3 + drifted + 4 * DAY.slots


async def test_the_first_day_sweeps_and_an_outage_are_told(bench: Bench) -> None:
    is_away = False

    def database() -> Database:
        if is_away:
            raise DatabaseUnavailable("the database postgresql://db cannot be reached", hint="Is the server running?")
        return bench.db

    reader = StatusReader(registry(), config=lambda: bench.config, database=database, clock=bench.time.now)
    async with serving(reader) as site:
        found = await page(site, "")
        assert "No run has begun yet. The first one begins now" in found.words
        assert found.all("figure") == []
        await bench.sync("shop.customers")
        bench.time.pass_by(minutes=1)
        found = await page(site, "")
        assert ("Last hour" in found.words, len(found.all("figure"))) == (True, 2)
        assert "Last 7 days" in (await page(site, "?range=7d")).words
        await bench.fetch(
            "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, error, error_kind)"
            " SELECT 'shop', 'customers', 'sweep', 'live', at, at, outcome, 'too many', kind FROM (VALUES"
            " ($1::timestamptz - interval '9 days', 'ok', NULL), ($1, 'failed', 'SweepRefused'))"
            " AS v (at, outcome, kind)",
            bench.time.now(),
        )
        bench.time.pass_by(minutes=1)
        found = await page(site, "")
        assert "1 of" in found.words
        assert "shop.customers: a sweep is refused" in found.words
        assert "syncd sync shop.customers --full --accept-deletions" in found.words
        assert [attrs["class"] for attrs in found.all("h1")] == ["warn"]
        assert "customers fresh sweep refused" in found.words
        assert "customers refused 60 s ago 9 days ago in 24 h" in found.words
        found = await page(site, "streams/shop/customers")
        tables = re.findall(r"The newest (\d+) (runs|sweeps)", found.words)
        assert tables == [("1", "runs"), ("2", "sweeps")]
        is_away = True
        bench.time.pass_by(minutes=5)
        found = await page(site, "", 503)
        assert "What was known at 2026-" in found.words
        assert re.search(r"shop\.customers fresh 7 min ago \d+ the last sweep failed", found.words)


async def test_only_the_newest_runs_are_listed(bench: Bench, site: Site) -> None:
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome)"
        " SELECT 'shop', 'customers', 'live', 'live', $1::timestamptz, $1, 'ok' FROM generate_series(1, 120)",
        bench.time.now(),
    )
    rows = [attrs for attrs in (await page(site, "streams/shop/customers")).all("tr") if "id" in attrs]
    assert len(rows) == 50


async def test_backfills_show_their_progress(bench: Bench, site: Site) -> None:
    assert await bench.db.try_lock(runs.stream_lock("cars", "vehicles", "backfill"))
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome, rows_seen, rows_expected, pages)"
        " VALUES ('cars', 'vehicles', 'backfill', 'backfill', $1, 'running', 1200, 4000, 12)",
        bench.time.now(),
    )
    found = await page(site, "")
    assert "1,200 of 4,000 rows, 12 pages" in found.words
    assert "30 %" in found.words
    assert (found.all("progress")[0]["max"], found.all("progress")[0]["value"]) == ("1", "0.3")


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
        assert len((await page(site, path)).all("script")) == 3
        assert "&lt;script&gt;alert(1)" in (await site.get(path))[1]


async def test_every_answer_bears_strict_headers_and_nothing_can_be_written(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    for path in PAGES:
        _, _, headers = await site.get(path)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert await site.asked(method, path) in (404, 405)
        assert await site.asked("HEAD", path) == (await site.get(path))[0]


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


async def test_what_was_vendored_is_what_was_published(site: Site) -> None:
    noted = re.findall(r"`(\S+)` \|.*\| `([0-9a-f]{64})` \|", (FOLDER / "static/vendor/README.md").read_text())
    assert len(noted) == 2
    for name, digest in noted:
        code, _, headers = await site.get(f"static/vendor/{name}")
        assert (code, headers["Cache-Control"]) == (200, "no-cache")
        assert hashlib.sha256((FOLDER / "static/vendor" / name).read_bytes()).hexdigest() == digest
    assert (FOLDER / "static/vendor/uplot/LICENSE").read_text().startswith("The MIT License (MIT)")

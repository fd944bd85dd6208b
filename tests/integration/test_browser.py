"""The status page as people meet it: a real Chromium, a real database, runs that go on while one looks."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Request

from syncd.config import Http, Secret
from syncd.errors import DatabaseUnavailable
from syncd.service import web
from syncd.service.operations import Operations
from syncd.sources import registry
from syncd.status import StatusReader
from syncd.storage.postgres.database import Database
from tests.papers.screenshots import make_up_day
from tests.support.bench import Bench, MakeBench, streams_on
from tests.support.browser import NAMES, browser, chromium
from tests.support.command import WallClock
from tests.support.daemon import until

pytestmark = pytest.mark.skipif(
    chromium() is None, reason=f"no Chromium here ({', '.join(NAMES)}); on Debian: apt install chromium-headless-shell"
)
LONGEST_MS = 20_000
"""Within this the page shows what happened; it looks every 5 s at least, and the machine may be busy."""
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
TOKEN = "a-token-of-an-operator-0123"
FEW = {
    "shop": ("customers", "stores", "sales_orders", "stock", "leads"), "lease": ("orders", "dealers"),
    "cars": ("makes", "contacts"), "parts": ("orders", "products"),
}  # fmt: skip
"""Streams of each kind: axe takes its time for each row of a page, and rows of one kind are alike."""
OWN_HEADS = "document.querySelectorAll('h1').length"


@pytest.fixture(scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as found:
        yield found


Open = Callable[..., Awaitable[Page]]


class Tab:
    """A page with what went wrong in it, and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, request: Request) -> None:
        self.asked.append(request.url)


@asynccontextmanager
async def tab(chrome: Browser, url: str, **options: Any) -> AsyncIterator[Tab]:
    async with await chrome.new_context(**options) as context:
        opened = Tab(await context.new_page())
        opened.page.set_default_timeout(LONGEST_MS)
        await opened.page.goto(url)
        yield opened


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    """A bench in real time, whose lists have several pages."""
    return await make_bench(time=WallClock(), customers=300, page_size=10)


@pytest.fixture
async def small(make_bench: MakeBench) -> Bench:
    """A bench in real time with short lists and a few streams of each kind, for what is not about many of them."""
    bench = await make_bench(time=WallClock(), customers=40)
    bench.config = replace(
        bench.config,
        sources={
            name: replace(source, streams={each: source.streams[each] for each in FEW[name]})
            for name, source in bench.config.sources.items()
        },
    )
    return bench


def reader_of(bench: Bench, database: Callable[[], Database] | None = None) -> StatusReader:
    return StatusReader(
        registry(), config=lambda: bench.config, database=database or (lambda: bench.db), clock=bench.time.now
    )


@asynccontextmanager
async def serving(bench: Bench, **options: Any) -> AsyncIterator[str]:
    async with web.serving(reader_of(bench, **options), Http(host="127.0.0.1", port=0)) as url:
        assert url is not None
        yield url


@asynccontextmanager
async def acting(bench: Bench, **options: Any) -> AsyncIterator[str]:
    """Serve a page on which operators may act."""
    reader = reader_of(bench, **options)
    operations = Operations(
        config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now, run_now=lambda _pairs: None,
        changed=reader.clear_status,
    )  # fmt: skip
    http = Http(host="127.0.0.1", port=0, operator_token=Secret(TOKEN))
    async with web.serving(reader, http, operations=operations) as url:
        assert url is not None
        yield url


async def sign_in(page: Page) -> None:
    await page.locator("#token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def shows(page: Page, selector: str, words: str) -> None:
    """Wait until the first such element tells that."""
    await page.locator(selector).filter(has_text=words).first.wait_for(state="attached")


async def differs(page: Page, selector: str, words: str) -> bool:
    return await page.locator(selector).inner_text() != words


async def test_it_loads_draws_and_asks_nobody_else(chrome: Browser, live: Bench) -> None:
    await make_up_day(live, live.time.now())
    await live.sync("shop.customers")
    async with serving(live) as url:
        for path, charts in (("", 2), ("streams/shop/customers", 4)):
            async with tab(chrome, f"{url}{path}") as found:
                await found.page.locator(".plot canvas").nth(charts - 1).wait_for()
                drawn = await found.page.evaluate(
                    "[...document.querySelectorAll('.plot canvas')].map(canvas => new Set(canvas.getContext('2d')"
                    ".getImageData(0, 0, canvas.width, canvas.height).data).size)"
                )
                assert len(drawn) == charts
                assert min(drawn) > 20  # many colours: axes, words and bars, no blank canvas
                assert found.complaints == []
                assert found.asked
                assert all(asked.startswith(url) for asked in found.asked)


async def test_a_run_is_followed_without_a_reload(chrome: Browser, live: Bench) -> None:
    await live.sync("shop.stores")
    live.sandbox.faults.add("hang", api="cyclesoftware", stream="customers", after=3, times=1)
    async with serving(live) as url, tab(chrome, url) as found:
        page = found.page
        await page.evaluate("window.mark = 'never reloaded'")
        row = "[id='s-shop.customers']"
        link = page.locator(f"{row} a")
        await link.focus()
        assert "never" in (await page.locator(row).inner_text())
        running = asyncio.create_task(live.sync("shop.customers"))
        await shows(page, row, "live under way")
        seen = (
            "Number(document.querySelector(\"[id='s-shop.customers'] .c-last\").textContent.match(/([\\d,]+) rows/)[1])"
        )
        await until(lambda: page.evaluate(f"{seen} >= 20"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        live.sandbox.faults.clear()
        await live.sync("shop.customers")
        await shows(page, f"{row} .state", "fresh")
        count = len(live.sandbox.truth("cyclesoftware", "customers"))
        await shows(page, row, f"{count:,}")
        assert await page.evaluate("window.mark") == "never reloaded"
        assert await link.evaluate("link => link === document.activeElement")
        assert found.complaints == []


async def test_a_backfill_is_followed_with_its_share_and_time_to_go(chrome: Browser, live: Bench) -> None:
    await live.sync("shop.customers")
    live.sandbox.latency_s = 1.0
    async with serving(live) as url, tab(chrome, url) as found:
        stop = asyncio.Event()
        since = live.time.now().replace(year=2020)
        running = asyncio.create_task(live.sync("shop.customers", "backfill", since=since, stop=stop))
        await shows(found.page, ".backfills", "2020-")
        bar = "document.querySelector('.backfills progress')"
        first = await until(lambda: found.page.evaluate(f"{bar}?.value"), LONGEST_MS / 1000)
        await until(lambda: found.page.evaluate(f"{bar}.value > {first}"), LONGEST_MS / 1000)
        await shows(found.page, ".backfills", "to go")
        stop.set()
        await running
        await found.page.locator(".backfills").wait_for(state="detached")
        assert found.complaints == []


async def test_a_failure_is_shown_and_told_and_goes_again(chrome: Browser, small: Bench) -> None:
    await small.sync("shop.customers")
    async with serving(small) as url, tab(chrome, url) as found:
        page = found.page
        small.sandbox.faults.add("html-200", api="cyclesoftware", stream="customers")
        await small.sync("shop.customers")
        await shows(page, "h1", f"1 of {streams_on(small)} streams needs a look")
        await shows(page, ".problems", "an HTML page")
        told = page.locator("#say[role=status]")
        assert "shop.customers is failing" in await told.inner_text()
        assert await page.title() == f"1 of {streams_on(small)} streams needs a look – syncd"
        small.sandbox.faults.clear()
        await small.sync("shop.customers")
        await page.locator(".problems").wait_for(state="detached")
        assert "failing" not in await told.inner_text()


async def test_it_survives_a_server_that_restarts(chrome: Browser, small: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = Http(host="127.0.0.1", port=probe.getsockname()[1])
    async with AsyncExitStack() as stack:
        async with web.serving(reader_of(small), listen) as url:
            found = await stack.enter_async_context(tab(chrome, str(url)))
            await found.page.evaluate("window.mark = 'never reloaded'")
        await shows(found.page, "#stale[role=alert]", "syncd does not answer")
        await small.sync("shop.stores")
        async with web.serving(reader_of(small), listen):
            await shows(found.page, "[id='s-shop.stores'] .state", "fresh")
            assert await found.page.locator("#stale").is_hidden()
            assert await found.page.evaluate("window.mark") == "never reloaded"


async def test_a_database_that_is_away_is_told_and_the_old_numbers_stay(chrome: Browser, small: Bench) -> None:
    await small.sync("shop.stores")
    is_away = False

    def database() -> Database:
        if is_away:
            raise DatabaseUnavailable("the database postgresql://db cannot be reached")
        return small.db

    async with serving(small, database=database) as url, tab(chrome, url) as found:
        is_away = True
        await shows(found.page, "#stale", "The database does not answer")
        assert await found.page.locator("[id='s-shop.stores'] .state").inner_text() == "fresh"
        async with tab(chrome, url) as late:
            await shows(late.page, "h1", "The database does not answer")
            is_away = False
            await shows(late.page, "[id='s-shop.stores'] .state", "fresh")
        await found.page.locator("#stale").wait_for(state="hidden")


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(chrome: Browser, small: Bench) -> None:
    await small.sync("shop.customers")
    async with serving(small) as url, tab(chrome, url) as found:
        page = found.page
        focused = "(document.activeElement.textContent.trim() || document.activeElement.id)"
        await page.keyboard.press("Tab")
        assert await page.evaluate(focused) == "Skip to the content"
        await page.keyboard.press("Enter")
        await until(lambda: page.evaluate("document.activeElement.id === 'main'"))
        met = []
        for _ in range(60):
            await page.keyboard.press("Tab")
            met.append(await page.evaluate(focused))
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(outline) != "none", met[-1]
            if met[-1] == "customers":
                break
        assert "q" in met
        assert "as a table: Rows written" in met
        assert met[-1] == "customers"
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}streams/shop/customers")
        assert (await page.locator("h1").inner_text()).split() == ["shop.customers", "fresh"]


async def test_an_open_table_stays_open_and_a_search_is_kept(chrome: Browser, small: Bench) -> None:
    await small.sync("shop.customers")
    async with serving(small) as url, tab(chrome, url) as found:
        page = found.page
        await page.locator("#q").fill("CYCLIS")
        await page.locator("#q").press("Enter")
        await page.wait_for_url("**/?q=CYCLIS**")
        assert await page.locator("section.source h3").all_inner_texts() == ["lease"]
        await page.locator("summary").first.click()
        await page.locator("#q").fill("half a wo")
        await small.sync("lease.orders")
        await shows(page, "[id='s-lease.orders'] .state", "fresh")
        assert await page.locator("details").first.get_attribute("open") is not None
        for _ in range(3):  # the last time nothing but the time changed
            told_at = await page.locator("#at").inner_text()
            await until(partial(differs, page, "#at", told_at))
        assert await page.locator(".plot canvas").count() == 2
        assert await page.locator("#q").input_value() == "half a wo"
        assert await page.locator("section.source h3").all_inner_texts() == ["lease"]


async def test_a_phone_never_scrolls_sideways(chrome: Browser, live: Bench) -> None:
    await make_up_day(live, live.time.now())
    live.sandbox.faults.add("html-200", api="cyclesoftware", stream="customers")
    for selector in ("shop.customers", "shop.stock", "cars.contacts"):
        await live.sync(selector)
    async with serving(live) as url:
        async with tab(chrome, url, viewport=PHONE, has_touch=True, is_mobile=True) as found:
            page = found.page
            for path in ("", "?state=failing", "streams/shop/customers", "streams/cars/contacts", "streams/x/y"):
                await page.goto(f"{url}{path}")
                assert await page.evaluate(OWN_HEADS) == 1
                await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                wide = await page.evaluate("document.documentElement.scrollWidth")
                assert wide <= PHONE["width"], path
                cut = await page.evaluate(
                    "[...document.querySelectorAll('main *')]"
                    ".filter(one => !one.closest('.scroll, .unseen, thead, svg'))"
                    ".filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"
                )
                assert cut == []


async def test_nothing_keeps_anybody_out(chrome: Browser, small: Bench) -> None:
    live = small
    live.sandbox.faults.add("missing-key", api="cyclesoftware", stream="customers", times=1)
    live.sandbox.faults.add("unknown-field", api="cyclesoftware", stream="customers", times=1)
    live.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    for selector in ("shop.customers", "shop.stores", "cars.makes"):
        await live.sync(selector)
    await live.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, error, error_kind)"
        " VALUES ('shop', 'customers', 'sweep', 'live', $1, $1, 'failed', 'too many', 'SweepRefused')",
        live.time.now(),
    )
    is_away = False

    def database() -> Database:
        if is_away:
            raise DatabaseUnavailable("the database postgresql://db cannot be reached")
        return live.db

    async with acting(live, database=database) as url:
        paths = ("?q=s", "streams/shop/customers", "streams/shop/stores", "runs/1", "operator", "streams/x/y")
        for scheme, viewport, count in (("light", DESK, len(paths)), ("dark", DESK, 4), ("light", PHONE, 3)):
            async with tab(chrome, f"{url}operator", color_scheme=scheme, viewport=viewport) as found:
                await found.page.add_init_script(AXE_SCRIPT)
                await sign_in(found.page)
                for path in paths[:count]:
                    await found.page.goto(f"{url}{path}")
                    await judge(found.page, colours_only=scheme == "dark")
                is_away = True
                await found.page.goto(f"{url}runs/1")
                await shows(found.page, "h1", "The database does not answer")
                await judge(found.page, colours_only=scheme == "dark")
                is_away = False


JUDGE = """
rules => axe.run({resultTypes: ['violations'], ...(rules && {runOnly: rules})}).then(found => ({
    faults: found.violations.flatMap(one => one.nodes.map(node => [one.id, node.html, node.failureSummary])),
    passed: found.passes.map(one => one.id),
}))
"""


async def judge(page: Page, *, colours_only: bool) -> None:
    """Let axe look at a page with one of its tables open."""
    await page.evaluate("document.querySelectorAll('details').forEach((one, n) => one.open = !n)")
    judged = await page.evaluate(JUDGE, ["color-contrast"] if colours_only else None)
    assert judged["faults"] == []
    assert "color-contrast" in judged["passed"]


async def test_an_operator_signs_in_acknowledges_and_reads_local_times(chrome: Browser, small: Bench) -> None:
    small.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await small.sync("shop.stores")
    at = (await small.fetch("SELECT started_at FROM syncd.runs"))[0][0]
    async with acting(small) as url, tab(chrome, url, timezone_id="Asia/Kathmandu") as found:
        page = found.page
        await page.get_by_role("link", name="Sign in").click()
        await page.locator("#token").fill("not-the-token-of-anybody")
        await page.get_by_role("button", name="Sign in").click()
        await shows(page, "[role=alert]", "not the token")
        found.complaints.clear()  # the browser itself tells of the 403
        await sign_in(page)
        assert await page.locator("#h-problems").count() == 1
        await page.get_by_role("button", name="Acknowledge").click()
        await shows(page, "#h-known", "Known to somebody")
        assert await page.locator("#h-problems").count() == 0
        assert await page.locator("h1.good").count() == 0
        await page.locator(".problems select").select_option("8h")
        told_at = await page.locator("#at").inner_text()
        await until(partial(differs, page, "#at", told_at))  # the page was fetched anew meanwhile
        assert await page.locator(".problems select").input_value() == "8h"
        await page.get_by_role("button", name="Mute").click()
        await shows(page, ".known", "Muted")
        rows = await small.fetch("SELECT action, subject FROM syncd.audit ORDER BY audit_id")
        assert [tuple(row) for row in rows] == [("acknowledge", "shop ScopeMissing"), ("mute", "shop ScopeMissing")]
        await page.goto(f"{url}runs/1")
        local = at.astimezone(ZoneInfo("Asia/Kathmandu"))
        assert f"{local:%Y-%m-%d %H:%M:%S} GMT+5:45" in await page.locator("dl.facts").inner_text()
        assert await page.locator("#zone").inner_text() in ("Asia/Kathmandu", "Asia/Katmandu")
        assert found.complaints == []


async def test_the_page_follows_what_the_reader_wants(chrome: Browser, small: Bench) -> None:
    await small.sync("shop.customers")
    brightness = "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"
    bars = (
        "[...document.querySelector('.plot canvas').getContext('2d').getImageData(0, 0, 9999, 150).data]"
        ".reduce((sum, value) => sum + value, 0)"
    )
    moving = """(function moving(rules) {
        return [...rules].flatMap(rule => rule.media
            ? (matchMedia(rule.media.mediaText).matches ? moving(rule.cssRules) : [])
            : rule.style?.transitionDuration || rule.style?.animationName ? [rule.selectorText] : []);
    })([...document.styleSheets].flatMap(sheet => [...sheet.cssRules]))"""
    count = len(small.sandbox.truth("cyclesoftware", "customers"))
    async with serving(small) as url:
        async with tab(chrome, url, color_scheme="light", reduced_motion="no-preference") as found:
            await found.page.locator(".plot canvas").first.wait_for()
            assert await found.page.evaluate(brightness) > 230
            light = await found.page.evaluate(bars)
            await found.page.emulate_media(color_scheme="dark")
            assert await found.page.evaluate(brightness) < 40
            await until(lambda: found.page.evaluate(f"{bars} !== {light}"))
            assert await found.page.evaluate(moving) == ["progress::-webkit-progress-value"]
            await found.page.emulate_media(reduced_motion="reduce")
            assert await found.page.evaluate(moving) == []
        async with tab(chrome, f"{url}?range=24h", java_script_enabled=False) as found:
            assert f"{count:,}" in await found.page.locator("[id='s-shop.customers']").inner_text()
            assert await found.page.locator(".chart tbody tr").count() == 96
            assert await found.page.locator("noscript").count() == 1

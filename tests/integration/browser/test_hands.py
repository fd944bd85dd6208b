"""The page in the hands of its users: keyboard, phone, assistive programs, operators."""

from functools import partial
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page

from syncd.errors import DatabaseUnavailable
from syncd.storage.postgres.database import Database
from tests.papers.screenshots import make_up_day
from tests.support.bench import Bench
from tests.support.browser import NAMES, chromium
from tests.support.daemon import until
from tests.support.search import trial
from tests.support.tabs import acting, serving, shows, sign_in, tab

pytestmark = pytest.mark.skipif(
    chromium() is None, reason=f"no Chromium here ({', '.join(NAMES)}); on Debian: apt install chromium-headless-shell"
)
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
OWN_HEADS = "document.querySelectorAll('h1').length"


async def differs(page: Page, selector: str, words: str) -> bool:
    return await page.locator(selector).inner_text() != words


@trial
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


@trial
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


@trial
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


@trial
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
        looks = (
            ("light", DESK, len(paths)),
            ("dark", DESK, 4),
            ("light", PHONE, 3),
        )
        for scheme, viewport, count in looks:
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


@trial
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


@trial
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

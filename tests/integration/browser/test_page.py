"""The page in a browser: it draws, follows what happens, and outlives outages."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser

from syncd.config import Http
from syncd.errors import DatabaseUnavailable
from syncd.service import web
from syncd.storage.postgres.database import Database
from tests.papers.screenshots import make_up_day
from tests.support.bench import Bench, streams_on
from tests.support.browser import NAMES, chromium
from tests.support.daemon import until
from tests.support.search import trial
from tests.support.tabs import LONGEST_MS, reader_of, serving, shows, tab

pytestmark = pytest.mark.skipif(
    chromium() is None, reason=f"no Chromium here ({', '.join(NAMES)}); on Debian: apt install chromium-headless-shell"
)


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


@trial
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


@trial
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

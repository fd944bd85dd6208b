"""The page in a tab of a browser, served as the daemon serves it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, Request

from syncd.config import Http, Secret
from syncd.service import web
from syncd.service.operations import Operations
from syncd.sources import registry
from syncd.status import StatusReader
from syncd.storage.postgres.database import Database
from tests.support.bench import Bench

LONGEST_MS = 20_000
"""Within this the page shows what happened; it looks every 5 s at least, and the machine may be busy."""
TOKEN = "a-token-of-an-operator-0123"
FEW = {
    "shop": ("customers", "stores", "sales_orders", "stock", "leads"), "lease": ("orders", "dealers"),
    "cars": ("makes", "contacts"), "parts": ("orders", "products"),
}  # fmt: skip
"""Streams of each kind: axe takes its time for each row of a page, and rows of one kind are alike."""


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

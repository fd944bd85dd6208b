"""The pictures of the status page in docs/screenshots/, from the sandbox after a busy day.

    python -m tests.papers.screenshots [FOLDER]

The runs of the last 24 hours are made up (a page after a minute's demo has nothing to tell); what happens now is real:
a first sync, a stream whose account lost its scope, and a backfill under way.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from playwright.async_api import Browser

from syncd import config as configuration
from syncd import log
from syncd.config import Http
from syncd.sandbox import Limits
from syncd.service import web
from syncd.sources import registry
from syncd.status import StatusReader
from syncd.storage.postgres import database, embedded, migrations
from tests.support.bench import SERVER_SETTINGS, Bench, open_bench
from tests.support.browser import browser
from tests.support.command import WallClock

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
LARGEST_BYTES = 150_000
LATENCY_S = 4.0
"""Of the sandbox while the backfill runs: slow enough to be seen under way."""
A_DAY = timedelta(days=1, minutes=10)
LIMITS = Limits(per_minute=600, per_day=20_000)
BUSY_HOURS = range(6, 19)


async def make_up_day(bench: Bench, now: datetime, *, seed: int = 7) -> None:
    """Write a day of runs: more by day than by night, a failed one now and then, an outage of one source."""
    dice, rows = random.Random(seed), []  # noqa: S311  (no secrets are made of it)
    outage = now - timedelta(hours=9), now - timedelta(hours=7, minutes=20)
    for name, source in bench.config.sources.items():
        for stream, settings in source.streams.items():
            if configuration.is_off(settings):
                continue
            every_s = max(settings.every_s or 3600.0, 300.0)
            at = now - timedelta(hours=24) + timedelta(seconds=dice.uniform(0, min(every_s, 3000)))
            while at < now - timedelta(minutes=1):
                busy = at.hour in BUSY_HOURS
                bad = (name == "cars" and outage[0] < at < outage[1]) or dice.random() < 0.004
                many = stream in ("customers", "sales_orders", "stock_items", "vehicles", "orders")
                written = 0 if bad or not many else int(dice.expovariate(0.22 if busy else 1.5))
                new = int(written * dice.uniform(0.1, 0.5))
                took_s = dice.uniform(0.4, 2.5) * (1 + written / 12)
                requests = 3 if bad else 1 + written // 12 + (dice.random() < 0.2)
                rows.append((
                    name, stream, "live", "live", at, at + timedelta(seconds=took_s), "failed" if bad else "ok",
                    "UpstreamBroken" if bad else None, f"{name}.{stream}: the upstream answered 503" if bad else None,
                    requests, max(1, requests - 1), written * 2, new, written - new, written,
                    int(written > 9) if stream == "customers" else 0,
                ))  # fmt: skip
                at += timedelta(seconds=every_s * dice.uniform(1.0, 1.05) * (3 if bad else 1))
    rows.sort(key=lambda row: row[4])
    async with bench.db.connection() as conn:
        await conn.executemany(
            "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, error_kind, error,"
            " requests, pages, rows_seen, rows_inserted, rows_updated, rows_unchanged, rows_deleted)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            rows,
        )


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Bench]:
    """Open a mirror on a private server, filled by a first sync after a day of made-up runs."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="syncd-shots-", ignore_cleanup_errors=True))
        )
        server = await embedded.ensure(folder / "data", settings=SERVER_SETTINGS)
        stack.push_async_callback(embedded.stop, folder / "data")
        conn = await asyncpg.connect(**server.connect_arguments)
        await conn.execute("CREATE DATABASE mirror")
        await conn.close()
        login, _, place = server.url.partition("@")
        url = f"{login}@{place.replace('/syncd', '/mirror', 1)}"
        db = await database.connect(configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=folder))
        stack.push_async_callback(db.close)
        await migrations.migrate(db)
        db.shown = "postgresql://db.example.com/mirror"
        bench = await open_bench(
            stack, db, url, folder, time=WallClock(), customers=2400, vehicles=3000, page_size=40,
            limits={"cyclesoftware": Limits(per_minute=300, per_day=10_000), "autengo": LIMITS},
            lines={"autengo": "limit = 20"},
        )  # fmt: skip
        pairs = [f"{source}.{stream}" for source, stream in configuration.select(bench.config, [])]
        for name in pairs:
            await bench.sync(name)
        await bench.fetch(
            "UPDATE syncd.runs SET started_at = started_at - $1::interval, finished_at = finished_at - $1::interval",
            A_DAY,
        )
        await make_up_day(bench, bench.time.now())
        bench.sandbox.evolve(2)
        bench.sandbox.faults.add("unknown-field", api="cyclesoftware", stream="customers", times=2)
        for name in pairs:
            await bench.sync(name)
        yield bench


async def take(chromium: Browser, url: str, path: Path, **options: Any) -> None:
    """Take one picture of a page, as high as it is."""
    width, height = options.pop("width", 1240), options.pop("height", 1120)
    async with await chromium.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce", locale="en-GB", **options
    ) as context:
        page = await context.new_page()
        await page.goto(url)
        await page.wait_for_selector(".u-over", state="attached")
        await page.wait_for_function("document.fonts.ready.then(() => true)")
        await page.screenshot(path=path, animations="disabled")


def weigh(folder: Path) -> int:
    """Print how large the pictures are; 1 if one is too large."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{name}: {size / 1000:.0f} kB{' (TOO LARGE)' if size > LARGEST_BYTES else ''}")  # noqa: T201
    return int(max(sizes.values()) > LARGEST_BYTES)


async def take_all(folder: Path) -> None:
    """Take all pictures."""
    async with opened() as bench, browser() as chromium:
        reader = StatusReader(registry(), config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now)
        async with web.serving(reader, Http(host="127.0.0.1", port=0)) as url:
            assert url is not None
            await take(chromium, url, folder / "light.png")
            await take(chromium, url, folder / "dark.png", color_scheme="dark")
            bench.sandbox.faults.add("missing-key", api="cyclesoftware", stream="customers", times=1)
            bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
            for name in ("shop.customers", "shop.stores"):
                await bench.sync(name)
            bench.sandbox.latency_s = LATENCY_S
            since, stop = datetime(2025, 1, 1, tzinfo=UTC), asyncio.Event()
            backfill = asyncio.create_task(bench.sync("shop.customers", "backfill", since=since, stop=stop))
            await asyncio.sleep(20)
            reader.clear()
            await take(chromium, url, folder / "backfill.png")
            await take(chromium, url, folder / "phone.png", width=390, height=1100, device_scale_factor=1)
            stop.set()
            await backfill
            reader.clear()
            await take(chromium, f"{url}streams/shop/customers", folder / "stream.png")


if __name__ == "__main__":
    log.configure("json", "error")
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    place.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(place))
    sys.exit(weigh(place))

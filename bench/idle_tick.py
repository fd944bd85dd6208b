"""Item 4: what a tick costs that finds nothing new, in a process that stays, as the daemon does.

Every tick is one run of one stream by the function that the daemon calls. Statements are counted by the server's log,
BEGIN and COMMIT among them, in ticks of their own: the log costs the server time, though not this process.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from bench.stage import Stage
from bench.table import Row
from bench.upstream import Upstream, served
from syncd import config as configuration
from syncd import log
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.sources import registry, specs
from syncd.storage.postgres import database
from syncd.upstream.wire import http_session

TICKS = 100
WARM = 5
"""Ticks before it counts: connections are made, statements prepared, caches filled."""
LOGGED = 4
APART_S = 0.5
"""Between ticks whose statements are counted: of ticks within a half second the budget cannot tell which the answers
have counted already, and saves that as news (`budget.SLOT_S`)."""
CUSTOMERS = 2_000
STREAMS = {
    "customers": "asked for what changed",
    "sales_orders": "asked for what changed",
    "stores": "a list that comes whole",
    "stock_items": "a list that comes whole, 600 records",
}
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): ")
_DATABASE = "bench_idle"

Tick = Callable[[], Awaitable[None]]


async def measure(stage: Stage) -> list[Row]:
    """Load a small account, then tick."""
    stage.tell("idle ticks")
    log.configure("json", "error")
    url = await stage.database(_DATABASE)
    path = stage.folder / "idle.toml"
    path.touch(mode=0o600)
    rows: list[Row] = []
    async with served(CUSTOMERS) as upstream:
        path.write_text(upstream.config(url))
        settings = configuration.load(path, specs())
        opened = await database.connect(settings.database)
        try:
            async with http_session() as http:
                syncer = Syncer(settings, registry(), opened, http)
                for stream, what in STREAMS.items():
                    rows += await _ticked(stage, upstream, syncer, stream, what)
        finally:
            await opened.close()
    return rows


async def _ticked(stage: Stage, upstream: Upstream, syncer: Syncer, stream: str, what: str) -> list[Row]:
    async def tick() -> None:
        result = await syncer.run("shop", stream, Order())
        if result.outcome != "ok":
            raise RuntimeError(f"{result.name} ended {result.outcome}: {result.error}")

    for _ in range(WARM):
        await tick()
    asked = await upstream.requests()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for _ in range(TICKS):
        await tick()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    asked = await upstream.requests() - asked
    statements = await _statements(stage, tick)
    subject = f"syncd {stream}"
    return [
        Row("idle tick", subject, "requests", asked / TICKS, "", what),
        Row("idle tick", subject, "statements", statements / LOGGED, "", "BEGIN and COMMIT among them"),
        Row("idle tick", subject, "CPU", cpu_s / TICKS * 1e3, "ms"),
        Row("idle tick", subject, "time", wall_s / TICKS * 1e3, "ms"),
    ]


async def _statements(stage: Stage, tick: Tick) -> int:
    """Return how many statements LOGGED ticks send."""
    await stage.as_superuser("ALTER SYSTEM SET log_statement = 'all'")
    await stage.as_superuser("SELECT pg_reload_conf()")
    begin = stage.log.stat().st_size
    while not _statements_since(stage, begin):  # its processes heed the change one after another
        await tick()
    await tick()
    begin = stage.log.stat().st_size
    for _ in range(LOGGED):
        await asyncio.sleep(APART_S)
        await tick()
    found = _statements_since(stage, begin)
    await stage.as_superuser("ALTER SYSTEM RESET log_statement")
    await stage.as_superuser("SELECT pg_reload_conf()")
    return found


def _statements_since(stage: Stage, begin: int) -> int:
    with stage.log.open("rb") as file:
        file.seek(begin)
        return len(_STATEMENT.findall(file.read().decode("utf-8", "replace")))

"""Item 5: peak memory does not grow with the account: a small one and a big one, loaded and then passed in full."""

from bench.loads import sync
from bench.stage import Stage
from bench.table import Row
from bench.upstream import served

SMALL = 20_000
PHONED_EVERY = 10
"""Customers with phone numbers are one of so many: these rows take time, and memory only by the page."""


async def measure(stage: Stage) -> list[Row]:
    """Load and sweep a small account and a big one."""
    rows: list[Row] = []
    peaks: dict[str, list[float]] = {"first load": [], "full pass": []}
    for size in (min(SMALL, stage.big), stage.big):
        stage.tell(f"memory, {size:,} customers")
        async with served(size, phoned_every=PHONED_EVERY) as upstream:
            url = await stage.database("bench_memory")
            for what, words in (("first load", []), ("full pass", ["--full"])):
                took = await sync(stage, upstream, url, *words)
                peaks[what].append(took.peak_mb)
                note = f"{took.wall_s:.0f} s"
                rows.append(Row("memory", "syncd", f"peak, {what}, {size:,} customers", took.peak_mb, "MB", note))
    rows += [Row("memory", "syncd", f"growth, {what}", big - small, "MB") for what, (small, big) in peaks.items()]
    return rows

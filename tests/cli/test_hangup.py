"""A terminal that is closed ends what runs in its foreground, and leaves nothing that keeps the next one out."""

import asyncio
from pathlib import Path

from syncd.storage.postgres import embedded
from tests.support.bench import MakeBench
from tests.support.command import WallClock, syncd
from tests.support.daemon import write
from tests.support.search import trial
from tests.support.terminal import on_terminal


@trial
async def test_the_demo_ends_with_its_terminal_and_the_next_one_begins(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    words = ("--customers", "20", "--data-dir", str(folder))
    try:
        async with on_terminal("demo", *words, "--listen", "127.0.0.1:0") as terminal:
            await terminal.shows("syncing on until Ctrl-C")
            terminal.close()
            await asyncio.wait_for(terminal.process.wait(), 30)
        assert (await syncd("demo", "--once", *words)).code == 0
    finally:
        await embedded.stop(folder / "database")


async def test_the_daemon_ends_with_its_terminal(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock())
    path = write(bench, {"lease.dealers": 'every = "1s"'})
    async with on_terminal("run", "--config", str(path)) as terminal:
        await terminal.shows("daemon_started")
        terminal.close()
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
    assert not await bench.fetch("SELECT FROM syncd.runs WHERE outcome = 'running'")

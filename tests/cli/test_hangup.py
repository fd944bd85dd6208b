"""A terminal that is closed ends what runs in its foreground, and leaves nothing that keeps the next one out."""

import asyncio

from tests.support.bench import MakeBench
from tests.support.command import WallClock
from tests.support.daemon import write
from tests.support.terminal import on_terminal


async def test_the_daemon_ends_with_its_terminal(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock())
    path = write(bench, {"lease.dealers": 'every = "1s"'})
    async with on_terminal("run", "--config", str(path)) as terminal:
        await terminal.shows("daemon_started")
        terminal.close()
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
    assert not await bench.fetch("SELECT FROM syncd.runs WHERE outcome = 'running'")

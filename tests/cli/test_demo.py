"""`syncd demo`: the first sync and the demo that goes on."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from syncd.sources import registry
from syncd.storage.postgres import embedded
from tests.support.command import (
    started,
    syncd,
)
from tests.support.search import trial
from tests.support.terminal import on_terminal


@pytest.fixture
async def demo_dir(tmp_path: Path) -> AsyncIterator[Path]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(embedded.stop, tmp_path / "demo" / "database")
        yield tmp_path / "demo"


@trial
async def test_the_demo_ends_with_its_terminal_and_the_next_one_fills_every_table(demo_dir: Path) -> None:
    words = ("demo", "--customers", "60", "--data-dir", str(demo_dir))
    async with on_terminal(*words, "--listen", "127.0.0.1:0") as terminal:
        await terminal.shows("syncing on until Ctrl-C")
        terminal.close()
        await asyncio.wait_for(terminal.process.wait(), 30)

    ended = await syncd(*words, "--once")
    assert ended.code == 0, ended
    rows = {line.split()[0]: line.split()[2] for line in ended.out.splitlines() if re.match(r" \w+\.\w+ ", line)}
    on = [
        stream.table
        for source in registry().values()
        for stream in source.streams
        if stream.is_on and not stream.is_pushed
    ]
    assert len(rows) == len(on) + sum(len(table.children) for table in on)
    assert "0" not in rows.values(), rows
    reports = re.findall(r"^syncd report (\w+) --config (\S+)$", ended.out, re.MULTILINE)
    assert len(reports) == 3
    for name, path in reports:
        answer = await syncd("report", name, "--format", "json", "--config", path)
        assert answer.code == 0, answer
        assert answer.json
        first = str(next(iter(answer.json[0].values())))
        assert first in ended.out, "the answer was printed too"

    # it goes on, on another port than the one that is taken, until Ctrl-C
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # somebody else's: that will do
        async with started("demo", "--customers", "30", "--data-dir", demo_dir) as running:
            out = running.process.stdout
            assert out
            told = b""
            while b"syncing on until Ctrl-C" not in told:
                told += await asyncio.wait_for(out.readline(), 150)
            assert re.search(rb"Status page: http://127.0.0.1:(?!8787)\d+/", told)
            async with asyncio.timeout(10):
                running.interrupt()
                assert (await running.ended()).code == 0

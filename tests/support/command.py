"""The command line as a user runs it: in a process of its own, its words, what it prints, how it ends."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support import forks
from tests.support.bench import Bench, Time

LONGEST_S = 120.0


class WallClock(Time):
    """The real time, which a bench shares with the processes that it is used by."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def row(self, name: str) -> list[str]:
        """Return the cells of the line of the table that begins with that name."""
        return next(line.split() for line in self.out.splitlines() if line.split()[:1] == [name])


class Running:
    """A command under way."""

    def __init__(self, process: forks.Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()

    async def ended(self) -> Ended:
        out, err = await asyncio.wait_for(self.process.communicate(), LONGEST_S)
        assert b"Traceback" not in err, err.decode()
        return Ended(self.process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def started(
    *words: str | Path, env: Mapping[str, str] | None = None, anew: bool = False
) -> AsyncIterator[Running]:
    """Start a command, with `anew` in a new Python (see `forks`); it is killed if the block leaves it running."""
    start = forks.exec_anew if anew else forks.start
    process = await start(*map(str, words), env={**os.environ, "COLUMNS": "80", **(env or {})})
    running = Running(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            running.kill()
            await process.communicate()
        forks.let_go(process)


async def until(met: Callable[[], bool]) -> None:
    """Wait until something has come about in another process."""
    async with asyncio.timeout(LONGEST_S):
        while not met():  # noqa: ASYNC110  what happens elsewhere sets no event here
            await asyncio.sleep(0.02)


async def syncd(*words: str | Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end."""
    async with started(*words, env=env) as running:
        return await running.ended()


HELD_S = 3.0
"""Latency of the sandbox that keeps a run under way while something else happens, also on a busy machine."""

Say = Callable[..., Ended]
"""Runs a command in this process: see the fixture `say` of tests/cli."""


def asked(bench: Bench, stream: str = "customers") -> int:
    return sum(entry.stream == stream for entry in bench.sandbox.requests)


async def requests_reach(bench: Bench, count: int, stream: str = "customers") -> None:
    """Wait until the sandbox has answered so many requests of a stream."""
    await until(lambda: asked(bench, stream) >= count)


def assert_refused(name: str, ended: Ended, code: int, fragment: str) -> None:
    assert ended.code == code, (name, ended)
    assert ended.err.startswith("error: "), (name, ended)
    assert fragment in ended.err, (name, ended)
    assert ended.out == "", (name, ended)

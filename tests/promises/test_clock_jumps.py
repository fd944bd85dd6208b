"""The wall clock of a running daemon jumps, as a dead one does that NTP corrects: it costs one tick."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock
from tests.support.daemon import Process, until, write
from tests.support.ports import free_port
from tests.support.search import trial

DAY_S, YEAR_S = 86_400.0, 365.25 * 86_400.0
EVERY_S = 2.0
LONGEST_TICK_S = 15.0
"""Within this a stream of EVERY_S runs again after a jump, also on a busy machine."""


@dataclass
class Clocked:
    """A daemon whose clock is wrong by what `file` says."""

    process: Process
    file: Path
    url: str
    bench: Bench

    def wrong_by(self, seconds: float) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.replace(self.file)

    async def status(self) -> Any:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/api/status") as answer:
            return await answer.json()

    async def new_status(self) -> Any:
        """Wait for a status that is made after this call: one that was made before is kept for a while."""
        asked_at = datetime.now(UTC) + timedelta(seconds=float(self.file.read_text()))

        async def made() -> Any:
            status = await self.status()
            return status if datetime.fromisoformat(status["at"]) >= asked_at else None

        return await until(made)

    async def jumps(self, seconds: float) -> None:
        """Let the clock be wrong by so much, and wait until the daemon has seen it."""
        self.wrong_by(seconds)

        async def seen() -> bool:
            wrong = datetime.fromisoformat((await self.status())["at"]) - datetime.now(UTC)
            return abs(wrong.total_seconds() - seconds) < 10.0

        await until(seen)

    async def runs(self) -> int:
        return int((await self.bench.fetch("SELECT count(*) FROM syncd.runs WHERE outcome = 'ok'"))[0][0])

    async def ticks_on(self) -> None:
        """Wait for two more runs of each of the two streams."""
        before = await self.runs()

        async def ticked() -> bool:
            return await self.runs() >= before + 4

        await until(ticked, LONGEST_TICK_S)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
async def clocked(make_bench: MakeBench) -> AsyncIterator[Clocked]:
    bench = await make_bench(time=WallClock(), customers=20)
    async with _clocked(bench) as daemon:
        yield daemon


@asynccontextmanager
async def _clocked(bench: Bench) -> AsyncIterator[Clocked]:
    file, log, port = bench.folder / "wrong_by", bench.folder / "clocked.log", free_port()
    file.write_text("0")
    streams = {"shop.customers": f'every = "{EVERY_S:.0f}s"', "lease.dealers": f'every = "{EVERY_S:.0f}s"'}
    path = write(bench, streams, listen=f"127.0.0.1:{port}")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.clocked", str(file), "run", "--config", str(path),
            stdout=output, stderr=output,
        )  # fmt: skip
    daemon = Clocked(Process(process, log), file, f"http://127.0.0.1:{port}", bench)
    try:
        await until(lambda: _has_run(daemon), 60.0)
        yield daemon
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _has_run(daemon: Clocked) -> bool:
    return await daemon.runs() >= 2


@pytest.mark.parametrize(
    "jump_s",
    [
        15 * YEAR_S,
        pytest.param(-15 * YEAR_S, marks=trial),
        pytest.param(-1_200.0, marks=trial),
        pytest.param(-400.0, marks=trial),
    ],
)
async def test_a_jump_costs_one_tick(clocked: Clocked, jump_s: float) -> None:
    cpu_s, began_at = clocked.cpu_s(), time.monotonic()
    await clocked.jumps(jump_s)
    await clocked.ticks_on()
    status = await clocked.new_status()
    assert clocked.cpu_s() - cpu_s < 0.5 * (time.monotonic() - began_at) + 3.0
    assert_sound(status)
    code, took_s = await clocked.process.end(signal.SIGTERM)
    assert (code, took_s < 10.0) == (0, True)
    assert not clocked.process.events("run_crashed")


@trial
async def test_a_day_ahead_and_back_leaves_no_trace(clocked: Clocked) -> None:
    for wrong_by_s in (DAY_S, 0.0, -DAY_S, 0.0):
        await clocked.jumps(wrong_by_s)
        await clocked.ticks_on()
        assert_sound(await clocked.new_status())
    code, _ = await clocked.process.end(signal.SIGTERM)
    assert code == 0
    assert [event["seconds"] for event in clocked.process.events("clock_set_back")] == [86_400, 86_400]
    outcomes = await clocked.bench.fetch("SELECT DISTINCT outcome FROM syncd.runs")
    assert [row[0] for row in outcomes] == ["ok"]


def assert_sound(status: Any) -> None:
    """Assert that every stream that is on is fresh, as old as it can be, and runs again within its interval."""
    now = datetime.fromisoformat(status["at"])
    on = [stream for stream in status["streams"] if stream["state"] != "disabled"]
    assert len(on) == 2, json.dumps(on)
    for stream in on:
        assert stream["state"] in ("fresh", "running"), stream
        assert 0 <= stream["freshness_s"] < LONGEST_TICK_S, stream
        ahead = datetime.fromisoformat(stream["next_run_at"]) - now
        assert ahead < timedelta(seconds=1.1 * EVERY_S + 1.0), stream

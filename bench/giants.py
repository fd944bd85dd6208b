"""An account whose server sends everything in one answer: the daemon's pauses, its memory, and how soon it stops.

The stand-in is a process of its own that sends the same bytes to whoever asks. The daemon is asked for its health all
the time: the longest wait for it is the longest pause of its event loop.

    python -m bench.giants RECORDS
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from bench.accounts import Daemon, memory_mb, serving
from bench.stage import Stage, python
from bench.table import Row
from syncd.sources import specs

ITEM = "giant answers"
SIZES = (300_000, 1_000_000)
EVERY_S = 0.02
WITHIN_S = 240.0


async def measure(stage: Stage) -> list[Row]:
    """Load each size into a daemon; then once more, and stop it amid the load."""
    rows: list[Row] = []
    for records in SIZES:
        async with _served(records) as (url, size_mb):
            stage.tell(f"{records:,} records in one answer of {size_mb:.0f} MB")
            config = await _config(stage, url)
            async with serving(config) as daemon:
                took_s, pause_s = await _watched(daemon)
                peak = memory_mb(daemon.pid, "VmHWM")
            await _config(stage, url)
            async with serving(config) as daemon:
                await asyncio.sleep(took_s / 2)
                began = time.monotonic()
                daemon.process.terminate()
                await daemon.process.wait()
                stopped_s = time.monotonic() - began
            note = f"{size_mb:.0f} MB in one answer"
            rows += [
                Row(ITEM, f"{records:,} records", "time", took_s, "s", note),
                Row(ITEM, f"{records:,} records", "longest pause", pause_s * 1000, "ms"),
                Row(ITEM, f"{records:,} records", "peak memory", peak, "MB"),
                Row(ITEM, f"{records:,} records", "SIGTERM to the end", stopped_s, "s", "amid the load"),
            ]
    return rows


async def _watched(daemon: Daemon) -> tuple[float, float]:
    """Ask for the daemon's health until its run is finished; return how long that took, and the longest answer."""
    worst, began = 0.0, time.monotonic()
    async with aiohttp.ClientSession() as http:
        while not (found := daemon.said("run_finished")):
            at = time.monotonic()
            async with http.get(f"{daemon.url}healthz") as answer:
                await answer.read()
            worst = max(worst, time.monotonic() - at)
            if time.monotonic() - began > WITHIN_S:
                raise RuntimeError(f"the load did not end within {WITHIN_S:.0f} s")
            await asyncio.sleep(EVERY_S)
    if found[0]["outcome"] != "ok":
        raise RuntimeError(f"the load failed: {found[0]}")
    return float(found[0]["duration_s"]), worst


async def _config(stage: Stage, base_url: str) -> Path:
    url = await stage.database("bench_giants")
    path = stage.folder / "giants.toml"
    others = [name for name in specs()["cyclesoftware"].streams if name != "customers"]
    path.touch(mode=0o600)
    path.write_text(
        f'[database]\nurl = "{url}"\n[http]\nlisten = "127.0.0.1:0"\n[log]\nformat = "json"\n'
        f'[sources.shop]\ntype = "cyclesoftware"\nbase_url = "{base_url}"\nusername = "b"\npassword = "b"\n'
        + "".join(f"[sources.shop.streams.{name}]\nenabled = false\n" for name in others)
    )
    return path


@asynccontextmanager
async def _served(records: int) -> AsyncIterator[tuple[str, float]]:
    process = await asyncio.create_subprocess_exec(
        *python("-m", "bench.giants", str(records)), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert process.stdout  # noqa: S101
        port, size = (await process.stdout.readline()).split()
        yield f"http://127.0.0.1:{int(port)}", int(size) / 1e6
    finally:
        process.kill()
        await process.wait()


def _record(number: int) -> bytes:
    name = "Jansén" if number % 12 == 0 else "Jansen"
    sent = {"customer_id": 1_000_000 + number, "name": f"{name} {number}", "city": "Utrecht", "phone_numbers": []}
    return msgspec.json.encode(sent)


class _Server(asyncio.Protocol):
    def __init__(self, whole: bytes, nothing: bytes) -> None:
        self._whole, self._nothing = whole, nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        body = self._nothing if b"modified_since" in data else self._whole
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body))
        self._transport.write(body)


async def _serve(records: int) -> None:
    def listed(rows: list[bytes]) -> bytes:
        return b'{"error":false,"customers":[%b],"pagination":{"count":%d,"next_offset":null}}' % (
            b",".join(rows), len(rows),
        )  # fmt: skip

    whole, nothing = listed([_record(number) for number in range(records)]), listed([])
    server = await asyncio.get_running_loop().create_server(lambda: _Server(whole, nothing), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], len(whole), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

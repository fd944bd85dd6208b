"""How long users wait for a vendor whose answers take their time: a list in 40 pages, and keys that are looked up.

Whatever the stand-in sends passes a wire that holds every byte back for so long. The peer asks for one page after the
other, as its own pages advise for lists by offset.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from bench import peer
from bench.stage import Stage, Took, measured, python
from bench.table import Row
from bench.upstream import Upstream, served
from syncd.sandbox import CREDENTIALS, Sandbox, serve

ITEM = "latency"
CUSTOMERS, PAGE = 20_000, 500
CONTACTS = 83
"""Together with the login 84 requests."""
DELAYS_MS = (100, 300, 1000)
AGAINST_PEER_MS = 300


class _Held(asyncio.Protocol):
    """One side of a connection; what it hears is written to the other side a little later, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._early: list[bytes] = []
        self._other: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: asyncio.Transport) -> None:
        """Say where to write."""
        self._other = other
        for data in self._early:
            other.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        elif self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._other.write, data)
        else:
            self._other.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._other is not None:
            self._other.close()


@contextlib.asynccontextmanager
async def held_back(url: str, delay_s: float) -> AsyncIterator[str]:
    """Give an address of the same server whose answers come so much later."""
    loop, place, tasks = asyncio.get_running_loop(), urlsplit(url), set[asyncio.Task[None]]()

    async def connect(client: _Held) -> None:
        _, server = await loop.create_connection(partial(_Held, delay_s), "127.0.0.1", place.port or 80)
        assert client.transport  # noqa: S101
        assert server.transport  # noqa: S101
        server.join(client.transport)
        client.join(server.transport)

    class Client(_Held):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            tasks.add(asyncio.ensure_future(connect(self)))

    server = await loop.create_server(lambda: Client(0), "127.0.0.1", 0)
    try:
        yield place._replace(netloc=f"127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
    finally:
        server.close()


async def measure(stage: Stage) -> list[Row]:
    """Load the list at each delay, and look the keys up at one; the peer loads the list."""
    rows: list[Row] = []
    async with served(CUSTOMERS, (PAGE - 1, PAGE), page=PAGE) as upstream:
        for delay_ms in DELAYS_MS:
            stage.tell(f"latency, {CUSTOMERS:,} customers in {CUSTOMERS // PAGE} pages at {delay_ms} ms")
            took = await _load(stage, upstream, delay_ms / 1000)
            what = f"{CUSTOMERS // PAGE} pages at {delay_ms} ms"
            rows.append(Row(ITEM, "syncd", what, took.wall_s, "s", "in_flight = 4, the default"))
        if stage.peer:
            rows.append(await _peer(stage, upstream))
    stage.tell(f"latency, {CONTACTS} contacts of Autengo")
    took = await _look_up(stage, AGAINST_PEER_MS / 1000)
    rows.append(Row(ITEM, "syncd", f"{CONTACTS + 1} requests of Autengo at {AGAINST_PEER_MS} ms", took.wall_s, "s"))
    return rows


async def _load(stage: Stage, upstream: Upstream, delay_s: float) -> Took:
    url = await stage.database("bench_latency")
    async with held_back(upstream.url, delay_s) as address:
        return await _sync(stage, Upstream(address).config(url), "shop.customers")


async def _peer(stage: Stage, upstream: Upstream) -> Row:
    what = f"{CUSTOMERS // PAGE} pages at {AGAINST_PEER_MS} ms"
    url = await stage.database("bench_latency_dlt", migrated=False)
    async with held_back(upstream.url, AGAINST_PEER_MS / 1000) as address:
        try:
            took = await peer.load(replace(stage, size=CUSTOMERS), address, url, str(PAGE))
        except peer.NotInstalledError as error:
            return Row(ITEM, "dlt", what, float("nan"), "s", str(error))
    return Row(ITEM, "dlt", what, took.wall_s, "s")


async def _look_up(stage: Stage, delay_s: float) -> Took:
    url = await stage.database("bench_latency")
    sandbox = Sandbox(contacts=CONTACTS)
    ids = [contact["ID"] for contact in sandbox.truth("autengo", "contacts")][:CONTACTS]
    async with serve(sandbox) as address, held_back(address.base_url("autengo"), delay_s) as base_url:
        options = "\n".join(f"{name} = {value!r}" for name, value in CREDENTIALS["autengo"].items())
        return await _sync(
            stage,
            f'[database]\nurl = "{url}"\n[sources.cars]\ntype = "autengo"\nbase_url = "{base_url}"\n{options}\n'
            f"[sources.cars.streams.contacts]\nids = {ids}\n",
            "cars.contacts",
        )


async def _sync(stage: Stage, config: str, stream: str) -> Took:
    path = stage.folder / "latency.toml"
    path.touch(mode=0o600)
    path.write_text(config)
    return await measured(*python("-m", "syncd", "sync", stream, "--config", path, "--json"))

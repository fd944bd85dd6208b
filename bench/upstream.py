"""The stand-in upstream: a CycleSoftware account in a process of its own, its pages rendered before they are asked for.

    python -m bench.upstream CUSTOMERS PHONED_EVERY PAGE [STRIDE…]

Prints its port once all pages at the strides are rendered; pages elsewhere are rendered when they are asked for. Its
records are those of the sandbox; every PHONED_EVERYth customer has phone numbers, 2.5 of them on average. Nothing
changes, but for one request of the bench's own, after which every CHANGED_EVERYth customer is another one.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec

from bench.stage import python
from syncd.sandbox import Sandbox
from syncd.sandbox.limits import Limits, Window

PAGE = 1_000
OVERLAPPED = PAGE - 1
"""From one page to the next of a client that asks for each one row early, as syncd does."""
CHANGED_EVERY = 100
PROFILES = 4_000
"""Different customers; the others are these again, under another number."""
FIRST_ID = 1_000_001
"""All numbers have seven digits, so that one can be put in the place of another."""
_SAMPLES = 100
"""More than the sandbox has of them."""
_PLACE = 7_654_321
GZIP = 31
"""As zlib names the format."""
_FASTEST = 1  # what nginx gives unless told otherwise
_LIMITS = Limits(per_minute=1_000_000, per_day=100_000_000)
"""Counted as the vendor does, but never in the way."""
_READY_S = 300.0


class Pages:
    """The customers of the account, rendered page by page."""

    def __init__(self, customers: int, phoned_every: int = 1, page: int = PAGE) -> None:
        self._customers = customers
        self._page = page
        self._changed = False
        self._rendered: dict[int, bytes] = {}
        self._profiles = min(PROFILES, customers)
        sandbox = Sandbox(customers=self._profiles + _SAMPLES)
        self.lists = {
            path: msgspec.json.encode({"error": False, "error_message": None, at: sandbox.truth("cyclesoftware", name)})
            for path, at, name in (
                ("/api/v1/stock-in-store-locator/stores.json", "stores", "stores"),
                ("/api/v1/stock/pos-items.json", "data", "stock_items"),
                ("/api/v1/platform/authentication/keys.json", "keys", "platform_keys"),
            )
        }
        truth = sandbox.truth("cyclesoftware", "customers")[-self._profiles :]  # without the documented samples
        records = [_record_of(record, place, phoned=place % phoned_every == 0) for place, record in enumerate(truth)]
        self._templates = [_template(record) for record in records]
        self._others = [_template(_other(record, place)) for place, record in enumerate(records)]

    def change(self, strides: Iterable[int]) -> None:
        """Let the customers be the changed ones, and render the pages at the strides."""
        self._changed = True
        self._rendered.clear()
        self.render(strides)

    def render(self, strides: Iterable[int]) -> None:
        """Render the pages at the strides."""
        for stride in strides:
            for offset in range(0, self._customers, stride):
                self.page(offset)

    def page(self, offset: int) -> bytes:
        """Return the page at an offset, gzipped."""
        if offset not in self._rendered:
            end = min(offset + self._page, self._customers)
            records = b",".join(self._record(place) for place in range(offset, end))
            body = _listed(records, max(0, end - offset), end if end < self._customers else None)
            self._rendered[offset] = _gzipped(body)
        return self._rendered[offset]

    def _record(self, place: int) -> bytes:
        changed = self._changed and place % CHANGED_EVERY == 0
        template = (self._others if changed else self._templates)[place % self._profiles]
        return str(FIRST_ID + place).encode().join(template)


def _record_of(record: dict[str, Any], place: int, *, phoned: bool) -> dict[str, Any]:
    """Return a record of the sandbox under the number that stands for all; two of five get a phone number more."""
    own = record["customer_id"]
    email = record["email"].replace(str(own), str(_PLACE))
    if not phoned:
        return {**record, "customer_id": _PLACE, "email": email, "phone_numbers": []}
    numbers = [
        {**each, "customer_id": _PLACE if each["customer_id"] == own else each["customer_id"]}
        for each in record["phone_numbers"]
    ]
    if place % 5 < 2:
        numbers.append({**numbers[0], "phone_number_id": "900001", "name": "Extra 2"})
    return {**record, "customer_id": _PLACE, "email": email, "phone_numbers": numbers}


def _other(record: dict[str, Any], place: int) -> dict[str, Any]:
    """Return the record as some clerk left it: another street, and of every second one another number."""
    numbers = record["phone_numbers"]
    if numbers and place // CHANGED_EVERY % 2 == 0:
        numbers = [{**numbers[0], "phone_number": "06-01234567"}, *numbers[1:]]
    return {**record, "street": "Nieuwe Dreef", "phone_numbers": numbers}


def _template(record: dict[str, Any]) -> list[bytes]:
    """Return a record as sent, cut where its number stands."""
    return msgspec.json.encode(record).split(str(_PLACE).encode())


def _listed(records: bytes, count: int, next_offset: int | None, at: bytes = b"customers") -> bytes:
    paging = msgspec.json.encode({"count": count, "next_offset": next_offset})
    return b'{"error":false,"error_message":null,"%b":[%b],"pagination":%b}' % (at, records, paging)


def _gzipped(body: bytes) -> bytes:
    return zlib.compress(body, _FASTEST, GZIP)


class _Server(asyncio.Protocol):
    """One connection: answers GET after GET, as fast as bytes can be written."""

    requests = 0
    window = Window(_LIMITS)

    def __init__(self, pages: Pages, strides: Iterable[int]) -> None:
        self._pages = pages
        self._strides = strides
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole; none has a body."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            self._transport.write(self._answer(target, gzips=b"gzip" in head.lower()))

    def _answer(self, target: str, *, gzips: bool) -> bytes:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/bench/change":
            self._pages.change(self._strides)
        if path.startswith("/bench/"):
            return _response(str(_Server.requests).encode(), gzipped=False)
        _Server.requests += 1
        self.window.spend(datetime.now(UTC))
        body = self._body(path, query)
        if body is None:
            return _response(b'{"error":true,"error_message":"Not Found"}', gzipped=False, status=b"404 Not Found")
        return _response(body if gzips else zlib.decompress(body, GZIP), gzipped=gzips)

    def _body(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        if path == "/api/v1/customers/list.json":
            if "modified_since" in query:
                return _gzipped(_listed(b"", 0, None))
            return self._pages.page(int(query.get("offset", ["0"])[0]))
        if path == "/api/v2/salesdata/orders.json":
            return _gzipped(_listed(b"", 0, None, at=b"data"))
        return _gzipped(self._pages.lists[path]) if path in self._pages.lists else None


def _response(body: bytes, *, gzipped: bool, status: bytes = b"200 OK") -> bytes:
    now = datetime.now(UTC)
    headers = {
        "Date": format_datetime(now, usegmt=True),
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": len(body),
        **({"Content-Encoding": "gzip"} if gzipped else {}),
        **_Server.window.headers(now),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"HTTP/1.1 " + status + b"\r\n" + head.encode() + b"\r\n" + body


# --- The bench's side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upstream:
    """A stand-in that is being served."""

    url: str

    async def change(self) -> None:
        """Change every CHANGED_EVERYth customer."""
        await self._ask("change")

    async def requests(self) -> int:
        """Return how many requests it has answered."""
        return int(await self._ask("requests"))

    async def _ask(self, word: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/bench/{word}") as answer:
            return await answer.text()

    def config(self, database_url: str) -> str:
        """Return a configuration of syncd with this one source, `shop`."""
        return (
            f'[database]\nurl = "{database_url}"\n[sources.shop]\ntype = "cyclesoftware"\nbase_url = "{self.url}"\n'
            'username = "bench"\npassword = "bench"\n'
            f"[sources.shop.streams.customers]\nmax_records = {MOST_RECORDS}\n"
        )


MOST_RECORDS = 100_000_000
"""A first load of more than a million is else taken for a list without end."""


@contextlib.asynccontextmanager
async def served(
    customers: int, strides: Iterable[int] = (OVERLAPPED,), *, phoned_every: int = 1, page: int = PAGE
) -> AsyncIterator[Upstream]:
    """Start a stand-in with so many customers until the block ends."""
    words = [str(customers), str(phoned_every), str(page), *map(str, strides)]
    process = await asyncio.create_subprocess_exec(
        *python("-m", "bench.upstream", *words), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert process.stdout  # noqa: S101
        port = int(await asyncio.wait_for(process.stdout.readline(), _READY_S))
        yield Upstream(f"http://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve(customers: int, phoned_every: int, page: int, *strides: int) -> None:
    pages = Pages(customers, phoned_every, page)
    pages.render(strides)
    server = await asyncio.get_running_loop().create_server(lambda: _Server(pages, strides), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _end_with_the_bench() -> None:
    sys.stdin.read()  # its end comes with that of whoever started this
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_bench, daemon=True).start()
    asyncio.run(_serve(*map(int, sys.argv[1:])))

"""Makes the calls of a vendor to an address on this machine, one after the other, and keeps a log of them."""

import asyncio
import contextlib
import io
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

JSON = {"Content-Type": "application/json"}
LOG_SIZE = 5_000
TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: what it is for, and how it was answered (0: not at all)."""

    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    beside: bool = False  # sent to a wrong address
    status: int = 0


class Courier:
    """The calls that wait, and those that were made; `address` is asked for when a call is made, None: nowhere."""

    def __init__(self, address: Callable[[], str | None]) -> None:
        self.sent: deque[Call] = deque(maxlen=LOG_SIZE)
        self._address = address
        self._queue: deque[Call] = deque()
        self._wakes = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many calls are still to be made."""
        return len(self._queue)

    def send(self, *calls: Call) -> None:
        """Make these calls soon, in order."""
        self._queue.extend(calls)
        self._wakes.set()

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Make the calls while the block lasts."""
        self._wakes = asyncio.Event()
        if self._queue:
            self._wakes.set()
        task = asyncio.create_task(self._deliver())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _deliver(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
            while True:
                await self._wakes.wait()
                self._wakes.clear()
                while self._queue:
                    call = self._queue[0]
                    self.sent.append(replace(call, status=await self._call(http, call)))
                    self._queue.popleft()

    async def _call(self, http: aiohttp.ClientSession, call: Call) -> int:
        url = self._address()
        if url is None or not _is_here(url):
            return 0
        try:
            async with http.post(
                url + ("x" if call.beside else ""),
                data=io.BytesIO(call.body),
                headers=call.headers,
                allow_redirects=False,
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""A stand-in for many Cyclis accounts at once: a process of its own that answers with bytes rendered beforehand.

It parses no more than the path, so that its cost does not hide syncd's. Lists are those of the sandbox; there are no
orders since any `updated_since`. An account whose name begins with `silent` is never answered.

    python -m bench.standin --delay 0.1
"""

import argparse
import asyncio
import urllib.request
from typing import cast

from syncd.sandbox import Sandbox, serve

SILENT = "silent"
STREAMS = ("orders", "cyclists", "companies", "dealers")


class _Account(asyncio.Protocol):
    """One connection: one answer for each request, in order."""

    def __init__(self, bodies: dict[str, bytes], delay_s: float) -> None:
        self._bodies = bodies
        self._delay_s = delay_s
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            head, _, self._heard = self._heard.partition(b"\r\n\r\n")
            path, _, query = head.split(b" ", 2)[1].partition(b"?")
            if path.startswith(f"/{SILENT}".encode()):
                continue
            stream = path.rpartition(b"/")[2].decode()
            is_idle = stream == "orders" and b"updated_since" in query
            answer = self._bodies["idle" if is_idle else stream]
            asyncio.get_running_loop().call_later(self._delay_s, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def _rendered() -> dict[str, bytes]:
    """Return the whole answers, by stream."""
    sandbox = Sandbox(companies=2, cyclists=20, dealers=5, cyclis_orders=20)
    bodies = {"idle": b'{"data":[]}'}
    async with serve(sandbox) as address:
        for stream in STREAMS:
            request = urllib.request.Request(  # noqa: S310  (our own sandbox)
                f"{address.base_url('cyclis')}/{stream}", headers={"API-TOKEN": sandbox_token()}
            )
            bodies[stream] = await asyncio.to_thread(_read, request)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return {name: head.format(len(body)).encode() + body for name, body in bodies.items()}


def sandbox_token() -> str:
    """Return the token that the sandbox lets in."""
    from syncd.sandbox import CREDENTIALS

    return str(CREDENTIALS["cyclis"]["api_token"])


def _read(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request) as response:  # noqa: S310  (as above)
        return cast("bytes", response.read())


async def main() -> None:
    """Serve until killed; the port is the first line of stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench.standin", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.1, metavar="SECONDS", help="before each answer [%(default)s]")
    delay_s = parser.parse_args().delay
    bodies = await _rendered()
    server = await asyncio.get_running_loop().create_server(lambda: _Account(bodies, delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

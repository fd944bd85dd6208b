"""A forward proxy on loopback that notes what it was asked, and a TLS front before a plain server."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SELF_SIGNED = Path(__file__).parent / "tls" / "self-signed.pem"  # of 127.0.0.1


@dataclass
class ForwardProxy:
    """Speaks CONNECT and forwards plain requests; `login` is wanted if given, `refuses` answers each with a status."""

    login: str = ""
    refuses: int = 0
    address: str = ""
    heads: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [head.partition("\r\n")[0] for head in self.heads]

    def _refusal(self, head: str) -> bytes:
        wanted = f"Proxy-Authorization: Basic {base64.b64encode(self.login.encode()).decode()}"
        status = self.refuses or (407 if self.login and wanted not in head.split("\r\n") else 0)
        return f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode() if status else b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readexactly(1)
            if first < b" ":  # TLS, to a proxy that speaks none
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            raw = first + await reader.readuntil(b"\r\n\r\n")
            head = raw.decode("latin-1")
            self.heads.append(head)
            method, target, _ = head.split(" ", 2)
            if refusal := self._refusal(head):
                writer.write(refusal)
                await writer.drain()
                return
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            inner_reader, inner_writer = await asyncio.open_connection(parts.hostname, parts.port)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = f"{parts.path}?{parts.query}" if parts.query else parts.path
                lines = [line for line in head.split("\r\n")[1:] if not line.startswith("Proxy-")]
                inner_writer.write(
                    "\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *lines]).encode("latin-1")
                )
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(SELF_SIGNED)
    return context


@contextlib.asynccontextmanager
async def proxying(*, login: str = "", refuses: int = 0, tls: bool = False) -> AsyncIterator[ForwardProxy]:
    """Let a proxy live on loopback; with `tls` it speaks TLS itself."""
    proxy = ForwardProxy(login=login, refuses=refuses)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls_context() if tls else None)
    proxy.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()


@contextlib.asynccontextmanager
async def tls_front(base_url: str) -> AsyncIterator[str]:
    """Serve a plain server of loopback under https:// too, with a certificate that nobody trusts unasked."""
    parts = urlsplit(base_url)

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(through, "127.0.0.1", 0, ssl=tls_context())
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}{parts.path}"
    finally:
        server.close()

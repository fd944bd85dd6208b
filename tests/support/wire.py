"""Bytes on a socket: what a stranger may send, and what comes back."""

import asyncio
import contextlib
from urllib.parse import urlsplit


async def exchange(url: str, sent: bytes, *, timeout_s: float = 20.0) -> bytes:
    """Send bytes to the host and port of an address; return all that comes until the other side closes."""
    parts = urlsplit(url)
    received = b""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65_536):
                    received += part
        finally:
            writer.transport.abort()
    return received


def status_of(answer: bytes) -> int | None:
    """Return the status of the first answer among these bytes; None if the connection was just closed."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None

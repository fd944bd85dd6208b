"""Answers as they go out: pages, JSON, and long ones compressed."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

PACKED_BYTES: Final = 1024
"""Answers from this size on are compressed where the reader wants it; our choice."""
ITEMS_AT_ONCE: Final = 2_000
"""So many items of a list take about 5 ms to encode; our choice."""


def as_json(value: object, status: int = 200) -> web.Response:
    """Answer with a value."""
    return packed(web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json"))


async def as_long_json(value: msgspec.Struct, status: int = 200) -> web.Response:
    """Answer with a value whose lists may be very long: the event loop goes on between parts of them."""
    told: dict[str, object] = msgspec.structs.asdict(value)
    for name, field in told.items():
        if isinstance(field, list):
            told[name] = msgspec.Raw(await _list(field))
    return as_json(told, status)


async def _list(items: Sequence[object]) -> bytes:
    parts = []
    for at in range(0, len(items), ITEMS_AT_ONCE):
        parts.append(msgspec.json.encode(items[at : at + ITEMS_AT_ONCE])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"


def as_page(text: str, status: int = 200) -> web.Response:
    """Answer with a page."""
    return packed(web.Response(text=text, status=status, content_type="text/html"))


def packed(response: web.Response) -> web.Response:
    """Let a long answer be sent compressed to whoever takes that; nothing in it is a secret."""
    if (response.content_length or 0) >= PACKED_BYTES:
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response

"""Answers as they go out: pages, JSON, and long ones compressed."""

from typing import Final

import msgspec
from aiohttp import web

PACKED_BYTES: Final = 1024
"""Answers from this size on are compressed where the reader wants it; our choice."""


def as_json(value: object, status: int = 200) -> web.Response:
    """Answer with a value."""
    return packed(web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json"))


def as_page(text: str, status: int = 200) -> web.Response:
    """Answer with a page."""
    return packed(web.Response(text=text, status=status, content_type="text/html"))


def packed(response: web.Response) -> web.Response:
    """Let a long answer be sent compressed to whoever takes that; nothing in it is a secret."""
    if (response.content_length or 0) >= PACKED_BYTES:
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response

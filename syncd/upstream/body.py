"""The body of a response: read with a cap on its size, inflated, and brought to UTF-8.

Knows nothing of statuses, budgets or APIs.
"""

import asyncio
import contextlib
from typing import Final

from syncd.contract.toolkit import fault_text
from syncd.upstream import encodings
from syncd.upstream.client import aiohttp
from syncd.upstream.encodings import GZIP_MARK, INFLATES, OPTIONAL, SYNONYMS

BODY_MAX_BYTES: Final = 256 * 2**20
"""Largest body after decompression; a page of a thousand records is below one megabyte."""
CHUNK_BYTES: Final = 2**18
APART_BYTES: Final = 2**18
"""A larger body is inflated in a thread of its own. One of this size takes a millisecond, and a thread half of one."""
UTF8_MARK: Final = b"\xef\xbb\xbf"
MARKS: Final = ((UTF8_MARK, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order marks, and the encoding that each one announces."""
UTF8_NAMES: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
NAME_CHARS: Final = 20
"""Longest name of an encoding that goes into an error."""


class BodyError(aiohttp.ClientError):
    """A body that cannot be read, and that would be no other if it was asked for again; the text says why."""


class DamagedBodyError(aiohttp.ClientError):
    """A compressed body that is damaged or cut short."""


def _too_large() -> BodyError:
    return BodyError(f"the answer is larger than {BODY_MAX_BYTES // 2**20} MiB")


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body, inflated, as UTF-8 without a byte order mark.

    The session must leave bodies compressed. Raises BodyError above BODY_MAX_BYTES and for an encoding that is not
    known here, and DamagedBodyError.
    """
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise _too_large()
        chunks.append(chunk)
    body = b"".join(chunks)
    names = [name.strip().lower() for name in response.headers.get("Content-Encoding", "").split(",")]
    names = [SYNONYMS.get(name, name) for name in reversed(names)]
    if size < APART_BYTES:
        body = _plain(body, names)
    else:  # the libraries let other threads run meanwhile
        body = await asyncio.to_thread(_plain, body, names)
    return utf8(body, response.charset)


def _plain(body: bytes, names: list[str]) -> bytes:
    """Undo all encodings, and gzip that no header announces."""
    for name in names:
        body = _inflated(body, name)
    return _inflated(body, "gzip") if body.startswith(GZIP_MARK) else body


def _inflated(body: bytes, name: str) -> bytes:
    """Undo one encoding. A body that is plain text already is taken as it is, whatever its label says."""
    if name in ("", "identity") or not body:
        return body
    if name not in INFLATES:
        if _is_plain(body):
            return body
        package = f"; install {OPTIONAL[name]} to read it" if name in OPTIONAL else ""
        label = repr(fault_text(name)[:NAME_CHARS])
        raise BodyError(f"its body is encoded as {label}, although only {encodings.ACCEPTED} was accepted{package}")
    try:
        return INFLATES[name](body, BODY_MAX_BYTES)
    except encodings.OverflowingError:
        raise _too_large() from None
    except encodings.DamagedError:
        if _is_plain(body):
            return body
        raise DamagedBodyError(f"its {name} is damaged or cut short") from None


def _is_plain(body: bytes) -> bool:
    """Say whether a body is JSON, XML or HTML as it stands; the first byte alone could also be one of brotli's."""
    if body.lstrip()[:1] not in (b"{", b"[", b"<"):
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def utf8(body: bytes, charset: str | None) -> bytes:
    """Return the body as UTF-8.

    A byte order mark decides first. A body that is valid UTF-8 is taken as such. Only then does the label `charset`
    count. A body that nothing can decode comes back as it is.
    """
    for mark, encoding in MARKS:
        if body.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                return body.decode(encoding).encode()
            return body.removeprefix(UTF8_MARK)
    if charset and charset.lower() not in UTF8_NAMES:
        try:
            body.decode()
        except UnicodeDecodeError:
            with contextlib.suppress(UnicodeDecodeError, LookupError):
                return body.decode(charset).encode()
    return body

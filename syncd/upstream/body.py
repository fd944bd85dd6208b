"""The body of a response: read with a cap on its size, inflated, and brought to UTF-8.

Knows nothing of statuses, budgets or APIs.
"""

import contextlib
import gzip
import zlib
from typing import Final

import aiohttp

BODY_MAX_BYTES: Final = 256 * 2**20
"""Largest body after decompression; a page of a thousand records is below one megabyte."""
CHUNK_BYTES: Final = 2**18
GZIP_MARK: Final = b"\x1f\x8b"
UTF8_MARK: Final = b"\xef\xbb\xbf"
MARKS: Final = ((UTF8_MARK, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order marks, and the encoding that each one announces."""
UTF8_NAMES: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


class TooLargeError(aiohttp.ClientError):
    """The body is larger than BODY_MAX_BYTES."""


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body, inflated, as UTF-8 without a byte order mark.

    Raises TooLargeError above BODY_MAX_BYTES, and zlib.error, EOFError or gzip.BadGzipFile for broken gzip.
    """
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise TooLargeError
        chunks.append(chunk)
    body = b"".join(chunks)
    if body.startswith(GZIP_MARK):  # aiohttp inflates only what the headers announce
        body = _inflated(body)
    return utf8(body, response.charset)


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    inflated = inflater.decompress(body, BODY_MAX_BYTES)
    if inflater.unconsumed_tail:
        raise TooLargeError
    if not inflater.eof:
        raise gzip.BadGzipFile("cut short")
    return inflated


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

"""Bodies that are sent compressed: which encodings are understood here, and how a body is inflated, with a cap.

brotli and zstandard are used where they are installed. Knows nothing of HTTP but the names of the encodings.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from isal import isal_zlib


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


brotli: Final = _installed("brotli")
zstandard: Final = _installed("zstandard")
GZIP_MARK: Final = b"\x1f\x8b"
ZSTD_SLICE_BYTES: Final = 1024
"""zstandard gives no cap on what one call returns: so much of the input at most becomes some megabytes."""
STEP_BYTES: Final = 2**20
"""Asked of brotli in one call."""
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 31, 15, -15  # zlib's `wbits` for each form


_REFUSED: Final[type[Exception]] = getattr(isal_zlib, "error")  # noqa: B009  (its stub says that it is an instance)


class DamagedError(Exception):
    """A compressed body cannot be inflated: it is damaged, or was cut short."""


class OverflowingError(Exception):
    """A body would be larger than the cap."""


def _gzip(body: bytes, cap_bytes: int) -> bytes:
    """Inflate all members of a gzip body; what follows the last one and is no member is padding."""
    parts: list[bytes] = []
    left = cap_bytes
    while body.startswith(GZIP_MARK) or not parts:
        inflated, body = _zlib(body, left, GZIP_WINDOW)
        parts.append(inflated)
        left -= len(inflated)
    return b"".join(parts)


def _deflate(body: bytes, cap_bytes: int) -> bytes:
    """Inflate `deflate`, which some servers send without its frame."""
    try:
        return _zlib(body, cap_bytes, ZLIB_WINDOW)[0]
    except DamagedError:
        return _zlib(body, cap_bytes, RAW_WINDOW)[0]


def _zlib(body: bytes, cap_bytes: int, window: int) -> tuple[bytes, bytes]:
    inflater = isal_zlib.decompressobj(wbits=window)  # in a third of the time that zlib takes
    try:
        inflated = inflater.decompress(body, cap_bytes + 1)
    except _REFUSED:
        raise DamagedError from None
    if len(inflated) > cap_bytes:
        raise OverflowingError
    if not inflater.eof:
        raise DamagedError
    return inflated, inflater.unused_data


def _brotli(body: bytes, cap_bytes: int) -> bytes:
    inflater, parts, size = brotli.Decompressor(), [], 0
    try:
        while not inflater.is_finished():
            part = inflater.process(body, output_buffer_limit=STEP_BYTES)
            if not part and not body:
                raise DamagedError
            body = b""
            parts.append(part)
            size += len(part)
            if size > cap_bytes:
                raise OverflowingError
    except brotli.error:
        raise DamagedError from None
    return b"".join(parts)


def _zstd(body: bytes, cap_bytes: int) -> bytes:
    """Inflate all frames of a zstd body."""
    parts, size, inflater = [], 0, zstandard.ZstdDecompressor().decompressobj()
    try:
        for at in range(0, len(body), ZSTD_SLICE_BYTES):
            piece = body[at : at + ZSTD_SLICE_BYTES]
            while piece:
                inflater = zstandard.ZstdDecompressor().decompressobj() if inflater.eof else inflater
                parts.append(inflater.decompress(piece))
                size += len(parts[-1])
                if size > cap_bytes:
                    raise OverflowingError
                piece = inflater.unused_data if inflater.eof else b""
    except zstandard.ZstdError:
        raise DamagedError from None
    if not inflater.eof:
        raise DamagedError
    return b"".join(parts)


INFLATES: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    **({"br": _brotli} if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data") else {}),
    **({"zstd": _zstd} if zstandard else {}),
}
"""What inflates a body, by the name of its encoding; brotli from the version on that can cap its output."""
SYNONYMS: Final = {"x-gzip": "gzip", "zlib": "deflate"}
ACCEPTED: Final = ", ".join(name for name in INFLATES if name != "deflate")
"""What requests accept; `deflate` is two different things to servers, and so is not asked for."""
OPTIONAL: Final[dict[str, Any]] = {"br": "brotli", "zstd": "zstandard"}
"""The package that an encoding needs."""

"""aiohttp, whose import reads no certificates: the first connection over TLS does.

At its import aiohttp makes two SSL contexts, one that verifies and one that does not, and reads all certificates of the
system for both. That takes 60 ms, a tenth of a tick as a command. Modules of this room take aiohttp from here. If it
was imported before, it has read them.
"""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["aiohttp", "late_context"]


class LateContext(ssl.SSLContext):
    """Verifies as `ssl.create_default_context()` does; it reads the system's certificates when a connection begins.

    Until then it knows none, so that it would trust nobody.
    """

    _is_read = False

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection of asyncio."""
        self._read()
        return super().wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Begin a connection on a socket."""
        self._read()
        return super().wrap_socket(*args, **options)

    def _read(self) -> None:
        if not self._is_read:
            self.load_default_certs()
            self._is_read = True


def late_context() -> LateContext:
    """Return a context with the settings of `ssl.create_default_context()`."""
    context = LateContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate, and that it is the host's
    if sys.version_info >= (3, 13):  # what create_default_context() adds
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    return context


@contextmanager
def _certificates_read_late() -> Iterator[None]:
    """Let the default context that is made meanwhile be a late one, and one that verifies nothing read nothing."""
    usual = ssl.create_default_context
    ssl.create_default_context = late_context  # type: ignore[assignment]  # aiohttp gives no arguments
    ssl.SSLContext.set_default_verify_paths = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        ssl.create_default_context = usual
        del ssl.SSLContext.set_default_verify_paths  # what it inherits shows again


with _certificates_read_late():
    import aiohttp

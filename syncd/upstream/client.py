"""aiohttp, whose import reads no certificates: the first connection over TLS does.

At its import aiohttp makes two SSL contexts, one that verifies and one that does not, and reads all certificates of the
system for both. That takes 60 ms, a tenth of a tick as a command. Modules of this room take aiohttp from here. If it
was imported before, it has read them.
"""

import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["aiohttp", "certificates_read_late", "late_context"]


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
def certificates_read_late() -> Iterator[None]:
    """Let a default context that this thread makes meanwhile be a late one, and one that verifies nothing read nothing.

    Other threads make theirs as usual.
    """
    create, read, here = ssl.create_default_context, ssl.SSLContext.set_default_verify_paths, threading.get_ident()

    def create_late(*args: Any, **options: Any) -> ssl.SSLContext:
        is_usual = args or options or threading.get_ident() != here
        return create(*args, **options) if is_usual else late_context()

    def read_nothing(context: ssl.SSLContext) -> None:
        if threading.get_ident() != here:
            read(context)

    ssl.create_default_context = create_late
    ssl.SSLContext.set_default_verify_paths = read_nothing  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ssl.create_default_context = create
        del ssl.SSLContext.set_default_verify_paths  # what it inherits shows again


with certificates_read_late():
    import aiohttp

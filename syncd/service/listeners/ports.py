"""The ports of the service: while another program has one, that is told and shown, and the port is opened later.

Owns what the log and the notices say of ports. Knows nothing of what is served there.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from syncd import log
from syncd.service.listeners.listener import PortTaken, when_free
from syncd.service.notices import Notices

Listen = Callable[[], AbstractAsyncContextManager[str | None]]

PAGE_TAKEN: Final = "port_taken"
CALLBACKS_TAKEN: Final = "callbacks_port_taken"

_log = log.get(__name__)


def page(listen: Listen, notices: Notices) -> AbstractAsyncContextManager[str | None]:
    """Serve the status page; yield its address, None while another program has its port."""

    def opened(url: str | None) -> None:
        notices.settle(PAGE_TAKEN)
        _log.info("page_served", url=url)

    def taken(error: PortTaken) -> None:
        notices.put(PAGE_TAKEN, error)
        _log.warning("port_taken", error=str(error), hint=error.hint)

    return when_free(listen, taken=taken, opened=opened)


@contextlib.asynccontextmanager
async def callbacks(
    listen: Listen, notices: Notices, *, sources: Callable[[], Sequence[str]], is_worker: bool
) -> AsyncIterator[None]:
    """Listen for the callbacks of these sources, now or once the port is free."""

    def opened(address: str | None) -> None:
        notices.settle(CALLBACKS_TAKEN)
        _log.info("callbacks_listening", address=address, sources=sources())

    def taken(error: PortTaken) -> None:
        if is_worker:  # another worker of this machine has it, and passes on what it hears
            _log.info("port_taken", error=str(error))
            return
        notices.put(CALLBACKS_TAKEN, error)
        _log.warning("port_taken", error=str(error), hint=error.hint)

    async with when_free(listen, taken=taken, opened=opened) as address:
        if address:
            opened(address)
        yield

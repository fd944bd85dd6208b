"""The login of one account: signs requests, logs in when that is due, and keeps what signs out of the log.

How to sign and how to log in comes from the source; this module makes sure that one login serves all runs.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from syncd import log
from syncd.clock import Clock
from syncd.contract import Auth, Send
from syncd.upstream.wire import Received

SIGN_CHARS: Final = 8
"""What signs a request and is shorter is no secret: masking it would garble the log."""


class Session:
    """The login that all runs of one account share."""

    def __init__(self, auth: Auth, clock: Clock) -> None:
        self._auth = auth
        self._clock = clock
        self._gate = asyncio.Lock()
        self._logins = 0

    async def signed(self, send: Send) -> tuple[Mapping[str, str], int]:
        """Return the headers that sign a request, and the number of the login that they stem from.

        Logs in first if that is due; `send` sends the request of the login.
        """
        if self._auth.due(self._clock()):
            await self.log_in(send, self._logins)
        headers = self._auth.headers()
        _protect(headers)
        return headers, self._logins

    async def log_in(self, send: Send, seen: int) -> None:
        """Log in, unless another run did so after login number `seen`; one login at a time."""
        async with self._gate:
            if self._logins != seen and not self._auth.due(self._clock()):
                return
            await self._auth.login(send, self._clock())
            self._logins += 1

    def refused(self) -> bool:
        """Forget the login after a 401; say whether a new one could help."""
        return self._auth.refused()

    def received(self, received: Received) -> None:
        """Take over what a response says of the session: new cookies or tokens."""
        self._auth.received(received.answer, received.cookies, received.at)
        _protect(self._auth.headers())


def _protect(headers: Mapping[str, str]) -> None:
    """Let the log mask what signs a request: each header's value and its parts (scheme and token, cookies)."""
    for value in headers.values():
        for part in (value, value.partition(" ")[2], *(cookie.partition("=")[2] for cookie in value.split("; "))):
            if len(part) >= SIGN_CHARS:
                log.protect(part.rstrip("="), short_lived=True)

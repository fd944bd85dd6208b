"""The login of one account: signs requests, logs in when that is due, and keeps what signs out of the log.

How to sign and how to log in comes from the source; this module makes sure that one login serves all runs.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from syncd import log
from syncd.clock import Clock
from syncd.contract import Auth, Send
from syncd.contract.errors import BadPayload
from syncd.upstream.vault import Vault
from syncd.upstream.wire import Received

Note = Callable[[str], None]
"""Takes a remark for a run's record."""
SIGN_CHARS: Final = 8
"""What signs a request and is shorter is no secret: masking it would garble the log."""

_ODD_SESSION_HINT: Final = "The next run logs in anew. If this lasts, tell the vendor, or correct the configuration."
HEADER_CHARS: Final = 16_384
"""Longest header that is sent back; servers refuse much shorter ones (8,190 bytes is usual)."""


class Session:
    """The login that all runs of one account share."""

    def __init__(self, auth: Auth, clock: Clock, vault: Vault) -> None:
        self._auth = auth
        self._vault = vault
        self._clock = clock
        self._gate = asyncio.Lock()
        self._logins = 0

    async def signed(self, send: Send, note: Note) -> tuple[Mapping[str, str], int]:
        """Return the headers that sign a request, and the number of the login that they stem from.

        Logs in first if that is due; `send` sends the request of the login, `note` is told of a session that was odd.
        """
        if self._auth.due(self._clock()):
            await self.log_in(send, self._logins, note)
        headers = self._auth.headers()
        self._protect(headers)
        return headers, self._logins

    @property
    def form(self) -> str:
        """Name the header that carries a token now, with its scheme and without its value; "" if there is none."""
        signs = self._auth.headers().items()
        return ", ".join(f"{name}: {value.partition(' ')[0]}" for name, value in signs if "uthorization" in name)

    async def log_in(self, send: Send, seen: int, note: Note) -> None:
        """Log in, unless another run did so after login number `seen`; one login at a time.

        A session that cannot be sent back is dropped, and a second login is tried; raises BadPayload after that.
        """
        async with self._gate:
            if self._logins != seen and not self._auth.due(self._clock()):
                return
            for _ in range(2):
                async with self._vault.opened(send) as login:
                    await self._auth.login(login, self._clock())
                self._logins += 1
                odd = _unsendable(self._auth.headers())
                if odd is None:
                    return
                self._auth.refused()
                note(f"the login gave a session that cannot be sent back: {odd}")
            raise BadPayload(f"two logins gave a session that cannot be sent back: {odd}", hint=_ODD_SESSION_HINT)

    def refused(self) -> bool:
        """Forget the login after a 401; say whether a new one could help."""
        return self._auth.refused()

    def received(self, received: Received) -> str | None:
        """Take over what a response says of the session: new cookies or tokens.

        What cannot be sent back ends the session, so that the next request logs in anew; return then what was odd.
        """
        self._auth.received(received.answer, received.cookies, received.at)
        headers = self._auth.headers()
        self._protect(headers)
        odd = _unsendable(headers)
        return odd if odd and self._auth.refused() else None

    def _protect(self, headers: Mapping[str, str]) -> None:
        """Let the log mask what signs a request: each header's value and its parts (scheme and token, cookies)."""
        for name, value in headers.items():
            parts = (value, value.partition(" ")[2], *(cookie.partition("=")[2] for cookie in value.split("; ")))
            for place, part in enumerate(parts):
                if len(part) >= SIGN_CHARS:
                    log.protect_held(part.rstrip("="), self, f"{name} {place}")


def _unsendable(headers: Mapping[str, str]) -> str | None:
    """Return which header no request can carry, and why; never its value."""
    for name, value in headers.items():
        if len(value) > HEADER_CHARS:
            return f"the header {name} would have {len(value):,} characters, {HEADER_CHARS:,} are the most"
        odd = next((sign for sign in value if not (" " <= sign <= "~" or "\xa0" <= sign <= "\xff")), None)
        if odd is not None:
            kind = "a control character" if odd < " " or "\x7f" <= odd < "\xa0" else "a character outside Latin-1"
            return f"the header {name} would hold {kind} (U+{ord(odd):04X})"
    return None

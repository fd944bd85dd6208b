"""How the requests of one account are signed, and when a login is due."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from syncd.contract.options import Secret
from syncd.contract.walk import Answer


class Send(Protocol):
    """Sends one bare request of a login: charged and retried, but neither signed nor logged in first."""

    async def __call__(self, method: str, path: str, *, headers: Mapping[str, str] = {}, json: Any = None) -> Answer:
        """Return the successful answer; a 400 or 401 raises BadCredentials."""
        ...


@runtime_checkable
class Keeper(Protocol):
    """Keeps one secret for each account, over restarts and for all processes.

    For a vendor that replaces a secret each time it is used (OAuth 2.0 refresh tokens that rotate): ask for it with
    `kept`, send it, and hand what came in exchange to `keep` before anything else. From `kept` until the login ends, no
    other process logs in. Since 1.1.
    """

    async def kept(self, first: Secret) -> str:
        """Return the newest secret of the chain that began with the configured one, which is the first of it.

        Another value in the configuration begins a new chain. Raises DatabaseError if its successor could not be
        stored: then it must not be sent.
        """
        ...

    async def keep(self, first: Secret, secret: str) -> None:
        """Store what the vendor gave in exchange, durably; raises DatabaseError if it cannot.

        If the process dies between the answer and this, the next login sends the old secret once more. Whether the
        vendor takes it then is for the vendor to say.
        """
        ...


def keeper_of(send: Send) -> Keeper:
    """Return what keeps a secret for the account whose login is sent by `send`.

    Raises TypeError for a `send` that keeps none: syncd's own does, one of a test may not. Since 1.1.
    """
    if not isinstance(send, Keeper):
        raise TypeError(f"{type(send).__name__} sends a login and keeps no secret: give it `kept` and `keep`")
    return send


class Auth(Protocol):
    """How the requests of one account are signed. State lives in memory, but for what a `Keeper` keeps."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that sign a request now; secrets stay inside."""
        ...

    def due(self, now: datetime) -> bool:
        """Say whether a login (or renewal) must come before the next request."""
        ...

    async def login(self, send: Send, now: datetime) -> None:
        """Log in, or renew; called by one task at a time. Raises BadCredentials if refused."""
        ...

    def refused(self) -> bool:
        """Forget the session after a 401; say whether a new login could help."""
        ...

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Take note of what any response carries for the session (rotated cookies)."""
        ...


class FixedHeaders(Auth):
    """Signs every request with the same headers: there is no session, so nothing is ever renewed.

    `headers` is asked for each request, so that a secret is revealed then and kept nowhere else.
    """

    def __init__(self, headers: Callable[[], Mapping[str, str]]) -> None:
        self._headers = headers

    def headers(self) -> Mapping[str, str]:
        """Return the headers, always the same."""
        return self._headers()

    def due(self, now: datetime) -> bool:
        """Return False: no login exists."""
        return False

    async def login(self, send: Send, now: datetime) -> None:
        """Do nothing: no login exists."""

    def refused(self) -> bool:
        """Return False: a new login cannot help, because none exists."""
        return False

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Do nothing: no answer carries anything for the session."""

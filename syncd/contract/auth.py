"""How the requests of one account are signed, and when a login is due."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from syncd.contract.walk import Answer


class Send(Protocol):
    """Sends one bare request of a login: charged and retried, but neither signed nor logged in first."""

    async def __call__(self, method: str, path: str, *, headers: Mapping[str, str] = {}, json: Any = None) -> Answer:
        """Return the successful answer; a 400 or 401 raises BadCredentials."""
        ...


class Auth(Protocol):
    """How the requests of one account are signed. State (token, session) lives in memory only."""

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

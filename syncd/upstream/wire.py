"""One request on the wire: builds the URL, sends once over aiohttp and returns what came back, unjudged.

Never retries, never follows a redirect, keeps no cookies, and trusts nothing in the environment.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from yarl import URL

from syncd.clock import Clock
from syncd.config import Proxy, Timeouts
from syncd.contract import Answer
from syncd.upstream.body import read_body
from syncd.upstream.budget import endpoint_of
from syncd.upstream.client import aiohttp
from syncd.upstream.encodings import ACCEPTED
from syncd.upstream.seat import OWN_SEAT, Seat

CONNECT_S: Final = 15.0
"""Longest wait for a connection."""
USUAL: Final = Timeouts()
"""Of a source whose type sets none."""
KEPT_ALIVE_S: Final = 75.0
"""So long a connection waits for the next tick; many servers close theirs after 60 or 75 s."""
LINE_MAX_BYTES: Final = 65_536
"""Longest line and header field of a response: eight times aiohttp's own limit, for long cookies; our choice."""
PLAIN_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "gzip"}
"""Sent where a server accepts none of our own choices (406): no document promises that it does."""
PATH_CHARS: Final = "/%:@!$&'()*+,;=~"
"""What a path may hold as it is; anything else is percent-encoded, because a link of the vendor may hold it."""


class CannotSend(Exception):
    """A request cannot be written: a header, the address or the body holds what HTTP has no place for."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as a walk or a login asks for it; `what` names source, stream and request in errors.

    `query` is written as it is, before `params`.
    """

    what: str
    method: str
    path: str
    params: Sequence[tuple[str, str]] = ()
    query: str = ""
    json: Any = None

    @property
    def endpoint(self) -> str:
        """The endpoint that the request is counted for."""
        return endpoint_of(self.method, self.path)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A whole response: the answer, the cookies that it set, and when its body was read."""

    answer: Answer
    cookies: Mapping[str, str]
    at: datetime


class Wire:
    """The way to one upstream: its base URL, the headers that every request carries, and the proxy, if there is one."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base_url: str,
        headers: Mapping[str, str],
        *,
        clock: Clock,
        proxy: Proxy | None = None,
        timeouts: Timeouts = USUAL,
    ) -> None:
        self._http = http
        self._timeout = _timeout(timeouts, http.timeout)
        self._base = base_url.rstrip("/")
        self._headers = {"Accept": "application/json", "Accept-Encoding": ACCEPTED, **headers}
        self.is_plain = False
        self._clock = clock
        self._through: dict[str, Any] = {"proxy": proxy.address} if proxy else {}
        if proxy and proxy.credentials:
            login = {"Proxy-Authorization": f"Basic {proxy.credentials}"}
            if base_url.startswith("https:"):  # through a tunnel, for which the proxy is asked apart
                self._through["proxy_headers"] = login
            else:
                self._headers |= login

    async def send(self, request: Request, headers: Mapping[str, str], seat: Seat = OWN_SEAT) -> Received:
        """Send a request once; the `seat` is lent out until the first byte of the answer, and while its body drips.

        Raises CannotSend, aiohttp's errors, TimeoutError, OSError, and what `read_body` raises.
        """
        sent_at = self._clock()
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with seat.waiting(at_once=True):
                    answering = self._http.request(
                        request.method,
                        self._address(request),
                        json=request.json,
                        headers={**(PLAIN_HEADERS if self.is_plain else self._headers), **headers},
                        allow_redirects=False,
                        timeout=self._timeout,
                        **self._through,
                    )
                    response = await stack.enter_async_context(answering)
                seat.heard(is_answering=True)
                async with seat.waiting():
                    body = await read_body(response)
                answer = Answer(
                    status=response.status,
                    headers=response.headers,
                    body=body,
                    sent_at=sent_at,
                    served_at=_served_at(response.headers),
                )
                return Received(answer=answer, cookies=_cookies(response), at=self._clock())
        except aiohttp.InvalidURL:
            raise CannotSend("its address is none that can be sent") from None
        except aiohttp.ClientError:
            raise
        except (ValueError, TypeError, LookupError) as error:
            # UnicodeError is a ValueError; the texts of these errors hold the value, which may be a secret
            raise CannotSend(f"it cannot be written as HTTP ({type(error).__name__})") from None

    def _address(self, request: Request) -> URL:
        params = urlencode(list(request.params), quote_via=quote, safe="")
        query = "&".join(filter(None, (request.query, params)))
        return URL(f"{self._base}{quote(request.path, safe=PATH_CHARS)}{query and '?'}{query}", encoded=True)


def _timeout(timeouts: Timeouts, session: aiohttp.ClientTimeout) -> aiohttp.ClientTimeout:
    """Return the timeouts of a source's requests; a session may allow less in all."""
    total_s = min(timeouts.answer_s, session.total or timeouts.answer_s)
    return aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=timeouts.first_byte_s)


def _served_at(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _cookies(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the cookies set by a response, values untouched: GHS's hold `/` and `+` and must travel unquoted."""
    pairs = (header.partition(";")[0].partition("=") for header in response.headers.getall("Set-Cookie", []))
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextlib.asynccontextmanager
async def http_session(timeouts: aiohttp.ClientTimeout | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the HTTP connections of a process; it keeps no cookies and trusts no environment.

    Their number has no limit of its own: accounts bound their requests, and the daemon the runs that wait for answers.
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeouts or aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "syncd"},
        max_line_size=LINE_MAX_BYTES,
        max_field_size=LINE_MAX_BYTES,
        auto_decompress=False,  # `read_body` does it: with a cap, and with words for what it cannot read
    ) as session:
        # aiohttp would send a GET a second time, uncharged, when a kept-alive connection was cut before the answer
        session._retry_connection = False  # noqa: SLF001
        yield session

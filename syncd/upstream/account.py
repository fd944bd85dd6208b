"""One account at one upstream over aiohttp: signs, charges, sends, retries and judges every request.

The only place that retries and the only one that turns a status into an error. Knows no API: how to sign and how to
read the vendor's error text comes from the source.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from syncd import counters, log
from syncd.clock import Clock, Sleep
from syncd.config import SourceConfig
from syncd.contract import Answer, Lane, Source
from syncd.errors import (
    BadCredentials,
    BadPayload,
    BadRequest,
    NotFound,
    ScopeMissing,
    Throttled,
    Unreachable,
    UpstreamError,
)
from syncd.storage.state.runs import Spent
from syncd.upstream import budget
from syncd.upstream.purse import Purse

TRIES = 4
"""Sendings of one request, the first included, before it fails for a passing fault."""
RUN_RETRIES = 20
"""Retries of one run: an upstream that fails every other request is not worth a day's budget."""
WAIT_S = 0.5
"""First wait between two tries; doubled each time, with full jitter on its second half."""
WAIT_MAX_S = 30.0
PATIENCE_S: Mapping[Lane, float] = {"live": 90.0, "backfill": 2 * 86_400.0}
"""Longest single wait for the budget: a live run leaves it to the next tick, a backfill waits for tomorrow."""
BODY_MAX_BYTES = 256 * 2**20
"""Largest body after decompression; a page of a thousand records is below one megabyte."""
IN_FLIGHT = 4
"""Requests of one source and lane under way at once."""
TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=15, sock_read=60)
"""GHS takes three seconds a product with route info; `total` stops a slow drip that `sock_read` lets through."""
NOTES_MAX = 30
SIGN_CHARS = 8
"""What signs a request and is shorter is no secret: masking it would garble the log."""
OUTAGES = (Unreachable, BadCredentials)
"""What may stand for the whole source, and not only for the stream that met it."""

_log = log.get(__name__)


@dataclass(slots=True)
class _Try:
    """A response whose status is known, before it is judged."""

    answer: Answer
    reason: str


class Account:
    """The connection to one source, shared by all its runs in this process: session, token, budget."""

    def __init__(
        self,
        source: Source,
        settings: SourceConfig,
        purse: Purse,
        http: aiohttp.ClientSession,
        *,
        clock: Clock,
        sleep: Sleep,
        jitter: Callable[[], float],
    ) -> None:
        self.source = source
        self.settings = settings
        self.purse = purse
        self.clock = clock
        self.sleep = sleep
        self._jitter = jitter
        self._http = http
        self._auth = source.auth(settings.options)
        self._headers = dict(source.headers(settings.options))
        self._base = settings.base_url.rstrip("/")
        self._slots: Mapping[Lane, asyncio.Semaphore] = {
            "live": asyncio.Semaphore(IN_FLIGHT), "backfill": asyncio.Semaphore(IN_FLIGHT)
        }  # fmt: skip
        self._login_gate = asyncio.Lock()
        self._logins = 0
        self._down_since: datetime | None = None
        self._failing: set[str] = set()
        self._paused: set[str] = set()

    def upstream(self, stream: str, lane: Lane) -> "RunUpstream":
        """Return the account as one run of one stream uses it."""
        return RunUpstream(self, stream, lane)

    async def send(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        json: Any,
        headers: Mapping[str, str],
        *,
        charged_at: float,
    ) -> Answer:
        """Send one charged request once, without judging the answer; raises aiohttp's errors and TimeoutError."""
        query = f"?{urlencode(list(params), quote_via=quote, safe='')}" if params else ""
        sent_at = self.clock()
        async with self._http.request(
            method,
            URL(f"{self._base}{path}{query}", encoded=True),
            json=json,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", **self._headers, **headers},
            allow_redirects=False,
        ) as response:
            body = await _read_body(response)
            counters.answered(self.settings.name, response.status)
            received_at = self.clock()
            answer = Answer(
                status=response.status,
                headers=response.headers,
                body=body,
                sent_at=sent_at,
                served_at=_served_at(response.headers),
            )
            self._auth.received(answer, _cookies(response), received_at)
        _protect(self._auth.headers())
        await self.purse.observe(
            budget.read_headers(answer.headers, answer.status, sent_at=charged_at, received_at=received_at.timestamp())
        )
        return answer

    def reason(self, answer: Answer) -> str:
        """Return the vendor's error text, without secrets that it echoes.

        The body is masked and not the text, for that is cut: half a secret would not be known as one.
        """
        if self.source.fault_of(answer) is None:
            return ""
        body = log.mask(answer.body.decode("utf-8", "replace")).encode()
        return log.mask(self.source.fault_of(dataclasses.replace(answer, body=body)) or "")

    def slot(self, lane: Lane) -> asyncio.Semaphore:
        """Return what to hold while a request is charged and under way.

        It is charged only when it may be sent at once: the windows of budget.py count from the charge.
        """
        return self._slots[lane]

    async def signed(self, login: "RunUpstream") -> tuple[Mapping[str, str], int]:
        """Return the headers that sign a request and the number of the login they stem from; log in first if due."""
        if self._auth.due(self.clock()):
            await self.log_in(login, self._logins)
        headers = self._auth.headers()
        _protect(headers)
        return headers, self._logins

    async def log_in(self, login: "RunUpstream", seen: int) -> None:
        """Log in unless somebody did since login number `seen`; one at a time."""
        async with self._login_gate:
            if self._logins != seen and not self._auth.due(self.clock()):
                return
            await self._auth.login(login.send_login, self.clock())
            self._logins += 1

    def refused(self) -> bool:
        """Forget the session after a 401; say whether a new login could help."""
        return self._auth.refused()

    def wait_s(self, attempt: int) -> float:
        """Return how long to wait before the next try: exponential, jittered."""
        full = min(WAIT_MAX_S, WAIT_S * 2.0**attempt)
        return full / 2 + full / 2 * self._jitter()

    def is_failing(self, stream: str) -> bool:
        """Say whether the last run of a stream failed for a reason that lasts."""
        return stream in self._failing or stream in self._paused

    def run_ended(self, stream: str, error: Exception | None) -> None:
        """Note how a run ended; tell the log once of an outage of the source or a scope that is gone, and of its end.

        An outage is over when every stream that failed gets its answers again.
        """
        name = self.settings.name
        if isinstance(error, OUTAGES):
            self._failing.add(stream)
            if self._down_since is None:
                self._down_since = self.clock()
                _log.warning("source_failing", source=name, error=str(error), hint=error.hint)
            return
        self._failing.discard(stream)
        if self._down_since and not self._failing:
            down_s = (self.clock() - self._down_since).total_seconds()
            _log.info("source_recovered", source=name, down_s=round(down_s, 1))
            self._down_since = None
        if isinstance(error, ScopeMissing):
            if stream not in self._paused:
                self._paused.add(stream)
                _log.warning("stream_paused", source=name, stream=stream, error=str(error), hint=error.hint)
        elif stream in self._paused:
            self._paused.remove(stream)
            _log.info("stream_resumed", source=name, stream=stream)


async def _at_once() -> None:
    pass


@dataclass(slots=True)
class RunUpstream:
    """An account as one run sees it; implements `syncd.source.Upstream` and counts what the run costs.

    `turn` is awaited with an answer in hand: until then nobody reads it.
    """

    account: Account
    stream: str
    lane: Lane
    requests: int = 0
    retries: int = 0
    waited_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    hears: Callable[[Answer], None] = lambda _answer: None
    is_answered: bool = False
    turn: Callable[[], Awaitable[None]] = _at_once

    @property
    def spent(self) -> Spent:
        """What the run has cost so far."""
        return Spent(self.requests, self.waited_s)

    @property
    def is_probe(self) -> bool:
        """Whether the run only tries if what failed the one before is over: until it is, nothing is sent twice."""
        return not self.is_answered and self.account.is_failing(self.stream)

    def note(self, text: str) -> None:
        """Keep a remark for the run's record; only the first few."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: Any = None
    ) -> Answer:
        """Send a signed request and return its successful answer; see `syncd.source.Upstream`."""
        what = f"{self.account.settings.name}.{self.stream}: {method} {path}"
        answer = await self._judged(what, method, path, params, json, {}, signed=True)
        self.is_answered = True
        self.hears(answer)
        return answer

    async def send_login(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Send the bare request of a login; see `syncd.source.Send`."""
        what = f"{self.account.settings.name}: login, {method} {path}"
        try:
            return await self._judged(what, method, path, (), json, headers or {}, signed=False)
        except (BadRequest, ScopeMissing) as error:
            raise BadCredentials(str(error), hint=_LOGIN_HINT, status=error.status) from None

    async def _judged(
        self,
        what: str,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        json: Any,
        headers: Mapping[str, str],
        *,
        signed: bool,
    ) -> Answer:
        """Send until the answer is good, or its fault is not a passing one, or the tries are spent."""
        logged_in_again = False
        attempt = 0
        while True:
            login = 0
            if signed:
                headers, login = await self.account.signed(self)
            try:
                async with self.account.slot(self.lane):
                    charge = await self.account.purse.charge(self.lane, patience_s=PATIENCE_S[self.lane])
                    self.waited_s += charge.waited_s
                    self.requests += 1
                    answer = await self.account.send(method, path, params, json, headers, charged_at=charge.at)
            except (aiohttp.ClientError, TimeoutError, OSError, EOFError, zlib.error) as error:
                counters.answered(self.account.settings.name, None)
                fault: UpstreamError = _transport_fault(what, error)
            else:
                await self.turn()
                tried = _Try(answer, self.account.reason(answer))
                status = answer.status
                if status == 401 and signed and not logged_in_again:
                    logged_in_again = True
                    if self.account.refused():
                        self.note(f"401 on {path}: logged in again")
                        await self.account.log_in(self, login)
                        continue
                    if not self.is_probe:
                        self.note(f"401 on {path}: asked again")
                        continue
                found = _fault(what, tried)
                if found is None:
                    return answer
                fault = found
            await self._pause(fault, attempt)
            attempt += 1

    async def _pause(self, fault: UpstreamError, attempt: int) -> None:
        """Wait before the next try, or raise the fault if it is no passing one or the tries are spent."""
        passing = isinstance(fault, Throttled) or (isinstance(fault, Unreachable) and not fault.lasting)
        self.note(str(fault))
        if not passing or self.is_probe or attempt + 1 >= TRIES or self.retries >= RUN_RETRIES:
            raise fault
        self.retries += 1
        _log.debug("request_retried", source=self.account.settings.name, stream=self.stream, fault=str(fault))
        if not isinstance(fault, Throttled):  # after a 429 the budget itself says when to go on
            await self.account.sleep(self.account.wait_s(attempt))


_LOGIN_HINT = "Check the credentials of this source in the configuration (syncd check)."


def _fault(what: str, tried: _Try) -> UpstreamError | None:
    """Return the error that an answer stands for, None for a good one."""
    status, reason = tried.answer.status, f": {tried.reason}" if tried.reason else ""
    said = f"{what} answered {status}{reason}"
    if 300 <= status < 400:
        host = urlsplit(tried.answer.headers.get("Location", "")).hostname or "the same host"
        return BadPayload(f"{what} answered {status}, a redirect to {host}", hint=_REDIRECT_HINT, status=status)
    if status == 205 or status >= 500 or status == 408:
        return Unreachable(said, status=status)
    match status:
        case 401:
            return BadCredentials(said, hint=_LOGIN_HINT, status=401)
        case 403:
            return ScopeMissing(said, hint="Ask the vendor for the scope, or set enabled = false.", status=403)
        case 404:
            return NotFound(said, status=404)
        case 429:
            return Throttled(said, status=429)
    if status >= 400:
        return BadRequest(said, status=status)
    if tried.reason:
        return BadPayload(f"{what} answered {status} with an error inside{reason}", status=status)
    return None


_REDIRECT_HINT = "Redirects are never followed, because they would carry credentials along. Is base_url right?"


def _transport_fault(what: str, error: BaseException) -> UpstreamError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        return Unreachable(
            f"{what}: the server's certificate is not trusted ({reason})", hint=_TRUST_HINT, lasting=True
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return Unreachable(
            f"{what}: no TLS connection came about ({type(error).__name__})", hint=_TLS_HINT, lasting=True
        )
    if isinstance(error, _TooLargeError):
        return BadPayload(f"{what}: the answer is larger than {BODY_MAX_BYTES // 2**20} MiB")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error).__name__
        return Unreachable(f"{what}: cannot connect ({reason})", hint=_CONNECT_HINT)
    return Unreachable(f"{what}: no whole answer ({type(error).__name__})")


_TRUST_HINT = (
    "Is base_url right, and this machine's clock? Else make this machine trust the issuer (update-ca-certificates)."
)
_TLS_HINT = "Is base_url right? What answers there speaks no TLS that this machine knows."
_CONNECT_HINT = "Is base_url right, and does a firewall let this machine out?"


class _TooLargeError(aiohttp.ClientError):
    pass


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, inflated, at most BODY_MAX_BYTES of it, as UTF-8 without a byte order mark."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(2**18):
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise _TooLargeError
        chunks.append(chunk)
    body = b"".join(chunks)
    if body[:2] == b"\x1f\x8b":  # gzip that the headers do not tell of
        inflater = zlib.decompressobj(wbits=31)
        body = inflater.decompress(body, BODY_MAX_BYTES)
        if inflater.unconsumed_tail:
            raise _TooLargeError
        if not inflater.eof:
            raise gzip.BadGzipFile("cut short")
    return _utf8(body, response.charset)


def _utf8(body: bytes, charset: str | None) -> bytes:
    """Return the body as UTF-8: a byte order mark tells the encoding, then the bytes, and only then the label."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if body.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                return body.decode(encoding).encode()
            return body.removeprefix(b"\xef\xbb\xbf")
    if charset and charset.lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        try:
            body.decode()
        except UnicodeDecodeError:
            with contextlib.suppress(UnicodeDecodeError, LookupError):
                return body.decode(charset).encode()
    return body


def _served_at(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _protect(headers: Mapping[str, str]) -> None:
    """Let the log mask what signs a request: each header's value and its parts (scheme and token, cookies)."""
    for value in headers.values():
        for part in (value, value.partition(" ")[2], *(cookie.partition("=")[2] for cookie in value.split("; "))):
            if len(part) >= SIGN_CHARS:
                log.protect(part.rstrip("="), short_lived=True)


def _cookies(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the cookies set by a response, values untouched: GHS's hold `/` and `+` and must travel unquoted."""
    pairs = (header.partition(";")[0].partition("=") for header in response.headers.getall("Set-Cookie", []))
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextlib.asynccontextmanager
async def http_session(timeouts: aiohttp.ClientTimeout = TIMEOUT) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the HTTP connections of a process; it keeps no cookies and trusts no environment."""
    connector = aiohttp.TCPConnector(limit=100, keepalive_timeout=30)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeouts,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "syncd"},
        max_line_size=16_384,
        max_field_size=16_384,
    ) as session:
        # aiohttp would send a GET a second time, uncharged, when a kept-alive connection was cut before the answer
        session._retry_connection = False  # noqa: SLF001
        yield session

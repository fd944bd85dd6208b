"""What an answer or a transport error means: pure functions from a status or an exception to an `UpstreamError`."""

import re
from typing import Final
from urllib.parse import urlsplit

from syncd.config import Proxy
from syncd.contract import Answer, Lane
from syncd.contract.toolkit import fault_text
from syncd.errors import (
    BadCredentials,
    BadPayload,
    BadRequest,
    NotFound,
    NotSent,
    ScopeMissing,
    Throttled,
    Unreachable,
    UpstreamError,
)
from syncd.upstream import detour
from syncd.upstream.body import BodyError, DamagedBodyError
from syncd.upstream.client import aiohttp
from syncd.upstream.wire import CannotSend

OUTAGES: Final = (Unreachable, BadCredentials)
"""Errors that may stand for the whole source, and not only for the stream that met them."""

LOGIN_HINT: Final = "Check the credentials of this source in the configuration (syncd check)."
_REDIRECT_HINT = "Redirects are never followed, because they would carry credentials along. Is base_url right?"
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
ODD: Final = {
    101: "a change of protocol that nobody asked for",
    206: "a part of what was asked for, although no part was asked for",
    207: "several statuses in one",
    208: "a part of a listing that was reported before",
    226: "a difference to an earlier answer, although none was asked for",
    300: "a choice of several addresses",
    304: "that nothing changed since an earlier answer, although no condition was sent",
    305: "that a proxy must be used",
    306: "a status that is no longer in use",
}
"""Statuses (RFC 9110 and its registry) that answer something else than what was asked."""
_ODD_HINT = "Is base_url right? A cache or proxy between here and the API may answer so."
_STRANGER_HINT = (
    "A firewall, proxy or captive portal seems to answer in the API's place: ask the vendor to let this machine's"
    " address through. Nothing was paused."
)
_HTTP_HINT = "The server or a proxy before it is at fault; tell the vendor. The next run tries again."
_NOT_SENT_HINT = "A new login did not help: tell the vendor, or correct this source in the configuration."
_SCOPE_HINT = "Ask the vendor for the scope, or set enabled = false."
_TRUST_HINT = (
    "Is base_url right, and this machine's clock? Else make this machine trust the issuer (update-ca-certificates)."
)
_TLS_HINT = "Is base_url right? What answers there speaks no TLS that this machine knows."


def _place(location: str) -> str:
    """Return where a redirect leads, without path and query: they may hold what we sent."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:  # such as a bracket that is never closed
        return "what is no address"
    if not location:
        return "nowhere: it bears no address"
    if parts.scheme not in ("", "http", "https"):
        return "what is no web address"
    return host or "the same host"


def of_answer(what: str, answer: Answer, reason: str, stranger: str | None = None) -> UpstreamError | None:
    """Return the error that an answer stands for, None for a good one.

    `what` names source, stream and request; `reason` is the vendor's error text, "" if there is none; `stranger` says
    what came in place of the API's own answer, None if it may be its own. A stranger's refusal says nothing of the
    account or of a record: it is an outage.
    """
    status, because = answer.status, f": {reason}" if reason else ""
    said = f"{what} answered {status}{because}"
    if status in REDIRECTS:
        place = _place(answer.headers.get("Location", ""))
        return BadPayload(f"{what} answered {status}, a redirect to {place}", hint=_REDIRECT_HINT, status=status)
    if status in ODD or 300 <= status < 400 or status < 200:
        told = ODD.get(status, "a status that no API documents")
        return BadPayload(f"{what} answered {status}, {told}", hint=_ODD_HINT, status=status)
    if status in (205, 408) or status >= 500:
        return Unreachable(f"{said}, with {stranger}" if stranger else said, status=status)
    if stranger and status not in (401, 429):
        told = f"{what} answered {status} with {stranger}, which is not the API's own answer"
        return Unreachable(told, hint=_STRANGER_HINT, status=status, lasting=status != 403)
    if status >= 400:
        return _refusal(said, status)
    if reason:
        return BadPayload(f"{what} answered {status} with an error inside{because}", status=status)
    return None


def _refusal(said: str, status: int) -> UpstreamError:
    match status:
        case 401:
            return BadCredentials(said, hint=LOGIN_HINT, status=401)
        case 403:
            return ScopeMissing(said, hint=_SCOPE_HINT, status=403)
        case 404:
            return NotFound(said, status=404)
        case 407:
            return detour.wants_login(f"{said} in the name of a proxy", is_given=False)
        case 429:
            return Throttled(said, status=429)
        case _:
            return BadRequest(said, status=status)


def of_transport(what: str, error: BaseException, proxy: Proxy | None = None) -> UpstreamError:
    """Return the error that a request without a whole answer stands for; `proxy` is the one that it went through."""
    if proxy and (of_detour := detour.of_proxy(what, error, proxy)):
        return of_detour
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
            return Unreachable(
                f"{what}: the server's certificate is not trusted ({reason})", hint=_TRUST_HINT, lasting=True
            )
        case aiohttp.ClientSSLError():
            return Unreachable(
                f"{what}: no TLS connection came about ({type(error).__name__})", hint=_TLS_HINT, lasting=True
            )
        case BodyError():
            return BadPayload(f"{what}: {error}")
        case DamagedBodyError():
            return Unreachable(f"{what}: no whole answer ({error})")
        case CannotSend():
            return NotSent(f"{what}: {error}", hint=_NOT_SENT_HINT)
        case aiohttp.ClientResponseError():
            told = f"{what}: the answer is no sound HTTP: {_unsound(error.message)}"
            return Unreachable(told, hint=_HTTP_HINT, lasting=True)
        case TimeoutError():
            return Unreachable(f"{what}: no whole answer ({type(error).__name__})", silent=True)
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or type(error).__name__
            return Unreachable(f"{what}: cannot connect ({reason})", hint=detour.connect_hint(proxy))
        case _:
            return Unreachable(f"{what}: no whole answer ({type(error).__name__})")


def _unsound(message: str) -> str:
    """Return what the parser of HTTP says, without the bytes that it shows: they may hold anything."""
    words = re.split(r"\bb['\"]|\^", message, maxsplit=1)[0]
    return fault_text(words).rstrip(" :") or "it cannot be read"


def is_passing(fault: UpstreamError, lane: Lane) -> bool:
    """Say whether the same request may succeed if it is sent again a little later.

    Silence costs a live run one try, because each lasts a minute and the next tick tries again.
    """
    if isinstance(fault, Unreachable):
        return not fault.lasting and not (fault.silent and lane == "live")
    return isinstance(fault, Throttled)

"""What an answer or a transport error means: pure functions from a status or an exception to an `UpstreamError`."""

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from syncd.contract import Answer
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
from syncd.upstream.body import BODY_MAX_BYTES, TooLargeError

OUTAGES: Final = (Unreachable, BadCredentials)
"""Errors that may stand for the whole source, and not only for the stream that met them."""

LOGIN_HINT: Final = "Check the credentials of this source in the configuration (syncd check)."
_REDIRECT_HINT = "Redirects are never followed, because they would carry credentials along. Is base_url right?"
_SCOPE_HINT = "Ask the vendor for the scope, or set enabled = false."
_TRUST_HINT = (
    "Is base_url right, and this machine's clock? Else make this machine trust the issuer (update-ca-certificates)."
)
_TLS_HINT = "Is base_url right? What answers there speaks no TLS that this machine knows."
_CONNECT_HINT = "Is base_url right, and does a firewall let this machine out?"


def of_answer(what: str, answer: Answer, reason: str) -> UpstreamError | None:
    """Return the error that an answer stands for, None for a good one.

    `what` names source, stream and request; `reason` is the vendor's error text, "" if there is none.
    """
    status, because = answer.status, f": {reason}" if reason else ""
    said = f"{what} answered {status}{because}"
    if 300 <= status < 400:
        host = urlsplit(answer.headers.get("Location", "")).hostname or "the same host"
        return BadPayload(f"{what} answered {status}, a redirect to {host}", hint=_REDIRECT_HINT, status=status)
    if status in (205, 408) or status >= 500:
        return Unreachable(said, status=status)
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
        case 429:
            return Throttled(said, status=429)
        case _:
            return BadRequest(said, status=status)


def of_transport(what: str, error: BaseException) -> UpstreamError:
    """Return the error that a request without a whole answer stands for."""
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
        case TooLargeError():
            return BadPayload(f"{what}: the answer is larger than {BODY_MAX_BYTES // 2**20} MiB")
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or type(error).__name__
            return Unreachable(f"{what}: cannot connect ({reason})", hint=_CONNECT_HINT)
        case _:
            return Unreachable(f"{what}: no whole answer ({type(error).__name__})")


def is_passing(fault: UpstreamError) -> bool:
    """Say whether the same request may succeed if it is sent again a little later."""
    return isinstance(fault, Throttled) or (isinstance(fault, Unreachable) and not fault.lasting)

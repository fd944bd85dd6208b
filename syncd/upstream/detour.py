"""What a fault means where requests go through a proxy, or where they should: pure functions, as in `faults.py`."""

import os
from collections.abc import Mapping
from typing import Final

from syncd.config import Proxy, variable_of
from syncd.errors import Unreachable
from syncd.upstream.client import aiohttp

_ADDRESS_HINT: Final = "Is the address of the proxy right, does it run, and does a firewall let this machine reach it?"
_LOGIN_HINT: Final = (
    'User and password belong into the address of the proxy, which is then a secret: proxy = { env = "PROXY_URL" }.'
)
_REFUSED_HINT: Final = "Ask those who run the proxy to let this machine reach the host of base_url."
_CONNECT_HINT: Final = "Is base_url right, and does a firewall let this machine out?"


def of_proxy(what: str, error: BaseException, proxy: Proxy) -> Unreachable | None:
    """Return the error that a fault of the proxy itself stands for; None for one of the server behind it."""
    named = f"{what}: the proxy {proxy.address} ({proxy.origin})"
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return wants_login(f"{named} answered 407", is_given=proxy.credentials is not None)
        case aiohttp.ClientHttpProxyError():
            said = f"{named} answered {error.status} and opened no connection to the server"
            return Unreachable(said, hint=_REFUSED_HINT, status=error.status, lasting=400 <= error.status < 500)
        case aiohttp.ClientConnectorCertificateError() if (error.host, error.port) == proxy.place:
            reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
            return Unreachable(
                f"{named} shows a certificate that is not trusted ({reason})", hint=_ADDRESS_HINT, lasting=True
            )
        case aiohttp.ClientConnectorSSLError() if (error.host, error.port) == proxy.place:
            return Unreachable(
                f"{named} speaks no TLS; is it http:// and not https://?", hint=_ADDRESS_HINT, lasting=True
            )
        case aiohttp.ClientConnectorError() if (error.host, error.port) == proxy.place:
            return Unreachable(f"{named} cannot be reached ({_reason(error)})", hint=_ADDRESS_HINT)
        case aiohttp.ConnectionTimeoutError():
            said = f"{what}: no connection through the proxy {proxy.address} ({proxy.origin}) came about in time"
            return Unreachable(said, hint=_ADDRESS_HINT)
        case aiohttp.ClientProxyConnectionError():
            return Unreachable(f"{named} cannot be reached ({_reason(error)})", hint=_ADDRESS_HINT)
        case _:
            return None


def wants_login(said: str, *, is_given: bool) -> Unreachable:
    """Return the error of a 407, which only a proxy sends."""
    why = "it refuses the user and password that were given" if is_given else "it wants a user and a password"
    return Unreachable(f"{said}: {why}", hint=_LOGIN_HINT, status=407, lasting=True)


def connect_hint(proxy: Proxy | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return what to look at where no connection came about; names a proxy of the environment that is not used."""
    if proxy is not None:
        return f"The proxy {proxy.address} ({proxy.origin}) was asked for it. {_CONNECT_HINT}"
    if name := variable_of("https", environ):
        return f'{_CONNECT_HINT} {name} is set, but syncd uses it only with proxy = "environment" in [http].'
    return f"{_CONNECT_HINT} If it must go through a proxy, set proxy in [http] or of the source."


def _reason(error: aiohttp.ClientConnectorError) -> str:
    return error.os_error.strerror or type(error.os_error).__name__

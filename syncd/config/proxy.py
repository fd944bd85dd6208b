"""The proxy through which the requests of a source go: none unless the configuration names one.

The variables of the environment (HTTPS_PROXY, NO_PROXY, …) count only where it says `proxy = "environment"`. Addresses
are checked in form only; no message repeats a user, a password or an address that could not be read.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from syncd.config.secret import Secret, SecretRef

EXPECTED: Final = 'expected "http://host:port", "https://host:port", "environment" or "off"'
PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

ProxySetting = Secret | Literal["environment"] | None
"""What the configuration says: an address, the environment's, or none."""


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy of a source; `url` may hold user and password, `origin` is the key or variable that names it."""

    url: Secret
    origin: str

    @property
    def address(self) -> str:
        """Scheme, host and port, fit for a message."""
        if not self.url.is_resolved:
            return "that was not read"
        parts = urlsplit(self.url.reveal())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url.reveal())
        return parts.hostname or "", parts.port or PORTS[parts.scheme]

    @property
    def credentials(self) -> str | None:
        """User and password as `Proxy-Authorization: Basic` takes them, or None."""
        parts = urlsplit(self.url.reveal())
        if "@" not in parts.netloc:
            return None
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return base64.b64encode(pair.encode()).decode()

    @property
    def secrets(self) -> list[Secret]:
        """What no message may show: the whole address if it holds a password, the password, and both in base64."""
        if not self.url.is_resolved:
            return [self.url]
        if not (credentials := self.credentials):
            return []
        password = unquote(urlsplit(self.url.reveal()).password or "")
        texts = [self.url.reveal(), credentials, *([password] if password else [])]
        return [Secret(text, ref=self.url.ref) for text in texts]


def parse_proxy(text: str) -> str:
    """Check the address of a proxy; one without a scheme is http, as programs take it. Raises ValueError."""
    parts = _split(text if "://" in text else f"http://{text}")
    if parts is None:
        raise ValueError(
            f"{EXPECTED}; a user and a password stand before the host, with : / ? # @ and % as %3A %2F %3F %23 %40 %25"
        )
    if parts.scheme.startswith("socks"):
        raise ValueError(f"syncd does not speak to {parts.scheme} proxies, only to http and https ones; {EXPECTED}")
    if parts.scheme not in PORTS:
        raise ValueError(EXPECTED)
    return f"{parts.scheme}://{parts.netloc}"


def _split(text: str) -> SplitResult | None:
    """Split an address that is host and port, perhaps with user and password; None for any other."""
    if re.search(r"[\s\x00-\x1f\\]", text):
        return None
    try:
        parts = urlsplit(text)
        is_good = parts.port != 0 and parts.hostname and parts.path in ("", "/") and parts.netloc.count("@") < 2
    except ValueError:
        return None
    return parts if is_good and not parts.query and not parts.fragment else None


# --- The environment --------------------------------------------------------------------------------------------------


def of_environment(base_url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the environment names for an upstream, None for none. Raises ValueError, as `parse_proxy`.

    As curl and others do: https_proxy or http_proxy after the address, else all_proxy, lower case first; not for what
    no_proxy names. HTTP_PROXY in capitals does not count where a web server started us, for a visitor could set it.
    """
    parts = urlsplit(base_url)
    name = variable_of(parts.scheme, environ)
    if name is None:
        return None
    exceptions = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    if is_exempt(parts.hostname or "", parts.port or PORTS[parts.scheme], exceptions):
        return None
    try:
        url = parse_proxy(environ[name])
    except ValueError as wrong:
        raise ValueError(f"the environment variable {name}: {wrong}") from None
    return Proxy(url=Secret(url, ref=SecretRef("env", name)), origin=name)


def variable_of(scheme: str, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable that names a proxy for addresses of this scheme."""
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names.remove(f"{scheme}_proxy".upper()) if scheme == "http" else None
    return next((name for name in names if environ.get(name)), None)


def is_exempt(host: str, port: int, exceptions: str) -> bool:
    """Say whether NO_PROXY names a host: as itself or a part of its end, as an address or a network, or as `*`.

    An entry with a port counts for that port only.
    """
    host = host.lower().rstrip(".")
    for entry in re.split(r"[,\s]+", exceptions.lower()):
        match = re.fullmatch(r"(?:\[([0-9a-f:.%]+)\]|([^:]*)|([0-9a-f:./]{3,}))(?::([0-9]+))?", entry)
        if not match or (match[4] and int(match[4]) != port):
            continue
        name = match[1] or match[2] or match[3] or ""
        if name == "*" or _is_within(host, name):
            return True
        name = name.removeprefix("*").strip(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

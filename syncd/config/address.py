"""Addresses: of an upstream, of the status page, of the database. Checked in form only: nothing here resolves a name.

Each check raises ValueError that says what is wrong, and repeats no user, password or query.
"""

import ipaddress
import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

EMBEDDED = "embedded"  # the database's address that stands for a private server
_ODD = re.compile(r"[\s\x00-\x1f\\]")
_HOST = r"(127\.0\.0\.1|[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*)"
_NORMAL = re.compile(rf"https?://{_HOST}(:(?!(80|443)\b)[1-9][0-9]{{1,4}})?(/[a-zA-Z0-9_-]+)*")
"""Addresses of which `normal_form` would change nothing: most."""
_USUAL = re.compile(
    r"(https://[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|http://(localhost|127\.0\.0\.1))"
    r"(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9_-]+)*/?"
)
"""Addresses of an upstream with which nothing is wrong: most. Others are looked at closely."""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_of(authority: str) -> str | None:
    """Return the host of "host", "host:port" or "[v6]:port", in lower case and without a last dot; None for no host.

    An address comes out in its shortest form, an IPv4 address within IPv6 as IPv4.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[\w.:%-]+)\]|(?P<name>[\w.-]+))(?::[0-9]{0,5})?", authority, re.ASCII)
    if not match:
        return None
    try:
        address = ipaddress.ip_address(match["v6"] or match["name"])
    except ValueError:
        return None if match["v6"] else match["name"].lower().removesuffix(".") or None
    return str((address.version == 6 and address.ipv4_mapped) or address)


def parse_host(text: str) -> str:
    """Check a name or an address by which a browser may ask for the status page; "*" is any."""
    if text == "*":
        return text
    is_bare_v6 = text.count(":") > 1 and not text.startswith("[")
    host = host_of(f"[{text}]" if is_bare_v6 else text)
    has_port = not is_bare_v6 and re.search(r":[0-9]*$", text.rpartition("]")[2])
    if host is None or has_port:
        raise ValueError(f'expected a name or address without port, such as "syncd.example.com", found text {text!r}')
    return host


def parse_path(text: str) -> str:
    """Check the path below which a proxy shows the status page, and drop its last slash; "/" is none."""
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", text) or not text:
        raise ValueError(f'expected a path that begins with /, such as "/syncd", found text {text!r}')
    return text.rstrip("/")


def parse_base_url(text: str) -> str:
    """Check the address of an upstream and drop its last slash."""
    if _USUAL.fullmatch(text):  # there may be 50,000 of them
        return text.rstrip("/")
    parts, host = _split(text)
    if parts is None or parts.scheme not in {"https", "http"} or not host:
        raise ValueError('expected an address such as "https://api.example.com"')
    if "@" in text:
        raise ValueError("an address holds no user and password; give them as options of the source")
    if "?" in text or "#" in text:
        raise ValueError("an address holds neither a query (?) nor a fragment (#)")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http:// is allowed for loopback only, not for {host}; write https://{host}")
    return text.rstrip("/")


def normal_form(base_url: str) -> str:
    """Return the one spelling of an address that was checked: two addresses are the same if their normal forms are.

    The case of scheme and host, a default port, a slash at the end or twice in the path, percent signs that are not
    needed, the dot after a host and the long forms of an IPv6 address or of an umlaut make no other address.
    """
    if _NORMAL.fullmatch(base_url):
        return base_url
    from yarl import URL  # it costs a command 10 ms

    url = URL(base_url)
    if url.raw_host and url.raw_host.endswith("."):
        url = url.with_host(url.raw_host.rstrip("."))
    return str(url.with_path(re.sub("/{2,}", "/", url.raw_path), encoded=True)).rstrip("/")


def parse_listen(text: str) -> tuple[str, int]:
    """Read "host:port"; an IPv6 address stands in [ ]."""
    wrong = ValueError(f'expected "host:port" such as "127.0.0.1:8787", or "off", found text {text!r}')
    match = re.fullmatch(r"(?:\[(?P<v6>[\w.:%-]+)\]|(?P<host>[\w.%-]+)):(?P<port>[0-9]{1,5})", text, re.ASCII)
    if not match:
        raise wrong
    v6, host, port = match["v6"], match["host"], int(match["port"])
    try:
        if v6:
            ipaddress.IPv6Address(v6)
        elif re.fullmatch(r"[0-9.]+", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        raise wrong from None
    if port > 65_535:
        raise ValueError(f"a port is at most 65535, found {port}")
    return v6 or host, port


def parse_database_url(text: str) -> str:
    """Check the address of the database and write its scheme as postgresql."""
    if text == EMBEDDED:
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise ValueError('expected "embedded" or "postgresql://user@host/database"')
    parts = _split_database(text)
    if parts is None or parts.fragment or "@" in parts.path + parts.query:
        raise ValueError(
            "not a valid postgresql:// address; within a password, : / ? # @ and % are written %3A %2F %3F %23 %40 %25"
        )
    return f"postgresql://{rest}"


def without_password(database_url: str) -> str:
    """Return the address without password and parameters, fit for a message."""
    if database_url == EMBEDDED:
        return database_url
    parts = urlsplit(database_url)
    user = f"{parts.username}@" if parts.username else ""
    return f"postgresql://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


def password_of(database_url: str) -> str:
    """Return the password within the address, decoded, or nothing."""
    parts = urlsplit(database_url)
    return unquote(parts.password or "") or parse_qs(parts.query).get("password", [""])[0]


PART_CHARS = 10
"""A part of an address that is at least as long and holds a digit is taken for a token; our choice."""


def secret_parts(url: str) -> list[str]:
    """Return the parts of an address that are secrets by themselves: its password, and whatever looks like a token."""
    rest = url.partition("://")[2]
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    login, _, host = authority.rpartition("@")
    password = unquote(login.partition(":")[2] or login)
    words = re.split("[/?&=:,]", rest[len(authority) :]) + ([] if "." in host else host.split(":"))
    tokens = [unquote(word) for word in words if len(word) >= PART_CHARS and re.search("[0-9]", word)]
    return list(dict.fromkeys([*([password] if password else []), *tokens]))


def _split_database(text: str) -> SplitResult | None:
    """Split the address of a database, which may name several hosts: host1:5432,host2:5432."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    well_formed = not _ODD.search(text) and all(_split(f"{parts.scheme}://{host}")[0] for host in hosts)
    return parts if well_formed else None


def _split(text: str) -> tuple[SplitResult | None, str]:
    """Split an address; None where it is malformed (urlsplit's own words would repeat parts of it)."""
    if _ODD.search(text):
        return None, ""
    try:
        parts = urlsplit(text)
        return (None if parts.port == 0 else parts), parts.hostname or ""
    except ValueError:
        return None, ""

"""DNS rebinding: the status page answers to the names that were allowed, and to no others."""

import pytest

from syncd.config import Http
from syncd.service import web
from syncd.service.web import hosts
from tests.support.bench import Bench
from tests.support.site import Site, reader_of, serving
from tests.support.wire import exchange, status_of

PATHS = ("", "healthz", "readyz", "metrics", "api/status", "streams/shop/customers", "static/style.css", "nothing")
GOOD = (
    "localhost",
    "LOCALHOST:1",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1:99",
    "[::1]",
    "[::1]:80",
    "[::ffff:127.0.0.1]",
)
FOREIGN = (
    "evil.example", "evil.example:8787", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example",
    "evil.example@localhost", "192.168.1.5", "[fe80::1]", "", ":80", "localhost:80:80", "[::1", "xn--localhost-x",
)  # fmt: skip


async def named(site: Site, path: str, *hosts_: str, target: str | None = None) -> tuple[int | None, bytes]:
    lines = "".join(f"Host: {host}\r\n" for host in hosts_)
    request = f"GET {target or '/' + path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
    answer = await exchange(site.url, request.encode())
    return status_of(answer), answer


async def test_a_foreign_name_gets_nothing_but_a_sentence(bench: Bench) -> None:
    async with serving(reader_of(bench)) as site:
        for path in PATHS:
            status, answer = await named(site, path, "evil.example")
            assert status == 421, path
            head, _, text = answer.partition(b"\r\n\r\n")
            assert b'hosts = ["NAME"] in [http]' in text
            assert b"'evil.example'" in text
            for word in (b"Content-Security-Policy: default-src 'none'", b"no-store", b"nosniff"):
                assert word in head, path
        for host in FOREIGN:
            assert (await named(site, "healthz", host))[0] in (421, 400), host
        assert [(await named(site, "healthz", host))[0] for host in GOOD] == [200] * len(GOOD)


async def test_one_name_is_given_and_the_target_counts_too(bench: Bench) -> None:
    async with serving(reader_of(bench)) as site:
        assert (await named(site, "healthz"))[0] == 400
        assert (await named(site, "healthz", "localhost", "evil.example"))[0] == 400
        assert (await named(site, "", "localhost", target="http://evil.example/healthz"))[0] == 421
        assert (await named(site, "", "localhost", target="http://localhost/healthz"))[0] == 200
        simple = await exchange(site.url, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert status_of(simple) == 200  # a check of health by a balancer; no browser asks so


@pytest.mark.parametrize(
    ("listen", "given", "good", "bad"),
    [
        ("127.0.0.1", ("sync.example.com",), ("SYNC.example.com:443", "localhost"), ("x.sync.example.com", "box")),
        ("127.0.0.1", ("*",), ("anything.example", "10.0.0.1"), ()),
        ("192.0.2.7", (), ("192.0.2.7:8787", "box.lan", "box", "localhost"), ("192.0.2.8", "other.lan")),
        ("0.0.0.0", (), ("192.0.2.7", "[2001:db8::1]:80", "box.lan"), ("evil.example", "10.0.0.1.evil.example")),  # noqa: S104
        ("::", (), ("192.0.2.7", "[2001:db8::1]:80", "box"), ("evil.example",)),
        ("mirror.lan", (), ("mirror.lan:80", "box"), ("evil.example", "192.0.2.7")),
        ("::1", ("fd00::5",), ("[fd00::5]:80", "[::1]"), ("[fd00::6]",)),
    ],
)
def test_what_is_allowed_follows_from_where_it_listens(
    listen: str, given: tuple[str, ...], good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    allowed = hosts.of(Http(host=listen, hosts=given), "Box.lan")
    assert [name for name in good if not allowed.allows(name)] == []
    assert [name for name in bad if allowed.allows(name)] == []


async def test_a_name_of_the_configuration_is_answered(bench: Bench) -> None:
    http = Http(host="127.0.0.1", port=0, hosts=("sync.example.com",))
    async with web.serving(reader_of(bench), http) as url:
        assert url is not None
        asked = b"GET /healthz HTTP/1.1\r\nHost: sync.example.com\r\nConnection: close\r\n\r\n"
        assert status_of(await exchange(url, asked)) == 200

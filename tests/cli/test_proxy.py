"""Requests that leave through a proxy: only where the configuration says so, and never with a secret in the open."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from syncd.sandbox import CREDENTIALS
from tests.support import forks
from tests.support.bench import Bench
from tests.support.command import Ended, syncd
from tests.support.detour import SELF_SIGNED, proxying, tls_front
from tests.support.ports import free_port
from tests.support.search import sampled, trial

PASSWORD = "pa:ss/w@rd+1"  # in an address: pa%3Ass%2Fw%40rd+1
LOGIN = "alice:pa%3Ass%2Fw%40rd+1"
TRUSTED = {"SSL_CERT_FILE": str(SELF_SIGNED)}
FORMS = (PASSWORD, "pa%3Ass", "YWxpY2U6cGE6c3Mvd0ByZCsx")


@pytest.fixture(scope="module")
def trusting() -> Iterator[None]:
    """Fork also the commands of this module that trust the certificate: that is read at the start."""
    with forks.keeping(TRUSTED):
        yield


def configured(bench: Bench, base_url: str, proxy: str = "", general: str = "") -> Path:
    """Write a configuration whose only source is Cyclis at that address."""
    path = bench.folder / "proxied.toml"
    path.touch(mode=0o600)
    lines = [f'[database]\nurl = "{bench.db_url}"\n[http]\nlisten = "127.0.0.1:0"', general]
    lines += [f'[sources.lease]\ntype = "cyclis"\nbase_url = "{base_url}"\napi_token = {{ env = "TOKEN" }}', proxy]
    path.write_text("\n".join(lines))
    return path


async def check(path: Path, env: Mapping[str, str] | None = None) -> Ended:
    ended = await syncd(
        "check", "--config", path, env={"TOKEN": str(CREDENTIALS["cyclis"]["api_token"]), **(env or {})}
    )
    assert not [form for form in FORMS if form in ended.out + ended.err], ended
    assert "Traceback" not in ended.err
    return ended


def plain(bench: Bench) -> str:
    return bench.address.base_url("cyclis")


@trial
@pytest.mark.usefixtures("trusting")
async def test_a_tunnel_with_tls_from_end_to_end(bench: Bench) -> None:
    async with proxying(login=f"alice:{PASSWORD}") as proxy, tls_front(plain(bench)) as base_url:
        path = configured(bench, base_url, 'proxy = { env = "PROXY" }')
        url = proxy.address.replace("://", f"://{LOGIN}@")
        ended = await check(path, {"PROXY": url, **TRUSTED})
        assert ended.code == 0, ended
        assert f"through the proxy {proxy.address} (sources.lease.proxy)" in ended.out.replace("\n", " ")
        host = base_url.removeprefix("https://").partition("/")[0]
        assert proxy.lines == [f"CONNECT {host} HTTP/1.1"]
        assert "api-token" not in proxy.heads[0].lower()  # what signs a request is for the server only
        untrusted = await check(path, {"PROXY": url})
    assert untrusted.code == 1
    told = untrusted.out.replace("\n", " ")
    assert "the server's certificate is not trusted (self-signed certificate), through the proxy http" in told


@pytest.mark.usefixtures("trusting")
async def test_a_proxy_that_speaks_tls_itself(bench: Bench) -> None:
    async with proxying(tls=True) as proxy, tls_front(plain(bench)) as base_url:
        path = configured(bench, base_url, f'proxy = "{proxy.address}"')
        assert (await check(path, TRUSTED)).code == 0
        assert len(proxy.lines) == 1
        untrusted = await check(path)
        assert (
            f"the proxy {proxy.address} (sources.lease.proxy) shows a certificate that is not trusted" in untrusted.out
        )
    async with proxying() as proxy, tls_front(plain(bench)) as base_url:
        wrong = proxy.address.replace("http:", "https:")
        ended = await check(configured(bench, base_url, f'proxy = "{wrong}"'))
        assert f"the proxy {wrong} (sources.lease.proxy) speaks no TLS" in ended.out


async def test_the_general_proxy_and_a_source_that_has_none(bench: Bench) -> None:
    async with proxying() as proxy:
        general = f'proxy = "{proxy.address}"'
        ended = await check(configured(bench, plain(bench), general=general))
        assert (ended.code, len(proxy.lines)) == (0, 1)
        assert proxy.lines[0].startswith(f"GET {plain(bench)}/")
        assert "(http.proxy)" in ended.out
        ended = await check(configured(bench, plain(bench), 'proxy = "off"', general))
        assert (ended.code, len(proxy.lines)) == (0, 1)
        assert "through the proxy" not in ended.out


@pytest.mark.parametrize("name", sampled(["http_proxy", "HTTP_PROXY", "ALL_PROXY"], every=3))
async def test_the_environment_counts_only_where_it_is_named(bench: Bench, name: str) -> None:
    async with proxying() as proxy:
        env = {name: proxy.address, "HTTPS_PROXY": "http://127.0.0.1:9"}
        assert (await check(configured(bench, plain(bench)), env)).code == 0
        assert proxy.lines == []
        named = configured(bench, plain(bench), 'proxy = "environment"')
        ended = await check(named, env)
        assert (ended.code, len(proxy.lines)) == (0, 1)
        assert f"through the proxy {proxy.address} ({name})" in ended.out.replace("\n", " ")
        assert (await check(named, {**env, "NO_PROXY": "example.com, 127.0.0.0/8"})).code == 0
        assert len(proxy.lines) == 1


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(("tls", "given", "said"), [
    (True, False, "answered 407: it wants a user and a password"),
    (True, True, "answered 407: it refuses the user and password that were given"),
    (False, False, "answered 407 in the name of a proxy: it wants a user and a password"),
])  # fmt: skip
async def test_a_proxy_that_refuses(bench: Bench, said: str, *, tls: bool, given: bool) -> None:
    async with proxying(login="bob:other") as proxy, tls_front(plain(bench)) as front:
        url = proxy.address.replace("://", f"://{LOGIN}@") if given else proxy.address
        ended = await check(configured(bench, front if tls else plain(bench), f'proxy = "{url}"'), TRUSTED)
        assert (ended.code, len(proxy.lines)) == (1, 1)  # asking again would change nothing
    assert said in ended.out
    assert "proxy = { env = " in ended.out


@pytest.mark.usefixtures("trusting")
async def test_a_proxy_that_lets_nobody_through_and_one_that_is_not_there(bench: Bench) -> None:
    async with tls_front(plain(bench)) as front:
        async with proxying(refuses=403) as proxy:
            ended = await check(configured(bench, front, f'proxy = "{proxy.address}"'), TRUSTED)
            assert f"the proxy {proxy.address} (sources.lease.proxy) answered 403 and opened no connection" in ended.out
        nobody = f"http://127.0.0.1:{free_port()}"
        ended = await check(configured(bench, front, f'proxy = "{nobody}"'), TRUSTED)
        assert f"the proxy {nobody} (sources.lease.proxy) cannot be reached (Connect" in ended.out
        ended = await check(configured(bench, front, 'proxy = "http://no-such-proxy.invalid:3128"'), TRUSTED)
        assert "the proxy http://no-such-proxy.invalid:3128 (sources.lease.proxy) cannot be reached (" in ended.out


async def test_an_address_that_is_no_proxy_is_refused_in_words(bench: Bench) -> None:
    wrong = configured(bench, plain(bench), f'proxy = "socks5://{LOGIN}@127.0.0.1:1080"')
    ended = await check(wrong)
    assert (ended.code, "sources.lease.proxy: syncd does not speak to socks5 proxies" in ended.err) == (2, True)
    ended = await check(
        configured(bench, plain(bench), general='proxy = "environment"'), {"ALL_PROXY": f"socks5h://{LOGIN}@h"}
    )
    assert (ended.code, "the environment variable ALL_PROXY: syncd does not speak to socks5h" in ended.err) == (2, True)
    missing = await check(configured(bench, plain(bench), general='proxy = { env = "NO_SUCH_PROXY" }'))
    assert (missing.code, "http.proxy: the environment variable NO_SUCH_PROXY is not set" in missing.out) == (2, True)


async def test_a_server_that_cannot_be_reached_hints_at_proxies(bench: Bench) -> None:
    path = configured(bench, f"https://127.0.0.1:{free_port()}")
    assert "set proxy in [http] or of the source" in (await check(path)).out
    hinted = await check(path, {"https_proxy": f"http://{LOGIN}@proxy.example:3128"})
    assert 'https_proxy is set, but syncd uses it only with proxy = "environment"' in hinted.out


async def test_a_run_goes_through_the_proxy_and_the_log_keeps_its_secret(bench: Bench) -> None:
    async with proxying(login=f"alice:{PASSWORD}") as proxy:
        url = proxy.address.replace("://", f"://{LOGIN}@")
        path = configured(bench, plain(bench), f'proxy = "{url}"')
        ended = await syncd("sync", "lease.companies", "--config", path,
                            env={"TOKEN": str(CREDENTIALS["cyclis"]["api_token"])})  # fmt: skip
        assert ended.code == 0, ended
        assert proxy.lines
        assert len(await bench.rows("cyclis.companies")) == len(bench.sandbox.truth("cyclis", "companies"))
    kept = repr(await bench.fetch("SELECT to_jsonb(r) FROM syncd.runs r"))
    assert not [form for form in FORMS if form in ended.out + ended.err + kept]

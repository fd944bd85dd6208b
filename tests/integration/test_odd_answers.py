"""Answers that are odd: sessions that no request can carry, pages of firewalls, odd statuses, and unsound HTTP."""

from itertools import product

import pytest

from syncd.engine.order import Result
from syncd.upstream.encodings import ACCEPTED
from syncd.upstream.request import TRIES
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Events
from tests.support.search import sampled, trial
from tests.support.truth import NAMES, differences

ODD_SIGNS = ["\x01", "\r\nX-Injected: 1", "\x00", "\x7f", "\x85", "€", "x" * 20_000]
SESSIONS = ["cars.vehicles", "parts.orders"]
LISTS = ["shop.stores", "lease.dealers", "cars.makes", "parts.account"]


def asked(bench: Bench, selector: str) -> int:
    """Return how many requests for a stream have reached the sandbox."""
    source, _, stream = selector.partition(".")
    return sum(entry.api == NAMES[source] and entry.stream == stream for entry in bench.sandbox.requests)


def strike(bench: Bench, name: str, selector: str, **more: object) -> None:
    source, _, stream = selector.partition(".")
    target = str(more.pop("target", stream))
    bench.sandbox.faults.add(name, api=NAMES[source], stream=target, **more)  # type: ignore[arg-type]


async def heals(bench: Bench, selector: str) -> None:
    """Require that without the fault the next run is ok and the mirror whole."""
    bench.sandbox.faults.clear()
    bench.time.pass_by(hours=2)
    assert (await bench.sync(selector)).outcome == "ok"
    assert await differences(bench, selector) == []


# --- What a vendor gives to send back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ODD_SIGNS, ids=ascii)
@pytest.mark.parametrize("selector", SESSIONS)
async def test_an_odd_session_costs_a_login_and_not_the_run(make_bench: MakeBench, selector: str, sign: str) -> None:
    bench = await make_bench(vehicles=20, orders=20)
    strike(bench, "odd-session", selector, target="auth", times=1, sign=sign)
    result = await bench.sync(selector)
    assert result.outcome == "ok", result.error
    assert bench.sandbox.faults.hits("odd-session") == 1
    assert await differences(bench, selector) == []


@pytest.mark.parametrize("selector", SESSIONS)
async def test_odd_sessions_for_good_fail_in_words_and_end_with_their_cause(
    make_bench: MakeBench, selector: str
) -> None:
    bench = await make_bench(vehicles=20, orders=20)
    strike(bench, "odd-session", selector, target="auth")
    for _ in range(3):
        result = await bench.sync(selector)
        assert (result.outcome, type(result.error).__name__) == ("failed", "BadPayload")
        assert "cannot be sent back" in str(result.error)
        assert "U+0001" in str(result.error)
    await heals(bench, selector)


@pytest.mark.parametrize(
    ("sign", "told"), [("\x01", "a control character (U+0001)"), ("\udce9", "a character outside Latin-1 (U+DCE9)")]
)
async def test_odd_cookies_are_dropped_and_told_once(
    make_bench: MakeBench, events: Events, sign: str, told: str
) -> None:
    bench = await make_bench(orders=20)
    strike(bench, "odd-cookie", "parts.orders", sign=sign)
    for _ in range(3):
        assert (await bench.sync("parts.orders")).outcome == "ok"
    assert [event["reason"] for event in events if event["event"] == "session_dropped"] == [
        f"the header Cookie would hold {told}"
    ]
    await heals(bench, "parts.orders")


@pytest.mark.parametrize("sign", ["\x01", "\r\nHost: other", " ", "é", "x" * 10_000], ids=ascii)
async def test_no_next_link_breaks_a_request(make_bench: MakeBench, sign: str) -> None:
    bench = await make_bench(cyclis_orders=20)
    strike(bench, "odd-link", "lease.orders", sign=sign)
    result = await bench.sync("lease.orders")
    assert (result.outcome, type(result.error).__name__) in (("failed", "BadPayload"), ("failed", "NotFound"))
    assert {entry.path.partition("/orders")[0] for entry in bench.sandbox.requests if entry.stream == ""} <= {"/cyclis"}
    await heals(bench, "lease.orders")


# --- Pages of firewalls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "form"),
    sampled(product(LISTS, ["challenge", "nginx", "akamai", "portal", "text", "empty"]), every=5),
)
async def test_a_firewalls_403_is_an_outage_and_pauses_nothing(
    bench: Bench, events: Events, selector: str, form: str
) -> None:
    strike(bench, "firewall-page", selector, form=form)
    for _ in range(2):
        result = await bench.sync(selector)
        assert (result.outcome, type(result.error).__name__) == ("failed", "Unreachable")
        assert "not the API's own answer" in str(result.error)
    told = [event["event"] for event in events]
    assert told.count("source_failing") == 1
    assert "stream_paused" not in told
    await heals(bench, selector)
    assert [event["event"] for event in events].count("source_recovered") == 1


@pytest.mark.parametrize("selector", LISTS)
async def test_a_vendors_own_403_pauses_the_stream(bench: Bench, events: Events, selector: str) -> None:
    strike(bench, "scope-revoked", selector)
    assert type((await bench.sync(selector)).error).__name__ == "ScopeMissing"
    assert "stream_paused" in [event["event"] for event in events]


@pytest.mark.parametrize("status", [pytest.param(400, marks=trial), 404, pytest.param(410, marks=trial)])
@pytest.mark.parametrize("selector", ["cars.contacts", "parts.products", "shop.leads"])
async def test_a_firewalls_404_buries_nothing(bench: Bench, selector: str, status: int) -> None:
    assert (await bench.sync(selector)).outcome == "ok"
    strike(bench, "firewall-page", selector, form="nginx", status=status)
    result = await bench.sync(selector)
    assert (result.outcome, result.counts.deleted) == ("failed", 0)
    await heals(bench, selector)


# --- Statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (206, "a part of what was asked for"), (226, "a difference to an earlier answer"),
        (300, "a choice of several addresses"), (304, "nothing changed since an earlier answer"),
        (305, "a proxy must be used"), (399, "a status that no API documents"),
        (301, "a redirect to"), (308, "a redirect to"),
    ],
)  # fmt: skip
async def test_an_odd_status_is_called_what_it_is(bench: Bench, status: int, told: str) -> None:
    strike(bench, "odd-status", "lease.dealers", status=status)
    result = await bench.sync("lease.dealers")
    assert f"answered {status}, " in str(result.error)
    assert told in str(result.error)
    assert ("redirect" in str(result.error)) == (status in (301, 308))
    assert asked(bench, "lease.dealers") == 1
    await heals(bench, "lease.dealers")


REDIRECTS = {
    b"": "nowhere: it bears no address",
    b"Location: /cyclis/dealers?again\r\n": "the same host",
    b"Location: http://elsewhere.example:81/?key=k\r\n": "elsewhere.example",
    b"Location: //elsewhere.example\r\n": "elsewhere.example",
    b"Location: http://[::1\r\n": "what is no address",
    b"Location: javascript:alert(1)\r\n": "what is no web address",
}


async def test_a_redirect_is_told_with_its_host_and_asked_once(bench: Bench) -> None:
    for at, (line, told) in enumerate(REDIRECTS.items(), 1):
        raw = b"HTTP/1.1 302 Found\r\n" + line + b"Content-Length: 0\r\n\r\n"
        strike(bench, "unsound-http", "lease.dealers", raw=raw)
        result = await bench.sync("lease.dealers")
        assert str(result.error).endswith(f"answered 302, a redirect to {told}"), str(result.error)
        assert asked(bench, "lease.dealers") == at
        bench.sandbox.faults.clear()
    await heals(bench, "lease.dealers")


# --- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("date", [False, True])
async def test_retry_after_of_an_outage_is_waited_for(bench: Bench, status: int, date: bool) -> None:
    strike(bench, "retry-later", "lease.dealers", status=status, seconds=45, date=date, times=1)
    assert (await bench.sync("lease.dealers")).outcome == "ok"
    first, second = [entry.at for entry in bench.sandbox.requests]
    assert 45 <= (second - first).total_seconds() < 60


@pytest.mark.parametrize("seconds", [600, 31_536_000_000])
async def test_a_long_retry_after_ends_the_run_and_holds_the_next_ones(bench: Bench, seconds: int) -> None:
    strike(bench, "retry-later", "lease.dealers", seconds=seconds)
    assert type((await bench.sync("lease.dealers")).error).__name__ == "Unreachable"
    bench.time.pass_by(minutes=5)
    result = await bench.sync("lease.dealers")
    assert "asked to be left alone" in str(result.error)
    assert (asked(bench, "lease.dealers"), result.spent.requests) == (1, 0)
    assert (await bench.sync("lease.companies")).outcome == "ok"
    await heals(bench, "lease.dealers")


@pytest.mark.parametrize("garbage", ["soon", "", "-5", "1e9"])
async def test_a_retry_after_that_means_nothing_changes_nothing(bench: Bench, garbage: str) -> None:
    strike(bench, "retry-later", "lease.dealers", seconds=garbage)
    began_at = bench.time.at
    assert (await bench.sync("lease.dealers")).outcome == "failed"
    assert asked(bench, "lease.dealers") == TRIES
    assert (bench.time.at - began_at).total_seconds() < 30


# --- Unsound HTTP -----------------------------------------------------------------------------------------------------


BODY = b'{"data": []}'
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 12\r\n"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (OK + LENGTH + LENGTH + b"\r\n" + BODY, "Duplicate Content-Length"),
        (OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + BODY, "Content-Length"),
        (OK + b"Content-Length: -3\r\n\r\n" + BODY, "Invalid character in Content-Length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY, "chunk size"),
        (OK + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n" + BODY, "Got more than 65536 bytes"),
        (OK + b"".join(b"X-%d: a\r\n" % n for n in range(500)) + LENGTH + b"\r\n" + BODY, "Too many headers"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "Bad status line"),
        (OK + LENGTH + b"Content-Encoding: shrink\r\n\r\n" + b"\x99" * 12, f"although only {ACCEPTED} was accepted"),
    ],
)
async def test_what_cannot_change_is_told_and_asked_once(bench: Bench, raw: bytes, told: str) -> None:
    strike(bench, "unsound-http", "lease.dealers", raw=raw)
    result = await bench.sync("lease.dealers")
    assert told in str(result.error)
    assert "aaaa" not in str(result.error)
    assert (asked(bench, "lease.dealers"), result.spent.requests) == (1, 1)
    await heals(bench, "lease.dealers")


@pytest.mark.parametrize("line", [b"Content-Encoding: utf-8", b"Content-Encoding: none", b"X-A: " + b"a" * 20_000])
async def test_what_can_be_read_is_read(bench: Bench, line: bytes) -> None:
    strike(bench, "unsound-http", "lease.dealers", raw=OK + LENGTH + line + b"\r\n\r\n" + BODY)
    assert (await bench.sync("lease.dealers")).outcome == "ok"


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
SOUND = {
    "trailers": CHUNKED + b"Trailer: X-Sum\r\n\r\nc\r\n" + BODY + b"\r\n0\r\nX-Sum: 1\r\n\r\n",
    "chunks of a byte with extensions": CHUNKED
    + b"\r\n"
    + b"".join(b"1;name=value\r\n%c\r\n" % sign for sign in BODY)
    + b"0\r\n\r\n",
    "HTTP/1.0 until the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "100, 102 and 103 before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + LENGTH + b"\r\n" + BODY,
    "closed afterwards without a word": OK + LENGTH + b"\r\n" + BODY,
    "headers twice": OK + LENGTH + b"Date: x\r\nDate: y\r\nServer: a\r\nServer: b\r\n\r\n" + BODY,
}
"""Answers that HTTP allows, though few servers give them."""


async def test_what_http_allows_is_read(bench: Bench) -> None:
    for kind, raw in SOUND.items():
        for _ in range(2):  # the second one may meet a connection that is closed
            strike(bench, "unsound-http", "lease.dealers", raw=raw)
            result = await bench.sync("lease.dealers")
            assert (result.outcome, result.spent.requests) == ("ok", 1), (kind, result.error)
            bench.sandbox.faults.clear()
    await heals(bench, "lease.dealers")


async def _run_encoded(bench: Bench, encoding: str) -> Result:
    strike(bench, "encoded-body", "cars.makes", encoding=encoding)
    return await bench.sync("cars.makes")


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_br_and_zstd_are_read(bench: Bench, encoding: str) -> None:
    assert encoding in ACCEPTED
    assert (await _run_encoded(bench, encoding)).counts.inserted > 0
    assert await differences(bench, "cars.makes") == []

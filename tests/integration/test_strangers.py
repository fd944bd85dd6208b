"""Strangers at our own listeners: crowds that say nothing, drips, and what is no HTTP."""

import asyncio
import contextlib
import logging
import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from syncd.service.listeners import listener
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock
from tests.support.daemon import Events, Process, spawned, until, write
from tests.support.ports import free_port
from tests.support.search import trial
from tests.support.site import reader_of, serving
from tests.support.wire import exchange, status_of

SECRET = "wJalrXUtnFEMI"  # stands in every request, and never in the log
HOST = "Host: localhost\r\n"

# what is sent, and the statuses that are fit; None: the connection is just closed
ODD: dict[str, tuple[bytes, set[int | None]]] = {
    "http 1.0": (b"GET /S HTTP/1.0\r\n\r\n", {404}),
    "http 0.9": (b"GET /S\r\n\r\n", {400}),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nS", {400, 404, 405}),
    "http 9.9": (b"GET /S HTTP/9.9\r\nH\r\n", {400}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03S" + b"S" * 20 + b"\r\n\r\n", {400}),
    "head": (b"HEAD /S HTTP/1.1\r\nH\r\n", {404}),
    "options": (b"OPTIONS * HTTP/1.1\r\nHX: S\r\n\r\n", {400, 404, 405}),
    "trace": (b"TRACE /S HTTP/1.1\r\nH\r\n", {404, 405}),
    "connect": (b"CONNECT S.example:443 HTTP/1.1\r\nH\r\n", {400, 404, 405, 421}),
    "unknown method": (b"S / HTTP/1.1\r\nH\r\n", {400, 404, 405}),
    "absolute form": (b"GET http://localhost/S HTTP/1.1\r\nH\r\n", {404}),
    "absolute, bad port": (b"GET http://localhost:S/ HTTP/1.1\r\nH\r\n", {400}),
    "long line": (b"GET /S" + b"x" * 20_000 + b" HTTP/1.1\r\nH\r\n", {400, 414}),
    "long header": (b"GET /S HTTP/1.1\r\nHX: S" + b"x" * 20_000 + b"\r\n\r\n", {400, 431}),
    "many headers": (b"GET /S HTTP/1.1\r\nH" + b"X: S\r\n" * 3_000 + b"\r\n", {400, 431}),
    "no colon": (b"GET /S HTTP/1.1\r\nHS\r\n\r\n", {400}),
    "space before colon": (b"GET /S HTTP/1.1\r\nHX : S\r\n\r\n", {400}),
    "folded": (b"GET /S HTTP/1.1\r\nHX: a\r\n S\r\n\r\n", {400, 404}),
    "control in header": (b"GET /S HTTP/1.1\r\nHX: \x00S\r\n\r\n", {400}),
    "bytes in target": (b"GET /S\xff\xfe HTTP/1.1\r\nH\r\n", {400, 404}),
    "both lengths": (b"POST /S HTTP/1.1\r\nHContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "two lengths": (b"POST /S HTTP/1.1\r\nHContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", {400}),
    "negative length": (b"POST /S HTTP/1.1\r\nHContent-Length: -1\r\n\r\n", {400}),
    "endless length": (b"POST /S HTTP/1.1\r\nHContent-Length: " + b"9" * 40 + b"\r\n\r\n", {400, 404, 405, 413}),
    "bad chunk": (b"POST /S HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\nzz\r\nS\r\n", {400, 404, 405}),
    "odd coding": (b"POST /S HTTP/1.1\r\nHTransfer-Encoding: S\r\n\r\n", {400, 404, 405}),
    "upgrade": (b"GET /S HTTP/1.1\r\nHUpgrade: websocket\r\nSec-WebSocket-Key: S\r\n\r\n", {404}),
    "upgrade and more": (b"GET /S HTTP/1.1\r\nHUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n\x00S", {404}),
    "expectation": (b"POST /S HTTP/1.1\r\nHExpect: S\r\n\r\n", {404, 405, 417}),
    "pipelined": (b"GET /S HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50 + b"GET /S HTTP/1.1\r\nHX S\r\n\r\n", {404}),
}


def spelt(name: str) -> bytes:
    """Return what is sent: S stands for the secret where no word holds it, H for the headers of every request."""
    sent = re.sub(rb"\bS(?=x|\b)|(?<=\x03)S+|(?<=\x00)S|(?<=\nH)S", SECRET.encode(), ODD[name][0])
    return re.sub(rb"(?<=\n)H(?!ost)", f"{HOST}Connection: close\r\n".encode(), sent)


@contextlib.asynccontextmanager
async def daemon(bench: Bench, every: str = "1h") -> AsyncIterator[tuple[Process, str, str]]:
    """Let a daemon live that listens for callbacks too; yield it and the addresses of both listeners."""
    page, callbacks = free_port(), free_port()
    schedule = f'every = "{every}"'
    path = write(
        bench, {"shop.customers": schedule, "shop.leads": schedule, "lease.orders": schedule},
        listen=f"127.0.0.1:{page}",
    )  # fmt: skip
    text = path.read_text().replace("[http]\n", f'[http]\ncallback_listen = "127.0.0.1:{callbacks}"\n')
    path.write_text(text.replace('type = "cyclis"\n', 'type = "cyclis"\ncallbacks = true\n'))
    async with spawned(path) as process:

        async def listens() -> bool:
            return bool(process.events("daemon_started"))

        await until(listens, 40)
        yield process, f"http://127.0.0.1:{page}/", f"http://127.0.0.1:{callbacks}/"


@pytest.fixture
async def lively(make_bench: MakeBench) -> Bench:
    return await make_bench(time=WallClock(), customers=10)


def descriptors_of(process: Process) -> int:
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


def is_quiet(log: Path) -> None:
    text = log.read_text()
    assert "daemon_started" in text
    assert "Traceback" not in text
    assert SECRET not in text
    assert "internal" not in text


async def test_odd_requests_are_refused_in_silence(lively: Bench) -> None:
    async with daemon(lively) as (process, page, callbacks):
        wrong = {}
        for url in (page, callbacks):
            for name, (_, fit) in ODD.items():
                status = status_of(await exchange(url, spelt(name)))
                if status not in fit | {None}:
                    wrong[url, name] = status
        async with aiohttp.ClientSession() as http, http.get(f"{page}healthz") as answer:
            assert answer.status == 200
        told = process.events("request_malformed")
        log = process.log
        (started,) = process.events("daemon_started")
    assert wrong == {}
    assert {line["listener"] for line in told} == {"http.listen", "http.callback_listen"}
    assert len(told) == 2  # one line a minute for each, whatever comes
    assert started["url"] == page
    is_quiet(log)


async def test_what_is_no_request_is_answered_with_the_headers_of_the_page_and_none_of_its_bytes(bench: Bench) -> None:
    async with serving(reader_of(bench)) as site:
        assert b"Content-Security-Policy" in await exchange(site.url, spelt("expectation"))
        for name in ("no colon", "both lengths", "absolute, bad port", "long line"):
            answer = await exchange(site.url, spelt(name))
            assert b"Content-Security-Policy: default-src 'none'" in answer, name
            assert b"X-Content-Type-Options: nosniff" in answer, name
            assert b"Cache-Control: no-store" in answer, name
            assert SECRET.encode() not in answer, name
            assert b"aiohttp" not in answer, name


CROWD = 1_100
OPEN = Path("/proc/self/fd")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open as many files as a crowd needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CROWD * 3:
        pytest.skip(f"this process may open {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_a_crowd_that_says_nothing_leaves_room_for_health(bench: Bench, events: Events) -> None:
    async def told() -> bool:
        return any(event["event"] == "listener_full" for event in events)

    async with serving(reader_of(bench)) as site:
        crowd = [await asyncio.open_connection("127.0.0.1", port_of(site.url)) for _ in range(CROWD)]
        assert (await site.get("healthz"))[0] == 200
        await until(told)
        for _, writer in crowd:
            writer.transport.abort()
    assert len([event for event in events if event["event"] == "listener_full"]) == 1


@trial
@pytest.mark.usefixtures("many_descriptors")
async def test_a_crowd_that_says_nothing_stops_neither_runs_nor_health(lively: Bench) -> None:
    async with daemon(lively, "1s") as (process, page, callbacks):

        async def runs(seconds: float) -> int:
            before = len(process.events("run_finished"))
            await asyncio.sleep(seconds)  # what is measured is a rate
            return len(process.events("run_finished")) - before

        alone = await runs(8)
        for url in (page, callbacks):
            crowd = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(CROWD)]
            began_at = time.monotonic()
            async with aiohttp.ClientSession() as http, http.get(f"{page}healthz") as answer:
                assert answer.status == 200
            took_s = time.monotonic() - began_at
            beside = await runs(8)
            ends = [reader.read() for reader, _ in crowd]
            async with asyncio.timeout(listener.HEADER_S + 5):
                await asyncio.gather(*ends, return_exceptions=True)
            for _, writer in crowd:
                writer.transport.abort()
            told = f"{url}: {alone} runs in 8 s alone, {beside} beside {CROWD}; healthz in {took_s:.3f} s"
            logging.getLogger("tests").warning(told)
            assert took_s < 1
            assert beside >= alone * 0.6 > 0  # as before; the machine of a test is noisy
        assert {line["listener"] for line in process.events("listener_full")} == {
            "http.listen",
            "http.callback_listen",
        }
        assert descriptors_of(process) < 200
        log = process.log
    is_quiet(log)


async def test_headers_that_drip_are_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEADER_S", 0.5)
    async with serving(reader_of(bench)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site.url))
        began_at = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)  # a drip
        assert 0.4 < time.monotonic() - began_at < 10
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_a_connection_that_rests_is_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REST_S", 0.5)
    async with serving(reader_of(bench)) as site:
        answer = await exchange(site.url, f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode())
        assert status_of(answer) == 200  # and exchange returned, so that it was closed
        twice = await exchange(site.url, f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode() * 2)
        assert twice.count(b"HTTP/1.1 200") == 2


async def test_an_answer_that_is_not_taken_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REST_S", 0.5)
    async with serving(reader_of(bench)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site.url), limit=1)
        asked = f"GET /static/vendor/uplot/uPlot.iife.min.js HTTP/1.1\r\n{HOST}\r\n".encode()
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                writer.write(asked)
                await asyncio.wait_for(writer.drain(), 5)
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionError):
                while await reader.read(65_536):
                    pass
        writer.transport.abort()


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as filling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(one.name) for one in OPEN.iterdir()), hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    filling.enter_context(Path("/dev/null").open())
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_the_listener_waits_and_says_so_once(bench: Bench, events: Events) -> None:
    async def told() -> bool:
        return any(event["event"] == "connection_not_accepted" for event in events)

    async with serving(reader_of(bench)) as site:
        with socket.socket() as late:
            late.setblocking(False)
            with no_descriptors_left():
                await asyncio.get_running_loop().sock_connect(late, ("127.0.0.1", port_of(site.url)))
                await until(told)
                await asyncio.sleep(1)  # it fails again and again
            assert (await site.get("healthz"))[0] == 200
    lines = [event for event in events if event["event"] == "connection_not_accepted"]
    assert [(event["listener"], event["error"]) for event in lines] == [("http.listen", "Too many open files")]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].rstrip("/"))

"""Calls of those who mean no good, at a real daemon: they cost little, change nothing and are told nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.sandbox.apis.cyclis.callbacks import FLOOD, GARBAGE, body_of
from syncd.service.callbacks import registration, throttle
from syncd.service.callbacks.receiver import BODY_MAX_BYTES
from tests.support.bench import MakeBench
from tests.support.callback_line import JSON, Line, call_of, daemon_of, equal, more_runs, open_line
from tests.support.daemon import serving, until
from tests.support.search import trial
from tests.support.wire import exchange, status_of


@pytest.fixture
async def line(make_bench: MakeBench) -> Line:
    return await open_line(make_bench)


# --- Those who mean no good -------------------------------------------------------------------------------------------


async def test_hostile_calls_cost_nothing_and_change_nothing(line: Line) -> None:
    await line.register()
    company = line.bench.sandbox.truth("cyclis", "orders")[0]["relationships"]["company"]["data"]["id"]
    before = await _mirror(line)
    async with daemon_of(line):
        for kind in ("garbage", "huge", "form", "other", "stranger"):
            line.upstream.attack(kind)
        assert set(await line.answered("garbage", len(GARBAGE))) == {400}
        assert await line.answered("huge") in ([413], [0])  # 0: the connection was closed on the rest of it
        assert await line.answered("form") == [415]
        assert await line.answered("other") == [204]
        assert await line.answered("stranger") == [404]
        assert line.asked("/orders/{uuid}") == 0
        line.bench.sandbox.revoke_company(company)
        line.upstream.attack("unknown")
        assert await line.answered("unknown") == [204]
        await until(more_runs(line, "kind = 'callback'", 1))
        line.upstream.attack("foreign")
        await line.answered("foreign")
        await until(more_runs(line, "kind <> 'sweep'", 3))
    assert await _mirror(line) == before
    fetches = await line.runs("kind = 'callback'")
    assert fetches[0]["requests"] == 1
    assert {run["rows_deleted"] + run["rows_seen"] for run in fetches} == {0}


async def _mirror(line: Line) -> list[Any]:
    return await line.bench.fetch("SELECT * FROM cyclis.orders ORDER BY id")


async def test_a_flood_costs_a_poll_and_not_the_budget(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        line.upstream.attack("flood")
        statuses = await line.answered("flood", FLOOD)
        await until(more_runs(line, "kind = 'live'", 2))
    assert set(statuses) == {204, 429}
    assert line.asked("/orders/{uuid}") <= throttle.FETCHES_PER_MINUTE
    assert line.asked("/orders") == 1
    assert {run["outcome"] for run in await line.runs()} == {"ok"}


async def test_duplicates_and_replays_coalesce(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        key = line.change()
        line.upstream.attack("duplicate", times=10)
        line.upstream.attack("replay", times=10)
        await line.answered("duplicate", 20)
        await until(equal(line.state_of, key, "quote_called"))
        line.bench.sandbox.callbacks.is_muted = True
        other = line.change(7)
        line.upstream.send(*[call_of(other)] * 3)
        await until(equal(line.state_of, other, "quote_called"))
    assert line.asked("/orders/{uuid}") <= 4


async def test_only_the_registered_address_is_answered_and_the_rest_is_told_nothing(line: Line) -> None:
    url = await line.register()
    body = body_of(line.bench.sandbox.truth("cyclis", "orders")[0]["id"])
    wrong = [
        line.base + "/", line.base + "/metrics", line.base + "/callbacks/lease/", url[:-1], url + "/", url.upper(),
        url.replace("/lease/", "/other/"), url.replace("/callbacks/", "/callback/"), url + "%00",
        registration.address(line.base, "lease", registration.new_secret(), "path"),
    ]  # fmt: skip
    async with daemon_of(line), aiohttp.ClientSession() as http:
        assert (await http.post(url, data=body, headers=JSON)).status == 204
        for address in wrong:
            async with http.post(address, data=body, headers=JSON) as answer:
                assert (answer.status, await answer.read()) == (404, b""), address
        for method in ("GET", "PUT", "DELETE"):
            assert (await http.request(method, url, data=body, headers=JSON)).status == 405
            assert (await http.request(method, wrong[3], data=body, headers=JSON)).status == 404


@trial
async def test_a_body_that_drips_or_never_ends_is_not_waited_for(line: Line) -> None:
    url = await line.register()
    released = asyncio.Event()

    async def dripping() -> AsyncIterator[bytes]:
        yield b'{"data"'
        await released.wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1024

    async with daemon_of(line), aiohttp.ClientSession() as http:
        async with http.post(url, data=dripping(), headers=JSON) as answer:
            assert answer.status == 408
        released.set()
        with contextlib.suppress(aiohttp.ClientError):
            async with http.post(url, data=endless(), headers=JSON) as answer:
                assert answer.status == 413
        zipped = {**JSON, "Content-Encoding": "gzip"}
        assert (await http.post(url, data=b"x", headers=zipped)).status == 415
        padded = body_of("00000000-0000-4000-8000-000000000000").ljust(BODY_MAX_BYTES + 1)
        assert (await http.post(url, data=padded, headers=JSON)).status == 413
    assert line.asked("/orders/{uuid}") == 0


async def test_an_address_that_was_cleared_or_whose_source_is_off_is_none(line: Line) -> None:
    url = await line.register()
    off = line.write('callbacks = false\n[sources.other]\ntype = "cyclis"\nbase_url = "http://127.0.0.1:1"\n'
                     'api_token = "t"\ncallbacks = true\n[sources.other.streams.orders]\nenabled = false\n',
                     name="off.toml")  # fmt: skip
    text = off.read_text()
    head, _, other = text.partition("[sources.other]")
    other, marker, tail = other.partition("[sources.lease.streams")
    off.write_text(f"{head}{marker}{tail}\n[sources.other]{other}")
    async with daemon_of(line, off), aiohttp.ClientSession() as http:
        assert (await http.post(url, data=b"{}", headers=JSON)).status == 404
    assert (await line.command("clear", "lease")).code == 0
    async with daemon_of(line), aiohttp.ClientSession() as http:
        assert (await http.post(url, data=b"{}", headers=JSON)).status == 404


async def test_no_secret_stands_in_log_metrics_or_database(line: Line) -> None:
    url = await line.register()
    secret = registration.secret_of(url)
    async with daemon_of(line) as process, aiohttp.ClientSession() as http:
        line.change()
        for kind in ("garbage", "form", "stranger"):
            line.upstream.attack(kind)
        await line.answered("stranger")
        await until(more_runs(line, "kind = 'callback'", 1))
        page = process.events("daemon_started")[0]["url"]
        shown = ""
        for place in ("", "metrics", "api/status", "streams/lease/orders"):
            async with http.get(page + place) as answer:
                shown += await answer.text()
        assert (await http.post(f"{page}callbacks/lease/{secret}", data=b"{}", headers=JSON)).status == 404
        refused = process.events("callback_refused")
        log = process.log.read_text()
    assert [(event["reason"], event["count"]) for event in refused] == [("wrong form", 1), ("wrong content type", 1)]
    for sample in (
        'syncd_callbacks_total{source="lease",result="accepted"} 1\n',
        f'syncd_callbacks_total{{source="lease",result="refused: wrong form"}} {len(GARBAGE)}\n',
        'syncd_callbacks_total{source="",result="unknown address"} 1\n',
    ):
        assert sample in shown
    kept = "".join(map(repr, await line.bench.fetch("SELECT to_jsonb(c) FROM syncd.callbacks c")))
    assert registration.digest_of(secret).hex() in kept
    assert secret[:20] not in shown + log + kept


async def test_a_secret_can_stand_in_the_password_and_the_address_before_goes_on_to_work(line: Line) -> None:
    before = await line.register()
    extra = f'callbacks = true\ncallback_url = "{line.base}"\ncallback_secret_in = "password"'
    path = line.write(extra, name="password.toml")
    body = body_of(line.bench.sandbox.truth("cyclis", "orders")[3]["id"])
    async with daemon_of(line, path) as process, aiohttp.ClientSession() as http:
        assert (await http.post(before, data=body, headers=JSON)).status == 204
        ended = await line.command("register", "lease", path=path)
        assert (ended.code, f"registered http://***@127.0.0.1:{line.port}/callbacks/lease" in ended.out) == (0, True), (
            ended
        )
        url = str(line.upstream.url)
        secret = registration.secret_of(url)
        assert url == f"http://syncd:{secret}@127.0.0.1:{line.port}/callbacks/lease"
        plain = f"{line.base}/callbacks/lease"

        async def is_known() -> bool:
            """The daemon looks for addresses that were registered just now every two seconds."""
            return (await http.post(f"{plain}/{secret}", data=body, headers=JSON)).status == 204

        await until(is_known)
        key = line.change()
        await until(equal(line.state_of, key, "quote_called"))
        assert await line.answered("change") == [204]
        wrong = ("", "Basic", "Basic !", "Bearer x", "Basic c3luY2Q6", "Basic /w==", f"Basic {secret}")
        for header in wrong:
            given = {**JSON, "Authorization": header}
            assert (await http.post(plain, data=body, headers=given)).status == 404, header
        assert (await http.post(f"{plain}/{secret}", data=body, headers=JSON)).status == 204
        # the other form of an address that is registered is accepted too, so that a change of the option loses no call
        told = await line.command("status", "lease", path=path)
        log = process.log.read_text()
    assert told.code == 0
    assert (await line.command("register", "lease", path=path)).out.strip().endswith("nothing was changed")
    assert secret not in log + ended.out + ended.err + told.out + told.err
    assert registration.secret_of(before) not in log


async def test_malformed_calls_leave_no_secret_in_the_log(line: Line) -> None:
    secret = registration.secret_of(await line.register())
    sent = [
        f"POST /callbacks/lease/{secret} HTTP/1.1\r\nHost: x\r\nBad Header: {secret}\r\n\r\n",
        f"POST /callbacks/lease/{secret} HTTP/1.1\r\n{secret}\r\n\r\n",
        f"POST /callbacks/lease/{secret}{'x' * 9000} HTTP/1.1\r\n\r\n",
        f"POST /callbacks/lease/{secret} HTTP/1.1\r\nContent-Length: {secret}\r\n\r\n",
        f"/callbacks/lease/{secret}\r\n\r\n",
    ]
    async with daemon_of(line) as process:
        for request in sent:
            assert status_of(await exchange(line.base, request.encode())) == 400, request
        told = process.events("request_malformed")
        log = process.log.read_text()
    assert [(line_["listener"], line_["count"]) for line_ in told] == [("http.callback_listen", 1)]
    assert secret[:16] not in log
    assert "Traceback" not in log


# --- Any body whatsoever ----------------------------------------------------------------------------------------------


TYPES = st.sampled_from(["orderCallback", "companyCallback", "order", ""]) | st.text(max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


async def test_no_body_changes_the_mirror_except_by_what_the_upstream_says(line: Line) -> None:
    """Bodies of any kind, also ones that carry whole orders with other contents: afterwards the mirror is the truth."""
    url = await line.register()
    line.upstream.is_muted = True
    orders = line.bench.sandbox.truth("cyclis", "orders")
    keys = st.sampled_from([order["id"] for order in orders]) | st.uuids().map(str) | st.text(max_size=40)
    told = st.builds(
        lambda kind, key, beside: {"data": {"type": kind, "attributes": {**beside, "uuid": key}, **beside}, **beside},
        TYPES, keys, st.just({}) | st.just({"state": "stolen", "lease_cost": 0}) | st.just(orders[0]["attributes"]),
    )  # fmt: skip
    bodies = st.binary(max_size=64) | (told | JSON_VALUES).map(msgspec.json.encode)
    loop = asyncio.get_running_loop()

    async with serving(line.path), aiohttp.ClientSession() as http:

        async def send(body: bytes) -> int:
            async with http.post(url, data=body, headers=JSON) as answer:
                return answer.status

        real = {"data": {"type": "orderCallback", "attributes": {"uuid": orders[1]["id"], "state": "stolen"}}}
        accepted = int(await send(msgspec.json.encode(real)) == 204)  # one that does lead to a fetch

        @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(bodies)
        def attack(body: bytes) -> None:
            nonlocal accepted
            status = asyncio.run_coroutine_threadsafe(send(body), loop).result(20)
            assert status in (204, 400, 429), status
            accepted += status == 204

        await asyncio.to_thread(attack)
        await until(more_runs(line, "true", 2))
        await until(_true_async(lambda: line.runs("outcome = 'running'"), empty=True))
    assert accepted
    truth = {order["id"]: order["attributes"]["state"] for order in orders}
    assert {str(row["id"]): row["state"] for row in await line.bench.rows("cyclis.orders")} == truth
    ran = (await line.runs())[1:]
    assert {run["rows_inserted"] + run["rows_updated"] + run["rows_deleted"] for run in ran} == {0}


def _true_async(ask: Callable[[], Awaitable[Any]], *, empty: bool) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool(await ask()) != empty

    return check

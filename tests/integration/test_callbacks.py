"""Callbacks as they come: a real daemon, the sandbox that calls it, the command that registers; nothing sleeps."""

import asyncio
import contextlib
import json
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd import config as configuration
from syncd.clock import utc_now
from syncd.engine.schedule import History
from syncd.engine.syncer import Syncer
from syncd.errors import RunFenced
from syncd.sandbox import CREDENTIALS
from syncd.sandbox.apis.cyclis.callbacks import FLOOD, GARBAGE, body_of
from syncd.service.callbacks import registration, throttle
from syncd.service.callbacks.receiver import BODY_MAX_BYTES
from syncd.service.timetable import Timetable
from syncd.sources import registry, specs
from syncd.storage.state import runs
from syncd.storage.state.runs import Counts, PageRecord, Spent
from syncd.upstream.wire import http_session
from tests.support.bench import Bench, MakeBench
from tests.support.command import Ended, WallClock, syncd
from tests.support.daemon import Process, serving, spawned, until
from tests.support.ports import free_port
from tests.support.wire import exchange, status_of

ORDERS = 'every = "1h"\nsweep = "7d"'
ORDERS_PAIR = ("lease", "orders")
JSON = {"Content-Type": "application/json"}


class Line:
    """A bench whose only stream is the orders of Cyclis, read once, and the configuration of a daemon that listens."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.port = free_port()
        self.path = self.write()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def upstream(self) -> Any:
        return self.bench.sandbox.callbacks

    def write(self, extra: str = "", *, name: str = "lease.toml", orders: str = ORDERS) -> Path:
        lines = [
            f'[database]\nurl = "{self.bench.db_url}"',
            f'[http]\nlisten = "127.0.0.1:0"\ncallback_listen = "127.0.0.1:{self.port}"',
            f'[sources.lease]\ntype = "cyclis"\nbase_url = "{self.bench.address.base_url("cyclis")}"',
            *(f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS["cyclis"].items()),
            extra or f'callbacks = true\ncallback_url = "{self.base}"',
        ]
        for stream in registry()["cyclis"].names:
            lines += [f"[sources.lease.streams.{stream}]", orders if stream == "orders" else "enabled = false"]
        path = self.bench.folder / name
        path.touch(mode=0o600)
        path.write_text("\n".join(lines))
        return path

    async def command(self, *words: str, path: Path | None = None) -> Ended:
        return await syncd("callbacks", *words, "--config", path or self.path)

    async def register(self) -> str:
        """Register, and return the secret address."""
        ended = await self.command("register", "lease")
        assert ended.code == 0, ended.err
        return str(self.upstream.url)

    async def state_of(self, key: str) -> str | None:
        rows = await self.bench.rows("cyclis.orders", f"id = '{key}' AND _deleted_at IS NULL")
        return str(rows[0]["state"]) if rows else None

    async def runs(self, where: str = "true") -> list[dict[str, Any]]:
        rows = await self.bench.fetch(f"SELECT * FROM syncd.runs WHERE {where} ORDER BY run_id")
        return [dict(row) for row in rows]

    def change(self, place: int = 0, state: str = "quote_called") -> str:
        """Change an order upstream, which calls back, and return its id."""
        order = self.bench.sandbox.truth("cyclis", "orders")[place]
        order["attributes"]["state"] = state
        self.bench.sandbox.put("cyclis", "orders", order)
        return str(order["id"])

    async def answered(self, kind: str, count: int = 1) -> list[int]:
        """Wait until so many callbacks of a kind were answered; return the statuses."""

        async def statuses() -> list[int]:
            found = [call.status for call in self.upstream.sent if call.kind == kind]
            return found if len(found) >= count else []

        return list(await until(statuses))

    def asked(self, endpoint: str) -> int:
        """Return how often an endpoint of Cyclis was asked."""
        return sum(entry.endpoint == endpoint for entry in self.bench.sandbox.requests)


@pytest.fixture
async def line(make_bench: MakeBench) -> Line:
    bench = await make_bench(time=WallClock(), customers=10)
    await bench.sync("lease.orders")
    bench.sandbox.requests.clear()
    return Line(bench)


@contextlib.asynccontextmanager
async def daemon_of(line: Line, path: Path | None = None) -> AsyncIterator[Process]:
    """Let a daemon live in a process of its own, until it listens for callbacks."""
    async with spawned(path or line.path) as process:
        await until(_true(lambda: bool(process.events("callbacks_listening"))))
        yield process


def _true(check: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        return check()

    return answer


# --- A change arrives -------------------------------------------------------------------------------------------------


async def test_a_changed_order_is_there_without_a_poll_being_due(line: Line) -> None:
    cursor = await line.bench.fetch("SELECT * FROM syncd.cursors")
    await line.register()
    async with daemon_of(line) as process:
        key = line.change()
        await until(_equal(line.state_of, key, "quote_called"))
        told = await until(_true(lambda: process.events("run_finished")))
    assert [call.status for call in line.upstream.sent] == [204]
    assert [(run["kind"], run["outcome"], run["rows_updated"]) for run in await line.runs()][1:] == [
        ("callback", "ok", 1)
    ]
    assert [(line_["kind"], line_["seen"], line_["updated"]) for line_ in told] == [("callback", 1, 1)]
    assert await line.bench.fetch("SELECT * FROM syncd.cursors") == cursor
    assert (line.asked("/orders"), line.asked("/orders/{uuid}")) == (0, 1)


def _equal(ask: Callable[[str], Awaitable[Any]], key: str, wanted: Any) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool(await ask(key) == wanted)

    return check


async def test_a_new_order_arrives_too(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        order = line.bench.sandbox.world.fresh("cyclis", "orders")
        line.bench.sandbox.put("cyclis", "orders", order)
        await until(_equal(line.state_of, order["id"], order["attributes"]["state"]))


async def test_what_was_told_while_the_daemon_was_down_is_found_by_the_poll(line: Line) -> None:
    await line.register()
    key = line.change()
    assert await line.answered("change") == [0]
    async with daemon_of(line, line.write(name="often.toml", orders='every = "1s"')):
        await until(_equal(line.state_of, key, "quote_called"))
    assert {run["kind"] for run in await line.runs()} == {"live"}


async def test_the_status_tells_what_the_last_callback_led_to(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        line.change()
        await until(_true(lambda: line.asked("/orders/{uuid}")))

        async def led() -> Any:
            found = (await line.command("status", "lease", "--json")).json
            return found if found["run"] and found["run"]["outcome"] == "ok" else None

        told = await until(led)
        shown = await line.command("status", "lease")
    assert (told["heard"], told["ours"], told["run"]["kind"], told["run"]["rows_updated"]) == (
        "accepted", True, "callback", 1,
    )  # fmt: skip
    assert "run 2 (callback): ok; 0 inserted, 1 updated, 0 unchanged" in shown.out
    assert shown.code == 0


@contextlib.asynccontextmanager
async def planned(line: Line, history: History | None = None) -> AsyncIterator[tuple[Timetable, Callable[[], Any]]]:
    """Yield a timetable in this process, of which no poll is due, and what makes that of the orders fall due now."""
    settings = configuration.load(line.path, specs())
    async with http_session() as http:
        syncer = Syncer(settings, registry(), line.bench.db, http)
        histories = {ORDERS_PAIR: history or History(ok_at=utc_now())}
        timetable = Timetable(syncer, histories, on_outage=lambda error: pytest.fail(str(error)))
        try:
            timetable.plan()
            yield timetable, lambda: timetable.move(ORDERS_PAIR, utc_now())
        finally:
            await timetable.close(grace_s=5)


async def test_a_poll_that_falls_due_during_a_fetch_follows_it(line: Line) -> None:
    key = line.change()
    async with planned(line) as (timetable, poll):
        line.bench.sandbox.latency_s = 1.0
        assert timetable.hear(ORDERS_PAIR, (uuid.UUID(key),)) == "accepted"
        await until(_running(line, "callback"))
        poll()
        await until(_more_runs(line, "kind = 'callback'", 1))
        line.bench.sandbox.latency_s = 0.0
        await until(_more_runs(line, "kind = 'live'", 2))
    assert await line.state_of(key) == "quote_called"


async def test_a_fetch_waits_for_a_poll_that_is_under_way(line: Line) -> None:
    async with planned(line) as (timetable, poll):
        line.bench.sandbox.latency_s = 1.0
        poll()
        await until(_running(line, "live"))
        key = line.change()
        said = [timetable.hear(ORDERS_PAIR, (uuid.UUID(key),)) for _ in range(2)]
        await until(_more_runs(line, "kind = 'callback'", 1))
    assert said == ["accepted", "repeated"]
    _, poll_run, fetch = await line.runs()
    assert (poll_run["kind"], fetch["kind"], fetch["started_at"] >= poll_run["finished_at"]) == (
        "live",
        "callback",
        True,
    )


async def test_what_is_told_while_the_database_is_away_is_fetched_when_it_is_back(line: Line) -> None:
    key = line.change()
    async with planned(line) as (timetable, _poll):
        timetable.pause()
        assert timetable.hear(ORDERS_PAIR, (uuid.UUID(key),)) == "accepted"
        assert line.asked("/orders/{uuid}") == 0
        timetable.resume()
        await until(_equal(line.state_of, key, "quote_called"))
    assert [run["kind"] for run in await line.runs()] == ["live", "callback"]


async def test_a_stream_that_was_never_read_is_left_to_its_first_poll(line: Line) -> None:
    key = line.change()
    async with planned(line, History()) as (timetable, _poll):
        said = timetable.hear(ORDERS_PAIR, (uuid.UUID(key),))
    assert (said, line.asked("/orders/{uuid}")) == ("left to poll", 0)


def _running(line: Line, kind: str) -> Callable[[], Awaitable[Any]]:
    return lambda: line.runs(f"outcome = 'running' AND kind = '{kind}'")


def _more_runs(line: Line, where: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(await line.runs(f"{where} AND outcome = 'ok'")) >= count

    return check


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
        await until(_more_runs(line, "kind = 'callback'", 1))
        line.upstream.attack("foreign")
        await line.answered("foreign")
        await until(_more_runs(line, "kind <> 'sweep'", 3))
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
        await until(_more_runs(line, "kind = 'live'", 2))
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
        await until(_equal(line.state_of, key, "quote_called"))
        line.bench.sandbox.callbacks.is_muted = True
        other = line.change(7)
        line.upstream.send(*[_call(other)] * 3)
        await until(_equal(line.state_of, other, "quote_called"))
    assert line.asked("/orders/{uuid}") <= 4


def _call(key: str) -> Any:
    from syncd.sandbox.courier import Call

    return Call(kind="sent", body=body_of(key))


async def test_an_order_that_is_not_readable_yet_is_found_by_the_poll(line: Line) -> None:
    await line.register()
    order = line.bench.sandbox.world.fresh("cyclis", "orders")
    async with daemon_of(line, line.write(name="often.toml", orders='every = "2s"')):
        line.upstream.send(_call(order["id"]))
        await until(_more_runs(line, "kind = 'callback'", 1))
        assert await line.state_of(order["id"]) is None
        line.upstream.is_muted = True
        line.bench.sandbox.put("cyclis", "orders", order)
        await until(_equal(line.state_of, order["id"], order["attributes"]["state"]))


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


async def test_a_stream_that_fails_is_not_asked_for_callbacks(line: Line) -> None:
    await line.register()
    async with daemon_of(line) as process:
        line.bench.sandbox.faults.add("gateway-504", api="cyclis", stream="orders")
        line.change()
        await until(_true(lambda: process.events("callbacks_left_to_poll")))
        asked = line.asked("/orders/{uuid}")
        for place in range(1, 4):
            line.change(place)
        await line.answered("change", 4)
        assert line.asked("/orders/{uuid}") == asked
        assert len(process.events("callbacks_left_to_poll")) == 1
    assert [run["outcome"] for run in await line.runs("kind = 'callback'")] == ["failed"]


async def test_one_order_that_may_not_be_read_pauses_no_stream(line: Line) -> None:
    await line.register()
    async with daemon_of(line) as process:
        line.bench.sandbox.faults.add("scope-revoked", api="cyclis", stream="orders", times=1)
        line.change()
        await until(_more_runs(line, "kind = 'callback'", 1))
        key = line.change(5)
        await until(_equal(line.state_of, key, "quote_called"))
        assert process.events("stream_paused") == []


async def test_the_end_comes_in_time_with_callbacks_waiting(line: Line) -> None:
    await line.register()
    line.bench.sandbox.latency_s = 0.3
    async with daemon_of(line) as process:
        for place in range(4):
            line.change(place)
        await line.answered("change", 4)
        code, took_s = await process.end(signal.SIGTERM)
    assert (code, took_s < 10) == (0, True)
    assert {run["outcome"] for run in await line.runs()} <= {"ok", "aborted"}


async def test_a_stream_that_another_process_reads_is_asked_when_that_is_over(line: Line) -> None:
    await line.register()
    now = line.bench.time.now()
    async with daemon_of(line) as process:
        await runs.open_run(
            line.bench.db, "lease", "orders", kind="live", lane="live", cursor_kind="live", now=now
        )  # fmt: skip
        key = line.change()
        await until(_true(lambda: process.events("run_skipped")))
        assert line.asked("/orders/{uuid}") == 0
        await line.bench.db.unlock(runs.stream_lock("lease", "orders", "live"))
        await until(_equal(line.state_of, key, "quote_called"))
    dead = (await line.runs("outcome = 'aborted'"))[0]
    assert (dead["kind"], dead["error_kind"]) == ("live", "Killed")


async def test_a_run_of_callbacks_that_lost_its_lock_commits_nothing_more(line: Line) -> None:
    """The fence holds both ways: the next run of the stream declares it dead, whatever its kind."""
    db, now = line.bench.db, line.bench.time.now()
    for before, after in (("callback", "live"), ("sweep", "callback")):
        opened = []
        for kind in (before, after):
            run = await runs.open_run(
                db, "lease", "orders", kind=kind, lane="live", cursor_kind=kind, now=now
            )  # fmt: skip
            opened.append(run)
            await db.unlock(runs.stream_lock("lease", "orders", kind))
        with pytest.raises(RunFenced):
            async with db.transaction() as conn:
                await runs.record_page(conn, opened[0], PageRecord(counts=Counts(), spent=Spent(1, 0.0), at=now))


async def test_a_reload_switches_callbacks_off_at_once_and_on_after_a_restart(line: Line) -> None:
    url = await line.register()
    async with daemon_of(line) as process, aiohttp.ClientSession() as http:
        assert (await http.post(url, data=b"{}", headers=JSON)).status == 400
        line.write("callbacks = false")
        process.process.send_signal(signal.SIGHUP)
        await until(_true(lambda: process.events("config_reloaded")))
        assert (await http.post(url, data=b"{}", headers=JSON)).status == 404
    async with spawned(line.path, "off") as process:
        await until(_true(lambda: process.events("daemon_started")))
        line.write()
        process.process.send_signal(signal.SIGHUP)
        (late,) = await until(_true(lambda: process.events("config_needs_restart")))
        assert late["key"] == "callbacks"
        assert process.events("callbacks_listening") == []


async def test_no_secret_stands_in_log_metrics_or_database(line: Line) -> None:
    url = await line.register()
    secret = registration.secret_of(url)
    async with daemon_of(line) as process, aiohttp.ClientSession() as http:
        line.change()
        for kind in ("garbage", "form", "stranger"):
            line.upstream.attack(kind)
        await line.answered("stranger")
        await until(_more_runs(line, "kind = 'callback'", 1))
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
        await until(_equal(line.state_of, key, "quote_called"))
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


# --- The command ------------------------------------------------------------------------------------------------------


async def test_registering_twice_changes_nothing(line: Line) -> None:
    url = await line.register()
    again = await line.command("register", "lease")
    assert (again.code, line.upstream.url) == (0, url)
    assert "registered already" in again.out
    assert line.bench.sandbox.requests[-1].method == "GET"


async def test_an_answer_that_is_lost_on_the_way_is_no_failure(line: Line) -> None:
    line.bench.sandbox.faults.add("truncated-body", api="cyclis", times=1, after=1)
    url = await line.register()
    posted = [entry for entry in line.bench.sandbox.requests if entry.method == "POST"]
    assert [entry.status for entry in posted] == [200, 400]
    assert registration.secret_of(url)
    assert (await line.command("status", "lease", "--json")).json["ours"] is True


async def test_the_address_is_shown_without_its_secret(line: Line) -> None:
    url = await line.register()
    ended = [await line.command(*words) for words in (["status", "lease"], ["status", "lease", "--json"])]
    assert all(end.code == 0 for end in ended)
    assert f"{line.base}/callbacks/lease/***" in ended[0].out
    secret = registration.secret_of(url)
    assert len(secret) >= 43
    kept = await line.bench.fetch("SELECT * FROM syncd.callbacks")
    assert secret not in "".join(end.out + end.err for end in ended) + repr(kept)


async def test_an_address_of_somebody_else_is_neither_replaced_nor_cleared_unasked(line: Line) -> None:
    line.upstream.url = "https://elsewhere.example/hooks/s3cr3t?key=k"
    for words, code in ((("register", "lease"), 1), (("clear", "lease"), 1), (("status", "lease"), 1)):
        ended = await line.command(*words)
        assert ended.code == code, words
        assert "https://elsewhere.example/hooks/***" in ended.out + ended.err
        assert "s3cr3t" not in ended.out + ended.err
        assert "key=k" not in ended.out + ended.err
    assert line.upstream.url == "https://elsewhere.example/hooks/s3cr3t?key=k"
    assert {entry.method for entry in line.bench.sandbox.requests} == {"GET"}
    assert (await line.command("register", "lease", "--replace")).code == 0
    assert line.upstream.url.startswith(f"{line.base}/callbacks/lease/")


async def test_an_upstream_that_does_not_tell_is_only_overwritten_at_the_word(line: Line) -> None:
    line.upstream.tells = False
    refused = await line.command("register", "lease")
    assert (refused.code, line.upstream.url) == (1, None)
    assert "does not tell" in refused.err
    assert (await line.command("clear", "lease")).code == 1
    assert (await line.command("register", "lease", "--replace")).code == 0
    url = line.upstream.url
    assert url.startswith(f"{line.base}/callbacks/lease/")
    status = await line.command("status", "lease")
    assert (status.code, "does not tell" in status.out) == (0, True)
    assert (await line.command("clear", "lease")).code == 0
    assert line.upstream.url is None


async def test_a_new_public_address_is_registered_in_place_of_the_old(line: Line) -> None:
    before = await line.register()
    moved = line.write('callbacks = true\ncallback_url = "https://sync.example.com/x/"', name="moved.toml")
    assert (await line.command("register", "lease", path=moved)).code == 0
    assert line.upstream.url.startswith("https://sync.example.com/x/callbacks/lease/")
    assert registration.secret_of(before) not in line.upstream.url
    assert len(await line.bench.fetch("SELECT * FROM syncd.callbacks")) == 1


async def test_clearing_forgets_the_address_here_too(line: Line) -> None:
    await line.register()
    assert (await line.command("clear", "lease")).code == 0
    assert line.upstream.url is None
    assert await line.bench.fetch("SELECT * FROM syncd.callbacks") == []
    again = await line.command("clear", "lease")
    assert (again.code, "nothing to do" in again.out) == (0, True)


@pytest.mark.parametrize(
    ("extra", "words", "code", "said"),
    [
        ("callbacks = false", ("register", "lease"), 2, "does not listen"),
        ("callbacks = true", ("register", "lease"), 2, "no public address"),
        ('callbacks = true\ncallback_url = "http://sync.example.com"', ("register", "lease"), 2, "loopback only"),
        ("callbacks = true", ("register", "nosuch"), 2, 'no source "nosuch"'),
    ],
)
async def test_what_is_missing_is_said(line: Line, extra: str, words: tuple[str, ...], code: int, said: str) -> None:
    ended = await line.command(*words, path=line.write(extra, name="wrong.toml"))
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert not line.bench.sandbox.requests


async def test_other_sources_refuse_the_option_and_the_command(bench: Bench) -> None:
    path = bench.config_file()
    ended = await syncd("callbacks", "status", "parts", "--config", path)
    assert (ended.code, "has no callbacks" in ended.err) == (2, True)
    path.write_text(path.read_text().replace('type = "ghs"', 'type = "ghs"\ncallbacks = true'))
    ended = await syncd("callbacks", "status", "parts", "--config", path)
    assert (ended.code, "sources.parts.callbacks" in ended.err) == (2, True)


async def test_nothing_but_the_command_touches_the_registration(line: Line) -> None:
    async with serving(line.path):
        await until(_true(lambda: True))
    await syncd("check", "--config", line.path)
    await syncd("sync", "--config", line.path)
    assert line.asked("/orders") > 0
    assert line.asked("/callbacks") == 0


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
        await until(_more_runs(line, "true", 2))
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

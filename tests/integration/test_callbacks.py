"""Callbacks as they come: a real daemon and the sandbox that calls it; nothing sleeps."""

import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from syncd import config as configuration
from syncd.clock import utc_now
from syncd.engine.schedule import History
from syncd.engine.syncer import Syncer
from syncd.errors import RunFenced
from syncd.service.timetable import Timetable
from syncd.sources import registry, specs
from syncd.storage.state import runs
from syncd.storage.state.runs import Counts, PageRecord, Spent
from syncd.upstream.wire import http_session
from tests.support.bench import MakeBench
from tests.support.callback_line import (
    JSON,
    ORDERS_PAIR,
    Line,
    call_of,
    daemon_of,
    equal,
    more_runs,
    open_line,
    true_of,
)
from tests.support.daemon import spawned, until


@pytest.fixture
async def line(make_bench: MakeBench) -> Line:
    return await open_line(make_bench)


async def test_a_changed_order_is_there_without_a_poll_being_due(line: Line) -> None:
    cursor = await line.bench.fetch("SELECT * FROM syncd.cursors")
    await line.register()
    async with daemon_of(line) as process:
        key = line.change()
        await until(equal(line.state_of, key, "quote_called"))
        told = await until(true_of(lambda: process.events("run_finished")))
    assert [call.status for call in line.upstream.sent] == [204]
    assert [(run["kind"], run["outcome"], run["rows_updated"]) for run in await line.runs()][1:] == [
        ("callback", "ok", 1)
    ]
    assert [(line_["kind"], line_["seen"], line_["updated"]) for line_ in told] == [("callback", 1, 1)]
    assert await line.bench.fetch("SELECT * FROM syncd.cursors") == cursor
    assert (line.asked("/orders"), line.asked("/orders/{uuid}")) == (0, 1)


async def test_a_new_order_arrives_too(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        order = line.bench.sandbox.world.fresh("cyclis", "orders")
        line.bench.sandbox.put("cyclis", "orders", order)
        await until(equal(line.state_of, order["id"], order["attributes"]["state"]))


async def test_what_was_told_while_the_daemon_was_down_is_found_by_the_poll(line: Line) -> None:
    await line.register()
    key = line.change()
    assert await line.answered("change") == [0]
    async with daemon_of(line, line.write(name="often.toml", orders='every = "1s"')):
        await until(equal(line.state_of, key, "quote_called"))
    assert {run["kind"] for run in await line.runs()} == {"live"}


async def test_the_status_tells_what_the_last_callback_led_to(line: Line) -> None:
    await line.register()
    async with daemon_of(line):
        line.change()
        await until(true_of(lambda: line.asked("/orders/{uuid}")))

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
        await until(more_runs(line, "kind = 'callback'", 1))
        line.bench.sandbox.latency_s = 0.0
        await until(more_runs(line, "kind = 'live'", 2))
    assert await line.state_of(key) == "quote_called"


async def test_a_fetch_waits_for_a_poll_that_is_under_way(line: Line) -> None:
    async with planned(line) as (timetable, poll):
        line.bench.sandbox.latency_s = 1.0
        poll()
        await until(_running(line, "live"))
        key = line.change()
        said = [timetable.hear(ORDERS_PAIR, (uuid.UUID(key),)) for _ in range(2)]
        await until(more_runs(line, "kind = 'callback'", 1))
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
        await until(equal(line.state_of, key, "quote_called"))
    assert [run["kind"] for run in await line.runs()] == ["live", "callback"]


async def test_a_stream_that_was_never_read_is_left_to_its_first_poll(line: Line) -> None:
    key = line.change()
    async with planned(line, History()) as (timetable, _poll):
        said = timetable.hear(ORDERS_PAIR, (uuid.UUID(key),))
    assert (said, line.asked("/orders/{uuid}")) == ("left to poll", 0)


def _running(line: Line, kind: str) -> Callable[[], Awaitable[Any]]:
    return lambda: line.runs(f"outcome = 'running' AND kind = '{kind}'")


async def test_an_order_that_is_not_readable_yet_is_found_by_the_poll(line: Line) -> None:
    await line.register()
    order = line.bench.sandbox.world.fresh("cyclis", "orders")
    async with daemon_of(line, line.write(name="often.toml", orders='every = "2s"')):
        line.upstream.send(call_of(order["id"]))
        await until(more_runs(line, "kind = 'callback'", 1))
        assert await line.state_of(order["id"]) is None
        line.upstream.is_muted = True
        line.bench.sandbox.put("cyclis", "orders", order)
        await until(equal(line.state_of, order["id"], order["attributes"]["state"]))


async def test_a_stream_that_fails_is_not_asked_for_callbacks(line: Line) -> None:
    await line.register()
    async with daemon_of(line) as process:
        line.bench.sandbox.faults.add("gateway-504", api="cyclis", stream="orders")
        line.change()
        await until(true_of(lambda: process.events("callbacks_left_to_poll")))
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
        await until(more_runs(line, "kind = 'callback'", 1))
        key = line.change(5)
        await until(equal(line.state_of, key, "quote_called"))
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
        await until(true_of(lambda: process.events("run_skipped")))
        assert line.asked("/orders/{uuid}") == 0
        await line.bench.db.unlock(runs.stream_lock("lease", "orders", "live"))
        await until(equal(line.state_of, key, "quote_called"))
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
        await until(true_of(lambda: process.events("config_reloaded")))
        assert (await http.post(url, data=b"{}", headers=JSON)).status == 404
    async with spawned(line.path, "off") as process:
        await until(true_of(lambda: process.events("daemon_started")))
        line.write()
        process.process.send_signal(signal.SIGHUP)
        (late,) = await until(true_of(lambda: process.events("config_needs_restart")))
        assert late["key"] == "callbacks"
        assert process.events("callbacks_listening") == []

"""A daemon on its own: its schedule, its end, systemd."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.daemon import (
    Events,
    Now,
    count,
    mirrors_customers,
    more,
    serving,
    spawned,
    until,
    write,
)


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    """A bench in real time, with lists of several pages."""
    return await make_bench(time=Now(), customers=120, page_size=20)


# --- Schedule ---------------------------------------------------------------------------------------------------------


async def test_streams_are_kept_fresh_and_changes_arrive(live: Bench) -> None:
    path = write(
        live, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"', "lease.orders": 'every = "1s"'}
    )
    async with serving(path):
        await until(mirrors_customers(live))
        changed = live.sandbox.truth("cyclesoftware", "customers")[7] | {"city": "Nieuwstad"}
        live.sandbox.put("cyclesoftware", "customers", changed)
        await until(mirrors_customers(live))
        await until(lambda: count(live, "cyclis.orders"))
    kinds = await live.fetch("SELECT DISTINCT kind, outcome FROM syncd.runs")
    assert {(row["kind"], row["outcome"]) for row in kinds} <= {("live", "ok"), ("live", "aborted")}


async def test_a_sweep_follows_when_it_is_due_and_buries_what_is_gone(live: Bench) -> None:
    async with serving(write(live, {"shop.customers": 'every = "1s"\nsweep = "2s"'})):
        await until(mirrors_customers(live))
        live.sandbox.delete(
            "cyclesoftware", "customers", live.sandbox.truth("cyclesoftware", "customers")[3]["customer_id"]
        )
        await until(mirrors_customers(live))
    assert await count(live, "syncd.runs WHERE kind = 'sweep' AND outcome = 'ok'")
    assert await count(live, "cyclesoftware.customers WHERE _deleted_at IS NOT NULL") == 1


async def test_a_restart_keeps_the_rhythm_and_runs_what_is_overdue(live: Bench) -> None:
    path = write(live, {"shop.customers": 'every = "1h"', "shop.stores": 'every = "1s"'})
    stores = "syncd.runs WHERE stream = 'stores' AND outcome = 'ok'"
    await live.sync("shop.customers")
    async with serving(path):
        await until(lambda: count(live, f"{stores} OFFSET 0"))
        ran = await count(live, stores)
        await until(lambda: more(live, stores, ran + 1))
    assert await count(live, "syncd.runs WHERE stream = 'customers'") == 1


async def test_a_paused_stream_is_not_hammered_and_holds_nobody_up(live: Bench) -> None:
    live.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="customers")
    path = write(
        live, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"', "cars.vehicles": 'every = "1s"'}
    )
    async with serving(path) as url:
        for stream in ("stores", "vehicles"):
            await until(partial(more, live, f"syncd.runs WHERE stream = '{stream}' AND outcome = 'ok'", 2))
        assert await count(live, "syncd.runs WHERE stream = 'customers'") == 1
        async with aiohttp.ClientSession() as http, http.get(f"{url}api/status") as answer:
            found = {one["stream"]: one for one in (await answer.json())["streams"]}
        assert found["customers"]["state"] == "paused"
        next_run_at = datetime.fromisoformat(found["customers"]["next_run_at"])
        failed_at = datetime.fromisoformat(found["customers"]["last_run"]["finished_at"])
        assert 890 < (next_run_at - failed_at).total_seconds() < 910


async def test_a_failing_stream_rests_longer_than_its_interval(live: Bench) -> None:
    live.sandbox.faults.add("not-found-list", api="cyclesoftware", stream="customers")
    async with serving(write(live, {"shop.customers": 'every = "1s"'})):
        await until(lambda: more(live, "syncd.runs WHERE outcome = 'failed'", 1))
    starts = [row[0] for row in await live.fetch("SELECT started_at FROM syncd.runs ORDER BY run_id")]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert waits[0] >= 2  # and so on, as tests/unit/test_schedule.py has it


async def test_a_run_of_the_command_line_makes_the_daemon_wait_with_one_line(live: Bench, events: Events) -> None:
    live.sandbox.faults.add("hang", api="cyclesoftware", stream="customers", times=1)
    sync = asyncio.create_task(live.sync("shop.customers"))
    await until(lambda: count(live, "syncd.runs WHERE outcome = 'running'"))
    async with serving(write(live, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'})):
        await until(lambda: more(live, "syncd.runs WHERE stream = 'stores' AND outcome = 'ok'", 2))
        skipped = [event for event in events if event["event"] == "run_skipped"]
        assert [(event["stream"], event["log_level"]) for event in skipped] == [("customers", "info")]
        assert "is under way" in skipped[0]["reason"]
        sync.cancel()
        await until(mirrors_customers(live))
    await asyncio.gather(sync, return_exceptions=True)


async def test_two_daemons_never_run_a_stream_at_once(live: Bench) -> None:
    live.sandbox.latency_s = 0.05
    streams = {"shop.customers": 'every = "1s"\nsweep = "1s"', "lease.orders": 'every = "1s"\nsweep = "1s"'}
    async with serving(write(live, streams)), spawned(write(live, streams, listen="off")) as other:
        await until(lambda: more(live, f"syncd.runs WHERE pid = {other.process.pid} AND outcome = 'ok'", 1), 30)
        await until(lambda: more(live, f"syncd.runs WHERE pid = {os.getpid()} AND outcome = 'ok'", 1), 30)
        code, _ = await other.end(signal.SIGTERM)
        assert code == 0
    # started_at is taken a moment before the lock is
    overlaps = await count(
        live,
        "syncd.runs a JOIN syncd.runs b USING (source, stream) WHERE a.run_id < b.run_id"
        " AND a.finished_at > b.started_at + interval '50 ms'",
    )
    assert overlaps == 0
    assert await count(live, "syncd.runs WHERE outcome NOT IN ('ok', 'aborted')") == 0


# --- Ending -----------------------------------------------------------------------------------------------------------


async def test_sigterm_ends_a_run_at_its_page_and_loses_nothing(live: Bench) -> None:
    live.sandbox.latency_s = 0.4
    path = write(live, {"shop.customers": 'every = "1s"'})
    async with spawned(path) as first:
        await until(lambda: more(live, "cyclesoftware.customers", 30))
        code, took_s = await first.end(signal.SIGTERM)
        assert code == 0
        assert took_s < 10
        assert first.events("daemon_stopping")[0]["signal"] == "SIGTERM"
        assert first.events("daemon_stopped")
    run = (await live.fetch("SELECT * FROM syncd.runs"))[0]
    assert run["outcome"] == "aborted"
    assert run["rows_inserted"] == await count(live, "cyclesoftware.customers")
    assert "pass" in json.loads((await live.fetch("SELECT cursor FROM syncd.cursors"))[0][0])
    pages_before = run["pages"]
    live.sandbox.latency_s = 0.0
    async with spawned(path, "again") as second:
        await until(mirrors_customers(live))
        await until(lambda: count(live, "syncd.runs WHERE outcome = 'ok'"))
        code, _ = await second.end(signal.SIGINT)
        assert code == 0
    resumed = (await live.fetch("SELECT pages FROM syncd.runs WHERE outcome = 'ok' ORDER BY run_id LIMIT 1"))[0]
    assert pages_before >= 2
    assert resumed["pages"] <= 8 - pages_before + 2  # 120 customers in pages of 20, the resumed pass asks once more


async def test_kill_9_is_told_by_the_next_life_which_goes_on(live: Bench) -> None:
    live.sandbox.latency_s = 0.4
    path = write(live, {"shop.customers": 'every = "1s"'})
    async with spawned(path) as first:
        await until(lambda: more(live, "cyclesoftware.customers", 30))
        await first.end(signal.SIGKILL)
    await until(lambda: _unlocked(live))
    live.sandbox.latency_s = 0.0
    async with spawned(path, "again") as second:
        await until(mirrors_customers(live))
        await until(lambda: count(live, "syncd.runs WHERE outcome = 'ok'"))
        assert second.events("runs_recovered")[0]["count"] == 1
    killed = (await live.fetch("SELECT outcome, error_kind FROM syncd.runs ORDER BY run_id"))[0]
    assert (killed["outcome"], killed["error_kind"]) == ("aborted", "Killed")


async def _unlocked(bench: Bench) -> bool:
    return not await count(bench, "pg_locks WHERE locktype = 'advisory'")


async def test_a_run_that_hangs_does_not_hold_up_the_end(live: Bench) -> None:
    live.sandbox.faults.add("hang", api="cyclesoftware", stream="auth")
    live.sandbox.faults.add("hang", api="cyclesoftware", stream="customers")
    async with spawned(write(live, {"shop.customers": 'every = "1s"'})) as process:
        await until(lambda: count(live, "syncd.runs WHERE outcome = 'running'"))
        code, took_s = await process.end(signal.SIGTERM)
    assert (code, took_s < 10) == (0, True)
    assert await count(live, "syncd.runs WHERE outcome = 'aborted' AND error_kind IS DISTINCT FROM 'Killed'") == 1


async def test_accounts_that_hang_hold_up_no_other_and_no_end(live: Bench) -> None:
    asked: list[bytes] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.read()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    extra = "".join(
        f'[sources.silent{number}]\ntype = "cyclis"\nbase_url = "{address}"\napi_token = "t{number}"\n'
        f'[sources.silent{number}.timeouts]\nfirst_byte = "{"1s" if number == 0 else "30s"}"\n'
        f'[sources.silent{number}.streams]\norders.every = "1s"\ncyclists.enabled = false\n'
        "companies.enabled = false\ndealers.enabled = false\n"
        for number in range(60)
    )
    async with silent, spawned(write(live, {"lease.orders": 'every = "1s"'}, extra=extra)) as process:
        await until(lambda: more(live, "syncd.runs WHERE outcome = 'running'", 50))
        await until(lambda: more(live, "syncd.runs WHERE source = 'lease' AND outcome = 'ok'", 2))
        await until(lambda: count(live, "syncd.runs WHERE source = 'silent0' AND outcome = 'failed' AND requests = 1"))
        code, took_s = await process.end(signal.SIGTERM)
    assert (code, took_s < 10) == (0, True)
    assert len(asked) >= 50
    ends = await live.fetch("SELECT outcome, count(*) FROM syncd.runs WHERE source LIKE 'silent%' GROUP BY 1")
    assert {row[0]: row[1] for row in ends}.keys() == {"failed", "aborted"}


async def test_a_house_job_that_the_end_cuts_short_is_no_error(
    live: Bench, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    await live.sync("shop.stores")
    waiting = "pg_locks WHERE NOT granted AND relation = 'syncd.runs'::regclass"
    async with live.db.connection() as conn:
        lock = conn.transaction()
        async with serving(write(live, {"shop.stores": 'every = "1h"'})):
            await lock.start()
            await conn.execute("LOCK TABLE syncd.runs IN ACCESS EXCLUSIVE MODE")
            await until(lambda: count(live, waiting))  # the status line is being made
        await asyncio.gather(*(task for task in asyncio.all_tasks() if "run_coroutine_job" in repr(task)))
        await lock.rollback()
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert [event for event in events if event["log_level"] not in ("debug", "info")] == []
    assert events[-1]["event"] == "daemon_stopped"


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
async def test_systemd_is_told(live: Bench, tmp_path: Path, abstract: bool) -> None:
    address = f"\0syncd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    heard: list[str] = []

    async def hear(*words: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.extend(sock.recv(4096).decode().splitlines())
        return all(any(line.startswith(word) for line in heard) for word in words)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        environ = {
            "NOTIFY_SOCKET": address.replace("\0", "@"),
            "WATCHDOG_USEC": "300000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        async with serving(write(live, {"shop.stores": 'every = "1s"'}), environ=environ):
            await until(lambda: hear("READY=1", "WATCHDOG=1", "STATUS=1 stream: "))
            assert heard.index("READY=1") < heard.index("WATCHDOG=1")
            heard.clear()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: hear("RELOADING=1", "MONOTONIC_USEC=", "READY=1"))
            assert heard.index("RELOADING=1") < heard.index("READY=1")
            heard.clear()
            await until(lambda: hear("WATCHDOG=1"))
        await hear()
        assert "STOPPING=1" in heard


async def test_a_loop_that_is_stuck_does_not_feed_the_watchdog(live: Bench, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)

        def drained() -> int:
            beats = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    beats += b"WATCHDOG=1" in sock.recv(4096)
            return beats

        async def beats() -> bool:
            return drained() > 0

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        async with serving(write(live, {"shop.stores": 'every = "1s"'}), environ=environ):
            await until(beats)
            drained()
            stuck_until = time.monotonic() + 0.6
            while time.monotonic() < stuck_until:
                pass  # nothing else gets its turn
            assert drained() == 0
            await until(beats)

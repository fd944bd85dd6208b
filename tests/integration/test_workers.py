"""Workers as processes of their own: they share accounts, inherit, and are started again."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from syncd.errors import UsageError
from syncd.sandbox import Limits
from syncd.scale import workers
from syncd.scale.placement import shard_of
from tests.support import forks
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import Now, spawned, until
from tests.support.parts import parts
from tests.support.search import trial
from tests.support.workers import all_ran, held, newest_run, shared, working, write

ACCOUNTS = 24


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=1_000_000, per_day=10_000_000))


@trial
async def test_two_workers_share_the_accounts_and_one_that_is_killed_has_an_heir(bench: Bench) -> None:
    path = write(bench, ACCOUNTS)
    async with working(path, "one") as one:
        await until(shared(bench, [one.process.pid]))
        async with working(path, "two") as two:
            pids = [one.process.pid, two.process.pid]
            await until(shared(bench, pids))
            await all_ran(bench, ACCOUNTS, await newest_run(bench), pids)
            assert await _sources_of(bench, one.process.pid)
            assert await _sources_of(bench, two.process.pid)

            assert await _told_of_by(bench, "/metrics") == [ACCOUNTS, ACCOUNTS]  # each account by one of them
            assert await _told_of_by(bench, "/api/status") == [2 * ACCOUNTS, ACCOUNTS]

            refused = await syncd("run", "--config", str(path))
            assert (refused.code, "2 workers share the accounts" in refused.err) == (2, True)
            listed = await syncd("workers", "--json", "--config", str(path))
            assert {(each["pid"], each["state"]) for each in json.loads(listed.out)} == {(pid, "alive") for pid in pids}

            path.write_text(path.read_text().replace("lease = '2s'", "lease = '2s'\npool = 3"))
            reloaded = await syncd("reload", "--all", "--config", str(path))
            assert (reloaded.code, reloaded.out.count("took it")) == (0, 2)
            path.write_text(path.read_text().replace("pool = 3", "pol = 3"))
            refusing = await syncd("reload", "--all", "--config", str(path))
            assert refusing.code == 2  # the command reads the same file
            path.write_text(path.read_text().replace("pol = 3", "pool = 3"))

            two.process.kill()
            since = await newest_run(bench)
            await until(shared(bench, [one.process.pid]))
            await all_ran(bench, ACCOUNTS, since, [one.process.pid])
            [lost] = one.events("worker_lost")
            assert (lost["worker_pid"], lost["shards"]) == (two.process.pid, 4)
        await bench.fetch("DELETE FROM syncd_queue.pgqueuer WHERE entrypoint = 'shard.3'")
        await until(lambda: _told(one.events, "shards_lost"))
        await until(shared(bench, [one.process.pid]))
        code, took_s = await one.end(signal.SIGTERM)
        assert (code, took_s < 10) == (0, True)
    assert await held(bench) == {}
    assert await bench.fetch("SELECT FROM syncd.workers WHERE lost_at IS NULL") == []
    assert await bench.fetch("SELECT FROM syncd_queue.pgqueuer WHERE status <> 'queued'") == []
    crossing = await bench.fetch(
        "SELECT a.run_id FROM syncd.runs a JOIN syncd.runs b ON a.source = b.source AND a.stream = b.stream"
        " AND a.pid <> b.pid AND a.started_at < b.started_at AND a.finished_at > b.started_at"
        " WHERE a.outcome <> 'aborted'"
    )
    assert crossing == []


async def test_what_an_operator_wants_now_runs_at_once_whichever_worker_has_the_account(bench: Bench) -> None:
    path, token = write(bench, ACCOUNTS, every="1h"), "operators-token-1234567890"
    path.write_text(path.read_text().replace("[scale]", f'operator_token = "{token}"\n[scale]', 1))
    async with working(path, "one") as one, working(path, "two") as two:
        pids = [one.process.pid, two.process.pid]
        await until(shared(bench, pids))
        [row] = await bench.fetch("SELECT http_address FROM syncd.workers WHERE pid = $1", pids[0])
        shards, names = await held(bench), [f"shop{number:04}" for number in range(ACCOUNTS)]
        wanted = [next(name for name in names if shard_of(name, 8) in shards[pid]) for pid in pids]

        async def press() -> None:
            for source in wanted:
                form, headers = {"action": "sync", "subject": source}, {"Authorization": f"Bearer {token}"}
                address = f"{row['http_address'].rstrip('/')}/operator/act"
                async with aiohttp.request("POST", address, data=form, headers=headers) as answer:
                    assert (answer.status, await answer.json()) == (200, {"done": f"{source}: runs now"})

        bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
        await press()
        await until(lambda: _ended(bench, "failed", wanted))  # each of them is paused now
        bench.sandbox.faults.clear()
        await press()
        await until(lambda: _ended(bench, "ok", wanted))
        rows = await bench.fetch(
            "SELECT source, pid FROM syncd.runs WHERE outcome = 'ok' AND source = ANY ($1)", wanted
        )
        assert {row["source"]: row["pid"] for row in rows} == dict(zip(wanted, pids, strict=True))


async def _ended(bench: Bench, outcome: str, sources: list[str]) -> bool:
    rows = await bench.fetch("SELECT DISTINCT source FROM syncd.runs WHERE outcome = $1", outcome)
    return {row["source"] for row in rows} >= set(sources)


async def test_a_worker_refuses_to_join_a_daemon(bench: Bench) -> None:
    path = write(bench, 1)
    async with spawned(path) as daemon:
        await until(lambda: _told(daemon.events, "daemon_started"))
        with pytest.raises(UsageError, match=r"a daemon \(syncd run\) has every account"):
            await workers.require_no_daemon(bench.db)
        refused = await syncd("worker", "--config", str(path))
        assert (refused.code, "a daemon (syncd run) has every account" in refused.err) == (2, True)


@pytest.mark.acceptance
async def test_three_workers_log_in_once_and_tell_of_an_outage_once_for_each_account(bench: Bench) -> None:
    path = parts(bench, 6)
    async with working(path, "one") as one, working(path, "two") as two, working(path, "three") as three:
        crew = [one, two, three]
        await until(shared(bench, [each.process.pid for each in crew], 12), 40)

        async def runs_of(outcome: str, least: int) -> bool:
            rows = await bench.fetch("SELECT count(*) AS n FROM syncd.runs WHERE outcome = $1 GROUP BY source", outcome)
            return len(rows) == 6 and min(row["n"] for row in rows) >= least

        await until(lambda: runs_of("ok", 1), 30)
        before = len([entry for entry in bench.sandbox.requests if entry.stream == "auth"])
        assert before >= 6
        await bench.fetch("DELETE FROM syncd.runs WHERE outcome = 'ok'")
        await until(lambda: runs_of("ok", 2), 30)
        assert len([entry for entry in bench.sandbox.requests if entry.stream == "auth"]) == before

        bench.sandbox.faults.add("error-500", api="ghs")
        await until(lambda: runs_of("failed", 1), 40)
        bench.sandbox.faults.clear()

        async def told() -> list[str]:
            found = [line["source"] for each in crew for line in each.events("source_failing")]
            return found if len(found) >= 6 else []

        assert sorted(await until(told)) == [f"parts{number}" for number in range(6)]


async def _told_of_by(bench: Bench, path: str) -> list[int]:
    """Return how many accounts all workers tell of, and how many different ones these are."""
    told = []
    for row in await bench.fetch("SELECT http_address FROM syncd.workers WHERE lost_at IS NULL"):
        async with aiohttp.request("GET", row["http_address"].rstrip("/") + path) as answer:
            told += sorted(set(re.findall(r"shop\d{4}", await answer.text())))
    return [len(told), len(set(told))]


async def _sources_of(bench: Bench, pid: int) -> set[str]:
    return {row["source"] for row in await bench.fetch("SELECT DISTINCT source FROM syncd.runs WHERE pid = $1", pid)}


async def _told(events: Callable[[str], list[dict[str, Any]]], name: str) -> bool:
    return bool(events(name))


@pytest.mark.acceptance  # five starts of Python
async def test_run_with_workers_starts_them_again_when_they_die_and_ends_with_them(bench: Bench) -> None:
    path = write(bench, 4)
    log = bench.folder / "machine.log"
    with log.open("wb") as file:
        machine = await forks.start(
            "run", "--workers", "2", "--config", str(path), stdout=file.fileno(), stderr=file.fileno()
        )
    try:
        await until(lambda: _are_two(bench), 30)
        before = await held(bench)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: _are_two(bench, other_than=min(before)), 30)
    finally:
        machine.terminate()
        code = await asyncio.wait_for(machine.wait(), 20)
        forks.let_go(machine)
    assert code == 0, log.read_text()[-2000:]
    assert await held(bench) == {}
    assert '"worker_died"' in log.read_text()


async def _are_two(bench: Bench, other_than: int = 0) -> bool:
    now = await held(bench)
    return len(now) == 2 and other_than not in now and sum(map(len, now.values())) == 8


WITHOUT = """
import sys
sys.modules["pgqueuer"] = None
from syncd.cli import cli, exits
for words in (["worker"], ["run", "--workers", "2"], ["worker", "--help"], ["run", "--help"], ["workers", "--help"]):
    print(words, exits.guarded(lambda: cli(words, standalone_mode=False)))
print("pgqueuer" in [name.partition(".")[0] for name, module in sys.modules.items() if module])
"""


async def test_without_the_extra_help_is_there_and_workers_say_how_to_install_it() -> None:
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = (text.decode() for text in await ended.communicate())
    assert "['worker'] 2\n" in out, err
    assert "['run', '--workers', '2'] 2\n" in out
    assert out.count("--help'] 0\n") == 3
    assert err.count("pip install 'syncd[scale]'") == 2
    assert out.endswith("False\n")


IDLE = """
import sys
import syncd.cli.commands.worker
from syncd import log
from syncd.sources import refused_plugins, registry
log.configure("json", "info")
log.get("syncd").info("daemon_started", refused=refused_plugins(), type=registry()["cyclis"].type)
named = ("rich", "pygments", "jinja2", "syncd.sources.ghs", "syncd.sources.autengo", "syncd.sources.cyclesoftware")
print([name for name in named if name in sys.modules])
import rich.console, syncd.service.web.rendering
print(rich.console.Console, syncd.service.web.rendering._templates(""))
"""


async def test_a_worker_brings_in_nothing_that_only_pages_terminals_and_other_apis_need() -> None:
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IDLE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = (text.decode() for text in await ended.communicate())
    assert ended.returncode == 0, err
    assert '"event":"daemon_started"' in err
    first, second = out.splitlines()
    assert first == "[]"
    assert "rich.console.Console" in second
    assert "jinja2.environment.Environment" in second

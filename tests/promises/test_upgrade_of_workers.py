"""Workers of the version before beside workers of this one, on a database that this one has migrated."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.engine import schedule
from syncd.sandbox import Limits
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Now, Process, living, until
from tests.support.workers import all_ran, crossing, newest_run, shared, working, write

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
FIRST = "0036"
"""The migration that brought workers."""
WORKERS = 3
ACCOUNTS = 60
EVERY_S = 5
LATE_S = 5.0
"""What the delay of a run may be, as in the trial of many accounts; in an upgrade none may be later."""


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=1_000_000, per_day=10_000_000))


def git(*words: str) -> bytes:
    """Return what git says of this repository; without one the trial is skipped."""
    told = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)  # noqa: S603, S607
    if told.returncode:
        pytest.skip(f"needs the repository with its past: {told.stderr.decode().strip()[:200]}")
    return told.stdout


async def before(bench: Bench, folder: Path) -> Path:
    """Unpack the program as it was before the newest migration; $SYNCD_TRIAL_BEFORE names another commit."""
    newest, oldest = (
        await bench.fetch(
            "SELECT revision, oldest_program FROM syncd.compatibility ORDER BY length(revision), revision DESC LIMIT 1"
        )
    )[0]
    [file] = (ROOT / "migrations" / "versions").glob(f"{newest}_*.py")
    if oldest == newest or newest <= FIRST:
        pytest.skip(f"migration {newest} admits no program before it that has workers")
    added = git("log", "--diff-filter=A", "--format=%H", "--", str(file)).decode().split()
    commit = os.environ.get("SYNCD_TRIAL_BEFORE") or f"{added[-1]}^"
    packed = folder / "before.tar"
    packed.write_bytes(git("archive", commit, "syncd", "migrations"))
    shutil.unpack_archive(packed, folder / "before", filter="data")
    assert not (folder / "before" / "migrations" / "versions" / file.name).exists()
    return folder / "before"


def imported_at(folder: Path) -> str:
    """Return the file of the package that Python imports where it is started in a folder."""
    words = [sys.executable, "-c", "import syncd; print(syncd.__file__)"]
    return subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout.decode()  # noqa: S603


def former(program: Path, config: Path, name: str) -> contextlib.AbstractAsyncContextManager[Process]:
    """Let a worker of the version before live; Python looks for a module where it is started."""
    words = (sys.executable, "-m", "syncd", "worker", "--config", str(config))
    return living(
        config.parent / f"{name}.log",
        lambda output: asyncio.create_subprocess_exec(*words, cwd=program, stdout=output, stderr=output),
    )


async def test_workers_are_upgraded_one_after_the_other_and_no_stream_is_late(bench: Bench, tmp_path: Path) -> None:
    program = await before(bench, tmp_path)
    assert imported_at(program).startswith(str(program)), "this is no other program: the trial proves nothing"
    path = write(bench, ACCOUNTS, scale="shards = 64\nlease = '3s'", every=f"{EVERY_S}s")
    async with contextlib.AsyncExitStack() as stack:
        alive = [await stack.enter_async_context(former(program, path, f"former{n}")) for n in range(WORKERS)]
        await until(shared(bench, [each.process.pid for each in alive], 64), 60)
        first = await newest_run(bench)
        await all_ran(bench, ACCOUNTS, first, [each.process.pid for each in alive], 30)
        for number in range(WORKERS):
            code, took_s = await alive.pop(0).end(signal.SIGTERM)
            assert (code, took_s < 10) == (0, True)
            alive.append(await stack.enter_async_context(working(path, f"present{number}")))
            pids = [each.process.pid for each in alive]
            await until(shared(bench, pids, 64), 30)
            await all_ran(bench, ACCOUNTS, await newest_run(bench), pids, 30)
        late = await bench.fetch(
            "SELECT source, pid, extract(epoch FROM started_at - lag(started_at) OVER (PARTITION BY source"
            " ORDER BY run_id))::float8 - $2 AS late_s FROM syncd.runs WHERE run_id > $1 ORDER BY 3 DESC NULLS LAST",
            first, float(EVERY_S) + schedule.jitter_s(EVERY_S),
        )  # fmt: skip
        outcomes = await bench.fetch(
            "SELECT outcome, count(*) FROM syncd.runs WHERE run_id > $1 AND outcome <> 'running' GROUP BY 1", first
        )
    print(f"{dict(outcomes)}; latest by {late[0]['late_s']:.2f} s, then {late[1]['late_s']:.2f} s")  # noqa: T201
    assert len(late) > WORKERS * ACCOUNTS
    assert {row["outcome"] for row in outcomes} <= {"ok", "aborted"}
    assert late[0]["late_s"] <= LATE_S
    assert await crossing(bench) == []

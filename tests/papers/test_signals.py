"""The suite itself ends when it is told to, also where its parent ignores Ctrl-C (`nohup`, a script's job)."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.search import trial

ROOT = Path(__file__).parents[2]
DEAF = ("bash", "-c", 'trap "" INT HUP; exec "$0" "$@"', sys.executable)

CHILD = (
    "import signal;"
    "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGHUP).name)"
)
STARTS_A_CHILD = f"""
import subprocess, sys
from tests.support import signals
if "restored" in sys.argv:
    signals.restore()
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""

ENDLESS = """
import asyncio
from pathlib import Path

async def test_endless(server, db_url):
    process = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        Path("pids.part").write_text(f"{process.pid} {server.pid}")
        Path("pids.part").rename("pids")
        await asyncio.sleep(600)
    finally:
        process.kill()
"""


def environ() -> dict[str, str]:
    """Return the environment, without what a worker of xdist finds in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "PYTHONPATH": str(ROOT)
    }


@pytest.mark.parametrize(("words", "shown"), [([], "False SIG_IGN"), (["restored"], "True SIG_DFL")])
def test_children_start_with_the_usual_signals(words: list[str], shown: str) -> None:
    done = subprocess.run(  # noqa: S603
        [*DEAF, "-c", STARTS_A_CHILD, *words], env=environ(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == shown


@trial
@pytest.mark.parametrize("workers", [pytest.param([], id="alone"), pytest.param(["-n1"], id="workers")])
async def test_sigterm_ends_the_run_with_its_server_and_its_children(tmp_path: Path, workers: list[str]) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_endless.py").write_text(ENDLESS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n"
        "asyncio_default_test_loop_scope = session\n"
    )
    run = await asyncio.create_subprocess_exec(
        *DEAF, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, cwd=tmp_path, env=environ(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output = asyncio.create_task(run.communicate())
    pids: list[int] = []
    try:
        while not (tmp_path / "pids").exists():
            assert not output.done(), output.result()[0].decode()
            await asyncio.sleep(0.05)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert [is_gone(pid) for pid in pids] == [False, False]
        run.send_signal(signal.SIGTERM)
        told, _ = await output
        assert run.returncode not in (0, None), told.decode()
        while not all(map(is_gone, pids)):  # noqa: ASYNC110  (no child of ours)
            await asyncio.sleep(0.05)
    finally:
        for pid in [run.pid, *pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; it may wait for a parent that asks how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True

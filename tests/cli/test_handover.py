"""What one needs to hand an installation over: backup and restore, the doctor's file, the look before an upgrade."""

import asyncio
import json
import zipfile
from pathlib import Path

import asyncpg
import pytest

from syncd.cli import bundle
from syncd.errors import UsageError
from syncd.sandbox import CREDENTIALS
from syncd.storage.postgres import embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import Bench, database_url
from tests.support.command import Say, assert_refused, syncd
from tests.support.search import trial

PG_15 = Path("/usr/lib/postgresql/15/bin")
HAS_PG_15 = PG_15.exists()
FUNCTIONS = """
SELECT array_agg(proname || coalesce(proacl::text, '') ORDER BY proname, proacl::text) FROM pg_proc
WHERE pronamespace::regnamespace::text IN ('syncd', 'history', 'reporting')
"""
SOURCE = '[sources.parts]\ntype = "ghs"\nbase_url = "http://127.0.0.1:9"\napi_key = "k-1234567890"\nusername = "u"\n'


def private(folder: Path, name: str) -> Path:
    """Write the configuration of a private server of its own."""
    path = folder / f"{name}.toml"
    path.write_text(f'[database]\nurl = "embedded"\ndata_dir = "{folder / name}"\n{SOURCE}password = "p-1234567890"\n')
    path.chmod(0o600)
    return path


@trial
async def test_a_backup_is_loaded_into_another_directory_and_another_major(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, dump = private(tmp_path, "old"), private(tmp_path, "new"), tmp_path / "mirror.dump"
    fast = {"fsync": "off"}
    if HAS_PG_15:
        monkeypatch.setenv("SYNCD_PG_BIN", str(PG_15))
    server = await embedded.ensure(tmp_path / "old", settings=fast)
    opened = Database(server.url, "old")
    await migrations.migrate(opened)
    async with opened.connection() as conn:
        await conn.execute("CREATE ROLE alice NOLOGIN; GRANT SELECT ON syncd.runs TO alice")
        await conn.execute("INSERT INTO syncd.cursors VALUES ('parts', 'orders', 'live', '{\"since\": 1}', now())")
        before = await facts(conn)
    await opened.close()
    made = await syncd("backup", dump, "--json", "--config", old)
    assert made.code == 0, made
    assert (made.json["bytes"], dump.stat().st_mode & 0o777) == (dump.stat().st_size, 0o600)
    assert made.json["postgres"].startswith("15.") or not HAS_PG_15
    monkeypatch.delenv("SYNCD_PG_BIN", raising=False)
    await embedded.ensure(tmp_path / "new", settings=fast)
    loaded = await syncd("restore", dump, "--config", new)
    assert loaded.code == 0, loaded
    assert "next: syncd check" in loaded.out
    restored = await embedded.ensure(tmp_path / "new")
    assert restored.version.partition(".")[0] >= made.json["postgres"].partition(".")[0]
    conn = await asyncpg.connect(**restored.connect_arguments)
    assert await facts(conn) == before
    assert await conn.fetchval("SELECT has_table_privilege('alice', 'syncd.runs', 'SELECT')")
    await conn.close()
    assert_refused("", await syncd("restore", dump, "--config", new), 2, "holds a mirror already")
    for name in ("old", "new"):
        await embedded.stop(tmp_path / name)


async def facts(conn: asyncpg.Connection) -> list[object]:
    """Return what a restore must bring back: rows, views, functions and who may call them."""
    asked = (
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^(pg_|inf)'",
        FUNCTIONS,
        "SELECT array_agg(cursors::text) FROM syncd.cursors",
        "SELECT array_agg(salt) FROM syncd.lock_salt",
        "SELECT array_agg(version_num) FROM syncd.migrations",
    )
    return [await conn.fetchval(query) for query in asked]


def test_nothing_makes_a_private_server_just_to_look_at_it(say: Say, tmp_path: Path) -> None:
    path = str(private(tmp_path, "never"))
    assert_refused("", say("backup", "--config", path), 2, "there is no private server in")
    assert "there is no private server in" in say("doctor", "--json", "--config", path).json["database.txt"]
    assert say("upgrade", "--check", "--config", path).code == 3
    assert not (tmp_path / "never").exists()


def test_backup_and_restore_refuse_what_they_cannot_do(say: Say, tmp_path: Path) -> None:
    assert_refused("", say("backup"), 2, "is a server of your own")
    assert_refused("", say("restore", str(tmp_path / "none")), 2, "is a server of your own")
    (tmp_path / "x").write_text("no dump")
    with pytest.raises(UsageError, match="is no backup of syncd"):
        asyncio.run(embedded.load(None, tmp_path / "x"))  # type: ignore[arg-type]  # it is looked at first


def test_the_doctor_gathers_everything_and_no_secret_and_no_datum(
    tell: Say, synced: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    customer = synced.sandbox.truth("cyclesoftware", "customers")[0]
    log_file = tmp_path / "syncd.log"
    password = CREDENTIALS["cyclesoftware"]["password"]
    log_file.write_text(f'{{"event": "run_finished", "error": "{password} of {customer["email"]}"}}\n')
    ended = tell("doctor", "--log", str(log_file), "--output", "out.zip")
    assert ended.code == 0, ended
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        parts = {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert {"versions.txt", "runs.json", "locks.json", "sizes.json", "status.json"} <= set(parts)
    assert (tmp_path / "out.zip").stat().st_mode & 0o777 == 0o600
    assert "sources.shop.streams.customers.every" in parts["config.txt"]
    assert json.loads(parts["runs.json"])[0]["run"]["outcome"] == "ok"
    assert any(row["table"] == "cyclesoftware.customers" for row in json.loads(parts["sizes.json"]))
    assert '"kind": "an older syncd could not read it"' in parts["counts.json"]
    everything = "\n".join(parts.values())
    assert '"event": "run_finished", "error": "*** of ***@***"' in parts["log.txt"]
    secrets = [str(value) for keys in CREDENTIALS.values() for key, value in keys.items() if key in SECRET]
    for known in (*secrets, customer["email"], "7d444840-9dc0-11d1-b245-5ffdce74fad2", "Nieuw"):
        assert known not in everything, known


SECRET = ("password", "api_key", "api_token")


def test_the_doctor_works_without_a_database_and_with_a_wrong_configuration(
    say: Say, sandbox_config: Path, tmp_path: Path
) -> None:
    sandbox_config.write_text(
        f'[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n{SOURCE}password = "p-1234567890"\n'
    )
    told = say("doctor", "--json", "--log", str(tmp_path / "none"))
    assert told.code == 0, told
    assert "cannot be reached" in told.json["database.txt"]
    assert "cannot be read" in told.json["log.txt"]
    sandbox_config.write_text("[database]\nurll = 1\n")
    assert "urll" in say("doctor", "--json").json["config.txt"]


def test_the_servers_log_is_kept_without_statements_and_values(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(
        "2026-11-28 20:00:00.000 UTC [7] LOG:  checkpoint complete\n"
        '2026-11-28 20:00:01.000 UTC [8] ERROR:  invalid input syntax for type bigint: "Jansen"\n'
        "2026-11-28 20:00:01.000 UTC [8] DETAIL:  Key (email)=(jan@example.com) already exists.\n"
        "2026-11-28 20:00:01.000 UTC [8] STATEMENT:  SELECT 'Jansen'\n\tFROM secret\n"
    )
    assert bundle.server_log(log) == (
        "2026-11-28 20:00:00.000 UTC [7] LOG:  checkpoint complete\n"
        "2026-11-28 20:00:01.000 UTC [8] ERROR:  invalid input syntax for type bigint: …\n"
    )


def test_upgrade_says_before_the_restart_that_all_fits(say: Say) -> None:
    assert_refused("", say("upgrade"), 2, "syncd does not install itself")
    good = say("upgrade", "--check")
    assert good.code == 0, good
    assert "all fits; next: systemctl restart syncd" in good.out
    newest = migrations.newest_revision()
    assert f"migrations of syncd: at revision {newest}" in good.out


async def test_upgrade_ends_with_3_where_the_database_and_with_2_where_the_configuration_does_not_fit(
    server: embedded.Server, tmp_path: Path
) -> None:
    path = tmp_path / "unmigrated.toml"
    path.write_text(f'[database]\nurl = "{database_url(server, "postgres")}"\n{SOURCE}password = "p-1234567890"\n')
    path.chmod(0o600)
    found = await syncd("upgrade", "--check", "--json", "--config", path)
    assert found.code == 3, found
    assert [one["hint"] for one in found.json if one["state"] == "failed"] == [f"Run: syncd migrate --config {path}"]
    path.write_text(path.read_text().replace("[sources.", "[sourcez.", 1))
    wrong = await syncd("upgrade", "--check", "--json", "--config", path)
    assert wrong.code == 2
    assert "sourcez" in wrong.out

"""Servers and databases that others keep: publications, versions, encodings, settings."""

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from syncd import config as configuration
from syncd.errors import DatabaseChanged, DatabaseError, DatabaseUnavailable
from syncd.storage.postgres import database, driver, embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import MakeBench, database_url
from tests.support.command import syncd
from tests.support.foreign import execute
from tests.support.search import trial

NO_IDENTITY = """
SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
  AND c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
"""


# --- Publications -----------------------------------------------------------------------------------------------------


async def test_every_table_can_be_published(db: Database) -> None:
    async with db.connection() as conn:
        assert await conn.fetchval("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace >= 16384") > 40
        assert [row["name"] for row in await conn.fetch(NO_IDENTITY)] == []


async def test_sweeps_run_under_a_publication_of_all_tables(make_bench: MakeBench, db_url: str) -> None:
    await execute(db_url, "CREATE PUBLICATION debezium FOR ALL TABLES", role="postgres")
    bench = await make_bench(page_size=20)
    for kind in ("live", "sweep", "sweep"):
        result = await bench.sync("shop.customers", kind=kind)
        assert result.outcome == "ok", result.error
    assert result.counts.seen > 60


# --- A database that is newer than the program ------------------------------------------------------------------------


async def at_revision(db: Database, revision: str, oldest: str | None) -> None:
    async with db.connection() as conn:
        await conn.execute("UPDATE syncd.migrations SET version_num = $1", revision)
        if oldest:
            await conn.execute("INSERT INTO syncd.compatibility VALUES ($1, $2)", revision, oldest)


@pytest.mark.parametrize("oldest", [None, "9998"])
async def test_a_database_that_is_newer_is_told_as_newer(db: Database, db_url: str, oldest: str | None) -> None:
    await at_revision(db, "9999", oldest)
    for work in (migrations.require_migrated, migrations.migrate):
        with pytest.raises(DatabaseError, match="is newer than this syncd: it is at revision 9999") as caught:
            await work(db)
        assert caught.value.exit_code == 3
        assert "Upgrade syncd" in caught.value.hint
    async with db.connection() as conn:
        assert await conn.fetchval("SELECT version_num FROM syncd.migrations") == "9999"


async def test_a_newer_database_that_admits_this_program_is_worked_on(make_bench: MakeBench, db: Database) -> None:
    await at_revision(db, "9999", migrations.newest_revision())
    await migrations.require_migrated(db)
    assert await migrations.migrate(db) == []
    bench = await make_bench()
    assert (await bench.sync("shop.stores")).outcome == "ok"


async def test_each_migration_stores_which_programs_it_admits(db: Database) -> None:
    async with db.connection() as conn:
        rows = dict(await conn.fetch("SELECT revision, oldest_program FROM syncd.compatibility"))
    names = {path.name[:4] for path in (migrations.migrations_dir() / "versions").glob("[0-9]*.py")}
    assert set(rows) == {name for name in names if name >= "0011"}
    assert set(rows.values()) <= names


# --- Encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_another_encoding_is_refused(
    server: embedded.Server, tmp_path: Path, encoding: str
) -> None:
    admin = await asyncpg.connect(**server.connect_arguments)
    name = f"encoded_{encoding.lower()}"
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        url = configuration.Secret(database_url(server, name))
        with pytest.raises(DatabaseError, match=f"has the encoding {encoding}") as caught:
            await database.connect(configuration.DatabaseConfig(url=url, data_dir=tmp_path))
        assert "--encoding=UTF8" in caught.value.hint
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


# --- Settings of the role or the database -----------------------------------------------------------------------------


HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "50",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "search_path": "evil, pg_catalog",
    "bytea_output": "escape",
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "sql_standard",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "extra_float_digits": "-15",
    "session_replication_role": "replica",
    "timezone": "'Pacific/Apia'",
    "enable_indexscan": "off",
    "row_security": "on",
    "client_min_messages": "debug5",
    "plan_cache_mode": "force_generic_plan",
    "quote_all_identifiers": "on",
}
EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '-infinity'::timestamptz $$;
CREATE FUNCTION evil.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$;
"""


@trial
async def test_hostile_settings_change_nothing(make_bench: MakeBench, db: Database, db_url: str) -> None:
    name = urlsplit(db_url).path[1:]
    changes = (f"ALTER DATABASE {name} SET {setting} = {value};" for setting, value in HOSTILE.items())
    await execute(db_url, EVIL + "".join(changes), role="postgres")
    db.drop_idle()
    bench = await make_bench(page_size=20)
    for stream in ("shop.customers", "shop.sales_orders", "cars.vehicles"):
        for kind in ("live", "sweep"):
            result = await bench.sync(stream, kind=kind)
            assert result.outcome == "ok", (stream, result.error)
    again = await bench.sync("shop.customers", kind="sweep")
    assert again.counts.unchanged == again.counts.seen > 60
    async with db.connection() as conn:
        assert await conn.fetchval("SHOW default_transaction_isolation") == "read committed"
        assert await conn.fetchval("SHOW search_path") == "public"
    checked = await syncd("check", "--config", bench.config_file())
    assert checked.code == 0, checked.out


SHUT = {
    "SET session_preload_libraries = 'gone'": ("lets no session begin: could not access file", "its server"),
    "ALLOW_CONNECTIONS false": ("lets no session begin: database", "is not currently accepting"),
    "CONNECTION LIMIT 0": ("cannot be reached: too many connections", "CONNECTION LIMIT"),
}


async def test_a_database_that_lets_no_session_begin_is_told_with_the_servers_words(
    db_url: str, tmp_path: Path
) -> None:
    name = urlsplit(db_url).path[1:]
    role = f"plain_of_{name}"  # a limit does not count for a superuser
    admin_url = db_url.replace(f"/{name}", "/postgres").replace("//syncd@", "//postgres@")
    await execute(db_url, f"CREATE ROLE {role} LOGIN", role="postgres")
    settings = configuration.DatabaseConfig(
        url=configuration.Secret(db_url.replace("//syncd@", f"//{role}@")), data_dir=tmp_path
    )
    try:
        for change, words in SHUT.items():
            await execute(admin_url, f"ALTER DATABASE {name} {change}", role="postgres")
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.connect(settings)
            assert all(word in caught.value.whole for word in words), caught.value.whole
            for back in ("RESET ALL", "ALLOW_CONNECTIONS true", "CONNECTION LIMIT -1"):
                await execute(admin_url, f"ALTER DATABASE {name} {back}", role="postgres")
    finally:
        await execute(admin_url, f"DROP ROLE {role}", role="postgres")


DAMAGES: dict[type[asyncpg.PostgresError], str] = {
    asyncpg.UndefinedFileError: 'could not open file "pg_tblspc/16400/PG_15_202209061/16384/16385": No such file',
    asyncpg.PostgresIOError: "could not fsync file",
    asyncpg.DataCorruptedError: "invalid page in block 0 of relation base/24590/16503",
    asyncpg.IndexCorruptedError: 'index "runs_pkey" contains unexpected zero page at block 3',
}


def test_damaged_files_of_the_server_are_told_as_that_and_cost_only_their_stream() -> None:
    for kind, words in DAMAGES.items():
        told = driver.meaning(kind(words), "postgresql://u@h/d")
        assert isinstance(told, DatabaseChanged)
        assert str(told).endswith(f"postgresql://u@h/d cannot read or write its own files: {words}")
        assert "its disks" in told.hint


@pytest.mark.parametrize("parameter", ["connect_timeout=10", "channel_binding=require"])
async def test_a_parameter_that_only_psql_knows_is_told(db_url: str, tmp_path: Path, parameter: str) -> None:
    url = configuration.Secret(f"{db_url}&{parameter}")
    with pytest.raises(DatabaseError, match=f'parameter "{parameter.partition("=")[0]}"') as caught:
        await database.connect(configuration.DatabaseConfig(url=url, data_dir=tmp_path))
    assert str(caught.value).startswith("database.url cannot be used")
    assert "Take that parameter out of it" in caught.value.hint


EVENT_TRIGGER = """
CREATE FUNCTION public.no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not at night'; END $$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION public.no_ddl();
"""


async def test_a_migration_that_an_event_trigger_refuses_is_told_and_changes_nothing(
    server: embedded.Server, db_url: str, tmp_path: Path
) -> None:
    name = f"{urlsplit(db_url).path[1:]}_bare"
    url = database_url(server, name)
    await execute(db_url, f"CREATE DATABASE {name} OWNER syncd", role="postgres")
    try:
        await execute(url, EVENT_TRIGGER, role="postgres")
        opened = await database.connect(configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=tmp_path))
        with pytest.raises(DatabaseError, match=r"not at night \(in PL/pgSQL function no_ddl") as caught:
            await migrations.migrate(opened)
        assert "Nothing was changed. An event trigger" in caught.value.hint
        async with opened.connection() as conn:
            assert await conn.fetchval("SELECT to_regnamespace('syncd')") is None
        await opened.close()
    finally:
        await execute(db_url, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")

"""A database that others use, too: their publications, settings, constraints, triggers, schemas, locks."""

import asyncio
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from syncd import config as configuration
from syncd.errors import DatabaseChanged, DatabaseError, DatabaseUnavailable, LockHeld
from syncd.sources import registry
from syncd.status import collect
from syncd.status.model import StreamStatus
from syncd.storage.postgres import database, driver, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state.runs import stream_lock
from tests.support.bench import Bench, MakeBench, database_url
from tests.support.command import syncd
from tests.support.daemon import Events

NO_IDENTITY = """
SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
  AND c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
"""


async def execute(url: str, statement: str, *, role: str = "syncd") -> None:
    """Execute statements as another client, by default as the owner of the database."""
    conn = await asyncpg.connect(url.replace("//syncd@", f"//{role}@"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


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


# --- What others demand of our rows -----------------------------------------------------------------------------------

CUSTOMERS = "cyclesoftware.customers"


def trigger(when: str, does: str, *, deferred: bool = False) -> str:
    kind, ending = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED") if deferred else ("TRIGGER", "")
    return f"""
    CREATE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.customer_id = {{key}} THEN {does}; END IF; RETURN NEW;
    END $$;
    CREATE {kind} guard {when} INSERT ON cyclesoftware.customers {ending} FOR EACH ROW
    EXECUTE FUNCTION public.guard();
    """


ALLOWED = "CREATE TABLE public.allowed (id bigint PRIMARY KEY); INSERT INTO public.allowed VALUES {others};"
KNOWN = "ALTER TABLE cyclesoftware.customers ADD CONSTRAINT known FOREIGN KEY (customer_id) REFERENCES public.allowed"
RULE = "ALTER TABLE cyclesoftware.customers ADD CONSTRAINT house_rule CHECK (customer_id <> {key})"
DOMAIN = """
DROP SCHEMA reporting CASCADE;
CREATE DOMAIN public.ids AS bigint CONSTRAINT not_that CHECK (value <> {key});
ALTER TABLE cyclesoftware.customers ALTER customer_id TYPE public.ids;
"""
TWICE = "(CASE WHEN customer_id IN ({key}, {first}) THEN 1 ELSE -customer_id END)"
UNIQUE = f"""
ALTER TABLE cyclesoftware.customers ADD COLUMN mine bigint GENERATED ALWAYS AS {TWICE} STORED;
CREATE UNIQUE INDEX once ON cyclesoftware.customers (mine);
"""
APART = f"ALTER TABLE cyclesoftware.customers ADD CONSTRAINT apart EXCLUDE USING btree ({TWICE} WITH =)"
REFUSALS = {
    "check": (RULE, "house_rule"),
    "check that is not valid": (RULE + " NOT VALID", "house_rule"),
    "domain": (DOMAIN, "not_that"),
    "foreign key": (ALLOWED + KNOWN, "known"),
    "deferred foreign key": (ALLOWED + KNOWN + " DEFERRABLE INITIALLY DEFERRED", "known"),
    "generated and unique": (UNIQUE, "once"),
    "exclusion": (APART, "apart"),
    "trigger that raises": (trigger("BEFORE", "RAISE 'not this one'"), "not this one"),
    "trigger with a code": (trigger("AFTER", "RAISE 'not this one' USING ERRCODE = 'U0001'"), "not this one"),
    "trigger that leaves out": (trigger("BEFORE", "RETURN NULL"), "a trigger on its table"),
    "deferred trigger": (trigger("AFTER", "RAISE 'not this one'", deferred=True), "not this one"),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_constraint_of_others_costs_the_guilty_row_only(make_bench: MakeBench, db_url: str, kind: str) -> None:
    bench = await make_bench(page_size=20)
    keys = [record["customer_id"] for record in bench.sandbox.truth("cyclesoftware", "customers")]
    key, ddl = keys[5], REFUSALS[kind][0]
    others = ", ".join(f"({other})" for other in keys if other != key)
    for name, value in {"key": key, "first": keys[0], "others": others}.items():
        ddl = ddl.replace(f"{{{name}}}", str(value))
    await execute(db_url, ddl)
    for run in ("live", "sweep"):
        result = await bench.sync("shop.customers", run)
        assert result.outcome == "ok", result.error
    stored = {row["customer_id"] for row in await bench.rows(CUSTOMERS)}
    assert set(keys) - stored in ({key}, {keys[0]})
    [reject] = await bench.fetch("SELECT reason FROM syncd.rejects")
    assert REFUSALS[kind][1] in reject["reason"]
    assert reject["reason"].startswith("PostgreSQL ")


async def test_a_column_that_must_not_be_null_costs_the_rows_without_it(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench(page_size=20)
    await execute(db_url, "ALTER TABLE cyclesoftware.customers ALTER company_name SET NOT NULL")
    result = await bench.sync("shop.customers")
    assert result.outcome == "ok", result.error
    rejects = await bench.fetch("SELECT reason FROM syncd.rejects")
    rows = await bench.rows(CUSTOMERS)
    assert len(rejects) > 0
    assert len(rows) + len(rejects) == len(bench.sandbox.truth("cyclesoftware", "customers"))
    assert all('column "company_name" of relation "customers"' in row["reason"] for row in rejects)


SWALLOW = """
CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.customer_id = {key} THEN RETURN NULL; END IF; RETURN NEW;
END $$;
CREATE TRIGGER swallow BEFORE UPDATE ON cyclesoftware.{table} FOR EACH ROW EXECUTE FUNCTION public.swallow()
"""


@pytest.mark.parametrize("table", ["customers", "customer_phone_numbers"])
async def test_a_trigger_that_keeps_a_row_as_it_was_is_told(make_bench: MakeBench, db_url: str, table: str) -> None:
    bench = await make_bench(page_size=20)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    records = [one for one in bench.sandbox.truth("cyclesoftware", "customers") if one["phone_numbers"]][:3]
    await execute(db_url, SWALLOW.format(key=records[0]["customer_id"], table=table))
    for record in records:
        phones = [{**phone, "phone_number": "0318-1234"} for phone in record["phone_numbers"]]
        bench.sandbox.put("cyclesoftware", "customers", {**record, "city": "Ede", "phone_numbers": phones})
    result = await bench.sync("shop.customers", "sweep")
    assert (result.outcome, result.counts.updated, result.counts.rejected) == ("ok", 2, 1), result.error
    [reject] = await bench.fetch("SELECT reason FROM syncd.rejects")
    assert "PostgreSQL leaves the row as it was: a trigger" in reject["reason"]
    bench.sandbox.delete("cyclesoftware", "customers", records[0]["customer_id"])
    buried = await bench.sync("shop.customers", "sweep")
    assert (buried.outcome, type(buried.error).__name__) == ("failed", "DatabaseChanged")
    assert f"a trigger on cyclesoftware.{table}" in str(buried.error)


# --- What others changed on our tables --------------------------------------------------------------------------------

BROKEN = """
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM gone(); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON cyclesoftware.customers FOR EACH ROW EXECUTE FUNCTION public.f();
"""
CHANGES = {
    "ALTER TABLE cyclesoftware.customers DROP COLUMN email CASCADE": "email",
    "ALTER TABLE cyclesoftware.customers RENAME COLUMN email TO mail": "email",
    "ALTER TABLE cyclesoftware.customers ALTER discount_percentage TYPE text": "discount_percentage",
    "ALTER TABLE cyclesoftware.customers ALTER vat_number TYPE bigint USING NULL": "vat_number",
    "DROP TABLE cyclesoftware.customers CASCADE": "cyclesoftware.customers",
    "ALTER TABLE cyclesoftware.customers RENAME TO clients": "cyclesoftware.customers",
    "ALTER TABLE cyclesoftware.customer_phone_numbers SET SCHEMA public": "customer_phone_numbers",
    "ALTER TABLE cyclesoftware.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY": "customers",
    "REVOKE INSERT ON cyclesoftware.customers FROM syncd": "customers",
    "ALTER TABLE cyclesoftware.customers OWNER TO postgres": "customers",
    BROKEN: "gone()",
    "ALTER TABLE cyclesoftware.customers REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR ALL TABLES": "customers",
    "ALTER SCHEMA cyclesoftware RENAME TO cs": "cyclesoftware",
}


async def test_nothing_is_told_of_tables_as_the_migrations_make_them(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    told = await bench.fetch("SELECT count(*) AS n FROM pg_constraint WHERE contype = 'f' AND conname ~ '_fkey$'")
    major = (await bench.fetch("SHOW server_version_num"))[0]["server_version_num"][:2]
    assert told[0]["n"] > 0 or int(major) < 18, "the keys that tell tools of relations are not there"
    ended = await syncd("check", "--config", bench.config_file())
    assert ended.code == 0, ended.out
    assert "foreign key" not in ended.out
    assert "which is not of syncd" not in ended.out


WARNINGS = """
CREATE PUBLICATION filtered FOR TABLE cyclesoftware.stores WHERE (store_gln = 'x'), cyclesoftware.stock (source);
ALTER TABLE cyclis.dealers SET UNLOGGED;
ALTER TABLE cyclis.companies DISABLE TRIGGER syncd_deleted;
"""


async def test_check_warns_of_what_only_a_later_day_would_show(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    statement = WARNINGS
    if int((await bench.fetch("SHOW server_version_num"))[0]["server_version_num"]) < 15_00_00:
        statement = statement.partition("\n")[2].partition("\n")[2]  # 14 publishes whole tables only
    await execute(db_url, statement, role="postgres")
    told = " ".join((await syncd("check", "--config", bench.config_file())).out.split())
    assert "cyclis.dealers is unlogged" in told
    assert "a trigger of syncd on cyclis.companies is off" in told
    if "PUBLICATION" in statement:
        assert "cyclesoftware.stores is published by filtered in part (some rows)" in told
        assert "cyclesoftware.stock is published by filtered in part (some columns)" in told


@pytest.mark.parametrize("ddl", CHANGES)
async def test_a_change_of_others_is_told_with_the_object_and_costs_only_its_stream(
    make_bench: MakeBench, db_url: str, ddl: str
) -> None:
    bench = await make_bench(page_size=20)
    if "ALTER COLUMN" in ddl or " TYPE " in ddl or "VIEW" in ddl:
        await execute(db_url, "DROP SCHEMA reporting CASCADE")  # its views hold the column
    if "IDENTITY" in ddl:
        assert (await bench.sync("shop.customers")).outcome == "ok"
    await execute(db_url, ddl, role="postgres")
    if "IDENTITY" in ddl:
        record = bench.sandbox.truth("cyclesoftware", "customers")[0]
        bench.sandbox.put("cyclesoftware", "customers", {**record, "city": "Ede"})
    result = await bench.sync("shop.customers", "sweep")
    assert result.outcome == "failed"
    assert result.error is not None
    assert CHANGES[ddl] in str(result.error)
    assert "defect" not in str(result.error)
    assert result.error.hint
    assert (await bench.sync("lease.dealers")).outcome == "ok"
    ended = await syncd("check", "--config", bench.config_file())
    assert CHANGES[ddl].rpartition(".")[2].removesuffix("()") in ended.out or "trigger t" in ended.out
    assert ended.code == (0 if "trigger t" in ended.out else 3), ended.out
    assert "defect" not in ended.out + ended.err


RAISING = """
CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
CREATE TRIGGER house BEFORE {when} ON syncd.{table} FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""
ON_STATE = {
    "ALTER TABLE syncd.runs ADD CONSTRAINT house CHECK (stream <> 'customers') NOT VALID": "syncd.runs",
    "ALTER TABLE syncd.budgets ADD CONSTRAINT house CHECK (source <> 'shop') NOT VALID": "syncd.budgets",
    "ALTER TABLE syncd.seen ADD CONSTRAINT house CHECK (false) NOT VALID": "syncd.seen",
    RAISING.format(when="UPDATE", table="runs"): "not today",
    RAISING.format(when="INSERT OR UPDATE", table="cursors"): "not today",
    "CREATE RULE house AS ON INSERT TO syncd.runs DO INSTEAD NOTHING": "runs",
}
MENDED = """
ALTER TABLE syncd.runs DROP CONSTRAINT IF EXISTS house; ALTER TABLE syncd.budgets DROP CONSTRAINT IF EXISTS house;
DROP TRIGGER IF EXISTS house ON syncd.runs; DROP TRIGGER IF EXISTS house ON syncd.cursors;
DROP RULE IF EXISTS house ON syncd.runs; ALTER TABLE syncd.seen DROP CONSTRAINT IF EXISTS house;
"""


async def test_what_others_demand_of_our_state_is_told_and_is_no_defect(
    make_bench: MakeBench, db_url: str, events: Events
) -> None:
    bench = await make_bench(page_size=20)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    for ddl, named in ON_STATE.items():
        await execute(db_url, ddl)
        result = await bench.sync("shop.customers", "sweep")
        assert (result.outcome, type(result.error).__name__) == ("failed", "DatabaseChanged"), ddl
        assert named in str(result.error)
        if "budgets" in ddl:
            ended = await syncd("check", "--config", bench.config_file())
            assert (ended.code, "Traceback" in ended.err) == (3, False), ended.err
            assert "syncd.budgets has the constraint house" in ended.out
            for source in ("shop", "lease", "cars", "parts"):
                assert f"source {source}" in ended.out, "one refusal ended the check of other sources"
        await execute(db_url, MENDED)
    assert "run_crashed" not in [event["event"] for event in events]
    assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"


CARE = (
    "CREATE INDEX CONCURRENTLY mine ON cyclesoftware.customers (name)",
    "ALTER TABLE cyclesoftware.customers ADD COLUMN note text, ADD COLUMN seen_at timestamptz DEFAULT now()",
    "VACUUM FULL cyclesoftware.customers",
    "REINDEX TABLE CONCURRENTLY cyclesoftware.customers",
    "CLUSTER cyclesoftware.customer_phone_numbers USING customer_phone_numbers_pkey",
    "ALTER TABLE cyclesoftware.customers DROP COLUMN note",
    "ANALYZE",
)


async def test_care_for_the_tables_while_runs_go_on_costs_no_run(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench(page_size=20)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    records = bench.sandbox.truth("cyclesoftware", "customers")
    for at, statement in enumerate(CARE):
        for record in records[:10]:
            bench.sandbox.put("cyclesoftware", "customers", {**record, "city": f"Ede {at}"})
        result, _ = await asyncio.gather(bench.sync("shop.customers", "sweep"), execute(db_url, statement))
        assert (result.outcome, result.counts.updated) == ("ok", 10), (statement, result.error)
    assert (await bench.sync("shop.customers", "sweep")).counts.updated == 0


# --- Rows that others delete ------------------------------------------------------------------------------------------


async def state_of(bench: Bench, stream: str) -> StreamStatus:
    found = await collect(bench.db, bench.config, registry(), now=bench.time.now())
    return next(one for one in found.streams if one.name == stream)


DELETIONS = {
    "TRUNCATE cyclesoftware.customers CASCADE": "cyclesoftware.customers",
    "TRUNCATE cyclesoftware.customers, cyclesoftware.customer_phone_numbers CASCADE": "customer_phone_numbers",
    "DELETE FROM cyclesoftware.customers WHERE customer_id % 2 = 0": "cyclesoftware.customers",
    "TRUNCATE cyclesoftware.customer_phone_numbers": "cyclesoftware.customer_phone_numbers",
    "SET session_replication_role = replica; DELETE FROM cyclesoftware.customers": "cyclesoftware.customers",
}


@pytest.mark.parametrize("statement", DELETIONS)
async def test_rows_that_others_delete_are_missed_and_a_full_sync_brings_them_back(
    make_bench: MakeBench, db_url: str, statement: str
) -> None:
    bench = await make_bench(page_size=20)
    for stream in ("shop.customers", "shop.stores"):
        await bench.sync(stream)
    tables = (CUSTOMERS, "cyclesoftware.customer_phone_numbers")
    content = "SELECT count(*), sum(hashtextextended((t.*)::text, 0)) FROM (SELECT {} FROM {}) t"
    columns = ["customer_id, name, email, _deleted_at", "customer_id, phone_number_id, phone_number, _deleted_at"]
    queries = [content.format(*pair) for pair in zip(columns, tables, strict=True)]
    before = [await bench.fetch(query) for query in queries]
    assert (await state_of(bench, "shop.customers")).state == "fresh"
    await execute(db_url, statement, role="postgres")
    await bench.sync("shop.customers")  # a live run finds nothing new, and does not make it whole
    told = await state_of(bench, "shop.customers")
    assert told.state == "failing"
    assert "rows are missing" in told.why
    assert DELETIONS[statement] in told.why
    assert "by role postgres" in told.why
    assert "syncd sync shop.customers --full" in told.why
    assert (await state_of(bench, "shop.stores")).state == "fresh"
    checked = await syncd("check", "--config", bench.config_file())
    assert "rows are missing" in checked.out
    assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
    assert (await state_of(bench, "shop.customers")).state == "fresh"
    assert [await bench.fetch(query) for query in queries] == before


async def test_of_a_stream_that_only_a_backfill_lists_the_backfill_brings_rows_back(
    make_bench: MakeBench, db_url: str
) -> None:
    bench = await make_bench()
    since = bench.time.now() - timedelta(days=3650)
    await bench.sync("shop.sales_orders", "backfill", since=since)
    await bench.sync("shop.sales_orders")
    count = len(await bench.rows("cyclesoftware.sales_orders"))
    assert count > 0
    await execute(db_url, "TRUNCATE cyclesoftware.sales_orders CASCADE")
    told = await state_of(bench, "shop.sales_orders")
    assert (told.state, "syncd backfill shop.sales_orders --since" in told.why) == ("failing", True)
    await bench.sync("shop.sales_orders", "backfill", since=since - timedelta(days=1))
    assert len(await bench.rows("cyclesoftware.sales_orders")) == count
    assert (await state_of(bench, "shop.sales_orders")).state == "fresh"


async def test_every_table_of_the_mirror_is_watched(db: Database) -> None:
    query = """
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attname = '_first_seen_at' AND c.relkind = 'r'
      AND 2 <> (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A')
    """
    async with db.connection() as conn:
        assert await conn.fetchval("SELECT count(DISTINCT tgrelid) FROM pg_trigger WHERE tgenabled = 'A'") > 15
        assert [row["name"] for row in await conn.fetch(query)] == []


# --- Locks ------------------------------------------------------------------------------------------------------------


async def test_who_knows_only_the_words_of_a_lock_cannot_take_it(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    stranger = await asyncpg.connect(db_url.replace("//syncd@", "//postgres@"))
    try:
        numbers = [stream_lock("shop", "stores", kind) for kind in ("live", "backfill")]
        numbers.append(lock_number("table", "shop", bench.syncer.target("shop", "stores").name))
        for number in numbers:
            await stranger.execute("SELECT pg_advisory_lock($1)", number)
        async with asyncio.timeout(20):
            assert (await bench.sync("shop.stores")).outcome == "ok"
    finally:
        await stranger.close()


async def test_a_stranger_who_holds_a_lock_is_named(make_bench: MakeBench, db_url: str) -> None:
    bench = await make_bench()
    stranger = await asyncpg.connect(
        db_url.replace("//syncd@", "//postgres@"), server_settings={"application_name": "a BI tool"}
    )
    try:
        await stranger.execute("SELECT pg_advisory_lock(syncd.lock_key($1))", stream_lock("shop", "stores", "live"))
        with pytest.raises(LockHeld, match=r"its lock is held by role postgres \(session \d+ .*a BI tool") as caught:
            await bench.sync("shop.stores")
        assert f"pg_terminate_backend({stranger.get_server_pid()})" in caught.value.hint
        checked = await syncd("check", "--config", bench.config_file())
        assert "the lock of shop.stores is held by role postgres" in checked.out
        await stranger.execute(f"SELECT pg_advisory_unlock_all(), pg_advisory_lock({migrations.LOCK})")
        with pytest.raises(DatabaseError, match="the lock of migrations is held by role postgres"):
            await migrations.migrate(bench.db)
    finally:
        await stranger.close()


async def test_a_process_of_an_older_version_and_a_new_one_never_run_a_stream_at_once(
    make_bench: MakeBench, db_url: str
) -> None:
    bench = await make_bench()
    number = stream_lock("shop", "stores", "live")
    old = await asyncpg.connect(db_url)
    try:
        opening = "SELECT taken FROM syncd.open_run($1, 'shop', 'stores', 'live', 'live', 'live', now(), 'old', 1)"
        assert await old.fetchval(opening, number)
        with pytest.raises(LockHeld):
            await bench.sync("shop.stores")
        await old.fetchval("SELECT pg_advisory_unlock($1)", number)  # as it gives its lock back: in vain
        with pytest.raises(LockHeld):
            await bench.sync("shop.stores")
        assert await old.fetchval(opening, number)
    finally:
        await old.close()
    assert (await bench.sync("shop.stores")).outcome == "ok"

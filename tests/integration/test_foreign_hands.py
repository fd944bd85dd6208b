"""What others demand of our rows, and what they changed on our tables."""

import asyncio

import pytest

from tests.support.bench import MakeBench
from tests.support.command import syncd
from tests.support.daemon import Events
from tests.support.foreign import execute
from tests.support.search import sampled

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


@pytest.mark.parametrize("kind", sampled(REFUSALS, every=3))
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


@pytest.mark.parametrize("ddl", sampled(CHANGES, every=3))
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

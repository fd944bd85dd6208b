"""A database that has schemas `reporting` and `history` of its own."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from syncd import config
from syncd.errors import DatabaseError
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.schemas import rewritten
from tests.support.bench import database_url, open_bench
from tests.support.command import syncd
from tests.support.search import trial

NAMES = config.Schemas(reporting="syncd_reporting", history="syncd_history")
FOREIGN = "CREATE SCHEMA reporting; CREATE TABLE reporting.stores (mine int); CREATE SCHEMA history"
USUAL = config.Schemas()
_numbers = itertools.count(1)

Make = Callable[..., Awaitable[Database]]


@pytest.fixture
async def make(server: embedded.Server, tmp_path: Path) -> AsyncIterator[Make]:
    """Make a database that holds what the statements make, and open it with these names of schemas."""
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(**server.connect_arguments)
        stack.push_async_callback(admin.close)

        async def made(statements: str, names: config.Schemas = USUAL) -> Database:
            name = f"foreign_{next(_numbers)}"
            await admin.execute(f"CREATE DATABASE {name}")
            stack.push_async_callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
            url = config.Secret(database_url(server, name))
            opened = await database.connect(config.DatabaseConfig(url=url, data_dir=tmp_path, schemas=names))
            stack.push_async_callback(opened.close)
            async with opened.connection() as conn:
                await conn.execute(statements)
            return opened

        yield made


async def test_a_schema_of_others_is_refused_with_the_way_out(make: Make) -> None:
    opened = await make(FOREIGN)
    with pytest.raises(DatabaseError, match=r"the schema reporting .* holds objects that are not of syncd") as caught:
        await migrations.migrate(opened)
    assert '[database.schemas] reporting = "syncd_reporting"' in caught.value.hint
    assert await migrations.revision(opened) is None
    async with opened.connection() as conn:
        assert await conn.fetch("SELECT mine FROM reporting.stores") == []


@trial
async def test_empty_schemas_are_adopted(make: Make) -> None:
    opened = await make("CREATE SCHEMA reporting; CREATE SCHEMA history")
    assert await migrations.migrate(opened)
    async with opened.connection() as conn:
        assert await conn.fetch("SELECT * FROM reporting.freshness") == []
    assert await migrations.migrate(opened) == []


@trial
async def test_ours_lie_under_the_configured_names(make: Make, tmp_path: Path) -> None:
    opened = await make(FOREIGN + "; CREATE TABLE history.cyclesoftware_customers (mine int)", NAMES)
    await migrations.migrate(opened)
    await migrations.require_migrated(opened)
    async with opened.connection() as conn:
        ours = await conn.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'reporting'::regnamespace")
        assert ours == 1  # the table of others, and nothing more
        mentioned = await conn.fetch(
            r"SELECT proname FROM pg_proc WHERE prosrc ~ '\m(reporting|history)\.(?!now'')' AND proname <> 'watch'"
        )
        assert mentioned == []
    async with AsyncExitStack() as stack:
        name = opened.shown.rpartition("/")[2]
        url = opened._url
        extra = '\n[database.schemas]\nreporting = "syncd_reporting"\nhistory = "syncd_history"\n'
        bench = await open_bench(stack, opened, url, tmp_path, extra=extra, keeps=True)
        assert name in url
        assert (await bench.sync("shop.customers")).outcome == "ok"
        record = bench.sandbox.truth("cyclesoftware", "customers")[0]
        bench.sandbox.put("cyclesoftware", "customers", {**record, "city": "Ede"})
        assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
        assert len(await bench.fetch("SELECT FROM syncd_history.cyclesoftware_customers")) == 1
        assert await bench.fetch("SELECT FROM history.cyclesoftware_customers") == []
        assert len(await bench.fetch("SELECT FROM syncd_reporting.customers")) > 50
        path = bench.config_file(extra)
        reported = await syncd("report", "customers_by_city", "--config", path)
        assert (reported.code, reported.err) == (0, "")
        assert "Amersfoort" in reported.out
        checked = await syncd("check", "--config", path)
        assert checked.code == 0, checked.out
        forgotten = await syncd("forget", "shop.customers", str(record["customer_id"]), "--yes", "--config", path)
        assert forgotten.code == 0, forgotten.err
        assert await bench.fetch("SELECT FROM syncd_history.cyclesoftware_customers") == []


@trial
async def test_names_other_than_those_of_the_migration_are_refused(make: Make) -> None:
    opened = await make("SELECT 1")
    await migrations.migrate(opened)
    opened.schemas = NAMES
    with pytest.raises(DatabaseError, match=r"the database has no syncd_reporting\.freshness"):
        await migrations.require_migrated(opened)


def test_the_setting_that_bears_the_name_of_a_schema_keeps_it() -> None:
    sql = "CREATE FUNCTION reporting.now() AS 'SELECT current_setting(''reporting.now'')' -- SET reporting.now"
    assert rewritten(sql, NAMES) == sql.replace("FUNCTION reporting", "FUNCTION syncd_reporting")
    assert rewritten("CREATE SCHEMA history", NAMES) == "CREATE SCHEMA syncd_history"
    assert rewritten("the history. Of rows; reporting.stores", NAMES) == "the history. Of rows; syncd_reporting.stores"

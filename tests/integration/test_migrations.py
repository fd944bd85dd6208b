"""The migrations bring an empty database to the tables that the sources declare, and nothing else."""

import ast
import asyncio
import itertools
import os
import re
import runpy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from syncd import config
from syncd.errors import DatabaseError
from syncd.sources import registry
from syncd.storage.mirror import tables
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import database_url
from tests.support.search import trial

TAGS = re.compile(r"\A(@foreignKey [^\n]*\n)+")
META = tables.metadata(registry().values())
SCHEMAS = sorted({table.schema for table in META.tables.values() if table.schema})
_numbers = itertools.count(1)

COLUMNS = r"""
SELECT c.relnamespace::regnamespace || '.' || c.relname AS table,
       regexp_replace(obj_description(c.oid, 'pg_class'), '^(@foreignKey [^\n]*\n)+', '') AS table_comment,
       a.attname, a.attidentity, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid) AS default,
       col_description(c.oid, a.attnum) AS comment
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = ANY($1::text[]::regnamespace[])
ORDER BY 1, a.attname
"""
CONSTRAINTS = """
SELECT connamespace::regnamespace || '.' || c.relname AS table, conname, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE connamespace = ANY($1::text[]::regnamespace[]) AND contype <> 'f' ORDER BY 1, 2
"""
INDEXES = "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname = ANY($1) ORDER BY 1, 2"

Make = Callable[..., Awaitable[list[Database]]]


@pytest.fixture
async def make_empty(server: embedded.Server, tmp_path: Path) -> AsyncIterator[Make]:
    """Make databases without any table; each is opened so many times."""
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(**server.connect_arguments)
        stack.push_async_callback(admin.close)

        async def make(times: int = 1) -> list[Database]:
            name = f"migrations_{os.getpid()}_{next(_numbers)}"
            await admin.execute(f"CREATE DATABASE {name}")
            stack.push_async_callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
            place = config.DatabaseConfig(url=config.Secret(database_url(server, name)), data_dir=tmp_path)
            opened = [await database.connect(place) for _ in range(times)]
            for each in opened:
                stack.push_async_callback(each.close)
            return opened

        yield make


async def fetch(opened: Database, query: str, *values: Any) -> list[dict[str, Any]]:
    async with opened.connection() as conn:
        return [dict(row) for row in await conn.fetch(query, *values)]


async def described(opened: Database) -> dict[str, list[dict[str, Any]]]:
    """Return all that PostgreSQL knows of our tables, but for the table of the migrations themselves."""
    found = {query: await fetch(opened, query, SCHEMAS) for query in (COLUMNS, CONSTRAINTS, INDEXES)}
    return {
        query: [row for row in rows if "syncd.migrations" not in (row.get("table"), *str(row.get("indexdef")).split())]
        for query, rows in found.items()
    }


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    if kind == "schema":
        return name in SCHEMAS
    return bool(parents.get("schema_qualified_table_name") != "syncd.migrations")


def is_relation(difference: Any) -> bool:
    """Say whether a difference is only that migration 0038 tells tools what leads to what, as a key or in a comment."""
    if difference[0] == "remove_fk":
        return str(difference[1].name).endswith("_fkey")  # test_views says that it is not enforced
    return difference[0] == "add_table_comment" and bool(TAGS.sub("", difference[2] or "") == difference[1].comment)


@trial
async def test_upgrading_from_empty_leaves_no_difference_to_the_declared_tables(db_url: str) -> None:
    def compare(conn: sa.Connection) -> Any:
        options = {
            "compare_type": True, "compare_server_default": True, "include_schemas": True, "include_name": is_ours,
            # Alembic cannot compare expressions; the next test compares every index to the letter
            "include_object": lambda _object, _name, kind, _reflected, _other: kind != "index",
        }  # fmt: skip
        found = compare_metadata(MigrationContext.configure(conn, opts=options), META)
        return [each for each in found if not is_relation(each)]

    # our role bears the name of a schema, which so becomes its default: Alembic would leave it out of table names
    connect = partial(asyncpg.connect, db_url, server_settings={"search_path": "public"})
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.connect() as conn:
        assert await conn.run_sync(compare) == []
    await engine.dispose()


async def test_upgrading_from_empty_makes_what_the_declared_tables_make_in_every_detail(
    db: Database, make_empty: Make
) -> None:
    [declared] = await make_empty()
    async with migrations.engine_of(declared).begin() as conn:
        for schema in SCHEMAS:
            await conn.exec_driver_sql(f"CREATE SCHEMA {schema}")
        await conn.run_sync(META.create_all)
    assert await described(db) == await described(declared)


async def test_the_schemas_are_those_of_the_sources_and_are_commented(db: Database) -> None:
    query = (
        "SELECT nspname AS schema, obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace"
        " WHERE nspname <> ALL('{public,information_schema,reporting}') AND nspname NOT LIKE 'pg\\_%'"
    )
    found = {row["schema"]: row["comment"] for row in await fetch(db, query)}
    assert found.pop("syncd_queue")  # PgQueuer's own tables, which nobody here declares
    assert sorted(found) == SCHEMAS
    assert {source.type: source.schema_comment for source in registry().values()}.items() <= found.items()
    assert found["syncd"]


async def test_every_table_and_every_column_bears_a_comment(db: Database) -> None:
    rows = await fetch(db, COLUMNS, SCHEMAS)
    assert len({row["table"] for row in rows}) > len(META.tables)
    assert [row["table"] for row in rows if not row["table_comment"]] == []
    assert [f"{row['table']}.{row['attname']}" for row in rows if not row["comment"]] == []


@trial
async def test_migrating_again_does_nothing(make_empty: Make) -> None:
    [opened] = await make_empty()
    assert await migrations.revision(opened) is None
    assert (await migrations.migrate(opened))[-1] == migrations.newest_revision()
    before = await described(opened), await fetch(opened, "SELECT xmin::text, * FROM syncd.migrations")
    assert await migrations.migrate(opened) == []
    assert (await described(opened), await fetch(opened, "SELECT xmin::text, * FROM syncd.migrations")) == before
    await migrations.require_migrated(opened)


@trial
async def test_migrating_many_times_at_once_is_safe(make_empty: Make, db: Database) -> None:
    opened = await make_empty(times=4)
    await asyncio.gather(*map(migrations.migrate, opened))
    await migrations.require_migrated(opened[0])
    assert await described(opened[0]) == await described(db)


async def test_a_migration_that_fails_leaves_nothing_behind(make_empty: Make) -> None:
    [opened] = await make_empty()
    async with opened.connection() as conn:  # stands in the way of the last migration
        await conn.execute("CREATE SCHEMA ghs; CREATE TABLE ghs.orders ()")
    with pytest.raises(Exception, match="already exists"):
        await migrations.migrate(opened)
    assert await migrations.revision(opened) is None
    assert await fetch(opened, "SELECT FROM pg_namespace WHERE nspname IN ('syncd', 'cyclis')") == []


async def test_a_database_that_is_not_migrated_is_refused_with_what_to_do(make_empty: Make) -> None:
    [opened] = await make_empty()
    with pytest.raises(DatabaseError, match="revision none") as caught:
        await migrations.require_migrated(opened)
    assert "syncd migrate" in caught.value.hint


def test_migrations_are_frozen_they_import_nothing_of_syncd() -> None:
    files = sorted(migrations.migrations_dir().rglob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, file
                names = [node.module or ""]
            assert all(name.split(".")[0] != "syncd" for name in names), f"{file.name} imports {names}"


async def test_values_that_nobody_could_read_are_mended(db: Database) -> None:
    """What was stored by a program before revision 0014."""
    statements = runpy.run_path(str(migrations.migrations_dir() / "versions" / "0014_values.py"))["STATEMENTS"]
    async with db.connection() as conn:
        await conn.execute(
            "INSERT INTO ghs.urgent_messages (source, id, start_date, title, _extra, _hash, _first_seen_at,"
            " _changed_at)"
            " VALUES ('p', 1, '0044-03-15 12:00:00+00 BC', 'bc', NULL, 'x', now(), now()),"
            " ('p', 2, '10000-01-01 04:59:59+00', 'late', '{\"new\": 1}', 'x', now(), now()),"
            " ('p', 3, '2026-01-01', 'good', NULL, 'x', now(), now())"
        )
        await conn.execute(
            "INSERT INTO cyclesoftware.stock_items (source, account_id, object_id, stocked_at, _first_seen_at,"
            " _changed_at) VALUES ('s', 1, 1, 'infinity', now(), now()), ('s', 1, 2, '-infinity', now(), now()),"
            " ('s', 1, 3, '2026-01-01', now(), now())"
        )
        await conn.execute(
            "INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)"
            " SELECT 's', 'customers', 'field_' || chr(97 + n / 26) || chr(97 + n % 26), 'appeared', now(), now(), 2,"
            " '9' FROM generate_series(0, 549) n"
            " UNION ALL SELECT 's', 'customers', unnest(ARRAY['jan@x.nl', '+31612345678', 'k123456789']), 'vanished',"
            " now(), now(), 3, '9'"
        )
        for statement in statements:
            await conn.execute(statement)
    messages = await fetch(db, "SELECT start_date IS NULL AS gone, _extra, _hash FROM ghs.urgent_messages ORDER BY id")
    assert [(row["gone"], row["_hash"]) for row in messages] == [(True, None), (True, None), (False, b"x")]
    assert [row["_extra"] for row in messages] == [
        '{"start_date": "0044-03-15 12:00:00+00 BC"}', '{"new": 1, "start_date": "10000-01-01 04:59:59+00"}', None,
    ]  # fmt: skip
    days = await fetch(db, "SELECT stocked_at::text AS day FROM cyclesoftware.stock_items ORDER BY object_id")
    assert [row["day"] for row in days] == ["9999-12-31", "0001-01-01", "2026-01-01"]
    others = await fetch(db, "SELECT change, occurrences FROM syncd.drift WHERE field = '(other fields)' ORDER BY 1")
    assert others == [{"change": "appeared", "occurrences": 100}, {"change": "vanished", "occurrences": 9}]
    assert (await fetch(db, "SELECT count(*) AS n, sum(occurrences) AS met FROM syncd.drift"))[0] == {
        "n": 502, "met": 550 * 2 + 9,
    }  # fmt: skip

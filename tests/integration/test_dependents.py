"""What users build on our views and tables does not stand in the way of a migration, nor does a migration break it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from syncd import config
from syncd.errors import DatabaseError
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import database_url
from tests.support.search import trial

FIRST = "0006"
"""The first revision with views of ours."""
DESTRUCTIVE = re.compile(
    r"\b(DROP\s+(VIEW|COLUMN|TABLE|SCHEMA|MATERIALIZED|TYPE|FUNCTION)|ALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE|RENAME)\b",
    re.IGNORECASE,
)
EXCEPTIONS: dict[str, str] = {
    "0020": "a column of ghs.products changes its type in place; the migration makes views that read it anew",
}
"""Migrations that drop something all the same, each with the reason why nobody can depend on it."""
OURS = """
SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('reporting', 'cyclesoftware', 'cyclis', 'autengo', 'ghs', 'syncd')
  AND c.relname <> 'migrations'
ORDER BY 1
"""


def destructive(texts: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name}: {found[0]}" for name, text in texts for found in DESTRUCTIVE.finditer(text)]


def test_no_migration_drops_what_others_may_depend_on() -> None:
    files = sorted((migrations.migrations_dir() / "versions").glob("[0-9]*.py"))
    later = [(file.name[:4], file.read_text()) for file in files if file.name[:4] >= FIRST]
    assert len(later) > 5
    assert [told for told in destructive(later) if told[:4] not in EXCEPTIONS] == []
    assert len(destructive([("x", "DROP VIEW a; ALTER TABLE b ALTER c TYPE text; alter table d rename to e")])) == 3


@pytest.fixture
async def old(server: embedded.Server, tmp_path: Path) -> Any:
    """A database at FIRST."""
    admin = await asyncpg.connect(**server.connect_arguments)
    await admin.execute("CREATE DATABASE dependents")
    url = config.Secret(database_url(server, "dependents"))
    opened = await database.connect(config.DatabaseConfig(url=url, data_dir=tmp_path))
    settings = Config()
    settings.set_main_option("script_location", str(migrations.migrations_dir()))

    def upgrade(conn: sa.Connection) -> None:
        settings.attributes["connection"] = conn
        command.upgrade(settings, FIRST)

    async with migrations.engine_of(opened).begin() as conn:
        await conn.run_sync(upgrade)
    yield opened
    await opened.close()
    await admin.execute("DROP DATABASE dependents WITH (FORCE)")
    await admin.close()


@trial
async def test_views_of_users_outlive_all_migrations(old: Database) -> None:
    async with old.connection() as conn:
        names = [row["name"] for row in await conn.fetch(OURS)]
        assert len(names) > 40
        for place, name in enumerate(names):
            await conn.execute(f"CREATE VIEW public.plain_{place} AS SELECT * FROM {name}")
            await conn.execute(f"CREATE MATERIALIZED VIEW public.stored_{place} AS SELECT * FROM {name}")
    assert (await migrations.migrate(old))[0] > FIRST
    async with old.connection() as conn:
        for place, _ in enumerate(names):
            await conn.fetch(f"SELECT * FROM public.plain_{place} LIMIT 1")
            await conn.execute(f"REFRESH MATERIALIZED VIEW public.stored_{place}")


async def test_an_object_that_stands_in_the_way_is_named(old: Database) -> None:
    async with old.connection() as conn:
        await conn.execute("CREATE VIEW public.mine AS SELECT * FROM reporting.stores")
    with pytest.raises(DatabaseError, match=r"view mine depends on view reporting\.stores") as caught:
        async with old.connection() as conn:
            await conn.execute("DROP VIEW reporting.stores")
    assert "drop them" in caught.value.hint
    with pytest.raises(DatabaseError, match=r"on view reporting\.\w+ depends on column"):
        async with old.connection() as conn:
            await conn.execute("ALTER TABLE cyclesoftware.stores ALTER store_name TYPE varchar")

"""The migration of GHS' columns: what is stored stays, `_extra` is read anew, and users' views stand again."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from syncd import config
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import database_url
from tests.support.search import trial

BEFORE = "0019"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
EXTRAS = {
    "000000001": {
        "availableLinkedWarehouse": "/Date(1400000000000-0000)/", "availableNextRoute": "/Date(-62135596800000)/",
        "articleDataId": "0012", "aldoc": {"brandId": 3}, "other": 1,
    },
    "000000002": {"availableLinkedWarehouse": "/Date(1400000000123)/"},
    "000000003": {},
}  # fmt: skip
ACCOUNT = {
    "linkedWarehouse": {"name": "HOOFD", "warehouseEmail": "m@example.com", "shouldEmailExternalOrders": "NO"},
    "linkedCompany": {"linkedCompanyId": "GHS", "b2BUrl": None}, "district": 7, "tireCounts": {"lastYear": {}},
    "hasMijnGrossierAccounts": True, "userSettings": {"language": "nl", "lastId": "SECRET", "lastIdType": "passport"},
}  # fmt: skip


@pytest.fixture
async def old(server: embedded.Server, tmp_path: Path) -> AsyncIterator[Database]:
    """A database at BEFORE."""
    admin = await asyncpg.connect(**server.connect_arguments)
    await admin.execute("CREATE DATABASE ghs_columns")
    url = config.Secret(database_url(server, "ghs_columns"))
    opened = await database.connect(config.DatabaseConfig(url=url, data_dir=tmp_path))
    settings = Config()
    settings.set_main_option("script_location", str(migrations.migrations_dir()))

    def upgrade(conn: sa.Connection) -> None:
        settings.attributes["connection"] = conn
        command.upgrade(settings, BEFORE)

    async with migrations.engine_of(opened).begin() as conn:
        await conn.run_sync(upgrade)
    yield opened
    await opened.close()
    await admin.execute("DROP DATABASE ghs_columns WITH (FORCE)")
    await admin.close()


async def _fill(conn: asyncpg.Connection) -> None:
    for number, (key, extra) in enumerate(EXTRAS.items()):
        await conn.execute(
            "INSERT INTO ghs.products (source, id, article_data_id, available_linked_warehouse, _first_seen_at,"
            " _changed_at, _extra, _hash) VALUES ('parts', $1, $2, $3, $4, $4, $5, 'x')",
            key, None if number == 0 else number, number == 2, NOW, json.dumps(extra) if extra else None,
        )  # fmt: skip
    await conn.execute(
        "INSERT INTO history.ghs_products (source, id, article_data_id, _extra, valid_from, valid_to)"
        " VALUES ('parts', '000000001', 7, $1, $2, $2)", json.dumps(EXTRAS["000000002"]), NOW,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO ghs.account (source, user_id, _first_seen_at, _changed_at, _extra)"
        " VALUES ('parts', '1', $1, $1, $2)",
        NOW, json.dumps(ACCOUNT),
    )  # fmt: skip
    await conn.execute("CREATE VIEW public.mine AS SELECT id, article_data_id AS number FROM ghs.products")
    await conn.execute("CREATE MATERIALIZED VIEW public.outer_one AS SELECT number FROM public.mine")
    await conn.execute("CREATE INDEX outer_number ON public.outer_one (number)")
    await conn.execute("COMMENT ON COLUMN public.mine.number IS 'said by me'; GRANT SELECT ON public.mine TO PUBLIC")


@trial
async def test_what_is_stored_stays_and_extra_is_read_anew(old: Database) -> None:
    async with old.connection() as conn:
        await _fill(conn)
    assert (await migrations.migrate(old))[0] > BEFORE
    async with old.connection() as conn:
        rows = await conn.fetch("SELECT * FROM ghs.products ORDER BY id")
        assert [row["article_data_id"] for row in rows] == ["0012", "1", "2"]
        assert [row["available_linked_warehouse_at"] for row in rows] == [
            datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC), datetime(2014, 5, 13, 16, 53, 20, 123_000, tzinfo=UTC), None,
        ]  # fmt: skip
        assert [row["available_linked_warehouse"] for row in rows] == [False, False, True]
        assert json.loads(rows[0]["_extra"]) == {"availableNextRoute": "/Date(-62135596800000)/", "other": 1}
        assert [row["_extra"] for row in rows[1:]] == [None, None]
        assert json.loads(rows[0]["aldoc"]) == {"brandId": 3}
        assert {(row["_changed_at"], row["_hash"]) for row in rows} == {(NOW, None)}, "the content is the same"
        past = await conn.fetchrow("SELECT * FROM history.ghs_products")
        assert (past["article_data_id"], past["available_linked_warehouse_at"].year, past["_extra"]) == (
            "7",
            2014,
            None,
        )
        account = await conn.fetchrow("SELECT * FROM ghs.account")
        assert json.loads(account["_extra"]) == {
            "linkedWarehouse": {"name": "HOOFD", "shouldEmailExternalOrders": "NO"}, "district": 7,
        }  # fmt: skip
        assert (account["linked_company_id"], account["linked_company_b2_b_url"]) == ("GHS", None)
        assert (account["linked_warehouse_warehouse_email"], account["has_mijn_grossier_accounts"]) == (
            "m@example.com", True,
        )  # fmt: skip
        assert json.loads(account["user_settings"]) == {"language": "nl"}
        assert [row["number"] for row in await conn.fetch("SELECT * FROM public.mine ORDER BY 1")] == ["0012", "1", "2"]
        assert len(await conn.fetch("SELECT number FROM public.outer_one")) == 3
        assert await conn.fetchval("SELECT col_description('public.mine'::regclass, 2)") == "said by me"
        assert await conn.fetchval("SELECT to_regclass('public.outer_number') IS NOT NULL")
        assert await conn.fetchval("SELECT has_table_privilege('public', 'public.mine', 'SELECT')")

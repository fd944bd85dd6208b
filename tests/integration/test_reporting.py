"""Schema reporting: what the views show of a mirror, what they hide, and who may read them."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from syncd.sources import registry
from syncd.storage.postgres import embedded
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.embedded.server import ROLE
from tests.support.bench import Bench, MakeBench
from tests.support.roles import owned
from tests.support.search import trial

ROOT = Path(__file__).parents[2]
ABOUT_RUNS = {"freshness", "sync_history"}
COLUMNS = """
SELECT c.relname AS view, obj_description(c.oid, 'pg_class') AS view_comment, a.attname AS column,
       col_description(c.oid, a.attnum) AS comment
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'reporting'::regnamespace AND c.relkind = 'v' ORDER BY 1, a.attnum
"""
SIZES = {
    "customers": 30, "stock_items": 30, "vehicles": 30, "cyclis_orders": 40, "cyclists": 30, "orders": 10,
    "products": 20, "sales_orders": 40, "leads": 8, "contacts": 6, "articles": 20, "repair_objects": 20,
}  # fmt: skip


async def sync_all(bench: Bench) -> None:
    for source in bench.config.sources.values():
        for stream in source.streams:
            assert (await bench.sync(f"{source.name}.{stream}")).outcome == "ok"


async def views_with_rows(bench: Bench) -> set[str]:
    views = {row["view"] for row in await bench.fetch(COLUMNS)} - ABOUT_RUNS
    return {view for view in views if await bench.fetch(f"SELECT * FROM reporting.{view}")}


def tables() -> list[str]:
    return [
        f"{table.schema}.{table.name}"
        for source in registry().values()
        for stream in source.streams
        for table in (stream.table, *(child.table for child in stream.table.children))
    ]


async def test_every_view_and_every_column_bears_a_comment_and_none_is_bookkeeping(db: Database) -> None:
    async with db.connection() as conn:
        rows = await conn.fetch(COLUMNS)
    assert len({row["view"] for row in rows}) >= 20
    assert [f"{row['view']}.{row['column']}" for row in rows if not (row["comment"] and row["view_comment"])] == []
    assert [f"{row['view']}.{row['column']}" for row in rows if row["column"].startswith("_")] == []


async def test_what_is_gone_upstream_is_in_no_view(make_bench: MakeBench) -> None:
    bench = await make_bench(**SIZES)
    await sync_all(bench)
    assert len(await views_with_rows(bench)) >= 15
    for table in tables():
        await bench.fetch(f"UPDATE {table} SET _deleted_at = now()")
    assert await views_with_rows(bench) == set()


@trial
async def test_odd_values_break_no_view(make_bench: MakeBench) -> None:
    bench = await make_bench(**SIZES)
    await sync_all(bench)
    before = await views_with_rows(bench)
    await bench.fetch("UPDATE cyclis.dealers SET brands = '\"Gazelle\"'")
    await bench.fetch('UPDATE ghs.orders SET items = \'[1, {"quantity": "many"}, null]\'')
    await bench.fetch("UPDATE ghs.orders SET items = '{}' WHERE order_id = (SELECT min(order_id) FROM ghs.orders)")
    await bench.fetch("UPDATE ghs.products SET bruto_price = 0")
    await bench.fetch("UPDATE cyclesoftware.stock SET store_id = 'no account ' || object_id || store_id")
    await bench.fetch("UPDATE cyclesoftware.customers SET name = NULL, email = ' ', first_name = '', initials = NULL")
    await bench.fetch("UPDATE autengo.vehicles SET created = NULL")
    assert before - await views_with_rows(bench) == {"dealer_brands", "customer_cyclists"}


async def test_a_customer_has_one_row_with_the_best_number_and_the_whole_address(bench: Bench) -> None:
    customer = bench.sandbox.get("cyclesoftware", "customers", 30001) | {
        "title": "Dhr. ", "first_name": " Jan", "insertion": "van der ", "name": "Berg", "company_name": " ",
        "street": "Markt", "house_number": "12", "house_number_postfix": "a", "postcode": "5388GM",
        "city": "Nistelrode", "country_code_iso_3166": "nl", "email": " Jan@Example.com ",
    }  # fmt: skip
    numbers = {"714253": "+32 400 1", "tel": "0412 1", "mob": "06-1"}
    for gone in ("", "mob", "tel", "714253"):
        numbers = {kind: "" if kind == gone else number for kind, number in numbers.items()}
        customer["phone_numbers"] = [
            {"phone_number_id": kind, "customer_id": 30001, "phone_number": number, "name": "Jan"}
            for kind, number in numbers.items()
        ]
        bench.sandbox.put("cyclesoftware", "customers", customer)
        await bench.sync("shop.customers", "sweep")
        [row] = await bench.fetch("SELECT * FROM reporting.customers WHERE customer_id = 30001")
        assert row["phone"] == next((numbers[kind] for kind in ("mob", "tel", "714253") if numbers[kind]), None)
    assert (row["full_name"], row["email"], row["company"]) == ("Jan van der Berg", "Jan@Example.com", None)
    assert (row["address"], row["country"]) == ("Markt 12a, 5388GM Nistelrode", "NL")


async def test_the_locator_adds_what_the_list_of_objects_does_not_know(make_bench: MakeBench) -> None:
    bench = await make_bench(stock_items=60)
    await bench.sync("shop.stores")
    await bench.sync("shop.stock")
    located = await bench.fetch("SELECT known_from, store_id, object_id, is_demo FROM reporting.stock_objects")
    truth = {(row["store_id"], row["object_id"]) for row in bench.sandbox.truth("cyclesoftware", "stock")}
    assert len(truth) > 30
    assert {row["known_from"] for row in located} == {"stock"}
    assert {(row["store_id"], row["object_id"]) for row in located} == truth
    await bench.sync("shop.stock_items")
    await bench.fetch("DELETE FROM cyclesoftware.stock_items WHERE object_id = $1", located[0]["object_id"])
    both = await bench.fetch("SELECT known_from, store_id, object_id FROM reporting.stock_objects")
    assert len(both) == len(truth)
    assert {(row["store_id"], row["object_id"]) for row in both} == truth
    unlisted = {row["object_id"] for row in both if row["known_from"] == "stock"}
    assert unlisted == {located[0]["object_id"]}
    [counted] = await bench.fetch("SELECT sum(in_stock + demo + rental) AS objects FROM reporting.stock")
    assert counted["objects"] == len(truth)


async def test_companies_count_their_cyclists_and_orders(bench: Bench) -> None:
    for stream in ("companies", "cyclists", "orders"):
        await bench.sync(f"lease.{stream}")
    rows = {str(row["company_id"]): row for row in await bench.fetch("SELECT * FROM reporting.companies")}
    truth = {stream: bench.sandbox.truth("cyclis", stream) for stream in ("companies", "cyclists", "orders")}
    assert len(rows) == len(truth["companies"]) > 5
    for company, row in rows.items():
        of = [
            sum(record["relationships"]["company"]["data"]["id"] == company for record in truth[stream])
            for stream in ("cyclists", "orders")
        ]
        assert [row["cyclists"], row["orders"]] == of


async def test_people_match_by_their_address_and_an_address_shared_is_told(bench: Bench) -> None:
    first, second = (bench.sandbox.get("cyclesoftware", "customers", number) for number in (30002, 30003))
    cyclist = bench.sandbox.truth("cyclis", "cyclists")[3]
    cyclist["attributes"]["email"] = "KLANT@example.com "
    bench.sandbox.put("cyclis", "cyclists", cyclist)
    bench.sandbox.put("cyclesoftware", "customers", {**first, "email": " klant@Example.com"})
    for selector in ("shop.customers", "lease.companies", "lease.cyclists"):
        assert (await bench.sync(selector)).outcome == "ok"
    query = "SELECT customer_id, matches FROM reporting.customer_cyclists WHERE email = 'klant@example.com' ORDER BY 1"
    assert [tuple(row) for row in await bench.fetch(query)] == [(30002, 1)]
    bench.sandbox.put("cyclesoftware", "customers", {**second, "email": "klant@example.com"})
    await bench.sync("shop.customers", "sweep")
    assert [tuple(row) for row in await bench.fetch(query)] == [(30002, 2), (30003, 2)]


async def test_freshness_tells_since_when_each_stream_is_known(bench: Bench) -> None:
    await bench.sync("shop.stores")
    good_at = bench.time.now()
    bench.time.pass_by(hours=1)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    failed = await bench.sync("shop.stores")
    assert failed.outcome == "failed"
    await bench.sync("lease.dealers", "sweep")
    now = good_at + timedelta(hours=2)
    async with bench.db.connection() as conn, conn.transaction():
        await conn.execute(f"SET LOCAL reporting.now = '{now.isoformat()}'")
        rows = {row["stream"]: row for row in await conn.fetch("SELECT * FROM reporting.freshness")}
    assert sorted(rows) == ["dealers", "stores"]
    stores = rows["stores"]
    assert (stores["as_of"], stores["lag"], stores["lag_s"]) == (good_at, timedelta(hours=2), 7200.0)
    assert stores["last_outcome"] == "failed"
    assert stores["last_error"]
    assert stores["swept_at"] is None
    assert rows["dealers"]["swept_at"] is not None


# --- Roles ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def own_server(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """A database that deploy/roles.sql made, migrated by role syncd, with the role that docs/metabase.md makes.

    Tests only read it.
    """
    page = (ROOT / "docs" / "metabase.md").read_text()
    made, *_ = re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    async with owned(server, tmp_path_factory.mktemp("own")) as found:
        found.psql(f"{made.replace('DATABASE mirror', f'DATABASE {found.name}')}; GRANT metabase TO {ROLE}")
        yield found.db
        found.psql("DROP OWNED BY metabase; DROP ROLE metabase")


async def test_the_reader_reads_every_view_and_writes_nothing(own_server: Database) -> None:
    async with own_server.connection() as conn:
        views = [row[0] for row in await conn.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")]
        await conn.execute("SET ROLE syncd_reader")
        try:
            assert len(views) >= 20
            for view in views:
                await conn.fetch(f"SELECT * FROM reporting.{view}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute("DELETE FROM reporting.sync_history")
        finally:
            await conn.execute("RESET ROLE")


async def test_a_role_may_be_given_the_views_and_nothing_else(own_server: Database) -> None:
    async with own_server.connection() as conn:
        await conn.execute("SET ROLE metabase")
        try:
            assert await conn.fetch("SELECT * FROM reporting.customers") == []
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.fetch("SELECT * FROM cyclesoftware.customers")
        finally:
            await conn.execute("RESET ROLE")

"""Schema reporting: what the views show of a mirror, and what they hide."""

from datetime import timedelta

from syncd.database import Database
from tests.conftest import Bench

COLUMNS = """
SELECT c.relname AS view, obj_description(c.oid, 'pg_class') AS view_comment, a.attname AS column,
       col_description(c.oid, a.attnum) AS comment
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'reporting'::regnamespace AND c.relkind = 'v' ORDER BY 1, a.attnum
"""


async def test_every_view_and_every_column_bears_a_comment(db: Database) -> None:
    async with db.connection() as conn:
        rows = await conn.fetch(COLUMNS)
    assert len({row["view"] for row in rows}) >= 2
    assert [f"{row['view']}.{row['column']}" for row in rows if not (row["comment"] and row["view_comment"])] == []


async def test_freshness_tells_since_when_each_stream_is_known(bench: Bench) -> None:
    await bench.sync("shop.stores")
    good_at = bench.time.now()
    bench.time.pass_by(hours=1)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    failed = await bench.sync("shop.stores")
    assert failed.outcome == "failed"
    await bench.sync("lease.dealers", "sweep")
    now = good_at + timedelta(hours=2)
    async with bench.db.connection() as conn:
        await conn.execute(f"SET reporting.now = '{now.isoformat()}'")
        rows = {row["stream"]: row for row in await conn.fetch("SELECT * FROM reporting.freshness")}
        await conn.execute("RESET reporting.now")
    assert sorted(rows) == ["dealers", "stores"]
    stores = rows["stores"]
    assert (stores["as_of"], stores["lag"], stores["lag_s"]) == (good_at, timedelta(hours=2), 7200.0)
    assert stores["last_outcome"] == "failed"
    assert stores["last_error"]
    assert stores["swept_at"] is None
    assert rows["dealers"]["swept_at"] is not None

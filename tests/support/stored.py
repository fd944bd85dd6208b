"""All that a database holds: found as text to search in."""

from tests.support.bench import Bench

_FILLED = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
  AND pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) > 0
"""
"""Tables that held a row since they were made or truncated: some dozen of two hundred."""


async def everything_stored(bench: Bench) -> str:
    """Return every row of every table as text, with what the server says of its connections."""
    async with bench.db.connection() as conn:
        names = [*(row["name"] for row in await conn.fetch(_FILLED)), "pg_stat_activity"]
        rows = await conn.fetch(" UNION ALL ".join(f"SELECT t::text AS text FROM {name} t" for name in names))
    return "\n".join(row["text"] for row in rows)

"""All that a database holds, as text to search in."""

from tests.support.bench import Bench


async def everything_stored(bench: Bench) -> str:
    """Return every row of every table as text, with what the server says of its connections."""
    tables = await bench.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    texts = []
    for table in tables:
        texts += [row["text"] for row in await bench.fetch(f"SELECT t::text AS text FROM {table['name']} t")]
    texts += [row["text"] for row in await bench.fetch("SELECT a::text AS text FROM pg_stat_activity a")]
    return "\n".join(texts)

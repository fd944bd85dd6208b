"""The table `syncd.known_pages`: what a sweep need not read again, kept for the process that does the next one."""

from datetime import datetime

import asyncpg

from syncd.records.known import KNOWN_ARRAYS, Known, remember


async def recall(conn: asyncpg.Connection, source: str, stream: str) -> None:
    """Let this process know the pages of a stream's last listings."""
    rows = await conn.fetch(
        "SELECT digest, records, first_bytes, tail_bytes, recipe, fingerprints FROM syncd.known_pages"
        f" WHERE source = $1 AND stream = $2 ORDER BY met_at DESC LIMIT {KNOWN_ARRAYS}",
        source, stream,
    )  # fmt: skip
    for digest, *known in reversed(rows):
        remember(digest, Known(*known))


def noting(first: int, digest: bytes, known: Known, *, met_at: datetime) -> tuple[str, list[object]]:
    """Return the INSERT (`further` of a condition) that keeps a page, and its parameters, from `$first` on."""
    values = [digest, known.size, known.first_bytes, known.tail_bytes, known.recipe, known.in_order, met_at]
    places = ", ".join(f"${first + at}" for at in range(len(values) - 1))
    return (
        "INSERT INTO syncd.known_pages"
        " (source, stream, digest, records, first_bytes, tail_bytes, recipe, fingerprints, met_at)"
        f" SELECT source, stream, {places}, ${first + len(values) - 1}::timestamptz FROM page"
        " ON CONFLICT (source, stream, digest) DO UPDATE SET met_at = excluded.met_at"
    ), values


async def drop_unmet(conn: asyncpg.Connection, source: str, stream: str, *, since: datetime) -> None:
    """Delete the pages of a stream that a listing which began then did not meet."""
    await conn.execute(
        "DELETE FROM syncd.known_pages WHERE source = $1 AND stream = $2 AND met_at < $3", source, stream, since
    )

"""The table `syncd.forgotten`: one marker per person who was forgotten, so that no sync brings the person back.

A marker is a keyed digest of stream and key; the key itself is not stored. The markers of a source have a generation.
A page is read with the markers of one generation, and it may be committed only while that generation is current.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from syncd.records.privacy import NO_GENERATION, Markers, marker

SALT_BYTES = 32
"""As many as the digest of a marker has."""

_READ_MARKERS = """
SELECT {generation} AS generation, f.stream, f.salt, f.digest
FROM (SELECT $1::text AS source) AS wanted LEFT JOIN syncd.forgotten f USING (source)
"""


class MarkersChanged(Exception):
    """Somebody was forgotten since a page was read: its transaction must roll back, and the page be read again."""


def generation(source: str) -> str:
    """Return the SQL expression for the generation of a source's markers; `source` is the SQL that names the source.

    The generation changes with every marker that is added or removed.
    """
    return (
        f"(SELECT coalesce(count(*) || '/' || max(marker_id), '{NO_GENERATION}')"
        f" FROM syncd.forgotten WHERE source = {source})"
    )


async def read_markers(conn: asyncpg.Connection, source: str) -> Markers:
    """Read who of a source was forgotten."""
    rows = await conn.fetch(_READ_MARKERS.format(generation=generation("$1")), source)
    digests: dict[str, dict[bytes, set[bytes]]] = {}
    for row in rows:
        if row["digest"] is not None:
            digests.setdefault(row["stream"], {}).setdefault(row["salt"], set()).add(row["digest"])
    return Markers(
        generation=rows[0]["generation"],
        digests={stream: {salt: frozenset(held) for salt, held in by.items()} for stream, by in digests.items()},
    )


async def mark(conn: asyncpg.Connection, source: str, stream: str, keys: Sequence[Any], *, now: datetime) -> None:
    """Mark persons as forgotten, inside the caller's transaction; who is marked already stays marked."""
    salt = await conn.fetchval("SELECT salt FROM syncd.forgotten WHERE source = $1 LIMIT 1", source)
    salt = salt or os.urandom(SALT_BYTES)
    await conn.executemany(
        "INSERT INTO syncd.forgotten (source, stream, salt, digest, forgotten_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        [(source, stream, salt, marker(salt, stream, key), now) for key in keys],
    )


async def unmark(conn: asyncpg.Connection, source: str, stream: str, keys: Iterable[Any]) -> int:
    """Remove the markers of persons; return how many there were."""
    salts = await conn.fetch("SELECT DISTINCT salt FROM syncd.forgotten WHERE source = $1", source)
    digests = [marker(row["salt"], stream, key) for key in keys for row in salts]
    status = await conn.execute(
        "DELETE FROM syncd.forgotten WHERE source = $1 AND stream = $2 AND digest = ANY($3)", source, stream, digests
    )
    return int(status.rpartition(" ")[2])

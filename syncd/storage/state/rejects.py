"""The tables `syncd.rejects` and `syncd.drift`: records that could not become a row, and fields that changed.

Every function works inside the caller's transaction, mostly that of the page which brought the records.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from syncd.records.rows import Note, Reject
from syncd.storage.state.runs import Run

FIELD_CHARS = 200
"""Longest name of a drifted field that is stored: names come from the upstream and may be of any length."""

_SAVE_REJECTS = """
INSERT INTO syncd.rejects
  (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at, occurrences)
SELECT $1, $2, r.reason, r.record, r.fingerprint, $3, $4, $4, 1
FROM unnest($5::text[], $6::text[], $7::bytea[]) AS r(reason, record, fingerprint)
ON CONFLICT (source, stream, fingerprint) DO UPDATE
SET last_seen_at = excluded.last_seen_at, run_id = excluded.run_id, occurrences = rejects.occurrences + 1,
    reason = excluded.reason
"""

_SAVE_DRIFT = """
INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)
SELECT $1, $2, d.field, d.change, $3, $3, d.occurrences, d.sample
FROM unnest($4::text[], $5::text[], $6::bigint[], $7::text[]) AS d(field, change, occurrences, sample)
ON CONFLICT (source, stream, field, change) DO UPDATE
SET last_seen_at = excluded.last_seen_at, occurrences = drift.occurrences + excluded.occurrences
"""


async def save_rejects(
    conn: asyncpg.Connection, run: Run, stream: str, rejects: Sequence[tuple[Reject, bytes]], *, now: datetime
) -> None:
    """Store records that could not become a row; a record that is stored already is counted once more."""
    once = {fingerprint: reject for reject, fingerprint in rejects}
    if once:
        columns = [reject.reason for reject in once.values()], [_text(reject.record) for reject in once.values()]
        await conn.execute(_SAVE_REJECTS, run.source, stream, run.run_id, now, *columns, list(once))


async def count_unnamed(conn: asyncpg.Connection, source: str, stream: str, *, since: datetime) -> int:
    """Return how many records without a usable key were met since an instant: each may be one of the known rows.

    The count begins earlier, with the first page of the listing under way, if that page was requested before `since`.
    """
    count: int = await conn.fetchval(
        "SELECT count(*) FROM syncd.rejects WHERE source = $1 AND stream = $2 AND reason NOT LIKE 'PostgreSQL %'"
        " AND last_seen_at >= least($3, (SELECT min(seen_at) FROM syncd.seen WHERE source = $1 AND stream = $2))",
        source, stream, since,
    )  # fmt: skip
    return count


async def save_drift(
    conn: asyncpg.Connection, source: str, stream: str, notes: Sequence[Note], *, now: datetime
) -> None:
    """Count fields that appeared, vanished or changed type."""
    counted: dict[tuple[str, str], list[Any]] = {}
    for note in notes:
        entry = counted.setdefault((_text(note.field)[:FIELD_CHARS], note.change), [0, _text(note.sample)])
        entry[0] += 1
    if counted:
        fields, changes = zip(*sorted(counted), strict=True)
        entries = [counted[pair] for pair in sorted(counted)]
        await conn.execute(
            _SAVE_DRIFT, source, stream, now, fields, changes, [e[0] for e in entries], [e[1] for e in entries]
        )


def _text(text: str) -> str:
    """Return a text as PostgreSQL can store it: NUL is written as its JSON escape."""
    return text.replace("\0", "\\u0000")

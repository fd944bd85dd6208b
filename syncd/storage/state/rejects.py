"""The table `syncd.rejects`: records that could not become a row.

Every function works inside the caller's transaction, mostly that of the page which brought the records.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from syncd.records.rows import Reject
from syncd.storage.state.runs import Run

_SAVE_REJECTS = """
INSERT INTO syncd.rejects
  (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at, occurrences)
SELECT $1, $2, r.reason, r.record, r.fingerprint, $3, $4, $4, 1
FROM unnest($5::text[], $6::text[], $7::bytea[]) AS r(reason, record, fingerprint)
ON CONFLICT (source, stream, fingerprint) DO UPDATE
SET last_seen_at = excluded.last_seen_at, run_id = excluded.run_id, occurrences = rejects.occurrences + 1,
    reason = excluded.reason
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


def _text(text: str) -> str:
    """Return a text as PostgreSQL can store it: NUL is written as its JSON escape."""
    return text.replace("\0", "\\u0000")

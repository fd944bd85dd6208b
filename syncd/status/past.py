"""Runs of several streams, the newest first: what `syncd runs`, `syncd logs` and the Python interface tell."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from syncd.status.facts import columns, run_of
from syncd.status.model import Pair, RunStatus
from syncd.storage.postgres.database import Database

_FIELDS: Final = ", ".join(f"r.{name}" for name in RunStatus.__struct_fields__)

_NEWEST: Final = f"""
SELECT w.source, w.stream, {_FIELDS} FROM unnest($1::text[], $2::text[]) AS w(source, stream)
CROSS JOIN LATERAL (
  SELECT * FROM syncd.runs r
  WHERE source = w.source AND stream = w.stream AND started_at >= coalesce($4, '-infinity'::timestamptz)
    AND ($5::text[] IS NULL OR outcome = ANY($5))
  ORDER BY run_id DESC LIMIT $3
) AS r ORDER BY r.run_id DESC LIMIT $3
"""  # noqa: S608  (names of columns, from the Struct above)

_ONE: Final = f"SELECT source, stream, lane, host, pid, notes, {_FIELDS} FROM syncd.runs r WHERE run_id = $1"  # noqa: S608  (as above)

BAD: Final = ("failed", "throttled", "aborted")
"""Outcomes of runs that somebody may want to look at."""


class StreamRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run and the stream that it is of."""

    source: str
    stream: str
    run: RunStatus

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"


class WholeRun(StreamRun, frozen=True, kw_only=True):
    """One run with all that is known of it: its lane, the process that it was of, and what happened on the way."""

    lane: str
    host: str | None
    pid: int | None
    notes: object


async def newest_runs(
    database: Database,
    pairs: Sequence[Pair],
    *,
    limit: int,
    since: datetime | None = None,
    outcomes: Sequence[str] | None = None,
) -> list[StreamRun]:
    """Return at most `limit` runs of the streams, newest first. Raises DatabaseError."""
    async with database.connection() as conn:
        rows = await conn.fetch(_NEWEST, *columns(pairs), limit, since, outcomes and list(outcomes))
    return [StreamRun(source=row["source"], stream=row["stream"], run=run_of(row)) for row in rows]


async def find_run(database: Database, run_id: int) -> WholeRun | None:
    """Return one run by its number; None if there is none (any more). Raises DatabaseError."""
    async with database.connection() as conn:
        row = await conn.fetchrow(_ONE, run_id)
    if row is None:
        return None
    notes = msgspec.json.decode(row["notes"]) if row["notes"] else None
    return WholeRun(
        source=row["source"], stream=row["stream"], run=run_of(row), lane=row["lane"], host=row["host"],
        pid=row["pid"], notes=notes,
    )  # fmt: skip

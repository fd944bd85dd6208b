"""Streams at rest: what an operator changes by hand is changed while no run of these streams can begin."""

import contextlib
from collections.abc import AsyncIterator, Iterable

import asyncpg

from syncd.errors import LockHeld
from syncd.storage.postgres.database import Database
from syncd.storage.state.runs import stream_lock

_STREAMS = """
SELECT DISTINCT source, stream FROM (
  SELECT source, stream FROM syncd.cursors UNION SELECT source, stream FROM syncd.runs
) AS known WHERE source = $1
"""


@contextlib.asynccontextmanager
async def at_rest(database: Database, source: str, streams: Iterable[str]) -> AsyncIterator[None]:
    """Keep runs of a source away meanwhile: those of these streams, and of whichever ran under its name before.

    Raises LockHeld while a run is under way.
    """
    async with database.connection() as conn:
        known = {row["stream"] for row in await conn.fetch(_STREAMS, source)}
    async with contextlib.AsyncExitStack() as stack:
        for stream in sorted(known | set(streams)):
            for kind in ("live", "backfill"):
                number = stream_lock(source, stream, kind)
                if not await database.try_lock(number):
                    raise LockHeld(
                        f"{source}.{stream}: a run is under way",
                        hint="Wait for it, or end that process. A daemon: systemctl stop syncd.",
                    )
                stack.push_async_callback(database.unlock, number)
        yield


async def end_runs(conn: asyncpg.Connection, source: str) -> None:
    """Mark what still says `running` as aborted, so that a run that lost its lock can commit no more. At rest only."""
    await conn.execute(
        "UPDATE syncd.runs SET outcome = 'aborted', finished_at = now(), error_kind = 'Killed',"
        " error = 'an operator changed what is stored of the source'"
        " WHERE source = $1 AND outcome = 'running'",
        source,
    )

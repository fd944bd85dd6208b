"""What happened lately that the streams' own states do not tell: new rejects, and backfills that ended."""

from datetime import datetime, timedelta
from typing import Final

from syncd.status.causes import EndedBackfill, Extras
from syncd.storage.postgres.database import Database
from syncd.storage.state import notifications

BACKFILLS_FOR: Final = timedelta(hours=6)
"""The end of a backfill is told within this; a daemon that was away for longer tells nothing."""
REJECTS_FOR: Final = timedelta(days=1)
"""Rejects are new for so long."""


async def read_extras(database: Database, *, now: datetime, misfit: str = "", host: str = "") -> Extras:
    """Read them; `misfit` and `host` are handed on. Raises DatabaseError."""
    async with database.connection() as conn:
        rejects = await notifications.new_rejects(conn, now - REJECTS_FOR)
        backfills = await notifications.ended_backfills(conn, now - BACKFILLS_FOR)
    ended = [EndedBackfill(**dict(row)) for row in backfills]
    return Extras(rejects=rejects, backfills=ended, misfit=misfit, host=host)

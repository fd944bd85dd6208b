"""What a scheduler that starts must know of earlier runs."""

from collections.abc import Sequence

import asyncpg

from syncd.engine import schedule
from syncd.status.facts import HISTORY, batches, columns
from syncd.status.model import Pair
from syncd.storage.postgres.database import Database


async def histories(database: Database, pairs: Sequence[Pair]) -> dict[Pair, schedule.History]:
    """Return what a scheduler that starts must know of earlier runs. Failures of live runs are forgiven."""
    found = {}
    async with database.connection() as conn:
        for some in batches(pairs):
            same = {pair: pair for pair in some}  # the texts of the rows would be kept a second time, for every stream
            for row in await conn.fetch(HISTORY, *columns(some)):
                found[same[row["source"], row["stream"]]] = _history(row)
    return found


def _history(row: asyncpg.Record) -> schedule.History:
    failed = row["tried_outcome"] not in (None, "ok")
    return schedule.History(
        ok_at=row["ok_at"],
        idle=1 if row["ok_at"] and not row["requests"] else 0,
        swept_at=row["swept_at"],
        sweep_failures=1 if failed else 0,
        sweep_tried_at=row["tried_at"] if failed else None,
        sweep_error_kind=row["tried_error_kind"] if failed else None,
    )

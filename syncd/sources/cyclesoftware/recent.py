"""Lists that tell only when a record was made: the last days are walked often, more of them in sweeps.

Such a list says nothing of later changes, and a record that it lacks proves nothing: nothing is buried.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from syncd.contract import Page, Walk
from syncd.contract.clamps import Dated
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.contract.windows import Ask, Range, range_of, walk_changes, walk_windows
from syncd.sources.cyclesoftware.api import HISTORY, zone_of


async def walk_recent(walk: Walk, ask: Ask, *, live: timedelta, sweep: timedelta, dated: Dated) -> AsyncIterator[Page]:
    """Walk the last days, window by window: `live` or `sweep` of them, or the range of a backfill.

    A live run that comes late begins where the one before ended. The first one goes two years back, and so does a sweep
    that an operator ordered.
    """
    if walk.kind == "backfill":
        pages = walk_changes(walk, ask, begins_at=_begin(walk, live, sweep), zone=zone_of(walk), dated=dated)
    else:
        pages = walk_windows(walk, ask, recent_range(walk, live=live, sweep=sweep), dated=dated)
    async for page in pages:
        yield page


def recent_range(walk: Walk, *, live: timedelta, sweep: timedelta) -> Range:
    """Return the range that `walk_recent` walks."""
    return range_of(walk, _begin(walk, live, sweep), zone_of(walk))


def _begin(walk: Walk, live: timedelta, sweep: timedelta) -> datetime:
    now, cursor = walk.now(), walk.cursor or {}
    match walk.kind:
        case "backfill":
            return walk.since or now - HISTORY
        case "sweep":
            return now - (max(HISTORY, sweep) if walk.whole else sweep)
        case _ if "as_of" in cursor:
            late = cursor_time(cursor["as_of"]) - overlap_of(walk)
            return max(min(now - live, late), now - sweep)
        case _:
            return now - max(HISTORY, sweep)

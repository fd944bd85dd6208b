"""How far a run is and what it still takes: pure estimates from its counts, its cursor and its source's budget."""

import math
from datetime import datetime

from syncd.contract import Cursor
from syncd.status.model import Progress, RunStatus
from syncd.upstream import budget

SHOWN_FROM_S = 5.0
"""A run younger than this has no rate worth telling; our choice."""


def progress_of(
    run: RunStatus,
    *,
    now: datetime,
    cursor: Cursor | None = None,
    walked: str = "",
    mirrored: int | None = None,
    purse: tuple[budget.State, budget.Policy] | None = None,
) -> Progress | None:
    """Estimate how far a run is; None while nothing is known of the whole.

    The length comes from where the cursor is in the range (`walked`, as its kind names it), else from what the upstream
    says, else from `mirrored`, the rows that the mirror holds: no more can come where it is complete. With `purse` what
    is left also waits for the backfill lane's budget.
    """
    elapsed_s = (now - run.started_at).total_seconds()
    share, known_by, total = _by_range(cursor or {}, walked, run.started_at), "the range walked", None
    if share is None:
        done = max(run.rows_seen, _offset(cursor or {}))
        total, known_by = run.rows_expected, "the upstream's count"
        if not total:
            total, known_by = mirrored, "the rows mirrored, at most"
        if not total or done > total:  # an estimate that was passed says nothing any more
            return None
        share, left = done / total, (total - done) / max(1, run.rows_seen)
    else:
        left = (1 - share) / share if share else 0.0
    known = Progress(share=share, known_by=known_by, rows_total=total)
    if not run.rows_seen or not share or elapsed_s < SHOWN_FROM_S:
        return known
    requests_left = math.ceil(run.requests * left)
    left_s, quota_days = elapsed_s * left, None
    if purse is not None:
        cost = budget.forecast(*purse, now.timestamp(), requests_left, "backfill")
        left_s, quota_days = max(left_s, cost.takes_s), cost.quota_days
    return Progress(
        share=share, known_by=known_by, rows_total=total, left_s=left_s, requests_left=requests_left,
        quota_days=quota_days,
    )  # fmt: skip


def _by_range(cursor: Cursor, walked: str, began_at: datetime) -> float | None:
    """Return the share of a range of time that lies behind its cursor's `reached`, None if there is no such thing."""
    since, _, until = walked.partition("..")
    try:
        begin, reached = datetime.fromisoformat(since), datetime.fromisoformat(cursor["reached"])
        end = datetime.fromisoformat(until) if until else began_at
        return min(1.0, max(0.0, (reached - begin) / (end - begin)))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _offset(cursor: Cursor) -> int:
    under_way = cursor.get("pass")
    offset = under_way.get("offset") if isinstance(under_way, dict) else None
    return offset if isinstance(offset, int) else 0

"""How every stream stands: what `syncd status --json`, `/api/status`, the status page and the metrics tell.

Owns the words for states and cursors, and the few queries behind them. Never writes, never asks an upstream, needs no
secret, and shows no value of any record.
"""

from syncd.status.causes import Cause
from syncd.status.day import DAY, HOUR, SPANS, WEEK, Day, Freshness, Slot, Span, StreamDay
from syncd.status.forecast import Change, Forecast, Need
from syncd.status.histories import histories
from syncd.status.measures import Measure, Measures
from syncd.status.model import (
    BackfillStatus,
    BudgetStatus,
    Drift,
    Notice,
    Orphan,
    Pair,
    Progress,
    Rows,
    RunStatus,
    SourceStatus,
    State,
    Status,
    StatusPage,
    StreamStatus,
)
from syncd.status.needs import read_forecasts
from syncd.status.overview import Overview
from syncd.status.owners import Owner, accounts_twice, orphans_of, read_owners
from syncd.status.paces import read_paces
from syncd.status.past import BAD, StreamRun, WholeRun, find_run, newest_runs
from syncd.status.progress import progress_of
from syncd.status.reader import StatusReader
from syncd.status.verdict import BUDGET_LEFT, Trouble, is_nearly_spent, is_young, troubles
from syncd.status.whole import collect
from syncd.status.words import cursor_words, is_sweep_failing, is_sweep_refused, judge, schedule_words

__all__ = [
    "BAD",
    "BUDGET_LEFT",
    "DAY",
    "HOUR",
    "SPANS",
    "WEEK",
    "BackfillStatus",
    "BudgetStatus",
    "Cause",
    "Change",
    "Day",
    "Drift",
    "Forecast",
    "Freshness",
    "Measure",
    "Measures",
    "Need",
    "Notice",
    "Orphan",
    "Overview",
    "Owner",
    "Pair",
    "Progress",
    "Rows",
    "RunStatus",
    "Slot",
    "SourceStatus",
    "Span",
    "State",
    "Status",
    "StatusPage",
    "StatusReader",
    "StreamDay",
    "StreamRun",
    "StreamStatus",
    "Trouble",
    "WholeRun",
    "accounts_twice",
    "collect",
    "cursor_words",
    "find_run",
    "histories",
    "is_nearly_spent",
    "is_sweep_failing",
    "is_sweep_refused",
    "is_young",
    "judge",
    "newest_runs",
    "orphans_of",
    "progress_of",
    "read_forecasts",
    "read_owners",
    "read_paces",
    "schedule_words",
    "troubles",
]

"""What the status says, as types: the JSON of `syncd status --json` and `/api/status` is their encoding, a contract."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import msgspec

from syncd.status.forecast import Forecast

State = Literal["fresh", "late", "failing", "paused", "running", "off", "disabled", "never"]
Pair = tuple[str, str]
"""Names of a source and one of its streams."""


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One row of syncd.runs."""

    run_id: int
    kind: str
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    requests: int
    pages: int
    rows_seen: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_deleted: int
    rows_rejected: int
    rows_expected: int | None
    budget_wait_s: float
    error: str | None
    error_kind: str | None

    @property
    def is_judged(self) -> bool:
        """Whether it says how the stream does: it ended, and not because it was asked to stop."""
        return self.outcome in ("ok", "failed", "throttled") or self.error_kind == "Killed"


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one source in one table."""

    alive: int
    deleted: int


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One field that is not as the vendor documents it; `sample` is the shape of a value, never the value."""

    field: str
    change: str
    first_seen_at: datetime
    last_seen_at: datetime
    occurrences: int
    sample: str | None


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream stands. `rows` None: not counted; `freshness_s`: age of the last good live run's start.

    `swept_at` is when the last good sweep started, None if there was none. `next_sweep_at` is when a sweep follows a
    good live run; None: the stream has no sweeps, or it is not known yet. `last_live` is the newest live run that
    says how the stream does, `last_run` the newest of it and of the sweeps. `paused_at`: when an operator paused it.
    """

    source: str
    stream: str
    state: State
    why: str
    schedule: str
    table: str
    cursor: Any
    cursor_words: str
    rows: Rows | None
    last_run: RunStatus | None
    running: RunStatus | None
    last_sweep: RunStatus | None
    last_ok_at: datetime | None
    freshness_s: float | None
    next_run_at: datetime | None
    rejects: int
    drift_count: int
    drift: list[Drift]
    swept_at: datetime | None = None
    next_sweep_at: datetime | None = None
    last_live: RunStatus | None = None
    paused_at: datetime | None = None

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a source may still request; None: no limit is known. Used requests are our own."""

    minute_limit: int | None
    minute_remaining: int | None
    minute_used_live: int
    minute_used_backfill: int
    day_limit: int | None
    day_remaining: int | None
    day_used_live: int
    day_used_backfill: int
    day_reset_at: datetime | None
    closed_until: datetime | None
    live_reserve: int | None
    updated_at: datetime


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One source; `budget` None: nothing was requested yet; `refused`: why no run of it may begin.

    `forecast` says how many requests a day it will need; None: not computed.
    """

    source: str
    type: str
    base_url: str
    budget: BudgetStatus | None
    refused: str | None = None
    forecast: Forecast | None = None


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A source of which rows are stored, and that nobody configures. None: not known, of rows: not counted."""

    source: str
    type: str | None
    address: str | None
    account: str | None
    rows: int | None
    hint: str

    @property
    def words(self) -> str:
        """What it is, in a sentence."""
        rows = "rows" if self.rows is None else f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        where = f" of {self.type}" if self.type else ""
        return f"the mirror holds {rows}{where} under the name {self.source}, which the configuration does not have"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, between 0 and 1, and what it still takes; None: not known.

    `known_by` says where the length of the whole comes from; `quota_days` are whole days of what its lane may spend.
    """

    share: float
    known_by: str
    rows_total: int | None = None
    left_s: float | None = None
    requests_left: int | None = None
    quota_days: float | None = None


class BackfillStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One backfill that is under way, and the range it walks as its cursor's kind names it."""

    source: str
    stream: str
    range: str
    run: RunStatus
    progress: Progress | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the service itself that lasts until somebody mends it; `what` is the event that told of it."""

    at: datetime
    what: str
    text: str
    hint: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything; encode it with `msgspec.json`."""

    at: datetime
    version: str
    database: str
    summary: dict[str, int]
    sources: list[SourceStatus]
    streams: list[StreamStatus]
    backfills: list[BackfillStatus]
    orphans: list[Orphan] = []
    notices: list[Notice] = []

    def stream(self, source: str, stream: str) -> StreamStatus | None:
        """Return one stream, None if it is not configured."""
        return next((one for one in self.streams if (one.source, one.stream) == (source, stream)), None)

    def narrowed(self, pairs: Collection[Pair]) -> "Status":
        """Return the status of these streams and of their sources alone."""
        streams = [one for one in self.streams if (one.source, one.stream) in pairs]
        names = {source for source, _ in pairs}
        return msgspec.structs.replace(
            self,
            summary={state: sum(one.state == state for one in streams) for state in self.summary},
            sources=[one for one in self.sources if one.source in names],
            streams=streams,
            backfills=[one for one in self.backfills if (one.source, one.stream) in pairs],
            orphans=[],
        )

    @property
    def line(self) -> str:
        """The streams that are on, in one line: "12 streams: 11 fresh, 1 late"; and what is wrong with the service."""
        return "; ".join([self.counts, *(notice.text for notice in self.notices)])

    @property
    def counts(self) -> str:
        """The streams that are on, in one line."""
        on = {state: count for state, count in self.summary.items() if count and state not in ("off", "disabled")}
        total = sum(on.values())
        told = ", ".join(f"{count} {state}" for state, count in on.items())
        return f"{total} stream{'' if total == 1 else 's'}: {told or 'none is on'}"


class StatusPage(Status, frozen=True, kw_only=True):
    """One page of the streams that match what was asked for; `matching` of them are on all `pages` together."""

    page: int
    pages: int
    matching: int

"""How every stream stands: what `syncd status --json`, `/api/status`, the status page and the metrics tell.

Owns the words for states and cursors, and the few queries behind them, all in one read-only transaction. Never writes,
never asks an upstream, needs no secret, and shows no value of any record.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from syncd import budget, log, schedule
from syncd.config import BudgetConfig, Config, StreamConfig, is_off
from syncd.database import Database
from syncd.duration import spoken
from syncd.ledger import stream_lock
from syncd.source import Cursor, Source

State = Literal["fresh", "late", "failing", "paused", "running", "off", "disabled", "never"]
Pair = tuple[str, str]
"""Names of a source and one of its streams."""

COUNT_TIMEOUT_S: Final = 5.0
"""Counting the rows of the mirror may take this long; then rows are left unknown."""
QUERY_TIMEOUT_S: Final = 20.0
COUNTS_KEPT_S: Final = 60.0
"""Rows are counted at most so often by one process: it reads every row."""
STATUS_KEPT_S: Final = 1.0
"""A status is given to everybody who asks within this time."""
DRIFT_SHOWN: Final = 100
"""Drifted fields of one stream that are listed; `drift_count` counts all."""


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
    """How one stream stands. `rows` None: not counted; `freshness_s`: age of the last good live run's start."""

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
    """One source; `budget` None: nothing was requested yet."""

    source: str
    type: str
    base_url: str
    budget: BudgetStatus | None


class BackfillStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One backfill that is under way, and the range it walks as its cursor's kind names it."""

    source: str
    stream: str
    range: str
    run: RunStatus


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything; encode it with `msgspec.json`."""

    at: datetime
    version: str
    database: str
    summary: dict[str, int]
    sources: list[SourceStatus]
    streams: list[StreamStatus]
    backfills: list[BackfillStatus]

    def stream(self, source: str, stream: str) -> StreamStatus | None:
        """Return one stream, None if it is not configured."""
        return next((one for one in self.streams if (one.source, one.stream) == (source, stream)), None)

    @property
    def line(self) -> str:
        """The streams that are on, in one line: "12 streams: 11 fresh, 1 late"."""
        on = {state: count for state, count in self.summary.items() if count and state not in ("off", "disabled")}
        total = sum(on.values())
        told = ", ".join(f"{count} {state}" for state, count in on.items())
        return f"{total} stream{'' if total == 1 else 's'}: {told or 'none is on'}"


def syncd_version() -> str:
    """Return the version of this syncd."""
    try:
        return version("syncd")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


# --- Collecting -------------------------------------------------------------------------------------------------------

_RUN_COLUMNS: Final = ", ".join(RunStatus.__struct_fields__)

# Newest run, newest judged run and newest good run of each kind: index runs_by_stream gives each at its first rows.
_RUNS: Final = f"""
SELECT w.source, w.stream, r.role, {", ".join(f"r.{name}" for name in RunStatus.__struct_fields__)}
FROM unnest($1::text[], $2::text[]) AS w(source, stream)
CROSS JOIN (VALUES ('live'), ('sweep'), ('backfill')) AS k(kind)
CROSS JOIN LATERAL (
  (SELECT 'newest' AS role, {_RUN_COLUMNS} FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = k.kind ORDER BY run_id DESC LIMIT 1)
  UNION ALL
  (SELECT 'judged', {_RUN_COLUMNS} FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = k.kind
     AND (outcome IN ('ok', 'failed', 'throttled') OR error_kind = 'Killed') ORDER BY run_id DESC LIMIT 1)
  UNION ALL
  (SELECT 'ok', {_RUN_COLUMNS} FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = k.kind AND outcome = 'ok' ORDER BY run_id DESC LIMIT 1)
) AS r
"""  # noqa: S608  (names of columns, from the Struct above)

_STREAM_RUNS: Final = f"""
SELECT {_RUN_COLUMNS} FROM syncd.runs WHERE source = $1 AND stream = $2 ORDER BY run_id DESC LIMIT $3
"""  # noqa: S608  (as above)

_FIRST_OK: Final = """
SELECT w.source, w.stream, r.started_at FROM unnest($1::text[], $2::text[]) AS w(source, stream)
CROSS JOIN LATERAL (
  SELECT started_at FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = 'live' AND outcome = 'ok' ORDER BY run_id LIMIT 1
) AS r
"""

_HELD_LOCKS: Final = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_DRIFT: Final = """
SELECT source, stream, count(*) OVER (PARTITION BY source, stream) AS total,
       row_number() OVER (PARTITION BY source, stream ORDER BY last_seen_at DESC, field) AS place,
       field, change, first_seen_at, last_seen_at, occurrences, sample
FROM syncd.drift ORDER BY source, stream, place
"""


class RowCounts:
    """Counts the mirror's rows by source, and remembers them for COUNTS_KEPT_S."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], Rows] | None = None
        self._tables: list[str] = []
        self._counted_at: datetime | None = None

    async def of(self, database: Database, tables: Sequence[str], *, now: datetime) -> dict[tuple[str, str], Rows]:
        """Return the rows by table and source; without them where counting takes longer than COUNT_TIMEOUT_S."""
        age_s = (now - self._counted_at).total_seconds() if self._counted_at else COUNTS_KEPT_S
        if self._counted is None or self._tables != list(tables) or not 0 <= age_s < COUNTS_KEPT_S:
            self._counted, self._tables, self._counted_at = await count_rows(database, tables), list(tables), now
        return self._counted


async def count_rows(database: Database, tables: Sequence[str]) -> dict[tuple[str, str], Rows]:
    """Count the rows of the mirror's tables by (table, source), in one statement; nothing if that takes too long."""
    if not tables:
        return {}
    query = " UNION ALL ".join(
        f"SELECT '{table}' AS place, source, count(*) FILTER (WHERE _deleted_at IS NULL) AS alive,"  # noqa: S608  (declared names)
        f" count(*) FILTER (WHERE _deleted_at IS NOT NULL) AS deleted FROM {table} GROUP BY source"
        for table in tables
    )
    async with database.connection() as conn:
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = {COUNT_TIMEOUT_S * 1000:.0f}")
                found = await conn.fetch(query)
        except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
            return {}
    counted = {(table, ""): Rows(alive=0, deleted=0) for table in tables}
    counted |= {(row["place"], row["source"]): Rows(alive=row["alive"], deleted=row["deleted"]) for row in found}
    return counted


async def collect(
    database: Database,
    config: Config,
    registry: Mapping[str, Source],
    *,
    now: datetime,
    counts: RowCounts | None = None,
    next_runs: Mapping[Pair, datetime] | None = None,
) -> Status:
    """Collect the status of every configured stream; secrets may be unresolved.

    `next_runs` are the plans of a running scheduler; without them the next run is computed from the last one.
    Raises DatabaseError if the database does not answer or is not migrated.
    """
    facts = await _Facts.read(database, [(s.name, name) for s in config.sources.values() for name in s.streams])
    tables = dict.fromkeys(_table(registry, s.type, name) for s in config.sources.values() for name in s.streams)
    rows = await (counts or RowCounts()).of(database, list(tables), now=now)
    streams, sources = [], []
    for source in config.sources.values():
        kind = registry[source.type]
        zone = str(source.options.get("zone", kind.zone))
        sources.append(
            SourceStatus(
                source=source.name,
                type=source.type,
                base_url=source.base_url,
                budget=_budget(facts.budgets.get(source.name), source.budget, kind.zone, now),
            )
        )
        for name, settings in source.streams.items():
            table = _table(registry, source.type, name)
            counted = rows.get((table, source.name), rows.get((table, "")))
            planned = (next_runs or {}).get((source.name, name))
            streams.append(facts.stream((source.name, name), settings, table, counted, planned, zone, now))
    summary: dict[str, int] = dict.fromkeys(State.__args__, 0)  # type: ignore[attr-defined]  # a Literal's own
    for stream in streams:
        summary[stream.state] += 1
    return Status(
        at=now, version=syncd_version(), database=database.shown, summary=summary, sources=sources, streams=streams,
        backfills=facts.backfills(),
    )  # fmt: skip


async def stream_runs(database: Database, source: str, stream: str, limit: int = 50) -> list[RunStatus]:
    """Return the newest runs of one stream, newest first."""
    async with database.connection() as conn:
        return [_run(row) for row in await conn.fetch(_STREAM_RUNS, source, stream, limit)]


async def histories(database: Database, pairs: Sequence[Pair]) -> dict[Pair, schedule.History]:
    """Return what a scheduler that starts must know of earlier runs. Failures of live runs are forgiven."""
    facts = await _Facts.read(database, pairs)
    async with database.connection() as conn:
        first = {(row[0], row[1]): row[2] for row in await conn.fetch(_FIRST_OK, *_columns(pairs))}
    found = {}
    for pair in pairs:
        ok, swept, tried = facts.run(pair, "ok", "live"), facts.run(pair, "ok", "sweep"), facts.judged_sweep(pair)
        failed = tried is not None and tried.outcome != "ok"
        found[pair] = schedule.History(
            ok_at=ok.started_at if ok else None,
            idle=1 if ok and not ok.requests else 0,
            swept_at=swept.started_at if swept else first.get(pair),
            sweep_failures=1 if failed else 0,
            sweep_tried_at=tried.finished_at if tried and failed else None,
            sweep_error_kind=tried.error_kind if tried and failed else None,
        )
    return found


class _Facts:
    """What the tables of schema syncd say of some streams, as of one instant."""

    def __init__(self) -> None:
        self.runs: dict[Pair, dict[tuple[str, str], RunStatus]] = {}
        self.cursors: dict[Pair, dict[str, tuple[Cursor, datetime]]] = {}
        self.rejects: dict[Pair, int] = {}
        self.drift: dict[Pair, tuple[int, list[Drift]]] = {}
        self.budgets: dict[str, asyncpg.Record] = {}
        self.locks: set[int] = set()

    @classmethod
    async def read(cls, database: Database, pairs: Sequence[Pair]) -> "_Facts":
        """Read them, in one transaction."""
        facts = cls()
        async with database.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
            # locks first: a run that ends meanwhile is then seen as running, not as dead
            facts.locks = {row[0] for row in await conn.fetch(_HELD_LOCKS)}
            for row in await conn.fetch(_RUNS, *_columns(pairs)):
                run = _run(row)
                facts.runs.setdefault((row["source"], row["stream"]), {})[row["role"], run.kind] = run
            for row in await conn.fetch("SELECT source, stream, kind, cursor, updated_at FROM syncd.cursors"):
                cursor = msgspec.json.decode(row["cursor"]), row["updated_at"]
                facts.cursors.setdefault((row["source"], row["stream"]), {})[row["kind"]] = cursor
            for row in await conn.fetch("SELECT source, stream, count(*) FROM syncd.rejects GROUP BY 1, 2"):
                facts.rejects[row[0], row[1]] = row[2]
            for row in await conn.fetch(_DRIFT):
                _, fields = facts.drift.setdefault((row["source"], row["stream"]), (row["total"], []))
                if len(fields) < DRIFT_SHOWN:
                    fields.append(Drift(**{name: row[name] for name in Drift.__struct_fields__}))
            facts.budgets = {row["source"]: row for row in await conn.fetch("SELECT * FROM syncd.budgets")}
        return facts

    def run(self, pair: Pair, role: str, kind: str) -> RunStatus | None:
        """Return the newest, newest judged or newest good run of a kind."""
        return self.runs.get(pair, {}).get((role, kind))

    def judged_sweep(self, pair: Pair) -> RunStatus | None:
        """Return the newest sweep that says how sweeps do."""
        return self.run(pair, "judged", "sweep")

    def open_run(self, pair: Pair, *kinds: str) -> tuple[RunStatus | None, bool]:
        """Return the run that is not closed, and whether the process behind it is dead: nobody holds its lock."""
        open_runs = [
            run for kind in kinds if (run := self.run(pair, "newest", kind)) is not None and run.outcome == "running"
        ]
        run = max(open_runs, key=lambda run: run.run_id, default=None)
        return run, run is not None and stream_lock(*pair, run.kind) not in self.locks

    def stream(
        self,
        pair: Pair,
        settings: StreamConfig,
        table: str,
        rows: Rows | None,
        planned: datetime | None,
        zone: str,
        now: datetime,
    ) -> StreamStatus:
        """Put together how one stream stands."""
        running, dead = self.open_run(pair, "live", "sweep")
        last = _newest(self.run(pair, "judged", "live"), self.judged_sweep(pair))
        ok = self.run(pair, "ok", "live")
        state, why = judge(
            settings, running=running if not dead else None, dead=dead, live=self.run(pair, "judged", "live"), ok=ok,
            now=now,
        )  # fmt: skip
        sweep = self.judged_sweep(pair)
        if not why and sweep and sweep.outcome != "ok":
            why = f"the last sweep {sweep.outcome}: {sweep.error or sweep.error_kind or 'no reason was told'}"
        cursor = self.cursors.get(pair, {}).get("live")
        drift_count, drift = self.drift.get(pair, (0, []))
        return StreamStatus(
            source=pair[0],
            stream=pair[1],
            state=state,
            why=log.mask(why),
            schedule=schedule_words(settings),
            table=table,
            cursor=cursor[0] if cursor else None,
            cursor_words=cursor_words(cursor[0] if cursor else None, zone),
            rows=rows,
            last_run=last,
            running=None if dead else running,
            last_sweep=sweep,
            last_ok_at=ok.started_at if ok else None,
            freshness_s=max(0.0, (now - ok.started_at).total_seconds()) if ok else None,
            next_run_at=None if state in ("off", "disabled") else planned or self._next_at(pair, settings, now),
            rejects=self.rejects.get(pair, 0),
            drift_count=drift_count,
            drift=drift,
        )

    def _next_at(self, pair: Pair, settings: StreamConfig, now: datetime) -> datetime:
        """Compute the next run as a daemon would that runs without pause."""
        newest = self.run(pair, "newest", "live")
        if newest is None:
            return now
        if newest.outcome == "ok":
            known = schedule.History(ok_at=newest.started_at, idle=0 if newest.requests else 1)
        else:
            known = schedule.History(failures=1, failed_at=newest.finished_at, error_kind=newest.error_kind)
        return max(now, schedule.again_at(settings, known) or schedule.next_at(settings, newest.started_at))

    def backfills(self) -> list[BackfillStatus]:
        """Return the backfills under way."""
        found = []
        for pair in self.runs:
            run, dead = self.open_run(pair, "backfill")
            if run and not dead:
                kinds = {
                    kind: at for kind, (_, at) in self.cursors.get(pair, {}).items() if kind.startswith("backfill")
                }
                newest = max(kinds, key=lambda kind: kinds[kind], default="")
                walked = newest.removeprefix("backfill ") if newest and kinds[newest] >= run.started_at else ""
                found.append(BackfillStatus(source=pair[0], stream=pair[1], range=walked, run=run))
        return found


def _columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [source for source, _ in pairs], [stream for _, stream in pairs]


def _run(row: asyncpg.Record) -> RunStatus:
    values = {name: row[name] for name in RunStatus.__struct_fields__}
    return RunStatus(**values | {"error": log.mask(row["error"]) if row["error"] else None})


def _newest(*runs: RunStatus | None) -> RunStatus | None:
    return max((run for run in runs if run), key=lambda run: run.run_id, default=None)


def _table(registry: Mapping[str, Source], source_type: str, stream: str) -> str:
    table = registry[source_type].stream(stream).table
    return f"{table.schema}.{table.name}"


def _budget(row: asyncpg.Record | None, settings: BudgetConfig, zone: str, now: datetime) -> BudgetStatus | None:
    """Read a source's budget as it stands now, not as it stood at its last request."""
    if row is None:
        return None
    policy = budget.Policy(
        per_minute=settings.per_minute,
        per_day=settings.per_day,
        live_reserve=settings.live_reserve,
        backfill_minute_share=settings.backfill_share,
        day_zone=zone,
    )
    view = budget.summary(msgspec.json.decode(row["state"], type=budget.State), policy, now.timestamp())
    values = msgspec.structs.asdict(view)
    for name in ("day_reset_at", "closed_until"):
        values[name] = None if values[name] is None else datetime.fromtimestamp(values[name], UTC)
    return BudgetStatus(**values, updated_at=row["updated_at"])


# --- Judging and wording ----------------------------------------------------------------------------------------------


def judge(
    settings: StreamConfig,
    *,
    running: RunStatus | None,
    dead: bool,
    live: RunStatus | None,
    ok: RunStatus | None,
    now: datetime,
) -> tuple[State, str]:
    """Return the state of a stream and why.

    `live` is the newest live run that says how the stream does, `ok` the newest good one, `running` a run under way;
    `dead` says that the newest run's process ended without a word. A stream that fails fails until a run succeeds, also
    while it is being tried again.
    """
    off = is_off(settings)
    if off:
        return ("disabled" if not settings.enabled else "off"), off
    if dead:
        return "failing", "the process of the last run ended without a word; the next run goes on where it was"
    if live and live.outcome != "ok":
        state: State = "paused" if live.error_kind in schedule.PAUSING else "failing"
        return state, live.error or f"the last run was {live.outcome}"
    if running:
        return "running", ""
    if ok is None:
        return "never", "no run has succeeded yet"
    if now >= schedule.late_at(settings, ok.started_at):
        return "late", f"the last good run started {spoken((now - ok.started_at).total_seconds())} ago"
    return "fresh", ""


def schedule_words(settings: StreamConfig) -> str:
    """Say when a stream runs."""
    words = f"cron {settings.cron} (UTC)" if settings.cron else f"every {spoken(settings.every_s or 0)}"
    return words + (f", sweep every {spoken(settings.sweep_s)}" if settings.sweep_s else "")


def cursor_words(cursor: Cursor | None, zone: str) -> str:
    """Say in words where a stream resumes. Only names that cursors commonly use are told, never a key of a record."""
    if cursor is None:
        return "no cursor yet: the next run reads from the beginning"
    under_way = cursor.get("pass")
    parts = []
    if isinstance(under_way, dict):
        began = _local(under_way.get("started_at"), zone)
        parts.append(f"resumes the pass that began {began}" if began else "resumes within a pass")
        if isinstance(under_way.get("offset"), int):
            parts.append(f"at offset {under_way['offset']:,}")
    for name, words in _CURSOR_WORDS.items():
        if at := _local(cursor.get(name), zone):
            parts.append(f"{words} {at}")
    if cursor.get("top"):
        parts.append("knows the newest records of the last pass")
    return ", ".join(parts) or "reads the whole list every time"


_CURSOR_WORDS: Final = {
    "since": "resumes with changes since",
    "reached": "has reached",
    "as_of": "up to date as of",
    "swept_at": "swept",
}


def _local(value: object, zone: str) -> str:
    """Write an instant of a cursor in the source's zone; nothing if it is none."""
    if not isinstance(value, str):
        return ""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return ""
    if at.tzinfo is None:
        return f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"


# --- Serving many readers ---------------------------------------------------------------------------------------------


class StatusReader:
    """Collects the status for all who ask in one process: one at a time, at most once in STATUS_KEPT_S."""

    def __init__(
        self,
        registry: Mapping[str, Source],
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        clock: Callable[[], datetime],
        next_runs: Callable[[], Mapping[Pair, datetime]] = dict,
    ) -> None:
        self.database = database
        self.config = config
        self._registry = registry
        self._clock = clock
        self._next_runs = next_runs
        self._counts = RowCounts()
        self._gate = asyncio.Lock()
        self._status: Status | None = None

    async def status(self) -> Status:
        """Return the status, at most STATUS_KEPT_S old. Raises DatabaseError."""
        async with self._gate:
            now, held = self._clock(), self._status
            if held is None or not timedelta() <= now - held.at < timedelta(seconds=STATUS_KEPT_S):
                held = self._status = await collect(
                    self.database(), self.config(), self._registry, now=now, counts=self._counts,
                    next_runs=self._next_runs(),
                )  # fmt: skip
            return held

    async def runs(self, source: str, stream: str, limit: int = 50) -> list[RunStatus]:
        """Return the newest runs of one stream. Raises DatabaseError."""
        return await stream_runs(self.database(), source, stream, limit)

    def forget(self) -> None:
        """Collect anew next time: the configuration changed."""
        self._status, self._counts = None, RowCounts()


def is_sweep_refused(stream: StreamStatus) -> bool:
    """Whether the last sweep of a stream was refused, so that somebody has to look."""
    return stream.last_sweep is not None and stream.last_sweep.error_kind == schedule.REFUSED

"""What the tables of schema syncd say of streams as of one instant, and how a stream stands by it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec

from syncd import log
from syncd.config import BudgetConfig, StreamConfig
from syncd.contract import Cursor, Identity
from syncd.engine import schedule
from syncd.frozen import dataclass
from syncd.status.model import BackfillStatus, BudgetStatus, Drift, Pair, Rows, RunStatus, StreamStatus
from syncd.status.progress import progress_of
from syncd.status.words import cursor_words, judge, schedule_words
from syncd.storage.postgres.database import Database
from syncd.storage.state import operators, sources
from syncd.storage.state.runs import stream_lock
from syncd.upstream import budget

QUERY_TIMEOUT_S: Final = 20.0
PAIRS_AT_ONCE: Final = 2_000
"""Streams that one query is about: their rows take some hundredths of a second to read."""
DRIFT_SHOWN: Final = 100
"""Drifted fields of one stream that are listed; `drift_count` counts all."""

StoredBudget = tuple[budget.State, budget.Policy]
"""One source's budget as the database holds it, and the operator's wishes for it."""

_RUN_COLUMNS: Final = ", ".join(RunStatus.__struct_fields__)

# Index runs_by_stream gives each of these at its first rows.
_NEWEST: Final = f"""
SELECT w.source, w.stream, r.* FROM unnest($1::text[], $2::text[]) AS w(source, stream)
CROSS JOIN (VALUES ('live'), ('sweep'), ('backfill')) AS k(kind)
CROSS JOIN LATERAL (
  SELECT {_RUN_COLUMNS} FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = k.kind ORDER BY run_id DESC LIMIT 1
) AS r
"""  # noqa: S608  (names of columns, from the Struct above)

_EARLIER: Final = f"""
SELECT w.source, w.stream, r.role, r.* FROM unnest($1::text[], $2::text[], $3::text[]) AS w(source, stream, kind)
CROSS JOIN LATERAL (
  (SELECT {_RUN_COLUMNS}, 'judged' AS role FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = w.kind
     AND (outcome IN ('ok', 'failed', 'throttled') OR error_kind = 'Killed') ORDER BY run_id DESC LIMIT 1)
  UNION ALL
  (SELECT {_RUN_COLUMNS}, 'ok' FROM syncd.runs
   WHERE source = w.source AND stream = w.stream AND kind = w.kind AND outcome = 'ok' ORDER BY run_id DESC LIMIT 1)
) AS r
"""  # noqa: S608  (as above)

STREAM_RUNS: Final = f"""
SELECT {_RUN_COLUMNS} FROM syncd.runs WHERE source = $1 AND stream = $2 AND (kind = 'sweep') = $3
ORDER BY run_id DESC LIMIT $4
"""  # noqa: S608  (as above)

_OF_STREAM: Final = "FROM syncd.runs WHERE source = w.source AND stream = w.stream"
HISTORY: Final = f"""
SELECT w.source, w.stream, ok.started_at AS ok_at, ok.requests,
       coalesce(swept.started_at, first.started_at) AS swept_at,
       tried.finished_at AS tried_at, tried.outcome AS tried_outcome, tried.error_kind AS tried_error_kind
FROM unnest($1::text[], $2::text[]) AS w(source, stream)
LEFT JOIN LATERAL (
  SELECT started_at, requests {_OF_STREAM} AND kind = 'live' AND outcome = 'ok' ORDER BY run_id DESC LIMIT 1
) AS ok ON true
LEFT JOIN LATERAL (
  SELECT started_at {_OF_STREAM} AND kind = 'sweep' AND outcome = 'ok' ORDER BY run_id DESC LIMIT 1
) AS swept ON true
LEFT JOIN LATERAL (
  SELECT finished_at, outcome, error_kind {_OF_STREAM} AND kind = 'sweep'
    AND (outcome IN ('ok', 'failed', 'throttled') OR error_kind = 'Killed') ORDER BY run_id DESC LIMIT 1
) AS tried ON true
LEFT JOIN LATERAL (
  SELECT started_at {_OF_STREAM} AND kind = 'live' AND outcome = 'ok' AND swept.started_at IS NULL
  ORDER BY run_id LIMIT 1
) AS first ON true
"""  # noqa: S608  (as above)
"""What a scheduler that starts must know of earlier runs of some streams."""

_FREE_LOCKS: Final = """
SELECT number FROM unnest($1::bigint[]) AS asked (number)
WHERE syncd.lock_key(number) NOT IN (
  SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
  WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""
_STILL_OPEN: Final = "SELECT run_id FROM syncd.runs WHERE run_id = ANY($1::bigint[]) AND outcome = 'running'"

_DRIFT: Final = """
SELECT source, stream, count(*) OVER (PARTITION BY source, stream) AS total,
       row_number() OVER (PARTITION BY source, stream ORDER BY last_seen_at DESC, field) AS place,
       field, change, first_seen_at, last_seen_at, occurrences, sample
FROM syncd.drift{where} ORDER BY source, stream, place
"""


_LOSSES: Final = """
SELECT source, table_name, sum(rows_lost)::bigint AS rows_lost, min(lost_at) AS since,
       string_agg(DISTINCT by_role, ', ') AS by
FROM syncd.losses GROUP BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How many rows of a table somebody else deleted, since when, and the roles that did."""

    rows: int
    since: datetime
    by: str


class Facts:
    """What the tables of schema syncd say of some streams, as of one instant."""

    def __init__(self) -> None:
        self.runs: dict[Pair, dict[tuple[str, str], RunStatus]] = {}
        self.cursors: dict[Pair, dict[str, tuple[Cursor, datetime]]] = {}
        self.rejects: dict[Pair, int] = {}
        self.drift: dict[Pair, tuple[int, list[Drift]]] = {}
        self.budgets: dict[str, asyncpg.Record] = {}
        self.dead: set[int] = set()
        self.losses: dict[str, dict[str, Loss]] = {}
        self.identities: dict[str, Identity] = {}
        self.pauses: dict[Pair, datetime] = {}

    @property
    def names(self) -> set[str]:
        """The sources of which anything is stored that a run goes by."""
        return {*self.identities, *(source for source, _ in self.cursors)}

    @classmethod
    async def read(cls, database: Database, pairs: Sequence[Pair], *, of: Sequence[str] | None = None) -> "Facts":
        """Read them as of one instant; `of` names the sources that anything is read of, None: all."""
        facts = cls()
        where, values = ("", []) if of is None else (" WHERE source = ANY($1::text[])", [list(of)])
        async with database.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
            for some in batches(pairs):
                await facts._read_runs(conn, some)
            facts.losses = await losses_of(conn)
            cursors = f"SELECT source, stream, kind, cursor, updated_at FROM syncd.cursors{where}"  # noqa: S608
            for row in await conn.fetch(cursors, *values):
                cursor = msgspec.json.decode(row["cursor"]), row["updated_at"]
                facts.cursors.setdefault((row["source"], row["stream"]), {})[row["kind"]] = cursor
            rejects = f"SELECT source, stream, count(*) FROM syncd.rejects{where} GROUP BY 1, 2"  # noqa: S608
            for row in await conn.fetch(rejects, *values):
                facts.rejects[row[0], row[1]] = row[2]
            for row in await conn.fetch(_DRIFT.format(where=where), *values):
                _, fields = facts.drift.setdefault((row["source"], row["stream"]), (row["total"], []))
                if len(fields) < DRIFT_SHOWN:
                    fields.append(Drift(**{name: row[name] for name in Drift.__struct_fields__}))
            facts.pauses = await operators.pauses(conn)
            facts.identities = await sources.all_stored(conn, of)
            budgets = await conn.fetch(f"SELECT * FROM syncd.budgets{where}", *values)  # noqa: S608
            facts.budgets = {row["source"]: row for row in budgets}
        await facts._find_dead(database)
        return facts

    @classmethod
    async def read_standing(
        cls, database: Database, pairs: Sequence[Pair], losses: Mapping[str, Mapping[str, Loss]]
    ) -> "Facts":
        """Read what says how some streams stand, as of one instant: their runs, and whether these are alive."""
        facts = cls()
        facts.losses = {source: dict(held) for source, held in losses.items()}
        async with database.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
            for some in batches(pairs):
                await facts._read_runs(conn, some)
            facts.pauses = await operators.pauses(conn)
        await facts._find_dead(database)
        return facts

    async def _find_dead(self, database: Database) -> None:
        """Learn which open runs nobody works on any more, after the transaction that read the runs.

        A run is dead whose row was open both before and after its lock was seen free. Less does not do: a run may begin
        or end between a look at the rows and one at the locks.
        """
        locks: dict[int, list[int]] = {}
        for pair, runs in self.runs.items():
            for (role, kind), run in runs.items():
                if role == "newest" and run.outcome == "running":
                    locks.setdefault(stream_lock(*pair, kind), []).append(run.run_id)
        if not locks:
            return
        async with database.connection() as conn, conn.transaction(isolation="read_committed", readonly=True):
            await conn.execute(f"SET LOCAL statement_timeout = {QUERY_TIMEOUT_S * 1000:.0f}")
            free = [run_id for row in await conn.fetch(_FREE_LOCKS, list(locks)) for run_id in locks[row["number"]]]
            if free:
                self.dead.update(row["run_id"] for row in await conn.fetch(_STILL_OPEN, free))

    async def _read_runs(self, conn: asyncpg.Connection, pairs: Sequence[Pair]) -> None:
        """Read of each kind the newest run, the newest that is judged and the newest good one: mostly the same."""
        bad = []
        for row in await conn.fetch(_NEWEST, *columns(pairs)):
            source, stream, run = row[0], row[1], run_of(row)
            known = self.runs.setdefault((source, stream), {})
            known["newest", run.kind] = run
            if run.outcome == "ok":
                known["judged", run.kind] = known["ok", run.kind] = run
            else:
                bad.append((source, stream, run.kind))
        if bad:
            for row in await conn.fetch(_EARLIER, *map(list, zip(*bad, strict=True))):
                run = run_of(row)
                self.runs[row["source"], row["stream"]][row["role"], run.kind] = run

    def run(self, pair: Pair, role: str, kind: str) -> RunStatus | None:
        """Return the newest, newest judged or newest good run of a kind."""
        return self.runs.get(pair, {}).get((role, kind))

    def judged_sweep(self, pair: Pair) -> RunStatus | None:
        """Return the newest sweep that says how sweeps do."""
        return self.run(pair, "judged", "sweep")

    def open_run(self, pair: Pair, *kinds: str) -> tuple[RunStatus | None, bool]:
        """Return the run that is not closed, and whether the process behind it is dead."""
        open_runs = [
            run for kind in kinds if (run := self.run(pair, "newest", kind)) is not None and run.outcome == "running"
        ]
        run = max(open_runs, key=lambda run: run.run_id, default=None)
        return run, run is not None and run.run_id in self.dead

    def stream(
        self,
        pair: Pair,
        settings: StreamConfig,
        tables: Sequence[str],
        rows: Rows | None,
        planned: datetime | None,
        sweep_at: datetime | None,
        zone: str,
        now: datetime,
        *,
        by_listing: bool,
    ) -> StreamStatus:
        """Put together how one stream stands.

        `tables` are its table and the child tables; `by_listing` says that a sweep asks for all of its rows. `planned`
        and `sweep_at` are the plans of a daemon, if one tells them.
        """
        running, dead = self.open_run(pair, "live", "sweep")
        live, sweep, ok = self.run(pair, "judged", "live"), self.judged_sweep(pair), self.run(pair, "ok", "live")
        swept = self.run(pair, "ok", "sweep")
        paused_at = self.pauses.get(pair)
        state, why = judge(
            settings, running=None if dead else running, dead=dead, live=live, ok=ok, now=now, paused_at=paused_at
        )
        lost = [(name, loss) for name, loss in self.losses.get(pair[0], {}).items() if name in tables]
        if lost and state in ("fresh", "late", "running", "never"):
            state, why = "failing", lost_words(lost, f"{pair[0]}.{pair[1]}", by_listing=by_listing)
        if not why and sweep and sweep.outcome != "ok":
            why = f"the last sweep {sweep.outcome}: {sweep.error or sweep.error_kind or 'no reason was told'}"
        next_run_at = None if state in ("off", "disabled") else planned or self._next_at(pair, settings, now)
        sweep_at = sweep_at or schedule.sweep_at(settings.sweep_s, swept_history(swept, sweep))
        cursor = self.cursors.get(pair, {}).get("live")
        drift_count, drift = self.drift.get(pair, (0, []))
        return StreamStatus(
            source=pair[0],
            stream=pair[1],
            state=state,
            why=log.mask(why) if why else "",
            schedule=schedule_words(settings),
            table=tables[0],
            cursor=cursor[0] if cursor else None,
            cursor_words=cursor_words(cursor[0] if cursor else None, zone),
            rows=rows,
            last_run=_newest(live, sweep),
            running=None if dead else running,
            last_sweep=sweep,
            last_ok_at=ok.started_at if ok else None,
            freshness_s=max(0.0, (now - ok.started_at).total_seconds()) if ok else None,
            next_run_at=next_run_at,
            rejects=self.rejects.get(pair, 0),
            drift_count=drift_count,
            drift=drift,
            swept_at=swept.started_at if swept else None,
            next_sweep_at=max(sweep_at, next_run_at) if sweep_at and next_run_at else None,
            last_live=live,
            paused_at=paused_at,
        )

    def _next_at(self, pair: Pair, settings: StreamConfig, now: datetime) -> datetime:
        """Compute the next run as a daemon would that runs without pause.

        A run that a wrong clock dated ahead of now counts as one of now.
        """
        newest = self.run(pair, "newest", "live")
        if newest is None:
            return now
        started_at = min(newest.started_at, now)
        if newest.outcome == "ok":
            known = schedule.History(ok_at=started_at, idle=0 if newest.requests else 1)
        else:
            failed_at = min(newest.finished_at or now, now)
            known = schedule.History(failures=1, failed_at=failed_at, error_kind=newest.error_kind)
        return max(now, schedule.again_at(settings, known) or schedule.next_at(settings, started_at))

    def backfills(
        self, rows: Mapping[Pair, Rows | None], purses: Mapping[str, StoredBudget], now: datetime
    ) -> list[BackfillStatus]:
        """Return the backfills under way, with how far they are."""
        found = []
        for pair in self.runs:
            run, dead = self.open_run(pair, "backfill")
            if run and not dead:
                kinds = {kind: held for kind, held in self.cursors.get(pair, {}).items() if kind.startswith("backfill")}
                newest = max(kinds, key=lambda kind: kinds[kind][1], default="")
                cursor, saved_at = kinds.get(newest, (None, run.started_at))
                walked = newest.removeprefix("backfill ") if saved_at >= run.started_at else ""
                mirrored = rows.get(pair)
                progress = progress_of(
                    run, now=now, cursor=cursor if walked else None, walked=walked,
                    mirrored=mirrored.alive if mirrored else None, purse=purses.get(pair[0]),
                )  # fmt: skip
                found.append(BackfillStatus(source=pair[0], stream=pair[1], range=walked, run=run, progress=progress))
        return found


async def losses_of(conn: asyncpg.Connection) -> dict[str, dict[str, Loss]]:
    """Return what others deleted, by source and table."""
    found: dict[str, dict[str, Loss]] = {}
    for row in await conn.fetch(_LOSSES):
        loss = Loss(rows=row["rows_lost"], since=row["since"], by=row["by"])
        found.setdefault(row["source"], {})[row["table_name"]] = loss
    return found


def swept_history(swept: RunStatus | None, tried: RunStatus | None) -> schedule.History:
    """Return what is known of the sweeps of a stream: its last good one, and the last one that says how sweeps do."""
    failed = tried if tried and tried.outcome != "ok" else None
    return schedule.History(
        swept_at=swept.started_at if swept else None,
        sweep_failures=1 if failed else 0,
        sweep_tried_at=failed.finished_at if failed else None,
        sweep_error_kind=failed.error_kind if failed else None,
    )


def lost_words(lost: Sequence[tuple[str, Loss]], name: str, *, by_listing: bool) -> str:
    """Say which rows somebody else deleted, and what brings them back."""
    told = ", ".join(
        f"{loss.rows} rows of {table}, deleted by role {loss.by} since {loss.since:%Y-%m-%d %H:%M} UTC"
        for table, loss in lost
    )
    way = f"syncd sync {name} --full" if by_listing else f"syncd backfill {name} --since DATE"
    return f"rows are missing: {told}; to bring them back: {way}"


def batches(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Yield the streams, so many at a time that others have their turn between."""
    yield from (pairs[at : at + PAIRS_AT_ONCE] for at in range(0, len(pairs), PAIRS_AT_ONCE))


def columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Return sources and streams as two columns, for unnest."""
    return [source for source, _ in pairs], [stream for _, stream in pairs]


def run_of(row: asyncpg.Record) -> RunStatus:
    """Read a row of syncd.runs; its error is masked once more."""
    values = {name: row[name] for name in RunStatus.__struct_fields__}
    if values["error"]:
        values["error"] = log.mask(values["error"])
    return RunStatus(**values)


def _newest(*runs: RunStatus | None) -> RunStatus | None:
    return max((run for run in runs if run), key=lambda run: run.run_id, default=None)


def purse_of(row: asyncpg.Record | None, settings: BudgetConfig, zone: str) -> StoredBudget | None:
    """Read a source's budget as it is stored; None before its first request."""
    if row is None:
        return None
    policy = budget.Policy(
        per_minute=settings.per_minute,
        per_day=settings.per_day,
        live_reserve=settings.live_reserve,
        backfill_minute_share=settings.backfill_share,
        day_zone=zone,
    )
    return budget.decode(row["state"]), policy


def budget_status(purse: StoredBudget, updated_at: datetime, now: datetime) -> BudgetStatus:
    """Say how a source's budget stands now, not how it stood at its last request."""
    values = msgspec.structs.asdict(budget.summary(*purse, now.timestamp()))
    for name in ("day_reset_at", "closed_until"):
        values[name] = None if values[name] is None else datetime.fromtimestamp(values[name], UTC)
    return BudgetStatus(**values, updated_at=updated_at)

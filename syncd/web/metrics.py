"""The metrics, in Prometheus' text format: gauges of the status as it stands, counters of what happened since we began.

Runs, rows and requests are counted from syncd.runs, whatever process they are of; answers by status, waits for locks
and the queue are this process's own. Owns names, units and labels. Labels are names of the configuration and words of a
fixed set, so their number is bound.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from syncd import tally
from syncd.database import Database
from syncd.status import SourceStatus, State, Status, StreamStatus, is_sweep_refused

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = ("ok", "throttled", "failed", "aborted")
CHANGES: Final = ("inserted", "updated", "unchanged", "deleted", "rejected")
GAP_LOOKS: Final = 5
"""A number that syncd.runs skipped may be a row that commits a moment later: it is looked for this often."""
GAPS_WATCHED: Final = 1000

_NEW_RUNS: Final = """
SELECT run_id, source, stream, kind, outcome, requests,
       rows_inserted, rows_updated, rows_unchanged, rows_deleted, rows_rejected, budget_wait_s,
       extract(epoch FROM finished_at - started_at)::float8 AS duration_s
FROM syncd.runs WHERE"""


class Totals:
    """Counts every run that ended since `since`, of whatever process, once; starts at zero with the process."""

    def __init__(self, *, since: datetime) -> None:
        self.runs: Counter[tuple[str, str, str, str]] = Counter()
        self.rows: Counter[tuple[str, str, str]] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.run_s: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self.budget_wait_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.since = since
        self._top: int | None = None
        self._open: set[int] = set()
        self._gaps: dict[int, int] = {}

    async def update(self, database: Database) -> None:
        """Count what ended since the last time."""
        async with database.connection() as conn:
            if self._top is None:
                found = await conn.fetch(f"{_NEW_RUNS} started_at >= $1", self.since)
            else:
                watched = [*self._open, *self._gaps]
                found = await conn.fetch(f"{_NEW_RUNS} run_id > $1 OR run_id = ANY($2::bigint[])", self._top, watched)
        self._open = {row["run_id"] for row in found if row["outcome"] == "running"}
        for row in found:
            if row["outcome"] == "running":
                continue
            pair = row["source"], row["stream"]
            self.runs[*pair, row["kind"], row["outcome"]] += 1
            self.requests[pair] += row["requests"]
            self.run_s[*pair, row["kind"]] += row["duration_s"] or 0.0
            self.budget_wait_s[pair] += row["budget_wait_s"]
            for change in CHANGES:
                self.rows[*pair, change] += row[f"rows_{change}"]
        self._watch_gaps({row["run_id"] for row in found})

    def _watch_gaps(self, found: set[int]) -> None:
        top = max(found, default=self._top or 0)
        if self._top is not None:
            first = max(self._top + 1, top - GAPS_WATCHED)
            self._gaps |= dict.fromkeys(range(first, top), GAP_LOOKS + 1)
        self._gaps = {number: looks - 1 for number, looks in self._gaps.items() if looks > 1 and number not in found}
        if found:
            self._top = max(self._top or 0, top)


class _Families(Collector):
    """Hands the families of one moment to the registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield from self._families


def text(status: Status | None, totals: Totals) -> bytes:
    """Return the metrics; without a status only that the database is away, and the counters."""
    registry = CollectorRegistry()
    registry.register(_Families(_families(status, totals)))
    return generate_latest(registry)


def _families(status: Status | None, totals: Totals) -> Iterator[Metric]:
    yield GaugeMetricFamily("syncd_database_up", "Whether the database answers", value=float(status is not None))
    yield GaugeMetricFamily(
        "syncd_start_timestamp_seconds", "When this process began to count", value=totals.since.timestamp()
    )
    if status is not None:
        info = GaugeMetricFamily("syncd_build_info", "Version of syncd; always 1", labels=["version"])
        info.add_metric([status.version], 1)
        yield info
        yield from _stream_gauges(status.streams)
        yield from _budget_gauges(status.sources)
    yield from _counters(status.streams if status else [], totals)
    yield from _process(status)


def _stream_gauge(name: str, words: str, values: Iterable[tuple[StreamStatus, float | None]]) -> Metric:
    family = GaugeMetricFamily(f"syncd_{name}", words, labels=["source", "stream"])
    for stream, value in values:
        if value is not None:
            family.add_metric([stream.source, stream.stream], value)
    return family


def _stream_gauges(streams: list[StreamStatus]) -> Iterator[Metric]:
    on = [stream for stream in streams if stream.state not in ("off", "disabled")]
    yield _stream_gauge(
        "stream_freshness_seconds", "Age of the last good live run, by its start", ((s, s.freshness_s) for s in on)
    )
    yield _stream_gauge(
        "stream_next_run_timestamp_seconds",
        "When the stream runs next",
        ((s, s.next_run_at.timestamp() if s.next_run_at else None) for s in on),
    )
    states = GaugeMetricFamily(
        "syncd_stream_state", "1 for the state that the stream is in", labels=["source", "stream", "state"]
    )
    for stream in streams:
        for state in State.__args__:  # type: ignore[attr-defined]  # a Literal's own
            states.add_metric([stream.source, stream.stream, state], float(stream.state == state))
    yield states
    yield _stream_gauge("rejects", "Records that could not become a row", ((s, s.rejects) for s in streams))
    yield _stream_gauge(
        "drift_fields", "Fields that are not as the vendor documents them", ((s, s.drift_count) for s in streams)
    )
    yield _stream_gauge(
        "sweep_refused", "1 if the last sweep was not believed", ((s, float(is_sweep_refused(s))) for s in on)
    )
    rows = GaugeMetricFamily("syncd_mirror_rows", "Rows in the mirror", labels=["source", "stream", "status"])
    for stream in streams:
        if stream.rows is not None:
            rows.add_metric([stream.source, stream.stream, "alive"], stream.rows.alive)
            rows.add_metric([stream.source, stream.stream, "deleted"], stream.rows.deleted)
    yield rows


def _budget_gauges(sources: list[SourceStatus]) -> Iterator[Metric]:
    labels = ["source", "window"]
    limit = GaugeMetricFamily("syncd_budget_limit", "Requests allowed in the window", labels=labels)
    remaining = GaugeMetricFamily("syncd_budget_remaining", "Requests left in the window", labels=labels)
    used = GaugeMetricFamily(
        "syncd_budget_used", "Our own requests in the window, by lane", labels=["source", "window", "lane"]
    )
    closed = GaugeMetricFamily(
        "syncd_budget_closed", "1 while a 429 keeps the source from being asked", labels=["source"]
    )
    for source in sources:
        if (budget := source.budget) is None:
            continue
        for window, most, left, live, backfill in (
            ("minute", budget.minute_limit, budget.minute_remaining, budget.minute_used_live,
             budget.minute_used_backfill),
            ("day", budget.day_limit, budget.day_remaining, budget.day_used_live, budget.day_used_backfill),
        ):  # fmt: skip
            if most is not None:
                limit.add_metric([source.source, window], most)
            if left is not None:
                remaining.add_metric([source.source, window], left)
            used.add_metric([source.source, window, "live"], live)
            used.add_metric([source.source, window, "backfill"], backfill)
        closed.add_metric([source.source], float(budget.closed_until is not None))
    yield from (limit, remaining, used, closed)


def _counters(streams: list[StreamStatus], totals: Totals) -> Iterator[Metric]:
    pairs = [(stream.source, stream.stream) for stream in streams]
    runs = CounterMetricFamily("syncd_runs", "Runs that ended", labels=["source", "stream", "kind", "outcome"])
    # counters that begin at zero, so that a first failure is a rise
    for labels in dict.fromkeys([*((*pair, "live", outcome) for pair in pairs for outcome in OUTCOMES), *totals.runs]):
        runs.add_metric(labels, totals.runs[labels])
    rows = CounterMetricFamily("syncd_rows", "Records by what became of them", labels=["source", "stream", "change"])
    for change in dict.fromkeys([*((*pair, word) for pair in pairs for word in CHANGES), *totals.rows]):
        rows.add_metric(change, totals.rows[change])
    requests = CounterMetricFamily(
        "syncd_requests", "Requests sent by runs that ended, each try counted", labels=["source", "stream"]
    )
    for pair in dict.fromkeys([*pairs, *totals.requests]):
        requests.add_metric(pair, totals.requests[pair])
    seconds = CounterMetricFamily(
        "syncd_run_seconds", "Seconds that runs took which ended", labels=["source", "stream", "kind"]
    )
    for kind in dict.fromkeys([*((*pair, "live") for pair in pairs), *totals.run_s]):
        seconds.add_metric(kind, totals.run_s[kind])
    waited = CounterMetricFamily(
        "syncd_budget_wait_seconds", "Seconds that runs which ended waited for the budget", labels=["source", "stream"]
    )
    for pair in dict.fromkeys([*pairs, *totals.budget_wait_s]):
        waited.add_metric(pair, totals.budget_wait_s[pair])
    yield from (runs, rows, requests, seconds, waited)


def _process(status: Status | None) -> Iterator[Metric]:
    """Yield what only this process counts."""
    sources = [source.source for source in status.sources] if status else []
    pairs = [(stream.source, stream.stream) for stream in status.streams] if status else []
    responses = CounterMetricFamily(
        "syncd_responses", "Tries by HTTP status; none where no whole answer came", labels=["source", "status"]
    )
    for answer in dict.fromkeys([*((source, "200") for source in sources), *tally.answers]):
        responses.add_metric(answer, tally.answers[answer])
    locks = CounterMetricFamily(
        "syncd_lock_wait_seconds", "Seconds waited for another writer of the same table", labels=["source"]
    )
    for source in dict.fromkeys([*sources, *tally.lock_wait_s]):
        locks.add_metric([source], tally.lock_wait_s.get(source, 0.0))
    skipped = CounterMetricFamily(
        "syncd_runs_skipped", "Runs not begun because another process was at the stream", labels=["source", "stream"]
    )
    for pair in dict.fromkeys([*pairs, *tally.skipped]):
        skipped.add_metric(pair, tally.skipped[pair])
    callbacks = CounterMetricFamily(
        "syncd_callbacks", "Callbacks by what became of them; no source: to an address that there is not",
        labels=["source", "result"],
    )  # fmt: skip
    for became, count in tally.callbacks.items():
        callbacks.add_metric(became, count)
    yield from (responses, locks, skipped, callbacks)
    for name, words, counted in (
        ("syncd_runs_waiting", "Runs that are due and wait for a seat", tally.waiting),
        ("syncd_runs_under_way", "Runs that have a seat", tally.under_way),
    ):
        queue = GaugeMetricFamily(name, words, labels=["source"])
        for source in dict.fromkeys([*sources, *counted]):
            queue.add_metric([source], counted[source])
        yield queue

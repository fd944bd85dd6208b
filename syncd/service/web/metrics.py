"""The metrics, in Prometheus' text format: gauges of the current status, counters since the process started.

Runs, rows and requests are counted from syncd.runs, whatever process they are of; answers by status, waits for locks
and the queue are this process's own. Owns names, units and labels. Labels are names of the configuration and words of a
fixed set, so their number is bound, and nothing in them needs escaping.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from syncd import counters
from syncd.config import Config
from syncd.service.web import resources
from syncd.service.web.family import Family, Sample
from syncd.service.web.summed import SUM, Odd, summed_budgets, summed_gauges
from syncd.status import Overview, SourceStatus, State, StreamStatus, is_sweep_failing, is_sweep_refused
from syncd.storage.postgres.database import Database

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = ("ok", "throttled", "failed", "aborted")
CHANGES: Final = ("inserted", "updated", "unchanged", "deleted", "rejected")
GAP_LOOKS: Final = 5
"""A gap in the run ids may be a row that commits a moment later: the gap is looked at this many times."""
GAPS_WATCHED: Final = 1000

_NEW_RUNS: Final = """
SELECT run_id, source, stream, kind, outcome, requests,
       rows_inserted, rows_updated, rows_unchanged, rows_deleted, rows_rejected, budget_wait_s,
       extract(epoch FROM finished_at - started_at)::float8 AS duration_s
FROM syncd.runs WHERE"""


_Names = TypeVar("_Names", bound=tuple[str, ...])


class Totals:
    """Counts every run of any process that ended after `since`, once; starts at zero with this process."""

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

    async def update(self, database: Database, of: Container[str] | None = None, *, sums: bool = False) -> None:
        """Count what ended since the last time, of these sources (None: of all), and forget the counts of others.

        With `sums` the sources are counted as one, SUM.
        """
        async with database.connection() as conn:
            if self._top is None:
                found = await conn.fetch(f"{_NEW_RUNS} started_at >= $1", self.since)
            else:
                watched = [*self._open, *self._gaps]
                found = await conn.fetch(f"{_NEW_RUNS} run_id > $1 OR run_id = ANY($2::bigint[])", self._top, watched)
        self._open = {row["run_id"] for row in found if row["outcome"] == "running"}
        for row in found:
            if row["outcome"] == "running" or (of is not None and row["source"] not in of):
                continue
            pair = SUM if sums else row["source"], row["stream"]
            self.runs[*pair, row["kind"], row["outcome"]] += 1
            self.requests[pair] += row["requests"]
            self.run_s[*pair, row["kind"]] += row["duration_s"] or 0.0
            self.budget_wait_s[pair] += row["budget_wait_s"]
            for change in CHANGES:
                self.rows[*pair, change] += row[f"rows_{change}"]
        self._watch_gaps({row["run_id"] for row in found})
        if of is not None and not sums:
            for counted in (self.runs, self.rows, self.requests, self.run_s, self.budget_wait_s):
                _leave(of, counted)

    def _watch_gaps(self, found: set[int]) -> None:
        top = max(found, default=self._top or 0)
        if self._top is not None:
            first = max(self._top + 1, top - GAPS_WATCHED)
            self._gaps |= dict.fromkeys(range(first, top), GAP_LOOKS + 1)
        self._gaps = {number: looks - 1 for number, looks in self._gaps.items() if looks > 1 and number not in found}
        if found:
            self._top = max(self._top or 0, top)


def _leave(of: Container[str], counted: dict[Any, Any]) -> None:
    """Delete the counts of all sources but these."""
    for names in [names for names in counted if names[0] not in of]:
        del counted[names]


async def text(seen: Overview | None, totals: Totals, config: Config, odd: Odd | None = None) -> bytes:
    """Return the metrics; without an overview, only the counters and that the database is down.

    With `odd` the sources are summed as one, SUM: 200,000 streams would be half a gigabyte of text.
    """
    written = []
    for family in _families(seen, totals, config, odd):
        for part in family.parts():
            written.append(part.encode())
            await asyncio.sleep(0)
    return b"".join(written)


def _families(seen: Overview | None, totals: Totals, config: Config, odd: Odd | None) -> Iterator[Family]:
    status = seen.status if seen else None
    yield Family("gauge", "syncd_database_up", "Whether the database answers", (), [(float(status is not None),)])
    since = totals.since.timestamp()
    yield Family("gauge", "syncd_start_timestamp_seconds", "When this process began to count", (), [(since,)])
    yield Family(
        "gauge", "syncd_config_info", "Digest of the configuration in use, its secrets left out; always 1", ("digest",),
        [(config.digest, 1.0)],
    )  # fmt: skip
    yield Family(
        "gauge", "syncd_config_last_reload_success_timestamp_seconds", "When the configuration in use was read", (),
        [(config.read_at.timestamp(),)],
    )  # fmt: skip
    if seen is not None and status is not None:
        version = [(status.version, 1.0)]
        yield Family("gauge", "syncd_build_info", "Version of syncd; always 1", ("version",), version)
        is_refused = any(notice.what == "config_refused" for notice in status.notices)
        yield Family(
            "gauge", "syncd_config_reload_success", "0 while the configuration of the last reload is refused", (),
            [(float(not is_refused),)],
        )  # fmt: skip
        differ = any(notice.what == "configs_differ" for notice in status.notices)
        yield Family(
            "gauge", "syncd_configs_differ", "1 once workers have had different configurations for over a minute", (),
            [(float(differ),)],
        )  # fmt: skip
        if odd is None:
            yield from _stream_gauges(status.streams, status.at)
            yield from _budget_gauges(status.sources)
        else:
            yield from summed_gauges(seen, odd)
            yield from summed_budgets(status.sources)
    if seen is None:
        pairs = []
    elif odd is None:
        pairs = [(stream.source, stream.stream) for stream in seen.status.streams]
    else:
        pairs = [(SUM, name) for name in sorted(seen.names)]
    yield from _counters(pairs, totals)
    yield from _process(pairs, is_summed=odd is not None)
    yield from _resources()


def _stream_gauge(name: str, words: str, values: Iterable[tuple[StreamStatus, float | None]]) -> Family:
    samples = ((stream.source, stream.stream, value) for stream, value in values if value is not None)
    return Family("gauge", f"syncd_{name}", words, ("source", "stream"), samples)


def _stream_gauges(streams: list[StreamStatus], now: datetime) -> Iterator[Family]:
    on = [stream for stream in streams if stream.state not in ("off", "disabled")]
    yield _stream_gauge(
        "stream_freshness_seconds", "Age of the last good live run, by its start", ((s, s.freshness_s) for s in on)
    )
    yield _stream_gauge(
        "stream_last_success_timestamp_seconds",
        "When the last good live run started",
        ((s, s.last_ok_at.timestamp() if s.last_ok_at else None) for s in on),
    )
    yield _stream_gauge(
        "stream_next_run_timestamp_seconds",
        "When the stream runs next",
        ((s, s.next_run_at.timestamp() if s.next_run_at else None) for s in on),
    )
    states: tuple[State, ...] = State.__args__  # type: ignore[attr-defined]  # a Literal's own
    yield Family(
        "gauge", "syncd_stream_state", "1 for the state that the stream is in", ("source", "stream", "state"),
        ((s.source, s.stream, state, 1.0 if s.state == state else 0.0) for s in streams for state in states),
    )  # fmt: skip
    yield _stream_gauge("rejects", "Records that could not become a row", ((s, s.rejects) for s in streams))
    yield _stream_gauge(
        "drift_fields", "Fields that are not as the vendor documents them", ((s, s.drift_count) for s in streams)
    )
    yield _stream_gauge(
        "sweep_refused", "1 if the last sweep was not believed", ((s, float(is_sweep_refused(s))) for s in on)
    )
    yield _stream_gauge(
        "sweep_failing",
        "1 if the last sweep failed for another reason than that it was not believed",
        ((s, float(is_sweep_failing(s))) for s in on),
    )
    yield _stream_gauge(
        "sweep_age_seconds",
        "Age of the last good sweep, by its start",
        ((s, max(0.0, (now - s.swept_at).total_seconds()) if s.swept_at else None) for s in on),
    )
    yield Family(
        "gauge", "syncd_mirror_rows", "Rows in the mirror", ("source", "stream", "status"),
        (
            (s.source, s.stream, word, count)
            for s in streams if s.rows for word, count in (("alive", s.rows.alive), ("deleted", s.rows.deleted))
        ),
    )  # fmt: skip


def _budget_gauges(sources: list[SourceStatus]) -> Iterator[Family]:
    windows = [
        (source.source, *window)
        for source in sources
        if (budget := source.budget)
        for window in (
            ("minute", budget.minute_limit, budget.minute_remaining, budget.minute_used_live,
             budget.minute_used_backfill),
            ("day", budget.day_limit, budget.day_remaining, budget.day_used_live, budget.day_used_backfill),
        )
    ]  # fmt: skip
    labels = ("source", "window")
    yield Family(
        "gauge", "syncd_budget_limit", "Requests allowed in the window", labels,
        ((name, window, most) for name, window, most, *_ in windows if most is not None),
    )  # fmt: skip
    yield Family(
        "gauge", "syncd_budget_remaining", "Requests left in the window", labels,
        ((name, window, left) for name, window, _, left, *_ in windows if left is not None),
    )  # fmt: skip
    yield Family(
        "gauge", "syncd_budget_used", "Our own requests in the window, by lane", (*labels, "lane"),
        (
            (name, window, lane, used)
            for name, window, _, _, *both in windows for lane, used in zip(("live", "backfill"), both, strict=True)
        ),
    )  # fmt: skip
    yield Family(
        "gauge", "syncd_budget_closed", "1 while a 429 keeps the source from being asked", ("source",),
        ((one.source, float(one.budget.closed_until is not None)) for one in sources if one.budget),
    )  # fmt: skip


def _counted(names: Iterable[_Names], counted: Mapping[_Names, float]) -> Iterable[Sample]:
    """Yield the counts, and zero for all other names, so that a first failure shows as an increase."""
    return ((*labels, number) for labels, number in (dict.fromkeys(names, 0.0) | dict(counted)).items())


def _as_one(counted: Mapping[_Names, float]) -> dict[_Names, float]:
    """Sum what is counted by source."""
    found: Counter[_Names] = Counter()
    for (_, *names), number in counted.items():
        found[SUM, *names] += number  # type: ignore[index, assignment]
    return dict(found)


def _counters(pairs: list[tuple[str, str]], totals: Totals) -> Iterator[Family]:
    labels = ("source", "stream")
    runs = _counted(((*pair, "live", outcome) for pair in pairs for outcome in OUTCOMES), totals.runs)
    yield Family("counter", "syncd_runs_total", "Runs that ended", (*labels, "kind", "outcome"), runs)
    rows = _counted(((*pair, change) for pair in pairs for change in CHANGES), totals.rows)
    yield Family("counter", "syncd_rows_total", "Records by what became of them", (*labels, "change"), rows)
    yield Family(
        "counter", "syncd_requests_total", "Requests sent by runs that ended, each try counted", labels,
        _counted(pairs, totals.requests),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_run_seconds_total", "Seconds that runs took which ended", (*labels, "kind"),
        _counted(((*pair, "live") for pair in pairs), totals.run_s),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_budget_wait_seconds_total", "Seconds that runs which ended waited for the budget", labels,
        _counted(pairs, totals.budget_wait_s),
    )  # fmt: skip


def _process(pairs: list[tuple[str, str]], *, is_summed: bool) -> Iterator[Family]:
    """Yield what only this process counts."""
    sources = list(dict.fromkeys((source,) for source, _ in pairs))
    by = _as_one if is_summed else dict
    yield Family(
        "counter", "syncd_responses_total", "Tries by HTTP status; none where no whole answer came",
        ("source", "status"), _counted(((*source, "200") for source in sources), by(counters.answers)),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_lock_wait_seconds_total", "Seconds waited for another writer of the same table", ("source",),
        _counted(sources, by({(source,): waited for source, waited in counters.lock_wait_s.items()})),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_runs_skipped_total", "Runs not begun because another process was at the stream",
        ("source", "stream"), _counted(pairs, by(counters.skipped)),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_callbacks_total",
        "Callbacks by what became of them; no source: to an address that there is not", ("source", "result"),
        _counted((), by(counters.callbacks)),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_notifications_total", "Messages to people, by what became of them at one address",
        ("result",),
        _counted((("sent",), ("failed",)), {(result,): count for result, count in counters.notifications.items()}),
    )  # fmt: skip
    for name, words, counted in (
        ("syncd_runs_waiting", "Runs that are due and wait for a seat", counters.waiting),
        ("syncd_runs_under_way", "Runs that have a seat", counters.under_way),
    ):
        by_label = by({(source,): float(count) for source, count in counted.items()})
        yield Family("gauge", name, words, ("source",), _counted(sources, by_label))


def _resources() -> Iterator[Family]:
    """Yield what the process uses of its machine, under the names that the client libraries of Prometheus have."""
    used = resources.read()
    yield Family("counter", "process_cpu_seconds_total", "Seconds of CPU, of user and system", (), [(used.cpu_s,)])
    for name, words, value in (
        ("process_open_fds", "Open descriptors", used.open_files),
        ("process_max_fds", "Descriptors that may be open", used.most_files),
        ("process_virtual_memory_bytes", "Virtual memory", used.virtual_bytes),
        ("process_resident_memory_bytes", "Memory that is in RAM", used.resident_bytes),
        ("process_start_time_seconds", "When the process started", used.started_at),
    ):
        yield Family("gauge", name, words, (), [] if value is None else [(value,)])

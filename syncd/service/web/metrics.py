"""The metrics, in Prometheus' text format: gauges of the current status, counters since the process started.

Runs, rows and requests are counted from syncd.runs, whatever process they are of; answers by status, waits for locks
and the queue are this process's own. Owns names, units and labels. Labels are names of the configuration and words of a
fixed set, so their number is bound, and nothing in them needs escaping.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from syncd.config import Config
from syncd.log import counters
from syncd.service.web import resources
from syncd.service.web.family import Blocks, Family, Sample, around
from syncd.service.web.summed import SUM, Summed, summed_budgets, summed_gauges
from syncd.status import BudgetStatus, Measure, Measures, Pair, State
from syncd.storage.postgres.database import Database

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = ("ok", "throttled", "failed", "aborted")
STATES: Final[tuple[State, ...]] = State.__args__  # type: ignore[attr-defined]  # a Literal's own
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


async def text(seen: Measures | Summed | None, totals: Totals, config: Config) -> bytes:
    """Return the metrics; without anything seen, only the counters and that the database is down."""
    written = []
    for family in _families(seen, totals, config):
        for part in family.parts():
            written.append(part.encode())
            await asyncio.sleep(0)
    return b"".join(written)


def _families(seen: Measures | Summed | None, totals: Totals, config: Config) -> Iterator[Family]:
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
    if status is not None:
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
    pairs: dict[Pair, str] = {}
    if isinstance(seen, Measures):
        pairs = {(one.source, one.stream): _labels(one.source, one.stream) for one in seen.streams}
        yield from _stream_gauges(list(zip(pairs.values(), seen.streams, strict=True)), seen.status.at)
        yield from _budget_gauges(seen.budgets)
    elif seen is not None:
        pairs = {(SUM, name): _labels(SUM, name) for name in sorted(seen.overview.names)}
        yield from summed_gauges(seen)
        yield from summed_budgets(seen.status.sources)
    yield from _counters(pairs, totals)
    yield from _process(pairs, is_summed=isinstance(seen, Summed))
    yield from _resources()


def _labels(source: str, stream: str) -> str:
    return f'source="{source}",stream="{stream}"'


def _stream_gauge(name: str, words: str, values: Iterable[tuple[str, float | None]]) -> Family:
    def write(name: str) -> Iterable[str]:
        return (f"{name}{{{labels}}} {value}\n" for labels, value in values if value is not None)

    return Family("gauge", f"syncd_{name}", words, ("source", "stream"), (), Blocks(1, write))


def _stream_gauges(labelled: Sequence[tuple[str, Measure]], at: datetime) -> Iterator[Family]:
    now = at.timestamp()
    on = [(labels, one) for labels, one in labelled if one.is_on]
    yield _stream_gauge(
        "stream_freshness_seconds",
        "Age of the last good live run, by its start",
        ((labels, _age(one.ok_at, now)) for labels, one in on),
    )
    yield _stream_gauge(
        "stream_last_success_timestamp_seconds",
        "When the last good live run started",
        ((labels, one.ok_at) for labels, one in on),
    )
    yield _stream_gauge(
        "stream_next_run_timestamp_seconds", "When the stream runs next", ((labels, one.next_at) for labels, one in on)
    )
    yield Family(
        "gauge", "syncd_stream_state", "1 for the state that the stream is in", ("source", "stream", "state"),
        (), Blocks(len(STATES), partial(_states, labelled)),
    )  # fmt: skip
    yield _stream_gauge(
        "rejects", "Records that could not become a row", ((labels, one.rejects) for labels, one in labelled)
    )
    yield _stream_gauge(
        "drift_fields",
        "Fields that are not as the vendor documents them",
        ((labels, one.drift) for labels, one in labelled),
    )
    yield _stream_gauge(
        "sweep_refused",
        "1 if the last sweep was not believed",
        ((labels, float(one.is_sweep_refused)) for labels, one in on),
    )
    yield _stream_gauge(
        "sweep_failing",
        "1 if the last sweep failed for another reason than that it was not believed",
        ((labels, float(one.is_sweep_failing)) for labels, one in on),
    )
    yield _stream_gauge(
        "sweep_age_seconds",
        "Age of the last good sweep, by its start",
        ((labels, _age(one.swept_at, now)) for labels, one in on),
    )
    yield Family(
        "gauge", "syncd_mirror_rows", "Rows in the mirror", ("source", "stream", "status"),
        (
            (one.source, one.stream, word, count)
            for _, one in labelled if (rows := one.rows)
            for word, count in (("alive", rows.alive), ("deleted", rows.deleted))
        ),
    )  # fmt: skip


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)


def _states(labelled: Iterable[tuple[str, Measure]], name: str) -> Iterator[str]:
    """Yield the lines of each stream, one for each state that it could be in."""
    texts = {
        state: around(name, [f',state="{each}"}} {1.0 if each == state else 0.0}' for each in STATES])
        for state in STATES
    }
    return (labels.join(texts[one.state]) for labels, one in labelled)


def _budget_gauges(budgets: Sequence[tuple[str, BudgetStatus]]) -> Iterator[Family]:
    windows = [
        (source, *window)
        for source, budget in budgets
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
        ((source, float(budget.closed_until is not None)) for source, budget in budgets),
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


def _of_streams(
    pairs: Mapping[Pair, str], labels: Sequence[str], each: Sequence[tuple[str, ...]], counted: Mapping[Any, float]
) -> tuple[Iterable[Sample], Blocks]:
    """Return for each stream a line for each of these values of the labels, zero where nothing was counted.

    So a first failure shows as an increase. `pairs` has the labels of each stream. What was counted beside that is
    returned as samples.
    """
    tails = {
        values: "".join(f',{label}="{value}"' for label, value in zip(labels, values, strict=True)) + "} "
        for values in each
    }
    busy = {(source, stream) for source, stream, *_ in counted}

    def write(name: str) -> Iterator[str]:
        zeros = around(name, [f"{tail}0.0" for tail in tails.values()])
        for pair, named in pairs.items():
            if pair in busy:
                told = [f"{tail}{counted.get((*pair, *values), 0.0)}" for values, tail in tails.items()]
            yield named.join(around(name, told) if pair in busy else zeros)

    others = ((*names, number) for names, number in counted.items() if names[:2] not in pairs or names[2:] not in tails)
    return others, Blocks(len(tails), write)


def _counters(pairs: Mapping[Pair, str], totals: Totals) -> Iterator[Family]:
    labels = ("source", "stream")
    yield Family(
        "counter", "syncd_runs_total", "Runs that ended", (*labels, "kind", "outcome"),
        *_of_streams(pairs, ("kind", "outcome"), [("live", outcome) for outcome in OUTCOMES], totals.runs),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_rows_total", "Records by what became of them", (*labels, "change"),
        *_of_streams(pairs, ("change",), [(change,) for change in CHANGES], totals.rows),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_requests_total", "Requests sent by runs that ended, each try counted", labels,
        *_of_streams(pairs, (), [()], totals.requests),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_run_seconds_total", "Seconds that runs took which ended", (*labels, "kind"),
        *_of_streams(pairs, ("kind",), [("live",)], totals.run_s),
    )  # fmt: skip
    yield Family(
        "counter", "syncd_budget_wait_seconds_total", "Seconds that runs which ended waited for the budget", labels,
        *_of_streams(pairs, (), [()], totals.budget_wait_s),
    )  # fmt: skip


def _process(pairs: Mapping[Pair, str], *, is_summed: bool) -> Iterator[Family]:
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
        ("source", "stream"), *_of_streams(pairs, (), [()], by(counters.skipped)),
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

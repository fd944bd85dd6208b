"""What commands print for people: progress, tables, notes. No decisions, no database."""

import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from syncd import log
from syncd.config.duration import spoken
from syncd.errors import SyncdError

if TYPE_CHECKING:  # heavy: `syncd status` needs none of them
    from rich.progress import Progress, TaskID

    from syncd.engine.order import Result
    from syncd.status import BackfillStatus, BudgetStatus, Status, StreamStatus

PIPE_WIDTH: Final = 200
"""Columns that a query's rows may take where nobody watches a terminal."""
NARROW: Final = 100
"""Columns of a terminal below which less is shown beside the progress."""
WIDE: Final = 150
"""Columns of a terminal from which cursors are shown."""
LINE_S: Final = 10.0
"""Without a terminal a run tells how far it is in a line this often."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False)

STYLES = {
    "ok": "green", "fresh": "green", "running": "cyan", "throttled": "yellow", "late": "yellow", "failed": "red",
    "failing": "red", "aborted": "yellow", "paused": "yellow", "off": "dim", "disabled": "dim", "never": "dim",
    "warning": "yellow",
}  # fmt: skip


def say(text: str) -> None:
    """Print a line of output as it is."""
    out.print(log.mask(text), markup=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Print a line beside the output, on stderr."""
    err.print(log.mask(text), markup=False, soft_wrap=True, style="dim" if err.is_terminal else None)


def print_error(error: SyncdError, *, word: str = "error") -> None:
    """Print an error and its hint on stderr, one line each."""
    err.print(f"[bold red]{word}:[/] {escape(log.mask(str(error)))}", soft_wrap=True)
    if error.hint:
        err.print(f"[yellow]hint:[/] {escape(log.mask(error.hint))}", soft_wrap=True)


def program() -> str:
    """Return what to type for this program, in words to paste: it may not be on the path."""
    called = sys.argv[0]
    on_path = Path(called).name != "syncd" or shutil.which("syncd") == called
    return "syncd" if on_path else shlex.quote(called)


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table; numbers to the right, None as nothing, known states in their colour.

    A terminal that is too narrow folds cells; a pipe takes the table at its full width.
    """
    table = _table(columns, [list(row) for row in rows], title=title)
    out.print(table, width=None if out.is_terminal else _width(table))


def is_narrow(columns: int) -> bool:
    """Say whether the terminal has fewer columns than that; a pipe never is too narrow."""
    return out.is_terminal and out.width < columns


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows of a query: as a table, or one value a line where that is too wide for the terminal."""
    table = _table(columns, rows)
    if _width(table) <= (out.width if out.is_terminal else PIPE_WIDTH) or not rows:
        out.print(table, width=max(out.width, _width(table)))
        return
    margin = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        out.print(f"[bold]── row {number} ──[/]")
        for name, value in zip(columns, row, strict=True):
            out.print(f"{escape(name):>{margin}}  {_cell(value)}", soft_wrap=True)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> Table:
    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for place, name in enumerate(columns):
        values = [row[place] for row in rows if row[place] is not None]
        numeric = bool(values) and all(_is_number(value) for value in values)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*map(_cell, row, columns))
    return table


def _width(table: Table) -> int:
    return table.__rich_measure__(out, out.options.update(max_width=100_000)).maximum


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or type(value).__name__ == "Decimal"


def _cell(value: object, column: str = "") -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int():
            return f"{value}" if column.endswith("_id") else f"{value:,}"
        case Decimal():
            return f"{value:f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}{'Z' if value.utcoffset() == timedelta() else ''}"
        case bytes():
            return f"\\x{value.hex()}"
    text = str(value)
    return f"[{STYLES[text]}]{text}[/]" if text in STYLES else escape(text)


# --- Progress ---------------------------------------------------------------------------------------------------------


class RunsShown:
    """Progress of several runs: bars on a terminal; without one a line now and then; or nothing at all."""

    def __init__(
        self, bars: "Progress | None" = None, *, lines: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bars = bars
        self._lines = lines
        self._clock = clock
        self._runs: dict[str, _Shown] = {}

    def begin(self, name: str, *, rows: int | None = None) -> None:
        """Show a run that begins; `rows` is how many it may meet."""
        shown = self._runs[name] = _Shown(rows=rows, begun_at=self._clock(), told_at=self._clock())
        if self._bars:
            shown.task = self._bars.add_task(name, total=rows, detail="")

    def advance(self, result: "Result") -> None:
        """Show how far a run is."""
        if shown := self._runs.get(result.name):
            shown.result = result
            rows = result.expected or shown.rows
            # an estimate that was passed says nothing any more
            shown.total = rows if rows and rows > result.counts.seen else None
            self._show(result.name, shown)

    def tick(self, waits_s: Mapping[str, float]) -> None:
        """Show for how long each source waits for its budget."""
        for name, shown in self._runs.items():
            wait_s = waits_s.get(name.partition(".")[0], 0.0)
            if wait_s > 1 or shown.wait_s:
                shown.wait_s = wait_s if wait_s > 1 else 0.0
                self._show(name, shown)

    def requests_left(self, name: str) -> int | None:
        """Return how many requests a run will still need, None if that is not known."""
        shown = self._runs.get(name)
        if shown is None or shown.result is None or shown.total is None:
            return None
        seen = shown.result.counts.seen
        return math.ceil((shown.total - seen) / seen * shown.result.spent.requests) if seen else None

    def foresee(self, name: str, *, takes_s: float, quota_days: float) -> None:
        """Show what the budget lets the rest of a run take: so long at least, and so many days of quota."""
        if shown := self._runs.get(name):
            shown.least_s, shown.quota_days = takes_s, quota_days
            self._show(name, shown)

    def end(self, result: "Result") -> None:
        """Show how a run ended."""
        shown = self._runs.pop(result.name, None)
        if shown is None:
            return
        seen, took_s = result.counts.seen, self._clock() - shown.begun_at
        if self._bars and shown.task is not None:
            spent = f"{_count(result.spent.requests, 'request')}{_waited(result)}"
            self._bars.update(shown.task, detail=f"{_cell(result.outcome)}, {spent}")
            if result.outcome == "ok":
                self._bars.update(shown.task, completed=max(seen, 1), total=max(seen, 1))
            self._bars.stop_task(shown.task)
        elif self._lines and took_s >= LINE_S:
            print_note(f"{result.name}: {result.outcome}, {seen:,} rows in {spoken(took_s)}")

    def _show(self, name: str, shown: "_Shown") -> None:
        seen = shown.result.counts.seen if shown.result else 0
        detail = shown.detail(self._clock(), brief=self._bars is not None and err.width < NARROW)
        if self._bars and shown.task is not None:
            self._bars.update(shown.task, completed=seen, total=shown.total, detail=detail)
        elif self._lines and self._clock() - shown.told_at >= LINE_S:
            shown.told_at = self._clock()
            of = f" of {shown.total:,}" if shown.total else ""
            print_note(f"{name}: {seen:,}{of} rows, {detail}" if shown.result else f"{name}: {detail}")


@dataclass(slots=True, kw_only=True)
class _Shown:
    """What is known of one run under way; `least_s` is how long the budget makes its rest take."""

    rows: int | None
    begun_at: float
    told_at: float
    task: "TaskID | None" = None
    result: "Result | None" = None
    total: int | None = None
    wait_s: float = 0.0
    least_s: float = 0.0
    quota_days: float = 0.0

    def detail(self, now: float, *, brief: bool) -> str:
        """Return in words what was spent, what it waits for, and what is still ahead; `brief`: only the last two."""
        words = []
        result = self.result
        if result and not brief:
            words.append(f"{_count(result.pages, 'page')}, {_count(result.spent.requests, 'request')}{_waited(result)}")
        if self.wait_s:
            words.append(f"budget: waits {spoken(self.wait_s)}")
        if result and self.total and (seen := result.counts.seen):
            ahead_s = max(self.least_s, (now - self.begun_at) * (self.total - seen) / seen)
            words.append(f"{spoken(ahead_s)} to go")
            words += [quota(self.quota_days)] if self.quota_days else []
        elif result and brief:
            words.append(_count(result.spent.requests, "request"))
        return ", ".join(words)


def quota(days: float) -> str:
    """Write how much of what a lane may spend in a day: "12 % of a day's quota", "2.5 days of quota"."""
    return f"{days:,.1f} days of quota" if days >= 1 else f"{days * 100:.1f} % of a day's quota"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _waited(result: "Result") -> str:
    return f", waited {spoken(result.spent.budget_wait_s)}" if result.spent.budget_wait_s >= 1 else ""


@contextmanager
def runs_shown(*, quiet: bool) -> Iterator[RunsShown]:
    """Show progress on stderr while the block runs: bars if somebody watches, else lines; nothing if `quiet`."""
    if quiet or not err.is_terminal or err.is_dumb_terminal:
        yield RunsShown(lines=not quiet)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    narrow = err.width < NARROW
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=8 if narrow else 20),
        MofNCompleteColumn(),
        *([] if narrow else [TimeElapsedColumn()]),
        TextColumn("{task.fields[detail]}"),
    ]
    with Progress(*columns, console=err) as bars:
        yield RunsShown(bars)


# --- Status -----------------------------------------------------------------------------------------------------------


def print_status(status: "Status") -> None:
    """Print streams, budgets and backfills, and below why a stream is not as it should be."""
    say(f"syncd {status.version}, database {status.database}, {status.at:%Y-%m-%d %H:%M:%S} UTC")
    say(status.line)
    columns = ["stream", "state", "rows", "gone", "last run", "fresh", "next run", "rejects", "drift", "cursor"]
    shown = columns[:-1] if is_narrow(WIDE) else columns
    print_table("", shown, [_stream(stream, status.at)[: len(shown)] for stream in status.streams])
    budgets = [(source.source, source.budget) for source in status.sources if source.budget]
    if budgets:
        print_table(
            "",
            ["budget of", "minute left", "of", "day left", "of", "used live", "backfill", "day ends", "closed until"],
            [_budget(name, budget) for name, budget in budgets],
        )  # fmt: skip
    if status.backfills:
        print_table(
            "Backfills under way",
            ["stream", "range", "since", "rows", "pages", "requests", "waited", "done", "to go", "quota to go"],
            [_backfill(one, status.at) for one in status.backfills],
        )  # fmt: skip
    for stream in status.streams:
        if stream.why:
            say(f"{stream.source}.{stream.stream} is {stream.state}: {stream.why}")


def _stream(stream: "StreamStatus", now: datetime) -> tuple[object, ...]:
    last, ahead = stream.last_run, (stream.next_run_at - now).total_seconds() if stream.next_run_at else None
    return (
        f"{stream.source}.{stream.stream}", stream.state,
        stream.rows.alive if stream.rows else None, stream.rows.deleted if stream.rows else None,
        f"{last.kind} {last.outcome}, {spoken((now - last.started_at).total_seconds())} ago" if last else None,
        spoken(stream.freshness_s), "due" if ahead is not None and ahead <= 0 else spoken(ahead),
        stream.rejects or None, stream.drift_count or None, stream.cursor_words,
    )  # fmt: skip


def _budget(name: str, budget: "BudgetStatus") -> tuple[object, ...]:
    return (
        name, budget.minute_remaining, budget.minute_limit, budget.day_remaining, budget.day_limit,
        budget.day_used_live, budget.day_used_backfill, budget.day_reset_at, budget.closed_until,
    )  # fmt: skip


def _backfill(one: "BackfillStatus", now: datetime) -> tuple[object, ...]:
    run, progress = one.run, one.progress
    return (
        f"{one.source}.{one.stream}", one.range, spoken((now - run.started_at).total_seconds()), run.rows_seen,
        run.pages, run.requests, spoken(run.budget_wait_s), f"{progress.share:.0%}" if progress else None,
        spoken(progress.left_s) or None if progress else None,
        quota(progress.quota_days) if progress and progress.quota_days else None,
    )  # fmt: skip

"""What commands print for people: progress, tables, notes. No decisions, no database."""

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from syncd.duration import spoken
from syncd.errors import SyncdError

if TYPE_CHECKING:  # heavy: `syncd status` needs none of them
    from rich.progress import Progress

    from syncd.status import BackfillStatus, BudgetStatus, Status, StreamStatus
    from syncd.sync import Result

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
        table.add_row(*map(_cell, row))
    return table


def _width(table: Table) -> int:
    return table.__rich_measure__(out, out.options.update(max_width=100_000)).maximum


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or type(value).__name__ == "Decimal"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
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
        self._tasks: dict[str, Any] = {}
        self._rows: dict[str, int | None] = {}
        self._begun_at: dict[str, float] = {}
        self._told_at: dict[str, float] = {}

    def begin(self, name: str, *, rows: int | None = None) -> None:
        """Show a run that begins; `rows` is how many it may meet."""
        self._rows[name] = rows
        self._begun_at[name] = self._told_at[name] = self._clock()
        if self._bars:
            self._tasks[name] = self._bars.add_task(name, total=rows, detail="")

    def advance(self, result: "Result") -> None:
        """Show how far a run is."""
        name, seen = result.name, result.counts.seen
        rows = result.expected or self._rows.get(name)
        total = rows if rows and rows > seen else None  # an estimate that was passed says nothing any more
        detail = f"{_count(result.pages, 'page')}, {_count(result.spent.requests, 'request')}{_waited(result)}"
        if self._bars and name in self._tasks:
            self._bars.update(self._tasks[name], completed=seen, total=total, detail=detail)
        elif self._lines and self._clock() - self._told_at.get(name, 0.0) >= LINE_S:
            self._told_at[name] = self._clock()
            took_s = self._clock() - self._begun_at[name]
            ahead = f", {spoken(took_s * (total - seen) / seen)} to go" if total and seen else ""
            of = f" of {total:,}" if total else ""
            print_note(f"{name}: {seen:,}{of} rows, {detail}{ahead}")

    def tick(self, waits_s: Mapping[str, float]) -> None:
        """Show for how long each source waits for its budget."""
        for name in list(self._begun_at):
            wait_s = waits_s.get(name.partition(".")[0])
            if wait_s is None or wait_s <= 1:
                continue
            if self._bars and name in self._tasks:
                self._bars.update(self._tasks[name], detail=f"budget: waits {spoken(wait_s)}")
            elif self._lines and self._clock() - self._told_at[name] >= LINE_S:
                self._told_at[name] = self._clock()
                print_note(f"{name}: waiting {spoken(wait_s)} for the budget")

    def end(self, result: "Result") -> None:
        """Show how a run ended."""
        seen, took_s = result.counts.seen, self._clock() - self._begun_at.pop(result.name, self._clock())
        if self._bars and result.name in self._tasks:
            self._bars.update(
                self._tasks[result.name],
                completed=max(seen, 1),
                total=max(seen, 1),
                detail=f"{_cell(result.outcome)}, {_count(result.spent.requests, 'request')}{_waited(result)}",
            )
            self._bars.stop_task(self._tasks[result.name])
        elif self._lines and took_s >= LINE_S:
            print_note(f"{result.name}: {result.outcome}, {seen:,} rows in {spoken(took_s)}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _waited(result: "Result") -> str:
    return f", waited {spoken(result.spent.budget_wait_s)}" if result.spent.budget_wait_s >= 1 else ""


@contextmanager
def runs_shown(*, quiet: bool) -> Iterator[RunsShown]:
    """Show progress on stderr while the block runs: bars if somebody watches, else lines; nothing if `quiet`."""
    if quiet or not err.is_terminal:
        yield RunsShown(lines=not quiet)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    narrow = err.width < NARROW
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=8 if narrow else 20),
        MofNCompleteColumn(),
        *([] if narrow else [TimeElapsedColumn()]),
        TimeRemainingColumn(),
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
            "Backfills under way", ["stream", "range", "since", "rows", "pages", "requests", "waited"],
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
    run = one.run
    return (
        f"{one.source}.{one.stream}", one.range, spoken((now - run.started_at).total_seconds()), run.rows_seen,
        run.pages, run.requests, spoken(run.budget_wait_s),
    )  # fmt: skip

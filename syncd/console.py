"""What commands print for people: progress bars, tables, durations. No decisions, no database."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from syncd.sync import Result

out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)

STYLES = {
    "ok": "green", "fresh": "green", "running": "cyan", "throttled": "yellow", "late": "yellow", "failed": "red",
    "failing": "red", "aborted": "yellow", "paused": "yellow", "off": "dim", "disabled": "dim", "never": "dim",
}  # fmt: skip


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table; numbers to the right, None as nothing, known states in their colour."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    texts = [["" if cell is None else _cell(cell) for cell in row] for row in rows]
    numeric = [all(not row[i] or _is_number(row[i]) for row in texts) for i in range(len(columns))]
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in texts:
        table.add_row(*(f"[{STYLES[cell]}]{cell}[/]" if cell in STYLES else cell.replace("[", "\\[") for cell in row))
    out.print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit()


def spoken(seconds: float | None) -> str:
    """Return a duration in words of one unit."""
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 20 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class RunsShown:
    """Progress of several runs: bars on a terminal, otherwise a line now and then."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def begin(self, name: str) -> None:
        """Show a stream as waiting for its turn."""
        if self._progress:
            self._tasks[name] = self._progress.add_task(name, total=None, detail="")

    def advance(self, result: Result) -> None:
        """Show how far a run is."""
        if self._progress and result.name in self._tasks:
            self._progress.update(
                self._tasks[result.name],
                completed=result.counts.seen,
                total=max(result.expected, result.counts.seen) if result.expected else None,
                detail=f"{result.pages} pages, {result.spent.requests} requests{_waited(result)}",
            )

    def end(self, result: Result) -> None:
        """Show how a run ended."""
        if self._progress and result.name in self._tasks:
            self.advance(result)
            seen = result.counts.seen
            self._progress.update(
                self._tasks[result.name],
                completed=max(seen, 1),
                total=max(seen, 1),
                detail=f"[{STYLES.get(result.outcome, '')}]{result.outcome}[/] {result.spent.requests} requests",
            )


def _waited(result: Result) -> str:
    return f", waited {spoken(result.spent.budget_wait_s)} for the budget" if result.spent.budget_wait_s >= 1 else ""


@contextmanager
def runs_shown(*, quiet: bool) -> Iterator[RunsShown]:
    """Show progress on stderr while the block runs, if somebody watches."""
    if quiet or not err.is_terminal:
        yield RunsShown(None)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
    ) as progress:
        yield RunsShown(progress)


def print_results(results: Sequence[Result]) -> None:
    """Print how runs ended, one line each, and the errors below with what to do."""
    print_table(
        "",
        ["stream", "kind", "outcome", "seen", "new", "changed", "same", "gone", "rejected", "requests"],
        [
            (r.name, r.kind, r.outcome, r.counts.seen, r.counts.inserted, r.counts.updated, r.counts.unchanged,
             r.counts.deleted, r.counts.rejected, r.spent.requests)
            for r in results
        ],
    )  # fmt: skip
    for result in results:
        if result.error:
            err.print(f"[bold red]{result.name}[/] {result.outcome}: {str(result.error).replace('[', chr(92) + '[')}")
            if result.error.hint:
                err.print(f"  [yellow]hint:[/] {result.error.hint.replace('[', chr(92) + '[')}")


def result_json(result: Result) -> dict[str, Any]:
    """Return a run's end as JSON would show it."""
    counts = result.counts
    return {
        "source": result.source, "stream": result.stream, "kind": result.kind, "outcome": result.outcome,
        "error": str(result.error) if result.error else None, "hint": result.error.hint if result.error else None,
        "requests": result.spent.requests, "pages": result.pages, "rows_seen": counts.seen,
        "rows_inserted": counts.inserted, "rows_updated": counts.updated, "rows_unchanged": counts.unchanged,
        "rows_deleted": counts.deleted, "rows_rejected": counts.rejected,
        "budget_wait_s": round(result.spent.budget_wait_s, 3),
    }  # fmt: skip

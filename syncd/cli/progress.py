"""Progress of runs while a command waits for them: bars on a terminal, lines elsewhere, or nothing."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from syncd.cli import console
from syncd.config.duration import spoken
from syncd.engine.order import Result

if TYPE_CHECKING:  # heavy, and only a terminal needs it
    from rich.progress import Progress, TaskID

LINE_S: Final = 10.0
"""Without a terminal a run tells how far it is in a line this often."""


class _Shown(msgspec.Struct, kw_only=True):
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
            words += [console.quota(self.quota_days)] if self.quota_days else []
        elif result and brief:
            words.append(_count(result.spent.requests, "request"))
        return ", ".join(words)


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

    def advance(self, result: Result) -> None:
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

    def end(self, result: Result) -> None:
        """Show how a run ended."""
        shown = self._runs.pop(result.name, None)
        if shown is None:
            return
        seen, took_s = result.counts.seen, self._clock() - shown.begun_at
        if self._bars and shown.task is not None:
            spent = f"{_count(result.spent.requests, 'request')}{_waited(result)}"
            self._bars.update(shown.task, detail=f"{console.cell(result.outcome)}, {spent}")
            if result.outcome == "ok":
                self._bars.update(shown.task, completed=max(seen, 1), total=max(seen, 1))
            self._bars.stop_task(shown.task)
        elif self._lines and took_s >= LINE_S:
            console.print_note(f"{result.name}: {result.outcome}, {seen:,} rows in {spoken(took_s)}")

    def _show(self, name: str, shown: _Shown) -> None:
        seen = shown.result.counts.seen if shown.result else 0
        detail = shown.detail(self._clock(), brief=self._bars is not None and console.err().width < console.NARROW)
        if self._bars and shown.task is not None:
            self._bars.update(shown.task, completed=seen, total=shown.total, detail=detail)
        elif self._lines and self._clock() - shown.told_at >= LINE_S:
            shown.told_at = self._clock()
            of = f" of {shown.total:,}" if shown.total else ""
            console.print_note(f"{name}: {seen:,}{of} rows, {detail}" if shown.result else f"{name}: {detail}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _waited(result: Result) -> str:
    return f", waited {spoken(result.spent.budget_wait_s)}" if result.spent.budget_wait_s >= 1 else ""


@contextmanager
def runs_shown(*, quiet: bool) -> Iterator[RunsShown]:
    """Show progress on stderr while the block runs: bars if somebody watches, else lines; nothing if `quiet`."""
    if quiet or console.is_pipe(sys.stderr) or not console.err().is_terminal or console.err().is_dumb_terminal:
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

    narrow = console.err().width < console.NARROW
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=8 if narrow else 20),
        MofNCompleteColumn(),
        *([] if narrow else [TimeElapsedColumn()]),
        TextColumn("{task.fields[detail]}"),
    ]
    with Progress(*columns, console=console.err()) as bars:
        yield RunsShown(bars)

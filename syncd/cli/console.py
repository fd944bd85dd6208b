"""What commands print for people: progress, tables, notes. No decisions, no database."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from syncd import log
from syncd.cli.finding import Finding
from syncd.cli.table import drawn, is_simple, width_of
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH: Final = 200
"""Columns that a query's rows may take where nobody watches a terminal."""
NARROW: Final = 100
"""Columns of a terminal below which less is shown beside the progress."""
WIDE: Final = 150
"""Columns of a terminal from which cursors are shown."""


@cache
def out() -> "Console":
    """Return the terminal, or pipe, that the output of a command goes to."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@cache
def err() -> "Console":
    """Return where notes beside the output go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def is_pipe(stream: TextIO) -> bool:
    """Say whether a stream is none that rich would colour: what goes there is written without it."""
    return not stream.isatty() and COLOURING.isdisjoint(os.environ)


def _written(stream: TextIO, text: str) -> bool:
    """Write a simple line to a pipe; False if rich must write it."""
    if not (is_pipe(stream) and is_simple(text)):
        return False
    print(text, file=stream, flush=True)  # whoever reads the pipe sees it at once, as rich has it
    return True


COLOURING: Final = frozenset({"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"})
"""Variables by which rich takes a pipe for a terminal."""
STYLES = {
    "ok": "green", "fresh": "green", "running": "cyan", "throttled": "yellow", "late": "yellow", "failed": "red",
    "failing": "red", "aborted": "yellow", "paused": "yellow", "off": "dim", "disabled": "dim", "never": "dim",
    "warning": "yellow",
}  # fmt: skip


def say(text: str) -> None:
    """Print a line of output as it is."""
    masked = log.mask(text)
    if not _written(sys.stdout, masked):
        out().print(masked, markup=False, soft_wrap=True)


def reveal(text: str) -> None:
    """Print a line that holds a secret, because an operator asked for just that."""
    if not _written(sys.stdout, text):
        out().print(text, markup=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Print a line beside the output, on stderr."""
    masked = log.mask(text)
    if not _written(sys.stderr, masked):
        err().print(masked, markup=False, soft_wrap=True, style="dim" if err().is_terminal else None)


def print_error(error: SyncdError, *, word: str = "error") -> None:
    """Print an error and its hint on stderr, one line each."""
    told = [(word, "bold red", log.mask(str(error)))] + (
        [("hint", "yellow", log.mask(error.hint))] if error.hint else []
    )
    for name, style, text in told:
        if not _written(sys.stderr, f"{name}: {text}"):
            err().print(f"[{style}]{name}:[/] {escape(text)}", soft_wrap=True)


def program() -> str:
    """Return what to type for this program, in words to paste: it may not be on the path."""
    import shlex  # only hints name the program
    import shutil

    called = sys.argv[0]
    on_path = Path(called).name != "syncd" or shutil.which("syncd") == called
    return "syncd" if on_path else shlex.quote(called)


def pasteable(words: str, config: Path | None = None) -> str:
    """Return a command of this program in words to paste, with the configuration that this one was called with."""
    import shlex

    told = f"{program()} {words}"
    return f"{told} --config {shlex.quote(str(config))}" if config else told


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout; what stdout cannot encode is escaped as JSON has it."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # signs beyond the terminal's encoding, or bytes of a path that are no UTF-8
        text = json.dumps(msgspec.to_builtins(value, str_keys=True), indent=2)
    sys.stdout.write(text + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table; numbers to the right, None as nothing, known states in their colour.

    A terminal that is too narrow folds cells; a pipe takes the table at its full width.
    """
    listed = [list(row) for row in rows]
    if is_pipe(sys.stdout) and (text := _drawn(title, columns, listed)):
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    table = _table(columns, listed, title=title)
    out().print(table, width=None if out().is_terminal else _width(table))


def print_finding(finding: Finding) -> None:
    """Print what was looked at, how it stands, and the mending step below."""
    if is_pipe(sys.stdout):
        sys.stdout.write(f"{finding.state:<7} ")
    else:
        mark = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[red]failed[/] "}[finding.state]
        out().print(mark, end=" ")
    say(f"{finding.what}: {finding.detail}" if finding.detail else finding.what)
    if finding.hint:
        say(f"        → {finding.hint}")


async def print_findings(findings: AsyncIterator[Finding], *, as_json: bool, well: str) -> int:
    """Print each finding as soon as it is made, or all as JSON at the end; return the gravest exit code.

    `well` is said at the end if nothing failed.
    """
    found = []
    async for finding in findings:
        found.append(finding)
        if not as_json:
            print_finding(finding)
    code = max(finding.exit_code for finding in found)
    if as_json:
        print_json(found)
    elif code == 0:
        say(well)
    return code


def is_narrow(columns: int) -> bool:
    """Say whether the terminal has fewer columns than that; a pipe never is too narrow."""
    return not is_pipe(sys.stdout) and out().is_terminal and out().width < columns


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows of a query: as a table, or one value a line where that is too wide for the terminal."""
    if is_pipe(sys.stdout) and (text := _drawn("", columns, rows)) and (width_of(text) <= PIPE_WIDTH or not rows):
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    table = _table(columns, rows)
    if _width(table) <= (out().width if out().is_terminal else PIPE_WIDTH) or not rows:
        out().print(table, width=max(out().width, _width(table)))
        return
    margin = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        out().print(f"[bold]── row {number} ──[/]")
        for name, value in zip(columns, row, strict=True):
            out().print(f"{escape(name):>{margin}}  {cell(value)}", soft_wrap=True)


def _drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str | None:
    texts = [list(map(text_of, row, columns)) for row in rows]
    return drawn(title, columns, texts, _numeric(columns, rows))


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[bool]:
    """Say of each column whether it holds numbers and nothing else."""
    values = ([row[place] for row in rows if row[place] is not None] for place in range(len(columns)))
    return [bool(each) and all(map(_is_number, each)) for each in values]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD,
        pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for place, (name, numeric) in enumerate(zip(columns, _numeric(columns, rows), strict=True)):
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*map(cell, row, columns))
    return table


def _width(table: "Table") -> int:
    return table.__rich_measure__(out(), out().options.update(max_width=100_000)).maximum


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or type(value).__name__ == "Decimal"


def escape(text: str) -> str:
    """Return text that rich takes as it is, and not as markup."""
    from rich.markup import escape as escaped

    return escaped(text)


def cell(value: object, column: str = "") -> str:
    """Return a value as a cell of a table, in rich's markup."""
    text = text_of(value, column)
    return f"[{STYLES[text]}]{text}[/]" if text in STYLES else escape(text)


def text_of(value: object, column: str = "") -> str:
    """Return a value as the text of a cell."""
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
    return str(value)


def quota(days: float) -> str:
    """Write how much of what a lane may spend in a day: "12 % of a day's quota", "2.5 days of quota"."""
    return f"{days:,.1f} days of quota" if days >= 1 else f"{days * 100:.1f} % of a day's quota"

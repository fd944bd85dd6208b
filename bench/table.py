"""The figures of one run: the table, the JSON, the block in docs/performance.md, and which limits are kept.

Knows no benchmark. The limits stand in `limits.toml`.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LIMITS = Path(__file__).with_name("limits.toml")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
WIDTH = 160
"""Columns of the table at least; a narrower terminal wraps its lines."""


@dataclass(frozen=True)
class Row:
    """One figure: of which item, about whom, what it tells, and in which unit."""

    item: str
    subject: str
    what: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a figure is to reach (`aim`, from issue 4), and what fails the run (`fails`): worse than it ever is here.

    The two differ by the noise of a shared machine; an aim that is not reached yet fails at what it has come to.
    """

    item: str
    subject: str
    what: str
    aim: float
    fails: float
    least: bool = False

    def says(self, row: Row) -> str:
        """Return the aim and whether the figure reaches it."""
        sign = "≥" if self.least else "≤"
        if math.isnan(row.value):
            return f"{sign} {shown(self.aim)}"
        verdict = "met" if self._holds(row.value, self.aim) else "missed" if self.holds(row) else "FELL BACK"
        return f"{sign} {shown(self.aim)} {verdict}"

    def holds(self, row: Row) -> bool:
        """Say whether the figure is no worse than what fails the run."""
        return math.isnan(row.value) or self._holds(row.value, self.fails)

    def _holds(self, value: float, limit: float) -> bool:
        return value >= limit if self.least else value <= limit


Limits = Mapping[tuple[str, str, str], Limit]


def limits(path: Path = LIMITS) -> Limits:
    """Return the limits by item, subject and what."""
    found = [Limit(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["limit"]]
    return {(limit.item, limit.subject, limit.what): limit for limit in found}


def fallen(rows: Iterable[Row], known: Limits) -> list[Row]:
    """Return the figures that are worse than what fails the run."""
    return [row for row in rows if (limit := _limit(row, known)) and not limit.holds(row)]


def shown(value: float) -> str:
    """Return a number with two or three digits that count; a dash where there is none."""
    if math.isnan(value):
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 1 else 1 if abs(value) >= 10 else 2}f}"


def print_table(rows: Sequence[Row], known: Limits, machine: Mapping[str, Any]) -> None:
    """Print the figures, one line each, the machine below."""
    console = Console()
    console.width = max(console.width, WIDTH)
    table = Table(*_HEADER)
    table.columns[3].justify = "right"
    before = ""
    for row in rows:
        if before and row.item != before:
            table.add_section()
        cells = _cells(row, known)
        table.add_row(*(["", *cells[1:]] if row.item == before else cells))
        before = row.item
    console.print(table)
    console.print(_told(machine), highlight=False)


def write_json(path: Path, rows: Sequence[Row], known: Limits, machine: Mapping[str, Any]) -> None:
    """Write the figures with their limits, and the machine that gave them."""
    figures = [
        {
            **asdict(row),
            "value": None if math.isnan(row.value) else row.value,
            **({"aim": limit.aim, "fails": limit.fails, "least": limit.least} if limit else {}),
        }
        for row in rows
        for limit in [_limit(row, known)]
    ]
    path.write_text(json.dumps({"machine": machine, "rows": figures}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_block(path: Path, rows: Sequence[Row], known: Limits, machine: Mapping[str, Any]) -> None:
    """Replace what stands between the two marks of a Markdown file by the table."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the marks {BEGIN} and {END}")
    lines = [_HEADER, ["---", "---", "---", "---:", "---", "---", "---"], *(_cells(row, known) for row in rows)]
    block = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    path.write_text(f"{before}{BEGIN}\n{_told(machine)}\n\n{block}\n{END}{after}", "utf-8")


_HEADER = ["item", "of", "figure", "value", "unit", "aim", "note"]


def _cells(row: Row, known: Limits) -> list[str]:
    limit = _limit(row, known)
    return [row.item, row.subject, row.what, shown(row.value), row.unit, limit.says(row) if limit else "", row.note]


def _told(machine: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in machine.items())


def _limit(row: Row, known: Limits) -> Limit | None:
    return known.get((row.item, row.subject, row.what))

"""The lines of the newest runs, kept in memory, so that the status page can show those of a run.

They are kept as JSON after the redaction, like any line that is written; nothing else of a run is kept.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from syncd import log

LINES_KEPT: Final = 20_000
"""Lines of all runs together: some megabytes, and the last hours of a thousand streams."""
LINES_OF_RUN: Final = 500
"""Of one run the newest lines: a backfill may retry for days."""
SHOWN_CHARS: Final = 2_000
"""Of one value."""
FIXED: Final = ("timestamp", "level", "logger", "event", "run_id")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the log: when, how grave, what, and all else that it says, by name."""

    at: datetime
    level: str
    event: str
    fields: tuple[tuple[str, str], ...]


class Keeper(logging.Handler):
    """Keeps the lines that bear the number of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.set_name("kept")
        self._runs: OrderedDict[int, list[str]] = OrderedDict()
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it is of a run; the oldest runs make room for it."""
        run_id = record.msg.get("run_id") if isinstance(record.msg, dict) else None
        run_id = run_id or log.run.get()
        if not isinstance(run_id, int):
            return
        if self.formatter is None:
            self.formatter = log.json_formatter()
        lines = self._runs.setdefault(run_id, [])
        self._runs.move_to_end(run_id)
        lines.append(self.format(record))
        self._count += 1
        if len(lines) > LINES_OF_RUN:
            del lines[0]
            self._count -= 1
        while self._count > LINES_KEPT and len(self._runs) > 1:
            _, oldest = self._runs.popitem(last=False)
            self._count -= len(oldest)

    def of_run(self, run_id: int) -> list[Line]:
        """Return the lines of a run, oldest first."""
        return [_read(text) for text in self._runs.get(run_id, ())]


def keep() -> Keeper:
    """Keep the lines of runs from now on, in place of whoever kept them before."""
    keeper, own = Keeper(), logging.getLogger("syncd")
    own.handlers = [other for other in own.handlers if other.get_name() != "kept"] + [keeper]
    return keeper


def _read(text: str) -> Line:
    values = msgspec.json.decode(text, type=dict[str, object])
    fields = tuple((name, _shown(value)) for name, value in values.items() if name not in FIXED)
    at = datetime.fromisoformat(str(values["timestamp"]))
    return Line(at=at, level=str(values.get("level", "")), event=str(values.get("event", "")), fields=fields)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"

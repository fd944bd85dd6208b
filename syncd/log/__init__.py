"""The log: one pipeline for syncd and the libraries, to stderr, as JSON or for the eye.

Owns form, level and redaction. Every line passes the redaction of `lines` last, so that no secret leaves whatever
logged it: the texts registered with `protect`, the values under telling keys, and what looks like credentials within a
text. Never decides what is worth logging.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal, TextIO

from syncd.log.masking import MASK, REPLACED_KEPT, SHORT_CHARS, mask, prepare, protect, protect_held
from syncd.log.masking import protected as _protected

__all__ = [
    "MASK",
    "REPLACED_KEPT",
    "SHORT_CHARS",
    "Logger",
    "_protected",
    "configure",
    "embed",
    "get",
    "mask",
    "prepare",
    "protect",
    "protect_held",
    "run",
]

LOUD_LIBRARIES: Final = ("aiohttp", "alembic", "apscheduler", "asyncio", "asyncpg", "sqlalchemy")
RICH: Final = "rich"

_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""Levels and the priorities of sd-daemon(3) that systemd's journal reads in front of a line."""


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream; of a line that cannot be written it tells that much, not its arguments as logging does."""

    def __init__(self, stream: TextIO, *, for_journal: bool) -> None:
        super().__init__(stream)
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Write a line; for the journal with its priority in front, so that journalctl -p finds it."""
        text = super().format(record)
        if not self._for_journal:
            return text
        mark = f"<{next(priority for level, priority in _PRIORITIES if record.levelno >= level)}>"
        return mark + text.replace("\n", f"\n{mark}")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        with contextlib.suppress(Exception):
            error = sys.exc_info()[0]
            place = f"{record.name} at {record.filename}:{record.lineno}"
            self.stream.write(f"a line of {place} could not be logged: {error.__name__ if error else 'unknown'}\n")


class _Formatter(logging.Formatter):
    """Makes the text of a line; what does so is brought in with the first one."""

    def __init__(self, make: Callable[[], logging.Formatter]) -> None:
        super().__init__()
        self._make = make
        self._made: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._made is None:
            self._made = self._make()
        return self._made.format(record)


def configure(
    format: Literal["auto", "json", "console"] = "auto",  # noqa: A002 - the word of the configuration file
    level: Literal["debug", "info", "warning", "error"] = "info",
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send everything logged in this process to `stream` (stderr); calling it again replaces the earlier form.

    "auto" is JSON under systemd ($JOURNAL_STREAM, $INVOCATION_ID) and wherever nobody watches a terminal. Syncd itself
    logs from `level` up, the libraries from warning up.
    """
    stream = stream or sys.stderr
    watched = stream.isatty() and not (environ.get("JOURNAL_STREAM") or environ.get("INVOCATION_ID"))
    as_json = format == "json" or (format == "auto" and not watched)
    colors = stream.isatty() and not environ.get("NO_COLOR")
    _lines.want(lambda lines: lines.configure())
    handler = _Handler(stream, for_journal=_is_journal(stream, environ))
    handler.set_name("syncd")
    handler.setFormatter(_Formatter(lambda: _lines.get().formatter(as_json=as_json, colors=colors)))
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other.get_name() != "syncd"] + [handler]
    own_level = logging.getLevelNamesMapping()[level.upper()]
    library_level = max(own_level, logging.WARNING)
    root.setLevel(library_level)
    for name in LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(library_level)
    logging.getLogger("syncd").setLevel(own_level)
    logging.captureWarnings(capture=True)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Say whether the stream leads to systemd's journal, whose device and inode $JOURNAL_STREAM names."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def embed() -> None:
    """Hand what is logged to Python's `logging`, as JSON without secrets, under the names `syncd.*`.

    For a program that embeds syncd: its own handlers and levels stay as they are. Does nothing where structlog was
    configured before, by `configure` or by that program.
    """
    _lines.get().embed()


class _Lines:
    """Brings `lines` in when it is needed, and sets it up as was wanted last."""

    def __init__(self) -> None:
        self._wanted: Callable[[ModuleType], None] | None = None

    def want(self, set_up: Callable[[ModuleType], None]) -> None:
        """Set structlog up so: now if a program has it already, else with the first line."""
        self._wanted = set_up
        if self.is_there:
            self.get()

    @property
    def is_there(self) -> bool:
        """Whether somebody has imported structlog: it may then be set up by others, and has to be asked."""
        return "structlog" in sys.modules

    def get(self) -> Any:
        """Return the module, set up."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not self.is_there:
            _import_structlog()
        from syncd.log import lines

        if wanted is not None:
            wanted(lines)
        return lines


def _import_structlog() -> None:
    """Import structlog without Rich, which it takes where it is there: to paint tracebacks, which ours never are.

    This spares each process 3 MB and a twentieth of a second. Not for a program that embeds syncd, which may want it.
    """
    is_there = RICH in sys.modules
    if not is_there:
        sys.modules[RICH] = None  # type: ignore[assignment]  # how Python notes a module that cannot be imported
    try:
        import_module("structlog")
    finally:
        if not is_there:
            del sys.modules[RICH]


_lines: Final = _Lines()


def json_formatter() -> logging.Formatter:
    """Return what makes the text of a line as JSON, without secrets. Brings structlog in."""
    made: logging.Formatter = _lines.get().formatter(as_json=True, colors=False)
    return made


run: Final[ContextVar[int | None]] = ContextVar("run", default=None)
"""Number of the run that logs; each of its lines bears it as `run_id`."""


class Logger:
    """The logger of one module; events are static snake_case, all else goes into fields."""

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **fields: object) -> None:
        """Tell what only helps to find a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Tell what happened as it should."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell what somebody should look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell what keeps syncd from its work."""
        self._log(logging.ERROR, event, fields)

    def critical(self, event: str, **fields: object) -> None:
        """Tell what ends syncd."""
        self._log(logging.CRITICAL, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Tell of a bug of ours, with the exception that is being handled."""
        self._log(logging.ERROR, event, {"exc_info": True, **fields})

    def _log(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        if _lines.is_there or logging.getLogger(self._name).isEnabledFor(level):
            _lines.get().logger(self._name).log(level, event, **fields)


def get(name: str) -> Logger:
    """Return the logger of a module (`log.get(__name__)`)."""
    own = name == "syncd" or name.startswith("syncd.")
    return Logger(name if own else f"syncd.{name}")

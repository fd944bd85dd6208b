"""The log: one pipeline for syncd and the libraries, to stderr, as JSON or for the eye.

Owns form, level and redaction. Every line passes `_redacted` last, so that no secret leaves whatever logged it: the
texts registered with `protect`, the values under telling keys, and what looks like credentials within a text. Never
decides what is worth logging.
"""

import contextlib
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from syncd.spellings import HEAD_CHARS, Spelt, spellings

MASK: Final = "***"
LOUD_LIBRARIES: Final = ("aiohttp", "alembic", "apscheduler", "asyncio", "asyncpg", "sqlalchemy")
SHORT_CHARS: Final = (
    HEAD_CHARS  # a protected text below this is masked as a whole word only, or it would garble every line
)
SHORT_LIVED_KEPT: Final = 64  # a session's token is long dead when this many newer ones were seen
DEPTH: Final = 6  # of nested values in one line; deeper ones are cut, which also ends a cycle

_SECRET_WORD: Final = re.compile(
    r"auth(orization|token)|cookies?|credentials?|jwt|pass(phrase|wd|word)|pwd|secrets?|tokens?"
    r"|(api|private)(key|token)|sessionid"
)
_SECRET_PAIRS: Final = frozenset({("api", "key"), ("session", "id"), ("ss", "id"), ("ss", "pid"), ("private", "key")})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_IN_TEXT: Final = re.compile(
    r"(?P<user>://[^\s/@:]*):[^\s/@]+(?=@)"  # the password in an address
    r"|(?P<scheme>\b(?:Bearer|Basic|JWT)\s+)(?!authentication\b)[\w+/.=~-]{6,}"  # an Authorization header
    r"|(?P<key>\b(?:password|passwd|pwd|secret|[a-z_]*token|api[-_]?key)=)[^\s&'\"]+",  # a parameter or a DSN's part
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal would obey them; tab and newline stay


class _Protected:
    """The texts that must not appear; those shorter than SHORT_CHARS have one pattern."""

    def __init__(self) -> None:
        self.lasting: set[str] = set()
        self.short_lived: deque[str] = deque(maxlen=SHORT_LIVED_KEPT)
        self._new: list[str] = []
        self._is_current = True
        self._spelt = Spelt(())
        self._short: re.Pattern[str] | None = None

    def add(self, text: str, *, short_lived: bool) -> None:
        """Protect one more text, from the next line on."""
        if short_lived:
            self.short_lived.append(text)
        else:
            self.lasting.add(text)
            self._new.append(text)
        self._is_current = False

    def compile(self) -> None:
        """Prepare for finding, from the beginning."""
        self._spelt = Spelt(self.lasting)
        self._new.clear()
        self._update()

    def _update(self) -> None:
        """Prepare for finding what is new: there may be a hundred thousand texts, and a new one with each login."""
        for text in self._new:
            self._spelt.add(text)
        self._new.clear()
        self._spelt.stand_by(self.short_lived)
        texts = {*self.lasting, *self.short_lived}
        forms = {form for text in texts if len(text) < SHORT_CHARS for form in spellings(text)}
        short = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(forms, key=len, reverse=True)]
        self._short = re.compile("|".join(short)) if short else None
        self._is_current = True

    def mask(self, text: str) -> str:
        """Return the text with each of its protected parts replaced by ***."""
        if not self._is_current:
            self._update()
        text = self._spelt.mask(text, MASK)
        return self._short.sub(MASK, text) if self._short else text


_protected: Final = _Protected()


def protect(secret_text: str, *, short_lived: bool = False) -> None:
    """Mask this text from now on, however it is spelt: see `spellings`.

    `short_lived` is for what an upstream hands out (sessions, tokens): only the newest of them are remembered. The
    base64 of a Basic header joins two texts and is a third: protect it too. An empty text is ignored; idempotent.
    """
    if not secret_text or secret_text in _protected.lasting or secret_text in _protected.short_lived:
        return
    _protected.add(secret_text, short_lived=short_lived)


def mask(text: str) -> str:
    """Return the text with every protected text, and whatever looks like a credential, replaced by ***."""
    return _IN_TEXT.sub(lambda match: next(filter(None, match.groups())) + _mask_after(match), _protected.mask(text))


def _mask_after(match: re.Match[str]) -> str:
    return f":{MASK}" if match["user"] is not None else MASK


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
    entry: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *entry,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers are made at import, before the configuration is read
    )
    handler = _Handler(stream, for_journal=_is_journal(stream, environ))
    handler.set_name("syncd")
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*entry, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # a plain traceback: no local variables
                _redacted if as_json else _redacted_for_terminal,
                _json_renderer() if as_json else _console_renderer(colors=colors),
            ],
        )
    )
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
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            _redacted,
            _json_renderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module (`log.get(__name__)`); events are static snake_case, all else goes into fields."""
    own = name == "syncd" or name.startswith("syncd.")
    return structlog.stdlib.get_logger(name if own else f"syncd.{name}")


def _json_renderer() -> Processor:
    def serialize(line: object, **_: object) -> str:
        return msgspec.json.encode(line, enc_hook=repr).decode()

    return structlog.processors.JSONRenderer(serializer=serialize)


def _console_renderer(*, colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _redacted(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return the line as plain values without secrets, its fixed fields first."""
    fixed = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event") if key in event}
    fixed["event"] = _cleaned(fixed.get("event", ""), DEPTH)
    return {**fixed, **cast("dict[str, object]", _cleaned(event, DEPTH))}


def _redacted_for_terminal(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Do as `_redacted`, and spell out control characters: texts come from strangers, and terminals obey."""
    return {
        _spelt_out(key): _spelt_out(value) if isinstance(value, str) else value  # others are printed by repr
        for key, value in _redacted(logger, method, event).items()
    }


def _spelt_out(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _cleaned(value: object, depth: int) -> object:
    """Reduce a value to what JSON knows, with the secrets masked."""
    match value:
        case None | bool():
            return value
        case int() | float():
            text = mask(str(value))
            return value if text == str(value) and abs(value) < 2**63 else text
        case str():
            return mask(_encodable(value))
        case bytes() | bytearray():
            return mask(value.decode("utf-8", "backslashreplace"))
        case _ if depth == 0:
            return "…"
        case Mapping():
            named = ((key if isinstance(key, str) else _written(key), item) for key, item in value.items())
            return {mask(_encodable(key)): _cleaned_item(key, item, depth - 1) for key, item in named}
        case list() | tuple() | set() | frozenset() | deque():
            return [_cleaned(item, depth - 1) for item in value]
        case _:
            return _written(value)


def _cleaned_item(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool) or not _is_telling(key):
        return _cleaned(value, depth)
    return MASK


def _is_telling(key: str) -> bool:
    """Whether a value under this key is a secret by its name: password, api_key, X-Api-Key, authToken, Set-Cookie."""
    words = [word.lower() for word in _WORD.findall(key)]
    return any(map(_SECRET_WORD.fullmatch, words)) or not _SECRET_PAIRS.isdisjoint(pairwise(words))


def _written(value: object) -> str:
    """Write any other object in its own words; a line is never lost to an object that cannot be written."""
    try:
        text = repr(value) if isinstance(value, BaseException) else str(value)
        return mask(_encodable(text))
    except Exception:  # noqa: BLE001 - whatever a stranger's __str__ raises
        return f"<{type(value).__name__} that cannot be shown>"


def _encodable(text: str) -> str:
    """Spell out lone surrogates, which no stream can write."""
    return text.encode("utf-8", "backslashreplace").decode()

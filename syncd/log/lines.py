"""How a line of the log is made: the processors of structlog, with the redaction last.

`syncd.log` brings this in with the first line that is written, because structlog takes a tenth of a second to import.
"""

import re
from collections import deque
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import pairwise
from logging import Formatter, LogRecord
from typing import Final, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from syncd import log
from syncd.log.masking import MASK, mask

DEPTH: Final = 6  # of nested values in one line; deeper ones are cut, which also ends a cycle

_TEXT: Final = "syncd_json"  # the attribute of a record that holds its text

_SECRET_WORD: Final = re.compile(
    r"auth(orization|token)|cookies?|credentials?|jwt|pass(phrase|wd|word)|pwd|secrets?|tokens?"
    r"|(api|private)(key|token)|sessionid"
)
_SECRET_PAIRS: Final = frozenset({("api", "key"), ("session", "id"), ("ss", "id"), ("ss", "pid"), ("private", "key")})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal would obey them; tab and newline stay


def _of_run(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the number of the run that logs."""
    if (run_id := log.run.get()) is not None:
        event.setdefault("run_id", run_id)
    return event


_ENTRY: Final[list[Processor]] = [
    _of_run,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Let structlog hand its lines to Python's `logging`, whose formatter makes the text."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_ENTRY,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers are made at import, before the configuration is read
    )


class _Json(structlog.stdlib.ProcessorFormatter):
    """Makes the text of a line once, though two handlers ask for it: the one that writes, and the one that keeps."""

    def format(self, record: LogRecord) -> str:
        """Return the text; it stays with the record."""
        text: str | None = record.__dict__.get(_TEXT)
        if text is None:
            text = record.__dict__[_TEXT] = super().format(record)
        return text


def formatter(*, as_json: bool, colors: bool) -> Formatter:
    """Return what makes the text of a line, of syncd or of a library."""
    return (_Json if as_json else structlog.stdlib.ProcessorFormatter)(
        foreign_pre_chain=[*_ENTRY, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # a plain traceback: no local variables
            _redacted if as_json else _redacted_for_terminal,
            _json_renderer() if as_json else _console_renderer(colors=colors),
        ],
    )


def embed() -> None:
    """Hand lines to Python's `logging` as JSON, unless structlog was configured before."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _of_run,
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


@cache
def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return structlog's logger of that name."""
    return structlog.stdlib.get_logger(name)


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


@lru_cache(maxsize=1024)  # the names of our own fields, again and again
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

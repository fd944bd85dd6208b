"""The log as a test reads it, and the process's logging as it was before."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from syncd import log


@contextmanager
def restoring() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    names = ("", "syncd", *log.LOUD_LIBRARIES)
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    log._protected.forget_all()


def configure_alone(form: str, stream: io.StringIO, level: str = "debug") -> None:
    """Configure the log and take away pytest's own handlers, which would write what was logged without our pipeline."""
    log.configure(form, level, stream=stream, environ={})  # type: ignore[arg-type]
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if handler.get_name() == "syncd"]


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]

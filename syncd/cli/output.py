"""Stdin, stdout and stderr of a command, made such that each way in which they can fail has one meaning.

stdout that cannot be written    OutputFailed: one sentence on stderr, exit code 1
stdout whose reader has gone     ReaderGone: silence, exit code 141, as shells know it (128 + SIGPIPE)
stderr that cannot be written    nothing: nobody is left to be told
a sign that has no encoding      its escape, as Python writes it
a closed descriptor              never given to a file or socket that is opened later
"""

import errno
import fcntl
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

from syncd.errors import SyncdError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

READER_GONE: Final = 141
"""Exit code of a command whose reader went away (128 + SIGPIPE)."""


class OutputFailed(SyncdError):
    """What a command prints, or the file that it writes, cannot be written. An OSError would mean the database."""


class ReaderGone(OutputFailed):
    """Whoever read stdout has seen enough."""


class Output(io.FileIO):
    """A descriptor to write to, whose failures are ours; `shown` names it in their words."""

    def __init__(self, descriptor: int, shown: str, *, closefd: bool = False) -> None:
        super().__init__(descriptor, "wb", closefd=closefd)
        self._shown = shown
        self._is_given_up = False

    def give_up(self) -> None:
        """Swallow whatever is still to be written: the end of the process flushes its buffers."""
        self._is_given_up = True

    def write(self, data: "Buffer", /) -> int:
        """Write some of the data and return how much. Raises OutputFailed or ReaderGone."""
        while not self._is_given_up:
            try:
                written: int | None = super().write(data)
            except BrokenPipeError:
                raise ReaderGone(f"{self._shown} is no longer read") from None
            except OSError as error:
                raise OutputFailed(f"{self._shown} cannot be written: {error.strerror or error}") from None
            if written is not None:
                return written
            select.select([], [self], [])  # somebody made the descriptor non-blocking
        return memoryview(data).nbytes


class _Unheard(io.FileIO):
    """Stderr: what cannot be written is lost, and harms nothing."""

    def write(self, data: "Buffer", /) -> int:
        try:
            written: int | None = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def prepare() -> None:
    """Put our streams in the place of Python's, before anything is printed or opened; not in that of a test's."""
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        if not _is_open(descriptor):  # stdout then is one that cannot be written
            _put(os.open(os.devnull, flags), descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(Output(1, "stdout"), sys.stdout, line_buffering=os.isatty(1))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Unheard(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def finish() -> None:
    """Write what stdout still buffers, or give it up: the end of the process would tell of it in its own words."""
    try:
        sys.stdout.flush()
    except OutputFailed:
        give_up_stdout()


def give_up_stdout() -> None:
    """Let nothing more be written to stdout, also not by the end of the process."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Output):
        raw.give_up()


def _is_open(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def _put(opened: int, descriptor: int) -> None:
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    os.set_inheritable(descriptor, True)


def _text(raw: io.FileIO, before: TextIO | None, *, line_buffering: bool) -> TextIO:
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=line_buffering
    )

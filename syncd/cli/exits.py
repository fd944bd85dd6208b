"""How a command ends: its exit code, and every error as two lines in words."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from syncd.cli import output
from syncd.errors import Defect, SyncdError, UsageError

STOPPED = 130
"""Exit code of a command that Ctrl-C ended at once, as shells know it (128 + SIGINT)."""


def guarded(work: Callable[[], Any]) -> int:
    """Do the work and return its exit code; every foreseen error becomes two lines on stderr."""
    try:
        return _coded(work)
    finally:
        output.finish()


def _coded(work: Callable[[], Any]) -> int:
    try:
        code = work()
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third one must not cut the farewell short
        click.echo("stopped; what was committed stays, the next run goes on from there", err=True)
        return STOPPED
    except output.ReaderGone:
        output.give_up_stdout()
        return output.READER_GONE
    except Exception as error:  # noqa: BLE001  every error ends here, in words
        if os.environ.get("SYNCD_DEBUG"):
            _show_traceback()
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return error.exit_code
        known = foreseen(error)
        if isinstance(known, output.ReaderGone):  # it came in a group of errors
            output.give_up_stdout()
            return output.READER_GONE
        if isinstance(known, output.OutputFailed):
            output.give_up_stdout()
        return _told(known)
    return code if isinstance(code, int) else 0


def foreseen(error: BaseException) -> SyncdError:
    """Return the error as one of ours; of an error of nobody's only its kind and place, for its text may be data."""
    while isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(SyncdError)
        error = (ours or error).exceptions[0]
    if isinstance(error, SyncdError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return UsageError(error.format_message(), hint=f"{context.command_path if context else 'syncd'} --help")
    if type(error).__module__.startswith("asyncpg"):
        import asyncpg

        from syncd.storage.postgres import driver

        if isinstance(error, asyncpg.PostgresError):
            return driver.refused(error, "of this configuration")
    if isinstance(error, FileNotFoundError) and not _has_place():
        return UsageError("the current directory is no longer there", hint="Change to another one (cd), and try again.")
    return _shortage(error) or Defect(error)


_LACKS: Final = {
    errno.EMFILE: "Let it open more files: ulimit -n, LimitNOFILE= of its unit.",
    errno.ENFILE: "The machine has no file to open left: end other programs, or raise fs.file-max.",
    errno.ENOMEM: "Free memory, or let it have more: ulimit -v, MemoryMax= of its unit.",
    errno.ENOSPC: "Free disk space.",
    errno.EDQUOT: "Free disk space: the quota of the account is used up.",
    errno.EROFS: "Name a directory that can be written (database.data_dir, TMPDIR).",
    errno.EIO: "See the log of the system: a disk seems to fail.",
}
"""What a machine may lack, and what mends it."""


def _shortage(error: BaseException) -> SyncdError | None:
    """Return the error for what the machine lacks; None if it is another one."""
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if number not in _LACKS:
        return None
    place = getattr(error, "filename", None)
    at = f" at {place}" if isinstance(place, str) else ""
    return SyncdError(f"the machine does not give what syncd needs: {os.strerror(number)}{at}", hint=_LACKS[number])


def _has_place() -> bool:
    """Return whether there is a current directory: somebody may have removed it."""
    try:
        os.getcwd()  # noqa: PTH109  (Path.cwd says the same)
    except FileNotFoundError:
        return False
    return True


def _show_traceback() -> None:
    import traceback

    from syncd import log

    click.echo(log.mask(traceback.format_exc()), err=True)


def _told(error: SyncdError) -> int:
    """Print an error and its hint on stderr, and as JSON on stdout where the command was asked for JSON.

    Returns its exit code, also where that JSON cannot be written.
    """
    from syncd import log

    text, hint = log.mask(str(error)), log.mask(error.hint)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', fg='yellow')} {hint}", err=True)
    if "--json" in sys.argv[1:]:
        import json

        with contextlib.suppress(output.OutputFailed):
            click.echo(json.dumps({"error": text, "hint": hint, "exit_code": error.exit_code}, indent=2))
    return error.exit_code

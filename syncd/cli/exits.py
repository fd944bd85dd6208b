"""How a command ends: its exit code, and every error as two lines in words."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from syncd.errors import Defect, SyncdError, UsageError

STOPPED = 130
"""Exit code of a command that Ctrl-C ended at once, as shells know it (128 + SIGINT)."""


def guarded(work: Callable[[], Any]) -> int:
    """Do the work and return its exit code; every foreseen error becomes two lines on stderr."""
    try:
        code = work()
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third one must not cut the farewell short
        click.echo("stopped; what was committed stays, the next run goes on from there", err=True)
        return STOPPED
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  every error ends here, in words
        if os.environ.get("SYNCD_DEBUG"):
            _show_traceback()
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return error.exit_code
        known = foreseen(error)
        _tell(known)
        return known.exit_code
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
    return Defect(error)


def _show_traceback() -> None:
    import traceback

    from syncd import log

    click.echo(log.mask(traceback.format_exc()), err=True)


def _tell(error: SyncdError) -> None:
    """Print an error and its hint on stderr, and as JSON on stdout where the command was asked for JSON."""
    from syncd import log

    text, hint = log.mask(str(error)), log.mask(error.hint)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', fg='yellow')} {hint}", err=True)
    if "--json" in sys.argv[1:]:
        import json

        click.echo(json.dumps({"error": text, "hint": hint, "exit_code": error.exit_code}, indent=2))

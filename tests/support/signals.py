"""Signals of the test run: its children start with the usual ones, and SIGTERM ends it as Ctrl-C does."""

import signal
from types import FrameType

USUAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def _pass(_: int, __: FrameType | None) -> None:
    """Do nothing: the run goes on, as `nohup` asks, while its children start with the default action."""


def _end(_: int, __: FrameType | None) -> None:
    """End the run as Ctrl-C does: fixtures are torn down, and with them servers and other children."""
    signal.signal(signal.SIGTERM, _pass)  # a second one, as `timeout` sends to the whole group, must not cut this short
    raise KeyboardInterrupt


def restore() -> None:
    """Handle the signals that the parent may have ignored or blocked.

    `nohup` ignores SIGHUP, and a script's background job ignores SIGINT. A child inherits what is ignored, but not what
    is handled. Without a handler of SIGINT, workers of xdist and commands under test would never end.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, USUAL)
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _pass)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)

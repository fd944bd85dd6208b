"""`syncd run`: the daemon."""

from pathlib import Path

from syncd.cli.options import command, config_option
from syncd.cli.session import execute, hangup_ends, load_config
from syncd.service import daemon


@command(
    examples=[
        ("syncd run", "on a terminal; Ctrl-C ends it"),
        ("systemctl start syncd", "for good (deploy/install.md)"),
        ("systemctl reload syncd", "after a change of the configuration"),
    ]
)
@config_option
def run(config_path: Path | None) -> int:
    """Run the daemon: every stream on its schedule.

    SIGTERM ends it at a page boundary, within 10 s. SIGHUP re-reads the configuration; a bad one is refused and the
    old one stays. On a terminal SIGHUP ends it, for a terminal sends that when it is closed. The log goes to stderr,
    the status page listens where http.listen says.
    """
    return execute(run_daemon(config_path))


async def run_daemon(path: Path | None) -> int:
    """Run the daemon until it is told to stop."""
    hangup: daemon.Hangup = "ends" if hangup_ends(on_terminal=True) else "reloads"
    return await daemon.serve(lambda: load_config(path), hangup=hangup)

"""`syncd run`: the daemon."""

from pathlib import Path

import click

from syncd.cli.options import command, config_option
from syncd.cli.session import execute, hangup_ends, load_config
from syncd.service import daemon


@command(
    examples=[
        ("syncd run", "on a terminal; Ctrl-C ends it"),
        ("systemctl start syncd", "for good (deploy/install.md)"),
        ("systemctl reload syncd", "after a change of the configuration"),
        ("syncd run --workers 4", "four processes that share the accounts: all cores of this machine"),
    ]
)
@config_option
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N",
    help="Start N workers on this machine that share the accounts, in the place of one daemon (extra: scale).",
)  # fmt: skip
def run(config_path: Path | None, workers: int | None) -> int:
    """Run the daemon: every stream on its schedule.

    SIGTERM ends it at a page boundary, within 10 s. SIGHUP re-reads the configuration; a bad one is refused and the
    old one stays. On a terminal SIGHUP ends it, for a terminal sends that when it is closed. The log goes to stderr,
    the status page listens where http.listen says.

    With --workers each worker has a status page of its own, from the port of http.listen on. Workers of other machines
    may join on the same database: see syncd worker.
    """
    return execute(run_daemon(config_path) if workers is None else run_workers(config_path, workers))


async def run_daemon(path: Path | None) -> int:
    """Run the daemon until it is told to stop."""
    hangup: daemon.Hangup = "ends" if hangup_ends(on_terminal=True) else "reloads"
    return await daemon.serve(lambda: load_config(path), hangup=hangup)


async def run_workers(path: Path | None, number: int) -> int:
    """Run so many workers until told to stop."""
    from syncd import log
    from syncd.scale import queue
    from syncd.service.process import machine

    queue.require_installed()
    settings = load_config(path)
    log.configure(settings.log.format, settings.log.level)
    return await machine.run(
        [
            ["worker", "--config", str(settings.path), "--listen", machine.place(settings.http, each)]
            for each in range(number)
        ]
    )

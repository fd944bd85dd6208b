"""`syncd worker`: one of many processes that share the accounts."""

from dataclasses import replace
from pathlib import Path

import click

from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config
from syncd.config import Config, Http
from syncd.config.address import parse_listen
from syncd.errors import UsageError
from syncd.service import daemon


@command(
    examples=[
        ("syncd worker", "one worker; start it on as many machines as wanted"),
        ("syncd worker --listen 127.0.0.1:8790", "a second one beside it"),
        ("systemctl start 'syncd-worker@1'", "for good (docs/scale.md)"),
        ("syncd workers", "who is there, and what each has"),
    ]
)
@config_option
@click.option(
    "--listen", metavar="HOST:PORT", help="Serve the status page here and not where http.listen says, or: off."
)
def worker(config_path: Path | None, listen: str | None) -> int:
    """Run the accounts that are this worker's share, among others.

    All workers on one database share the accounts (extra: scale). They find each other there. One that joins gets its
    share within seconds, and the share of one that is lost goes to the others. All read the same configuration, each
    its own copy. SIGTERM ends it within 10 s, and SIGHUP re-reads the configuration.
    """
    from syncd.scale import queue

    queue.require_installed()
    return execute(daemon.serve(lambda: _load(config_path, listen), is_worker=True))


def _load(path: Path | None, listen: str | None) -> Config:
    """Read the configuration; the address of the command line counts.

    The service lets the log mask what it uses: the secrets of all accounts would take more memory than all else.
    """
    settings = load_config(path, protects=False)
    if listen is None:
        return settings
    if listen == "off":
        return replace(settings, http=None)
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise UsageError(f"--listen {listen}: {error}") from None
    return replace(settings, http=replace(settings.http or Http(), host=host, port=port))

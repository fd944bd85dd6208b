"""The command line: parses words and dispatches, nothing else. What a command does stands in the module it imports.

Nothing heavy is imported before a command runs: `syncd --help` must be quick.
"""

import gc
from typing import NoReturn

import click

from syncd import __version__
from syncd.cli import callbacks, exits, mending, reading, runs, service, tools
from syncd.cli.options import COMPLETE_VARIABLE, Group

__all__ = ["cli", "main"]


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    examples=[
        ("syncd demo", "try it: no account and no database needed"),
        ("syncd init; syncd check", "write config.toml, and see whether it is right"),
        ("syncd migrate; syncd sync", "a first sync of everything"),
        ("syncd run", "for good: the daemon (systemd unit in deploy/)"),
    ],
    lists=[
        (
            "Selectors",
            [
                ("shop", "every stream of the source shop"),
                ("shop.customers", "one stream"),
                ("'*.orders'", "a stream of every source (quote the star); none at all: everything"),
            ],
        ),
        (
            "Exit codes",
            [
                ("0", "all well"),
                ("1", "a run failed or was throttled, or something differs"),
                ("2", "wrong usage or configuration"),
                ("3", "the database cannot be reached, or is not migrated"),
            ],
        ),
    ],
)
@click.version_option(__version__)
def cli() -> None:
    """Keep a PostgreSQL mirror of your trade APIs fresh, complete and honest."""


for _command in (
    service.demo, service.init, service.check, service.migrate, service.run, runs.sync, runs.backfill, runs.status,
    mending.rejects, mending.cursor, mending.verify, mending.forget, callbacks.callbacks, tools.sandbox, tools.sql,
    reading.report,
    reading.export, tools.completion_script,
):  # fmt: skip
    cli.add_command(_command)


YOUNG_OBJECTS = 50_000
"""New objects between two searches for cycles: pages are thousands of rows, and rows hold no cycles. A search at every
700, as is Python's default, takes a quarter of a first load."""


def main() -> NoReturn:
    """Run the command line; every foreseen error becomes two lines on stderr and its exit code."""
    gc.set_threshold(YOUNG_OBJECTS)
    raise SystemExit(exits.guarded(lambda: cli(standalone_mode=False, complete_var=COMPLETE_VARIABLE)))

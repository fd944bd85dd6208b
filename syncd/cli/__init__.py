"""The command line: the list of commands, and how one of them is called.

`COMMANDS` is the only list of commands. The module of a command in `syncd.cli.commands` is imported when that command
is called or its help is asked for, so that `syncd --help` stays quick. This module imports nothing heavy.
"""

import contextlib
import ctypes
import gc
import resource
from typing import NoReturn

import click

from syncd import __version__
from syncd.cli import exits, output
from syncd.cli.options import COMPLETE_VARIABLE, LazyGroup, group_config_option

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS = {
    "demo": "Show everything at work on this machine.",
    "init": "Write a commented configuration.",
    "config": "Show the configuration as syncd reads it, without its secrets.",
    "check": "Check config, database and every upstream.",
    "migrate": "Bring the database to this version.",
    "run": "Run the daemon: every stream on its schedule.",
    "sync": "Run each matching stream once, now, in parallel.",
    "backfill": "Fetch a range of the past, beside whatever else runs.",
    "status": "Show how every stream and every budget stands.",
    "runs": "List the runs of streams, or show one with all that is known of it.",
    "logs": "Print what streams did, a line for each run, the newest last.",
    "rejects": "List, show, replay or drop records that became no row.",
    "cursor": "Show, set or reset where a stream resumes.",
    "verify": "Compare the mirror with the upstream, field by field.",
    "forget": "Erase persons for good.",
    "sources": "Say whose data the mirror holds, rename it, adopt it, or drop it.",
    "notify": "Send a test message to everybody who is notified.",
    "worker": "Run the accounts that are this worker's share, among others.",
    "workers": "List the workers that share the accounts.",
    "reload": "Let every worker read its configuration again.",
    "callbacks": "Register or clear the address that a vendor calls.",
    "new-source": "Write the beginnings of a plugin: a source of your own.",
    "backup": "Dump the private server's database into a file.",
    "restore": "Load a backup into an empty private server.",
    "doctor": "Gather what support needs in one file, without secrets and without data.",
    "upgrade": "Say whether database, configuration and plugins fit this version.",
    "sandbox": "Serve the four simulated upstreams.",
    "sql": "Run one read-only query on the mirror.",
    "report": "Answer one of the cookbook's questions.",
    "export": "Export the mirrored rows of one stream as a file.",
    "files": "List, show or write the files that syncd brings: unit, roles, alerts, dashboard and others.",
    "completion": "Print the script that completes words of syncd.",
}
"""Every command with the first line of its help, in the order of use."""


@click.group(
    cls=LazyGroup,
    package="syncd.cli.commands",
    summaries=COMMANDS,
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
@group_config_option
@click.version_option(__version__)
def cli() -> None:
    """Keep a PostgreSQL mirror of your trade APIs fresh, complete and honest."""


START_OBJECTS = 500_000
"""New objects between two searches for cycles while a command is imported: what that makes stays. No command's imports
make as many; `execute` sets the number for what follows."""


def main() -> NoReturn:
    """Run the command line; every foreseen error becomes two lines on stderr and its exit code."""
    output.prepare()
    gc.set_threshold(START_OBJECTS)
    _give_memory_back()
    _leave_no_core()
    code = exits.guarded(lambda: cli(standalone_mode=False, complete_var=COMPLETE_VARIABLE))
    gc.freeze()  # else the interpreter searches all that was imported for cycles before it ends: a sixth of `status`
    raise SystemExit(code)


LARGE_BYTES = 2 * 1024 * 1024
"""Blocks of this size go back to the system once they are freed, and so does what is free at the end of the heap twice
that size. A page and what is made of it is smaller: its memory serves the next page (decision 97). With glibc's first
number, 128 kB, the system cleared 4 MB anew for each page. glibc itself would go up to 32 MB as it meets such blocks,
and then keep what is between them."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of malloc.h, for mallopt()


def _give_memory_back() -> None:
    """Let freed memory go back to the system; nothing happens where the C library cannot do it."""
    with contextlib.suppress(OSError, AttributeError):
        change = ctypes.CDLL(None).mallopt
        change(_MMAP_THRESHOLD, LARGE_BYTES)
        change(_TRIM_THRESHOLD, 2 * LARGE_BYTES)
        change(_ARENA_MAX, 1)  # threads inflate bodies that another one frees: one heap serves all


def _leave_no_core() -> None:
    """Let neither this process nor its private server dump core: a core holds every secret, and records, in clear."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))

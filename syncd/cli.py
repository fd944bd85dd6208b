"""The command line: parses words and dispatches, nothing else. What a command does stands in the module it imports.

Nothing heavy is imported before a command runs: `syncd --help` must be quick.
"""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from syncd.errors import SyncdError, UsageError

STOPPED = 130
"""Exit code of a command that Ctrl-C ended at once, as shells know it (128 + SIGINT)."""


class _Command(click.Command):
    """A command whose help ends with examples: pairs of what to type and what it does."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, which click would wrap into one paragraph."""
        _write_list(formatter, "Examples", self.examples)
        super().format_epilog(ctx, formatter)


class _Group(click.Group):
    """A group that lists its commands in the order in which they were defined, and then its examples."""

    command_class = _Command

    def __init__(
        self,
        *args: Any,
        examples: Sequence[tuple[str, str]] = (),
        lists: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (),
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.lists = [("Examples", examples), *lists]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in order of definition."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists below the commands."""
        for title, rows in self.lists:
            _write_list(formatter, title, rows)
        super().format_epilog(ctx, formatter)


def _write_list(formatter: click.HelpFormatter, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Write a list of words and what they mean: side by side, or below each other where the words are long."""
    if not rows:
        return
    with formatter.section(title):
        if max(len(word) for word, _ in rows) <= formatter.width // 2:
            formatter.write_dl(rows, col_max=formatter.width // 2)
            return
        for word, meaning in rows:
            formatter.write(f"{'':{formatter.current_indent}}{word}\n")
            if meaning:
                with formatter.indentation(), formatter.indentation():
                    formatter.write_text(meaning)


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file [default: $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for a script.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr.")
selectors_argument = click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")
needed_selectors_argument = click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR...")


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    examples=[
        ("syncd demo", "try it: no account and no database needed"),
        ("syncd check", "is config.toml right? start it from config.example.toml"),
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
@click.version_option(package_name="syncd")
def cli() -> None:
    """Keep a PostgreSQL mirror of CycleSoftware, Cyclis, Autengo and GHS Automotive fresh, complete and honest."""


@cli.command(
    examples=[
        ("syncd demo", "goes on until Ctrl-C; look at http://127.0.0.1:8787/"),
        ("syncd demo --once", "only the first sync"),
        ("syncd demo --customers 200000", "a shop of a size to worry about"),
    ]
)
@click.option("--once", is_flag=True, help="End after the first sync.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the demo's database lives [default: ~/.local/state/syncd-demo].",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the demo's configuration to this file [default: config.toml in the data directory].",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address of the status page [default: 127.0.0.1:8787, or any free port if that is taken].",
)
@click.option(
    "--customers",
    default=2000,
    show_default=True,
    metavar="N",
    type=click.IntRange(1),
    help="Customers of the simulated shop.",
)
@click.option("--seed", default=1, show_default=True, metavar="N", help="Seed of the simulated data.")
@verbose_option
def demo(
    once: bool,
    data_dir: Path | None,
    config_path: Path | None,
    listen: str | None,
    customers: int,
    seed: int,
    verbose: bool,
) -> int:
    """Show everything at work on this machine.

    Starts simulated upstreams and a private database, syncs every stream, serves the status page, and prints queries
    to try. Then it keeps syncing while the simulated world changes, until Ctrl-C. Its mirror starts empty each time.
    """
    from syncd import demo as module

    return _run(
        module.run(
            once=once, data_dir=data_dir, config_path=config_path, listen=listen, customers=customers, seed=seed,
            verbose=verbose,
        ),
        verbose=verbose,
    )  # fmt: skip


@cli.command(examples=[("syncd check", "0: all well; 1: an upstream; 2: configuration; 3: database")])
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> int:
    """Check config, database and every upstream.

    Says what is missing and how to mend it. Logs in and sends one cheap request per source; writes nothing.
    """
    from syncd import check as module

    return _run(module.run(config_path, as_json=as_json))


@cli.command()
@config_option
def migrate(config_path: Path | None) -> int:
    """Bring the database to this version.

    Safe to run twice at once, and at any time: what is there stays. Run it after every upgrade.
    """
    from syncd import commands

    return _run(commands.migrate(config_path))


@cli.command()
@config_option
def run(config_path: Path | None) -> int:
    """Run the daemon: every stream on its schedule.

    SIGTERM ends it at a page boundary, within 10 s. SIGHUP re-reads the configuration; a bad one is refused and the
    old one stays. The log goes to stderr, the status page listens where http.listen says.
    """
    from syncd import commands

    return _run(commands.run_daemon(config_path))


@cli.command(
    examples=[
        ("syncd sync", "every stream"),
        ("syncd sync shop", "every stream of the source shop"),
        ("syncd sync shop.customers", "one stream"),
        ("syncd sync '*.orders' --full", "sweep the orders of every source"),
    ]
)
@selectors_argument
@click.option("--full", is_flag=True, help="Sweep: list everything, and bury what is gone.")
@click.option("--accept-deletions", is_flag=True, help="Bury even more rows than the breaker allows.")
@config_option
@json_option
@verbose_option
def sync(
    selectors: tuple[str, ...],
    full: bool,
    accept_deletions: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run each matching stream once, now, in parallel.

    Ctrl-C stops every run at its next page; the next run goes on from there. A stream that another process is running
    is not run twice: the result says who holds it.
    """
    from syncd import runs

    return _run(
        runs.sync(
            config_path, selectors, full=full, accept_deletions=accept_deletions, as_json=as_json, verbose=verbose
        )
    )


@cli.command(
    examples=[
        ("syncd backfill shop.customers --since 2026-01-01 --dry-run", "what would it cost?"),
        ("syncd backfill shop.customers --since 2026-01-01", "do it; again after Ctrl-C: goes on"),
        ("syncd backfill cars --since 2026-01-01 --until 2026-02-01T08:00", "one month"),
    ]
)
@needed_selectors_argument
@click.option("--since", required=True, metavar="T", help="Begin of the range: 2026-01-31 or 2026-01-31T08:00.")
@click.option("--until", metavar="T", help="End of the range, where the API knows one [default: now].")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost; asks the upstream for one page to know.")
@click.option("--again", is_flag=True, help="Walk a range from its beginning that was walked before.")
@config_option
@json_option
@verbose_option
def backfill(
    selectors: tuple[str, ...],
    since: str,
    until: str | None,
    dry_run: bool,
    again: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Fetch a range of the past, beside whatever else runs.

    It spends only the backfill lane's share of the budget, has a cursor of its own, never moves the live one and never
    overwrites what is newer. Times without a zone are read in the zone of the source. Ctrl-C stops at a page; the same
    command goes on there. A range that is complete is not walked again, unless asked for with --again.
    """
    from syncd import backfill as module

    return _run(
        module.run(
            config_path, selectors, since=since, until=until, dry_run=dry_run, again=again, as_json=as_json,
            verbose=verbose,
        )
    )  # fmt: skip


@cli.command()
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> int:
    """Show how every stream and every budget stands.

    Streams with state, cursor, rows, last run, freshness and next run; rejects and drift; requests left. --json prints
    the same document as /api/status.
    """
    from syncd import commands

    return _run(commands.status(config_path, as_json=as_json))


@cli.group(
    cls=_Group,
    examples=[
        ("syncd rejects list shop", "which records of shop could not become rows, and why"),
        ("syncd rejects show 12", "one of them, as sent"),
        ("syncd rejects replay", "try again, after an upgrade of syncd"),
    ],
)
def rejects() -> None:
    """List, show or replay records that became no row."""


@rejects.command("list")
@selectors_argument
@config_option
@json_option
def rejects_list(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """List rejects: number, stream, reason, how often, when.

    Shows no contents: see `syncd rejects show`.
    """
    from syncd import mend

    return _run(mend.list_rejects(config_path, selectors, as_json=as_json))


@rejects.command("show")
@click.argument("reject_id", type=int, metavar="ID")
@config_option
@json_option
def rejects_show(reject_id: int, config_path: Path | None, as_json: bool) -> int:
    """Show one reject with its record as sent.

    The record may hold personal data.
    """
    from syncd import mend

    return _run(mend.show_reject(config_path, reject_id, as_json=as_json))


@rejects.command("replay")
@selectors_argument
@config_option
@json_option
def rejects_replay(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """Try again to turn rejects into rows.

    Asks no upstream: the record as sent is parsed by this version of syncd. A row that is newer stays as it is.
    """
    from syncd import mend

    return _run(mend.replay_rejects(config_path, selectors, as_json=as_json))


@cli.group(
    cls=_Group,
    examples=[
        ("syncd cursor show shop", "where the streams of shop resume"),
        ("""syncd cursor set shop.customers '{"since": "2026-01-31T00:00:00Z"}'""", "ask again from then on"),
        ("syncd cursor reset shop.customers", "list everything in the next run"),
    ],
)
def cursor() -> None:
    """Show, set or reset where a stream resumes."""


kind_option = click.option(
    "--kind", default="live", show_default=True, help="live, sweep, or a backfill's as `show` prints it."
)


@cursor.command("show")
@selectors_argument
@config_option
@json_option
def cursor_show(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> int:
    """Show the cursors of the matching streams."""
    from syncd import mend

    return _run(mend.show_cursors(config_path, selectors, as_json=as_json))


@cursor.command(
    "set",
    examples=[("""syncd cursor set shop.customers '{"since": "2026-01-31T00:00:00Z"}'""", "")],
)
@click.argument("selector")
@click.argument("value", metavar="JSON")
@kind_option
@config_option
def cursor_set(selector: str, value: str, kind: str, config_path: Path | None) -> int:
    """Set the cursor of one stream to a JSON object.

    Of the form that `syncd cursor show` prints for it. Refused while a run of the stream is under way.
    """
    from syncd import mend

    return _run(mend.set_cursor(config_path, selector, value, kind=kind))


@cursor.command("reset")
@needed_selectors_argument
@kind_option
@config_option
def cursor_reset(selectors: tuple[str, ...], kind: str, config_path: Path | None) -> int:
    """Forget where a stream resumes.

    Its next run lists everything. No row is touched. Refused while a run of the stream is under way.
    """
    from syncd import mend

    return _run(mend.reset_cursors(config_path, selectors, kind=kind))


@cli.command(
    examples=[
        ("syncd verify shop.customers", "compare the first 10 pages"),
        ("syncd verify shop.customers --pages 0 --repair", "all of them, and commit what differs"),
    ]
)
@selectors_argument
@click.option(
    "--pages",
    default=10,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Pages of each stream at most; 0: all.",
)
@click.option("--repair", is_flag=True, help="Commit what differs.")
@config_option
@json_option
def verify(selectors: tuple[str, ...], pages: int, repair: bool, config_path: Path | None, as_json: bool) -> int:
    """Compare the mirror with the upstream, field by field.

    Asks the upstream anew, in the backfill lane, and names every row and field that differs, child rows too. A row gone
    upstream is told of, and left to the next sweep. Exit code 1 if anything differs that was not repaired.
    """
    from syncd import verify as module

    return _run(module.run(config_path, selectors, pages=pages, repair=repair, as_json=as_json))


@cli.command(
    examples=[
        ("syncd sandbox --config sandbox.toml", "serve, and write a config to try commands with"),
        ("syncd sandbox --list-faults", "what can go wrong"),
        ("syncd sandbox --fault gateway-504:cyclis@3", "three 504s from Cyclis"),
    ]
)
@click.option(
    "--port",
    default=8788,
    show_default=True,
    metavar="N",
    type=click.IntRange(0, 65535),
    help="Port on 127.0.0.1; 0: any.",
)
@click.option("--seed", default=1, show_default=True, metavar="N", help="Seed of the simulated data.")
@click.option(
    "--customers",
    default=400,
    show_default=True,
    metavar="N",
    type=click.IntRange(1),
    help="Customers of the simulated shop.",
)
@click.option("--fault", "faults", multiple=True, metavar="NAME[:API[.STREAM]][@TIMES]", help="Switch a fault on.")
@click.option(
    "--evolve", default=0.0, show_default=True, metavar="SECONDS", type=click.FloatRange(0),
    help="Let the data change this often; 0: never.",
)  # fmt: skip
@click.option("--list-faults", is_flag=True, help="List the faults there are.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a config for it to this file.",
)
def sandbox(
    port: int,
    seed: int,
    customers: int,
    faults: tuple[str, ...],
    evolve: float,
    list_faults: bool,
    config_path: Path | None,
) -> int:
    """Serve the four simulated upstreams.

    On this machine only, until Ctrl-C. Prints a configuration that reaches them.
    """
    from syncd import commands

    return _run(
        commands.serve_sandbox(
            port=port, seed=seed, customers=customers, faults=faults, evolve_s=evolve, list_faults=list_faults,
            config_path=config_path,
        )
    )  # fmt: skip


@cli.command(examples=[('syncd sql "SELECT count(*) FROM cyclesoftware.customers"', "")])
@click.argument("query")
@config_option
@json_option
def sql(query: str, config_path: Path | None, as_json: bool) -> int:
    """Run one read-only query on the mirror.

    Handy with the private server, where there is no psql.
    """
    from syncd import commands

    return _run(commands.sql(config_path, query, as_json=as_json))


YOUNG_OBJECTS = 50_000
"""New objects between two searches for cycles: pages are thousands of rows, and rows hold no cycles. A search at every
700, as is the default, takes a quarter of a first load."""


def _run(work: Coroutine[Any, Any, int], *, verbose: bool = False) -> int:
    """Run a command to its end and return its exit code; what it logs goes to stderr."""
    import asyncio
    import gc

    from syncd import log

    log.configure("auto", "info" if verbose else "error")
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def main() -> NoReturn:
    """Run the command line; every foreseen error becomes two lines on stderr and its exit code."""
    raise SystemExit(_guarded(lambda: cli(standalone_mode=False)))


def _guarded(work: Callable[[], Any]) -> int:
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
    except Exception as error:
        if os.environ.get("SYNCD_DEBUG"):
            raise
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return error.exit_code
        foreseen = _foreseen(error)
        _tell(foreseen)
        return foreseen.exit_code
    return code if isinstance(code, int) else 0


def _foreseen(error: BaseException) -> SyncdError:
    """Return the error as one of ours; of an error of nobody's only its kind and place, for its text may be data."""
    while isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(SyncdError)
        error = (ours or error).exceptions[0]
    if isinstance(error, SyncdError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return UsageError(error.format_message(), hint=f"{context.command_path if context else 'syncd'} --help")
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
    return SyncdError(
        f"internal error: {type(error).__name__}{where}",
        hint="Nothing half-done was committed. Please report it; SYNCD_DEBUG=1 shows the traceback.",
    )


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


if __name__ == "__main__":
    main()

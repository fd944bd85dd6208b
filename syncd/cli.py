"""The command line: parses words and dispatches, nothing else. What a command does stands in the module it imports."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from syncd.errors import SyncdError, UsageError

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file [default: $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr.")


class _InOrder(click.Group):
    """A group that lists its commands in the order in which they were defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="syncd")
def cli() -> None:  # noqa: D301  (click reads \b as: keep these lines as they are)
    """Keep a PostgreSQL mirror of CycleSoftware, Cyclis, Autengo and GHS Automotive fresh, complete and honest.

    \b
    Try it, without any account:    syncd demo
    First steps with your accounts: cp config.example.toml config.toml; syncd check; syncd migrate; syncd sync
    For good:                       syncd run  (see deploy/)
    \b
    Exit codes: 0 all well; 1 a run failed or was throttled; 2 usage or config; 3 the database cannot be reached.
    """


@cli.command()
@click.option("--once", is_flag=True, help="End after the first sync.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the demo's database lives.")
@click.option("--listen", default="127.0.0.1:8787", show_default=True, help="Address of the status page.")
@click.option("--customers", default=2000, show_default=True, help="How many customers the simulated shop has.")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated data.")
@verbose_option
def demo(once: bool, data_dir: Path | None, listen: str, customers: int, seed: int, verbose: bool) -> None:
    """Show everything at work: simulated upstreams, a private database, a first sync, the status page."""
    from syncd import demo as module

    _run(module.run(once=once, data_dir=data_dir, listen=listen, customers=customers, seed=seed, verbose=verbose))


@cli.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Check config, database, migrations, then log in and send one cheap request per source.

    Says what is missing and how to mend it. Writes nothing but the spent requests.
    """
    from syncd import check as module

    _run(module.run(config_path, as_json=as_json))


@cli.command()
@config_option
def migrate(config_path: Path | None) -> None:
    """Bring the database to this version. Safe to run twice at once."""
    from syncd import commands

    _run(commands.migrate(config_path))


@cli.command()
@config_option
def run(config_path: Path | None) -> None:
    """Run the daemon: every stream on its schedule until SIGTERM; SIGHUP re-reads the configuration."""
    from syncd import commands

    _run(commands.run_daemon(config_path))


@cli.command()
@click.argument("selectors", nargs=-1, metavar="[SELECTOR…]")
@click.option("--full", is_flag=True, help="Sweep: list everything, and bury what is gone.")
@click.option("--accept-deletions", is_flag=True, help="Bury even more rows than the breaker allows.")
@config_option
@json_option
@verbose_option
def sync(  # noqa: D301
    selectors: tuple[str, ...],
    full: bool,
    accept_deletions: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Run each matching stream once, now, in parallel.

    \b
    syncd sync                    every stream
    syncd sync shop               every stream of the source `shop`
    syncd sync shop.customers     one stream
    syncd sync '*.orders' --full  sweep the orders of every source
    """
    from syncd import commands

    _run(
        commands.sync(
            config_path,
            selectors,
            full=full,
            accept_deletions=accept_deletions,
            as_json=as_json,
            verbose=verbose,
        )
    )


@cli.command()
@click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR…")
@click.option("--since", required=True, metavar="T", help="Begin of the range: 2026-01-31 or 2026-01-31T08:00.")
@click.option("--until", metavar="T", help="End of the range, where the API knows one [default: now].")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost. Sends one request per stream to learn it.")
@config_option
@json_option
@verbose_option
def backfill(
    selectors: tuple[str, ...],
    since: str,
    until: str | None,
    dry_run: bool,
    config_path: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Fetch a range of the past, in the backfill lane, beside whatever else runs.

    Times without a zone are read in the zone of the source. Ctrl-C stops at a page; the same command goes on there.
    """
    from syncd import backfill as module

    _run(
        module.run(config_path, selectors, since=since, until=until, dry_run=dry_run, as_json=as_json, verbose=verbose)
    )


@cli.command()
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> None:
    """Show streams with cursor, rows, last run, freshness and next run; budgets, rejects and drift."""
    from syncd import commands

    _run(commands.status(config_path, as_json=as_json))


@cli.group(cls=_InOrder)
def rejects() -> None:
    """List, show or replay records that could not become a row."""


@rejects.command("list")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR…]")
@config_option
@json_option
def rejects_list(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """List rejects: number, stream, reason, how often and when. Contents only with `show`."""
    from syncd import mend

    _run(mend.list_rejects(config_path, selectors, as_json=as_json))


@rejects.command("show")
@click.argument("reject_id", type=int)
@config_option
@json_option
def rejects_show(reject_id: int, config_path: Path | None, as_json: bool) -> None:
    """Show one reject with its record as sent. May hold personal data."""
    from syncd import mend

    _run(mend.show_reject(config_path, reject_id, as_json=as_json))


@rejects.command("replay")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR…]")
@config_option
@json_option
def rejects_replay(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """Try again to turn rejects into rows, without asking the upstream: after an upgrade, say."""
    from syncd import mend

    _run(mend.replay_rejects(config_path, selectors, as_json=as_json))


@cli.group(cls=_InOrder)
def cursor() -> None:
    """Show, set or reset where a stream resumes."""


@cursor.command("show")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR…]")
@config_option
@json_option
def cursor_show(selectors: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """Show the cursors of the matching streams."""
    from syncd import mend

    _run(mend.show_cursors(config_path, selectors, as_json=as_json))


@cursor.command("set")
@click.argument("selector")
@click.argument("value", metavar="JSON")
@click.option("--kind", default="live", show_default=True, help="live, sweep, or a backfill's as `show` prints it.")
@config_option
def cursor_set(selector: str, value: str, kind: str, config_path: Path | None) -> None:
    """Set the cursor of one stream, e.g. '{"since": "2026-01-31T00:00:00Z"}'."""
    from syncd import mend

    _run(mend.set_cursor(config_path, selector, value, kind=kind))


@cursor.command("reset")
@click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR…")
@click.option("--kind", default="live", show_default=True, help="live, sweep, or a backfill's as `show` prints it.")
@config_option
def cursor_reset(selectors: tuple[str, ...], kind: str, config_path: Path | None) -> None:
    """Forget where a stream resumes: its next run lists everything. No row is touched."""
    from syncd import mend

    _run(mend.reset_cursors(config_path, selectors, kind=kind))


@cli.command()
@click.argument("selectors", nargs=-1, metavar="[SELECTOR…]")
@click.option("--pages", default=10, show_default=True, help="Compare at most so many pages of each stream.")
@click.option("--repair", is_flag=True, help="Commit what differs.")
@config_option
@json_option
def verify(selectors: tuple[str, ...], pages: int, repair: bool, config_path: Path | None, as_json: bool) -> None:
    """Compare the mirror with the upstream, row by row and field by field. Exit code 1 if anything differs."""
    from syncd import verify as module

    _run(module.run(config_path, selectors, pages=pages, repair=repair, as_json=as_json))


@cli.command()
@click.option("--port", default=8788, show_default=True, help="Port on 127.0.0.1; 0 for any free one.")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated data.")
@click.option("--customers", default=400, show_default=True, help="How many customers the simulated shop has.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[:API[.STREAM]][@TIMES]", help="Switch a fault on.")
@click.option("--evolve", default=0.0, show_default=True, metavar="SECONDS", help="Let data change this often; 0: not.")
@click.option("--list-faults", is_flag=True, help="List the faults there are.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Write a config for it to this file.")
def sandbox(
    port: int,
    seed: int,
    customers: int,
    faults: tuple[str, ...],
    evolve: float,
    list_faults: bool,
    config_path: Path | None,
) -> None:
    """Serve the four simulated upstreams on this machine, and print a config for them."""
    from syncd import commands

    _run(
        commands.serve_sandbox(
            port=port,
            seed=seed,
            customers=customers,
            faults=faults,
            evolve_s=evolve,
            list_faults=list_faults,
            config_path=config_path,
        )
    )


@cli.command()
@click.argument("query")
@config_option
@json_option
def sql(query: str, config_path: Path | None, as_json: bool) -> None:
    """Run one read-only query on the mirror and print its rows; handy with the private server."""
    from syncd import commands

    _run(commands.sql(config_path, query, as_json=as_json))


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    raise SystemExit(asyncio.run(work) or 0)


def main() -> None:
    """Run the command line; every foreseen error becomes two lines on stderr and its exit code."""
    _guarded(lambda: cli(standalone_mode=True))


def _guarded(work: Callable[[], Any]) -> None:
    try:
        work()
    except SyncdError as error:
        _tell(error)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("SYNCD_DEBUG"):
            raise
        _tell(
            UsageError(
                f"internal error: {type(error).__name__}: {error}",
                hint="Please report it; SYNCD_DEBUG=1 shows the traceback.",
            )
        )
        raise SystemExit(1) from None


def _tell(error: SyncdError) -> None:
    from syncd import log

    click.echo(f"{click.style('error:', fg='red', bold=True)} {log.mask(str(error))}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint:', fg='yellow')} {log.mask(error.hint)}", err=True)


if __name__ == "__main__":
    main()

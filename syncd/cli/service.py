"""The commands that bring syncd to life: demo, check, migrate, run."""

from pathlib import Path

import click

from syncd.cli import completion
from syncd.cli.options import command, config_option, execute, json_option, verbose_option


@command(
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
    from syncd.cli.commands import demo as module

    return execute(
        module.run(
            once=once, data_dir=data_dir, config_path=config_path, listen=listen, customers=customers, seed=seed,
            verbose=verbose,
        ),
        verbose=verbose,
    )  # fmt: skip


@command(
    examples=[
        ("syncd init", "asks for everything; what is secret is not shown"),
        ("syncd init --type cyclesoftware --name shop --set username=u", "the password will stand in $SHOP_PASSWORD"),
        ("syncd init --add --type ghs --name parts --set username=u", "one more source, in the file that is there"),
        (
            "syncd init --type cyclesoftware --set username=u --set password=file:secrets/p",
            "another place of the secret",
        ),
    ]
)
@click.option("--type", "source_type", metavar="TYPE", shell_complete=completion.types, help="Type of the source.")
@click.option("--name", metavar="NAME", help="Its name, which becomes the column `source`.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE",
    help="An option of the source. Of a secret only its place: env:NAME, file:PATH or credential:NAME.",
)  # fmt: skip
@click.option(
    "--database", "database_url", metavar="ADDRESS",
    help="postgresql://user@host/database, or its place like that of a secret [default: embedded].",
)  # fmt: skip
@click.option("--add", is_flag=True, help="Add the source to a file that is there.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Write this file [default: $SYNCD_CONFIG, ./config.toml].",
)  # fmt: skip
def init(
    source_type: str | None,
    name: str | None,
    settings: tuple[str, ...],
    database_url: str | None,
    add: bool,
    config_path: Path | None,
) -> int:
    """Write a commented configuration.

    Asks on a terminal, or takes flags. A secret that is typed goes into a file of its own that only you can read; on
    the command line only the place of one is taken. Never overwrites a file.
    """
    from syncd.cli.commands import init as module

    return module.run(
        config_path, source_type=source_type, name=name, settings=settings, database_url=database_url, add=add
    )


@command(examples=[("syncd check", "0: all well; 1: an upstream; 2: configuration; 3: database")])
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> int:
    """Check config, database and every upstream.

    Says what is missing and how to mend it. Logs in and sends one cheap request per source; writes nothing.
    """
    from syncd.cli.commands import check as module

    return execute(module.run(config_path, as_json=as_json))


@command(
    examples=[
        ("syncd migrate", "the first time, and after every upgrade"),
        ("sudo -u syncd syncd migrate", "as the account of the daemon"),
    ]
)
@config_option
def migrate(config_path: Path | None) -> int:
    """Bring the database to this version.

    Safe to run twice at once, and at any time: what is there stays. Run it after every upgrade.
    """
    from syncd.cli import session

    return execute(session.migrate(config_path))


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
    old one stays. The log goes to stderr, the status page listens where http.listen says.
    """
    from syncd.cli import session

    return execute(session.run_daemon(config_path))

"""The commands beside the service: sandbox, sql, completion."""

from pathlib import Path

import click

from syncd.cli import completion
from syncd.cli.options import COMPLETE_VARIABLE, command, config_option, execute, json_option


@command(
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
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:API[.STREAM]][@TIMES]",
    help="Switch a fault on.",
    shell_complete=completion.faults,
)
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
    from syncd.cli import session

    return execute(
        session.serve_sandbox(
            port=port, seed=seed, customers=customers, faults=faults, evolve_s=evolve, list_faults=list_faults,
            config_path=config_path,
        )
    )  # fmt: skip


@command(examples=[('syncd sql "SELECT count(*) FROM cyclesoftware.customers"', "")])
@click.argument("query")
@config_option
@json_option
def sql(query: str, config_path: Path | None, as_json: bool) -> int:
    """Run one read-only query on the mirror.

    Handy with the private server, where there is no psql.
    """
    from syncd.cli import session

    return execute(session.sql(config_path, query, as_json=as_json))


@command(
    "completion",
    examples=[
        ("source <(syncd completion bash)", "bash: this line in ~/.bashrc"),
        ("source <(syncd completion zsh)", "zsh: in ~/.zshrc, after compinit"),
        ("syncd completion fish > ~/.config/fish/completions/syncd.fish", "fish: once"),
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_script(context: click.Context, shell: str) -> int:
    """Print the script that completes words of syncd.

    Commands, options, and the sources and streams of the configuration (--config, if it stands before them).
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not supported")
    script = kind(context.find_root().command, {}, "syncd", COMPLETE_VARIABLE)
    click.echo(ShellComplete.source(script))  # not its own, which asks for the version of the shell
    return 0

"""`syncd completion`: prints the script by which a shell completes words of syncd."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from syncd.cli.options import COMPLETE_VARIABLE, command, config_option_with


@command(
    examples=[
        ("source <(syncd completion bash)", "bash: this line in ~/.bashrc"),
        ("source <(syncd completion zsh)", "zsh: in ~/.zshrc, after compinit"),
        ("syncd completion fish > ~/.config/fish/completions/syncd.fish", "fish: once"),
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@config_option_with("", expose_value=False, hidden=True)
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that completes words of syncd.

    Commands, options, and the sources and streams of the configuration (--config, if it stands before them).
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not supported")
    script = kind(context.find_root().command, {}, "syncd", COMPLETE_VARIABLE)
    click.echo(ShellComplete.source(script))  # not its own, which asks for the version of the shell
    return 0

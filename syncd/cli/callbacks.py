"""The commands about callbacks: register, clear, status."""

from pathlib import Path

import click

from syncd.cli import completion
from syncd.cli.options import config_option, execute, group, json_option

__all__ = ["callbacks"]

source_argument = click.argument("source", shell_complete=completion.callback_sources)


@group(
    examples=[
        ("syncd callbacks status lease", "what is registered, and what the last callback led to"),
        ("syncd callbacks register lease", "let Cyclis tell us of changes, beside the polling"),
        ("syncd callbacks clear lease", "take our address away again"),
    ],
)
def callbacks() -> None:
    """Register or clear the address that a vendor calls.

    The vendor has room for one address. Nothing but these commands ever touches it.
    """


@callbacks.command(
    examples=[
        ("syncd callbacks register lease", "refused if another address stands there"),
        ("syncd callbacks register lease --replace", "takes its place; whoever listens there hears no more"),
    ]
)
@source_argument
@click.option("--replace", is_flag=True, help="Take the place of another address.")
@config_option
def register(source: str, replace: bool, config_path: Path | None) -> int:
    """Register an address of ours for a source.

    Needs callbacks = true and callback_url in the configuration of the source. Does nothing if ours is there already.
    """
    from syncd.cli.commands import callbacks as module

    return execute(module.register(config_path, source, replace=replace))


@callbacks.command(examples=[("syncd callbacks clear lease", "refused if the address is not ours")])
@source_argument
@config_option
def clear(source: str, config_path: Path | None) -> int:
    """Take our address away from a source.

    One that is not ours is left alone. The polling goes on as before.
    """
    from syncd.cli.commands import callbacks as module

    return execute(module.clear(config_path, source))


@callbacks.command(
    examples=[
        ("syncd callbacks status lease", ""),
        ("syncd callbacks status lease --json", "for a script"),
    ]
)
@source_argument
@config_option
@json_option
def status(source: str, config_path: Path | None, as_json: bool) -> int:
    """Say what is registered, and what came.

    Exit code 1 if we listen, and what is registered is not ours.
    """
    from syncd.cli.commands import callbacks as module

    return execute(module.status(config_path, source, as_json=as_json))

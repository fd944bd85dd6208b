"""`syncd sandbox`: serves the simulated upstreams, and writes a configuration that reaches them."""

import asyncio
import contextlib
import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from syncd import sandbox as module
from syncd.cli import console, proposals
from syncd.cli.options import command, config_option_with
from syncd.cli.session import execute, stopped_by_signals
from syncd.errors import UsageError


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
    shell_complete=proposals.faults,
)
@click.option(
    "--evolve", default=0.0, show_default=True, metavar="SECONDS", type=click.FloatRange(0),
    help="Let the data change this often; 0: never.",
)  # fmt: skip
@click.option("--list-faults", is_flag=True, help="List the faults there are.")
@config_option_with("Write a config for it to this file.")
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
    return execute(
        serve_sandbox(
            port=port, seed=seed, customers=customers, faults=faults, evolve_s=evolve, list_faults=list_faults,
            config_path=config_path,
        )
    )  # fmt: skip


async def serve_sandbox(
    *,
    port: int,
    seed: int,
    customers: int,
    faults: Sequence[str],
    evolve_s: float,
    list_faults: bool,
    config_path: Path | None,
) -> int:
    """Serve the simulated upstreams until Ctrl-C."""
    if list_faults:
        console.print_table("", ["fault", "what it does"], sorted(module.FAULTS.items()))
        return 0
    world = module.Sandbox(seed=seed, customers=customers)
    for text in faults:
        try:
            world.faults.add(**module.parse_fault(text))
        except (ValueError, KeyError) as error:
            reason = str(error.args[0]).partition("; there are")[0]
            raise UsageError(f"--fault {text}: {reason}", hint=_fault_hint(text, module.FAULTS)) from None
    async with contextlib.AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(module.serve(world, port=port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on port {port}: {os.strerror(error.errno or 0)}", hint="Try --port 0."
            ) from None
        text = module.config_text(world, address)
        if config_path:
            await asyncio.to_thread(write_config, config_path, text)
            console.print_note(f"wrote {config_path}; try: syncd migrate --config {config_path}")
        else:
            console.say(text)
        console.print_note(f"sandbox at {address.url}; Ctrl-C ends it")
        with stopped_by_signals() as stop:
            await changing(world.evolve, evolve_s, stop)
    return 0


def _fault_hint(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text.partition(":")[0].partition("@")[0], known, n=1, cutoff=0.5)
    return f"{f'Did you mean {near[0]}? ' if near else ''}All of them: syncd sandbox --list-faults"


WRITTEN_BY = "# written by syncd for its sandbox; syncd may overwrite it\n"


def write_config(path: Path, text: str) -> None:
    """Write a configuration for the sandbox, readable by its owner only; never over one that somebody else wrote."""
    try:
        if path.exists() and not path.read_text().startswith(WRITTEN_BY):
            raise UsageError(f"{path} is there already, and not of our making", hint="Name another file.")
        path.touch(mode=0o600)
        path.write_text(WRITTEN_BY + text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or 'it is no text'}") from None


async def changing(evolve: Callable[[], Any], every_s: float, stop: asyncio.Event) -> None:
    """Let a sandbox change at intervals until `stop` is set; an interval of 0 lets it rest."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s or None)
            return
        evolve()

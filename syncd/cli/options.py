"""How every command looks: its help with examples, the options that many take, and how it is run."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import click

from syncd.cli import completion

COMPLETE_VARIABLE = "_SYNCD_COMPLETE"
"""The variable by which a shell asks for completions (click's way)."""


class Command(click.Command):
    """A command whose help ends with examples: pairs of what to type and what it does."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, which click would wrap into one paragraph."""
        _write_list(formatter, "Examples", self.examples)
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """A group that lists its commands in the order in which they were defined, and then its examples."""

    command_class = Command

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


def command(name: str | None = None, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of the decorated function; `examples` end its help."""
    return click.command(name, cls=Command, **attributes)


def group(name: str | None = None, **attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a group of commands of the decorated function; `examples` end its help."""
    return click.group(name, cls=Group, **attributes)


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file [default: $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for a script.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr.")
selectors_argument = click.argument("selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=completion.selectors)
needed_selectors_argument = click.argument(
    "selectors", nargs=-1, required=True, metavar="SELECTOR...", shell_complete=completion.selectors
)


def execute(work: Coroutine[Any, Any, int], *, verbose: bool = False) -> int:
    """Run a command to its end and return its exit code; what it logs goes to stderr."""
    import asyncio

    from syncd import log

    log.configure("auto", "info" if verbose else "error")
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None

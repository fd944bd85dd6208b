"""How every command looks: its help with examples, and the options that several commands take."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from syncd.cli import proposals

Function = TypeVar("Function", bound=Callable[..., Any])

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

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in order of definition."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the commands."""
        _write_list(formatter, "Examples", self.examples)
        super().format_epilog(ctx, formatter)


class DurationType(click.ParamType[float]):
    """A duration as the configuration writes it, such as 30m; the command gets seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; a wrong one is a wrong use."""
        from syncd.config.duration import parse_duration

        try:
            return float(value) if isinstance(value, float) else parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}.", param, ctx)


class LazyGroup(Group):
    """A group that imports the module of a command only when that command is called or its help is asked for.

    `summaries` gives the one-line help of every command by its name, in the order of the help. The command `some-name`
    is the object `some_name` of the module `some_name` in the package `package`.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        summaries: Mapping[str, str],
        lists: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (),
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.package = package
        self.summaries = summaries
        self.lists = lists

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        if name not in self.summaries:
            return None
        attribute = name.replace("-", "_")
        found: click.Command = getattr(import_module(f"{self.package}.{attribute}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; the error for an unknown one proposes the nearest names."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=list(self.summaries), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary.removesuffix(".")) for name, summary in self.summaries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Propose commands without importing one, and the options of the group."""
        names = [name for name in self.summaries if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=self.summaries[name].removesuffix(".")) for name in names] + options

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the lists below the commands."""
        super().format_epilog(ctx, formatter)
        for title, rows in self.lists:
            _write_list(formatter, title, rows)


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
    """Make a group of commands of the decorated function; `examples` end its help. It takes --config, too."""

    def decorate(function: Callable[..., Any]) -> Group:
        return click.group(name, cls=Group, **attributes)(group_config_option(function))

    return decorate


_CONFIG = "syncd.config"
"""Key of click's `meta`, which a command shares with the groups above it."""


def _keep_config(ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Return the file that --config names here; if it is not given here, the one named nearest before the command."""
    if path is not None:
        ctx.meta[_CONFIG] = path
    found: Path | None = ctx.meta.get(_CONFIG)
    return found


def config_option_with(text: str, **attributes: Any) -> Callable[[Function], Function]:
    """Make the option --config with a help text of its own.

    It may stand before or after the command. If it is given several times, the one nearest to the end of the command
    line counts.
    """
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", callback=_keep_config, help=text,
        **attributes,
    )  # fmt: skip


CONFIG_HELP = "Configuration file [default: $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml]."

config_option = config_option_with(CONFIG_HELP)
group_config_option = config_option_with(f"{CONFIG_HELP} May also stand after the command.", expose_value=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for a script.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log what happens to stderr.")
selectors_argument = click.argument("selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=proposals.selectors)
needed_selectors_argument = click.argument(
    "selectors", nargs=-1, required=True, metavar="SELECTOR...", shell_complete=proposals.selectors
)

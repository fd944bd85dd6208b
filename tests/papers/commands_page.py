"""Writes docs/commands.md from the command line itself: `python -m tests.papers.commands_page`.

With `--check` it only says whether the page is current.
"""

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from syncd import cli
from syncd.cli.options import Command

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

This page is written by `python -m tests.papers.commands_page` from the command line itself.
CI fails if it is not current. Do not edit it. `syncd COMMAND --help` shows the same.

"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its whole name, in the order of `syncd --help`."""
    yield from _below("syncd", cli.cli)


def _below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for word, command in children(group).items():
        if isinstance(command, click.Group):
            yield from _below(f"{name} {word}", command)
        else:
            yield f"{name} {word}", command


def children(group: click.Group) -> dict[str, click.Command]:
    """Return the commands of a group by their names, in the order of its help."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def page() -> str:
    """Return the page as it should be."""
    lists = dict(cli.cli.lists)
    parts = [INTRODUCTION]
    parts += [f"## {title}\n\n{_table(('word', 'means'), lists[title])}" for title in ("Selectors", "Exit codes")]
    parts += [_section(name, command) for name, command in commands()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    words = "\n\n".join(" ".join(part.split()) for part in (command.help or "").replace("\b", "").split("\n\n"))
    options = [
        (", ".join([*option.opts, *option.secondary_opts]), _metavar(option, context), option.help or "")
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden
    ]
    rows = [(f"{names} {metavar}".strip(), says) for names, metavar, says in options]
    parts = [f"## {name}\n\n```text\n{usage}\n```\n\n{words}\n", _table(("option", "does"), rows)]
    if isinstance(command, Command) and command.examples:
        parts.append("Examples:\n\n" + _table(("command", "does"), command.examples))
    return "\n".join(parts)


def _metavar(option: click.Option, context: click.Context) -> str:
    return "" if option.is_flag or option.count else option.make_metavar(context)


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    for word, says in rows:
        cells = f"`{word}`".replace("|", "\\|"), " ".join(says.split()).replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        runpy.run_module("tests.papers.man_pages", run_name="__main__")  # they say the same
    elif PAGE.read_text() != page():
        sys.exit("docs/commands.md is not current: python -m tests.papers.commands_page")

"""Writes deploy/man/syncd.1 and deploy/man/syncd-config.5 from the command line and the configuration's declarations.

`python -m tests.papers.man_pages`; with `--check` it only says whether they are current. The wheel installs them below
share/man, where `man syncd` finds them beside the program.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from syncd import cli
from syncd.cli.options import Command
from syncd.config.duration import format_duration
from syncd.sources import specs
from tests.papers import commands_page, config_page

FOLDER = Path(__file__).parents[2] / "deploy" / "man"
FILES = (
    ("/etc/syncd/config.toml", "The configuration of the service: syncd\\-config(5)."),
    ("./config.toml", "The configuration of a trial, in the current directory."),
    ("/var/lib/syncd", "The data directory of the service; a private server keeps its database in it."),
    ("~/.local/state/syncd", "The data directory of a user."),
)
VARIABLES = (
    ("SYNCD_CONFIG", "The configuration file, where \\-\\-config does not name one."),
    ("STATE_DIRECTORY", "The data directory, as systemd sets it."),
    ("SYNCD_DEBUG", "If set, a defect is shown with its traceback."),
)


def commands() -> str:
    """Return the page of the commands."""
    return "\n".join(
        [
            *_head("SYNCD", 1, "syncd", "keep a PostgreSQL mirror of trade APIs fresh, complete and honest"),
            ".SH SYNOPSIS\n.B syncd\n.RI [ \\-\\-config\\ FILE ] \\ COMMAND \\ [ ARGUMENT ...]",
            ".SH DESCRIPTION\n" + text(
                "syncd mirrors the APIs of CycleSoftware, Cyclis, Autengo and GHS Automotive into PostgreSQL, keeps "
                "the rows fresh within each vendor's request budget, and marks what is gone. syncd demo shows it at "
                "work, without an account."
            ),
            ".SH COMMANDS",
            *(part for name, command in commands_page.commands() for part in _command(name, command)),
            *_lists(dict(cli.cli.lists)),
            ".SH EXAMPLES", *_tagged(cli.cli.examples),
            ".SH ENVIRONMENT", *_tagged(VARIABLES, text_of=str),
            ".SH FILES", *_tagged(FILES, text_of=str),
            ".SH SEE ALSO\n.BR syncd\\-config (5),\n.BR systemctl (1),\n.BR journalctl (1),\n.BR psql (1)",
        ]
    ) + "\n"  # fmt: skip


def configuration() -> str:
    """Return the page of the configuration file."""
    example = config_page.tables()
    parts = [
        *_head("SYNCD\\-CONFIG", 5, "syncd\\-config", "the configuration of syncd"),
        ".SH SYNOPSIS\n.I /etc/syncd/config.toml",
        ".SH DESCRIPTION", *_paragraphs(config_page.INTRODUCTION),
        ".SH TABLES",
    ]  # fmt: skip
    for name, words in config_page.GENERAL.items():
        parts += [f".SS [{name}]", text(_plain(words)), *_keys(example.get(name, ()))]
    parts += [
        ".SS [sources.NAME]",
        text("One account at one API. NAME is yours to choose; it becomes the column source."),
    ]
    parts += _tagged([("type", f"required; one of {', '.join(specs())}")])
    parts += [".SS [sources.NAME.budget]", text("These keys can only lower what the server allows.")]
    parts += _keys(example[config_page.OF_EVERY_BUDGET])
    parts += [".SS [sources.NAME.streams.STREAM]", text("Every stream takes these keys.")]
    parts += _keys(example[config_page.OF_EVERY_STREAM])
    parts += [".SH QUERIES", text(_plain(config_page.QUERIES))]
    for spec in specs().values():
        parts.append(f'.SH "TYPE {spec.type.upper()}"')
        address = spec.base_url or "required"
        parts += _tagged([("base_url", f"address of the API [{address}]")])
        parts += _tagged([(name, _option(option)) for name, option in spec.options.items()])
        parts.append(f'.SS "Streams of {spec.type}"')
        parts += _tagged(
            [
                (stream.name, "; ".join(filter(None, (
                    f"every {format_duration(stream.every_s)}" if stream.every_s else "",
                    f"sweep every {format_duration(stream.sweep_s)}" if stream.sweep_s else "",
                    f"keys: {', '.join(f'{key}, {key}_query' for key in stream.lookup)}" if stream.lookup else "",
                    *(f"{key}: {_option(option)}" for key, option in stream.options.items()),
                ))))
                for stream in spec.streams.values()
            ]
        )  # fmt: skip
    parts.append(".SH SEE ALSO\n.BR syncd (1)")
    return "\n".join(parts) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {"syncd.1": commands, "syncd-config.5": configuration}


def text(words: str) -> str:
    """Write words as roff does: no line of them is taken for a request."""
    escaped = " ".join(words.split()).replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    escaped = "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in escaped)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _head(title: str, section: int, name: str, summary: str) -> list[str]:
    return [
        '.\\" Written by python -m tests.papers.man_pages. Do not edit.',
        f'.TH {title} {section} "" syncd "syncd manual"',
        f".SH NAME\n{name} \\- {text(summary)}",
    ]


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    yield f'.SS "{text(" ".join([name, *command.collect_usage_pieces(context)]))}"'
    yield from _paragraphs(command.help or "")
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden:
            metavar = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
            yield from _tagged([(", ".join([*option.opts, *option.secondary_opts]) + metavar, option.help or "")])
    if isinstance(command, Command) and command.examples:
        yield ".P\nExamples:"
        yield from _tagged(command.examples)


def _lists(lists: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[str]:
    yield ".SH SELECTORS"
    yield from _tagged(lists["Selectors"])
    yield ".SH EXIT STATUS"
    yield from _tagged(lists["Exit codes"])


def _tagged(rows: Sequence[tuple[str, str]], text_of: Callable[[str], str] = text) -> list[str]:
    return [f".TP\n.B {text(word)}\n{text_of(says) or chr(92) + '&'}" for word, says in rows]


def _keys(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    return _tagged([(f"{key} = {value}", says) for key, value, says in rows])


def _paragraphs(words: str) -> Iterator[str]:
    for part in words.replace("\b", "").split("\n\n"):
        if part.startswith("|"):
            rows = [line.strip("|").split("|") for line in part.splitlines()[2:]]
            yield from _tagged([(_plain(form.strip()), _plain(says)) for form, says in rows])
        elif not part.startswith(("#", "This page is written")):
            yield f".P\n{text(_plain(part))}"


def _plain(words: str) -> str:
    """Take the marks of Markdown away."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words).replace("`", "").replace("*", "")


def _option(option: object) -> str:
    [(_, kind, default, says)] = config_page._options([("", option)])  # type: ignore[list-item]
    return _plain(f"{says} ({kind}) [{default}]")


if __name__ == "__main__":
    for name, page in PAGES.items():
        if "--check" not in sys.argv:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(page())
        elif (FOLDER / name).read_text() != page():
            sys.exit(f"deploy/man/{name} is not current: python -m tests.papers.man_pages")

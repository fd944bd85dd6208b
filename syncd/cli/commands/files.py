"""`syncd files`: lists, shows and writes the files that syncd brings along for other programs."""

from collections.abc import Sequence
from pathlib import Path

import click

from syncd.cli import carried, console
from syncd.cli.options import config_option_with, group, json_option
from syncd.cli.output import OutputFailed
from syncd.errors import UsageError

_unused_config = config_option_with("Accepted, and not used: these files are the same for every configuration.",
                                    expose_value=False, hidden=False)  # fmt: skip
MODE = 0o644


@group(
    examples=[
        ("syncd files list", "what there is, and whether the copy on this machine is of this version"),
        ("syncd files show roles.sql | sudo -u postgres psql", "roles and database on your own server"),
        ("sudo syncd files write syncd.service sysusers.conf tmpfiles.conf --install", "the service of systemd"),
    ],
)
def files() -> None:
    """List, show or write the files that syncd brings: unit, roles, alerts, dashboard and others."""


@files.command(
    "list",
    examples=[
        ("syncd files list", ""),
        ("syncd files list | grep 'another version'", "after an upgrade: what to write anew"),
    ],
)
@_unused_config
@json_option
def files_list(as_json: bool) -> int:
    """List every file, what it is for, where it goes, and how the copy there stands.

    current: as this version has it; another version: written by another syncd; changed: somebody edited it.
    """
    rows = [
        {"name": one.name, "purpose": one.purpose, "place": one.place or None, "state": one.state}
        for one in carried.FILES
    ]
    if as_json:
        console.print_json(rows)
        return 0
    columns = ["name", "for", "goes to", "there"]
    table = [(one.name, one.purpose, one.place, "" if one.state == "elsewhere" else one.state) for one in carried.FILES]
    console.print_table("", columns, table)
    return 0


@files.command(
    "show",
    examples=[
        ("syncd files show grafana-dashboard.json > dashboard.json", ""),
        ("syncd files show syncd.service --program ~/.local/bin/syncd", "the unit for a program elsewhere"),
    ],
)
@click.argument("name")
@click.option("--program", metavar="PATH", help="The program that the unit starts.  [default: that of install.md]")
@_unused_config
def files_show(name: str, program: str | None) -> int:
    """Print one file, stamped with the version."""
    click.echo(_text(carried.find(name), program), nl=False)
    return 0


@files.command(
    "write",
    examples=[
        ("syncd files write --to deploy", "all of them, into a folder"),
        ("syncd files write roles.sql prometheus-alerts.yaml", "two of them, into this folder"),
        ("sudo syncd files write syncd.service --install --force", "where systemd looks for it, after an upgrade"),
    ],
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--to", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Into this folder.  [default: .]")
@click.option("--install", is_flag=True, help="To the place where each belongs, as `syncd files list` shows it.")
@click.option("--force", is_flag=True, help="Replace a file that differs.")
@click.option("--program", metavar="PATH", help="The program that the unit starts.  [default: that of install.md]")
@_unused_config
def files_write(names: tuple[str, ...], folder: Path | None, install: bool, force: bool, program: str | None) -> int:
    """Write files, stamped with the version; without a name, all of them.

    A file that is there and differs is left alone, unless --force is given; nothing is written then.
    """
    if install and folder is not None:
        raise UsageError("--install and --to say two places", hint="Give one of them.")
    chosen = [carried.find(name) for name in names] or list(carried.FILES)
    if install and not names:
        chosen = [one for one in chosen if one.place]
    if homeless := [one.name for one in chosen if install and not one.place]:
        raise UsageError(f"{', '.join(homeless)} has no place of its own", hint="Give --to DIR.")
    places = [(one, Path(one.place) if install else (folder or Path()) / one.name) for one in chosen]
    texts = [(path, _text(one, program)) for one, path in places]
    if not force:
        _refuse_changed(texts)
    for path, text in texts:
        _write(path, text)
    return 0


def _text(one: carried.Carried, program: str | None) -> str:
    if program is None or one.name != "syncd.service":
        return one.text
    return carried.with_program(one.text, str(Path(program).expanduser().absolute()))


def _refuse_changed(texts: Sequence[tuple[Path, str]]) -> None:
    different = [str(path) for path, text in texts if path.exists() and _read(path) != text]
    if different:
        raise UsageError(
            f"{', '.join(different)} is there and differs", hint="Look at it, then give --force; or another --to DIR."
        )


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: Path, text: str) -> None:
    """Write one file whole or not at all."""
    spare = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        spare.write_text(text, "utf-8")
        spare.chmod(MODE)
        spare.replace(path)
    except OSError as error:
        raise OutputFailed(
            f"{path} cannot be written: {error.strerror}", hint="Name another folder with --to."
        ) from None
    console.say(f"wrote {path}")

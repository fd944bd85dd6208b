"""`syncd new-source`: writes the beginnings of a plugin, which work at once."""

import keyword
from importlib import resources
from pathlib import Path
from typing import Final

import click

from syncd.cli import console
from syncd.cli.options import command, config_option_with
from syncd.errors import UsageError

MODEL: Final = "sample"
"""The type for which the templates are written; its name is replaced wherever it stands."""
SUFFIX: Final = ".tmpl"
PACKAGE: Final = "package"
"""The folder of the templates that becomes the plugin's package."""


@command(
    "new-source",
    examples=[
        ("syncd new-source lightspeed", "writes syncd-lightspeed/"),
        ("cd syncd-lightspeed && pip install -e '.[dev]' && pytest", "all green; then make it your API"),
    ],
)
@click.argument("name")
@config_option_with("", expose_value=False, hidden=True)
def new_source(name: str) -> int:
    """Write the beginnings of a plugin: a source of your own.

    NAME becomes the type of the source and its schema. One folder is written into the current directory: a source with
    one stream, its migration, its simulated API, its tests and its page. The guide is docs/add-an-api.md.
    """
    from syncd.sources import registry
    from syncd.sources.entry_points import TAKEN, TYPE

    if not TYPE.fullmatch(name) or name in TAKEN or name.startswith("pg_") or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot be the name of a source type",
            hint="It is the name of a schema: at most 24 small letters, digits and _, and none of syncd's own.",
        )
    if name in registry() or name == PACKAGE:
        raise UsageError(f"there is a source type {name} already", hint="Choose another name.")
    folder = Path(f"syncd-{name}")
    if folder.exists():
        raise UsageError(f"{folder}/ is there already", hint="Move it away, or choose another name.")
    written = write(folder, name)
    for path in written:
        console.say(str(path))
    console.say(f"next: cd {folder} && pip install -e '.[dev]' && pytest")
    return 0


def write(folder: Path, name: str) -> list[Path]:
    """Write the files of a plugin of this type into a folder, and return their paths."""
    root = Path(str(resources.files("syncd.cli") / "scaffold"))
    written = []
    for template in sorted(root.rglob(f"*{SUFFIX}")):
        place = template.relative_to(root).as_posix().removesuffix(SUFFIX)
        place = place.replace(f"{PACKAGE}/", f"syncd_{MODEL}/", 1)
        target = folder / _named(place, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_named(template.read_text("utf-8"), name), "utf-8")
        written.append(target)
    return written


def _named(text: str, name: str) -> str:
    """Replace the model's name, as it is written and as a class is called."""
    words = name.replace("_", " ").title()
    text = text.replace("class Sample", f"class {words.replace(' ', '')}").replace(
        "return Sample(", f"return {words.replace(' ', '')}("
    )
    return text.replace("SAMPLE", name.upper()).replace("Sample", words).replace(MODEL, name)

"""`syncd config`: prints the configuration as syncd reads it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.options import config_option, group, json_option
from syncd.config import RowsReader, Shown
from syncd.errors import SyncdError

VALUE_CHARS = 44
"""Columns of key and value before the mark of a default."""


@group(
    examples=[
        ("syncd config show", "every key with its value; defaults are marked"),
        ("syncd config show --json | jq '.[] | select(.default | not)'", "what the file says, for a script"),
    ],
)
def config() -> None:
    """Show the configuration as syncd reads it, without its secrets."""


@config.command(
    "show",
    examples=[
        ("syncd config show", "the file that is found: --config, $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml"),
        ("syncd config show | grep -v '# default$'", "only what the file says"),
    ],
)
@config_option
@json_option
def config_show(config_path: Path | None, as_json: bool) -> int:
    """Show every key with its value, as TOML; defaults are marked.

    A source that stands in another file, or came from the query of [sources_from], is followed by its origin.

    A secret is shown by its place ({ env = "NAME" }), or as ***. None of them is read. A wrong file is refused with all
    its problems, as by syncd check.
    """
    from syncd.service import accounts
    from syncd.sources import refused, specs

    settings, keys = configuration.read_shown(config_path, specs(), refused=refused())
    failure: SyncdError | None = None
    if settings.sources_from:
        try:
            reader = RowsReader(settings, specs(), refused=refused(), resolve_secrets=False, notes_keys=True)
            accounts.ask(settings, reader.take)
            settings = reader.config()
            keys += reader.shown()
        except SyncdError as error:
            failure = error
    if as_json:
        console.print_json(
            [
                {"key": one.name, "value": one.value, "default": one.is_default, "secret": one.is_secret,
                 "origin": one.origin or str(settings.path)}
                for one in keys
            ]
        )  # fmt: skip
    else:
        console.say("\n".join(lines(settings.path, keys)))
    if failure:
        raise failure
    return 0


def lines(path: Path, keys: Sequence[Shown]) -> Iterator[str]:
    """Write the whole configuration as TOML; what has no value is commented out."""
    yield f"# {path.absolute()}, as syncd reads it"
    for table, rows in groupby(sorted(keys, key=lambda one: one.table), key=lambda one: one.table):
        found = list(rows)
        if table:  # keys of the root stand before the first table
            yield f"\n[{'.'.join(table)}]" + (f"  # {found[0].origin}" if found[0].origin else "")
        for one in found:
            said = f"{one.key} = {one.toml}" if one.value is not None else f"# {one.key} is not set"
            yield f"{said:<{VALUE_CHARS}} # default" if one.is_default and one.value is not None else said

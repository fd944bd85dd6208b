"""What the shell proposes while a command is typed. A configuration that cannot be read proposes nothing."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.config import SourceSpec


def selectors(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Propose sources and streams of the configuration."""
    words = []
    for name, spec in _sources(ctx):
        words += [name, *(f"{name}.{stream}" for stream in (spec.streams if spec else ()))]
    return _begun(words, typed)


def callback_sources(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Propose the sources that know callbacks."""
    return _begun([name for name, spec in _sources(ctx) if spec and "callbacks" in spec.options], typed)


def _sources(ctx: click.Context) -> Iterator[tuple[str, "SourceSpec | None"]]:
    """Yield each source of the configuration, with what its type accepts if that is known."""
    from syncd import config as configuration
    from syncd.config.toml import read_toml
    from syncd.sources import specs

    try:
        path = configuration.find(ctx.params.get("config_path"), os.environ, Path.cwd())
        sources = read_toml(path).get("sources")
    except SyncdError:
        return
    known = specs()
    for name, table in sources.items() if isinstance(sources, dict) else ():
        yield name, known.get(str(table.get("type"))) if isinstance(table, dict) else None


def types(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Propose the types of sources."""
    from syncd.sources import specs

    return _begun(specs(), typed)


def faults(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Propose the faults of the sandbox."""
    from syncd.sandbox import FAULTS

    return _begun(FAULTS, typed)


def reports(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Propose the cookbook's questions, and those of plugins."""
    from syncd.sources import reports

    return _begun(reports().questions, typed)


def _begun(words: Iterable[str], typed: str) -> list[str]:
    return [word for word in words if word.startswith(typed)]

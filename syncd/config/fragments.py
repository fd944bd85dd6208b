"""Files that hold nothing but accounts, named by `include`: which there are, and where a key stands in one.

Each is read with its own surroundings: relative paths count from its directory, and complaints name it with the line.
"""

import glob
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from syncd.config.toml import Reading, TomlTable, list_of, read_toml, text
from syncd.errors import ConfigError


def read_fragments(root: TomlTable, main: Path) -> tuple[list[TomlTable], tuple[Path, ...]]:
    """Return the tables `[sources]` of the included files, and the files, both in the order of their paths.

    The main file is not read a second time where a pattern meets it.
    """
    nothing: tuple[str, ...] = ()
    patterns = root.take("include", _patterns, nothing)
    paths = [path for path in _included(root, patterns) if path != main.absolute()]
    tables = [table for path in paths if (table := _read(root.reading, path, main))]
    return tables, tuple(paths)


def _patterns(value: object) -> tuple[str, ...]:
    return list_of(text)(value if isinstance(value, list) else [value])


def _included(root: TomlTable, patterns: tuple[str, ...]) -> list[Path]:
    """Return the files that match, each once; note each pattern that none matches: a directory may not be mounted."""
    paths: set[Path] = set()
    for pattern in patterns:
        whole = root.reading.path(pattern)
        matching = [Path(name) for name in glob.glob(str(whole), recursive=True)]  # noqa: PTH207  it may be absolute
        if not matching:
            root.note(("include",), f"{pattern} matches no file; looked at {whole}")
        paths.update(matching)
    return sorted(paths)


def _read(main: Reading, path: Path, main_path: Path) -> TomlTable | None:
    reading = replace(main, folder=path.parent, origin=str(path), locate=partial(_located, path))
    try:
        document = read_toml(path)
    except ConfigError as error:
        main.problems.append(str(error))
        return None
    fragment = TomlTable(reading, (), document)
    for key in document:
        if key != "sources":
            fragment.refuse(key, f"a file of accounts holds [sources.NAME] and nothing else; move this to {main_path}")
    return fragment.table("sources")


def _located(path: Path, key: tuple[str, ...]) -> str:
    """Return file and line of a key, to begin a complaint with; only the file where the line is not found."""
    try:
        line = line_of(path.read_text(encoding="utf-8-sig"), key)
    except (OSError, ValueError):
        line = None
    return f"{path}, line {line}: " if line else f"{path}: "


def line_of(document: str, key: tuple[str, ...]) -> int | None:
    """Return the number of the line of a key, or of the nearest table around it; None if there is none.

    It reads lines and no TOML: a text of several lines that looks like TOML may mislead it.
    """
    best, best_depth = None, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(document.splitlines(), 1):
        if head := re.match(r"\s*\[+([^\[\]]+)\]", line):
            here = table = _parts(head[1])
        elif given := re.match(r"""\s*((?:[\w.\s-]|"[^"]*"|'[^']*')+?)\s*=""", line):
            here = (*table, *_parts(given[1]))
        else:
            continue
        if key[: len(here)] == here and len(here) > best_depth:
            best, best_depth = number, len(here)
    return best


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \t\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^.\s]+""", dotted))

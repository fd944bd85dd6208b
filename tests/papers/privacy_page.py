"""Writes the part of docs/privacy.md that the definitions of the tables say: `python -m tests.papers.privacy_page`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from syncd.contract import Stream, Table
from syncd.sources import registry

PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"
_PART = re.compile(r"(<!-- from here [^\n]*-->\n).*?(<!-- up to here -->\n)", re.DOTALL)


def page(text: str) -> str:
    """Return the page with its table made anew."""
    table = "".join(f"| {' | '.join(line)} |\n" for line in _lines())
    head = "| table | a person for each row | columns that are personal | refers to |\n|---|---|---|---|\n"
    return _PART.sub(lambda found: f"{found[1]}\n{head}{table}\n{_without()}\n\n{found[2]}", text)


def _lines() -> Iterator[tuple[str, str, str, str]]:
    for stream, table in _tables():
        if table.personal:
            person = (
                f"yes, by `{table.key[0]}`" if table.person else "no" if stream.table is table else "with its parent"
            )
            refers = ", ".join(f"`{column}`: {stream}" for column, stream in table.refers.items())
            yield f"`{table.schema}.{table.name}`", person, ", ".join(f"`{name}`" for name in table.personal), refers


def _without() -> str:
    names = [f"`{table.schema}.{table.name}`" for _, table in _tables() if not table.personal]
    return f"Without personal columns: {', '.join(names)}."


def _tables() -> Iterator[tuple[Stream, Table]]:
    for source in registry().values():
        for stream in source.streams:
            yield stream, stream.table
            yield from ((stream, child.table) for child in stream.table.children)


if __name__ == "__main__":
    made = page(PAGE.read_text())
    if "--check" not in sys.argv:
        PAGE.write_text(made)
    elif PAGE.read_text() != made:
        sys.exit("docs/privacy.md is not current: python -m tests.papers.privacy_page")

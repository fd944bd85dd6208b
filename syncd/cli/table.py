"""Tables as text, for a pipe: as rich draws them, but without the time that it takes to import rich."""

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

_GAP: Final = "  "
_NARROW: Final = frozenset({"N", "Na", "H", "A"})
"""Widths of signs, by Unicode, that take one column."""
_NO_COLUMN: Final = frozenset({"Mn", "Me", "Cf", "Cc", "Cs"})
"""Categories of signs that take none, or do something else."""


def is_simple(text: str) -> bool:
    """Say whether every sign of a text takes one column, but for ends of lines."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return True
    return all(
        unicodedata.east_asian_width(sign) in _NARROW and unicodedata.category(sign) not in _NO_COLUMN
        for sign in text
        if sign != "\n"
    )


def drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str | None:
    """Return a table as text; None if a text in it is not simple, or the title is longer than the table.

    `numeric` says which columns stand to the right.
    """
    if not all(map(is_simple, (title, *columns, *(cell for row in rows for cell in row)))):
        return None
    split = [[cell.split("\n") for cell in row] for row in (columns, *rows)]
    widths = [max(len(line) for row in split for line in row[at]) for at in range(len(columns))]
    whole = sum(widths) + len(_GAP) * (len(widths) - 1)
    if len(title) > whole + 2 or "\n" in title:
        return None

    def lines(row: Sequence[Sequence[str]]) -> list[str]:
        return [f" {_GAP.join(map(_placed, line, widths, numeric))} " for line in zip_longest(*row, fillvalue="")]

    blank = " " * (whole + 2)
    drawn = [title.ljust(whole + 2)] if title else []
    drawn += [blank, *lines(split[0]), f" {'─' * whole} ", *(line for row in split[1:] for line in lines(row)), blank]
    return "\n".join(drawn) + "\n"


def _placed(text: str, width: int, is_numeric: bool) -> str:
    return text.rjust(width) if is_numeric else text.ljust(width)


def width_of(text: str) -> int:
    """Return how many columns a drawn table takes."""
    return len(text.partition("\n")[0])

"""What becomes of a record: a Row, or a Reject; and a Note of each sign of drift met on the way. Types only."""

from collections.abc import Sequence
from itertools import accumulate, chain, compress, repeat
from typing import Any, Literal, NamedTuple

Key = tuple[Any, ...]
"""The values of a table's key columns, without `source`."""

KEY_CHARS = 600
"""Longest text of a key: a btree entry holds at most 2,704 bytes, and a key has at most two texts of 4-byte signs."""


class Note(NamedTuple):
    """One sign of drift: `field` (dotted upstream name) appeared, vanished or changed type; `sample` is masked."""

    field: str
    change: Literal["appeared", "vanished", "type_changed"]
    sample: str = ""


class Row(NamedTuple):
    """One record as a row: `values` in the order of the table's columns, `extra` as JSON text or None.

    `absent` names the columns whose field was missing although the vendor does not declare it optional: they keep
    their stored values. `children` has one entry per child table, None where the array itself was absent.
    """

    key: Key
    values: tuple[Any, ...]
    extra: str | None = None
    absent: frozenset[str] = frozenset()
    children: tuple["list[Row] | None", ...] = ()
    notes: Sequence[Note] = ()


class Columns(NamedTuple):
    """Rows of a table, read together and kept as columns: `values` holds one sequence per column of the table.

    Instants are as PostgreSQL counts them. `children` has one entry per child table: the rows of all parents, one
    parent after the other, and how many each parent has. `extras` holds each row's `_extra`, or nothing if no row has
    one; `notes` the signs of drift with the place of the row, those of child rows among their parent's. Missing fields
    and arrays are null and empty: such rows must be new to the mirror, where nothing is stored that they would have to
    keep.
    """

    values: Sequence[Sequence[Any]]
    children: Sequence[tuple["Columns", Sequence[int]]] = ()
    extras: Sequence[str | None] = ()
    notes: Sequence[tuple[int, Note]] = ()

    def kept(self, keep: Sequence[bool]) -> "Columns":
        """Return the rows that are to be kept, with their child rows."""
        children = [
            (rows.kept(list(chain.from_iterable(map(repeat, keep, counts)))), list(compress(counts, keep)))
            for rows, counts in self.children
        ]
        places = [place - 1 for place in accumulate(keep)]
        return Columns(
            [list(compress(column, keep)) for column in self.values],
            children,
            list(compress(self.extras, keep)),
            [(places[at], note) for at, note in self.notes if keep[at]],
        )


class Reject(NamedTuple):
    """A record that could not become a row: why, and the record as sent (secrets digested) as JSON text."""

    reason: str
    record: str

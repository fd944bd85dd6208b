"""How a stream's rows look: tables, columns, child tables and indexes. Values only."""

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final, Literal

from syncd.frozen import dataclass


class Kind(StrEnum):
    """The type of a column, by its name in PostgreSQL; SHA256 is text that holds only the digest of a secret."""

    TEXT = "text"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamptz"
    UUID = "uuid"
    JSON = "jsonb"
    SHA256 = "sha256"


TEXT: Final = Kind.TEXT
BIGINT: Final = Kind.BIGINT
NUMERIC: Final = Kind.NUMERIC
BOOLEAN: Final = Kind.BOOLEAN
DATE: Final = Kind.DATE
TIMESTAMP: Final = Kind.TIMESTAMP
UUID: Final = Kind.UUID
JSON: Final = Kind.JSON
SHA256: Final = Kind.SHA256

ALIVE = "_deleted_at IS NULL"
"""Rows that are no tombstones."""

EMAIL = "lower(NULLIF(btrim(email), ''))"
"""An e-mail address as the views of schema reporting compare it."""


def month_of(column: str) -> str:
    """Return the expression of the month in which an instant lies, as the views of schema reporting have it."""
    return f"((date_trunc('month', {column} AT TIME ZONE 'Europe/Amsterdam'))::date)"


def snake(name: str) -> str:
    """Return an upstream's camelCase name as a column name: co2EmissionCombined → co2_emission_combined, ID → id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass(frozen=True, kw_only=True)
class Column:
    """One typed column and where its value stands in a record.

    `path` leads from the record to the value: names of objects, or a number for a place in an array of fixed length.
    `optional` is True where the vendor's page declares that the field may be absent: only then does a missing field
    erase a stored value. `bare` is True where the value may also come alone instead of in the object that holds it; it
    is then read into this column, and kept as sent in `_extra` too. `after` names a column with the same path: this one
    takes the values that do not fit that one. `blank` is True for a column of a key in which an empty text is a value.
    """

    name: str
    path: tuple[str | int, ...]
    kind: Kind
    comment: str
    optional: bool = False
    bare: bool = False
    after: str | None = None
    blank: bool = False


def column(
    name: str,
    kind: Kind,
    comment: str,
    *path: str | int,
    optional: bool = False,
    bare: bool = False,
    after: str | None = None,
    blank: bool = False,
) -> Column:
    """Make a column; without a path its value is the field of the same name."""
    path = path or (name,)
    return Column(
        name=name, kind=kind, comment=comment, path=path, optional=optional, bare=bare, after=after, blank=blank
    )


def camel_column(name: str, kind: Kind, comment: str) -> Column:
    """Make the column of an upstream's camelCase field, named in snake_case."""
    return column(snake(name), kind, comment, name)


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index beside the key, for questions that would read a large table from end to end (tests/plans.py).

    `on` holds columns or expressions, `where` the rows that it holds, both as PostgreSQL writes them. A text belongs in
    a hash only: one that is too long for a btree would keep its row out.
    """

    name: str
    on: tuple[str, ...]
    where: str | None = ALIVE
    using: Literal["btree", "brin", "hash"] = "btree"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the mirror: its key (without `source`, which always comes first), typed columns and child tables.

    `columns` holds the key columns too, in the order of the table. `deleted` names the boolean column by which the
    upstream itself flags a deleted record; such a row is a tombstone for as long as the column is `deleted_if`.
    `newest_by` names a numeric column for records that do not come in the order of their changes: one whose number is
    smaller than the stored one, or missing, is older and not written.

    personal   columns that hold what is said of a person, or may (free text)
    person     True if each row is a person, whose one key column `syncd forget` takes
    refers     by column, the stream of the same source whose person it names: of a forgotten one, such a row keeps
               neither that column nor its personal ones, nor any field without a column
    needed     columns on which sweeps and other streams rest: they can be neither left out nor hashed

    The last four say nothing of how a record becomes a row.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    comment: str
    deleted: str | None = None
    deleted_if: bool = True
    children: tuple["Child", ...] = ()
    indexes: tuple[Index, ...] = ()
    newest_by: str | None = None
    personal: tuple[str, ...] = field(default=(), repr=False)
    person: bool = field(default=False, repr=False)
    refers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    needed: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child table, filled from the array `field` of each parent record; its rows live and die with the parent.

    `path` leads to the array where it stands within objects of the record; `field` is then its last step, by which the
    configuration names it. `optional` is True where the vendor's page declares that the array may be absent: only then
    has a record without it no child rows, else those that are stored stay.

    The child's key is the parent's key followed by its own: the leading columns of `table.key` bear the names of the
    parent's key columns and take the parent's values, whatever the element itself says.
    """

    field: str
    table: Table
    path: tuple[str, ...] = ()
    optional: bool = False

    @property
    def at(self) -> tuple[str, ...]:
        """Where the array stands in a record."""
        return self.path or (self.field,)

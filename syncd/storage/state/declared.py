"""What a table of schema `syncd` is declared of: columns, indexes, constraints, as PostgreSQL spells its types.

Plain values: `syncd check` compares them with the database, and `syncd.storage.mirror.tables` makes SQLAlchemy's
metadata of them, which costs a command far more.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

TEXT: Final = "text"
NUMBER: Final = "bigint"
INSTANT: Final = "timestamp with time zone"
JSON: Final = "jsonb"
BYTES: Final = "bytea"
FLOAT: Final = "double precision"
BOOLEAN: Final = "boolean"
DATE: Final = "date"
UUID: Final = "uuid"
TEXTS: Final = "text[]"
NUMBERS: Final = "bigint[]"
INTEGERS: Final = "integer[]"


class StateColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column; `is_numbered`: PostgreSQL numbers the rows; `is_counter`: it begins with 0."""

    name: str
    type: str
    comment: str
    is_key: bool = False
    is_required: bool = True
    is_numbered: bool = False
    is_counter: bool = False


class StateIndex(msgspec.Struct, frozen=True, kw_only=True):
    """An index beside the key; `on` holds columns or expressions, `where` the rows that it holds."""

    name: str
    on: tuple[str, ...]
    where: str | None = None
    is_unique: bool = False


class StateTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table; `unique` and `checks` are constraints by name."""

    name: str
    comment: str
    columns: tuple[StateColumn, ...]
    indexes: tuple[StateIndex, ...] = ()
    unique: Mapping[str, tuple[str, ...]] = {}
    checks: Mapping[str, str] = {}


def key(name: str, kind: str, comment: str) -> StateColumn:
    """Make a column of the primary key."""
    return StateColumn(name=name, type=kind, comment=comment, is_key=True)


def numbered(name: str, comment: str) -> StateColumn:
    """Make a primary key that PostgreSQL numbers."""
    return StateColumn(name=name, type=NUMBER, comment=comment, is_key=True, is_numbered=True)


def required(name: str, kind: str, comment: str) -> StateColumn:
    """Make a column that is never null."""
    return StateColumn(name=name, type=kind, comment=comment)


def optional(name: str, kind: str, comment: str) -> StateColumn:
    """Make a column that may be null."""
    return StateColumn(name=name, type=kind, comment=comment, is_required=False)


def counter(name: str, comment: str, kind: str = NUMBER) -> StateColumn:
    """Make a column that is never null and begins with 0."""
    return StateColumn(name=name, type=kind, comment=comment, is_counter=True)

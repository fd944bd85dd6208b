"""The recipe of a table: 16 bytes that change whenever the same record would give another row.

Every stored fingerprint is made of a recipe and a record. After a change of the recipe, each row of the mirror is read
and compared anew. So the recipe is made of nothing but what decides how a record becomes a row: a comment, an index or
what is personal changes no recipe.

Until 0.1.0 a recipe was made of `repr(table)`. A table that still turns records into rows as it did then keeps that
recipe, so that its fingerprints stay valid: `recipes_0_1_0.json` holds the text of each table as it was, and the digest
of its description. That file is frozen. A table that is described otherwise today has a recipe of VERSION.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from syncd.contract import Child, Column, Table

VERSION: Final = 4
"""To be raised when the parser itself turns the same record into another row."""

_SIZE: Final = 16  # bytes; what blake2b takes as `person`
_FROZEN: Final = "recipes_0_1_0.json"


class _Frozen(msgspec.Struct, frozen=True):
    """A table of 0.1.0: the digest of its description in hexadecimal, and its `repr` at that time."""

    description: str
    text: str


def recipe(table: Table, zone: ZoneInfo) -> bytes:
    """Return the recipe of a table whose zone-less times are read in `zone`."""
    described = description(table)
    old = _frozen().get(f"{table.schema}.{table.name}")
    if old and old.description == description_digest(table):
        return _digest(f"1 {zone.key} {old.text}".encode())
    return _digest(f"{VERSION} {zone.key} ".encode() + described)


def description(table: Table) -> bytes:
    """Return as JSON all that decides how a record becomes a row, and nothing else.

    A member that has its default is left out, so that a new kind of rule changes no table that does not use it.
    """
    return msgspec.json.encode(_described(table))


def description_digest(table: Table) -> str:
    """Return the digest of a description, as the frozen file has it."""
    return _digest(description(table)).hex()


def _described(table: Table) -> dict[str, Any]:
    described: dict[str, Any] = {"key": table.key, "columns": [_column(column) for column in table.columns]}
    if table.deleted:
        described["deleted"] = table.deleted
        described |= {} if table.deleted_if else {"deleted_if": False}
    if table.children:
        described["children"] = [
            {"field": child.field, **_rules(child), **_described(child.table)} for child in table.children
        ]
    return described


def _rules(child: Child) -> dict[str, Any]:
    rules = {"path": child.path, "optional": child.optional}
    return {name: rule for name, rule in rules.items() if rule}


def _column(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column.name, "path": column.path, "kind": column.kind}
    rules = {"optional": column.optional, "bare": column.bare, "after": column.after, "blank": column.blank}
    return described | {name: rule for name, rule in rules.items() if rule}


@cache
def _frozen() -> dict[str, _Frozen]:
    return msgspec.json.decode(Path(__file__).with_name(_FROZEN).read_bytes(), type=dict[str, _Frozen])


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=_SIZE).digest()

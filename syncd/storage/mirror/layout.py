"""A table of the mirror as SQL sees it: quoted names, types, keys as parameters. No I/O and no statement."""

from collections.abc import Collection, Mapping
from typing import Any

from syncd.contract import Kind, Table
from syncd.frozen import dataclass
from syncd.records.rows import Key, Row

_SQL_TYPE = {kind: "text" if kind is Kind.SHA256 else str(kind) for kind in Kind}


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


SPARSE = 4
"""Numbers that leave out more of their range than this are looked up one by one; our choice."""


def are_close(first: int, last: int, count: int) -> bool:
    """Say whether so many numbers in ascending order lie so close together that they are best read as one range."""
    return 0 <= last - first < SPARSE * count


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """One table of the mirror: its quoted `name`, its columns in the order of a row's values, and their types.

    `flag_at` is the place among the columns of the flag by which the upstream says that a record is deleted.
    """

    table: Table
    name: str
    columns: tuple[str, ...]
    types: Mapping[str, str]
    flag_at: int | None
    json_columns: frozenset[str]

    @property
    def plain_name(self) -> str:
        """The name as people write it: `schema.table`."""
        return f"{self.table.schema}.{self.table.name}"

    @property
    def has_number(self) -> bool:
        """Whether the key is a single number."""
        return [self.types[key] for key in self.table.key] == ["bigint"]

    @property
    def key_names(self) -> str:
        """The columns of the key, as a list in SQL."""
        return ", ".join(map(quoted, self.table.key))

    @property
    def own_key(self) -> str:
        """The columns of the key of table `t`, as a list in SQL."""
        return ", ".join(f"t.{quoted(key)}" for key in self.table.key)

    @property
    def joined(self) -> str:
        """The condition that a row of table `t` has the key of a row of `k`."""
        return " AND ".join(f"t.{quoted(key)} = k.{quoted(key)}" for key in self.table.key)

    @property
    def key_hash(self) -> str:
        """The expression for the hash of the key of table `t`, as `syncd.seen` stores it."""
        return f"hashtextextended(concat_ws(E'\\x1f', {self.own_key}), 0)"

    def key_hashes(self, first: int) -> str:
        """Return a SELECT of the hashes of keys, which are parameters from `$first` on."""
        return f"SELECT {self.key_hash} FROM unnest({self.arrays(first)}) AS t({self.key_names})"

    def arrays(self, first: int) -> str:
        """Return the parameters of a statement that take keys, one array per key column, from `$first` on."""
        return ", ".join(f"${place}::{self.types[key]}[]" for place, key in enumerate(self.table.key, first))

    def key_columns(self, keys: Collection[Key]) -> list[list[Any]]:
        """Return keys as one list per key column, as statements take them."""
        return list(map(list, zip(*keys, strict=True))) if keys else [[] for _ in self.table.key]

    def gone(self, row: Row) -> bool:
        """Say whether the upstream itself flags the row as deleted."""
        return self.flag_at is not None and self.is_flagged(row.values[self.flag_at])

    def is_flagged(self, flag: Any) -> bool:
        """Say whether this value of the flag means that the record is deleted; a missing one does not."""
        return flag is self.table.deleted_if


def layout_of(table: Table) -> TableLayout:
    """Return the layout of a table."""
    columns = tuple(column.name for column in table.columns)
    return TableLayout(
        table=table,
        name=f"{quoted(table.schema)}.{quoted(table.name)}",
        columns=columns,
        types={column.name: _SQL_TYPE[column.kind] for column in table.columns},
        flag_at=columns.index(table.deleted) if table.deleted else None,
        json_columns=frozenset(column.name for column in table.columns if column.kind is Kind.JSON),
    )

"""Where the rows of a stream go: a table of the mirror with its parser and the text of its statements. No I/O."""

from collections.abc import Collection, Sequence
from typing import Any

from syncd.contract import Kind, Scope, Table
from syncd.records.parser import Parser
from syncd.records.privacy import Guard
from syncd.records.rows import Key, Row
from syncd.storage.mirror.history import Kept, Recorder, quoted

KEEPS_NOTHING = Kept()
_SQL_TYPE = {kind: "text" if kind is Kind.SHA256 else str(kind) for kind in Kind}
NOT_SEEN_SINCE = "(t._changed_at <= {0} OR t._changed_at > {0} + interval '7 days')"
"""A row that changed a week after a listing began was written by a clock that was wrong: no listing takes so long."""


class Target:
    """One table of the mirror with its parser, its statements and its child tables; made once per source."""

    def __init__(
        self,
        table: Table,
        parser: Parser,
        children: Sequence["Target"] = (),
        kept: Kept = KEEPS_NOTHING,
        guard: Guard | None = None,
    ) -> None:
        self.table = table
        self.parser = parser
        self.guard = guard
        self.children = tuple(children)
        self.name = f"{quoted(table.schema)}.{quoted(table.name)}"
        self.columns = parser.names
        self.deleted_at = self.columns.index(table.deleted) if table.deleted else None
        self.json_columns = frozenset(column.name for column in table.columns if column.kind is Kind.JSON)
        self._types = {column.name: _SQL_TYPE[column.kind] for column in table.columns}
        self.recorder = Recorder(table, kept, self._types)
        keys = table.key
        names = ", ".join(map(quoted, keys))
        own = ", ".join(f"t.{quoted(key)}" for key in keys)
        whole = ", ".join(f"t.{quoted(column)}" for column in self.columns)
        joined = " AND ".join(f"t.{quoted(key)} = k.{quoted(key)}" for key in keys)
        if len(keys) == 1:
            where = f"FROM {self.name} t WHERE t.source = $1 AND t.{quoted(keys[0])} = ANY({self.arrays(2)})"
        else:
            where = f"FROM unnest({self.arrays(2)}) AS k({names}) JOIN {self.name} t ON t.source = $1 AND {joined}"
        self.key_hash = f"hashtextextended(concat_ws(E'\\x1f', {own}), 0)"
        self.key_hashes = f"SELECT {self.key_hash} FROM unnest({self.arrays(4)}) AS t({names})"
        self.copy_columns = ["source", *self.columns, "_first_seen_at", "_changed_at", "_deleted_at", "_extra", "_hash"]
        self.select_rows = f"SELECT {whole}, t._extra {where}"
        self.select_whole = f"SELECT t.* {where}"
        self.select_differing = (
            f"SELECT k._place, t._changed_at FROM unnest({self.arrays(2)}, ${len(keys) + 2}::bytea[])"
            f" WITH ORDINALITY AS k({names}, _hash, _place) LEFT JOIN {self.name} t ON t.source = $1 AND {joined}"
            " WHERE t._hash IS DISTINCT FROM k._hash ORDER BY k._place"
        )
        parents = f" AND t.{quoted(keys[0])} = ANY($2::{self._types[keys[0]]}[])" if len(keys) > 1 else ""
        self.select_family = f"SELECT {own}, t._deleted_at IS NULL FROM {self.name} t WHERE t.source = $1{parents}"
        self.update = self.recorder.keeping(self._update_sql(joined), own)
        not_after = f"${len(keys) + 3}"
        self.bury = self.recorder.keeping(
            f"UPDATE {self.name} t SET _deleted_at = $2, _changed_at = {self.recorder.stamp('$2')}, _hash = NULL"
            f" FROM {_given(self.arrays(3), names)}"
            f" WHERE t.source = k._source AND {joined} AND t._deleted_at IS NULL"
            f" AND ({not_after}::timestamptz IS NULL OR {NOT_SEEN_SINCE.format(not_after)})",
            own,
        )
        self.drop_hashes = (
            f"UPDATE {self.name} t SET _hash = NULL"
            f" FROM unnest({self.arrays(2)}) AS k({names}) WHERE t.source = $1 AND {joined}"
        )

    def _update_sql(self, joined: str) -> str:
        content = [column for column in self.columns if column not in self.table.key]
        given = [*self.columns, "_extra", "_hash", "_gone", "_touched"]
        types = [*(self._types[column] for column in self.columns), "jsonb", "bytea", "boolean", "boolean"]
        arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types, 3))
        sets = "".join(f"{quoted(column)} = k.{quoted(column)}, " for column in [*content, "_extra", "_hash"])
        differs = " OR ".join(
            f"t.{quoted(column)} IS DISTINCT FROM k.{quoted(column)}" for column in [*content, "_extra"]
        )
        return (
            f"UPDATE {self.name} t SET {sets}_changed_at = {self.recorder.stamp('$2')},"
            " _deleted_at = CASE WHEN k._gone THEN coalesce(t._deleted_at, $2) END"
            f" FROM {_given(arrays, ', '.join(map(quoted, given)))} WHERE t.source = k._source AND {joined}"
            f" AND (k._touched OR {differs} OR k._gone = (t._deleted_at IS NULL))"
        )

    def entered(self, records: Sequence[bytes]) -> Sequence[bytes]:
        """Return what may be read of records as sent."""
        return self.guard.enter(records, read_keys=self.parser.keys).records if self.guard else records

    def arrays(self, first: int) -> str:
        """Return the parameters of a statement that take keys, one array per key column, from `$first` on."""
        return ", ".join(f"${place}::{self._types[key]}[]" for place, key in enumerate(self.table.key, first))

    def key_columns(self, keys: Collection[Key]) -> list[list[Any]]:
        """Return keys as one list per key column, as statements take them."""
        return list(map(list, zip(*keys, strict=True))) if keys else [[] for _ in self.table.key]

    @property
    def history(self) -> str:
        """The table of schema `history` that holds the rows' old versions, whether or not any are kept now."""
        return self.recorder.history

    def gone(self, row: Row) -> bool:
        """Say whether the upstream itself flags the row as deleted."""
        return self.deleted_at is not None and row.values[self.deleted_at] is True


def make_target(table: Table, parser: Parser, kept: Kept = KEEPS_NOTHING, guard: Guard | None = None) -> Target:
    """Return the target of a table, its child tables included; its records pass the guard before anything else."""
    children = [Target(child.table, parser.child(place), kept=kept) for place, child in enumerate(table.children)]
    return Target(table, parser, children, kept, guard)


def in_scope(target: Target, scope: Scope, place: int) -> tuple[str, list[list[Any]]]:
    """Return a condition on the table as `t`: its rows are in scope; its parameter, if it has one, is `$place`."""
    if scope.column is None:
        return "", []
    kind = next(_SQL_TYPE[column.kind] for column in target.table.columns if column.name == scope.column)
    return f" AND t.{quoted(scope.column)} = ANY(${place}::{kind}[])", [list(scope.values)]


def _given(arrays: str, names: str) -> str:
    """Return arrays as rows `k` of an UPDATE, with its source (`$1`) beside each.

    Only so are rows found by their whole key. With the source as a constant, a table without statistics (as after a
    first load) seems to hold a few rows of it, and each of them is compared with every one that is given.
    """
    return f"(SELECT $1::text AS _source, * FROM unnest({arrays}) AS k({names}) OFFSET 0) AS k"

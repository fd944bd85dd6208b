"""What a stream keeps of the changes of its rows: old versions, entries of the change feed, both or neither.

This module only makes SQL. What is kept is written by the same statement that changes the rows: all parts of a
statement see the rows as they were before it, and nothing can come between them.
"""

from dataclasses import dataclass

from syncd.contract import Table
from syncd.storage.mirror.layout import TableLayout, literal, quoted

SCHEMA = "history"
CHANNEL = "syncd_changes"
"""The channel on which PostgreSQL notifies listeners once a transaction with changes has committed."""
FEED = "changes"
"""The word of the advisory lock under which changes get their numbers; held until the commit."""
RUN = "syncd.run"
"""The setting that holds the number of the run, for the length of a transaction."""

# Under the lock nobody else adds a change, so the numbers have no gap and stand in the order of the commits. A sequence
# would give numbers in the order in which they are asked for: a reader that remembers the last number would miss a
# change with a lower number that commits later.
LOCK_FEED = f"SELECT pg_advisory_xact_lock(syncd.lock_key($1)), pg_notify('{CHANNEL}', $2)"
NUMBER = "(SELECT coalesce(max(id), 0) FROM syncd.changes) + row_number() OVER ()"
_COLUMNS = "id, source, stream, table_name, key, operation, changed, changed_at, run_id"
_RUN_ID = f"nullif(current_setting('{RUN}', true), '')::bigint"


def table_name(table: Table) -> str:
    """Return the name of the table in schema `history` that holds the old versions of a table's rows."""
    return f"{table.schema}_{table.name}"


def versions_of(table: Table, schema: str = SCHEMA) -> str:
    """Return the quoted name of the table that holds the old versions of a table's rows."""
    return f"{quoted(schema)}.{quoted(table_name(table))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of the changes of a stream's rows, child tables included; `schema` holds old versions."""

    stream: str = ""
    history: bool = False
    changes: bool = False
    schema: str = SCHEMA


@dataclass(frozen=True)
class Recorder:
    """Makes the statements of one table that store old versions of its rows and add changes to the feed."""

    layout: TableLayout
    kept: Kept

    def stamp(self, now: str) -> str:
        """Return the new `_changed_at` of a row; where versions are kept it is always later than the one before."""
        return f"greatest({now}, t._changed_at + interval '1 microsecond')" if self.kept.history else now

    def keeping(self, update: str, returned: str, beside: str = "") -> str:
        """Return an UPDATE (of the table as `t`, without RETURNING) extended by the writing of what is kept.

        `returned` are the columns of `t` that the statement returns. Below them it returns the rows of the SELECT
        `beside`, which sees all tables as they were before.
        """
        if not beside and not self.kept.history and not self.kept.changes:
            return f"{update} RETURNING {returned}"
        parts = [f"changed AS ({update} RETURNING t.*)"]
        table = self.layout.table
        own = " AND ".join(f"old.{name} = new.{name}" for name in ("source", *map(quoted, table.key)))
        pairs = f"FROM changed AS new JOIN {self.layout.name} AS old ON {own}"
        if self.kept.history:
            names = ["source", *map(quoted, [*table.key, *self._content]), "_deleted_at"]
            versions = versions_of(table, self.kept.schema)
            parts.append(
                f"kept AS (INSERT INTO {versions} ({', '.join(names)}, valid_from, valid_to)"
                f" SELECT {', '.join(f'old.{name}' for name in names)}, old._changed_at, new._changed_at {pairs}"
                " ON CONFLICT DO NOTHING)"  # after a restore of the mirror alone: the version is stored already
            )
        if self.kept.changes:
            parts.append(
                f"told AS (INSERT INTO syncd.changes ({_COLUMNS}) SELECT {NUMBER}, new.source, {self._place},"
                f" {self._key_of('new')}, CASE WHEN new._deleted_at IS NOT NULL THEN 'delete'"
                " WHEN old._deleted_at IS NOT NULL THEN 'insert' ELSE 'update' END,"
                f" CASE WHEN new._deleted_at IS NULL AND old._deleted_at IS NULL THEN {self._differing()} END,"
                f" new._changed_at, {_RUN_ID} {pairs} WHERE new._deleted_at IS NULL OR old._deleted_at IS NULL)"
            )
        also = f" UNION ALL {beside}" if beside else ""
        return f"WITH {', '.join(parts)} SELECT {returned} FROM changed AS t{also}"

    @property
    def feed_new(self) -> str:
        """The statement that adds rows just copied to the feed: source, now, then one array per column of the key."""
        return (
            f"INSERT INTO syncd.changes ({_COLUMNS}) SELECT {NUMBER}, $1, {self._place}, {self._key_of('new')},"
            f" 'insert', NULL, $2, {_RUN_ID} FROM unnest({self.layout.arrays(3)}) AS new({self.layout.key_names})"
        )

    @property
    def _place(self) -> str:
        return f"{literal(self.kept.stream)}, {literal(self.layout.plain_name)}"

    @property
    def _content(self) -> list[str]:
        return [*(name for name in self.layout.columns if name not in self.layout.table.key), "_extra"]

    def _key_of(self, row: str) -> str:
        pairs = (f"{literal(name)}, {row}.{quoted(name)}" for name in self.layout.table.key)
        return f"jsonb_build_object({', '.join(pairs)})"

    def _differing(self) -> str:
        cases = (
            f"CASE WHEN new.{quoted(name)} IS DISTINCT FROM old.{quoted(name)} THEN {literal(name)} END"
            for name in self._content
        )
        return f"array_remove(ARRAY[{', '.join(cases)}]::text[], NULL)"

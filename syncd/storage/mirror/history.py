"""What a stream keeps of the changes of its rows: old versions, entries of the change feed, both or neither.

Only makes SQL; the mirror executes it. What is kept is written by the statement that changes the rows: the parts of one
statement all see the rows as they were before it, and nothing can come between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.contract import Table

SCHEMA = "history"
CHANNEL = "syncd_changes"
"""Where PostgreSQL notifies those who listen, once a transaction with changes has committed."""
FEED = "changes"
"""The word of the advisory lock under which changes get their numbers; held until the commit."""
RUN = "syncd.run"
"""The setting that holds the number of the run, for the length of a transaction."""

# Under the lock nobody else adds a change, so the numbers have no gap and stand in the order of the commits. A sequence
# gives numbers in the order in which they are asked for: whoever remembers the last one loses what commits after it.
TAKE_LINE = f"SELECT pg_advisory_xact_lock($1), pg_notify('{CHANNEL}', $2)"
_NUMBER = "(SELECT coalesce(max(id), 0) FROM syncd.changes) + row_number() OVER ()"
_COLUMNS = "id, source, stream, table_name, key, operation, changed, changed_at, run_id"
_RUN_ID = f"nullif(current_setting('{RUN}', true), '')::bigint"


def table_name(table: Table) -> str:
    """Return the name of the table in schema `history` that holds the old versions of a table's rows."""
    return f"{table.schema}_{table.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of the changes of a stream's rows, those of its child tables included."""

    stream: str = ""
    history: bool = False
    changes: bool = False


class Recorder:
    """Makes the statements of one table that keep what its rows were, or tell of their changes."""

    def __init__(self, table: Table, kept: Kept, types: Mapping[str, str]) -> None:
        self.kept = kept
        self.history = f"{quoted(SCHEMA)}.{quoted(table_name(table))}"
        self._types = types
        self._name = f"{quoted(table.schema)}.{quoted(table.name)}"
        self._place = f"{literal(kept.stream)}, {literal(f'{table.schema}.{table.name}')}"
        self._key = table.key
        self._content = [*(column.name for column in table.columns if column.name not in table.key), "_extra"]

    def stamp(self, now: str) -> str:
        """Return the new `_changed_at` of a row: that of a row with versions never goes back nor stands still."""
        return f"greatest({now}, t._changed_at + interval '1 microsecond')" if self.kept.history else now

    def keeping(self, update: str, returned: str) -> str:
        """Return an UPDATE (of the table as `t`, without RETURNING) as one that keeps what is to be kept.

        `returned` are its columns of `t` that come back.
        """
        if not self.kept.history and not self.kept.changes:
            return f"{update} RETURNING {returned}"
        parts = [f"changed AS ({update} RETURNING t.*)"]
        own = " AND ".join(f"old.{name} = new.{name}" for name in ("source", *map(quoted, self._key)))
        pairs = f"FROM changed AS new JOIN {self._name} AS old ON {own}"
        if self.kept.history:
            names = ["source", *map(quoted, [*self._key, *self._content]), "_deleted_at"]
            parts.append(
                f"kept AS (INSERT INTO {self.history} ({', '.join(names)}, valid_from, valid_to)"
                f" SELECT {', '.join(f'old.{name}' for name in names)}, old._changed_at, new._changed_at {pairs}"
                " ON CONFLICT DO NOTHING)"  # the mirror alone was restored: a version of that time is kept already
            )
        if self.kept.changes:
            parts.append(
                f"told AS (INSERT INTO syncd.changes ({_COLUMNS}) SELECT {_NUMBER}, new.source, {self._place},"
                f" {self._key_of('new')}, CASE WHEN new._deleted_at IS NOT NULL THEN 'delete'"
                " WHEN old._deleted_at IS NOT NULL THEN 'insert' ELSE 'update' END,"
                f" CASE WHEN new._deleted_at IS NULL AND old._deleted_at IS NULL THEN {self._differing()} END,"
                f" new._changed_at, {_RUN_ID} {pairs} WHERE new._deleted_at IS NULL OR old._deleted_at IS NULL)"
            )
        return f"WITH {', '.join(parts)} SELECT {returned} FROM changed AS t"

    @property
    def tell_new(self) -> str:
        """The statement that tells of rows just copied: source, now, then one array per column of the key."""
        names = ", ".join(map(quoted, self._key))
        arrays = ", ".join(f"${place}::{self._types[name]}[]" for place, name in enumerate(self._key, 3))
        return (
            f"INSERT INTO syncd.changes ({_COLUMNS}) SELECT {_NUMBER}, $1, {self._place}, {self._key_of('new')},"
            f" 'insert', NULL, $2, {_RUN_ID} FROM unnest({arrays}) AS new({names})"
        )

    def _key_of(self, row: str) -> str:
        return f"jsonb_build_object({', '.join(f'{literal(name)}, {row}.{quoted(name)}' for name in self._key)})"

    def _differing(self) -> str:
        cases = (
            f"CASE WHEN new.{quoted(name)} IS DISTINCT FROM old.{quoted(name)} THEN {literal(name)} END"
            for name in self._content
        )
        return f"array_remove(ARRAY[{', '.join(cases)}]::text[], NULL)"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"

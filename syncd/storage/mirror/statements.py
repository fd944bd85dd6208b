"""The text of the statements that read and write one table of the mirror; made once per target. No I/O."""

from syncd.frozen import dataclass
from syncd.storage.mirror.history import Kept, Recorder
from syncd.storage.mirror.layout import TableLayout, quoted

NOT_SEEN_SINCE = "(t._changed_at <= {0} OR t._changed_at > {0} + interval '7 days')"
"""True of a row that nobody has written since a listing began. No listing takes a week: a row that changed later than
that was written by a clock that was wrong."""
BOOKKEEPING = ("_first_seen_at", "_changed_at", "_deleted_at", "_extra", "_hash")
"""The columns that syncd adds to those of the upstream."""
_HAS_GUARD = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '{}'::regclass AND tgenabled <> 'D' AND tgtype & 19 = 19)
"""
"""19: before an update, for each row; only such a trigger can leave a row as it was."""
_USES_NOW = "$2::timestamptz"  # a parameter that no place names has no type


@dataclass(frozen=True, kw_only=True)
class Statements:
    """The statements of one table. The first parameter is always the source; keys are one array per key column.

    select_rows       the columns and `_extra` of the rows with these keys
    select_whole      every column of the rows with these keys
    select_differing  the places in the given arrays whose fingerprint is not stored, and `_changed_at` of these rows
    select_range      keys and fingerprints of the rows between two keys that have one, in order, each as one value;
                      None if the key is no single number
    select_family     of a child table, the keys of the rows whose parents' key columns are among these (one array for
                      each column), whether each is alive, and what `has_guard` says
    update            lays changed rows over the stored ones
    update_family     of a child table, does what `update` does, the key columns of the parents given as well; returns
                      the keys of the rows updated, with two nulls, and what `select_family` returned before
    bury              sets the tombstone of the rows with these keys
    has_guard         whether somebody's trigger may keep rows from being changed; has no parameters
    not_updated       whether one of the rows given as to `update` still differs from what is stored
    not_buried        whether one of the rows given as to `bury` is still alive
    drop_hashes       drops the fingerprints of the rows with these keys
    feed_new          adds rows that were just copied to the change feed
    """

    select_rows: str
    select_whole: str
    select_differing: str
    select_range: str | None
    select_family: str
    update: str
    update_family: str
    bury: str
    has_guard: str
    not_updated: str
    not_buried: str
    drop_hashes: str
    feed_new: str


def statements_of(layout: TableLayout, kept: Kept, *, parents: int = 0) -> Statements:
    """Return the statements of a table, of which `kept` is kept; the first `parents` key columns are its parent's."""
    recorder = Recorder(layout, kept)
    keys = layout.table.key
    whole = ", ".join(f"t.{quoted(column)}" for column in layout.columns)
    where = _where_key(layout)
    guard = _HAS_GUARD.format(layout.name)
    return Statements(
        select_rows=f"SELECT {whole}, t._extra {where}",
        select_whole=f"SELECT t.* {where}",
        select_differing=(
            f"SELECT k._place, t._changed_at FROM unnest({layout.arrays(2)}, ${len(keys) + 2}::bytea[])"
            f" WITH ORDINALITY AS k({layout.key_names}, _hash, _place)"
            f" LEFT JOIN {layout.name} t ON t.source = $1 AND {layout.joined}"
            " WHERE t._hash IS DISTINCT FROM k._hash ORDER BY k._place"
        ),
        select_range=_range(layout),
        select_family=_family(layout, parents, 2),
        update=recorder.keeping(_update(layout, recorder), layout.own_key),
        update_family=recorder.keeping(
            _update(layout, recorder),
            f"{layout.own_key}, NULL::boolean, NULL::boolean",
            beside=_family(layout, parents, 3 + len(_given_types(layout))),
        ),
        bury=recorder.keeping(_bury(layout, recorder), layout.own_key),
        has_guard=guard,
        not_updated=f"SELECT EXISTS (SELECT {_USES_NOW} FROM {layout.name} t, {_given_rows(layout)})",
        not_buried=f"SELECT EXISTS (SELECT {_USES_NOW} FROM {layout.name} t, {_given_alive(layout)})",
        drop_hashes=(
            f"UPDATE {layout.name} t SET _hash = NULL"
            f" FROM unnest({layout.arrays(2)}) AS k({layout.key_names}) WHERE t.source = $1 AND {layout.joined}"
        ),
        feed_new=recorder.feed_new,
    )


def _family(layout: TableLayout, parents: int, first: int) -> str:
    """Return the statement select_family, for the first `parents` key columns; their arrays begin at `$first`."""
    among = "".join(
        f" AND t.{quoted(name)} = ANY(${at}::{layout.types[name]}[])"
        for at, name in enumerate(layout.table.key[:parents], first)
    )
    guard = _HAS_GUARD.format(layout.name)
    return f"SELECT {layout.own_key}, t._deleted_at IS NULL, ({guard}) FROM {layout.name} t WHERE t.source = $1{among}"


def _range(layout: TableLayout) -> str | None:
    """Return the statement select_range; `$2` and `$3` are the first and the last key."""
    if not layout.has_number:
        return None
    key = layout.own_key
    return (
        f"SELECT array_agg({key} ORDER BY {key}), {hashes_in_order(layout)}"
        f" FROM {layout.name} t WHERE t.source = $1 AND {key} BETWEEN $2 AND $3 AND t._hash IS NOT NULL"
    )


def hashes_in_order(layout: TableLayout) -> str:
    """Return the fingerprints of rows `t` as one value, in the order of their key, which is a number."""
    stored = "CASE WHEN length(t._hash) = 16 THEN t._hash ELSE decode(repeat('00', 16), 'hex') END"
    return f"string_agg({stored}, ''::bytea ORDER BY {layout.own_key})"


def _where_key(layout: TableLayout) -> str:
    """Return the FROM and WHERE of a statement that reads rows by their keys, which begin at `$2`."""
    keys = layout.table.key
    if len(keys) == 1:
        return f"FROM {layout.name} t WHERE t.source = $1 AND t.{quoted(keys[0])} = ANY({layout.arrays(2)})"
    return (
        f"FROM unnest({layout.arrays(2)}) AS k({layout.key_names})"
        f" JOIN {layout.name} t ON t.source = $1 AND {layout.joined}"
    )


def _update(layout: TableLayout, recorder: Recorder) -> str:
    sets = "".join(f"{quoted(column)} = k.{quoted(column)}, " for column in [*_content(layout), "_extra", "_hash"])
    return (
        f"UPDATE {layout.name} t SET {sets}_changed_at = {recorder.stamp('$2')},"
        " _deleted_at = CASE WHEN k._gone THEN coalesce(t._deleted_at, $2) END"
        f" FROM {_given_rows(layout)}"
    )


def _content(layout: TableLayout) -> list[str]:
    return [column for column in layout.columns if column not in layout.table.key]


def _given_rows(layout: TableLayout) -> str:
    """Return the given rows as `k`, and the condition that a stored row `t` is one of them and differs."""
    given = [*layout.columns, "_extra", "_hash", "_gone", "_touched"]
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_given_types(layout), 3))
    columns = [*_content(layout), "_extra"]
    differs = " OR ".join(f"t.{quoted(column)} IS DISTINCT FROM k.{quoted(column)}" for column in columns)
    return (
        f"{_given(arrays, ', '.join(map(quoted, given)))} WHERE t.source = k._source AND {layout.joined}"
        f" AND (k._touched OR {differs} OR k._gone = (t._deleted_at IS NULL))"
    )


def _given_types(layout: TableLayout) -> list[str]:
    return [*(layout.types[column] for column in layout.columns), "jsonb", "bytea", "boolean", "boolean"]


def _bury(layout: TableLayout, recorder: Recorder) -> str:
    return (
        f"UPDATE {layout.name} t SET _deleted_at = $2, _changed_at = {recorder.stamp('$2')}, _hash = NULL"
        f" FROM {_given_alive(layout)}"
    )


def _given_alive(layout: TableLayout) -> str:
    """Return the given keys as `k`, and the condition that a stored row `t` has one of them and may be buried."""
    not_after = f"${len(layout.table.key) + 3}"
    return (
        f"{_given(layout.arrays(3), layout.key_names)}"
        f" WHERE t.source = k._source AND {layout.joined} AND t._deleted_at IS NULL"
        f" AND ({not_after}::timestamptz IS NULL OR {NOT_SEEN_SINCE.format(not_after)})"
    )


def _given(arrays: str, names: str) -> str:
    """Return arrays as rows `k` of an UPDATE, with its source (`$1`) beside each.

    With the source in each given row, stored rows are found by their whole key. With the source as a constant they are
    not: PostgreSQL assumes that a table without statistics (as after a first load) holds few rows of the source, and
    compares each of them with every given row.
    """
    return f"(SELECT $1::text AS _source, * FROM unnest({arrays}) AS k({names}) OFFSET 0) AS k"

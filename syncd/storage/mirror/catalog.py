"""What others changed on our tables: columns, types, constraints, triggers, policies, and how they are published.

Compares PostgreSQL's catalog with what is declared. Only reads, and never decides what to do about a difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg
import msgspec

from syncd.storage.mirror.layout import TableLayout
from syncd.storage.state.declared import StateTable

BOOKKEEPING_TYPES: Final[Mapping[str, str]] = {
    "_first_seen_at": "timestamp with time zone",
    "_changed_at": "timestamp with time zone",
    "_deleted_at": "timestamp with time zone",
    "_extra": "jsonb",
    "_hash": "bytea",
}
_SPELLED: Final = {"timestamptz": "timestamp with time zone"}

_COLUMNS: Final = """
SELECT w.name AS table, c.oid IS NOT NULL AS there, c.relkind::text AS kind, a.attname AS column,
       CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE format_type(a.atttypid, a.atttypmod)
       END AS type, a.attnotnull AS required, a.atthasdef OR a.attidentity <> '' AS filled,
       a.attgenerated <> '' AS generated
FROM unnest($1::text[]) AS w(name) LEFT JOIN pg_class c ON c.oid = to_regclass(w.name)
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid
ORDER BY w.name, a.attnum
"""
_OBJECTS: Final = """
WITH ours AS (SELECT to_regclass(name) AS oid FROM unnest($1::text[]) AS w(name))
SELECT conrelid::regclass::text AS table, 'constraint' AS kind, conname AS name, pg_get_constraintdef(oid) AS told
FROM pg_constraint c WHERE conrelid IN (SELECT oid FROM ours) AND contype IN ('c', 'f', 'u', 'x')
  AND to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false'
UNION ALL
SELECT confrelid::regclass::text, 'reference', conname, conrelid::regclass::text
FROM pg_constraint c WHERE confrelid IN (SELECT oid FROM ours) AND contype = 'f' AND confdeltype IN ('a', 'r')
  AND to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false'
UNION ALL
SELECT indrelid::regclass::text, 'unique index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid IN (SELECT oid FROM ours) AND indisunique
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
UNION ALL
SELECT tgrelid::regclass::text, 'trigger', tgname, tgfoid::regproc::text
FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours) AND NOT tgisinternal AND tgenabled <> 'D'
  AND tgfoid <> coalesce(to_regproc('syncd.note_loss'), 0)
UNION ALL
SELECT ev_class::regclass::text, 'rule', rulename, pg_get_ruledef(oid)
FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM ours) AND rulename <> '_RETURN'
UNION ALL
SELECT oid::regclass::text, 'policy',
       coalesce((SELECT string_agg(polname, ', ') FROM pg_policy WHERE polrelid = oid), 'there is none'), ''
FROM ours WHERE oid IS NOT NULL AND row_security_active(oid)
UNION ALL
SELECT oid::regclass::text, 'no key', '', '' FROM ours
WHERE oid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = oid AND indisprimary AND indisvalid)
UNION ALL
SELECT c.oid::regclass::text, 'no identity', p.pubname, '' FROM ours JOIN pg_class c USING (oid)
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_publication_tables t ON (t.schemaname, t.tablename) = (n.nspname, c.relname)
JOIN pg_publication p ON p.pubname = t.pubname AND (p.pubupdate OR p.pubdelete)
WHERE c.relreplident = 'n'
   OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
   OR c.relreplident = 'i' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisreplident)
UNION ALL
SELECT prrelid::regclass::text, 'part published', pubname,
       concat_ws(' and ', CASE WHEN whole ->> 'prqual' IS NOT NULL THEN 'some rows' END,
                 CASE WHEN whole ->> 'prattrs' IS NOT NULL THEN 'some columns' END)
FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = prpubid, to_jsonb(pr) AS whole  -- 14 lacks these
WHERE prrelid IN (SELECT oid FROM ours) AND (pubupdate OR pubdelete)
  AND (whole ->> 'prqual' IS NOT NULL OR whole ->> 'prattrs' IS NOT NULL)
  AND (whole ->> 'prattrs' IS NOT NULL OR EXISTS (SELECT FROM pg_class WHERE oid = prrelid AND relreplident <> 'f'))
UNION ALL
SELECT c.oid::regclass::text, 'unlogged', '', '' FROM ours JOIN pg_class c USING (oid) WHERE relpersistence = 'u'
UNION ALL
SELECT attrelid::regclass::text, 'unwatched', '', '' FROM pg_attribute
WHERE attrelid IN (SELECT oid FROM ours) AND attname = '_first_seen_at' AND NOT attisdropped
  AND 2 > (SELECT count(*) FROM pg_trigger
           WHERE tgrelid = attrelid AND tgenabled = 'A' AND tgfoid = to_regproc('syncd.note_loss'))
ORDER BY 1, 2, 3
"""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was made: `types` by column, as PostgreSQL spells them; `own` are constraints of ours."""

    name: str
    types: Mapping[str, str]
    required: frozenset[str]
    own: frozenset[str] = frozenset()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs on one table, in words; `is_grave` says that syncd cannot work with it."""

    table: str
    told: str
    hint: str
    is_grave: bool


def declared(layout: TableLayout) -> Declared:
    """Return what is declared of a table of the mirror."""
    return Declared(
        name=layout.plain_name,
        types={**_types(layout), **BOOKKEEPING_TYPES},
        required=frozenset({"source", *layout.table.key, "_first_seen_at", "_changed_at"}),
    )


def declared_versions(layout: TableLayout, name: str) -> Declared:
    """Return what is declared of the table of that name that holds old versions of a table's rows."""
    kept = {column: BOOKKEEPING_TYPES[column] for column in ("_deleted_at", "_extra")}
    valid = dict.fromkeys(("valid_from", "valid_to"), BOOKKEEPING_TYPES["_changed_at"])
    return Declared(
        name=name, types={**_types(layout), **kept, **valid}, required=frozenset({"source", *layout.table.key, *valid})
    )


def declared_state(table: StateTable) -> Declared:
    """Return what is declared of a table of schema `syncd`."""
    return Declared(
        name=f"syncd.{table.name}",
        types={column.name: column.type for column in table.columns},
        required=frozenset(column.name for column in table.columns if column.is_required),
        own=frozenset({*table.checks, *table.unique, *(f"syncd.{index.name}" for index in table.indexes)}),
    )


def _types(layout: TableLayout) -> dict[str, str]:
    return {"source": "text", **{name: _SPELLED.get(kind, kind) for name, kind in layout.types.items()}}


async def differences(conn: asyncpg.Connection, tables: Sequence[Declared]) -> list[Difference]:
    """Return what differs between the database and the declared tables; first what is grave."""
    names = [table.name for table in tables]
    found: dict[str, list[asyncpg.Record]] = {}
    for row in await conn.fetch(_COLUMNS, names):
        found.setdefault(row["table"], []).append(row)
    told = [difference for table in tables for difference in _of_columns(table, found[table.name])]
    own = {(table.name, name) for table in tables for name in table.own}
    told += [_of_object(row) for row in await conn.fetch(_OBJECTS, names) if (row["table"], row["name"]) not in own]
    return sorted(told, key=lambda difference: not difference.is_grave)


def _of_columns(table: Declared, rows: Sequence[asyncpg.Record]) -> Iterable[Difference]:
    if not rows[0]["there"] or rows[0]["kind"] not in ("r", "p"):
        is_what = "is not a table" if rows[0]["there"] else "is not there"
        hint = "It was dropped or renamed, or its migration is missing: rename it back, or restore it from a dump."
        yield Difference(table=table.name, told=f"the table {table.name} {is_what}", hint=hint, is_grave=True)
        return
    there = {row["column"]: row for row in rows if row["column"]}
    strange = [name for name in there if name not in table.types]
    for name, kind in table.types.items():
        row = there.get(name)
        if row is None:
            others = f" Columns that syncd does not know: {', '.join(strange)}." if strange else ""
            yield _column(table, name, "is missing", f"Rename it back, or add it as {kind}.{others}")
        elif row["type"] != kind:
            hint = f"ALTER TABLE {table.name} ALTER {name} TYPE {kind};"
            yield _column(table, name, f"has the type {row['type']} instead of {kind}", hint)
        elif row["generated"]:
            yield _column(table, name, "is generated, so nothing can be written to it", "Drop its expression.")
        elif row["required"] and name not in table.required:
            hint = f"Rows without a value become rejects. ALTER TABLE {table.name} ALTER {name} DROP NOT NULL;"
            yield _column(table, name, "must not be null, which syncd did not ask for", hint, is_grave=False)
    for name in strange:
        if there[name]["required"] and not there[name]["filled"] and not there[name]["generated"]:
            hint = "Every new row becomes a reject: give the column a default."
            yield _column(table, name, "is not of syncd, must not be null, and has no default", hint, is_grave=False)


def _column(table: Declared, name: str, what: str, hint: str, *, is_grave: bool = True) -> Difference:
    return Difference(table=table.name, told=f"the column {table.name}.{name} {what}", hint=hint, is_grave=is_grave)


_LEAVE: Final = "A row that it refuses becomes a reject (syncd rejects list); drop it if that is not wanted."
_WORDS: Final[Mapping[str, tuple[str, str, bool]]] = {
    "constraint": ("{table} has the constraint {name}, which is not of syncd: {told}", _LEAVE, False),
    "unique index": ("{table} has the unique index {name}, which is not of syncd", _LEAVE, False),
    "trigger": (
        "{table} has the trigger {name} (function {told}), which is not of syncd",
        "A row that it refuses becomes a reject (syncd rejects list), a value that it changes is not the upstream's.",
        False,
    ),
    "rule": ("{table} has the rule {name}, which is not of syncd", "Drop it: rules change what syncd writes.", False),
    "reference": (
        "{told} refers to {table} by the foreign key {name}, which keeps rows from being deleted",
        "syncd forget cannot delete such a row. Make it ON DELETE CASCADE or SET NULL.",
        False,
    ),
    "policy": (
        "policies hide rows of {table} from syncd: {name}",
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, or give the role of database.url BYPASSRLS.",
        True,
    ),
    "no key": (
        "{table} has lost its primary key",
        "Restore it from a dump, or add it again: see docs/schema.md.",
        True,
    ),
    "no identity": (
        "{table} is published by {name}, and PostgreSQL refuses to update it, because it has no replica identity",
        "ALTER TABLE {table} REPLICA IDENTITY DEFAULT, or leave it out of the publication.",
        True,
    ),
    "part published": (
        "{table} is published by {name} in part ({told}); unless its key covers these, PostgreSQL refuses updates",
        "ALTER TABLE {table} REPLICA IDENTITY FULL where rows are filtered, or publish the table whole.",
        False,
    ),
    "unlogged": (
        "{table} is unlogged: PostgreSQL empties it after a crash, and syncd would not notice",
        "ALTER TABLE {table} SET LOGGED;",
        False,
    ),
    "unwatched": (
        "a trigger of syncd on {table} is off or gone: rows that somebody else deletes would not be noticed",
        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER syncd_deleted, ENABLE ALWAYS TRIGGER syncd_truncated;",
        False,
    ),
}


def _of_object(row: asyncpg.Record) -> Difference:
    words, hint, is_grave = _WORDS[row["kind"]]
    values = {name: row[name] for name in ("table", "name", "told")}
    return Difference(table=row["table"], told=words.format(**values), hint=hint.format(**values), is_grave=is_grave)

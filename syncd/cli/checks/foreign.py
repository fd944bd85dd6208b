"""What others did to our database: changed tables, deleted rows, locks that they hold, rights that readers have.

Only reads, for `syncd check`.
"""

import re

from syncd import cookbook
from syncd.cli.finding import DATABASE, Finding
from syncd.config import Config
from syncd.contract import Source
from syncd.sources import registry
from syncd.sources.entry_points import tables_of
from syncd.status.facts import Facts, lost_words
from syncd.status.whole import is_listed
from syncd.storage.mirror import catalog, history
from syncd.storage.mirror.layout import layout_of
from syncd.storage.postgres import locks, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state.runs import stream_lock
from syncd.storage.state.tables import STATE_TABLES

_DROPPED = """
SELECT name FROM unnest($1::text[], $2::text[]) AS w(schema, own), format('%s.%s', schema, own) AS name
WHERE to_regclass(name) IS NULL AND NOT EXISTS (
  SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = schema AND p.proname = own)
ORDER BY 1
"""


def _asked_for(reporting: str) -> tuple[list[str], list[str]]:
    """Return schemas and names of the functions that runs call, and of the views that reports ask."""
    asked = {("syncd", "open_run")} | {
        (reporting, name)
        for question in cookbook.questions().values()
        for name in re.findall(r"\breporting\.(\w+)", question.query)
    }
    return [schema for schema, _ in sorted(asked)], [name for _, name in sorted(asked)]


async def ready(opened: Database) -> list[Source]:
    """Return all source types but those whose own migrations were not run; a run of theirs says so."""
    unready = await migrations.unready(opened, registry().values())
    return [source for type_, source in registry().items() if type_ not in unready]


async def changed(opened: Database) -> list[Finding]:
    """Return what others changed on our tables, and what they made that may refuse our rows."""
    layouts = [layout_of(table) for source in await ready(opened) for table in tables_of(source)]
    versions = [f"{opened.schemas.history}.{history.table_name(layout.table)}" for layout in layouts]
    tables = [
        *map(catalog.declared_state, STATE_TABLES),
        *map(catalog.declared, layouts),
        *map(catalog.declared_versions, layouts, versions),
    ]
    async with opened.connection() as conn:
        found = await catalog.differences(conn, tables)
        dropped = await conn.fetch(_DROPPED, *_asked_for(opened.schemas.reporting))
    return [
        Finding(
            what=row["name"],
            state="failed",
            detail=f"{row['name']} is not there: somebody dropped or renamed it",
            hint="Rename it back, or restore it from a dump.",
            exit_code=DATABASE,
        )
        for row in dropped
    ] + [
        Finding(
            what=each.table,
            state="failed" if each.is_grave else "warning",
            detail=each.told,
            hint=each.hint,
            exit_code=DATABASE if each.is_grave else 0,
        )
        for each in found
    ]


async def strangers(settings: Config, opened: Database) -> list[Finding]:
    """Return warnings of rows that others deleted, of our locks that others hold, and of what readers may do."""
    return [*await _losses(settings, opened), *await _locks(settings, opened), *await _rights(opened)]


async def _losses(settings: Config, opened: Database) -> list[Finding]:
    found = []
    facts = await Facts.read(opened, [])
    for source in settings.sources.values():
        losses = facts.losses.get(source.name, {})
        for stream in registry()[source.type].streams if losses else ():
            children = (child.table for child in stream.table.children)
            tables = [f"{table.schema}.{table.name}" for table in (stream.table, *children)]
            lost = [(table, loss) for table, loss in losses.items() if table in tables]
            if lost:
                name = f"{source.name}.{stream.name}"
                told = lost_words(lost, name, by_listing=is_listed(stream))
                found.append(Finding(what=name, state="warning", detail=told))
    return found


async def _locks(settings: Config, opened: Database) -> list[Finding]:
    numbers = {lock_number(history.FEED): "the change feed"}
    for source in settings.sources.values():
        for stream in registry()[source.type].streams:
            name = f"{source.name}.{stream.name}"
            numbers[lock_number("table", source.name, layout_of(stream.table).name)] = name
            for kind in ("live", "backfill"):
                numbers[stream_lock(source.name, stream.name, kind)] = name
    async with opened.connection() as conn:
        held = [(numbers[number], holder) for number, holder in await locks.strangers(conn, numbers)]
        migrating = await locks.holder(conn, migrations.LOCK, is_plain=True)
    if migrating and migrating.is_stranger:
        held.append(("migrations", migrating))
    return [
        Finding(what="locks", state="warning", detail=f"the lock of {what} is held by {holder.words}", hint=holder.hint)
        for what, holder in held
    ]


_READER_MAY = """
SELECT nullif(concat_ws(' and ',
  CASE WHEN has_function_privilege(oid, 'pg_catalog.lo_create(oid)', 'EXECUTE') THEN 'write large objects' END,
  CASE WHEN has_function_privilege(oid, 'pg_catalog.pg_advisory_lock(bigint)', 'EXECUTE')
       THEN 'take advisory locks' END,
  CASE WHEN has_table_privilege(oid, 'syncd.lock_salt', 'SELECT') THEN 'read the secret of our locks' END), '')
FROM pg_roles WHERE rolname = 'syncd_reader' AND EXISTS (  -- nobody else may become it on the private server
  SELECT FROM pg_auth_members m JOIN pg_roles person ON person.oid = m.member
  WHERE m.roleid = pg_roles.oid AND NOT person.rolsuper AND person.rolname <> current_user)
"""


async def _rights(opened: Database) -> list[Finding]:
    async with opened.connection() as conn:
        may = await conn.fetchval(_READER_MAY)
    if not may:
        return []
    hint = "Run deploy/roles.sql again, as a superuser; -v database=NAME for another than mirror."
    return [Finding(what="rights", state="warning", detail=f"the role syncd_reader may {may}", hint=hint)]

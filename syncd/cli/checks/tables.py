"""Whether the tables of the database are there, are those of this program, and may be written."""

from syncd.cli.checks import foreign
from syncd.cli.finding import DATABASE, Finding, failed
from syncd.contract import Table
from syncd.errors import DatabaseError, DatabaseUnavailable
from syncd.sources import plugins, registry
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database

_LACKING = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p')
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
           AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
           AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY c.oid
"""
_MAY_MIGRATE = "SELECT has_database_privilege(current_database(), 'CREATE')"
_OWNER = "Connect as the owner of the database and its tables, see deploy/roles.sql."


async def _mirrored(opened: Database) -> list[Table]:
    """Return every table of the mirror, of all source types but those whose own migrations were not run."""
    kinds = await foreign.ready(opened)
    tables = [stream.table for source in kinds for stream in source.streams]
    return [*tables, *(child.table for table in tables for child in table.children)]


async def _absent(opened: Database) -> list[str]:
    """Return the tables of the mirror that are not in the database: a source type came without its migration."""
    query = "SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    async with opened.connection() as conn:
        there = {row["name"] for row in await conn.fetch(query)}
    return sorted({f"{table.schema}.{table.name}" for table in await _mirrored(opened)} - there)


async def findings(opened: Database) -> list[Finding]:
    """Look whether the tables are there, and whether the role may write every one, or make them."""
    mirrored = await _mirrored(opened)
    async with opened.connection() as conn:
        role, may_migrate = await conn.fetchval("SELECT current_user"), await conn.fetchval(_MAY_MIGRATE)
        lacking = await conn.fetch(_LACKING, ["syncd", *sorted({table.schema for table in mirrored})])
    if lacking:
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return [_no_rights(f"the role {role} may not read and write {lacking[0]['name']}{others}")]
    try:
        await migrations.require_migrated(opened)
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        found = [failed("migrations", error, DATABASE)]
        return found if may_migrate else [*found, _no_rights(f"the role {role} may not create schemas, as that must")]
    if absent := await _absent(opened):
        others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        detail = f"the table {absent[0]}{others} of a source type is not there, and no migration makes it"
        hint = "Add the migration that belongs to the source type, then run syncd migrate."
        return [Finding(what="migrations", state="failed", detail=detail, hint=hint, exit_code=DATABASE)]
    changed = await foreign.changed(opened)
    if any(finding.state == "failed" for finding in changed):
        return changed
    standing = await migrations.find_standing(opened)
    newer = ", newer than this syncd, which it admits" if standing.is_newer else ""
    return [
        Finding(what="rights", state="ok"),
        Finding(what="migrations", state="ok", detail=f"at revision {standing.revision}{newer}"),
        *changed,
    ]


def _no_rights(detail: str) -> Finding:
    return Finding(what="rights", state="failed", detail=detail, hint=_OWNER, exit_code=DATABASE)


async def of_plugins(opened: Database) -> list[Finding]:
    """Return how the migrations of plugins stand, and of which plugins the database knows that are not installed."""
    unready = await migrations.unready(opened, plugins().values())
    findings = [failed(f"migrations of {type_}", error, DATABASE) for type_, error in unready.items()]
    stored = await migrations.revisions(opened)
    findings += [
        Finding(what=f"migrations of {type_}", state="ok", detail=f"at revision {stored[type_]}")
        for type_ in plugins()
        if type_ not in unready
    ]
    return findings + [
        Finding(
            what=f"migrations of {type_}",
            state="warning",
            detail=f"the database is at revision {revision} of a plugin that is not installed, or cannot be used",
            hint=f"Its rows stay as they are. To remove them: install it, then syncd migrate --plugin {type_} --down.",
        )
        for type_, revision in stored.items()
        if type_ not in registry() and type_ != migrations.OURS
    ]

"""What the rows of the database tell of the configuration: queries, fields that are left out, sources that are gone."""

import difflib

import asyncpg

from syncd import config as configuration
from syncd.cli import webhooks
from syncd.cli.checks import foreign
from syncd.cli.finding import CONFIGURATION, Finding, failed
from syncd.config import Config, StreamConfig
from syncd.contract import Table
from syncd.contract.second_ways import PREFIX
from syncd.engine.lookups import keys_of, run_query
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, SyncdError
from syncd.records.privacy import place
from syncd.sources import registry
from syncd.status import orphans_of, read_owners
from syncd.storage.mirror import withheld
from syncd.storage.postgres.database import Database


async def findings(settings: Config, opened: Database, *, is_whole: bool) -> list[Finding]:
    """Return what is found in the database; queries and hashes are looked at only if no secret is missing."""
    orphans = orphans_of(await read_owners(opened, settings, registry()))
    found = [
        Finding(what=f"source {orphan.source}", state="warning", detail=orphan.words, hint=orphan.hint)
        for orphan in orphans
    ]
    if is_whole:
        found += [
            *await _withheld(settings, opened),
            *await _queries(settings, opened),
            *await foreign.strangers(settings, opened),
            *await _second_ways(settings, opened),
            *await webhooks.findings(settings, registry(), opened),
        ]
    return found


async def _queries(settings: Config, opened: Database) -> list[Finding]:
    """Run every query for keys, as a run would, and say what it gives or what is wrong with it."""
    found = []
    for source, name in configuration.select(settings, []) if settings.sources else []:
        for key, sql in settings.sources[source].streams[name].queries.items():
            what = f"{source}.{name}"
            try:
                result = await run_query(opened, key, sql)
                count = len(keys_of(key, result))
            except DatabaseError:
                raise
            except SyncdError as error:
                found.append(failed(what, error, CONFIGURATION))
                continue
            detail = (
                f"{key}_query gives {count:,} key{'' if count == 1 else 's'}, run as {result.role} and only to read"
            )
            if result.columns > 1:
                hint = "Let the query give the key alone."
                detail += f"; of its {result.columns:,} columns only the first counts"
                found.append(Finding(what=what, state="warning", detail=detail, hint=hint))
            else:
                found.append(Finding(what=what, state="ok", detail=detail))
    return found


_SECOND_WAYS = """
SELECT source, stream, note, max(started_at)::date AS seen_on
FROM (SELECT source, stream, started_at, jsonb_array_elements_text(notes) AS note
      FROM syncd.runs WHERE jsonb_typeof(notes) = 'array') AS noted
WHERE starts_with(note, $1)
GROUP BY source, stream, note ORDER BY source, stream, note
"""


async def _second_ways(settings: Config, opened: Database) -> list[Finding]:
    """Return a warning for each question of ours that a server refused, so that a plainer one is asked instead."""
    async with opened.connection() as conn:
        rows = await conn.fetch(_SECOND_WAYS, PREFIX)
    return [
        Finding(
            what=f"{row['source']}.{row['stream']}",
            state="warning",
            detail=f"{row['note'].removeprefix(PREFIX)} (told on {row['seen_on']})",
            hint="Nothing is to be done: the plainer question is asked from then on.",
        )
        for row in rows
        if row["source"] in settings.sources
    ]


async def _withheld(settings: Config, opened: Database) -> list[Finding]:
    """Return warnings of fields to be left out or hashed that nobody has seen, and of rows that still hold them."""
    syncer, found = Syncer(settings, registry(), opened, None), []
    for source in settings.sources.values():
        for stream in source.streams.values():
            if not stream.exclude and not stream.hash:
                continue
            name, target = f"{source.name}.{stream.name}", syncer.target(source.name, stream.name)
            async with opened.connection() as conn:
                found += await _unseen(conn, source.name, stream, target.table)
                held = await withheld.count_held(conn, source.name, target)
            if held:
                told = ", ".join(f"{count:,} in {table}" for table, count in held.items())
                detail = f"rows hold what is excluded or hashed now: {told}"
                hint = f"After a reload of the daemon: syncd forget {name} --excluded"
                found.append(Finding(what=name, state="warning", detail=detail, hint=hint))
    return found


async def _unseen(conn: asyncpg.Connection, source: str, stream: StreamConfig, table: Table) -> list[Finding]:
    """Return a warning for each field that has no column and never was met: it may be mistyped."""
    rows = await conn.fetch("SELECT field FROM syncd.drift WHERE source = $1 AND stream = $2", source, stream.name)
    met = {row["field"] for row in rows} | {row["field"].rpartition(".")[2] for row in rows}
    known = [column.name for column in table.columns] + [
        f"{child.field}.{column.name}" for child in table.children for column in child.table.columns
    ]
    found = []
    for key, names in (("exclude", stream.exclude), ("hash", stream.hash)):
        for name in names:
            where = place(table, name)
            if where.column is None and not where.array and name not in met:
                near = difflib.get_close_matches(name, [*known, *sorted(met)], n=3, cutoff=0.0)
                detail = f'{key} names "{name}", which is no column and no field that was ever met'
                hint = f"It is heeded wherever it appears. The nearest that are known: {', '.join(near)}."
                found.append(Finding(what=f"{source}.{stream.name}", state="warning", detail=detail, hint=hint))
    return found

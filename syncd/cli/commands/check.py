"""`syncd check`: says of configuration, database and every source whether it works, and how to mend what does not."""

import asyncio
import contextlib
import difflib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import click

from syncd import config as configuration
from syncd.cli import accounts, budget, console, foreign, webhooks
from syncd.cli.finding import CONFIGURATION, DATABASE, UPSTREAM, Finding
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config
from syncd.clock import utc_now
from syncd.config import Config, SourceConfig, StreamConfig
from syncd.contract import Answer, Table
from syncd.contract.second_ways import PREFIX
from syncd.engine.lookups import keys_of, run_query
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, SyncdError
from syncd.records.privacy import place
from syncd.sources import found as found_sources
from syncd.sources import plugins, registry, reports
from syncd.status import accounts_twice, orphans_of, read_owners
from syncd.storage.mirror import withheld
from syncd.storage.postgres import database, migrations
from syncd.storage.postgres.database import Database
from syncd.upstream.purse import Charge
from syncd.upstream.request import RunUpstream
from syncd.upstream.wire import http_session


@command(
    examples=[
        ("syncd check", "0: all well; 1: an upstream; 2: configuration; 3: database"),
        ("syncd check --budget", "requests a day that every stream needs; 2 if they are too many"),
    ]
)
@click.option("--budget", "is_budget", is_flag=True, help="Say how many requests a day are needed; ask no upstream.")
@config_option
@json_option
def check(config_path: Path | None, as_json: bool, is_budget: bool) -> int:
    """Check config, database and every upstream.

    Says what is missing and how to mend it. Logs in and sends one cheap request per source; writes nothing.
    --budget tells instead how many requests a day each stream needs, what is left for backfills, and what to change.
    """
    return execute(budget.show(config_path, as_json=as_json) if is_budget else check_all(config_path, as_json=as_json))


CLOCK_OFF_S = 60.0
"""A clock that differs by more from a server's makes cursors lag; it is worth a word."""


def _failed(what: str, error: SyncdError, exit_code: int) -> Finding:
    return Finding(what=what, state="failed", detail=str(error), hint=error.hint, exit_code=exit_code)


async def check_all(path: Path | None, *, as_json: bool) -> int:
    """Look at everything, print what was found, and return the exit code of the gravest finding."""
    async with contextlib.aclosing(_findings(path)) as found:
        well = f"all well; next: {console.pasteable('sync', path)}, or {console.pasteable('run', path)}"
        return await console.print_findings(found, as_json=as_json, well=well)


async def _findings(path: Path | None) -> AsyncGenerator[Finding, None]:
    """Yield what is found, from the configuration outwards."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    yield Finding(what=f"configuration {settings.path}", state="ok")
    settings, of_rows = accounts.with_rows(settings)
    for finding in (*of_rows, *_refused(settings)):
        yield finding
    missing = configuration.missing_secrets(settings.without_rows, os.environ)
    for text in missing:
        yield Finding(what="secret", state="failed", detail=text, exit_code=CONFIGURATION)
    for finding in (*_exposed(settings), *_twice(settings), *_lookups(settings), *_endless(settings)):
        yield finding
    async with contextlib.AsyncExitStack() as stack:
        opened: Database | None = None
        try:
            opened = await database.connect(settings.database)
            stack.push_async_callback(opened.close)
            yield Finding(what=f"database {opened.shown}", state="ok")
            await database.require_writable(opened)
            found = await _tables(opened)
            for finding in found:
                yield finding
            is_usable = not any(finding.state == "failed" for finding in found)
            for finding in await _plugins(opened) if is_usable else []:
                yield finding
            for finding in await _stored(settings, opened, is_whole=not missing) if is_usable else []:
                yield finding
            opened = opened if is_usable else None
        except DatabaseError as error:
            yield _failed("database", error, DATABASE)
            opened = None
        if missing:
            yield Finding(what="sources", state="warning", detail="not asked, because secrets are missing")
            return
        full = load_config(path, asks=bool(settings.rows_digest))
        for finding in (*accounts.unready(full, settings), *_notified(full)):
            yield finding
        http = await stack.enter_async_context(http_session())
        syncer = Syncer(full, registry(), opened or _Nowhere(), http)
        asked = [asyncio.create_task(_source(syncer, name, charged=opened is not None)) for name in full.sources]
        for task in asked:
            for finding in await task:
                yield finding


def _refused(settings: Config) -> list[Finding]:
    """Return a finding for each type that cannot be used, or is not installed; grave where the configuration has it."""
    named = set(settings.left_out.values())
    told = {each.words for each in found_sources().refused}
    away = [
        Finding(
            what=f"source {name}",
            state="failed",
            detail=why,
            hint="The other sources are not touched by it.",
            exit_code=CONFIGURATION,
        )
        for name, why in settings.left_out.items()
        if why not in told
    ]
    unanswered = [
        Finding(what="reports", state="warning", detail=each.words, hint="Upgrade the plugin, or tell its author.")
        for each in reports().left_out
    ]
    return [*away, *unanswered] + [
        Finding(
            what=f"plugin {each.type}",
            state="failed" if each.words in named else "warning",
            detail=each.words,
            hint="Upgrade or uninstall it, or tell its author. The other sources are not touched by it.",
            exit_code=CONFIGURATION if each.words in named else 0,
        )
        for each in found_sources().refused
    ]


async def _plugins(opened: Database) -> list[Finding]:
    """Return how the migrations of plugins stand, and of which plugins the database knows that are not installed."""
    unready = await migrations.unready(opened, plugins().values())
    findings = [_failed(f"migrations of {type_}", error, DATABASE) for type_, error in unready.items()]
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


async def _stored(settings: Config, opened: Database, *, is_whole: bool) -> list[Finding]:
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


def _exposed(settings: Config) -> list[Finding]:
    """Return a warning for what others may read: the status page, or a file that holds secrets."""
    found = []
    if settings.http and not configuration.is_loopback(settings.http.host):
        detail = f"http.listen {settings.http.host} is open to other machines, and the page asks for no password"
        found.append(Finding(what="status page", state="warning", detail=detail, hint="Listen on 127.0.0.1."))
    return [*found, *accounts.readable(settings)]


def _notified(settings: Config) -> list[Finding]:
    """Return a finding for [notify]: addresses that Apprise does not know are never told anything."""
    if settings.notify is None or not settings.notify.urls:
        return []
    from syncd.service.notify import outbox

    hint = "https://appriseit.com/services/ lists every form; syncd notify test tries them."
    unknown = [place for place, url in enumerate(settings.notify.urls, 1) if outbox.service_of(url) is None]
    if not unknown:
        return [Finding(what="notify", state="ok", detail="syncd notify test sends a message")]
    detail = f"urls {', '.join(map(str, unknown))}: {outbox.NO_SERVICE}"
    return [Finding(what="notify", state="warning", detail=detail, hint=hint)]


def _twice(settings: Config) -> list[Finding]:
    """Return a warning for every source that is the account of another one."""
    detail, hint = (
        "is the same account as {}, so that every view holds its rows twice",
        "Keep one: syncd sources drop {}.",
    )
    return [
        Finding(what=f"source {name}", state="warning", detail=detail.format(first), hint=hint.format(name))
        for name, first in accounts_twice(settings, registry())
    ]


def _lookups(settings: Config) -> list[Finding]:
    """Return a finding for every lookup stream that has no keys and is therefore off."""
    return [
        Finding(what=f"{source.name}.{stream.name}", state="warning", detail=f"is off: it {reason}")
        for source in settings.sources.values()
        for stream in source.streams.values()
        if stream.enabled and not stream.is_pushed and (reason := configuration.is_off(stream))
    ]


def _endless(settings: Config) -> list[Finding]:
    """Return a warning if old versions of rows are kept for ever: these tables grow without an end."""
    keeping = [
        f"{source.name}.{stream.name}"
        for source in settings.sources.values()
        for stream in source.streams.values()
        if stream.enabled and stream.history
    ]
    if not keeping or settings.retention.history_s is not None:
        return []
    detail = f"kept for ever of {', '.join(keeping)}: the tables of schema history only grow"
    hint = 'Set how long in [retention], e.g. history = "730d"; where all of it must stay, watch the size of the disk.'
    return [Finding(what="history", state="warning", detail=detail, hint=hint)]


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


async def _tables(opened: Database) -> list[Finding]:
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
        found = [_failed("migrations", error, DATABASE)]
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
                found.append(_failed(what, error, CONFIGURATION))
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


class _Nowhere(Database):
    """Stands where there is no database: the sources can be asked without one."""

    def __init__(self) -> None:
        super().__init__("", "none")


class _Uncounted:
    """A budget that is not kept, because the database that would keep it is missing: one login, one request."""

    async def charge(self, _lane: str, **_how: object) -> Charge:
        return Charge(0.0, utc_now().timestamp())

    async def observe(self, _observation: object) -> None:
        return

    async def flush(self) -> None:
        return

    def has_room(self, _lane: str) -> bool:
        return False


async def _source(syncer: Syncer, name: str, *, charged: bool) -> list[Finding]:
    """Log in to one source and ask for the first page of its cheapest listing."""
    source, settings = syncer.source(name)
    on = [s for s in source.streams if configuration.is_off(settings.streams[s.name]) is None]
    listings = [s for s in on if s.sweep_s is None and not s.lookup and not s.reads] or on
    if not listings:
        return [Finding(what=f"source {name}", state="warning", detail="no stream is on")]
    stream = listings[0]
    account = syncer.account(name)
    if not charged:
        account.purse = _Uncounted()  # type: ignore[assignment]
    upstream = RunUpstream(account, stream.name, "live")
    heard: list[Answer] = []
    upstream.hears = heard.append
    try:
        if charged:
            await syncer.require_same_account(name)
        walk = await syncer.walk(name, stream.name, Order(), upstream, None)
        walking = stream.walk(walk)
        try:
            page = await anext(walking)
        finally:
            await walking.aclose()  # type: ignore[attr-defined]
            await account.purse.flush()
    except SyncdError as error:
        failed = _failed(f"source {name}", error, UPSTREAM)
        if settings.proxy and settings.proxy.address not in failed.detail:
            failed.detail += _through(settings)
        found = [failed]
    else:
        detail = f"{settings.base_url} answers, {stream.name} gave {len(page.records)} records{_through(settings)}"
        found = [Finding(what=f"source {name}", state="ok", detail=detail)]
    return found + _clock_off(name, heard)


def _through(settings: SourceConfig) -> str:
    """Name the proxy that a source uses."""
    return f", through the proxy {settings.proxy.address} ({settings.proxy.origin})" if settings.proxy else ""


def _clock_off(name: str, heard: list[Answer]) -> list[Finding]:
    """Return a warning if this machine's clock differs from the server's."""
    for answer in heard[:1]:
        off_s = (answer.sent_at - answer.served_at).total_seconds() if answer.served_at else 0.0
        if abs(off_s) > CLOCK_OFF_S:
            return [
                Finding(
                    what=f"clock of {name}",
                    state="warning",
                    detail=f"this machine is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} its server",
                    hint="Synchronise this machine's clock (timedatectl set-ntp true). Cursors take the earlier one.",
                )
            ]
    return []

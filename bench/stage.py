"""What every benchmark stands on: one folder, one private PostgreSQL server as syncd starts it, measured commands."""

import asyncio
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd.config import Secret
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.embedded.cluster import SUPERUSER

CUSTOMERS = 200_000
BIG = 1_000_000
ACCOUNTS = 1_000
STEPS = (1_000, 2_000, 4_000)
TOO_LONG = f"data-{'x' * 100}"
"""A folder whose path is too long for a Unix socket: the private server listens on loopback."""
_TEMPLATE = "bench_template"
_RECORD = re.compile(r"len \(rec/tot\): +\d+/ +(\d+),")
_BLOCK = re.compile(r"rel \d+/\d+/(\d+)")
_FILES = """
WITH tables AS (SELECT oid, reltoastrelid FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'),
     heaps AS (SELECT oid FROM tables UNION SELECT reltoastrelid FROM tables)
SELECT array_agg(pg_relation_filenode(c.oid)::text) FROM pg_class c
WHERE c.oid IN (SELECT oid FROM heaps UNION SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM heaps))
"""
"""The files of a schema's tables, their TOAST and their indexes, as the WAL names them."""


@dataclass(frozen=True)
class Took:
    """What a command took, its children included; `peak_mb` is that of the largest process."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where benchmarks run: `folder` is theirs, `size` and `big` are how many customers are loaded; `accounts` tick.

    `steps` are the numbers of accounts where several are compared.
    `peer` is false where the peer is left out; of what is done `repeats` times, the best counts.
    """

    folder: Path
    server: embedded.Server
    size: int = CUSTOMERS
    big: int = BIG
    accounts: int = ACCOUNTS
    steps: tuple[int, ...] = STEPS
    peer: bool = True
    repeats: int = 2

    def tell(self, what: str) -> None:
        """Say what comes now, or what it took: some of it takes minutes."""
        print(what, file=sys.stderr, flush=True)

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.server.data_dir / "postgres.log"

    async def database(self, name: str, *, migrated: bool = True) -> str:
        """Make an empty database, migrated or bare, and return its url."""
        if migrated:
            await self._make_template()
        template = _TEMPLATE if migrated else "template1"
        await self.as_superuser(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # autovacuum may be at work there
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url(name)

    async def _make_template(self) -> None:
        """Make the migrated database that others are copies of, once a server."""
        conn = await asyncpg.connect(**self.server.connect_arguments)
        try:
            if await conn.fetchval("SELECT true FROM pg_database WHERE datname = $1", _TEMPLATE):
                return
            await conn.execute(f"CREATE DATABASE {_TEMPLATE}")
        finally:
            await conn.close()
        settings = configuration.DatabaseConfig(url=Secret(self._url(_TEMPLATE)), data_dir=self.folder)
        opened = await database.connect(settings)
        try:
            await migrations.migrate(opened)
        finally:
            await opened.close()

    def _url(self, name: str) -> str:
        login, _, place = self.server.url.partition("@")
        return f"{login}@{place.replace('/syncd', f'/{name}', 1)}"

    async def execute(self, *statements: str, url: str | None = None) -> None:
        """Execute statements in the server's own database, or in another."""
        conn = await (asyncpg.connect(url) if url else asyncpg.connect(**self.server.connect_arguments))
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

    async def as_superuser(self, statement: str) -> None:
        """Execute one statement that only the server's superuser may."""
        conn = await asyncpg.connect(**{**self.server.connect_arguments, "user": SUPERUSER, "database": "postgres"})
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    async def rest(self, url: str) -> None:
        """Bring a database to the state that autovacuum gives it within minutes, and every subject to the same start.

        Without it, the first reader of fresh rows would mark them as committed, which is written to the WAL (and which
        cannot be done before the commit is flushed).
        """
        await self.as_superuser("CHECKPOINT")
        await self.execute("SET synchronous_commit = on", "VACUUM ANALYZE", url=url)
        await self.as_superuser("CHECKPOINT")

    async def wal_position(self) -> str:
        """Return how far the WAL goes; up to there it is in its files, also where commits do not wait for that."""
        conn = await asyncpg.connect(**self.server.connect_arguments)
        try:
            position = await conn.fetchval("SELECT pg_current_wal_insert_lsn()::text")
            await conn.execute("SET synchronous_commit = on")
            await conn.execute("SELECT pg_logical_emit_message(true, 'bench', '')")
            return str(position)
        finally:
            await conn.close()

    async def wal_mb(self, begin: str, end: str) -> float:
        """Return the megabytes of WAL between two positions."""
        conn = await asyncpg.connect(**self.server.connect_arguments)
        try:
            size = await conn.fetchval("SELECT pg_wal_lsn_diff($1::text::pg_lsn, $2::text::pg_lsn)", end, begin)
            return float(size) / 1e6
        finally:
            await conn.close()

    async def wal_mb_of(self, begin: str, end: str, url: str, schema: str) -> float:
        """Return the megabytes of WAL between two positions that touch the tables of a schema."""
        conn = await asyncpg.connect(url)
        try:
            files = await conn.fetchval(_FILES, schema)
        finally:
            await conn.close()
        return await asyncio.to_thread(self._wal_bytes_of, begin, end, set(files)) / 1e6

    def _wal_bytes_of(self, begin: str, end: str, files: set[str]) -> int:
        """Read the WAL, and add up the records that touch one of the files."""
        dump = subprocess.run(
            [self.server.psql.with_name("pg_waldump"), "-p", self.server.data_dir / "cluster/pg_wal", "-s", begin,
             "-e", end],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not dump.stdout:
            raise RuntimeError(f"pg_waldump read nothing from {begin} to {end}: {dump.stderr[:300]}")
        return sum(
            int(found[1])
            for line in dump.stdout.splitlines()
            if (found := _RECORD.search(line)) and not files.isdisjoint(_BLOCK.findall(line))
        )

    def machine(self) -> dict[str, Any]:
        """Return what the figures depend on."""
        return {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "python": platform.python_version(),
            "postgres": self.server.version,
            "system": f"{platform.system()} {platform.machine()}",
            "customers": self.size,
            "fsync": "on (as syncd starts its server)",
            "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        }


@asynccontextmanager
async def staged(folder: Path, **wishes: Any) -> AsyncIterator[Stage]:
    """Start the server in an empty folder until the block ends; `wishes` are those of a Stage.

    Everybody reaches it over TCP with a password, as users reach a server of their own.
    """
    data_dir = folder / TOO_LONG
    server = await embedded.ensure(data_dir)
    try:
        yield Stage(folder=folder, server=server, **wishes)
    finally:
        await embedded.stop(data_dir)


def python(*words: str | Path) -> list[str]:
    """Return the command that runs a module or file with this interpreter."""
    return [sys.executable, *map(str, words)]


async def measured(*command: str | Path) -> Took:
    """Run a command to its end and return what it took; raises RuntimeError with its last words if it fails.

    Python compiles what it imports only once, as where syncd is installed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(Path(__file__).with_name("process.py")), *map(str, command),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, command))} ended with {process.returncode}: {(err + out).decode()[-2000:]}"
        )
    output, _, last = out.decode().rstrip().rpartition("\n")
    return Took(**json.loads(last), output=output)

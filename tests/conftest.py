"""What every test stands on: one private PostgreSQL server, a migrated database of its own, and the sandbox."""

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from syncd import config as configuration
from syncd import database, embedded, log
from syncd.client import http_session
from syncd.config import Config
from syncd.database import Database
from syncd.sandbox import Address, Sandbox, config_text, serve
from syncd.sources import registry, specs
from syncd.sync import Order, Result, Syncer
from tests.kept import keeping

SERVER_SETTINGS = {
    "autovacuum": "off",  # its worker belongs to the superuser, and would keep a database from being dropped
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200",
}  # fmt: skip
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    log.configure("json", "error")


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="syncd-pg-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data"


@pytest.fixture(scope="session")
async def server(server_dir: Path) -> AsyncIterator[embedded.Server]:
    """One server for the whole session, with a migrated database `template` to copy."""
    found = await embedded.ensure(server_dir, settings=SERVER_SETTINGS)
    conn = await asyncpg.connect(**found.connect_arguments)
    await conn.execute("CREATE DATABASE template")
    await conn.close()
    opened = await database.connect(_settings(found, "template", server_dir))
    await database.migrate(opened)
    await opened.close()
    yield found
    await embedded.stop(server_dir)


def _settings(server: embedded.Server, name: str, folder: Path) -> configuration.Database:
    return configuration.Database(url=configuration.Secret(database_url(server, name)), data_dir=folder)


def database_url(server: embedded.Server, name: str) -> str:
    """Return the url of another database of the server."""
    login, _, place = server.url.partition("@")
    return f"{login}@{place.replace('/syncd', f'/{name}', 1)}"


@pytest.fixture
async def db_url(server: embedded.Server) -> AsyncIterator[str]:
    """The url of an empty, migrated database of this test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    conn = await asyncpg.connect(**server.connect_arguments)
    copying = "STRATEGY file_copy" if conn.get_server_version().major >= 15 else ""  # what 14 does anyway
    await conn.execute(f"CREATE DATABASE {name} TEMPLATE template {copying}")
    try:
        yield database_url(server, name)
        await conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await conn.close()


@pytest.fixture
async def db(db_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An open, empty, migrated database of this test."""
    opened = await database.connect(configuration.Database(url=configuration.Secret(db_url), data_dir=tmp_path))
    yield opened
    await opened.close()


@dataclass
class Time:
    """A clock that a test moves: upstream and syncd both read it."""

    at: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def pass_by(self, **duration: float) -> None:
        self.at += timedelta(**duration)

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once, giving other tasks their turn."""
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Bench:
    """A sandbox, a mirror and a syncer between the two, on one clock."""

    sandbox: Sandbox
    address: Address
    config: Config
    syncer: Syncer
    db: Database
    db_url: str
    time: Time
    folder: Path
    keeps: bool = False
    past: tuple[Any, ...] = field(default=(), repr=False)

    async def sync(self, selector: str, kind: Any = "live", **order: Any) -> Result:
        """Run one stream, named `source.stream`, once."""
        source, _, stream = selector.partition(".")
        return await self.syncer.run(source, stream, Order(kind=kind, **order))

    async def rows(self, table: str, where: str = "_deleted_at IS NULL") -> list[asyncpg.Record]:
        """Return rows of a table of the mirror, in the order of its key."""
        async with self.db.connection() as conn:
            return list(await conn.fetch(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2, 3"))

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        async with self.db.connection() as conn:
            return list(await conn.fetch(query, *values))

    def config_file(self, extra: str = "") -> Path:
        """Write a configuration for another process, and return its path."""
        path = self.folder / "config.toml"
        text = config_text(self.sandbox, self.address)
        path.write_text(
            f'[database]\nurl = "{self.db_url}"\n[http]\nlisten = "127.0.0.1:0"\n'
            + (keeping(text) if self.keeps else text)
            + extra
        )
        path.chmod(0o600)
        return path


MakeBench = Callable[..., Awaitable[Bench]]


async def open_bench(
    stack: AsyncExitStack,
    db: Database,
    db_url: str,
    folder: Path,
    *,
    extra: str = "",
    lines: Mapping[str, str] | None = None,
    keeps: bool = False,
    **options: Any,
) -> Bench:
    """Open a bench on a database until the stack ends.

    `options` go to the Sandbox; `lines` are TOML by type of source, added to its table, `extra` is added at the end.
    With `keeps` every stream keeps its history and tells of its changes.
    """
    time = options.pop("time", None) or Time()
    sandbox = Sandbox(now=time.now, **options)
    address = await stack.enter_async_context(serve(sandbox))
    text = config_text(sandbox, address)
    for kind, line in (lines or {}).items():
        text = text.replace(f'type = "{kind}"\n', f'type = "{kind}"\n{line}\n')
    path = folder / "bench.toml"
    text = f'[database]\nurl = "{db_url}"\n{text}{extra}'
    path.write_text(keeping(text) if keeps else text)
    path.chmod(0o600)
    settings = configuration.load(path, specs())
    http = await stack.enter_async_context(http_session())
    syncer = Syncer(settings, registry(), db, http, clock=time.now, sleep=time.sleep, jitter=lambda: 0.0)
    return Bench(
        sandbox=sandbox, address=address, config=settings, syncer=syncer, db=db, db_url=db_url, time=time,
        folder=folder, keeps=keeps,
    )  # fmt: skip


@pytest.fixture
async def make_bench(db: Database, db_url: str, tmp_path: Path) -> AsyncIterator[MakeBench]:
    """Make a bench; see `open_bench` for its arguments."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Bench:
            return await open_bench(stack, db, db_url, tmp_path, **options)

        yield make


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    """A bench over a sandbox of the usual size."""
    return await make_bench()

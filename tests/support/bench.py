"""A sandbox, a mirror and a syncer between the two, on one clock that a test moves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd.config import Config
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.sandbox import Address, Sandbox, config_text, serve
from syncd.sources import registry, specs
from syncd.storage.postgres import database, embedded
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session
from tests.support.watch import keeping

SERVER_SETTINGS = {
    "autovacuum": "off",  # its worker belongs to the superuser, and would keep a database from being dropped
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200",
    "shared_buffers": "32MB",  # making and dropping a database looks through all of them
}  # fmt: skip


def settings_of(server: embedded.Server, name: str, folder: Path) -> configuration.DatabaseConfig:
    return configuration.DatabaseConfig(url=configuration.Secret(database_url(server, name)), data_dir=folder)


def database_url(server: embedded.Server, name: str) -> str:
    """Return the url of another database of the server."""
    login, _, place = server.url.partition("@")
    return f"{login}@{place.replace('/syncd', f'/{name}', 1)}"


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
    lines: Mapping[str, str] = field(default_factory=dict)
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
        """Write the bench's configuration, without its `extra`, for another process, and return its path."""
        path = self.folder / "config.toml"
        text = with_lines(config_text(self.sandbox, self.address), self.lines)
        path.write_text(
            f'[database]\nurl = "{self.db_url}"\n[http]\nlisten = "127.0.0.1:0"\n'
            + (keeping(text) if self.keeps else text)
            + extra
        )
        path.chmod(0o600)
        return path


def with_lines(text: str, lines: Mapping[str, str]) -> str:
    """Return a configuration with lines added to the tables of its sources, by their type."""
    for kind, line in lines.items():
        text = text.replace(f'type = "{kind}"\n', f'type = "{kind}"\n{line}\n')
    return text


@asynccontextmanager
async def own_database(server: embedded.Server, name: str, folder: Path) -> AsyncIterator[tuple[Database, str]]:
    """Make a migrated database for all tests of a module, and drop it at the end; yield it and its url.

    To copy one takes longer than to empty it.
    """
    admin = await asyncpg.connect(**server.connect_arguments)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    opened = await database.connect(settings_of(server, name, folder))
    try:
        yield opened, database_url(server, name)
    finally:
        await opened.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


MakeBench = Callable[..., Awaitable[Bench]]


def streams_on(bench: Bench) -> int:
    """Return how many streams of the configuration do something."""
    streams = [stream for source in bench.config.sources.values() for stream in source.streams.values()]
    return sum(configuration.is_off(stream) is None for stream in streams)


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
    text = with_lines(config_text(sandbox, address), lines or {})
    path = folder / "bench.toml"
    text = f'[database]\nurl = "{db_url}"\n{text}{extra}'
    path.write_text(keeping(text) if keeps else text)
    path.chmod(0o600)
    settings = configuration.load(path, specs())
    http = await stack.enter_async_context(http_session())
    syncer = Syncer(settings, registry(), db, http, clock=time.now, sleep=time.sleep, jitter=lambda: 0.0)
    return Bench(
        sandbox=sandbox, address=address, config=settings, syncer=syncer, db=db, db_url=db_url, time=time,
        folder=folder, keeps=keeps, lines=lines or {},
    )  # fmt: skip

"""What every benchmark stands on: one folder and one private PostgreSQL server, as syncd itself would start it."""

import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd import database, embedded
from syncd.config import Secret

CUSTOMERS = 200_000


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where benchmarks run: `folder` is theirs, `size` is how many customers the big ones use.

    `peer` is false where the peer is left out.
    """

    folder: Path
    server: embedded.Server
    size: int = CUSTOMERS
    peer: bool = True

    async def database(self, name: str, *, migrated: bool = True) -> str:
        """Make an empty database, migrated or bare, and return its url."""
        await self.execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        login, _, place = self.server.url.partition("@")
        url = f"{login}@{place.replace('/syncd', f'/{name}', 1)}"
        if migrated:
            opened = await database.connect(configuration.Database(url=Secret(url), data_dir=self.folder))
            try:
                await database.migrate(opened)
            finally:
                await opened.close()
        return url

    async def execute(self, *statements: str) -> None:
        """Execute statements in the server's own database."""
        conn = await asyncpg.connect(**self.server.connect_arguments)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

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
async def staged(folder: Path, *, size: int, peer: bool) -> AsyncIterator[Stage]:
    """Start the server in an empty folder until the block ends."""
    server = await embedded.ensure(folder / "data")
    try:
        yield Stage(folder=folder, server=server, size=size, peer=peer)
    finally:
        await embedded.stop(folder / "data")


def python(*words: str | Path) -> list[str]:
    """Return the command that runs a module or file with this interpreter."""
    return [sys.executable, *map(str, words)]

"""One private PostgreSQL server for all kits of a process, with a migrated database for each source.

It lies in memory where there is room, and ends with the process.
"""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg

from syncd import config as configuration
from syncd.contract import Source
from syncd.storage.postgres import database, embedded, migrations

ROOM_BYTES: Final = 1 << 30
"""What the server may take of the memory's own file system; our choice."""
SETTINGS: Final = {
    "autovacuum": "off", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
}  # fmt: skip
"""Nothing here outlives the process, so nothing need be safe on a disk."""

OURS: Final = "kit"
"""The database in which syncd's own migrations have run: the others are copies of it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A migrated database of the server, and a folder to write files to."""

    url: str
    folder: Path

    @property
    def settings(self) -> configuration.DatabaseConfig:
        """The database as a configuration names it."""
        return configuration.DatabaseConfig(url=configuration.Secret(self.url), data_dir=self.folder)


_places: dict[str, Place] = {}
"""Databases by their names."""


async def place_of(source: Source) -> Place:
    """Return the database of a source, with its tables; made on first use."""
    name = _name_of(source)
    if name not in _places:
        if OURS not in _places:
            _places[OURS] = await _made(OURS, "template1", [])
        _places[name] = await _made(name, OURS, [source])
    return _places[name]


def use(source: Source, place: Place) -> None:
    """Let the kits of a source work on an empty, migrated database of the caller, who drops it after them."""
    _places[_name_of(source)] = place


def _name_of(source: Source) -> str:
    return f"kit_{source.type}"


async def _made(name: str, template: str, sources: Sequence[Source]) -> Place:
    """Make a database from another one, and run the migrations that it lacks."""
    server = await embedded.ensure(_folder() / "data", settings=SETTINGS)
    conn = await asyncpg.connect(**server.connect_arguments)
    try:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await conn.close()
    login, _, rest = server.url.partition("@")
    place = Place(url=f"{login}@{rest.replace('/syncd', f'/{name}', 1)}", folder=_folder())
    opened = await database.connect(place.settings)
    try:
        migrated = await migrations.migrate_all(opened, sources)
    finally:
        await opened.close()
    if migrated.failed:
        raise migrated.failed[0]
    return place


@cache
def _folder() -> Path:
    memory = Path("/dev/shm")  # noqa: S108  (the name inside it is made by tempfile)
    is_fit = os.access(memory, os.W_OK | os.X_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="syncd-kit-", dir=memory if is_fit else None))
    atexit.register(_end, folder)
    return folder


def _end(folder: Path) -> None:
    asyncio.run(embedded.stop(folder / "data"))
    shutil.rmtree(folder, ignore_errors=True)

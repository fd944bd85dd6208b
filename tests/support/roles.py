"""A database that deploy/roles.sql made and `syncd migrate` filled, on the tests' server."""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from syncd import config as configuration
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.embedded.cluster import binary_directories
from syncd.storage.postgres.embedded.server import ROLE
from tests.support.bench import database_url

SCRIPT = (Path(__file__).parents[2] / "deploy" / "roles.sql").read_text()
MADE = ("syncd_analyst", "syncd_reader")
"""Roles of the script that the private server has not made already."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """The database as its owner has it; `psql` runs a script in it as superuser."""

    server: embedded.Server
    name: str
    db: Database

    def psql(self, text: str) -> None:
        _psql(self.server, self.name, text)

    @property
    def url(self) -> str:
        return database_url(self.server, self.name)


def _psql(server: embedded.Server, name: str, text: str, *words: str) -> None:
    program = binary_directories()[-1] / "psql"
    place = ("-h", server.host, "-p", str(server.port), "-U", "postgres", "-d", name)
    subprocess.run(  # noqa: S603
        [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", *place, *words],
        input=text, text=True, check=True, capture_output=True,
    )  # fmt: skip


@asynccontextmanager
async def owned(server: embedded.Server, folder: Path) -> AsyncIterator[Owned]:
    """Make the database and its roles; take both away in the end."""
    name = f"roles_{os.getpid()}"
    _psql(server, "postgres", f"{SCRIPT}\nGRANT syncd_reader, syncd_analyst TO {ROLE};", "-v", f"database={name}")
    try:
        place = configuration.DatabaseConfig(url=configuration.Secret(database_url(server, name)), data_dir=folder)
        opened = await database.connect(place)
        await migrations.migrate(opened)
        yield Owned(server=server, name=name, db=opened)
        await opened.close()
    finally:
        _psql(server, "postgres", f"DROP DATABASE {name} WITH (FORCE)")
        _psql(server, "postgres", "".join(f"DROP ROLE {role};" for role in MADE))

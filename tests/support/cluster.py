"""The cluster of each worker: the first worker makes one with a migrated database, and the others copy it."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import asyncpg

from syncd.storage.postgres import database, embedded, migrations
from tests.support.bench import SERVER_SETTINGS, settings_of

TEMPLATE = "template"
"""The migrated database that tests copy."""


async def start(data_dir: Path, shared: Path) -> embedded.Server:
    """Start a server on a new cluster with a migrated database.

    `shared` is a folder of all workers of this run. To make the cluster takes seconds, to copy it a tenth of one.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return await _make(data_dir)
    made, taken = shared / "cluster", shared / "cluster.taken"
    with (shared / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            _copy(made, data_dir)
        else:
            await _make(data_dir)
            await embedded.stop(data_dir)
            _copy(data_dir, made)
        with taken.open("a") as file:
            file.write("+")
        if taken.stat().st_size == workers:
            shutil.rmtree(made)
    return await embedded.ensure(data_dir, settings=SERVER_SETTINGS)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["/bin/cp", "-a", str(source), str(target)], check=True)  # noqa: S603  (the owner stays the same)


async def _make(data_dir: Path) -> embedded.Server:
    found = await embedded.ensure(data_dir, settings=SERVER_SETTINGS)
    conn = await asyncpg.connect(**found.connect_arguments)
    await conn.execute(f"CREATE DATABASE {TEMPLATE}")
    await conn.close()
    opened = await database.connect(settings_of(found, TEMPLATE, data_dir))
    await migrations.migrate(opened)
    await opened.close()
    return found

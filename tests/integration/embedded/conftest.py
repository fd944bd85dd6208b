"""Folders for embedded servers: empty ones, and ones with a cluster in it."""

# ruff: noqa: ASYNC221 -- nothing else runs in these loops; what they block on is what is tested
# ruff: noqa: S603 -- the commands are this file's own

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from syncd.storage.postgres import embedded
from tests.support.fresh_server import ensure


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a directory whose path leaves room for a socket's name, wherever pytest puts its own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path).resolve()


@pytest.fixture
async def fresh_dir(short_path: Path) -> AsyncIterator[Path]:
    """Name a data directory that does not exist yet."""
    directory = short_path / "data"
    yield directory
    await embedded.stop(directory)


@pytest.fixture(scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("embedded") / "template"
    await ensure(directory)
    await embedded.stop(directory)
    return directory


@pytest.fixture
async def data_dir(fresh_dir: Path, template: Path) -> Path:
    """Give a data directory with a cluster and no server: a copy, because initdb takes longer than most tests."""
    subprocess.run(["/bin/cp", "-a", str(template), str(fresh_dir)], check=True)
    return fresh_dir

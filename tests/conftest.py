"""What every test stands on: one private PostgreSQL server, a migrated database of its own, and the sandbox."""

import gc
import itertools
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog.testing

from syncd import config as configuration
from syncd import log
from syncd.storage.postgres import database, embedded
from syncd.storage.postgres.database import Database
from tests.support import cluster, search, signals
from tests.support.bench import Bench, MakeBench, database_url, open_bench
from tests.support.daemon import Events, Gate
from tests.support.dealing import deal

ROOM_BYTES = 4 * 1024**3
YOUNG_OBJECTS = 50_000
"""How many objects are made before cycles are looked for: Python's 700 cost a tenth of a run's CPU."""
_numbers = itertools.count(1)


def pytest_configure() -> None:
    """Let the run and its children end by signals, whatever the parent ignores; look for cycles seldom."""
    signals.restore()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


@pytest.hookimpl(trylast=True)  # after `-m` and `-k` have chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with its share of the long cases, so that none of them is left for the end."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = deal(items, workers, search.length)


def pytest_collection_finish() -> None:
    """Never look for cycles in what was imported and collected, which lives as long as the run."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Take SIGTERM back from a loop that handled it: `remove_signal_handler` leaves the default action."""
    signals.restore()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much time the cases of each room took in all processes together, the slowest room first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    cases: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                room = report.nodeid.partition("::")[0].rpartition("/")[0]
                seconds[room] += report.duration
                cases[room] += report.when == "call"
    if len(seconds) > 1:
        terminalreporter.section("time per room")
        for room, taken in sorted(seconds.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{taken:8.2f}s {cases[room]:5} cases  {room}")


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    log.configure("json", "error")


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="syncd-pg-", dir=in_memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data"


def in_memory() -> Path | None:
    """Return a folder in memory with room for the servers of some workers, if there is one.

    A test's database is a copy of some thousand files. On a disk, making and dropping it takes seven times as long.
    """
    folder = Path("/dev/shm")  # noqa: S108  (the name inside it is made by tempfile)
    if os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free > ROOM_BYTES:
        return folder
    return None


@pytest.fixture(scope="session")
async def server(server_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[embedded.Server]:
    """One server for the whole session, with a migrated database `template` to copy."""
    yield await cluster.start(server_dir, tmp_path_factory.getbasetemp().parent)
    await embedded.stop(server_dir)


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
    opened = await database.connect(configuration.DatabaseConfig(url=configuration.Secret(db_url), data_dir=tmp_path))
    yield opened
    await opened.close()


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


@pytest.fixture
def events() -> Iterator[Events]:
    """Every event that is logged while the test runs."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
async def gate(server: embedded.Server) -> AsyncIterator[Gate]:
    """A door before the database of the session, open at first."""
    gate = Gate(server)
    await gate.open()
    yield gate
    gate.shut()

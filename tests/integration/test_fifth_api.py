"""A fifth API is one package, one migration, its sandbox and its page: no other file knows of it.

A copy of the code base gets the files of `tests/support/toy`, and a user's commands run from there: processes of their
own, against a served sandbox and a real database.
"""

import asyncio
import filecmp
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from syncd.storage.postgres import migrations
from tests.support import forks
from tests.support.command import Ended, syncd
from tests.support.search import trial

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests/support/toy"
PLACES = {
    "source.py": "syncd/sources/toy/__init__.py",
    "migration.py": "migrations/versions/9999_toy.py",
    "sandbox.py": "syncd/sandbox/apis/toy/__init__.py",
    "page.md": "docs/sources/toy.md",
}
COPIED = ("syncd", "migrations", "docs", "pyproject.toml")
READY_S = 60.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the code base with the fifth API in it."""
    folder = tmp_path_factory.mktemp("house")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for name, place in PLACES.items():
        text = (TOY / name).read_text("utf-8").replace("NEWEST", migrations.newest_revision())
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def env(house: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which `python -m syncd` is the copy."""
    variables = {"PYTHONPATH": str(house), "PYTHONSAFEPATH": "1"}
    with forks.keeping(variables):
        yield variables


@pytest.fixture
async def upstream(env: Mapping[str, str]) -> AsyncIterator[str]:
    """The copy's sandbox, served by a process of its own: its URL."""
    process = await forks.start("--customers", "5", module="syncd.sandbox", env=env)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            line = (await process.stdout.readline()).decode()
            written = ""
            while 'ids = ["a/1"' not in written:  # the end of the toy's own source in the ready-made configuration
                written += (await process.stdout.readline()).decode()
        assert '[sources.club]\ntype = "toy"' in written
        yield line.split()[-1]
    finally:
        process.kill()
        await process.communicate()
        forks.let_go(process)


class User:
    """Somebody at the command line, with one configuration."""

    def __init__(self, folder: Path, env: Mapping[str, str], db_url: str, upstream: str) -> None:
        self.config = folder / "config.toml"
        self.env = {**env, "TOY_KEY": "sandbox-toy-key-5a", "TOY_DB": db_url, "SYNCD_CONFIG": str(self.config)}
        self.upstream = upstream

    async def does(self, *words: str, code: int = 0) -> Ended:
        """Run a command that ends with this code."""
        ended = await syncd(*words, env=self.env)
        assert ended.code == code, f"{words}: {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    async def inits(self) -> None:
        """Write the configuration, and name the labels to look up."""
        await self.does(
            "init", "--type", "toy", "--database", "env:TOY_DB",
            "--set", f"base_url={self.upstream}/toy", "--set", "api_key=env:TOY_KEY",
        )  # fmt: skip
        self.config.write_text(
            self.config.read_text()
            + "\n[sources.club.streams.members]\nhistory = true\nchanges = true\n"
            + '\n[sources.club.streams.labels]\nids = ["a/1", "b 2", "gone"]\n'
        )

    async def told(self, control: str, **body: Any) -> None:
        """Change the upstream."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.upstream}/_sandbox/{control}", json={"api": "toy", **body}) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def truth(self, stream: str) -> list[dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.upstream}/_sandbox/truth/toy/{stream}") as answer,
        ):
            found: list[dict[str, Any]] = await answer.json()
            return found


@pytest.fixture
def user(tmp_path: Path, env: Mapping[str, str], db_url: str, upstream: str) -> User:
    return User(tmp_path, env, db_url, upstream)


@pytest.fixture
async def db(db_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(db_url)
    yield conn
    await conn.close()


def test_no_other_file_knows_of_it(house: Path) -> None:
    files = {
        path.relative_to(house).as_posix()
        for name in COPIED
        for path in ([house / name] if (house / name).is_file() else (house / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    added = {name for name in files if not (ROOT / name).exists()}
    assert added == set(PLACES.values())
    _, changed, unread = filecmp.cmpfiles(ROOT, house, files - added, shallow=False)
    assert (changed, unread) == ([], [])


def test_the_import_contracts_hold_with_it(house: Path, env: Mapping[str, str]) -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(  # noqa: S603 (our own words)
        [sys.executable, "-c", program, "--no-cache"],
        cwd=house, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=READY_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@trial
async def test_a_user_lives_with_it(user: User, db: asyncpg.Connection) -> None:
    await user.inits()
    assert "Run: syncd migrate" in (await user.does("check", code=3)).out
    assert "applied: 9999" in (await user.does("migrate")).out
    assert "source club" in (await user.does("check")).out

    await user.does("sync", "club")
    members, visits = await user.truth("members"), await user.truth("member_visits")
    assert len(members) > 20
    assert len(visits) > 20
    rows = await db.fetch("SELECT member_id, name FROM toy.members WHERE source = 'club' ORDER BY 1")
    assert [(row["member_id"], row["name"]) for row in rows] == [(m["member_id"], m["name"]) for m in members]
    held = await db.fetch("SELECT member_id, visit_id, place FROM toy.member_visits ORDER BY 1, 2")
    assert [tuple(row) for row in held] == [(v["_member_id"], v["visit_id"], v["place"]) for v in visits]
    assert [row["label_id"] for row in await db.fetch("SELECT * FROM toy.labels ORDER BY label_id")] == ["a/1", "b 2"]

    await _sweeps(user, db)
    await _tells_how_things_stand(user)
    await _forgets(user, db)


async def _sweeps(user: User, db: asyncpg.Connection) -> None:
    """What is gone upstream is buried, what changed is mirrored with its history, the lookup follows, too."""
    await user.told("delete", stream="members", key=7)
    renamed = {"member_id": 8, "name": "Renamed", "joined_at": None, "visits": [{"visit_id": 0, "place": "bar"}]}
    await user.told("put", stream="members", record=renamed)
    await user.told("delete", stream="labels", key="b 2")
    await user.does("sync", "club", "--full")
    gone = await db.fetch("SELECT member_id FROM toy.members WHERE _deleted_at IS NOT NULL")
    assert [row["member_id"] for row in gone] == [7]
    assert await db.fetchval("SELECT name FROM toy.members WHERE member_id = 8") == "Renamed"
    assert await db.fetchval("SELECT name FROM history.toy_members WHERE member_id = 8") == "Member 8"
    changes = await db.fetch("SELECT operation, key FROM syncd.changes WHERE operation <> 'insert' ORDER BY id")
    told = {(row["operation"], json.loads(row["key"])["member_id"]) for row in changes}
    assert told >= {("delete", 7), ("update", 8)}
    assert [r["label_id"] for r in await db.fetch("SELECT * FROM toy.labels WHERE _deleted_at IS NULL")] == ["a/1"]


async def _tells_how_things_stand(user: User) -> None:
    status = json.dumps((await user.does("status", "--json")).json)
    assert '"club"' in status
    assert '"members"' in status
    assert "club.members" in (await user.does("verify", "club")).out
    exported = (await user.does("export", "club.members", "--format", "jsonl")).out.splitlines()
    assert {json.loads(line)["name"] for line in exported} >= {"Member 1", "Renamed"}
    assert len(exported) == len(await user.truth("members"))
    [fresh] = (await user.does("report", "sync_freshness", "--format", "json")).json
    assert (fresh["source"], fresh["streams"], fresh["failing"]) == ("club", 2, 0)


async def _forgets(user: User, db: asyncpg.Connection) -> None:
    """A forgotten member leaves no row, no visit and no version behind, and does not come back."""
    query = """
        SELECT (SELECT count(*) FROM toy.members WHERE member_id = 8) + (SELECT count(*) FROM toy.member_visits
                WHERE member_id = 8) + (SELECT count(*) FROM history.toy_members WHERE member_id = 8)
    """
    assert await db.fetchval(query) > 2
    await user.does("forget", "club", "8", "--yes")
    assert await db.fetchval(query) == 0
    await user.does("sync", "club", "--full")
    assert await db.fetchval(query) == 0


@trial
async def test_check_names_its_missing_rights(user: User, db: asyncpg.Connection, db_url: str) -> None:
    await user.inits()
    await user.does("migrate")
    role = "stranger_of_" + await db.fetchval("SELECT current_database()")
    await db.execute(f"CREATE ROLE {role} LOGIN; GRANT {role} TO current_user")
    try:
        for schema in ("syncd", "history", "reporting", "cyclesoftware", "cyclis", "autengo", "ghs"):
            await db.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
            await db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
        user.env["TOY_DB"] = db_url.replace("postgresql://syncd@", f"postgresql://{role}@")
        found = (await user.does("check", code=3)).out
        await db.execute(f"GRANT USAGE ON SCHEMA toy TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA toy TO {role}")
        await user.does("check")
    finally:
        await db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert f"the role {role} may not read and write toy.members and 2 more" in " ".join(found.split())


async def test_check_names_a_migration_that_was_left_out(user: User, house: Path, db: asyncpg.Connection) -> None:
    await user.inits()
    migration = house / PLACES["migration.py"]
    text = migration.read_text("utf-8")
    migration.unlink()
    try:
        found = (await user.does("check", code=3)).out
    finally:
        migration.write_text(text, "utf-8")
    assert "the table toy.labels and 2 more of a source type is not there" in " ".join(found.split())

"""Plugins: sources that come as distributions of their own, with migrations that are theirs."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from syncd import config
from syncd.contract import Source
from syncd.errors import DatabaseChanged, MigrationFailed
from syncd.sources import registry
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.migrations import Branch, find_standing, migrate, migrate_all, remove, revisions
from tests.support import forks
from tests.support.bench import database_url
from tests.support.command import LONGEST_S, Ended, started, syncd
from tests.support.plugin import first, install, install_toy, later
from tests.support.search import trial

_numbers = itertools.count(1)
MakeDatabase = Callable[[], Awaitable[Database]]

OTHERS = """
SELECT n.nspname || '.' || c.relname, c.xmin::text, c.relfilenode
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('syncd', 'history', 'reporting', 'cyclesoftware', 'cyclis', 'autengo', 'ghs', 'other')
  AND c.relname NOT LIKE 'web\\_%' ORDER BY 1
"""
"""Every object that is not the plugin's, with the transaction that changed it last."""


@pytest.fixture
async def db_of_plugins(server: embedded.Server, tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated database of its own, in which plugins may be migrated up and down."""
    name = f"plugins_{os.getpid()}_{next(_numbers)}"
    admin = await asyncpg.connect(**server.connect_arguments)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    opened = await database.connect(
        config.DatabaseConfig(url=config.Secret(database_url(server, name)), data_dir=tmp_path)
    )
    yield opened
    await opened.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def branch(folder: Path, type_: str, *texts: str) -> Branch:
    """Write the migrations of a plugin, as one version of it has them."""
    place = folder / f"{type_}_{next(_numbers)}"
    place.mkdir()
    for number, text in enumerate(texts, 1):
        (place / f"{number:04d}.py").write_text(text)
    return Branch(name=type_, folder=place)


def source_of(one: Branch) -> Source:
    return replace(registry()["ghs"], type=one.name, migrations=one.folder)


async def fetch(opened: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with opened.connection() as conn:
        return [tuple(row) for row in await conn.fetch(query, *values)]


async def test_a_plugin_is_migrated_upgraded_and_removed_and_touches_nothing_else(
    db_of_plugins: Database, tmp_path: Path
) -> None:
    db, ours = db_of_plugins, migrations.newest_revision()
    other = branch(tmp_path, "other", first("other"))
    old = branch(tmp_path, "web", first("web"))
    new = branch(tmp_path, "web", first("web"), later("web", 2, up="ALTER TABLE web.things ADD COLUMN more text"))

    done = await migrate_all(db, [*registry().values(), source_of(other), source_of(old)])
    assert (done.applied, done.failed) == (["other_0001", "web_0001"], [])
    assert await revisions(db) == {migrations.OURS: ours, "other": "other_0001", "web": "web_0001"}
    triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'web.things'::regclass ORDER BY 1"
    assert await fetch(db, triggers) == [("syncd_deleted",), ("syncd_truncated",)]
    assert (await migrate_all(db, [source_of(other), source_of(old)])).applied == []

    before = await fetch(db, OTHERS)
    assert len(before) > 100
    assert await migrate(db, new) == ["web_0002"]
    assert await fetch(db, OTHERS) == before
    assert await revisions(db) == {migrations.OURS: ours, "other": "other_0001", "web": "web_0002"}

    assert await remove(db, new) == ["web_0002", "web_0001"]
    assert await fetch(db, OTHERS) == before
    assert await fetch(db, "SELECT to_regnamespace('web'), to_regclass('history.web_things')") == [(None, None)]
    assert await revisions(db) == {migrations.OURS: ours, "other": "other_0001"}
    assert await remove(db, new) == []
    assert await migrate(db, new) == ["web_0001", "web_0002"]


async def test_what_an_older_plugin_may_do_is_said_by_its_newer_migration(
    db_of_plugins: Database, tmp_path: Path
) -> None:
    db, old = db_of_plugins, branch(tmp_path, "web", first("web"))
    admitting = branch(tmp_path, "web", first("web"), later("web", 2, up="SELECT 1", oldest=1))
    breaking = branch(
        tmp_path, "web", first("web"), later("web", 2, up="SELECT 1", oldest=1), later("web", 3, up="SELECT 1")
    )
    assert (await find_standing(db, old)).refusal(db.shown).hint == "Run: syncd migrate"
    await migrate(db, admitting)
    assert (await find_standing(db, old)).admits
    assert await migrate(db, old) == []
    await migrate(db, breaking)
    with pytest.raises(DatabaseChanged, match="is newer than this plugin web: it is at revision web_0003") as refused:
        await migrate(db, old)
    assert "Upgrade plugin web" in refused.value.hint
    done = await migrate_all(db, [source_of(old), source_of(branch(tmp_path, "other", first("other")))])
    assert (done.applied, len(done.failed)) == (["other_0001"], 1)


async def test_a_plugin_that_is_gone_stops_nothing(db_of_plugins: Database, tmp_path: Path) -> None:
    db = db_of_plugins
    await migrate(db, branch(tmp_path, "web", first("web")))
    assert await migrate(db) == []
    await migrations.require_migrated(db)
    assert await migrate(db, branch(tmp_path, "other", first("other"))) == ["other_0001"]
    assert (await revisions(db))["web"] == "web_0001"


BROKEN = {
    "fails": ("the migrations of plugin web failed, and nothing of them remains: ",
              [first("web"), later("web", 2, up="SELECT no_such_thing()")]),
    "cannot be imported": ("plugin web cannot be read: ZeroDivisionError", [first("web") + "1 / 0"]),
    "bears another name": ("the revision 'shop_0001' of plugin web does not have the form web_NUMBER", [first("shop")]),
    "has no label": ("needs branch_labels", [first("web").replace("branch_labels", "labels")]),
    "is no line": ("no single line",
                   [first("web"), first("web").replace("web_0001", "web_0002").replace("branch_labels", "x")]),
    "has no revision": ("cannot be read: AttributeError", ["revisions = 1"]),
    "has a long name": ("longer than 32", [first("web").replace("web_0001", f"web_{'1' * 40}")]),
    "takes a schema": ('schema "ghs" already exists', [first("web", up=("CREATE SCHEMA ghs",))]),
}  # fmt: skip


async def test_a_plugin_whose_migrations_are_wrong_keeps_no_other_back(db_of_plugins: Database, tmp_path: Path) -> None:
    db, before = db_of_plugins, await revisions(db_of_plugins)
    for name, (words, texts) in BROKEN.items():
        broken, fine = branch(tmp_path, "web", *texts), branch(tmp_path, "zoo", first("zoo"))
        done = await migrate_all(db, [source_of(broken), source_of(fine)])
        assert done.applied == ["zoo_0001"], name
        [error] = done.failed
        assert isinstance(error, MigrationFailed), name
        assert words in str(error), name
        assert error.hint, name
        assert await fetch(db, "SELECT to_regnamespace('web')") == [(None,)], name
        await remove(db, fine)
        assert await revisions(db) == before, name


async def test_a_downgrade_that_leaves_its_schema_behind_changes_nothing(
    db_of_plugins: Database, tmp_path: Path
) -> None:
    db, forgetful = db_of_plugins, branch(tmp_path, "web", first("web", down=("SELECT 1",)))
    await migrate(db, forgetful)
    with pytest.raises(MigrationFailed, match="leaves the schema web behind"):
        await remove(db, forgetful)
    assert (await revisions(db))["web"] == "web_0001"


# --- At the command line ----------------------------------------------------------------------------------------------


class User:
    """Somebody who installed plugins beside syncd, with one configuration."""

    def __init__(self, folder: Path, installed: Path, db_url: str) -> None:
        self.config = folder / "config.toml"
        self.env = {
            "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1",
            "TOY_KEY": "sandbox-toy-key-5a", "TOY_DB": db_url, "SYNCD_CONFIG": str(self.config),
        }  # fmt: skip

    async def does(self, *words: str, code: int = 0) -> Ended:
        ended = await syncd(*words, env=self.env)
        assert ended.code == code, f"{words}: {ended.code}\n{ended.out}\n{ended.err}"
        return ended


NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def user(tmp_path: Path, db_url: str) -> AsyncIterator[User]:
    installed = install_toy(tmp_path / "installed")
    broken = "raise RuntimeError('its maker forgot something')\n"
    install(installed, "broken", source=broken, migrations={"1.py": first("broken")})
    user = User(tmp_path, installed, db_url)
    user.config.write_text(
        f'[database]\nurl = "{db_url}"\n'
        f'[sources.club]\ntype = "toy"\nbase_url = "{NOWHERE}"\napi_key = {{ env = "TOY_KEY" }}\n'
        f'[sources.odd]\ntype = "broken"\nnothing = "of it can be judged"\n'
        f'[sources.lease]\ntype = "cyclis"\nbase_url = "{NOWHERE}"\napi_token = "sandbox-token"\n'
    )
    user.config.chmod(0o600)
    with forks.keeping(user.env):
        yield user


async def test_the_command_line_with_a_plugin_and_a_broken_one(user: User, db_url: str) -> None:
    told = (
        "the source type broken (of syncd-broken 1.0) cannot be used: it failed when it was loaded, with RuntimeError:"
        " its maker forgot something"
    )
    found = {one["what"]: one for one in (await user.does("check", "--json", code=3)).json}
    assert found["plugin broken"]["detail"] == told
    assert found["plugin broken"]["state"] == "failed"
    assert "is at revision none of toy, this plugin toy needs toy_0001" in found["migrations of toy"]["detail"]
    assert found["migrations of toy"]["hint"] == "Run: syncd migrate"
    assert found["migrations"]["state"] == found["rights"]["state"] == "ok"

    # before its tables are there, its runs say what is missing, and nobody else suffers
    status = (await user.does("status", "--json")).json
    assert {stream["source"] for stream in status["streams"]} == {"club", "lease"}
    assert [notice["text"] for notice in status["notices"]] == [f"source odd is left out: {told}"]
    ended = await user.does("sync", "--json", "club.members", code=1)
    assert "Run: syncd migrate" in json.dumps(ended.json)
    assert f"source odd is left out: {told}" in " ".join(ended.err.split())

    assert "applied: toy_0001" in (await user.does("migrate")).out
    conn = await asyncpg.connect(db_url)
    await conn.execute(
        "INSERT INTO syncd.sources VALUES ('club', 'toy', 'x', '{}', now()), ('odd', 'broken', 'x', '{}', now())"
    )
    await conn.execute("INSERT INTO syncd.migrations VALUES ('broken_0007')")
    refused = await user.does("migrate", "--plugin", "toy", "--down", code=2)
    assert "syncd sources drop club" in " ".join(refused.err.split())
    listed = {one["source"]: one["state"] for one in (await user.does("sources", "list", "--json")).json}
    assert listed["odd"] == "left out", "its rows are no orphans, which would be proposed for deletion"
    found = {one["what"]: one for one in (await user.does("check", "--json", code=2)).json}
    assert "is at revision broken_0007 of a plugin that is not installed" in found["migrations of broken"]["detail"]
    assert found["migrations of broken"]["state"] == "warning"
    await conn.execute("DELETE FROM syncd.sources")
    assert "removed: toy_0001" in (await user.does("migrate", "--plugin", "toy", "--down")).out
    assert await conn.fetchval("SELECT to_regclass('history.toy_members')") is None
    await conn.close()


@trial
async def test_the_reports_of_a_plugin_are_listed_and_asked_as_ours_are(user: User, db_url: str) -> None:
    words = "the report toy_untitled of plugin toy is left out: it must begin with `-- about: …`"
    early = await user.does("report", "toy_members_by_month", code=3)
    assert "of plugin toy does not fit the database" in early.err
    assert "Run: syncd migrate" in early.err
    await user.does("migrate")
    conn = await asyncpg.connect(db_url)
    await conn.execute(
        "INSERT INTO toy.members (source, member_id, joined_at, _first_seen_at, _changed_at)"
        " SELECT s, n, $1::timestamptz - n * interval '20 days', now(), now()"
        " FROM unnest('{club,annex}'::text[]) s, generate_series(1, 10) n",
        datetime(2026, 7, 31, tzinfo=UTC),
    )
    await conn.close()
    listed = await user.does("report")
    assert "toy_members_by_month" in listed.out
    assert "stock_by_store" in listed.out
    assert words in " ".join(listed.err.split())
    asked = ("report", "toy_members_by_month", "--format", "json", "--at", "2026-08-01")
    both = await user.does(*asked)
    club = await user.does(*asked, "--where", "source=club", "--where", "member_id<=3")
    assert (sum(row["members"] for row in both.json), both.err) == (20, "")
    assert sum(row["members"] for row in club.json) == 3
    assert words in " ".join((await user.does("report", "toy_untitled", code=2)).err.split())
    assert 'column "nickname" does not exist' in (await user.does("report", "toy_wrong", code=3)).err
    assert "It can by: source, member_id" in (await user.does(*asked, "--where", "x=1", code=2)).err
    [told] = [one for one in (await user.does("check", "--json", code=2)).json if one["what"] == "reports"]
    assert (told["state"], words in told["detail"]) == ("warning", True)


@trial
async def test_the_daemon_tells_of_a_broken_plugin_once_and_runs_the_others(user: User) -> None:
    user.config.write_text(user.config.read_text() + '[log]\nformat = "json"\n[http]\nlisten = "off"\n')
    await user.does("migrate")
    async with started("run", env=user.env) as daemon:
        stderr = daemon.process.stderr
        assert stderr is not None
        lines: list[dict[str, Any]] = []
        async with asyncio.timeout(LONGEST_S):
            while not any(line["event"] == "daemon_started" for line in lines):
                lines.append(json.loads(await stderr.readline()))
        daemon.interrupt()
        await daemon.process.wait()
    [told] = [line for line in lines if line["event"] == "plugin_refused"]
    assert (told["type"], told["distribution"], told["sources"]) == ("broken", "syncd-broken 1.0", ["odd"])
    assert "its maker forgot something" in told["error"]
    assert next(line["streams"] for line in lines if line["event"] == "daemon_started") > 2

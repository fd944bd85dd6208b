"""PostgreSQL's own tools, used on the mirror while syncd works: pg_basebackup, pg_repack, logical replication."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from syncd import config as configuration
from syncd.storage.postgres import database, migrations
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, syncd
from tests.support.daemon import until, write
from tests.support.postgres import Cluster, binaries, cluster, copied, run
from tests.support.search import trial

ROLES = (Path(__file__).parents[2] / "deploy" / "roles.sql").read_text()
STREAMS = {"shop.customers": "", "shop.stores": ""}
ROWS = """
SELECT customer_id, city, _deleted_at IS NULL, (SELECT array_agg(phone_number ORDER BY phone_number_id)
  FROM cyclesoftware.customer_phone_numbers p WHERE (p.source, p.customer_id) = (c.source, c.customer_id))
FROM cyclesoftware.customers c ORDER BY customer_id
"""
COMPARED = (
    ROWS,
    "SELECT run_id, outcome, requests, rows_updated FROM syncd.runs ORDER BY run_id",
    "SELECT source, stream, kind, cursor FROM syncd.cursors ORDER BY 1, 2, 3",
    "SELECT count(*) FROM syncd.losses",
)


def mirror(server: Cluster) -> str:
    return server.url.removesuffix("postgres") + "mirror"


async def fetch(server: Cluster, query: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(mirror(server))
    try:
        found: list[asyncpg.Record] = await conn.fetch(query)
    finally:
        await conn.close()
    return found


@pytest.fixture(scope="module")
async def primary(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A server with a migrated database `pattern`, and the roles of deploy/roles.sql."""
    folder = tmp_path_factory.mktemp("primary")
    async with cluster(folder) as made:
        made.psql(ROLES)
        await made.execute("CREATE DATABASE pattern")
        url = configuration.Secret(made.url.removesuffix("postgres") + "pattern")
        opened = await database.connect(configuration.DatabaseConfig(url=url, data_dir=folder))
        await migrations.migrate(opened)
        await opened.close()
        yield made


@pytest.fixture
async def empty(make_bench: MakeBench, primary: Cluster) -> Bench:
    """A sandbox, for commands on the database `mirror`, which is made anew."""
    bench = await make_bench(time=WallClock(), customers=60, page_size=20)
    await primary.execute("DROP DATABASE mirror WITH (FORCE)")
    await primary.execute("CREATE DATABASE mirror TEMPLATE pattern")
    return bench


@pytest.fixture
async def bench(empty: Bench, primary: Cluster) -> Bench:
    """The same, filled."""
    ended = await syncd("sync", "--config", written(empty, primary))
    assert ended.code == 0, ended.err
    return empty


def written(bench: Bench, server: Cluster) -> Path:
    return write(bench, STREAMS, url=mirror(server))


def change(bench: Bench) -> None:
    """Change a customer and its phone numbers, and delete another."""
    first, second, *_ = (one for one in bench.sandbox.truth("cyclesoftware", "customers") if one["phone_numbers"])
    bench.sandbox.put("cyclesoftware", "customers", {**first, "city": "Ede", "phone_numbers": []})
    bench.sandbox.delete("cyclesoftware", "customers", second["customer_id"])


async def is_whole(bench: Bench, server: Cluster) -> None:
    """Require that check finds nothing, and that a full sync makes the mirror equal to the upstream."""
    path = written(bench, server)
    for words in (("sync", "--full", "--accept-deletions"), ("check",), ("verify", "shop.customers")):
        ended = await syncd(*words, "--config", path)
        assert ended.code == 0, (words, ended.out, ended.err)
    alive = {row["customer_id"] for row in await fetch(server, ROWS) if row[2]}
    assert alive == {record["customer_id"] for record in bench.sandbox.truth("cyclesoftware", "customers")}
    lost = await fetch(server, "SELECT 1 FROM syncd.runs WHERE outcome NOT IN ('ok', 'aborted')")
    assert lost == []


@trial
async def test_a_base_backup_that_is_taken_under_a_run_is_a_whole_mirror(
    bench: Bench, primary: Cluster, tmp_path: Path
) -> None:
    bench.sandbox.latency_s = 0.1
    change(bench)
    running = asyncio.create_task(syncd("sync", "--full", "--config", written(bench, primary)))
    async with copied(primary, tmp_path / "copy") as copy:
        assert (await running).code == 0
        bench.sandbox.latency_s = 0.0
        assert len(await fetch(copy, ROWS)) == 60
        await is_whole(bench, copy)


@trial
async def test_pg_repack_under_a_run_costs_no_run_and_no_row(bench: Bench, primary: Cluster) -> None:
    if not (binaries() / "pg_repack").exists():
        pytest.skip("pg_repack is not installed (apt-get install postgresql-15-repack, or that of your major version)")
    await fetch(primary, "CREATE EXTENSION pg_repack")
    change(bench)
    bench.sandbox.latency_s = 0.05
    repack = ["pg_repack", "--host=127.0.0.1", f"--port={primary.port}", "--username=postgres", "--dbname=mirror"]
    repack += ["--no-kill-backend", "--wait-timeout=30", "--table=syncd.runs", "--table=syncd.cursors"]
    repack += [f"--table=cyclesoftware.{name}" for name in ("customers", "customer_phone_numbers")]
    ended, _ = await asyncio.gather(
        syncd("sync", "--full", "--config", written(bench, primary)), asyncio.to_thread(run, *repack)
    )
    assert ended.code == 0, ended.err
    await is_whole(bench, primary)


@trial
async def test_a_logical_subscriber_gets_every_row_change_and_burial(
    empty: Bench, primary: Cluster, tmp_path: Path
) -> None:
    async with cluster(tmp_path / "subscriber") as subscriber:
        subscriber.psql(ROLES)
        schema = run("pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--dbname", mirror(primary))
        run("psql", "-v", "ON_ERROR_STOP=1", "--quiet", "--dbname", mirror(subscriber), stdin=schema)
        await fetch(primary, "CREATE PUBLICATION everything FOR ALL TABLES")
        source = f"CONNECTION 'host=127.0.0.1 port={primary.port} user=postgres dbname=mirror'"
        # all is empty yet: to copy each of the tables first would only take time
        following = f"CREATE SUBSCRIPTION mirror {source} PUBLICATION everything WITH (copy_data = false)"
        await fetch(subscriber, following)

        async def equals() -> bool:
            return [await fetch(subscriber, query) for query in COMPARED] == [
                await fetch(primary, query) for query in COMPARED
            ]

        try:
            for words in (("sync",), ("sync", "--full")):
                ended = await syncd(*words, "--config", written(empty, primary))
                assert ended.code == 0, ended.err
                await until(equals, 60)
                change(empty)
            rows = await fetch(subscriber, ROWS)
            assert len(rows) == 60
            assert any(row["city"] == "Ede" for row in rows)
            assert not all(row[2] for row in rows)
        finally:
            await fetch(subscriber, "DROP SUBSCRIPTION mirror")

"""A PostgreSQL server of one's own: roles, TLS, .pgpass and service files, standby and failover."""

import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from syncd import config as configuration
from syncd.errors import DatabaseError, DatabaseUnavailable
from syncd.service import house
from syncd.storage.postgres import database, migrations
from tests.support.bench import MakeBench
from tests.support.command import syncd
from tests.support.daemon import Events, Now, count, serving, until, was_told, write
from tests.support.postgres import Cluster, cluster, speaks_tls, standby
from tests.support.search import trial

ROLES = (Path(__file__).parents[2] / "deploy" / "roles.sql").read_text()
PASSWORD = "s3cret/word"
QUOTED = "s3cret%2Fword"


@pytest.fixture(scope="module")
async def owned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A server with the roles of deploy/roles.sql, given twice, and the database migrated."""
    async with cluster(tmp_path_factory.mktemp("server")) as made:
        made.psql(ROLES)
        made.psql(ROLES)
        made.psql(f"ALTER ROLE syncd PASSWORD '{PASSWORD}'; CREATE ROLE alice LOGIN PASSWORD 'a' IN ROLE syncd_reader")
        made.psql("CREATE ROLE mallory LOGIN PASSWORD 'm'")
        opened = await database.connect(settings(made, f"syncd:{QUOTED}", made.folder))
        await migrations.migrate(opened)
        await opened.close()
        yield made


def settings(server: Cluster, login: str, folder: Path, query: str = "") -> configuration.DatabaseConfig:
    url = f"postgresql://{login}@127.0.0.1:{server.port}/mirror{query}"
    return configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=folder)


async def as_role(server: Cluster, login: str) -> asyncpg.Connection:
    return await asyncpg.connect(f"postgresql://{login}@127.0.0.1:{server.port}/mirror")


# --- Roles ------------------------------------------------------------------------------------------------------------


async def test_the_reader_reads_every_table_also_of_later_migrations(owned: Cluster) -> None:
    owner = await as_role(owned, f"syncd:{QUOTED}")
    reader = await as_role(owned, "alice:a")
    try:
        await owner.execute("CREATE SCHEMA later; CREATE TABLE later.things (n int);CREATE VIEW later.seen AS SELECT 1")
        tables = await owner.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE tableowner = 'syncd'"
            " UNION SELECT format('%I.%I', schemaname, viewname) FROM pg_views WHERE viewowner = 'syncd'"
        )
        assert {"syncd.runs", "cyclesoftware.customers", "reporting.freshness", "later.things"} <= {
            row["name"] for row in tables
        }
        for row in tables:
            if row["name"] in ("syncd.lock_salt", "syncd.kept_secrets"):  # secrets of their owner
                continue
            await reader.fetch(f"SELECT * FROM {row['name']} LIMIT 1")
        await reader.fetch("SELECT * FROM later.seen")
    finally:
        await owner.execute("DROP SCHEMA later CASCADE")
        await owner.close()
        await reader.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO cyclesoftware.stores (source, store_id) VALUES ('x', 1)",
        "UPDATE syncd.cursors SET cursor = '{}'",
        "DELETE FROM syncd.runs",
        "TRUNCATE cyclis.orders",
        "DROP TABLE syncd.runs",
        "CREATE TABLE public.mine (n int)",
        "CREATE TABLE cyclis.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "BEGIN; LOCK TABLE cyclis.orders IN ACCESS EXCLUSIVE MODE",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/hostname')",
        "COPY syncd.runs TO '/tmp/runs'",
        "SET ROLE syncd",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        "TABLE syncd.lock_salt",
        "TABLE syncd.kept_secrets",
    ],
)
async def test_the_reader_writes_nothing_and_sees_no_secret(owned: Cluster, statement: str) -> None:
    reader = await as_role(owned, "alice:a")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)
    finally:
        await reader.close()


async def test_the_reader_sees_no_statement_of_the_daemon(owned: Cluster) -> None:
    owner, reader = await as_role(owned, f"syncd:{QUOTED}"), await as_role(owned, "alice:a")
    try:
        await owner.fetchval("SELECT 'a value'")
        seen = await reader.fetch("SELECT query FROM pg_stat_activity WHERE usename = 'syncd'")
        assert {row["query"] for row in seen} == {"<insufficient privilege>"}
    finally:
        await owner.close()
        await reader.close()


async def test_a_stranger_does_not_come_in_and_the_owner_is_no_superuser(owned: Cluster) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role(owned, "mallory:m")
    owner = await as_role(owned, f"syncd:{QUOTED}")
    try:
        rights = await owner.fetchrow("SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
                                      " WHERE rolname = 'syncd'")  # fmt: skip
        assert not any(rights)
    finally:
        await owner.close()


async def test_a_role_without_rights_is_told_what_to_do(owned: Cluster, tmp_path: Path) -> None:
    opened = await database.connect(settings(owned, "alice:a", tmp_path))
    try:
        with pytest.raises(DatabaseError, match="lacks a right") as told:
            async with opened.connection() as conn:
                await conn.execute("DELETE FROM syncd.runs")
        assert "roles.sql" in told.value.hint
    finally:
        await opened.close()


# --- The address ------------------------------------------------------------------------------------------------------


def write_config(folder: Path, url: str) -> Path:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'[database]\nurl = "{url}"\n[sources.lease]\ntype = "cyclis"\nbase_url = "https://a.example"\napi_token = "t"'
    )
    return path


async def shown(folder: Path, url: str, **env: str) -> str:
    """Ask who we are, over which kind of connection, by the command line; return what it printed."""
    query = "SELECT current_user, ssl, inet_server_port() FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ended = await syncd("sql", query, "--json", "--config", write_config(folder, url), env=env)
    return json.dumps(ended.json) if ended.code == 0 else f"{ended.code} {' '.join(ended.err.split())}"


async def test_sslmode_is_heeded(owned: Cluster, tmp_path: Path) -> None:
    if not speaks_tls():
        pytest.skip("no PostgreSQL that speaks TLS, or no openssl (apt-get install postgresql openssl)")
    url = f"postgresql://syncd:{QUOTED}@127.0.0.1:{owned.port}/mirror"
    ca = tmp_path / "ca.crt"
    ca.write_text((owned.data / "server.crt").read_text())
    assert '"ssl": false' in await shown(tmp_path, f"{url}?sslmode=disable")
    assert '"ssl": true' in await shown(tmp_path, f"{url}?sslmode=require")
    assert '"ssl": true' in await shown(tmp_path, f"{url}?sslmode=verify-full&sslrootcert={ca}")
    wrong_name = url.replace("127.0.0.1", "localhost")
    refused = await shown(tmp_path, f"{wrong_name}?sslmode=verify-full&sslrootcert={ca}")
    assert refused.startswith("3 ")
    assert "sslrootcert" in refused
    refused = await shown(tmp_path, f"{url}?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt")
    assert "CERTIFICATE_VERIFY_FAILED" in refused
    absent = await shown(tmp_path, f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/absent.crt")
    assert absent.startswith("3 ")
    assert "do the files that database.url names exist" in absent
    assert PASSWORD not in refused + absent


async def test_passwords_come_from_pgpass_and_addresses_from_a_service_file(owned: Cluster, tmp_path: Path) -> None:
    passfile = tmp_path / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"127.0.0.1:{owned.port}:mirror:syncd:{PASSWORD}\n")
    service = tmp_path / "services.conf"
    service.write_text(f"[mirror]\nhost=127.0.0.1\nport={owned.port}\ndbname=mirror\nuser=syncd\n")
    by_port = f"postgresql://syncd@127.0.0.1:{owned.port}/mirror"
    for url, env in (
        (f"{by_port}?passfile={passfile}", {}),
        (by_port, {"PGPASSFILE": str(passfile)}),
        (by_port, {"PGPASSWORD": PASSWORD}),
        ("postgresql://?service=mirror", {"PGSERVICEFILE": str(service), "PGPASSFILE": str(passfile)}),
    ):
        found = await shown(tmp_path, url, **env)
        assert '"current_user": "syncd"' in found, url
        assert f'"inet_server_port": {owned.port}' in found, url


async def test_a_wrong_password_is_told(owned: Cluster, tmp_path: Path) -> None:
    told = await shown(tmp_path, f"postgresql://syncd:wr0ng@127.0.0.1:{owned.port}/mirror")
    assert told.startswith("3 ")
    assert "refuses the login" in told
    assert "wr0ng" not in told


async def test_a_connection_notices_a_server_that_vanished(owned: Cluster, tmp_path: Path) -> None:
    opened = await database.connect(settings(owned, f"syncd:{QUOTED}", tmp_path))
    try:
        async with opened.connection() as conn:
            sock = conn._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
            assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
    finally:
        await opened.close()


# --- Failover ---------------------------------------------------------------------------------------------------------


async def test_a_server_that_takes_no_writes_is_told(owned: Cluster, tmp_path: Path) -> None:
    async with standby(owned, tmp_path / "standby") as second:
        opened = await database.connect(settings(second, f"syncd:{QUOTED}", tmp_path))
        try:
            with pytest.raises(DatabaseUnavailable, match="takes no writes: it is a standby") as told:
                async with opened.connection() as conn:
                    await conn.execute("DELETE FROM syncd.runs")
            assert "target_session_attrs=read-write" in told.value.hint
            with pytest.raises(DatabaseUnavailable, match="takes no writes"):
                await database.require_writable(opened)
        finally:
            await opened.close()
        checked = await syncd("check", "--config", write_config(tmp_path, opened_url(second)))
        assert checked.code == 3
        assert "takes no writes" in " ".join(checked.out.split())


def opened_url(server: Cluster) -> str:
    return f"postgresql://syncd:{QUOTED}@127.0.0.1:{server.port}/mirror"


async def test_commits_that_wait_for_a_standby_that_is_gone_are_told_and_not_waited_for(
    owned: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "COMMIT_PATIENCE_S", 0.3)
    admin = await asyncpg.connect(owned.url, server_settings={"synchronous_commit": "local"})
    opened = await database.connect(settings(owned, f"syncd:{QUOTED}", tmp_path))

    async def words() -> str:
        try:
            await database.require_writable(opened)
        except DatabaseUnavailable as error:
            return error.whole
        return ""

    async def is_told() -> bool:
        """Whether the server has taken its new setting, and this is told."""
        told = await words()
        return "a standby that does not answer (synchronous_standby_names = gone). Start that standby" in told

    async def is_well() -> bool:
        return not await words()

    try:
        assert await is_well()
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        await admin.execute("SELECT pg_reload_conf()")
        await until(is_told)
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
        await until(is_well)
    finally:
        await opened.close()
        await admin.close()


async def test_a_standby_that_vanishes_beside_a_running_daemon_is_an_outage_told_once(
    owned: Cluster, make_bench: MakeBench, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "COMMIT_PATIENCE_S", 0.5)
    monkeypatch.setattr(house, "CONFIRM_S", 0.2)
    bench = await make_bench(time=Now())
    admin = await asyncpg.connect(owned.url, database="mirror", server_settings={"synchronous_commit": "local"})
    path = write(bench, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'}, url=opened_url(owned))
    ok = "SELECT count(*) FROM syncd.runs WHERE outcome = 'ok'"

    async def goes_on() -> bool:
        return bool(await admin.fetchval(ok) > before)

    try:
        async with serving(path):
            before = 0
            await until(goes_on)
            await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
            await admin.execute("SELECT pg_reload_conf()")
            await until(lambda: was_told(events, "database_lost"))
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.execute("SELECT pg_reload_conf()")
            await until(lambda: was_told(events, "database_recovered"))
            before = await admin.fetchval(ok)
            await until(goes_on)
    finally:
        await admin.close()
    told = [event for event in events if event["event"].startswith("database_")]
    assert [event["event"] for event in told] == ["database_lost", "database_recovered"]
    assert "each commit waits for a standby that does not answer" in told[0]["error"]


@trial
async def test_a_server_that_answers_but_takes_no_writes_is_an_outage_told_once(
    make_bench: MakeBench,
    events: Events,
) -> None:
    bench = await make_bench(time=Now())
    other = await asyncpg.connect(bench.db_url)
    name = await other.fetchval("SELECT current_database()")
    path = write(bench, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'})
    async with serving(path):
        await until(lambda: count(bench, "cyclesoftware.customers"))
        await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
        await until(lambda: was_told(events, "database_lost"))

        async def looked() -> bool:
            """Whether the daemon has looked for it several times since, each time over a new connection."""
            found = await other.fetchval("SELECT sum(sessions) FROM pg_stat_database WHERE datname = $1", name)
            seen.add(found)
            return len(seen) > 4

        seen: set[int] = set()
        await until(looked)
        await other.execute(f"SET default_transaction_read_only = off; ALTER DATABASE {name} RESET ALL")
        await until(lambda: was_told(events, "database_recovered"))
        before = (await other.fetchval("SELECT count(*) FROM syncd.runs WHERE outcome = 'ok'")) or 0

        async def goes_on() -> bool:
            return bool(await other.fetchval("SELECT count(*) > $1 FROM syncd.runs WHERE outcome = 'ok'", before))

        await until(goes_on)
    await other.close()
    told = [event for event in events if event["event"].startswith("database_")]
    assert [event["event"] for event in told] == ["database_lost", "database_recovered"]
    ends = ("takes no writes", "the server closed", "terminating connection")  # whoever lost its session may be first
    assert any(words in told[0]["error"] for words in ends)


@trial
async def test_the_daemon_follows_a_failover_and_loses_nothing(
    make_bench: MakeBench,
    tmp_path: Path,
    events: Events,
) -> None:
    bench = await make_bench(time=Now(), customers=120, page_size=20)

    async def mirrored(server: Cluster) -> bool:
        truth = {(row["customer_id"], row["city"]) for row in bench.sandbox.truth("cyclesoftware", "customers")}
        conn = await as_role(server, f"syncd:{QUOTED}")
        try:
            rows = await conn.fetch("SELECT customer_id, city FROM cyclesoftware.customers WHERE _deleted_at IS NULL")
            return truth == {tuple(row) for row in rows}
        finally:
            await conn.close()

    async with cluster(tmp_path / "first") as first:
        first.psql(ROLES)
        first.psql(f"ALTER ROLE syncd PASSWORD '{PASSWORD}'")
        opened = await database.connect(settings(first, f"syncd:{QUOTED}", tmp_path))
        await migrations.migrate(opened)
        await opened.close()
        async with standby(first, tmp_path / "second") as second:
            url = (
                f"postgresql://syncd:{QUOTED}@127.0.0.1:{first.port},127.0.0.1:{second.port}"
                "/mirror?target_session_attrs=read-write"
            )
            path = write(bench, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'}, url=url)
            async with serving(path):
                await until(lambda: mirrored(first))
                await until(lambda: mirrored(second))
                bench.sandbox.latency_s = 0.2
                changed = bench.sandbox.truth("cyclesoftware", "customers")[7] | {"city": "Nieuwstad"}
                bench.sandbox.put("cyclesoftware", "customers", changed)
                await first.stop(signal.SIGQUIT)
                await until(lambda: was_told(events, "database_lost"))
                bench.sandbox.latency_s = 0.0
                await second.execute("SELECT pg_promote()")
                await until(lambda: mirrored(second), 30)
                await until(lambda: was_told(events, "database_recovered"))
            conn = await as_role(second, f"syncd:{QUOTED}")
            outcomes = {row[0] for row in await conn.fetch("SELECT DISTINCT outcome FROM syncd.runs")}
            await conn.close()
    assert outcomes <= {"ok", "aborted"}
    assert len([event for event in events if event["event"].startswith("database_")]) == 2

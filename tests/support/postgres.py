"""PostgreSQL servers of a test's own, reached over TCP, and pgbouncer before one: what the private server never is."""

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from syncd.storage.postgres.embedded.cluster import binary_directories
from syncd.storage.postgres.embedded.privilege import Account, become
from tests.support.ports import free_port

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
START_S = 30.0


def binaries() -> Path:
    """Return where the programs of PostgreSQL are: the system's, which speak TLS, else those of our private server."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return system[-1].parent if system else binary_directories()[0]


def speaks_tls() -> bool:
    """Say whether the servers of these tests can do TLS, and a certificate can be made for them."""
    able = re.search("--with-(open)?ssl", run("pg_config", "--configure"))
    return able is not None and shutil.which("openssl") is not None


def _account() -> Account | None:
    """Whom a server runs as when we are root, which it refuses."""
    if os.geteuid():
        return None
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("postgres")
        return Account(entry.pw_uid, entry.pw_gid)
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def _own(*paths: Path) -> None:
    if account := _account():
        for path in paths:
            os.chown(path, *account)


def _becoming(program: str) -> Callable[[], None] | None:
    account = _account()
    return partial(become, account, program) if account else None


def run(program: str, *arguments: str | Path, stdin: str = "", **environ: str) -> str:
    """Run a program of PostgreSQL to its end and return what it printed."""
    path = str(binaries() / program)
    done = subprocess.run(  # noqa: S603
        [path, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=_becoming(path), env={"PATH": os.environ["PATH"], "LC_ALL": "C", **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _spawned(command: Sequence[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=_becoming(command[0])
        )


async def _accepting(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_S):
        while True:
            assert process.returncode is None, await asyncio.to_thread(log.read_text)
            try:
                await (await asyncpg.connect(url, timeout=5)).close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.05)
            else:
                return


async def _ended(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    await asyncio.wait_for(process.wait(), START_S)


@dataclass
class Cluster:
    """A server in a folder of its own; its superuser `postgres` needs no password, everybody else needs one."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The address of the superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    async def start(self) -> None:
        log = self.folder / "log"
        command = [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", ""]
        self.process = await _spawned(command, log)
        await _accepting(self.url, self.process, log)

    async def stop(self, number: int = signal.SIGINT) -> None:
        """Stop the server: SIGINT in order, SIGQUIT as if it had crashed."""
        if self.process:
            await _ended(self.process, number)

    async def execute(self, statement: str) -> None:
        conn = await asyncpg.connect(self.url)
        await conn.execute(statement)
        await conn.close()

    def psql(self, script: str, *options: str) -> str:
        return run("psql", "--no-psqlrc", "--dbname", self.url, "-v", "ON_ERROR_STOP=1", *options, stdin=script)

    def log(self) -> str:
        return (self.folder / "log").read_text()


def _configured(cluster: Cluster) -> None:
    """Write who may log in, and settings that save time."""
    (cluster.data / "pg_hba.conf").write_text(
        "host all,replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    with (cluster.data / "postgresql.auto.conf").open("a") as file:
        file.write("fsync = off\nlisten_addresses = '127.0.0.1'\nautovacuum = off\nwal_level = logical\n")
    if speaks_tls():
        _certify(cluster)


def _certify(cluster: Cluster) -> None:
    """Give the server a certificate of its own making, for 127.0.0.1."""
    key, certificate = cluster.data / "server.key", cluster.data / "server.crt"
    subprocess.run(  # noqa: S603
        [shutil.which("openssl") or "openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    _own(certificate, key)
    with (cluster.data / "postgresql.auto.conf").open("a") as file:
        file.write("ssl = on\n")


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Make and run a server, with TLS where openssl is there."""
    made = _placed(folder)
    run("initdb", "-D", made.data, "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8")
    _configured(made)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def standby(primary: Cluster, folder: Path) -> AsyncIterator[Cluster]:
    """Make and run a hot standby of a server; `SELECT pg_promote()` makes it a primary."""
    async with copied(primary, folder, "-R") as made:
        yield made


@asynccontextmanager
async def copied(primary: Cluster, folder: Path, *options: str) -> AsyncIterator[Cluster]:
    """Copy a running server with pg_basebackup, and run the copy."""
    made = _placed(folder)
    arguments = ["-d", primary.url, "-X", "stream", "-c", "fast", "--no-sync", *options]
    await asyncio.to_thread(run, "pg_basebackup", "-D", made.data, *arguments)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def _placed(folder: Path) -> Cluster:
    folder.mkdir(mode=0o755, exist_ok=True)
    _own(folder)
    return Cluster(folder, free_port())


@asynccontextmanager
async def pgbouncer(folder: Path, database_url: str, *, mode: str, size: int = 20) -> AsyncIterator[str]:
    """Run pgbouncer before the private server and yield its address; skips the test where it is not installed."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    port = free_port()
    parts = urlsplit(database_url)
    place = parse_qs(parts.query)
    host, name, user, server_port = place["host"][0], parts.path[1:], parts.username, place["port"][0]
    (folder / "users.txt").write_text(f'"{user}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={host} port={server_port} user={user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\npool_mode = {mode}\ndefault_pool_size = {size}\n"
    )
    process = await _spawned([PGBOUNCER, str(folder / "pgbouncer.ini")], folder / "pgbouncer.log")
    url = f"postgresql://{user}@127.0.0.1:{port}/{name}"
    try:
        await _accepting(url, process, folder / "pgbouncer.log")
        yield url
    finally:
        await _ended(process, signal.SIGQUIT)

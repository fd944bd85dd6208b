"""The user's side of the embedded server: register as a user, make sure that the server runs, and connect to try it."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final

from syncd.errors import DatabaseUnavailable
from syncd.frozen import dataclass
from syncd.storage.postgres.embedded.cluster import (
    FAST_STOP_TIMEOUT_S,
    HARD_STOP_TIMEOUT_S,
    SUPERUSER,
    checked,
    end_orphan,
)
from syncd.storage.postgres.embedded.directory import (
    POLL_S,
    SOCKET_PORT,
    Layout,
    State,
    is_locked,
    is_same_file,
    open_own,
    read_pid,
    read_state,
    read_text,
    try_lock,
    unusable,
)
from syncd.storage.postgres.embedded.serverlog import advice, log_tail, open_log

ROLE: Final = "syncd"
READER: Final = "syncd_lookup"
"""A role that may read every table and nothing else: queries of the configuration run as it."""
DATABASE: Final = "syncd"
STOP_TIMEOUT_S: Final = FAST_STOP_TIMEOUT_S + 3 * HARD_STOP_TIMEOUT_S
CONNECT_TIMEOUT_S: Final = 10.0
TRIAL_TIMEOUT_S: Final = 30.0  # connect, look, and at the first start make the database
CLOSE_TIMEOUT_S: Final = 1.0
MAX_STARTS: Final = 3  # per call of ensure: a server may be killed while it is being started

_users: dict[Path, int] = {}  # data directory → open fd of its users.lock, held until this process ends


_PLAIN: Final = {"sslmode": "disable", "target_session_attrs": "any"}
"""What libpq and the driver would otherwise take from the environment."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded server; `url` is for asyncpg and psql, `sqlalchemy_url` for SQLAlchemy's asyncpg dialect.

    `url` stays the same over restarts, unless the server is reached over 127.0.0.1 (long paths) and its port is taken.
    Role `syncd` owns the database and may create databases and roles, but is no superuser. Over the socket no password
    is asked: only root and the account of the server can open it. Over 127.0.0.1 `url` holds the password.
    """

    data_dir: Path
    pid: int
    version: str
    psql: Path
    host: str
    port: int
    database: str = DATABASE
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return the url for `asyncpg.connect` and psql.

        It names all that variables such as PGPORT or PGSSLMODE would say otherwise, which are meant for another server.
        """
        return self._address + "&".join(f"{name}={value}" for name, value in _PLAIN.items())

    @property
    def _address(self) -> str:
        if self.password is None:
            return f"postgresql://{ROLE}@/{self.database}?host={urllib.parse.quote(self.host)}&port={self.port}&"
        return f"postgresql://{ROLE}:{self.password}@{self.host}:{self.port}/{self.database}?"

    @property
    def sqlalchemy_url(self) -> str:
        """Return the url for `create_async_engine`."""
        options = "ssl=disable&target_session_attrs=any"
        return "postgresql+asyncpg" + self._address.removeprefix("postgresql") + options

    @property
    def connect_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for `asyncpg.connect` and `asyncpg.create_pool`."""
        arguments = {"host": self.host, "port": self.port, "user": ROLE, "database": self.database}
        arguments |= {"ssl": False, "target_session_attrs": _PLAIN["target_session_attrs"]}
        return arguments if self.password is None else {**arguments, "password": self.password}


async def ensure(
    data_dir: Path, *, settings: Mapping[str, str] | None = None, grace_s: float = 5.0, timeout_s: float = 60.0
) -> Server:
    """Return the server of `data_dir`, after making, starting and trying it where needed; idempotent.

    The calling process counts as a user until it ends or calls `release` or `stop`. `settings` and `grace_s` (how long
    the server waits for a new user when the last has gone) only matter to the call that starts the server.
    Raises DatabaseUnavailable after `timeout_s` at the latest; a recovery that takes longer goes on meanwhile.
    """
    settings = checked(settings or {})
    deadline = time.monotonic() + timeout_s
    try:
        layout = Layout(data_dir)
        layout.make()
        async with _registered(layout, deadline):
            return await _ensure_running(layout, settings, grace_s, deadline)
    except OSError as error:
        raise unusable(data_dir, error) from error


def exists(data_dir: Path) -> bool:
    """Say whether the data directory holds a cluster, running or not; `ensure` would make one."""
    return Layout(data_dir).cluster.is_dir()


async def release(data_dir: Path) -> None:
    """End the use of the server; the last user stops the server at once, and does not wait for the grace time."""
    layout = Layout(data_dir)
    _unregister(layout)
    if not is_locked(layout.users_lock):
        await stop(data_dir)


async def stop(data_dir: Path) -> None:
    """Stop the server at once, even if others use it; returns when it is down, or if there was none."""
    layout = Layout(data_dir)
    _unregister(layout)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    asked = 0
    while is_locked(layout.supervisor_lock):
        pid = read_pid(layout.supervisor_lock)
        if pid and pid != asked:
            asked = pid
            try:
                os.kill(pid, signal.SIGUSR1)
            except ProcessLookupError:
                pass
            except PermissionError as error:
                raise DatabaseUnavailable(
                    f"the embedded server of {layout.root} belongs to another user, it cannot be stopped from here",
                    hint="Stop it as the user who started it, or as root.",
                ) from error
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"the embedded server of {layout.root} did not stop", hint=f"See {layout.log}.")
        await asyncio.sleep(POLL_S)
    if is_locked(layout.server_lock):  # its supervisor was killed
        os.close(await asyncio.to_thread(end_orphan, layout))


# --- Users ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _registered(layout: Layout, deadline: float) -> AsyncIterator[None]:
    """Become a user of the server, and for the block the only process that may start it.

    A new user whose block fails is no user afterwards.
    """
    starter = await _lock(layout.start_lock, fcntl.LOCK_EX, deadline)
    try:
        held = _users.get(layout.root)
        if held is not None and not is_same_file(held, layout.users_lock):  # the directory was deleted and made again
            _unregister(layout)
        newcomer = layout.root not in _users
        if newcomer:
            _users[layout.root] = await _lock(layout.users_lock, fcntl.LOCK_SH, deadline)
        try:
            yield
        except BaseException:
            if newcomer:
                _unregister(layout)
            raise
    finally:
        os.close(starter)


def _unregister(layout: Layout) -> None:
    fd = _users.pop(layout.root, None)
    if fd is not None:
        os.close(fd)


# --- Start, wait, try -------------------------------------------------------------------------------------------------


async def _ensure_running(layout: Layout, settings: dict[str, str], grace_s: float, deadline: float) -> Server:
    """Start the supervisor where there is none, wait until it reports a server, and connect to that server."""
    import asyncpg

    # the last one is what the driver raises for a connection that broke between two of its steps
    connecting_failed = (
        OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError,
    )  # fmt: skip
    starts = log_start = 0
    trouble: Exception | None = None
    while True:
        alive = is_locked(layout.supervisor_lock)
        state = read_state(layout)
        if not alive:
            if starts and (state.phase == "failed" or starts == MAX_STARTS):
                tail = log_tail(layout, log_start)
                message = state.message or f"the embedded server of {layout.root} did not start"
                raise DatabaseUnavailable(message + tail, hint=state.hint or advice(tail, layout.root))
            starts += 1
            log_start = await asyncio.to_thread(_start_supervisor, layout, settings, grace_s, deadline)
            continue
        if state.phase == "ready":
            try:
                async with asyncio.timeout(min(TRIAL_TIMEOUT_S, max(0.1, deadline - time.monotonic()))):
                    return await _connect(layout, state)
            except connecting_failed as error:
                trouble = error  # killed a moment ago, starting again, or out of connections
        if time.monotonic() > deadline:
            what = f"the embedded server of {layout.root} does not answer in time" + (f": {trouble}" if trouble else "")
            raise DatabaseUnavailable(
                what + log_tail(layout, log_start),
                hint=f"After a crash it may still be recovering: try again in a minute, see {layout.log}.",
            ) from trouble
        await asyncio.sleep(POLL_S)


def _start_supervisor(layout: Layout, settings: dict[str, str], grace_s: float, deadline: float) -> int:
    """Run the supervisor's first half, which ends when the detached second half holds supervisor.lock.

    Return the size of the log before.
    """
    passed_on = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME", "SYNCD_PG_BIN")
    environment = {name: os.environ[name] for name in passed_on if name in os.environ}
    paths = [str(Path(__file__).resolve().parents[4]), os.environ.get("PYTHONPATH", "")]  # where `syncd` lies
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    arguments = [str(layout.root), json.dumps(settings), str(grace_s)]
    log = open_log(layout)
    log_start = os.fstat(log).st_size
    try:
        subprocess.run(  # noqa: S603 -- our own module, no shell
            [sys.executable, "-P", "-m", "syncd.storage.postgres.embedded", "supervise", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            check=False,
            timeout=max(1.0, deadline - time.monotonic()),
        )
        return log_start
    except subprocess.TimeoutExpired as error:
        raise DatabaseUnavailable(
            "the supervisor of the embedded server did not start in time", hint="Is the machine overloaded? Try again."
        ) from error
    finally:
        os.close(log)


async def _connect(layout: Layout, state: State) -> Server:
    """Try a real connection as the user will make it, and make roles and database where they are missing."""
    import asyncpg

    by_socket = layout.by_socket
    server = Server(
        data_dir=layout.root,
        pid=state.pid,
        version="",
        psql=Path(state.bin_dir) / "psql",
        host=str(layout.cluster) if by_socket else "127.0.0.1",
        port=SOCKET_PORT if by_socket else state.port,
        password=None if by_socket else read_text(layout.password).strip(),
    )
    missing = (
        asyncpg.InvalidCatalogNameError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidPasswordError,
    )
    if state.is_new:
        await _create_database(layout, server)
    try:
        connection = await _open(server)
    except missing:
        await _create_database(layout, server)
        connection = await _open(server)
    try:
        version = str(await connection.fetchval("SHOW server_version")).partition(" ")[0]
        has_reader = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", READER)
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    if not has_reader:  # a server that an older version made
        await _create_database(layout, server)
    return replace(server, version=version)


async def _open(server: Server, **arguments: str) -> Any:
    import asyncpg

    return await asyncpg.connect(**{**server.connect_arguments, **arguments}, timeout=CONNECT_TIMEOUT_S)


async def _create_database(layout: Layout, server: Server) -> None:
    """Make roles and database; safe to repeat. The caller holds start.lock."""
    password = read_text(layout.password).strip()
    connection = await _open(server, user=SUPERUSER, database="postgres")
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
            await connection.execute("SET log_min_error_statement = panic")  # keeps the password out of the log
            await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", READER):
            await connection.execute(f"CREATE ROLE {READER} NOLOGIN; GRANT pg_read_all_data TO {READER}")
            await connection.execute(f"GRANT {READER} TO {ROLE}")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_S)


async def _lock(path: Path, operation: int, deadline: float) -> int:
    """Return an open file that holds the lock until it is closed; processes that start the same server wait here."""
    fd = open_own(path, os.O_RDWR)
    try:
        while not try_lock(fd, operation):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded server is being started or stopped by another process that does not finish ({path})",
                    hint=f"`fuser -v {path}` names that process.",
                )
            await asyncio.sleep(POLL_S)
    except BaseException:
        os.close(fd)
        raise
    return fd

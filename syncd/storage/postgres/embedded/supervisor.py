"""The supervisor: a detached process that is the server's parent, and owns it for as long as somebody uses it.

Never answers a user but through server.json, never decides when to start: `ensure` runs it.
"""

import contextlib
import fcntl
import os
import secrets
import select
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncd.errors import DatabaseUnavailable
from syncd.storage.postgres.embedded.cluster import (
    FAST_STOP_TIMEOUT_S,
    HARD_STOP_TIMEOUT_S,
    end_orphan,
    find_binaries,
    initdb_command,
    server_command,
)
from syncd.storage.postgres.embedded.directory import (
    POLL_S,
    SOCKET_PORT,
    Layout,
    State,
    is_same_file,
    open_own,
    read_state,
    read_text,
    try_lock,
    unusable,
    write_state,
    write_text,
)
from syncd.storage.postgres.embedded.privilege import become, die_with_parent, server_account
from syncd.storage.postgres.embedded.serverlog import advice, bound_log, log_tail, open_log

WATCH_S: Final = 0.5  # how often an idle supervisor looks whether it still has users
INITDB_TIMEOUT_S: Final = 120.0  # takes 1 to 3 s on an SSD


def supervise(layout: Layout, settings: Mapping[str, str], grace_s: float) -> None:
    """Take supervisor.lock, detach, run the server as long as it has users. The first half returns to the starter."""
    lock = open_own(layout.supervisor_lock, os.O_RDWR)
    give_up_at = time.monotonic() + 1.0  # others hold the lock for an instant when they look whether it is held
    while not try_lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > give_up_at:
            return  # another supervisor: the starter will find it
        time.sleep(POLL_S)
    os.ftruncate(lock, 0)
    port = read_state(layout).port
    write_state(layout, State(phase="starting", port=port))
    pid = os.fork()
    if pid:  # the lock is shared with the second half and stays with it
        os.pwrite(lock, f"{pid}\n".encode(), 0)
        return
    os.setsid()
    os.umask(0o077)
    code = 1
    try:
        _Supervisor(layout, settings, grace_s, lock).run(port)
        code = 0
    except (DatabaseUnavailable, OSError) as error:
        failure = unusable(layout.root, error) if isinstance(error, OSError) else error
        write_state(layout, State(phase="failed", port=port, message=str(failure), hint=failure.hint))
    except Exception:
        traceback.print_exc()  # standard error is postgres.log
        raise
    finally:
        os._exit(code)


class _Supervisor:
    """The parent of the server: single-threaded, because the parent-death signal belongs to the thread that forks."""

    def __init__(self, layout: Layout, settings: Mapping[str, str], grace_s: float, lock: int) -> None:
        self.layout = layout
        self.settings = settings
        self.grace_s = grace_s
        self.lock = lock
        self.account = server_account(layout)
        self.users = open_own(layout.users_lock, os.O_RDWR)
        self.log = open_log(layout)
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
        """Start the server, watch it, stop it."""
        self.server_lock = end_orphan(self.layout)
        bin_dir = find_binaries(self.layout)
        is_new = not self.layout.cluster.exists()
        if is_new:
            self._initialise(bin_dir)
        if not self.layout.by_socket:
            port = _free_port(port)
        for leftover in ("postmaster.pid", f".s.PGSQL.{SOCKET_PORT}", f".s.PGSQL.{SOCKET_PORT}.lock"):
            # we hold server.lock, so no process of this server lives: the pid in there is that of another program
            (self.layout.cluster / leftover).unlink(missing_ok=True)
        pid = self._spawn(server_command(self.layout, bin_dir, self.settings, port), signal.SIGINT)
        while not self._is_ready(pid):
            self._die_with(pid)
            if self._is_unwanted():
                _shut_down(pid)
                return
            time.sleep(POLL_S)
        write_state(self.layout, State(phase="ready", pid=pid, port=port, bin_dir=str(bin_dir), is_new=is_new))
        while not self._is_unwanted():
            self._die_with(pid)
            bound_log(self.layout, self.log)
            select.select([self.wakeup], [], [], WATCH_S)
            with contextlib.suppress(BlockingIOError):
                os.read(self.wakeup, 512)
        _shut_down(pid)
        write_state(self.layout, State(phase="starting", port=port))

    def _is_unwanted(self) -> bool:
        """Say whether the server must stop; if nobody uses it, users.lock stays taken, so that new users wait."""
        if self.stop_now or not is_same_file(self.lock, self.layout.supervisor_lock):  # the directory was deleted
            return True
        if not try_lock(self.users, fcntl.LOCK_EX):
            self.idle_since = None
            return False
        now = time.monotonic()
        self.idle_since = self.idle_since or now
        if now - self.idle_since >= self.grace_s:
            return True
        fcntl.flock(self.users, fcntl.LOCK_UN)
        return False

    def _is_ready(self, pid: int) -> bool:
        lines = read_text(self.layout.cluster / "postmaster.pid").splitlines()
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _die_with(self, pid: int) -> None:
        """Raise if the server has ended unasked; the next `ensure` starts it again."""
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            raise self._failed("the embedded server ended by itself", status)

    def _failed(self, what: str, status: int) -> DatabaseUnavailable:
        code = os.waitstatus_to_exitcode(status)
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = advice(log_tail(self.layout, self.log_start), self.layout.root)
        return DatabaseUnavailable(f"{what} ({why})", hint=hint)

    def _initialise(self, bin_dir: Path) -> None:
        """Make the cluster in another directory and rename it when complete: a killed initdb leaves no half of one."""
        new = self.layout.half_cluster
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        write_text(self.layout.password, secrets.token_urlsafe(24))
        given = self.layout.root / "password.initdb"
        given.unlink(missing_ok=True)
        shutil.copyfile(self.layout.password, given)
        if self.account:
            for path in (new, given):
                os.chown(path, *self.account, follow_symlinks=False)
        pid = self._spawn(initdb_command(bin_dir, new, given, self.settings), signal.SIGKILL)
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
                become(self.account, command[0])
            die_with_parent(parent, death_signal)
            environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
            if "LD_LIBRARY_PATH" in os.environ:
                environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
            os.execve(command[0], command, environment)  # noqa: S606 -- binaries of the installed wheel, no shell
        except OSError as error:
            os.write(2, f"cannot execute {command[0]}: {error}\n".encode())
        finally:
            os._exit(127)


def _shut_down(pid: int) -> None:
    """End the server: fast (SIGINT), then at once (SIGQUIT), then by force."""
    for number, timeout_s in (
        (signal.SIGINT, FAST_STOP_TIMEOUT_S),
        (signal.SIGQUIT, HARD_STOP_TIMEOUT_S),
        (signal.SIGKILL, HARD_STOP_TIMEOUT_S),
    ):
        os.kill(pid, number)
        if _wait(pid, timeout_s) is not None:
            return


def _wait(pid: int, timeout_s: float) -> int | None:
    """Return the wait status of the child, or None if it has not ended in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(POLL_S)
    return None


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DatabaseUnavailable("127.0.0.1 has no free port", hint="Choose a shorter database.data_dir (below 80 bytes).")

"""The data directory: where its files are, how they are made and locked, and what server.json says.

Never waits, except `lock`; never starts or ends a process.
"""

import errno
import fcntl
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Final

from syncd.errors import DatabaseUnavailable
from syncd.frozen import dataclass

SOCKET_PORT: Final = 5432  # only a part of the socket's name: .s.PGSQL.5432
SOCKET_PATH_MAX_BYTES: Final = 99  # the kernel's limit is 107; asyncpg and psql fail beyond it
POLL_S: Final = 0.02  # between two looks while somebody waits

USE_YOUR_OWN: Final = "Or use a server of your own: set database.url = 'postgresql://user@host/database'."


class Layout:
    """The files of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.root = root = data_dir.expanduser().resolve()
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
        """Say whether clients can reach the socket: its path is short and holds none of the signs that split hosts."""
        path = self.cluster / f".s.PGSQL.{SOCKET_PORT}"
        return len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES and not set(",:") & set(str(path))

    def make(self) -> None:
        """Make the data directory (0700) if it is missing; keep the mode of one that holds other files."""
        root = self.root
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


def unusable(data_dir: Path, error: OSError) -> DatabaseUnavailable:
    """Return the error for a data directory that the operating system does not let syncd use."""
    what = f"the data directory {data_dir} cannot be used: {error.strerror or error}"
    if error.errno == errno.ENOSPC:
        return DatabaseUnavailable(what, hint=f"The disk is full: make room. {USE_YOUR_OWN}")
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return DatabaseUnavailable(
            what, hint=f"Root has no full rights here: run syncd as a plain user. {USE_YOUR_OWN}"
        )
    if error.filename and str(error.filename) != str(data_dir):
        what += f" ({error.filename})"
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    hint = f"Give the user {user} a writable directory: set database.data_dir. {USE_YOUR_OWN}"
    return DatabaseUnavailable(what, hint=hint)


# --- Files ------------------------------------------------------------------------------------------------------------


def open_own(path: Path, flags: int) -> int:
    """Open a file of syncd (0600, never through a link); one that root makes is given to the owner of the directory."""
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def is_same_file(fd: int, path: Path) -> bool:
    """Say whether the open file is still the one at that path."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def read_text(path: Path) -> str:
    """Return the content of the file, empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def read_pid(path: Path) -> int:
    """Return the number in the first line (postmaster.pid, supervisor.lock), or 0."""
    first = read_text(path).partition("\n")[0].strip()
    return int(first) if first.isdigit() else 0


def write_text(path: Path, text: str) -> None:
    """Replace the file as a whole: a reader sees the old or the new one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(open_own(new, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


# --- Locks ------------------------------------------------------------------------------------------------------------


def try_lock(fd: int, operation: int) -> bool:
    """Take the lock (LOCK_SH or LOCK_EX); False if somebody else holds it."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock exclusively or, for users.lock, at all."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_EX if path.name == "users.lock" else fcntl.LOCK_SH)
    finally:
        os.close(fd)


# --- What the supervisor tells its users ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class State:
    """What the supervisor tells its users, in server.json: phase is starting, ready or failed."""

    phase: str
    pid: int = 0
    port: int = 0
    bin_dir: str = ""
    is_new: bool = False  # this start made the cluster: role and database are missing
    message: str = ""
    hint: str = ""


def read_state(layout: Layout) -> State:
    """Return the newest state; `starting` where there is none."""
    try:
        return State(**json.loads(read_text(layout.state)))
    except (ValueError, TypeError):  # no file yet, one cut off by a full disk, or one of another version of syncd
        return State(phase="starting")


def write_state(layout: Layout, state: State) -> None:
    """Write the state for the users to read."""
    write_text(layout.state, json.dumps(vars(state)))

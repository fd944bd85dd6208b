"""The file postgres.log: it is kept small, quoted in errors, and searched for the reason why a server did not start."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from syncd.storage.postgres.embedded.directory import USE_YOUR_OWN, Layout, open_own, read_text, write_text

LOG_MAX_BYTES: Final = 10 * 1024 * 1024
TAIL_LINES: Final = 12
TAIL_MAX_BYTES: Final = 20_000
LITTLE_DISK_BYTES: Final = 64 * 1024 * 1024  # four WAL segments; our choice


def open_log(layout: Layout) -> int:
    """Open the log for appending; a big one is renamed first."""
    with contextlib.suppress(FileNotFoundError):
        if layout.log.lstat().st_size > LOG_MAX_BYTES:
            layout.log.replace(layout.log.with_suffix(".log.1"))
    return open_own(layout.log, os.O_WRONLY | os.O_APPEND)


def bound_log(layout: Layout, fd: int) -> None:
    """Keep the log small while the server writes it: copy it, then truncate it; this is safe because writers append."""
    if os.fstat(fd).st_size > LOG_MAX_BYTES:
        with contextlib.suppress(OSError):  # the disk may be full: truncating still makes room
            write_text(layout.log.with_suffix(".log.1"), read_text(layout.log))
        os.ftruncate(fd, 0)


def log_tail(layout: Layout, start: int) -> str:
    """Return the last lines that were logged since the log had `start` bytes."""
    with contextlib.suppress(FileNotFoundError), layout.log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - TAIL_MAX_BYTES) if start <= size else 0)
        lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return f"\nlast lines of {layout.log}:\n  " + "\n  ".join(lines) if lines else ""
    return ""


def advice(log: str, root: Path) -> str:
    """Say what to do about a server that did not start, from what it logged."""
    if "No space left on device" in log or shutil.disk_usage(root).free < LITTLE_DISK_BYTES:
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

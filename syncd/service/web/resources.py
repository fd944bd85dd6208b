"""What this process uses of its machine, as the client libraries of Prometheus name it. Read from /proc (Linux)."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SELF: Final = Path("/proc/self")
_START_FIELD: Final = 19
"""Place of the start in /proc/self/stat after the name, which may hold spaces: proc(5), field 22."""
_SIZE_FIELDS: Final = (20, 21)
"""Places of the virtual size in bytes and of the resident set in pages, likewise."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What is used now; None where this system does not say. Sizes are in bytes, times in seconds."""

    cpu_s: float
    open_files: int | None = None
    most_files: int
    virtual_bytes: int | None = None
    resident_bytes: int | None = None
    started_at: float | None = None


def read() -> Resources:
    """Read what this process uses."""
    times, most = os.times(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    cpu_s = times.user + times.system
    try:
        fields = (_SELF / "stat").read_text().rpartition(")")[2].split()
        booted_at = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        virtual, resident = (int(fields[place]) for place in _SIZE_FIELDS)
        return Resources(
            cpu_s=cpu_s,
            open_files=len(os.listdir(_SELF / "fd")),  # noqa: PTH208  (names are enough, and quicker)
            most_files=most,
            virtual_bytes=virtual,
            resident_bytes=resident * resource.getpagesize(),
            started_at=float(booted_at.split()[1]) + int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK"),
        )
    except (OSError, StopIteration, ValueError, IndexError):  # no Linux
        return Resources(cpu_s=cpu_s, most_files=most)

"""What a command takes: wall time, CPU and peak memory of a process and its children, told by the kernel.

    python -I bench/process.py COMMAND…

A process's peak memory as the kernel counts it begins with that of the process which started it. So commands are
started by this file, run by itself: it imports next to nothing.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run the command, and print what it took on a line below its output."""
    began = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    _, status, used = os.wait4(pid, 0)
    took = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }
    print("\n" + json.dumps(took))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    raise SystemExit(main())

"""`syncd` in a line of the shell, forked as `tests.support.forks` does: this small program asks for it and ends as it.

    python -I -S forked.py CHANNEL WORD...

It gives its outputs, folder and environment on. What else a shell changes of a process (a limit, a descriptor that was
closed) needs a Python of its own.
"""

import json
import os
import socket
import sys


def main() -> int:
    """Ask for the command; return its exit code."""
    reports, report = os.pipe()
    asked = {"words": sys.argv[2:], "env": dict(os.environ), "folder": os.getcwd(), "module": "syncd"}  # noqa: PTH109
    socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [json.dumps(asked).encode()], [1, 2, report])
    os.close(report)
    with open(reports) as lines:  # noqa: PTH123
        _pid, code = map(int, lines)
    return code


if __name__ == "__main__":
    os._exit(main())

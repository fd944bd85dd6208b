"""No process of syncd dumps core: neither the command itself, nor what it starts."""

import subprocess
import sys

PROGRAM = """
import resource, syncd.cli, syncd.cli.exits
syncd.cli.exits.guarded = lambda _: print(resource.getrlimit(resource.RLIMIT_CORE)[0]) or 0
syncd.cli.main()
"""


def test_a_command_leaves_no_core() -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(4)[1],) * 2)\n{PROGRAM}"
    told = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)  # noqa: S603
    assert told.stdout == "0\n"

"""The embedded PostgreSQL server: starts one private server per data directory and ends it with its last user.

Owns `<data_dir>`: the cluster in `cluster/`, `postgres.log`, the lock files and `server.json`. Never touches a
directory above it, never listens beyond a unix socket or 127.0.0.1, never leaves a server behind that nobody uses.

Who is alive is answered by the kernel alone, through flock: a lock ends with its holder, also on `kill -9`.

    start.lock        exclusive while a process makes sure that the server runs: one starter at a time
    users.lock        shared by every process that uses the server, for as long as it lives
    supervisor.lock   exclusive by the supervisor; holds its pid
    server.lock       exclusive by the supervisor and inherited by every process of the server

The supervisor (`python -m syncd.storage.postgres.embedded supervise`) is the postmaster's parent. It stops the
server when it gets
`users.lock` exclusively for the whole grace, and keeps it until the server is down, so that a newcomer waits instead
of meeting a server that is about to go. If the supervisor is killed, the kernel sends the postmaster SIGINT (Linux).

    server.py       the user's side: ensure, release, stop
    supervisor.py   the server's side: the detached process that owns it
    cluster.py      PostgreSQL: binaries, settings, commands, ending what was left behind
    privilege.py    as whom it runs, and that it dies with its supervisor
    dump.py         backup and restore, with the server's own tools
    serverlog.py    postgres.log, and what can be read from it
    directory.py    the files and locks of the data directory
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.storage.postgres.embedded.dump import dump, load
    from syncd.storage.postgres.embedded.server import READER, Server, ensure, exists, release, stop

__all__ = ["READER", "Server", "dump", "ensure", "exists", "load", "release", "stop"]


def __getattr__(name: str) -> object:
    """Import the user's side when it is first asked for: the supervisor, which starts often, needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for side in ("server", "dump"):
        module = import_module(f"{__name__}.{side}")
        globals().update({each: getattr(module, each) for each in __all__ if hasattr(module, each)})
    return globals()[name]

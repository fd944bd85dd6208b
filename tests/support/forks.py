"""Commands without their start-up: a process that has imported the whole program forks itself for each of them.

A fork is a process of its own, with its own descriptors, environment, folder and signals, and it ends as Python ends.
It spares the half second of imports that each of some hundred commands would cost. Two things differ from a process
that was started: /proc tells the first process's command line and environment, and nothing is left to import. A test
of these uses `exec_anew`, and so does a command with variables that are read at its start.
"""

import asyncio
import atexit
import contextlib
import functools
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

READ_AT_START = ("PYTHON", "LC_", "LANG", "SSL_")  # the last by aiohttp, which makes its TLS contexts at import
_LARGEST = 1 << 20


class Process(Protocol):
    """What a test may ask of a command's process, as of `asyncio.subprocess.Process`."""

    pid: int
    stdout: asyncio.StreamReader | None
    stderr: asyncio.StreamReader | None

    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, signal: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...
    async def communicate(self) -> tuple[bytes, bytes]: ...


def let_go(process: Process) -> None:
    """Close what is still open of an ended process's pipes: nobody may read them, or a grandchild holds them."""
    if isinstance(process, _Forked):
        process.close()


async def start(
    *words: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    module: str = "syncd",
) -> Process:
    """Start a module with words; `env` is added to this process's environment, the outputs may be descriptors."""
    whole = {**os.environ, **(env or {})}
    if any(name.startswith(READ_AT_START) and whole[name] != os.environ.get(name) for name in whole):
        return await exec_anew(*words, stdout=stdout, stderr=stderr, env=whole, module=module)
    pipes = [os.pipe() if wanted == subprocess.PIPE else (-1, os.dup(wanted)) for wanted in (stdout, stderr)]
    pipes.append(os.pipe())
    asked = {"words": words, "env": whole, "folder": str(Path.cwd()), "module": module}
    try:
        socket.send_fds(_parent(), [json.dumps(asked).encode()], [end for _, end in pipes])
    finally:
        for _, end in pipes:
            os.close(end)
    readers, transports = zip(*[await _reader(end) for end, _ in pipes if end >= 0], strict=True)
    *outputs, reports = readers
    return _Forked(
        int(await reports.readline()),
        reports,
        outputs.pop(0) if stdout == subprocess.PIPE else None,
        outputs.pop(0) if stderr == subprocess.PIPE else None,
        transports,
    )


async def exec_anew(
    *words: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    module: str = "syncd",
) -> Process:
    """Start a module as a shell does; `env` is its whole environment."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env
    )


class _Forked:
    def __init__(
        self,
        pid: int,
        reports: asyncio.StreamReader,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
        pipes: Sequence[asyncio.BaseTransport],
    ) -> None:
        self.pid, self.stdout, self.stderr, self._pipes = pid, stdout, stderr, pipes
        self._ended = asyncio.create_task(reports.readline())

    @property
    def returncode(self) -> int | None:
        return int(self._ended.result()) if self._ended.done() else None

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return int(await asyncio.shield(self._ended))

    async def communicate(self) -> tuple[bytes, bytes]:
        async def read(stream: asyncio.StreamReader | None) -> bytes:
            return await stream.read() if stream else b""

        out, err, _ = await asyncio.gather(read(self.stdout), read(self.stderr), self.wait())
        return out, err

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    return reader, pipe


@functools.cache
def _parent() -> socket.socket:
    """Return the channel to the process that forks. That process ends when this one does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.support.forks", str(its.fileno())],
        pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _import_everything() -> None:
    import syncd

    for module in pkgutil.walk_packages(syncd.__path__, "syncd."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    gc.freeze()  # forks share what they do not look at


def _next_command(channel: socket.socket) -> tuple[str, list[str]]:
    """Fork for each command that is asked for; return its module and words in its own process.

    This process ends after the last one.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C ends the tests, and these this process
    while True:
        asked, fds, _, _ = socket.recv_fds(channel, _LARGEST, 3)
        if not asked:
            sys.exit()
        if os.fork() == 0:
            break
        for fd in fds:
            os.close(fd)
    channel.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, err, status = fds
    if pid := os.fork():
        _tell_the_end(pid, status, out, err)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    os.close(status)
    command = json.loads(asked)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["env"])
    time.tzset()
    return command["module"], command["words"]


def _tell_the_end(pid: int, status: int, *others: int) -> None:
    """Wait for a command and tell how it ended; this process has nothing else to do."""
    with contextlib.suppress(BrokenPipeError):  # the test ended before its command
        os.write(status, f"{pid}\n".encode())
        for fd in (*others, 1, 2):
            os.close(fd)
        _, ended = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    _import_everything()
    name, sys.argv[1:] = _next_command(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(name, run_name="__main__", alter_sys=True)

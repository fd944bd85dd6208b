"""Commands without their start-up: a process that has imported the whole program forks itself for each of them.

A fork is a process of its own, with its own descriptors, environment, folder and signals, and it ends as Python ends
(but see `_end`).
It spares the half second of imports that each of some hundred commands would cost. Two things differ from a process
that was started: /proc tells the first process's command line and environment, and nothing is left to import. A test
of these uses `exec_anew`, and so does a command with variables that are read at its start, unless many commands have
the same ones: `keeping` starts a process of their own that forks for them.
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
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol

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
    other = _read_at_start(whole)
    if other and other not in _kept:
        return await exec_anew(*words, stdout=stdout, stderr=stderr, env=whole, module=module)
    pipes = [os.pipe() if wanted == subprocess.PIPE else (-1, os.dup(wanted)) for wanted in (stdout, stderr)]
    pipes.append(os.pipe())
    asked = {"words": words, "env": whole, "folder": str(Path.cwd()), "module": module}
    try:
        socket.send_fds(_kept[other] if other else channel(), [json.dumps(asked).encode()], [end for _, end in pipes])
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


_Variables = tuple[tuple[str, str], ...]
_kept: dict[_Variables, socket.socket] = {}
"""Channels to processes that fork for commands with these variables."""


def _read_at_start(env: Mapping[str, str]) -> _Variables:
    """Return the variables that are read at a start and differ from this process's own."""
    names = sorted(name for name in env if name.startswith(READ_AT_START) and env[name] != os.environ.get(name))
    return tuple((name, env[name]) for name in names)


@contextlib.contextmanager
def keeping(env: Mapping[str, str]) -> Iterator[None]:
    """Let commands with these variables be forked too, until the block ends."""
    variables = _read_at_start(env)
    _kept[variables], end = _forking("-P", __file__, env=env)  # -P: `secrets` beside this file is not Python's
    try:
        yield
    finally:
        _kept.pop(variables)
        end()


@functools.cache
def channel() -> socket.socket:
    """Return the channel to the process that forks. That process ends when this one does."""
    opened, end = _forking("-m", "tests.support.forks", env={})
    atexit.register(end)
    return opened


def _forking(*program: str, env: Mapping[str, str]) -> tuple[socket.socket, Callable[[], None]]:
    """Start a process that forks; return the channel to it, and what ends it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *program, str(its.fileno())],
        pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, **env},
    )  # fmt: skip
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    return ours, end


IMPORTED_LATE = ("concurrent.futures.thread", "encodings.idna", "encodings.utf_8_sig", "rich._emoji_codes")
"""What libraries import when most commands have begun."""


def _import_everything() -> None:
    import syncd
    from syncd import sources

    for module in pkgutil.walk_packages(syncd.__path__, "syncd."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in IMPORTED_LATE:
        import_module(name)
    sources.found()  # which plugins there are, by the same path, is the same for each command
    gc.freeze()  # forks share what they do not look at


def _next_command(channel: socket.socket) -> tuple[str, list[str]]:
    """Fork for each command that is asked for; return its module and words in its own process.

    This process tells how each of them ended, and ends after the last one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C ends the tests, and these this process
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    under_way: dict[int, int] = {}  # processes, and where to tell of their ends
    while True:
        ready, _, _ = select.select([channel.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, _LARGEST)
            _tell_ends(under_way)
        if channel.fileno() not in ready:
            continue
        asked, fds, _, _ = socket.recv_fds(channel, _LARGEST, 3)
        if not asked:
            sys.exit()
        out, err, status = fds
        if (pid := os.fork()) == 0:
            break
        under_way[pid] = status
        _tell(status, pid)
        os.close(out)
        os.close(err)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.default_int_handler)
    channel.close()
    for fd in (woken, wakes, status, *under_way.values()):
        os.close(fd)
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    command = json.loads(asked)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["env"])
    time.tzset()
    return command["module"], command["words"]


def _tell_ends(under_way: dict[int, int]) -> None:
    """Tell of every command that has ended."""
    while under_way:
        pid, ended = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        status = under_way.pop(pid)
        _tell(status, os.waitstatus_to_exitcode(ended))
        os.close(status)


def _tell(status: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test ended before its command
        os.write(status, f"{number}\n".encode())


def _end(ending: SystemExit) -> NoReturn:
    """End as Python does, but do not take apart what the first process made: a fork must copy it for that.

    That would cost ten times as much as most commands.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        if ending.code is None or isinstance(ending.code, int):
            getattr(threading, "_shutdown")()  # noqa: B009  (no stub knows it; it waits for threads)
            atexit._run_exitfuncs()
            gc.collect()
            sys.stderr.flush()
            os._exit(ending.code or 0)
    raise ending


if __name__ == "__main__":
    _import_everything()
    name, sys.argv[1:] = _next_command(socket.socket(fileno=int(sys.argv[1])))
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        _end(ending)

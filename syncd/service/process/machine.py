"""All workers of one machine: starts them, starts one that died again, and ends them together.

Each is a process of its own, `syncd worker`. Holds no account, and opens no database.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from syncd import log
from syncd.config import Http
from syncd.service.process.systemd import Notifier

AGAIN_S: Final = 1.0
"""A worker that died is started again after this."""
END_S: Final = 12.0
"""Workers that have not ended after this are killed; each ends its runs within 10 s."""
WRONG: Final = (2, 3)
"""Exit codes that another try does not mend: wrong usage or configuration, a database that refuses."""
BEAT_S: Final = 5.0
MANAGERS_OWN: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables by which a process speaks to systemd: only this one does."""

_log = log.get(__name__)


async def run(words: Sequence[Sequence[str]], *, environ: Mapping[str, str] = os.environ) -> int:
    """Run a worker for each list of words after `syncd`, until SIGTERM or SIGINT; SIGHUP is passed on.

    Returns 0, or the exit code of the first worker that another try would not mend: then all of them end.
    """
    stop = asyncio.Event()
    notifier = Notifier(environ)
    own = {name: value for name, value in environ.items() if name not in MANAGERS_OWN}
    machine = _Machine(stop, own)
    async with _signals(stop, machine):
        lives = [asyncio.create_task(machine.keep(each)) for each in words]
        notifier.send("READY=1", f"STATUS={len(words)} workers")
        while not stop.is_set():
            notifier.send("WATCHDOG=1")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(BEAT_S, (notifier.watchdog_s or BEAT_S * 3) / 3))
        notifier.send("STOPPING=1")
        machine.send(signal.SIGTERM)
        _, late = await asyncio.wait(lives, timeout=END_S)
        if late:
            machine.send(signal.SIGKILL)
            await asyncio.wait(late)
    return machine.code


class _Machine:
    """The processes."""

    def __init__(self, stop: asyncio.Event, environ: Mapping[str, str]) -> None:
        self._stop, self._environ = stop, environ
        self._processes: set[asyncio.subprocess.Process] = set()
        self.code = 0

    async def keep(self, words: Sequence[str]) -> None:
        """Start a worker, and again whenever it died, until all end."""
        while not self._stop.is_set():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "syncd", *words, stdin=asyncio.subprocess.DEVNULL, env=dict(self._environ)
            )
            self._processes.add(process)
            if self._stop.is_set():  # it was told while this process was being made
                process.terminate()
            code = await process.wait()
            self._processes.discard(process)
            if self._stop.is_set():
                return
            if code in WRONG:
                self.code = self.code or code
                self._stop.set()
                return
            _log.warning("worker_died", worker_pid=process.pid, code=code, again_s=AGAIN_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), AGAIN_S)

    def send(self, number: int) -> None:
        """Send a signal to every worker."""
        for process in set(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


@contextlib.asynccontextmanager
async def _signals(stop: asyncio.Event, machine: _Machine) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, machine.send, signal.SIGHUP)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def place(http: Http | None, number: int) -> str:
    """Return where the worker of that number listens, as `syncd worker --listen` takes it: one port after another."""
    if http is None:
        return "off"
    at = replace(http, port=http.port + number if http.port else 0)
    return f"[{at.host}]:{at.port}" if ":" in at.host else f"{at.host}:{at.port}"

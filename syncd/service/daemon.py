"""The service: lives until a signal ends it, and begins a new life where it was declared lost as a worker.

Owns what SIGHUP, SIGTERM and SIGINT do. What a life is made of stands in `life`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from syncd import config as configuration
from syncd import log
from syncd.config import Config, Log
from syncd.service.connection import loaded
from syncd.service.life import Life, protect
from syncd.service.listeners import listener
from syncd.service.notices import tell_left_out
from syncd.service.process import memory
from syncd.service.process.systemd import Notifier

Hangup = Literal["reloads", "ends"]
"""What SIGHUP does: systemd sends it for a reload, a terminal when it is closed."""


async def serve(
    load: Callable[[], Config],
    *,
    environ: Mapping[str, str] = os.environ,
    stop: asyncio.Event | None = None,
    logs: bool = True,
    on_started: Callable[[str | None], None] = lambda _url: None,
    hangup: Hangup = "reloads",
    is_worker: bool = False,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`: then end every run at its page boundary, within 10 s, and return 0.

    `load` reads the configuration, now and at each SIGHUP, in a thread of its own; the log follows it, unless `logs`
    leaves the log to the caller. `hangup` says what SIGHUP does. `is_worker`: only the accounts that are this process's
    share, among other workers (`syncd.scale`); declared lost, it begins a new life, and only signals end it.
    `on_started` hears the address of the status page once all is under way, None if it is off or its port is taken.

    Raises ConfigError for a wrong configuration or address to listen on, and
    DatabaseError for a database that refuses or is not migrated. One that cannot be reached is waited for, and so is a
    port that is taken.
    """
    listener.raise_descriptors()
    if logs:  # as it is by default, until the configuration says more: to wait for its accounts must be told
        usual = Log()
        log.configure(usual.format, usual.level)
    config, told = await loaded(load, Notifier(environ), stop), _Told()
    with _signals(told, hangup):
        while not told.is_end:
            if config.sources_from is None:
                configuration.require_some(config)
            protect(config, lambda _name: not is_worker)
            if logs:
                log.configure(config.log.format, config.log.level)
            tell_left_out(config)
            memory.settle()
            ending = asyncio.Event() if is_worker or stop is None else stop
            told.life = life = Life(config, load, Notifier(environ), ending, logs=logs, is_worker=is_worker)
            await life.serve(on_started)
            if not life.is_lost:
                break
            config = life.config
    return 0


@dataclass(kw_only=True)
class _Told:
    """What signals ask for, in whichever life of the service they come: also while a lost worker's life ends."""

    life: Life | None = None
    is_end: bool = False

    def end(self, why: str) -> None:
        """End this life, and begin no other."""
        self.is_end = True
        if self.life is not None:
            self.life.end(why)

    def reload(self) -> None:
        """Read the configuration again; a life that has not begun reads it anyway."""
        if self.life is not None:
            self.life.reload_soon()


@contextlib.contextmanager
def _signals(told: _Told, hangup: Hangup) -> Iterator[None]:
    """Answer signals while the service lives."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.end, number.name)
    if hangup == "ends":
        loop.add_signal_handler(signal.SIGHUP, told.end, signal.SIGHUP.name)
    else:
        loop.add_signal_handler(signal.SIGHUP, told.reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)

"""The daemon's own tasks beside the runs: at most one of each name, and all of them end with the service."""

import asyncio
from collections.abc import Awaitable, Callable

from syncd import log

_log = log.get(__name__)


class Background:
    """Tasks by name. A bug in one is told, and ends nothing else."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task; the name must be free."""
        self._tasks[name] = asyncio.create_task(self._guarded(name, work), name=name)

    async def ended(self, name: str) -> None:
        """Wait for the end of the task of that name, if there is one."""
        if task := self._tasks.get(name):
            await asyncio.wait({task})

    async def _guarded(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001  a bug of ours must not end the service, and must be told
            _log.exception("daemon_task_failed", task=name)
        finally:
            self._tasks.pop(name, None)

    async def end(self) -> None:
        """Cancel all tasks and wait for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The processes of a soak: real commands of syncd, each with its fate."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from syncd.cli.exits import STOPPED
from syncd.sources import registry
from tests.promises.soak_tally import Tally, WrongError
from tests.support.crashing import POINTS
from tests.support.truth import NAMES

ROOT = Path(__file__).parents[2]
AT_ONCE = 3
"""Of them at once, at most."""
COMMAND_S = 600.0
"""Longest clean command."""
STOP_S = 20.0
"""A process that was asked to stop has ended by then, on a machine with much else to do."""
OF_EVERYTHING: tuple[tuple[str, ...], ...] = (
    (), (), ("shop",), ("lease",), ("cars",), ("parts",), ("*.orders",), ("shop.customers", "cars.vehicles"),
)  # fmt: skip
STREAMS = [f"{name}.{stream.name}" for name, api in NAMES.items() for stream in registry()[api].streams]
RANGES = [
    f"{name}.{stream.name}" for name, api in NAMES.items() for stream in registry()[api].streams if stream.backfills
]
WORKERS_OFTEN = 5
"""How often workers are started, beside 9 other commands."""
WORKERS_S = 15.0
"""What workers have at least to start and to share the accounts, before their fate."""
LOST_S = 5.0
"""A worker that stood still for so long has lost its lease."""


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def lasts(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Wait for so long, or until a process has ended."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)


class Processes:
    """The commands under way."""

    def __init__(self, config: Path, dice: random.Random, tally: Tally, *, workers: int = 0) -> None:
        self.config, self.dice, self.tally, self.workers = config, dice, tally, workers
        self.tasks: set[asyncio.Task[None]] = set()
        self.running: set[asyncio.subprocess.Process] = set()
        self.commands = 0

    async def start(self) -> None:
        """Start a command, and leave it to its fate."""
        if len(self.running) >= AT_ONCE:
            return
        some = self.dice.choice((*OF_EVERYTHING, (self.dice.choice(STREAMS),), (self.dice.choice(STREAMS),)))
        since = f"{self.dice.choice((2023, 2024, 2025))}-0{self.dice.randint(1, 9)}-01"
        ways = ((), ("--again",), ("--in-service",)) if self.workers else ((), ("--again",))
        words: tuple[str, ...] = self.dice.choices(
            (("sync", *some), ("sync", "--full", *some), self.service,
             ("backfill", self.dice.choice(RANGES), "--since", since, *self.dice.choice(ways))),
            (5, 2, WORKERS_OFTEN if self.workers else 1.5, 2),
        )[0]  # fmt: skip
        fates = ("none", "kill", "term", "point") if words[0] != "run" else ("term", "term", "kill")
        if words == self.service and self.workers:
            fates = ("term", "kill", "one killed", "one stopped")
        fate, after_s = self.dice.choice(fates), self.dice.uniform(0, 4)
        program = ["syncd"]
        if fate == "point":
            point, fate = self.dice.choice(list(POINTS)), "none"
            program = ["tests.support.crashing", point, str(self.dice.randint(1, 8))]
        if words[0] == "run":
            after_s += WORKERS_S if self.workers else 3
        self.tasks.add(asyncio.create_task(self.meet_fate(program, words, fate, after_s)))

    @property
    def service(self) -> tuple[str, ...]:
        """The daemon, or workers in its place."""
        return ("run", "--workers", str(self.workers)) if self.workers else ("run",)

    async def meet_fate(self, program: Sequence[str], words: Sequence[str], fate: str, after_s: float) -> None:
        async def end(process: asyncio.subprocess.Process) -> None:
            if fate == "none":
                return
            await lasts(process, after_s)
            if fate.startswith("one"):
                await self.hurt_one(process, fate)
            if process.returncode is None:
                self.tally.kills["SIGKILL at random" if fate == "kill" else f"SIGTERM of {words[0]}"] += 1
                if fate == "kill":
                    kill(process)
                else:
                    process.terminate()
                asked_at = time.monotonic()
                await process.wait()
                took_s = time.monotonic() - asked_at
                if words[0] == "run" and took_s > STOP_S:
                    raise WrongError(f"the daemon took {took_s:.0f} s to end")

        code, said = await self.spawned(program, words, end)
        if len(program) > 1 and code == -signal.SIGKILL:
            self.tally.kills[f"SIGKILL {program[1]}"] += 1
        if code not in (0, 1, 3, STOPPED, -signal.SIGKILL, -signal.SIGTERM):
            raise WrongError(f"syncd {' '.join(words)} ended with {code}\n{said}")

    async def hurt_one(self, machine: asyncio.subprocess.Process, fate: str) -> None:
        """Kill one of several workers, or let it stand still for longer than its lease; then let them be."""
        with contextlib.suppress(OSError, IndexError):
            one = self.dice.choice(children(machine.pid))
            self.tally.did(f"worker {one}: {fate}")
            self.tally.kills["SIGKILL of a worker" if fate == "one killed" else "SIGSTOP of a worker"] += 1
            os.kill(one, signal.SIGKILL if fate == "one killed" else signal.SIGSTOP)
            await lasts(machine, LOST_S)
            os.kill(one, signal.SIGCONT)
        await lasts(machine, self.dice.uniform(0, LOST_S))

    async def clean(self, *words: str) -> None:
        """Run a command that must end well."""
        code, said = await self.spawned(["syncd"], words)
        if code:
            raise WrongError(f"syncd {' '.join(words)} at rest ended with {code}\n{said}")

    async def spawned(
        self,
        program: Sequence[str],
        words: Sequence[str],
        meanwhile: Callable[[asyncio.subprocess.Process], Awaitable[None]] | None = None,
    ) -> tuple[int, str]:
        """Run a command to its end; return its code and what it said. WrongError if that smells of a bug."""
        self.commands += 1
        name = f"#{self.commands} {' '.join(program)} {' '.join(words)}"
        self.tally.did(f"start {name}")
        with (self.config.parent / "said").open("w+b") as said:
            (self.config.parent / "said").unlink()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *program, *words, "--config", str(self.config), cwd=ROOT, stdout=said,
                stderr=said, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            self.running.add(process)
            try:
                if meanwhile:
                    await meanwhile(process)
                    code = await process.wait()
                else:
                    code = await asyncio.wait_for(process.wait(), COMMAND_S)
            finally:
                self.running.discard(process)
                if process.returncode is None:
                    kill(process)
                    await process.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")[-6000:]
        self.tally.did(f"end   {name}: {code}")
        self.tally.ends[f"{words[0]}: {code}"] += 1
        for sign in ("Traceback", "has a defect", "run_crashed", "never retrieved"):
            if sign in text:
                raise WrongError(f"{name} says {sign!r}:\n{text}")
        return code, text

    async def end_all(self, grace_s: float = STOP_S) -> None:
        """End what runs: asked first, and then not asked."""
        for process in list(self.running):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace_s)
        for process in list(self.running):
            if grace_s:
                self.tally.kills["SIGKILL because it did not end"] += 1
            kill(process)
        tasks, self.tasks = self.tasks, set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        if grace_s:
            for error in found:
                if error:
                    raise error

    def reap(self) -> None:
        """Hear how commands ended; raises WrongError."""
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            task.result()

"""The soak: everything happens at random, and at every rest the mirror must equal the upstream.

    python -m tests.soak --minutes 20 --seed 1

The sandbox lives in this process; it keeps changing and misbehaving. Real `syncd` processes sync, sweep, backfill and
serve on a private PostgreSQL (fsync on); they are killed, and so is the server. Every half a minute all comes to a
rest: one clean sync and one full one, both accepting deletions, must end with 0, the whole mirror must equal the truth,
and what stands in schema syncd must add up. The first thing that is wrong ends the soak with 1, the seed and the last
deeds. The seed gives the same deeds again, but not at the same instants: the clock is the real one.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg

from syncd import config as configuration
from syncd import database, embedded, log
from syncd.cli.ending import STOPPED
from syncd.sandbox import Address, Limits, Sandbox, config_text, serve
from syncd.sandbox.limits import Window
from syncd.sandbox.world import PACE
from syncd.sources import registry, specs
from tests.command import WallClock
from tests.conftest import Bench
from tests.crashing import POINTS
from tests.test_faults import AT_ONCE, MATRIX
from tests.truth import NAMES, differences

ROOT = Path(__file__).parent.parent
ROUND_S = (20.0, 40.0)
"""From one rest to the next."""
PROCESSES = 3
"""Of syncd at once, at most."""
COMMAND_S = 120.0
"""Longest clean command."""
STOP_S = 20.0
"""A process that was asked to stop has ended by then, on a machine with much else to do."""
LATE_S = 300
"""Age of the oldest late commit; half of the overlap."""
LIMITS = Limits(per_minute=100_000, per_day=100_000_000)
SIZES = {
    "customers": 300, "page_size": 40, "vehicles": 150, "companies": 30, "cyclis_orders": 120, "cyclists": 80,
    "products": 60,
}  # fmt: skip
BUSY = {"autengo": "limit = 25"}
TOO_LONG = {"gzip-bomb"}
BELIEVED = {fault.name for fault in MATRIX if fault.rest == AT_ONCE or fault.buries}
"""Faults that a live run cannot tell from the truth: the next sweep mends what they left behind."""
GONE = "it is gone upstream"
SHOWN = 50
"""Differences that are printed at most."""
OF_EVERYTHING: tuple[tuple[str, ...], ...] = (
    (), (), ("shop",), ("lease",), ("cars",), ("parts",), ("*.orders",), ("shop.customers", "cars.vehicles"),
)  # fmt: skip
STREAMS = [f"{name}.{stream.name}" for name, api in NAMES.items() for stream in registry()[api].streams]
RANGES = [
    f"{name}.{stream.name}" for name, api in NAMES.items() for stream in registry()[api].streams if stream.backfills
]
INVARIANTS = {
    "runs that are left running": "SELECT run_id, source, stream, kind FROM syncd.runs"
    " WHERE outcome = 'running' AND kind <> 'backfill'",
    "runs whose counts do not add up": "SELECT run_id, source, stream, kind, rows_seen, rows_inserted, rows_updated,"
    " rows_unchanged, rows_rejected FROM syncd.runs"
    " WHERE outcome = 'ok' AND rows_seen <> rows_inserted + rows_updated + rows_unchanged + rows_rejected",
    "runs that do not say how they ended": "SELECT run_id, source, stream, kind, outcome, error FROM syncd.runs"
    " WHERE (outcome = 'ok') <> (error IS NULL) AND outcome <> 'running'"
    " OR (outcome = 'running') <> (finished_at IS NULL)",
    "cursors with an unfinished pass": "SELECT source, stream, kind, cursor FROM syncd.cursors"
    " WHERE cursor ? 'pass' AND kind NOT LIKE 'backfill%'",
    "remembered keys that are left": "SELECT source, stream, seen_at FROM syncd.seen",
}


class WrongError(Exception):
    """Something that must never be."""


@dataclass
class CountingBench(Bench):
    """The bench of a comparison; counts the rows that it read."""

    compared: int = 0

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        rows = await super().fetch(query, *values)
        self.compared += len(rows)
        return rows


def config_of(sandbox: Sandbox, address: Address, data_dir: Path) -> str:
    """Return a configuration with short pages and a busy schedule."""
    text = config_text(sandbox, address)
    for api, line in BUSY.items():
        text = text.replace(f'type = "{api}"\n', f'type = "{api}"\n{line}\n')
    for name, api in NAMES.items():
        for stream in registry()[api].streams:
            header = f"[sources.{name}.streams.{stream.name}]\n"
            lines = 'every = "2s"\n' + ('sweep = "15s"\n' if stream.sweep_s is not None else "")
            lines += "window = 1000\n" if (name, stream.name) == ("parts", "orders") else ""
            text = text.replace(header, header + lines) if header in text else f"{text}{header}{lines}"
    return f'[database]\nurl = "embedded"\ndata_dir = "{data_dir}"\n[http]\nlisten = "127.0.0.1:0"\n{text}'


class Soak:
    """One soak: its sandbox, its server, the processes under way, and what was counted."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder, self.data_dir = seed, folder, folder / "data"
        self.dice = random.Random(seed)  # noqa: S311
        self.sandbox = Sandbox(seed=seed, limits=LIMITS, **cast("Any", SIZES))
        self.config = folder / "config.toml"
        self.began_at = time.monotonic()
        self.deeds: deque[str] = deque(maxlen=60)
        self.tasks: set[asyncio.Task[None]] = set()
        self.running: set[asyncio.subprocess.Process] = set()
        self.commands = self.rests = self.compared = self.requests = 0
        self.kills: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.outcomes: dict[str, int] = {}
        self.graveyard: list[tuple[str, str, dict[str, Any]]] = []
        self.believed = False

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began_at) / 60

    def did(self, what: str) -> None:
        self.deeds.append(f"{self.minutes * 60:8.2f} s  {what}")

    async def run(self, minutes: float) -> None:
        """Let things happen until the time is over; raises WrongError."""
        async with serve(self.sandbox) as address:
            self.config.write_text(config_of(self.sandbox, address, self.data_dir))
            self.config.chmod(0o600)
            try:
                await self.clean("migrate")
                await embedded.ensure(self.data_dir)
                await self.rest(address)
                while self.minutes < minutes:
                    await self.round(time.monotonic() + self.dice.uniform(*ROUND_S))
                    await self.rest(address)
            finally:
                await self.end_all(grace_s=0)
                await embedded.stop(self.data_dir)

    # --- The storm

    async def round(self, until: float) -> None:
        deeds: Mapping[Callable[[], Awaitable[None]], float] = {
            self.evolve: 5, self.delete: 2, self.come_back: 1, self.commit_late: 2, self.take_or_give_company: 0.4,
            self.arm: 4, self.disarm: 0.4, self.slow_down: 0.5, self.start: 6, self.hurt_database: 0.3,
        }  # fmt: skip
        while time.monotonic() < until:
            (deed,) = self.dice.choices(list(deeds), list(deeds.values()))
            await deed()
            await asyncio.sleep(self.dice.uniform(0, 1))
            for task in [task for task in self.tasks if task.done()]:
                self.tasks.discard(task)
                task.result()

    async def evolve(self) -> None:
        steps = self.dice.choice((1, 1, 2, 5))
        self.sandbox.evolve(steps)
        self.changes["steps of daily work"] += steps
        self.did(f"evolve {steps}")

    def pick(self) -> tuple[str, str, Any] | None:
        """Return one record by API, stream and key."""
        api, stream = self.dice.choice([*PACE, ("cyclesoftware", "customer_phone_numbers")])
        if stream == "customer_phone_numbers":
            numbers = self.sandbox.truth(api, stream)
            number = self.dice.choice(numbers) if numbers else {}
            return (api, stream, (number["_customer_id"], number["phone_number_id"])) if number else None
        keys = self.sandbox.world[api, stream].keys()
        return (api, stream, self.dice.choice(keys)) if len(keys) > 1 else None

    async def delete(self) -> None:
        for _ in range(self.dice.choice((1, 1, 3))):
            found = self.pick()
            if found and found[1] != "makes":  # its models would be left without a way to ask for them
                api, stream, key = found
                self.graveyard.append((api, stream, self.sandbox.get(api, stream, key)))
                self.sandbox.delete(api, stream, key)
                self.changes["deletions"] += 1
                self.did(f"delete {api} {stream} {key}")

    async def come_back(self) -> None:
        if self.graveyard:
            api, stream, record = self.graveyard.pop(self.dice.randrange(len(self.graveyard)))
            with contextlib.suppress(KeyError):  # a phone number whose customer is gone
                self.sandbox.put(api, stream, record)
                self.changes["returns"] += 1
                self.did(f"return {api} {stream} {list(record.values())[:1]}")

    async def commit_late(self) -> None:
        found, age = self.pick(), timedelta(seconds=self.dice.uniform(1, LATE_S))
        if found and found[1] != "customer_phone_numbers":
            self.sandbox.world.change(*found, modified_at=self.sandbox.now() - age)
            self.changes["late commits"] += 1
            self.did(f"late commit {found}, {age.total_seconds():.0f} s old")

    async def take_or_give_company(self) -> None:
        world = self.sandbox.world
        if world.revoked:
            self.believed = True  # what was not seen while it was away comes without a change
            self.sandbox.grant_company(company := next(iter(world.revoked)))
        else:
            self.sandbox.revoke_company(company := self.dice.choice(world["cyclis", "companies"].keys()))
        self.changes["companies taken or given"] += 1
        self.did(f"company {company} {'taken' if world.revoked else 'given'}")

    async def arm(self) -> None:
        fault = self.dice.choice([fault for fault in MATRIX if fault.name not in TOO_LONG])
        source, _, stream = self.dice.choice(fault.streams).partition(".")
        times, after = self.dice.choice((1, 1, 2, 4, 40)), self.dice.choice((0, 0, 0, 1, 3))
        api, stream = NAMES[source], fault.target or stream
        self.sandbox.faults.add(fault.name, api=api, stream=stream, times=times, after=after, **fault.params)
        self.believed |= fault.name in BELIEVED
        self.did(f"fault {fault.shown} on {api} {stream}, {times} times after {after}")

    async def disarm(self) -> None:
        self.sandbox.faults.clear()
        self.did("faults off")

    async def slow_down(self) -> None:
        self.sandbox.latency_s = self.dice.choice((0.0, 0.02, 0.1, 0.3))
        self.did(f"latency {self.sandbox.latency_s} s")

    async def hurt_database(self) -> None:
        how = self.dice.choice(("stopped", "SIGQUIT", "SIGKILL"))
        self.did(f"PostgreSQL: {how}")
        self.kills[f"PostgreSQL {how}"] += 1
        if how == "stopped":
            await embedded.stop(self.data_dir)
        else:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration, IndexError):
                text = next(self.data_dir.rglob("postmaster.pid")).read_text()
                os.kill(int(text.split()[0]), getattr(signal, how))
        await asyncio.sleep(self.dice.uniform(0, 2))
        await embedded.ensure(self.data_dir)

    # --- The processes

    async def start(self) -> None:
        """Start a command, and leave it to its fate."""
        if len(self.running) >= PROCESSES:
            return
        some = self.dice.choice((*OF_EVERYTHING, (self.dice.choice(STREAMS),), (self.dice.choice(STREAMS),)))
        since = f"{self.dice.choice((2023, 2024, 2025))}-0{self.dice.randint(1, 9)}-01"
        words: tuple[str, ...] = self.dice.choices(
            (("sync", *some), ("sync", "--full", *some), ("run",),
             ("backfill", self.dice.choice(RANGES), "--since", since, *self.dice.choice(((), ("--again",))))),
            (5, 2, 1.5, 2),
        )[0]  # fmt: skip
        fates = ("none", "kill", "term", "point") if words[0] != "run" else ("term", "term", "kill")
        fate, after_s = self.dice.choice(fates), self.dice.uniform(0, 4)
        program = ["syncd"]
        if fate == "point":
            point, fate = self.dice.choice(list(POINTS)), "none"
            program = ["tests.crashing", point, str(self.dice.randint(1, 8))]
        if words[0] == "run":
            after_s += 3
        self.tasks.add(asyncio.create_task(self.meet_fate(program, words, fate, after_s)))

    async def meet_fate(self, program: Sequence[str], words: Sequence[str], fate: str, after_s: float) -> None:
        async def end(process: asyncio.subprocess.Process) -> None:
            if fate == "none":
                return
            await asyncio.sleep(after_s)
            if process.returncode is None:
                self.kills["SIGKILL at random" if fate == "kill" else f"SIGTERM of {words[0]}"] += 1
                process.send_signal(signal.SIGKILL if fate == "kill" else signal.SIGTERM)
                asked_at = time.monotonic()
                await process.wait()
                took_s = time.monotonic() - asked_at
                if words[0] == "run" and took_s > STOP_S:
                    raise WrongError(f"the daemon took {took_s:.0f} s to end")

        code, said = await self.spawned(program, words, end)
        if len(program) > 1 and code == -signal.SIGKILL:
            self.kills[f"SIGKILL {program[1]}"] += 1
        if code not in (0, 1, 3, STOPPED, -signal.SIGKILL, -signal.SIGTERM):
            raise WrongError(f"syncd {' '.join(words)} ended with {code}\n{said}")

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
        self.did(f"start {name}")
        with (self.folder / "said").open("w+b") as said:
            (self.folder / "said").unlink()
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
                    process.kill()
                    await process.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")[-6000:]
        self.did(f"end   {name}: {code}")
        self.ends[f"{words[0]}: {code}"] += 1
        for sign in ("Traceback", "internal error", "run_crashed", "never retrieved"):
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
                self.kills["SIGKILL because it did not end"] += 1
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        tasks, self.tasks = self.tasks, set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        if grace_s:
            for error in found:
                if error:
                    raise error

    # --- The rest

    async def rest(self, address: Address) -> None:
        """Let all come to a rest, and compare."""
        await self.end_all()
        self.did("rest")
        self.sandbox.faults.clear()
        self.sandbox.latency_s = 0.0
        self.sandbox.windows = {"cyclesoftware": Window(LIMITS)}
        await embedded.ensure(self.data_dir)
        settings = configuration.load(self.config, specs())
        db = await database.connect(settings.database)
        try:
            bench = CountingBench(
                sandbox=self.sandbox, address=address, config=settings, syncer=cast("Any", None), db=db, db_url="",
                time=WallClock(), folder=self.folder,
            )  # fmt: skip
            await self.compare(bench)
        finally:
            await db.close()

    async def compare(self, bench: CountingBench) -> None:
        await self.unlocked(bench)
        await bench.fetch("DELETE FROM syncd.budgets")  # faults of the limits have closed some until tomorrow
        await self.clean("sync", "--accept-deletions")
        found = [] if self.believed or not self.rests else await differences(bench, shown=sys.maxsize)
        self.none_of("differences after a live run", [told for told in found if not told.endswith(GONE)])
        await self.clean("sync", "--full", "--accept-deletions")
        self.none_of("differences", await differences(bench, shown=sys.maxsize))
        self.compared += bench.compared
        for what, query in INVARIANTS.items():
            self.none_of(what, [str(dict(row)) for row in await bench.fetch(query)])
        rows = await bench.fetch("SELECT kind, outcome, count(*) AS n FROM syncd.runs GROUP BY 1, 2 ORDER BY 1, 2")
        self.outcomes = {f"{row['kind']} {row['outcome']}": row["n"] for row in rows}
        self.requests += len(self.sandbox.requests)
        self.sandbox.requests.clear()
        self.believed = False
        self.rests += 1
        say(
            f"{self.minutes:6.1f} min  rest {self.rests:<3} equal  {self.compared:>9,} rows compared"
            f"  {sum(self.outcomes.values()):>6,} runs  {sum(self.kills.values()):>4} kills"
            f"  {sum(self.faults().values()):>4} faults  {self.versions():>7,} changes"
        )

    async def unlocked(self, bench: Bench) -> None:
        """Wait until PostgreSQL has noticed the deaths."""
        for _ in range(100):
            if not await bench.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory'"):
                return
            await asyncio.sleep(0.1)
        raise WrongError("a lock outlives its process by 10 s")

    def none_of(self, what: str, found: Sequence[str]) -> None:
        if found:
            raise WrongError(f"{what}: {len(found)}\n" + "\n".join(found[:SHOWN]))

    # --- What was counted

    def faults(self) -> dict[str, int]:
        names = sorted({fault.name for fault in MATRIX})
        return {name: hits for name in names if (hits := self.sandbox.faults.hits(name))}

    def versions(self) -> int:
        return sum(collection.version for collection in self.sandbox.world._collections.values())

    def summary(self) -> str:
        lines = [f"seed {self.seed}: {self.minutes:.1f} minutes, {self.rests} rests, {self.commands} commands"]
        for title, counts in (
            ("runs by outcome", self.outcomes), ("commands by exit code", self.ends), ("kills by kind", self.kills),
            ("upstream", {**self.changes, "records written": self.versions()}),
            ("faults, requests struck", self.faults()),
            ("in all", {"rows compared": self.compared, "requests": self.requests + len(self.sandbox.requests)}),
        ):  # fmt: skip
            lines += ["", title, *(f"  {name:<34}{count:>10,}" for name, count in sorted(counts.items()))]
        return "\n".join(lines)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(minutes: float, seed: int) -> int:
    """Soak; 0 if nothing was wrong until the time was over, or until Ctrl-C or SIGTERM."""
    log.configure("json", "error")
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="syncd-soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(seed, Path(folder))
        code = 0
        try:
            await soak.run(minutes)
        except asyncio.CancelledError:
            say("stopped")
        except Exception as error:
            code = 1
            say("\n".join(["", *soak.deeds, "", f"WRONG, with seed {seed}: {error or type(error).__name__}"]))
            if not isinstance(error, WrongError):
                raise
        finally:
            say(f"\n{soak.summary()}")
        return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Everything at random, compared at rest.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.minutes, arguments.seed)))

"""The soak: everything happens at random, and at every rest the mirror must equal the upstream.

    python -m tests.promises.soak --minutes 20 --seed 1
    python -m tests.promises.soak --minutes 20 --seed 1 --workers 3     # workers in the place of the daemon

The sandbox lives in this process; it keeps changing and misbehaving. Real `syncd` processes sync, sweep, backfill and
serve on a private PostgreSQL (fsync on); they are killed, and so is the server. Every half a minute all comes to a
rest: one clean sync and one full one, both accepting deletions, must end with 0, the whole mirror must equal the truth,
every version of every row must have been kept and told of, and what stands in schema syncd must add up. The first thing
that is wrong ends the soak with 1, the seed and the last deeds. The seed gives the same deeds again, but not at the
same instants: the clock is the real one.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg

from syncd import config as configuration
from syncd import log
from syncd.sandbox import Address, Limits, Sandbox, config_text, serve
from syncd.sandbox.limits import Window
from syncd.sources import registry, specs
from syncd.storage.postgres import database, embedded
from tests.promises.soak_processes import Processes
from tests.promises.soak_tally import Tally, WrongError
from tests.promises.soak_world import Upstreams
from tests.support.bench import Bench
from tests.support.command import WallClock
from tests.support.truth import NAMES, differences
from tests.support.watch import Watch, keeping

ROUND_S = (20.0, 40.0)
"""From one rest to the next."""
ROUND_OF_WORKERS_S = (40.0, 80.0)
"""The same with workers: they have to start, and to take over from each other."""
LIMITS = Limits(per_minute=100_000, per_day=100_000_000)
SIZES = {
    "customers": 300, "page_size": 40, "vehicles": 150, "companies": 30, "cyclis_orders": 120, "cyclists": 80,
    "products": 60, "stock_items": 90,
}  # fmt: skip
BUSY = {"autengo": "limit = 25"}
GONE = "it is gone upstream"
SHOWN = 50
"""Differences that are printed at most."""
_ASKED = "SELECT requests FROM syncd.runs WHERE stream = 'stock_objects' ORDER BY run_id DESC LIMIT 1"
_MOST_DAYS = 50

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
            if stream.is_pushed:
                continue  # nothing asks for it
            header = f"[sources.{name}.streams.{stream.name}]\n"
            lines = 'every = "2s"\n' + ('sweep = "15s"\n' if stream.sweep_s is not None else "")
            lines += "" if stream.is_on else "enabled = true\n"
            lines += "window = 1000\n" if (name, stream.name) == ("parts", "orders") else ""
            text = text.replace(header, header + lines) if header in text else f"{text}{header}{lines}"
    return keeping(f'[database]\nurl = "embedded"\ndata_dir = "{data_dir}"\n[http]\nlisten = "127.0.0.1:0"\n{text}')


class Soak:
    """One soak: its sandbox, its server, the commands under way, and what was compared."""

    def __init__(self, seed: int, folder: Path, *, workers: int = 0) -> None:
        self.seed, self.folder, self.data_dir = seed, folder, folder / "data"
        self.dice = random.Random(seed)  # noqa: S311
        self.tally = Tally()
        self.sandbox = Sandbox(seed=seed, limits=LIMITS, **cast("Any", SIZES))
        self.config = folder / "config.toml"
        self.upstreams = Upstreams(self.sandbox, self.dice, self.tally)
        self.processes = Processes(self.config, self.dice, self.tally, workers=workers)
        self.round_s = ROUND_OF_WORKERS_S if workers else ROUND_S
        self.watch: Watch | None = None
        self.rests = self.compared = self.requests = 0
        self.outcomes: dict[str, int] = {}

    async def run(self, minutes: float) -> None:
        """Let things happen until the time is over; raises WrongError."""
        async with serve(self.sandbox) as address:
            self.config.write_text(config_of(self.sandbox, address, self.data_dir))
            self.config.chmod(0o600)
            try:
                await self.processes.clean("migrate")
                await embedded.ensure(self.data_dir)
                await self.rest(address)
                while self.tally.minutes < minutes:
                    await self.round(time.monotonic() + self.dice.uniform(*self.round_s))
                    await self.rest(address)
            finally:
                await self.processes.end_all(grace_s=0)
                await embedded.stop(self.data_dir)

    async def round(self, until: float) -> None:
        deeds = {**self.upstreams.deeds, self.processes.start: 6, self.hurt_database: 0.3}
        while time.monotonic() < until:
            (deed,) = self.dice.choices(list(deeds), list(deeds.values()))
            await deed()
            await asyncio.sleep(self.dice.uniform(0, 1))
            self.processes.reap()

    async def hurt_database(self) -> None:
        how = self.dice.choice(("stopped", "SIGQUIT", "SIGKILL"))
        self.tally.did(f"PostgreSQL: {how}")
        self.tally.kills[f"PostgreSQL {how}"] += 1
        if how == "stopped":
            await embedded.stop(self.data_dir)
        else:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration, IndexError):
                text = next(self.data_dir.rglob("postmaster.pid")).read_text()
                os.kill(int(text.split()[0]), getattr(signal, how))
        await asyncio.sleep(self.dice.uniform(0, 2))
        await embedded.ensure(self.data_dir)

    # --- The rest

    async def rest(self, address: Address) -> None:
        """Let all come to a rest, and compare."""
        await self.processes.end_all()
        self.tally.did("rest")
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
        await self.asked_for_all(bench)
        await self.processes.clean("sync", "--accept-deletions")
        found = [] if self.upstreams.believed or not self.rests else await differences(bench, shown=sys.maxsize)
        self.none_of("differences after a live run", [told for told in found if not told.endswith(GONE)])
        await self.processes.clean("sync", "--full", "--accept-deletions")
        await self.asked_for_all(bench)
        self.none_of("differences", await differences(bench, shown=sys.maxsize))
        self.compared += bench.compared
        self.watch = self.watch or Watch(bench.db)
        self.watch.db = bench.db
        self.none_of("versions or changes that are wrong", await self.watch.faults())
        for what, query in INVARIANTS.items():
            self.none_of(what, [str(dict(row)) for row in await bench.fetch(query)])
        rows = await bench.fetch("SELECT kind, outcome, count(*) AS n FROM syncd.runs GROUP BY 1, 2 ORDER BY 1, 2")
        self.outcomes = {f"{row['kind']} {row['outcome']}": row["n"] for row in rows}
        self.requests += len(self.sandbox.requests)
        self.sandbox.requests.clear()
        self.upstreams.believed = False
        self.rests += 1
        say(
            f"{self.tally.minutes:6.1f} min  rest {self.rests:<3} equal  {self.compared:>9,} rows compared"
            f"  {sum(self.outcomes.values()):>6,} runs  {sum(self.tally.kills.values()):>4} kills"
            f"  {sum(self.upstreams.faults().values()):>4} faults  {self.upstreams.versions():>7,} changes"
        )

    async def asked_for_all(self, bench: Bench) -> None:
        """Let day after day begin for the stream that asks for so many keys a day, until it has asked for all."""
        for _ in range(_MOST_DAYS):
            await bench.fetch("UPDATE syncd.cursors SET cursor = cursor - 'asked' WHERE cursor ? 'asked'")
            await self.processes.clean("sync", "shop.stock_items", "--accept-deletions")
            await self.processes.clean("sync", "shop.stock_objects", "--accept-deletions")
            if not (await bench.fetch(_ASKED))[0]["requests"]:
                return
        raise WrongError(f"after {_MOST_DAYS} days not all bicycles were asked for")

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

    def summary(self) -> str:
        tally, commands = self.tally, self.processes.commands
        lines = [f"seed {self.seed}: {tally.minutes:.1f} minutes, {self.rests} rests, {commands} commands"]
        for title, counts in (
            ("runs by outcome", self.outcomes), ("commands by exit code", tally.ends), ("kills by kind", tally.kills),
            ("upstream", {**tally.changes, "records written": self.upstreams.versions()}),
            ("faults, requests struck", self.upstreams.faults()),
            ("in all", {"rows compared": self.compared, "requests": self.requests + len(self.sandbox.requests)}),
        ):  # fmt: skip
            lines += ["", title, *(f"  {name:<34}{count:>10,}" for name, count in sorted(counts.items()))]
        return "\n".join(lines)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(minutes: float, seed: int, make: Callable[[int, Path], Soak]) -> int:
    """Soak; 0 if nothing was wrong until the time was over, or until Ctrl-C or SIGTERM."""
    log.configure("json", "error")
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="syncd-soak-", ignore_cleanup_errors=True) as folder:
        soak = make(seed, Path(folder))
        code = 0
        try:
            await soak.run(minutes)
        except asyncio.CancelledError:
            say("stopped")
        except Exception as error:
            code = 1
            say("\n".join(["", *soak.tally.deeds, "", f"WRONG, with seed {seed}: {error or type(error).__name__}"]))
            if not isinstance(error, WrongError):
                raise
        finally:
            say(f"\n{soak.summary()}")
        return code


def main_of(kind: type[Soak], name: str, about: str) -> int:
    """Run a kind of soak as the command line says; return its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.promises.{name}", description=about)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    if kind is Soak:
        parser.add_argument("--workers", type=int, default=0, help="so many in the place of the daemon [one daemon]")
    arguments = parser.parse_args()
    workers = getattr(arguments, "workers", 0)
    return asyncio.run(main(arguments.minutes, arguments.seed, partial(kind, workers=workers)))


if __name__ == "__main__":
    sys.exit(main_of(Soak, "soak", "Everything at random, compared at rest."))

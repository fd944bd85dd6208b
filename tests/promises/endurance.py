"""Endurance: one daemon runs for hours over upstreams that change and misbehave, and must not grow.

    python -m tests.promises.endurance --minutes 120 --seed 1

Every stream is due every two seconds. The daemon's memory, descriptors and threads and the sizes of the
tables are printed at intervals. At the end all streams are compared with the upstream,
as at every rest of the soak. The last line says whether memory was flat. Ends with 1 if anything was wrong, or grew.
"""

import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg

from syncd.sandbox import serve
from syncd.storage.postgres import embedded
from tests.promises.soak import Soak, config_of, main_of, say
from tests.promises.soak_tally import WrongError

SAMPLES = 40
"""Of one endurance; at least ten seconds lie between two."""
GROWTH_SHARE, GROWTH_MB = 0.10, 12.0
"""What the median of the last third may be above that of the middle one, whichever is more."""
STOP_S = 30.0
PAUSING = {
    "bad-credentials", "daily-exhausted", "error-xml", "login-error-200", "other-spender", "refresh-fails",
    "retry-after-huge", "scope-revoked",
}  # fmt: skip
"""Faults after which syncd leaves a stream or a whole source alone for a quarter of an hour, an hour or a day."""
GROWS_LESS: Final = 5.0
"""Work is simulated so many times less often than in a soak, and changes so many times more often. If the upstreams
grew all the time, so would the pages, and with them the memory that they take."""

_SIZES = """
SELECT n.nspname || '.' || c.relname AS name, pg_total_relation_size(c.oid) AS size_bytes FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 2 DESC
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The daemon at one moment."""

    minute: float
    rss_mb: float
    descriptors: int
    threads: int
    tables_mb: float
    runs: int


class Endurance(Soak):
    """A soak with one daemon that nobody kills."""

    samples: list[Sample]

    async def run(self, minutes: float) -> None:
        """Let the daemon run until the time is over; raises WrongError if it grew, died, or left the mirror unequal."""
        self.samples = []
        async with serve(self.sandbox) as address:
            self.config.write_text(config_of(self.sandbox, address, self.data_dir))
            self.config.chmod(0o600)
            try:
                await self.processes.clean("migrate")
                await embedded.ensure(self.data_dir)
                await self.endure(minutes)
                await self.sizes()
                await self.rest(address)
            finally:
                await self.processes.end_all(grace_s=0)
                await embedded.stop(self.data_dir)
        self.judge()

    async def endure(self, minutes: float) -> None:
        """Change the upstreams, and look at the daemon again and again."""
        upstreams = self.upstreams
        upstreams.spared = {*upstreams.spared, *PAUSING}
        upstreams.deeds = {
            **upstreams.deeds,
            upstreams.evolve: upstreams.deeds[upstreams.evolve] / GROWS_LESS,
            upstreams.commit_late: upstreams.deeds[upstreams.commit_late] * GROWS_LESS,
        }
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "syncd", "run", "--config", str(self.config),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        every_s = max(10.0, minutes * 60 / SAMPLES)
        try:
            next_at = time.monotonic() + every_s
            while self.tally.minutes < minutes:
                (deed,) = self.dice.choices(list(self.upstreams.deeds), list(self.upstreams.deeds.values()))
                await deed()
                await asyncio.sleep(self.dice.uniform(0, 1))
                if daemon.returncode is not None:
                    raise WrongError(f"the daemon ended with {daemon.returncode}")
                if time.monotonic() >= next_at:
                    next_at += every_s
                    await self.sample(daemon.pid)
        finally:
            if daemon.returncode is None:
                daemon.send_signal(signal.SIGTERM)
                await asyncio.wait_for(daemon.wait(), STOP_S)

    async def sample(self, pid: int) -> None:
        """Look at the daemon, and print it."""
        rss_mb, descriptors, threads = _process(pid)
        rows = await self.asked("SELECT count(*), count(*) FILTER (WHERE outcome = 'ok') FROM syncd.runs")
        taken = Sample(
            minute=self.tally.minutes,
            rss_mb=rss_mb,
            descriptors=descriptors,
            threads=threads,
            tables_mb=sum(row[1] for row in await self.asked(_SIZES)) / 2**20,
            runs=rows[0][0],
        )
        self.samples.append(taken)
        say(
            f"{taken.minute:6.1f} min  {taken.rss_mb:6.1f} MB  {taken.descriptors:>3} descriptors"
            f"  {taken.threads} threads  tables {taken.tables_mb:6.1f} MB  {taken.runs:>6,} runs, {rows[0][1]:,} ok"
        )

    async def sizes(self) -> None:
        """Print the largest tables."""
        for name, size_bytes in (await self.asked(_SIZES))[:8]:
            say(f"  {name:<50}{size_bytes / 2**20:8.1f} MB")

    def judge(self) -> None:
        """Say whether memory and descriptors were flat from the middle third to the last."""
        third = len(self.samples) // 3
        if not third:
            raise WrongError("too short to judge")
        middle, last = self.samples[third : 2 * third], self.samples[2 * third :]
        before, after = (median(each.rss_mb for each in part) for part in (middle, last))
        grown = after - before > max(GROWTH_MB, GROWTH_SHARE * before)
        opened = median(each.descriptors for each in last) - median(each.descriptors for each in middle)
        told = f"memory {before:.1f} MB → {after:.1f} MB, descriptors {opened:+.0f}, {self.samples[-1].runs:,} runs"
        if grown or opened > 10:
            raise WrongError(f"it grew: {told}")
        say(f"flat: {told}; all streams equal")

    async def asked(self, query: str) -> list[asyncpg.Record]:
        """Ask the server over a connection of this process."""
        server = await embedded.ensure(self.data_dir)
        conn = await asyncpg.connect(**server.connect_arguments)
        try:
            return list(await conn.fetch(query))
        finally:
            await conn.close()


def _process(pid: int) -> tuple[float, int, int]:
    """Return the memory of a process in MB, its open descriptors and its threads."""
    place = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, len(list((place / "fd").iterdir())), int(status["Threads"])


if __name__ == "__main__":
    sys.exit(main_of(Endurance, "endurance", "One daemon for hours, which must not grow."))

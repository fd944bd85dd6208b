"""Many accounts in one daemon: what 1,000 of them with four streams each cost, and how punctual they are.

The daemon is a process of its own, as users start it; so is the upstream (`bench.standin`). The mirror begins as it is
after a first load: one account is loaded, the others are copies of it, and all are due at random within one interval.

    python -m bench accounts
"""

import asyncio
import json
import os
import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import asyncpg

from bench.stage import Stage, python
from bench.standin import STREAMS
from bench.table import Row
from syncd.storage.postgres import embedded

ITEM = "many accounts"
EVERY_S = 300.0
DELAY_S = 0.1
"""What the upstream takes for an answer."""
WATCHED_S = 45.0
AWAY_S = 10.0
AFTER_S = 20.0
TABLES = tuple(f"cyclis.{stream}" for stream in STREAMS)
TICKS_S = os.sysconf("SC_CLK_TCK")


def config_text(url: str, port: int, accounts: int) -> str:
    """Return the configuration of so many accounts."""
    lines = [f'[database]\nurl = "{url}"\n[http]\nlisten = "127.0.0.1:0"\n']
    for number in range(accounts):
        name = f"account{number:05}"
        lines.append(f'[sources.{name}]\ntype = "cyclis"\nbase_url = "http://127.0.0.1:{port}/{name}"')
        lines.append(f'api_token = "token-{number:05}-of-nobody"')
        lines += [f'[sources.{name}.streams.{stream}]\nevery = "{EVERY_S:.0f}s"' for stream in STREAMS]
    return "\n".join(lines) + "\n"


async def seed(conn: asyncpg.Connection, accounts: int, *, overdue: bool = False) -> None:
    """Copy what the first account has to all others, and say of each stream that it ran well within one interval."""
    for name in (*TABLES, "syncd.cursors"):
        found = await conn.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = '' AND attname <> 'source' ORDER BY attnum",
            name,
        )
        columns = ", ".join(f'"{row[0]}"' for row in found)
        await conn.execute(
            f"INSERT INTO {name} (source, {columns}) SELECT 'account' || lpad(n::text, 5, '0'), {columns}"
            f" FROM generate_series(1, {accounts - 1}) AS n, {name} WHERE source = 'account00000'"
        )
    await conn.execute("DELETE FROM syncd.runs")
    await conn.execute(
        "INSERT INTO syncd.runs"
        " (source, stream, kind, lane, started_at, finished_at, outcome, requests, pages, host, pid)"
        " SELECT 'account' || lpad(n::text, 5, '0'), s, 'live', 'live', t, t, 'ok', 1, 1, 'bench', 1"
        " FROM (SELECT n, s, now() + interval '15 s' - (random() * $3 + $4) * interval '1 s' AS t"
        "       FROM generate_series(0, $1::int - 1) AS n, unnest($2::text[]) AS s) AS ran",
        accounts, list(STREAMS), EVERY_S, 3600.0 if overdue else 0.0,
    )  # fmt: skip
    await conn.execute("VACUUM ANALYZE")


@dataclass
class Probe:
    """What a process has used, read from /proc twice."""

    pid: int
    at: float = field(default_factory=time.monotonic)
    cpu_s: float = 0.0

    def __post_init__(self) -> None:
        self.cpu_s = cpu_s(self.pid)

    def share(self) -> float:
        """Return the share of one core that it has used since."""
        return (cpu_s(self.pid) - self.cpu_s) / (time.monotonic() - self.at)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that ended; 0 if it has ended itself."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) / TICKS_S


def memory_mb(pid: int, which: str = "VmRSS") -> float:
    """Return a process's memory: VmRSS now, VmHWM at its peak."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Daemon:
    """A daemon under way, its log and its address."""

    def __init__(self, process: asyncio.subprocess.Process, log_to: Path, seen: int) -> None:
        self.process, self._log, self._seen = process, log_to, seen
        self.url = ""

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of one event that it logged so far."""
        lines = self._log.read_bytes()[self._seen :].splitlines()
        return [found for line in lines if event.encode() in line and (found := json.loads(line))["event"] == event]

    async def hear(self, event: str, *, within_s: float = 120.0) -> dict[str, Any]:
        """Wait until it says so."""
        deadline = time.monotonic() + within_s
        while not (found := self.said(event)):
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon never said {event}; see {self._log}")
            await asyncio.sleep(0.1)
        return found[-1]

    async def due(self) -> dict[tuple[str, str], float]:
        """Ask when each stream runs next."""
        body = await asyncio.to_thread(_fetch, f"{self.url}api/status")
        return {
            (one["source"], one["stream"]): datetime.fromisoformat(one["next_run_at"]).timestamp()
            for one in json.loads(body)["streams"]
            if one["next_run_at"]
        }


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:  # noqa: S310  (our own daemon)
        return cast("bytes", response.read())


@asynccontextmanager
async def serving(config: Path, *words: str) -> AsyncIterator[Daemon]:
    """Run a daemon until the block ends."""
    log_to = config.with_suffix(".log")
    seen = log_to.stat().st_size if log_to.exists() else 0
    with log_to.open("ab") as log_file:
        process = await asyncio.create_subprocess_exec(
            *python(*words, "-m", "syncd", "run", "--config", config), stderr=log_file
        )
        daemon = Daemon(process, log_to, seen)
        try:
            daemon.url = (await daemon.hear("daemon_started"))["url"]
            yield daemon
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """Run the stand-in until the block ends; yield its port."""
    process = await asyncio.create_subprocess_exec(
        *python("-m", "bench.standin", "--delay", str(DELAY_S)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None  # noqa: S101  (it is piped)
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def started(conn: asyncpg.Connection, since: float) -> list[tuple[tuple[str, str], float]]:
    """Return when each run since then started, in order."""
    rows = await conn.fetch(
        "SELECT source, stream, started_at FROM syncd.runs WHERE started_at >= to_timestamp($1) ORDER BY run_id", since
    )
    return [((row[0], row[1]), row[2].timestamp()) for row in rows]


def delays(runs: Iterable[tuple[tuple[str, str], float]], due: Mapping[tuple[str, str], float]) -> list[float]:
    """Return by how much each stream's first run was later than it was due, in ascending order."""
    first: dict[tuple[str, str], float] = {}
    for pair, at in runs:
        first.setdefault(pair, at)
    return sorted(at - due[pair] for pair, at in first.items() if at >= due[pair])


def busiest(runs: Iterable[tuple[tuple[str, str], float]], of_s: int = 5) -> float:
    """Return how many runs a second started in the busiest five seconds."""
    return max(Counter(int(at) // of_s for _, at in runs).values(), default=0) / of_s


@dataclass
class Watch:
    """What one looks at twice a second while the daemon works."""

    connections: int = 0
    pids: set[int] = field(default_factory=set)

    async def go_on(self, conn: asyncpg.Connection, seconds: float) -> None:
        """Look for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = await conn.fetch("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'syncd%'")
            self.connections = max(self.connections, len(found))
            self.pids |= {row[0] for row in found}
            await asyncio.sleep(0.5)


async def measure(stage: Stage) -> list[Row]:
    """Load, copy, tick for a while, take PostgreSQL away and bring it back; return what it cost."""
    accounts, seconds = stage.accounts, WATCHED_S
    subject = f"{accounts:,} accounts"
    stage.tell(subject)
    url = await stage.database("many")
    config = stage.folder / "many.toml"
    async with upstream() as port:
        config.write_text(config_text(url, port, 1))
        config.chmod(0o600)
        loading = await asyncio.create_subprocess_exec(
            *python("-m", "syncd", "sync", "--config", config), stdout=asyncio.subprocess.DEVNULL
        )
        if await loading.wait():
            raise RuntimeError("the first load of the first account failed")
        conn = await asyncpg.connect(url)
        await seed(conn, accounts)
        config.write_text(config_text(url, port, accounts))
        rows: list[Row] = []

        def tell(what: str, value: float, unit: str, note: str = "") -> None:
            rows.append(Row(ITEM, subject, what, value, unit, note))

        async with serving(config) as daemon:
            tell("CPU until the first tick", cpu_s(daemon.pid), "s", "imports, configuration, histories, jobs")
            due, watch = await daemon.due(), Watch()
            await asyncio.to_thread(_fetch, f"{daemon.url}metrics")  # the first one prepares its statements
            began = max(time.time(), min(due.values()))
            await asyncio.sleep(began - time.time())
            probe = Probe(daemon.pid)
            await watch.go_on(conn, seconds)
            share, servers = probe.share(), sum(cpu_s(pid) for pid in watch.pids)
            runs = await started(conn, began)
            late = delays(runs, due)
            tell(
                "runs", len(runs) / seconds, "/s", f"{len(STREAMS)} streams every {EVERY_S:.0f} s; {seconds:.0f} s long"
            )
            tell("CPU of the daemon", share * 100, "% of a core")
            tell("CPU of a run", share * seconds / max(1, len(runs)) * 1000, "ms", "daemon, all it does included")
            tell("CPU of PostgreSQL", servers / seconds * 100, "% of a core", "daemon's connections")
            tell("memory", memory_mb(daemon.pid), "MB", f"peak {memory_mb(daemon.pid, 'VmHWM'):.0f} MB")
            tell("connections", watch.connections, "", "to PostgreSQL, at most: a pool of 10 and one for locks")
            tell("delay p50", late[len(late) // 2], "s", "start of a run after it was due")
            tell("delay p99", late[int(len(late) * 0.99)], "s", f"worst {late[-1]:.2f} s of {len(late)} streams")
            tell("starts in the busiest 5 s", busiest(runs), "/s")
            look = Probe(daemon.pid)
            scraped = await asyncio.to_thread(_fetch, f"{daemon.url}metrics")
            took_s = time.monotonic() - look.at
            note = f"{len(scraped) / 2**20:.1f} MB of text; without the runs meanwhile"
            tell("CPU of a look at /metrics", (look.share() - share) * took_s, "s", note)
            await conn.close()
            await embedded.stop(stage.server.data_dir)
            await asyncio.sleep(AWAY_S)
            await embedded.ensure(stage.server.data_dir)
            conn = await asyncpg.connect(url)
            began, probe = time.time(), Probe(daemon.pid)
            await watch.go_on(conn, AFTER_S)
            runs = await started(conn, began)
            tell(
                "starts in the busiest 5 s after an outage", busiest(runs), "/s", f"PostgreSQL away for {AWAY_S:.0f} s"
            )
            tell(f"CPU in the {AFTER_S:.0f} s after it", probe.share() * 100, "% of a core")
        await conn.close()
    return rows

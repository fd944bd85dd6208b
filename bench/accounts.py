"""What benchmarks of many accounts share: their configuration and mirror, the processes, and what these used.

The mirror begins as it is after a first load: one account is loaded, the others are copies of it, and all are due at
random within one interval. The upstream is a process of its own (`bench.standin`), and so is each that runs accounts.
"""

import asyncio
import contextlib
import json
import os
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import asyncpg

from bench.stage import Stage, python
from bench.standin import STREAMS
from syncd import config as configuration
from syncd.clock import utc_now
from syncd.config import Config
from syncd.sources import registry, specs
from syncd.storage.state import sources

EVERY_S = 300.0
WATCHED_S = 45.0
ASKED_MOST = 30
"""Times that a page is asked, a second apart."""
DELAY_S = 0.1
"""What the upstream takes for an answer."""
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


async def seed(conn: asyncpg.Connection, settings: Config, *, overdue: bool = False) -> None:
    """Copy what the first account has to all others, and say of each stream that it ran well within one interval."""
    accounts = len(settings.sources)
    for source, kept in settings.sources.items():
        await sources.claim(conn, source, registry()[kept.type].identity(kept.base_url, kept.options), now=utc_now())
    for name in (*TABLES, "syncd.cursors", "syncd.budgets"):
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


async def loaded(stage: Stage, name: str, port: int, accounts: int) -> tuple[str, Path]:
    """Make a database in which so many accounts are loaded; return its address and their configuration."""
    url, config = await stage.database(name), stage.folder / f"{name}.toml"
    config.touch(mode=0o600)
    config.write_text(config_text(url, port, 1))
    loading = await asyncio.create_subprocess_exec(
        *python("-m", "syncd", "sync", "--config", config), stdout=asyncio.subprocess.DEVNULL
    )
    if await loading.wait():
        raise RuntimeError("the first load of the first account failed")
    config.write_text(config_text(url, port, accounts))
    conn = await asyncpg.connect(url)
    try:
        await seed(conn, configuration.load(config, specs()))
    finally:
        await conn.close()
    return url, config


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

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where its page is now: a worker that was declared lost has begun anew, and listens elsewhere."""
        return str(self.said("daemon_started")[-1]["url"])

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

    async def _asked(self, path: str) -> bytes:
        """Return what its page answers; a worker that is between two lives is asked again."""
        for _ in range(ASKED_MOST - 1):
            with contextlib.suppress(OSError):
                return await asyncio.to_thread(fetch, self.url + path)
            await asyncio.sleep(1.0)
        return await asyncio.to_thread(fetch, self.url + path)

    async def due(self) -> dict[tuple[str, str], float]:
        """Ask when each stream runs next."""
        body = await self._asked("api/status")
        return {
            (one["source"], one["stream"]): datetime.fromisoformat(one["next_run_at"]).timestamp()
            for one in json.loads(body)["streams"]
            if one["next_run_at"]
        }


def fetch(url: str) -> bytes:
    """Return what an address answers."""
    with urllib.request.urlopen(url) as response:  # noqa: S310  (our own daemon)
        return cast("bytes", response.read())


@asynccontextmanager
async def serving(
    config: Path, *words: str, command: Sequence[str] = ("run",), log_to: Path | None = None
) -> AsyncIterator[Daemon]:
    """Run a daemon, or what else `command` starts, until the block ends; `words` are Python's own."""
    log_to = log_to or config.with_suffix(".log")
    seen = log_to.stat().st_size if log_to.exists() else 0
    with log_to.open("ab") as log_file:
        process = await asyncio.create_subprocess_exec(
            *python(*words, "-m", "syncd", *command, "--config", config), stderr=log_file
        )
        daemon = Daemon(process, log_to, seen)
        try:
            await daemon.hear("daemon_started")
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

"""Workers that share the accounts: what one, two and three of them cost, how punctual they are, and when one has heirs.

Each worker is a process of its own, as users start it. The mirror and the upstream are those of `bench.many_accounts`.
What more machines would do is computed from the CPU of a run, and is said to be computed.

    python -m bench workers --accounts 2000
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from bench.many_accounts import (
    EVERY_S,
    WATCHED_S,
    Daemon,
    Probe,
    Watch,
    config_text,
    cpu_s,
    delays,
    memory_mb,
    seed,
    started,
    upstream,
)
from bench.stage import Stage, python
from bench.standin import STREAMS
from bench.table import Row

ITEM = "workers"
COUNTS = (1, 2, 3)
SHARDS = 256
BUSY_SHARE = 0.7
"""How much of a core a worker may use before it gets late; our choice."""
MACHINES = 8
CORES = 4


@contextlib.asynccontextmanager
async def working(config: Path, number: int) -> AsyncIterator[Daemon]:
    """Run a worker until the block ends."""
    log_to = config.with_name(f"{config.stem}-{number}.log")
    with log_to.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *python("-m", "syncd", "worker", "--config", config, "--listen", "127.0.0.1:0"), stderr=log_file
        )
        worker = Daemon(process, log_to, 0)
        try:
            worker.url = (await worker.hear("daemon_started"))["url"]
            yield worker
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def shared(conn: asyncpg.Connection, number: int, within_s: float = 60.0) -> float:
    """Wait until so many workers share all shards evenly; return for how long."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        rows = await conn.fetch(
            "SELECT cardinality(shards) AS held FROM syncd.workers WHERE lost_at IS NULL"
            " AND beat_at > clock_timestamp() - make_interval(secs => lease_s)"
        )
        held = [row["held"] for row in rows]
        if len(held) == number and sum(held) == SHARDS and max(held) - min(held) <= 1:
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{number} workers did not share {SHARDS} shards within {within_s:.0f} s")


async def measure(stage: Stage) -> list[Row]:
    """Measure one, two and three workers, one after the other."""
    rows: list[Row] = []
    async with upstream() as port:
        for number in COUNTS:
            rows += await _measure(stage, port, number)
    return rows


async def _measure(stage: Stage, port: int, number: int) -> list[Row]:
    accounts, subject = stage.accounts, f"{stage.accounts:,} accounts, {number} worker{'s' if number > 1 else ''}"
    stage.tell(subject)
    url = await stage.database(f"workers{number}")
    config = stage.folder / f"workers{number}.toml"
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

    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(working(config, each)) for each in range(number)]
        tell("shared after", await shared(conn, number), "s", "since the last one was up")
        plans = [await each.due() for each in workers]
        # the one that holds a stream tells when it runs; the others compute an instant that may have passed
        due = {pair: max(plan[pair] for plan in plans if pair in plan) for pair in plans[0]}
        watch, began = Watch(), time.time()
        probes = [Probe(each.pid) for each in workers]
        await watch.go_on(conn, WATCHED_S)
        shares, servers = [each.share() for each in probes], sum(cpu_s(pid) for pid in watch.pids)
        runs = await started(conn, began)
        late = delays(runs, due)
        a_run_s = sum(shares) * WATCHED_S / max(1, len(runs))
        note = f"{len(STREAMS)} streams every {EVERY_S:.0f} s; {WATCHED_S:.0f} s long"
        tell("runs", len(runs) / WATCHED_S, "/s", note)
        tell("CPU of a worker", max(shares) * 100, "% of a core", f"the busiest; the idlest {min(shares) * 100:.0f} %")
        tell("CPU of a run", a_run_s * 1000, "ms", "workers, all they do included")
        tell("CPU of PostgreSQL", servers / WATCHED_S * 100, "% of a core", "the workers' connections")
        tell("memory of a worker", max(memory_mb(each.pid) for each in workers), "MB", "the largest")
        tell("connections", watch.connections, "", "to PostgreSQL, of all workers")
        tell("delay p99", late[int(len(late) * 0.99)], "s", f"worst {late[-1]:.2f} s of {len(late)} streams")
        possible = MACHINES * CORES * BUSY_SHARE / a_run_s
        tell("runs of 8 machines of 4 cores", possible, "/s", "computed from the CPU of a run; PostgreSQL left out")
        if number > 1:
            workers[-1].process.kill()
            tell("heirs of a killed worker after", await shared(conn, number - 1), "s", "its lease is 3 s")
    await conn.close()
    return rows

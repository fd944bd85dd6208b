"""Workers that share the accounts: what one, two and three of them cost, how punctual they are, and when one has heirs.

Each worker is a process of its own, as users start it. What more machines would do is computed from the CPU of a run,
and is said to be computed.

    python -m bench workers                       # 1,000, 2,000 and 4,000 accounts
    python -m bench workers --accounts 2000       # these only
"""

import asyncio
import contextlib
import time

import asyncpg

from bench.accounts import (
    EVERY_S,
    WATCHED_S,
    Probe,
    Watch,
    cpu_s,
    delays,
    loaded,
    memory_mb,
    serving,
    started,
    upstream,
)
from bench.stage import Stage
from bench.standin import STREAMS
from bench.table import Row

ITEM = "workers"
COUNTS = (1, 2, 3)
SHARDS = 256
BUSY_SHARE = 0.7
"""How much of a core a worker may use before it gets late; our choice."""
WITHIN_S = 60.0
"""Longest wait for the shards to be shared."""
MACHINES = (2, 4, 8)
CORES = 4


async def shared(conn: asyncpg.Connection, number: int, within_s: float = WITHIN_S) -> float:
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
    """Measure one, two and three workers with each number of accounts, one after the other."""
    rows: list[Row] = []
    async with upstream() as port:
        for accounts in stage.steps:
            for number in COUNTS:
                rows += await _measure(stage, port, accounts, number)
    return rows


async def _measure(stage: Stage, port: int, accounts: int, number: int) -> list[Row]:
    subject = f"{accounts:,} accounts, {number} worker{'s' if number > 1 else ''}"
    stage.tell(subject)
    url, config = await loaded(stage, f"workers{accounts}_{number}", port, accounts)
    conn = await asyncpg.connect(url)
    rows: list[Row] = []

    def tell(what: str, value: float, unit: str, note: str = "") -> None:
        rows.append(Row(ITEM, subject, what, value, unit, note))

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(conn.close)
        workers = [
            await stack.enter_async_context(
                serving(
                    config, command=("worker", "--listen", "127.0.0.1:0"),
                    log_to=config.with_name(f"{config.stem}-{each}.log"),
                )
            )
            for each in range(number)
        ]  # fmt: skip
        tell("shared after", await shared(conn, number), "s", "since the last one was up")
        plans = [await each.due() for each in workers]
        # the one that holds a stream tells when it runs; the others compute an instant that may have passed
        due = {pair: max(plan[pair] for plan in plans if pair in plan) for pair in plans[0]}
        watch, began = Watch(), time.time()
        probes = [Probe(each.pid) for each in workers]
        await watch.go_on(conn, WATCHED_S)
        shares, servers = [each.share() for each in probes], sum(cpu_s(pid) for pid in watch.pids)
        runs = await started(conn, began)
        late, a_run_s = delays(runs, due), sum(shares) * WATCHED_S / max(1, len(runs))
        note = f"{len(STREAMS)} streams every {EVERY_S:.0f} s; {WATCHED_S:.0f} s long"
        tell("runs", len(runs) / WATCHED_S, "/s", note)
        tell("CPU of a worker", max(shares) * 100, "% of a core", f"the busiest; the idlest {min(shares) * 100:.0f} %")
        tell("CPU of a run", a_run_s * 1000, "ms", "workers, all they do included")
        tell("CPU of PostgreSQL", servers / WATCHED_S * 100, "% of a core", "the workers' connections")
        tell("memory of a worker", max(memory_mb(each.pid) for each in workers), "MB", "the largest")
        tell("connections", watch.connections, "", "to PostgreSQL, of all workers")
        tell("delay p99", late[int(len(late) * 0.99)], "s", f"worst {late[-1]:.2f} s of {len(late)} streams")
        rows += computed(subject, a_run_s, servers / max(1, len(runs)))
        if number > 1:
            workers[-1].process.kill()
            try:
                after_s, note = await shared(conn, number - 1), "its lease is 3 s"
            except RuntimeError as error:  # a machine too busy for a lease of 3 s; what was measured before stays
                after_s, note = WITHIN_S, f"at least: {error}"
            tell("heirs of a killed worker after", after_s, "s", note)
    return rows


def computed(subject: str, a_run_s: float, servers_s: float) -> list[Row]:
    """Return what more machines would do, from the CPU seconds that a run costs workers and PostgreSQL."""
    rows = []
    for machines in MACHINES:
        runs = machines * CORES * BUSY_SHARE / a_run_s
        accounts = runs * EVERY_S / len(STREAMS)
        note = f"computed: {accounts:,.0f} such accounts, and {runs * servers_s:.1f} cores of PostgreSQL"
        rows.append(Row(ITEM, subject, f"runs of {machines} machines of {CORES} cores", runs, "/s", note))
    return rows

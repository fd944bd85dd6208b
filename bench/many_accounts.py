"""Many accounts in one daemon: what 1,000 of them with four streams each cost, and how punctual they are.

The daemon is a process of its own, as users start it.

    python -m bench accounts
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

import asyncpg

from bench.accounts import (
    EVERY_S,
    WATCHED_S,
    Probe,
    Watch,
    cpu_s,
    delays,
    fetch,
    loaded,
    memory_mb,
    serving,
    started,
    upstream,
)
from bench.stage import Stage
from bench.standin import STREAMS
from bench.table import Row
from syncd.storage.postgres import embedded

ITEM = "many accounts"
AWAY_S = 10.0
AFTER_S = 20.0


def busiest(runs: Iterable[tuple[tuple[str, str], float]], of_s: int = 5) -> float:
    """Return how many runs a second started in the busiest five seconds."""
    return max(Counter(int(at) // of_s for _, at in runs).values(), default=0) / of_s


async def measure(stage: Stage) -> list[Row]:
    """Load, copy, tick for a while, take PostgreSQL away and bring it back; return what it cost."""
    accounts, seconds = stage.accounts, WATCHED_S
    subject = f"{accounts:,} accounts"
    stage.tell(subject)
    async with upstream() as port:
        url, config = await loaded(stage, "many", port, accounts)
        conn = await asyncpg.connect(url)
        rows: list[Row] = []

        def tell(what: str, value: float, unit: str, note: str = "") -> None:
            rows.append(Row(ITEM, subject, what, value, unit, note))

        async with serving(config) as daemon:
            tell("CPU until the first tick", cpu_s(daemon.pid), "s", "imports, configuration, histories, jobs")
            due, watch = await daemon.due(), Watch()
            await asyncio.to_thread(fetch, f"{daemon.url}metrics")  # the first one prepares its statements
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
            scraped = await asyncio.to_thread(fetch, f"{daemon.url}metrics")
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

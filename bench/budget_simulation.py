"""Budgets in simulated time: how much of a vendor's budget is used, and whether the vendor ever refuses.

Processes with a purse each (the real one, on PostgreSQL) share one account at a Gatekeeper. The clock is virtual; 20 to
400 ms pass on the wire each way. Live ticks go on beside every backfill.

    python -m bench.budget_simulation
"""

import asyncio
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.gatekeeper import Gatekeeper
from bench.stage import Stage, staged
from bench.table import Row
from bench.virtual_time import TimedDatabase, VirtualTime
from syncd import budget, database
from syncd import config as configuration
from syncd.config import BudgetConfig, Secret
from syncd.errors import Throttled
from syncd.ledger import Purse
from syncd.source import Lane

ITEM = "budget"
MIDNIGHT = datetime(2026, 3, 9, 23, tzinfo=UTC)  # in Amsterdam; the days that follow have 24 hours
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
TICK_S = 300.0
STREAMS = 4
IN_FLIGHT = 4
"""Requests that one backfilling process has under way at once."""


@dataclass
class World:
    """One account at the upstream, the processes that use it, and what came of it."""

    database: TimedDatabase
    server: Gatekeeper
    limits: BudgetConfig = field(default_factory=BudgetConfig)
    source: str = "shop"
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  (a simulation's)
    served: list[tuple[float, str]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    skipped: int = 0
    processes: list[list[asyncio.Task[None]]] = field(default_factory=list)

    @property
    def time(self) -> VirtualTime:
        """The clock of the upstream and of all processes."""
        return self.database.time

    def purse(self) -> Purse:
        """Return the purse of a process that starts now."""
        clock, sleep = self.time.now, self.time.sleep
        return Purse(self.database, self.source, self.limits, zone="Europe/Amsterdam", clock=clock, sleep=sleep)

    async def request(self, purse: Purse, lane: Lane) -> None:
        """Send one request as soon as the budget lets it go."""
        charge = await purse.charge(lane, patience_s=90.0 if lane == "live" else 2 * DAY_S)
        await self.time.sleep(self.dice.uniform(0.02, 0.4))
        status, headers = self.server.serve(self.time.at)
        if status == 200:
            self.served.append((self.time.at, lane))
        await self.time.sleep(self.dice.uniform(0.02, 0.4))
        said = budget.read_headers(headers, status, sent_at=charge.at, received_at=self.time.at)
        await purse.observe(said)

    async def tick(self, purse: Purse, due: float) -> None:
        """Run a live stream of one request for ever, every TICK_S."""
        while True:
            await self.time.until(due)
            try:
                await self.request(purse, "live")
                self.lags.append(self.time.at - due)
            except Throttled:
                self.skipped += 1
            await purse.flush()
            due += TICK_S

    async def walk(self, purse: Purse) -> None:
        """Send backfill requests for ever, one after another."""
        while True:
            await self.request(purse, "backfill")

    def daemon(self, streams: int = 1) -> None:
        """Start a process that runs live streams."""
        purse = self.purse()
        dues = (self.time.at + 7.3 + i * 5 for i in range(streams))
        self.processes.append([asyncio.create_task(self.tick(purse, due)) for due in dues])

    def backfill(self) -> None:
        """Start a process that backfills."""
        purse = self.purse()
        self.processes.append([asyncio.create_task(self.walk(purse)) for _ in range(IN_FLIGHT)])

    async def spend_elsewhere(self, every_s: float, requests: int = 1, for_s: float = 600.0) -> None:
        """Spend the same budget for a while, without asking ours."""
        until = self.time.at + for_s
        while self.time.at < until:
            await self.time.sleep(every_s * self.dice.uniform(0.5, 1.5))
            for _ in range(requests):
                if self.server.serve(self.time.at, counted=False)[0] == 200:
                    self.served.append((self.time.at, "other"))

    async def restart(self, every_s: float) -> None:
        """Kill the processes in turn, without a word, and start each anew two seconds later."""
        while True:
            for place in range(len(self.processes)):
                await self.time.sleep(every_s)
                killed = self.processes[place]
                for task in killed:
                    task.cancel()
                await asyncio.gather(*killed, return_exceptions=True)
                await self.time.sleep(2)
                (self.daemon if place == 0 else self.backfill)()
                self.processes[place] = self.processes.pop()

    # --- What came of it

    def used(self) -> float:
        """Return the share of each day's quota above the live reserve that was spent while the backfill had work."""
        days: dict[int, list[str]] = defaultdict(list)
        for at, who in self.served:
            days[self.server.day_number(at, MIDNIGHT.timestamp())].append(who)
        quota = self.server.per_day * (1 - self.limits.live_reserve)
        spent = 0
        for who in days.values():
            spent += len(who) - who[::-1].index("backfill") if "backfill" in who else 0
        return spent / (quota * len(days))

    def paced(self) -> float:
        """Return the share of its lane's minutes that the backfill used, while its first day had much left."""
        sent = [at for at, who in self.served if who == "backfill" and at < MIDNIGHT.timestamp() + HOUR_S / 2]
        sent = sent[: int(len(sent) * 0.9)]
        return len(sent) / ((sent[-1] - sent[0]) / MINUTE_S * self.server.per_minute * self.limits.backfill_share)

    def lag_p99(self) -> float:
        """Return how long after they were due 99 of 100 live requests were answered."""
        return sorted(self.lags)[int(len(self.lags) * 0.99)]


async def simulate(world: World, hours: float, *actors: Callable[[World], Any]) -> World:
    """Let a world go on for so many hours."""

    async def main() -> None:
        for act in actors:
            act(world)
        await world.time.sleep(hours * HOUR_S)

    await world.time.run(main())
    return world

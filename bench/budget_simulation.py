"""Budgets in simulated time: how much of a vendor's budget is used, and whether the vendor ever refuses.

Processes with a purse each (the real one, on PostgreSQL) share one account at a Gatekeeper. The clock is virtual; 20 to
400 ms pass on the wire each way. Live ticks go on beside every backfill.

    python -m bench budgets

`refusals.py` adds what happens after a 429.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import refusals
from bench.gatekeeper import DayKind, Gatekeeper, MinuteKind, Says
from bench.stage import Stage
from bench.table import Row
from bench.virtual_time import TimedDatabase, VirtualTime
from syncd.config import BudgetConfig
from syncd.contract import Lane
from syncd.errors import Throttled
from syncd.upstream import budget
from syncd.upstream.purse import Purse

ITEM = "budget"
MIDNIGHT = datetime(2026, 3, 9, 23, tzinfo=UTC)  # in Amsterdam; the days that follow have 24 hours
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
TICK_S = 300.0
IN_FLIGHT = 4
"""Requests that one backfilling process has under way at once."""
WIRE_S = (0.02, 0.4)

Actor = Callable[["World"], Any]


@dataclass
class World:
    """One account at the upstream, the processes that use it, and what came of it."""

    database: TimedDatabase
    server: Gatekeeper
    limits: BudgetConfig = field(default_factory=BudgetConfig)
    source: str = "shop"
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  (a simulation's)
    sent: dict[Lane, list[float]] = field(default_factory=lambda: {"live": [], "backfill": []})
    lags: list[float] = field(default_factory=list)
    peaks: dict[int, int] = field(default_factory=dict)
    """By day of the upstream: what everybody had spent of it when the backfill last sent."""
    skipped: int = 0
    restarts: int = 0
    others: list[float] = field(default_factory=list)
    processes: list[tuple[Actor, list[asyncio.Task[None]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_at = self.settled_at = self.time.at

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
        await self.time.sleep(self.dice.uniform(*WIRE_S))
        status, headers = self.server.serve(self.time.at)
        if status == 200:
            self.sent[lane].append(self.time.at)
        if status == 200 and lane == "backfill":
            day = self.server.day_number(self.time.at, self.began_at)
            self.peaks[day] = max(self.server.day_spent(self.time.at), self.peaks.get(day, 0))
        await self.time.sleep(self.dice.uniform(*WIRE_S))
        await purse.observe(
            budget.read_headers(headers, status, sent_at=charge.at, received_at=self.time.at)
        )  # fmt: skip

    async def tick(self, purse: Purse, due: float, every_s: float) -> None:
        """Run a live stream of one request for ever."""
        while True:
            await self.time.until(due)
            try:
                await self.request(purse, "live")
                self.lags.append(self.time.at - due)
            except Throttled:
                self.skipped += 1
            await purse.flush()
            due += every_s

    async def walk(self, purse: Purse) -> None:
        """Send backfill requests for ever, one after another."""
        while True:
            await self.request(purse, "backfill")

    # --- Actors

    def daemon(self, *, streams: int = 1, every_s: float = TICK_S) -> None:
        """Start a process that runs live streams."""
        purse = self.purse()
        ticks = [self.tick(purse, self.time.at + 7.3 + 5 * i, every_s) for i in range(streams)]
        self.processes.append((World.daemon, [asyncio.create_task(tick) for tick in ticks]))

    def backfill(self) -> None:
        """Start a process that backfills."""
        purse = self.purse()
        walks = [asyncio.create_task(self.walk(purse)) for _ in range(IN_FLIGHT)]
        self.processes.append((World.backfill, walks))

    async def restart(self, every_s: float) -> None:
        """Kill a process without a word, the oldest first, and start it anew two seconds later."""
        while True:
            await self.time.sleep(every_s)
            start, tasks = self.processes.pop(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.time.sleep(2)
            start(self)
            self.restarts += 1

    async def shrink(self, after_s: float, per_minute: int, per_day: int) -> None:
        """Let the upstream change its mind."""
        await self.time.sleep(after_s)
        self.server.per_minute, self.server.per_day = per_minute, per_day
        self.settled_at = self.time.at + MINUTE_S

    async def spend_elsewhere(self, every_s: float, for_s: float) -> None:
        """Let somebody else spend the same budget for a while."""
        until = self.time.at + for_s
        while self.time.at < until:
            await self.time.sleep(every_s * self.dice.uniform(0.5, 1.5))
            if self.server.serve(self.time.at, counted=False)[0] == 200:
                self.others.append(self.time.at)

    # --- What came of it

    def used(self) -> float:
        """Return what was made of the days: the share of the quota above the live reserve that was spent.

        The mean over the upstream's days that have ended, or of the one under way.
        """
        quota = self.server.per_day * (1 - self.limits.live_reserve)
        today = self.server.day_number(self.time.at, self.began_at)
        days = [peak for day, peak in self.peaks.items() if day != today] or list(self.peaks.values())
        return sum(min(peak, quota) for peak in days) / (quota * len(days))

    def paced(self) -> float:
        """Return the share that the backfill used of its lane's minutes, while its first day had much left."""
        sent = [at for at in self.sent["backfill"] if self.settled_at <= at < self.began_at + HOUR_S / 2]
        sent = sent[: int(len(sent) * 0.9)]
        minutes = (sent[-1] - sent[0]) / MINUTE_S
        left = self.server.per_minute * minutes - sum(1 for at in self.others if sent[0] <= at <= sent[-1])
        return len(sent) / (left * self.limits.backfill_share)

    def lag_p99(self) -> float:
        """Return how long after they were due 99 of 100 live requests were answered."""
        return sorted(self.lags)[int(len(self.lags) * 0.99)]


def daemon(*, streams: int = 1, every_s: float = TICK_S) -> Actor:
    """Return what starts a process with live streams."""
    return lambda world: world.daemon(streams=streams, every_s=every_s)


def restarting(every_s: float) -> Actor:
    """Return what kills processes in turn."""
    return lambda world: asyncio.create_task(world.restart(every_s))


def shrinking(after_s: float, *, per_minute: int, per_day: int) -> Actor:
    """Return what makes the upstream change its numbers."""
    return lambda world: asyncio.create_task(world.shrink(after_s, per_minute, per_day))


def others(every_s: float, *, for_s: float) -> Actor:
    """Return somebody else who spends the same budget."""
    return lambda world: asyncio.create_task(world.spend_elsewhere(every_s, for_s))


async def simulate(world: World, hours: float, *actors: Actor) -> World:
    """Let a world go on for so many hours."""

    async def main() -> None:
        running = [act(world) for act in actors]
        await world.time.sleep(hours * HOUR_S)
        del running

    await world.time.run(main())
    return world


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What goes on in one world, and for how long."""

    name: str
    server: Gatekeeper
    hours: float
    actors: tuple[Actor, ...]
    limits: BudgetConfig = field(default_factory=BudgetConfig)


def scenarios() -> list[Scenario]:
    """Return all of them; each needs more than a day's budget."""
    told, kept = BudgetConfig(), BudgetConfig(per_minute=120, per_day=500)
    both, often = (daemon(), World.backfill), (daemon(every_s=1800), World.backfill)
    minutes: tuple[MinuteKind, ...] = ("clock minute", "token bucket")
    days: tuple[tuple[Says, DayKind], ...] = (
        ("all", "calendar day"), ("no reset", "calendar day"), ("no reset", "moving 24 h"),
        ("nothing", "calendar day"), ("nothing", "moving 24 h"),
    )  # fmt: skip
    return [
        Scenario(name="a day", server=Gatekeeper(per_day=5000), hours=24, actors=(daemon(streams=2), World.backfill)),
        Scenario(name="two backfills and a daemon", server=Gatekeeper(per_day=2500), hours=1,
                 actors=(*both, World.backfill)),
        Scenario(name="each process killed again and again", server=Gatekeeper(per_day=2500), hours=0.5,
                 actors=(*both, World.backfill, restarting(11.7))),
        Scenario(name="numbers shrink by a third and a fifth in mid-day", server=Gatekeeper(per_day=2500), hours=1,
                 actors=(*both, shrinking(200, per_minute=240, per_day=2000))),
        Scenario(name="somebody else spends 120 a minute for 5 min", server=Gatekeeper(per_day=2500), hours=1,
                 actors=(*both, others(0.5, for_s=300))),
        *(Scenario(name=f"minute as {kind}", server=Gatekeeper(minute=kind, per_day=1500), hours=0.5, actors=both)
          for kind in minutes),
        *(Scenario(name=f"{kind} elsewhere, headers: {says}", hours=61, actors=often,
                   limits=kept if says == "nothing" else told,
                   server=Gatekeeper(day=kind, zone="UTC", says=says, per_minute=120, per_day=500))
          for says, kind in days),
    ]  # fmt: skip


async def measure(stage: Stage) -> list[Row]:
    """Run every scenario; those of several days begin at noon, so that the upstream's days are not ours by chance."""
    stage.tell("budgets in simulated time")
    url = await stage.database("budgets")
    # the simulation is no test of the disk
    await stage.execute("ALTER DATABASE budgets SET synchronous_commit = off")
    rows: list[Row] = []
    for number, scenario in enumerate(scenarios()):
        begins_at = MIDNIGHT + timedelta(hours=12 if scenario.hours > 24 else 0)
        database = TimedDatabase(VirtualTime(begins_at), url)
        world = World(database, scenario.server, scenario.limits, source=f"source{number}")
        try:
            await simulate(world, scenario.hours, *scenario.actors)
        finally:
            await database.close()
        minutes = f"{100 * world.paced():.1f} % of its minutes"
        sent = f"{len(world.sent['backfill'])} backfill, {len(world.sent['live'])} live"
        rows += [
            Row(ITEM, scenario.name, "use of what it may", 100 * world.used(), "%", f"{minutes}; {sent}"),
            Row(ITEM, scenario.name, "refusals (429)", len(world.server.refused), ""),
            Row(ITEM, scenario.name, "live lag p99", world.lag_p99(), "s", f"wire included; {world.skipped} skipped"),
        ]
    return rows + refusals.measure()

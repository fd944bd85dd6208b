"""The budget as processes share it on PostgreSQL, in simulated time: nothing burnt, whatever windows the server keeps.

`python -m bench budget` runs longer days and prints what was used.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import product

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.budget_simulation import MIDNIGHT, World, daemon, restarting, shrinking, simulate
from bench.gatekeeper import DayKind, Gatekeeper, MinuteKind, Says
from bench.virtual_time import TimedDatabase, VirtualTime
from syncd.config import BudgetConfig
from syncd.config.model import IN_FLIGHT
from syncd.storage.postgres.database import Database
from syncd.upstream.account import Account
from syncd.upstream.budget import EMPTY, Policy, acquire
from syncd.upstream.request import RunUpstream
from syncd.upstream.vault import Vault
from syncd.upstream.wire import http_session
from tests.support.accounts import changed
from tests.support.bench import Bench
from tests.support.search import sampled, trial

DAY_S = 86_400.0
NOON = MIDNIGHT + timedelta(hours=12)


@pytest.fixture
async def shared(db_url: str) -> AsyncIterator[TimedDatabase]:
    """A database whose processes live in simulated time, from noon in Amsterdam on."""
    opened = TimedDatabase(VirtualTime(NOON), db_url)
    yield opened
    await opened.close()


def silent(per_minute: int, per_day: int) -> BudgetConfig:
    return BudgetConfig(per_minute=per_minute, per_day=per_day)


@pytest.mark.parametrize(
    ("says", "minute"), sampled(product(["all", "nothing"], ["sliding log", "clock minute", "token bucket"]), every=2)
)
async def test_no_kind_of_minute_refuses_and_each_is_used(
    shared: TimedDatabase, minute: MinuteKind, says: Says
) -> None:
    limits = silent(60, 1000) if says == "nothing" else BudgetConfig()
    world = World(shared, Gatekeeper(per_minute=60, per_day=1000, minute=minute, says=says), limits)
    await simulate(world, 0.1, daemon(), World.backfill)
    assert world.server.refused == []
    assert world.paced() >= 0.95
    assert len(world.sent["backfill"]) > 180


@pytest.mark.parametrize(
    ("says", "day", "zone"),
    [
        pytest.param("all", "calendar day", "Asia/Karachi", marks=trial),
        pytest.param("no reset", "calendar day", "UTC", marks=trial),
        pytest.param("no reset", "moving 24 h", "UTC", marks=trial),
        pytest.param("nothing", "calendar day", "UTC", marks=trial),
        pytest.param("nothing", "calendar day", "America/New_York", marks=trial),
        ("nothing", "moving 24 h", "UTC"),
    ],
)
async def test_no_kind_of_day_refuses_and_each_is_used(
    shared: TimedDatabase, says: Says, day: DayKind, zone: str
) -> None:
    limits = silent(60, 150) if says == "nothing" else BudgetConfig()
    world = World(shared, Gatekeeper(per_minute=60, per_day=150, day=day, zone=zone, says=says), limits)
    await simulate(world, 49, daemon(every_s=3600.0), World.backfill)
    assert world.server.refused == []
    assert world.used() >= 0.95
    assert world.lag_p99() < 1
    assert len(world.lags) == 49


@trial
async def test_three_processes_that_are_killed_again_and_again_share_one_account(shared: TimedDatabase) -> None:
    world = World(shared, Gatekeeper(per_minute=120, per_day=500))
    await simulate(world, 0.2, daemon(), World.backfill, World.backfill, restarting(7.9))
    assert world.restarts >= 60
    assert world.server.refused == []
    assert world.used() >= 0.98


async def test_numbers_that_shrink_while_we_spend_are_kept_to(shared: TimedDatabase) -> None:
    world = World(shared, Gatekeeper(per_minute=120, per_day=500))
    await simulate(world, 1, daemon(), World.backfill, shrinking(60, per_minute=90, per_day=400))
    assert world.server.refused == []
    assert world.used() >= 0.98


async def test_requests_in_line_wake_nobody_else(shared: TimedDatabase) -> None:
    """Eight requests that wait for the minute look at the budget one after another, not all at once."""
    world = World(shared, Gatekeeper(per_minute=10), silent(10, 1000))
    purse, looks = world.purse(), shared.leases

    async def spend() -> None:
        for _ in range(10):
            await purse.charge("live", patience_s=90)
        nonlocal looks
        looks = shared.leases
        await asyncio.gather(*(purse.charge("live", patience_s=90) for _ in range(8)))

    await shared.time.run(spend())
    assert 8 <= shared.leases - looks <= 8 * 3


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([0.0, 30.0, 600.0, 3000.0, 20_000.0]), max_size=120), st.integers(5, 40))
def test_a_silent_servers_moving_day_holds_no_more_than_its_limit(steps: list[float], per_day: int) -> None:
    """Whatever a backfill does, as long as live work keeps to its reserve."""
    policy, state, now = Policy(per_day=per_day, day_zone="UTC"), EMPTY, NOON.timestamp()
    dice, sent, live = random.Random(len(steps)), deque[float](), deque[float]()  # noqa: S311
    reserve = -(-per_day // 5)
    for later in steps:
        now += later
        while live and live[0] <= now - DAY_S:
            live.popleft()
        lane = "live" if len(live) < reserve and dice.random() < 0.2 else "backfill"
        while True:
            state, wait = acquire(state, policy, now, lane)  # type: ignore[arg-type]
            if wait is not None:
                break
            sent.append(now)
            if lane == "live":
                live.append(now)
                break
        assert sum(1 for at in sent if at > now - DAY_S) <= per_day
    assert not steps or sent


async def test_a_request_is_charged_only_when_it_may_be_sent(bench: Bench) -> None:
    """One that waits for its turn would else arrive when its charge has left the window already."""
    arrived, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_request: web.Request) -> web.Response:
        arrived.release()
        await let_go.wait()
        return web.json_response({"error": False})

    app = web.Application()
    app.router.add_get("/held", hold)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    source, config = bench.syncer.source("shop")
    purse = bench.syncer.account("shop").purse
    async with http_session() as http:
        account = Account(
            source, changed(config, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}"), purse,
            Vault(bench.db, "shop", clock=bench.time.now, sleep=bench.time.sleep), http,
            clock=bench.time.now, sleep=bench.time.sleep, jitter=lambda: 0.0,
        )  # fmt: skip
        requests = [
            asyncio.create_task(RunUpstream(account, "customers", "live").request("GET", "/held"))
            for _ in range(IN_FLIGHT + 2)
        ]
        for _ in range(IN_FLIGHT):
            await arrived.acquire()
        await purse.charge("live", patience_s=1)  # whoever was in line before has been charged by now
        assert await _charged(bench.db) == IN_FLIGHT + 1
        let_go.set()
        await asyncio.gather(*requests)
        assert await _charged(bench.db) == IN_FLIGHT + 3
    await runner.cleanup()


async def _charged(db: Database) -> int:
    async with db.connection() as conn:
        found: int = await conn.fetchval("SELECT day_used_live FROM syncd.budgets WHERE source = 'shop'")
        return found

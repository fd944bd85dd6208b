"""The runs under way in the daemon: each is forgotten when it ends, however early that is."""

import asyncio

from syncd.service.timetable.tasks import Tasks, Work
from syncd.status import Pair

SHOP, LEASE = ("shop", "customers"), ("lease", "orders")


class Runs:
    """Runs that wait for a seat for ever, or for the event that ends them once they have one."""

    def __init__(self) -> None:
        self.ended: list[Pair] = []
        self.seated: set[Pair] = set()

    async def work(self, pair: Pair, work: Work) -> None:
        work.is_seated = pair in self.seated
        await work.stop.wait()
        self.ended.append(pair)


async def test_a_run_that_is_cancelled_before_its_first_step_is_forgotten() -> None:
    runs = Runs()
    tasks = Tasks(runs.work)
    tasks.begin(SHOP)
    assert SHOP in tasks
    await tasks.drain({"shop"}, grace_s=1)
    assert SHOP not in tasks
    assert runs.ended == []


async def test_a_drain_ends_the_runs_of_its_sources_only() -> None:
    runs = Runs()
    runs.seated = {SHOP, LEASE}
    tasks = Tasks(runs.work)
    tasks.begin(SHOP)
    tasks.begin(LEASE)
    await asyncio.sleep(0)  # both take their first step
    await tasks.drain({"shop"}, grace_s=5)
    assert runs.ended == [SHOP]
    assert tasks.any_of("lease")
    assert not tasks.any_of("shop")
    await tasks.drain(None, grace_s=5)
    assert runs.ended == [SHOP, LEASE]
    assert LEASE not in tasks


async def test_the_run_of_one_stream_is_stopped_at_its_page() -> None:
    runs = Runs()
    tasks = Tasks(runs.work)
    tasks.begin(SHOP)
    tasks.begin(LEASE)
    tasks.stop(SHOP)
    tasks.stop(("shop", "orders"))  # harmless: nothing of it is under way
    while SHOP in tasks:  # noqa: ASYNC110  (a task has no event for its end)
        await asyncio.sleep(0)
    assert (runs.ended, LEASE in tasks) == ([SHOP], True)
    await tasks.drain(None, grace_s=1)

"""What is left after a kill -9 amid each way of paging: tokens, links, numbers, windows; with rows of many tables."""

import re
import signal
from ast import literal_eval
from collections import defaultdict
from typing import Any

import pytest

from syncd.sandbox import Limits
from syncd.sources import registry
from syncd.testing.records import key_of
from tests.support.bench import Bench, MakeBench
from tests.support.crashes import PAGINGS, Paging, RealTime, killed
from tests.support.search import sampled
from tests.support.truth import differences, told, wrongly_buried
from tests.support.watch import Watch

API = "cyclesoftware"
SIZES = {
    "customers": 20, "stock_items": 0, "sales_orders": 0, "workshop_orders": 0, "payments": 0, "articles": 90,
    "sales_transactions": 60, "sales_days": 200, "repair_objects": 45,
}  # fmt: skip


class Mirror:
    """What of a stream's records is in the mirror, each with all of its children or not at all."""

    def __init__(self, bench: Bench, stream: str) -> None:
        self._bench = bench
        self._selector = f"shop.{stream}"
        self._table = registry()[API].stream(stream).table

    async def committed(self) -> set[tuple[str, ...]]:
        """Return the keys of the records that are mirrored as they are; fails if one is parted from its children."""
        stale = defaultdict[str, set[tuple[str, ...]]](set)
        for line in await differences(self._bench, self._selector, shown=100_000):
            found = re.match(r"\w+\.(\w+) (\(.*?\))[:. ]", line)
            assert found, line
            stale[found[1]].add(literal_eval(found[2]))
        width, parents = len(self._table.key), stale.pop(self._table.name, set())
        for name, keys in stale.items():
            assert {key[:width] for key in keys} <= parents, f"{name}: parted from its record"
        assert not await wrongly_buried(self._bench, self._selector)
        truth = self._bench.sandbox.truth(API, self._table.name)
        return {key_of(record, self._table) for record in truth} - parents


@pytest.mark.parametrize("paging", sampled(PAGINGS, every=3), ids=lambda paging: paging.way.replace(" ", "-"))
async def test_whatever_way_pages_come_a_killed_run_leaves_whole_records(make_bench: MakeBench, paging: Paging) -> None:
    time, limits = RealTime(), Limits(per_minute=10_000, per_day=100_000)
    bench = await make_bench(time=time, page_size=4, keeps=True, limits=limits, **SIZES)
    selector, mirror = f"shop.{paging.stream}", Mirror(bench, paging.stream)
    table = registry()[API].stream(paging.stream).table
    watch = Watch(bench.db, [f"{API}.{each.name}" for each in (table, *(child.table for child in table.children))])
    if paging.fault:
        bench.sandbox.faults.add(paging.fault, api=API, stream=paging.stream)

    async def die(point: str, times: int) -> None:
        before = await mirror.committed()
        code = await killed(bench, point, times, "sync", selector, stream=paging.stream)
        assert code == -signal.SIGKILL, f"{point} {times} was not reached"
        after = await mirror.committed()
        [dead] = await bench.fetch("SELECT * FROM syncd.runs ORDER BY run_id DESC LIMIT 1")
        assert dead["outcome"] == "running"
        assert before <= after
        assert dead["rows_inserted"] + dead["rows_updated"] == len(after) - len(before), "rows and counts are parted"
        await watch.look()

    for point, times in paging.points:
        await die(point, times)
    assert await mirror.committed(), "no page was committed: nothing was tried"
    await came_to_its_end(bench, selector)
    for key in list(bench.sandbox.world[API, paging.stream].keys()):
        bench.sandbox.world.change(API, paging.stream, key)
    for point, times in (("before the merge", 2), ("before the commit", 2)):
        await die(point, times)
    await came_to_its_end(bench, selector)
    wrong = await watch.faults()
    assert not wrong, told(wrong)


async def came_to_its_end(bench: Bench, selector: str) -> None:
    result: Any = await bench.sync(selector)
    assert result.outcome == "ok", result.error
    found = await differences(bench, selector)
    assert not found, told(found)

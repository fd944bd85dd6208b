"""Autengo's vehicles under misbehaviour: the walk by value loses nothing and buries nothing alive."""

import json
from typing import Any

import pytest

from syncd.errors import BadPayload
from tests.support.bench import MakeBench
from tests.support.search import trial
from tests.support.sources.autengo import assert_mirrors, synced

SIZES = {"vehicles": 230, "makes": 3, "contacts": 6}

PAGING = (
    "auth-expired",
    "clamped-limit",
    "count-disagrees",
    "empty-list",
    "empty-page-with-next",
    "error-in-200",
    "expired-session-empty-list",
    "late-commit",
    "missing-list",
    "row-deleted-ahead",
    "row-inserted-ahead",
    "row-moved-ahead",
    "since-ignored",
    "token-expires-early",
    "total-changes",
    "unstable-ties",
)

TRIED = ("row-deleted-ahead", "row-inserted-ahead", "row-vanishes")
"""What `make test` tries, beside the cells of the fault matrix: what moves the list under a walk."""
DATA = ("bad-time", "duplicate-key-on-page", "missing-key", "null-record", "nul-in-text", "row-vanishes", "wrong-type")


def _tried(*faults: str) -> list[Any]:
    return [pytest.param(fault, marks=() if fault in TRIED else trial) for fault in faults]


async def test_ignored_offset_is_told(make_bench: MakeBench) -> None:
    bench = await make_bench(vehicles=130)
    for record in bench.sandbox.truth("autengo", "vehicles"):
        bench.sandbox.put("autengo", "vehicles", {**record, "updated": "2026-05-05 05:05:05"})
    bench.sandbox.faults.add("ignored-offset", api="autengo", stream="vehicles")
    result = await bench.sync("cars.vehicles")
    assert isinstance(result.error, BadPayload)
    assert "is the offset ignored?" in str(result.error)
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_old_unfinished_sweep_starts_again(make_bench: MakeBench) -> None:
    """What was deleted behind an interrupted sweep would else stay alive."""
    bench = await make_bench(**SIZES)
    await synced(bench, "vehicles")
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="vehicles", after=1)
    assert (await bench.sync("cars.vehicles", "sweep")).outcome == "failed"
    bench.sandbox.faults.clear()
    [cursor] = await bench.fetch("SELECT cursor FROM syncd.cursors WHERE kind = 'sweep'")
    assert json.loads(cursor["cursor"])["pass"]["offset"] == 100
    oldest = min(bench.sandbox.truth("autengo", "vehicles"), key=lambda record: str(record["created"]))
    bench.sandbox.delete("autengo", "vehicles", oldest["sellingId"])
    bench.time.pass_by(hours=2)
    await synced(bench, "vehicles", "sweep")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


async def test_recent_unfinished_pass_goes_on(make_bench: MakeBench) -> None:
    bench = await make_bench(vehicles=700)
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="vehicles", after=4)
    assert (await bench.sync("cars.vehicles")).outcome == "failed"
    bench.sandbox.faults.clear()
    seen = (await bench.fetch("SELECT count(*) FROM autengo.vehicles"))[0][0]
    result = await synced(bench, "vehicles")
    assert result.counts.seen < 700 - seen + 250
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))


@pytest.mark.parametrize("times", [None, pytest.param(1, marks=trial)])
@pytest.mark.parametrize("fault", _tried(*PAGING))
async def test_live_passes_lose_nothing_to(make_bench: MakeBench, fault: str, times: int | None) -> None:
    """Whatever happens to the list, live passes alone bring every vehicle once the fault is over."""
    bench = await make_bench(**SIZES)
    stream = "auth" if fault == "token-expires-early" else "vehicles"
    bench.sandbox.faults.add(fault, api="autengo", stream=stream, times=times)
    for _ in range(3):
        await bench.sync("cars.vehicles")
        bench.sandbox.evolve(2)
        bench.time.pass_by(minutes=5)
    assert bench.sandbox.faults.hits(fault)
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    truth = bench.sandbox.truth("autengo", "vehicles")
    keys = {record["sellingId"] for record in truth}
    lost = [row["selling_id"] for row in await bench.rows("autengo.vehicles") if row["selling_id"] not in keys]
    await bench.fetch("UPDATE autengo.vehicles SET _deleted_at = now() WHERE selling_id = ANY($1)", lost)
    await assert_mirrors(bench, "vehicles", truth)


@pytest.mark.parametrize("fault", _tried(*PAGING, *DATA))
async def test_sweeps_bury_nothing_alive_under(make_bench: MakeBench, fault: str) -> None:
    """Whatever happens, no living vehicle is buried, and one clean sweep later the mirror is right."""
    bench = await make_bench(**SIZES)
    await synced(bench, "vehicles")
    stream = "auth" if fault == "token-expires-early" else "vehicles"
    bench.sandbox.faults.add(fault, api="autengo", stream=stream, after=1)
    for _ in range(2):
        bench.sandbox.evolve(2)
        bench.time.pass_by(days=1)
        await bench.sync("cars.vehicles", "sweep")
    alive = {record["sellingId"] for record in bench.sandbox.truth("autengo", "vehicles")}
    assert not [row for row in await bench.rows("autengo.vehicles", "_deleted_at IS NOT NULL") if row[1] in alive]
    bench.sandbox.faults.clear()
    await synced(bench, "vehicles")
    await synced(bench, "vehicles", "sweep")
    await assert_mirrors(bench, "vehicles", bench.sandbox.truth("autengo", "vehicles"))

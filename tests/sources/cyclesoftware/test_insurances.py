"""CycleSoftware's insurances: a bare array for each window of days, days first, amounts in cents."""

from datetime import date, timedelta
from typing import Any

import pytest

from syncd.contract.errors import BadPayload
from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten
from tests.support.sources.cyclesoftware import NOW, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

INSURANCE = {
    "insurance_id": 330001, "customer_id": 1006, "created_at": "27-09-2025", "stock_object_id": 144922,
    "insurance_company": "Kruisverzekering", "reference_id": "0123456", "policy_number": "0",
    "insurance_starting_date": "2025-10-01", "description": "E-bike, 3 jaar casco", "policy_costs": 500,
    "insured_amount": 249900, "premium_amount": 27489,
}  # fmt: skip


@pytest.mark.parametrize("started", ["2025-10-01", "01-10-2025"])
def test_insurance_sample(started: str) -> None:
    row = parsed("insurances", {**INSURANCE, "insurance_starting_date": started})
    expected = {**INSURANCE, "created_at": date(2025, 9, 27), "insurance_starting_date": date(2025, 10, 1)}
    assert values("insurances", row) == expected
    assert (row.key, row.extra, list(row.notes)) == ((330001,), None, [])


@pytest.mark.parametrize(
    ("kind", "cursor", "days"),
    [
        ("live", {"as_of": "2026-03-10T06:00:00+00:00"}, 14),
        ("live", {"as_of": "2026-01-10T12:00:00+00:00"}, 59),
        ("live", None, 730),
        ("sweep", None, 365),
    ],
)
async def test_days_are_asked_for_in_windows_of_at_most_31_days(kind: Any, cursor: Any, days: int) -> None:
    script = Script([[{"insurance_id": n}] for n in range(1, 40)])
    pages = await pages_of("insurances", walk_of(script, kind, cursor=cursor))
    asked = [[date.fromisoformat(each[2][name]) for name in ("start_date", "end_date")] for each in script.asked]
    assert NOW.date() - asked[0][0] in (timedelta(days=days), timedelta(days=days + 1))
    assert asked[-1][1] > NOW.date()
    assert all(timedelta(0) <= last - first <= timedelta(days=31) for first, last in asked)
    assert pages[-1].cursor == {"swept_at" if kind == "sweep" else "as_of": NOW.isoformat()}
    assert not any(page.scope for page in pages)


async def test_an_answer_that_is_no_array_fails_the_run() -> None:
    for body in ({"error": False}, {"data": None}, "x"):
        with pytest.raises(BadPayload):
            await pages_of("insurances", walk_of(Script([body])))


async def test_new_insurances_come_live_later_changes_in_sweeps(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(stock_items=0)
    world = bench.sandbox.world

    def applied() -> int:
        return int(world.put("cyclesoftware", "insurances", world.fresh("cyclesoftware", "insurances")))

    numbers = [applied() for _ in range(3)]
    seeded = [
        each for each in bench.sandbox.truth("cyclesoftware", "insurances") if each["insurance_id"] not in numbers
    ]
    first = await bench.sync("shop.insurances")
    assert first.outcome == "ok"
    assert first.counts.inserted == 3 + len(seeded)  # the first run goes two years back
    bench.time.pass_by(days=30)
    applied()
    world.change("cyclesoftware", "insurances", numbers[0])
    bench.sandbox.delete("cyclesoftware", "insurances", numbers[1])
    live = await bench.sync("shop.insurances")
    assert (live.outcome, live.counts.inserted) == ("ok", 1)
    bench.time.pass_by(days=30)
    sweep = await bench.sync("shop.insurances", "sweep")
    assert (sweep.outcome, sweep.counts.inserted, sweep.counts.deleted) == ("ok", 0, 0)
    found = await differences(bench, "shop.insurances")
    assert not found, told(found)
    policy = world.get("cyclesoftware", "insurances", numbers[0])
    (row,) = await bench.rows("cyclesoftware.insurances", f"insurance_id = {numbers[0]}")
    assert row["policy_number"] == policy["policy_number"] != "0"
    await bench.sync("shop.customers")
    await forgotten(bench, "shop.customers", policy["customer_id"])
    for _ in range(2):  # as it is, and after a sweep that reads it again
        (row,) = await bench.rows("cyclesoftware.insurances", f"insurance_id = {numbers[0]}")
        kept = (row["customer_id"], row["policy_number"], row["insured_amount"])
        assert kept == (None, None, policy["insured_amount"])
        bench.time.pass_by(hours=6)
        await bench.sync("shop.insurances", "sweep")

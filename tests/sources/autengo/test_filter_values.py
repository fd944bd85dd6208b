"""Autengo's values of filters: bare values become rows, and what a field no longer has is gone from it only."""

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadPayload
from syncd.sources.autengo import SOURCE
from syncd.sources.autengo.filter_values import FIELDS
from tests.support.bench import Bench
from tests.support.sources.autengo import parsed, synced, values
from tests.support.sources.cyclesoftware import Script, walk_of
from tests.support.truth import differences, told

WALK = SOURCE.stream("filter_values").walk
SAMPLE = {"makeId": [190, 8], "fuelType": ["diesel"], "isPluginHybrid": [True, False], "driveType": []}


async def test_bare_values_become_texts_field_by_field() -> None:
    script = Script([SAMPLE])
    pages = [page async for page in WALK(walk_of(script))]
    assert script.asked[0][:2] == ("GET", "/vehicle/filter/values")
    rows = [values("filter_values", parsed("filter_values", record)) for page in pages for record in page.records]
    assert [(row["field"], row["value"]) for row in rows] == [
        ("makeId", "190"), ("makeId", "8"), ("fuelType", "diesel"), ("isPluginHybrid", "true"),
        ("isPluginHybrid", "false"),
    ]  # fmt: skip
    scopes = [page.scope for page in pages]
    assert scopes == [*(Scope(column="field", values=(name,)) for name in SAMPLE), None]
    assert [page.cursor for page in pages[:-1]] == [None] * 4
    assert pages[-1].cursor is not None


async def test_a_field_that_the_answer_lacks_or_spoils() -> None:
    pages = [page async for page in WALK(walk_of(Script([{"makeId": [190, None], "status": "success"}])))]
    assert [page.scope and page.scope.values for page in pages] == [("makeId",), None]
    assert [len(page.records) for page in pages] == [1, 0], "null is no value"
    with pytest.raises(BadPayload, match="expected an array in `fuelType`"):
        [page async for page in WALK(walk_of(Script([{"makeId": [190], "fuelType": {"diesel": 3}}])))]


async def test_nothing_at_all_is_asked_for_twice() -> None:
    script = Script([{"makeId": []}, SAMPLE])
    assert sum([len(page.records) async for page in WALK(walk_of(script))]) == 5
    assert script.answers == []


async def test_values_follow_the_vehicles(bench: Bench) -> None:
    result = await synced(bench, "filter_values")
    assert result.spent.requests == 2, "a login and one question"
    found = await differences(bench, "cars.filter_values")
    assert not found, told(found)
    rows = await bench.rows("autengo.filter_values")
    assert {row["field"] for row in rows} == set(FIELDS)
    truth, world = bench.sandbox.truth("autengo", "vehicles"), bench.sandbox.world
    rare = next(row["value"] for row in rows if row["field"] == "vehicleTypeId")
    for vehicle in truth:
        if str((vehicle.get("vehicleTypeId") or {}).get("key")) == rare:
            world.delete("autengo", "vehicles", vehicle["sellingId"])
    assert (await synced(bench, "filter_values")).counts.deleted >= 1
    found = await differences(bench, "cars.filter_values")
    assert not found, told(found)

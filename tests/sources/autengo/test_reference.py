"""Autengo's makes and models."""

from tests.support.bench import Bench
from tests.support.sources.autengo import assert_mirrors, parsed, synced, values


def test_reference_samples() -> None:
    assert values("makes", parsed("makes", {"makeId": 190, "makeName": "Audi"})) == {
        "make_id": 190,
        "make_name": "Audi",
    }
    model = {"makeId": 190, "modelId": 3813, "modelName": "A4"}
    assert values("models", parsed("models", model)) == {"make_id": 190, "model_id": 3813, "model_name": "A4"}


async def test_makes_and_models(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    for stream in ("makes", "models"):
        await assert_mirrors(bench, stream, bench.sandbox.truth("autengo", stream))
    gone = bench.sandbox.truth("autengo", "models")[0]
    bench.sandbox.delete("autengo", "models", (gone["makeId"], gone["modelId"]))
    assert (await synced(bench, "models")).counts.deleted == 1
    await assert_mirrors(bench, "models", bench.sandbox.truth("autengo", "models"))


async def test_models_of_a_lost_make_are_buried(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    make_id = bench.sandbox.truth("autengo", "makes")[-1]["makeId"]
    bench.sandbox.delete("autengo", "makes", make_id)
    assert (await synced(bench, "makes")).counts.deleted == 1
    assert (await synced(bench, "models")).counts.deleted > 0
    assert make_id not in {row["make_id"] for row in await bench.rows("autengo.models")}


async def test_models_of_a_make_without_an_answer_are_left_alone(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    before = await bench.rows("autengo.models")
    bench.sandbox.faults.add("not-found-list", api="autengo", stream="models", times=1)
    await synced(bench, "models")
    assert len(await bench.rows("autengo.models")) == len(before)


async def test_interrupted_models_go_on(bench: Bench) -> None:
    await synced(bench, "makes")
    await synced(bench, "models")
    gone = bench.sandbox.truth("autengo", "models")[0]
    bench.sandbox.delete("autengo", "models", (gone["makeId"], gone["modelId"]))
    bench.sandbox.faults.add("error-in-200", api="autengo", stream="models", after=5)
    assert (await bench.sync("cars.models")).outcome == "failed"
    bench.sandbox.faults.clear()
    result = await synced(bench, "models")
    makes = len(bench.sandbox.truth("autengo", "makes"))
    assert makes + 1 < result.spent.requests < 2 * makes, "it goes on, and then lists all anew"
    assert result.counts.deleted == 1
    await assert_mirrors(bench, "models", bench.sandbox.truth("autengo", "models"))

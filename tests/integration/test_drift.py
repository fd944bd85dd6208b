"""What `syncd.drift` tells: which field appeared, vanished or changed type, since when, how often, with what shape."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.truth import NAMES

SIZES = {"customers": 12, "companies": 2, "cyclis_orders": 6, "cyclists": 3, "vehicles": 8, "products": 12}


async def drift(bench: Bench, selector: str, since: datetime) -> list[Any]:
    """Return what was met for the first time since then."""
    source, _, stream = selector.partition(".")
    return await bench.fetch(
        "SELECT field, change, first_seen_at, last_seen_at, occurrences, sample FROM syncd.drift"
        " WHERE source = $1 AND stream = $2 AND first_seen_at >= $3 ORDER BY field, change",
        source, stream, since,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("selector", "vanishes", "changes", "to", "sample"),
    [
        ("shop.customers", "city", "house_number", {"no": 12}, '{"xx":99}'),
        ("shop.customers", "city", "discount_percentage", "Ten %", '"xxx %"'),
        ("lease.orders", "attributes.bike_name", "attributes.lease_duration", "36 maanden", '"99 xxxxxxx"'),
        ("cars.vehicles", "description", "kilometers", [43_879], "[99999]"),
        ("parts.orders", "externalOrderId", "deliveryRoute", [12, "R1"], '[99,"x9"]'),
    ],
)
async def test_drift_tells_what_changed_since_when_how_often_and_masked(
    make_bench: MakeBench, selector: str, vanishes: str, changes: str, to: Any, sample: str
) -> None:
    bench = await make_bench(**SIZES)
    await bench.sync(selector)  # the vendors' own samples drift from their documents already
    api, stream = NAMES[selector.partition(".")[0]], selector.partition(".")[2]
    records = bench.sandbox.truth(api, stream)[:3]
    bench.time.pass_by(hours=1)
    began_at = bench.time.now()
    for count, record in enumerate(records, 1):  # one more drifts in each run
        fields = record.get("attributes", record)
        del fields[vanishes.rpartition(".")[2]]
        fields[changes.rpartition(".")[2]] = to
        fields["loyaltyCard"] = f"Piet {count}23"
        bench.sandbox.put(api, stream, record)
        assert (await bench.sync(selector)).counts.updated == 1
        bench.time.pass_by(hours=1)
    ended_at = bench.time.now() - timedelta(hours=1)
    appears = "attributes.loyaltyCard" if "." in vanishes else "loyaltyCard"
    assert await drift(bench, selector, began_at) == sorted([
        (appears, "appeared", began_at, ended_at, 3, '"xxxx 999"'),
        (changes, "type_changed", began_at, ended_at, 3, sample),
        (vanishes, "vanished", began_at, ended_at, 3, ""),
    ])  # fmt: skip
    await bench.sync(selector, "sweep")  # nothing new is sent, nothing is counted again
    assert {row["occurrences"] for row in await drift(bench, selector, began_at)} == {3}

"""What `syncd.drift` tells: which field appeared, vanished or changed type, since when, how often, with what shape."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.records.rows import Note
from syncd.storage.postgres.database import Database
from syncd.storage.state import retention
from syncd.storage.state.drift import FIELDS_MAX, OTHERS, save_drift, shape
from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import canary, forgotten
from tests.support.strategies import NOW
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


async def test_a_record_of_very_many_unknown_fields_leaves_a_bounded_number_of_rows(bench: Bench) -> None:
    await bench.sync("shop.customers")
    record = bench.sandbox.truth("cyclesoftware", "customers")[0]
    for count in (30_000, 30_000):
        record |= {f"field_{letters(number)}": number for number in range(count)} | {"name": f"changed {count}"}
        bench.sandbox.put("cyclesoftware", "customers", record)
        assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
        record["customer_id"] += 1_000_000
    rows = await bench.fetch("SELECT field, occurrences FROM syncd.drift WHERE change = 'appeared'")
    held = {row["field"]: row["occurrences"] for row in rows}
    assert FIELDS_MAX - 50 < len(held) <= FIELDS_MAX + 1
    assert held[OTHERS] > 50_000
    assert sum(held.values()) >= 60_000
    (extra,) = await bench.fetch(
        "SELECT _extra::text AS e FROM cyclesoftware.customers WHERE name = 'changed 30000' LIMIT 1"
    )
    assert extra["e"].count("field_") == 30_000


def letters(number: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(number))


@pytest.mark.parametrize(
    ("field", "stored"),
    [
        ("loyaltyCard", "loyaltyCard"),
        ("attributes.loyalty_card2", "attributes.loyalty_card2"),
        ("phone_numbers[].x", "phone_numbers[].x"),
        ("@type", "@type"),
        ("xsi:nil", "xsi:nil"),
        ("co2_emission_2021", "co2_emission_2021"),
        ("größe", "größe"),
        ("jan.de-vries@example.nl", "a.a-a@a.a"),
        ("attributes.jan@example.nl", "a.a@a.a"),
        ("+31 6 1234 5678", "+9 9 9 9"),
        ("0612345678", "9"),
        ("p0612345678", "a9"),
        ("06-12-34-56-78", "9-9-9-9-9"),
        ("7d444840-9dc0-11d1-b245-5ffdce74fad2", "a9-a9-a9-a9-a9"),
        ("x7d44f8409dc0", "a9"),
        ("deadbe3f", "a9"),
        ("Jan de Vries", "a a a"),
        ("1234 AB", "9 a"),
        ("8717231204726", "9"),
        ("", ""),
        ("a\0b", "a\\a9"),
    ],
)
def test_a_name_that_may_be_of_a_person_is_stored_as_its_shape(field: str, stored: str) -> None:
    assert shape(field) == stored


async def test_fields_named_after_a_person_are_forgotten_with_them(bench: Bench) -> None:
    record = canary(bench)
    record |= {"Zzyzxkanarie": 1, "zzyzx@kanarie.example": 2, "of_Zzyzxkanarie": 3, "0612345987": 4, "kept": 5}
    bench.sandbox.put("cyclesoftware", "customers", record)
    await bench.sync("shop.customers")
    before = {row["field"] for row in await bench.fetch("SELECT field FROM syncd.drift WHERE change = 'appeared'")}
    assert {"Zzyzxkanarie", "of_Zzyzxkanarie", "a@a.a", "9", "kept"} <= before
    counts = await forgotten(bench, "shop.customers", record["customer_id"])
    after = {row["field"] for row in await bench.fetch("SELECT field FROM syncd.drift WHERE change = 'appeared'")}
    assert before - after == {"Zzyzxkanarie", "of_Zzyzxkanarie"}
    assert counts["syncd.drift"] == 2


async def test_a_field_that_was_not_met_for_long_expires(db: Database) -> None:
    async with db.transaction() as conn:
        await save_drift(conn, "s", "a", [Note("old", "appeared"), Note("new", "appeared")], now=NOW)
        await save_drift(conn, "s", "a", [Note("new", "appeared")], now=NOW + timedelta(days=89))
    assert await retention.prune(db, {"drift": NOW + timedelta(days=1)}) == {"drift": 1}
    async with db.connection() as conn:
        (row,) = await conn.fetch("SELECT field, occurrences FROM syncd.drift")
    assert tuple(row) == ("new", 2)

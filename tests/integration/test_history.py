"""History: every version of a row is kept, whatever changed it, and the past can be asked for."""

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from syncd.cli.commands import rejects, verify
from syncd.config import Config
from syncd.storage.state import retention
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock
from tests.support.search import trial
from tests.support.watch import Watch

STREAM = "shop.customers"
CUSTOMERS = "cyclesoftware.customers"
NUMBERS = "cyclesoftware.customer_phone_numbers"
SIZES = {
    "customers": 12, "page_size": 5, "cyclis_orders": 8, "cyclists": 4, "companies": 3, "vehicles": 12, "orders": 12,
    "stock_items": 20, "sales_orders": 8, "leads": 3, "dealers": 2, "makes": 2, "contacts": 1, "products": 12,
}  # fmt: skip
STREAMS = (
    "shop.stores", "shop.customers", "shop.stock_items", "shop.stock", "shop.sales_orders", "shop.leads",
    "lease.companies", "lease.orders", "cars.makes", "cars.vehicles", "parts.products",
)  # fmt: skip
TOLD_TODAY = {
    "customers": {"address"}, "stock_objects": {"store_name", "days_in_stock"}, "sales_orders": {"customer_name"},
    "leads": {"store_name", "customer_name", "email", "phone", "days_open"},
    "lease_orders": {"company_name", "cyclist_name", "bike_type", "bike_size", "bike_color", "maintenance_budget"},
    "vehicles": {"condition", "body", "fuel", "transmission", "color", "power_kw", "first_registration",
                 "days_in_stock"},
    "parts": {"discount_percent", "deposit", "units_per_sale"}, "stock": set[str](),
}  # fmt: skip
"""Views with a past, and which of their columns it leaves out or takes from elsewhere."""


def first_customer(bench: Bench) -> dict[str, Any]:
    return bench.sandbox.truth("cyclesoftware", "customers")[0]


def rename(bench: Bench, name: str, *, number: str | None = None) -> int:
    """Rename the first customer, and change its first phone number; return its key."""
    customer = first_customer(bench)
    customer["name"] = name
    if number:
        customer["phone_numbers"][0]["phone_number"] = number
    bench.sandbox.put("cyclesoftware", "customers", customer)
    return int(customer["customer_id"])


async def versions(bench: Bench, key: int, *, table: str = "cyclesoftware_customers") -> list[asyncpg.Record]:
    return await bench.fetch(f"SELECT * FROM history.{table} WHERE customer_id = $1 ORDER BY valid_from", key)


def reconfigured(config: Config, **changes: Any) -> Config:
    """Return a configuration with other settings for the stream of customers."""
    shop = config.sources["shop"]
    streams = {**shop.streams, "customers": dataclasses.replace(shop.streams["customers"], **changes)}
    return dataclasses.replace(config, sources={**config.sources, "shop": changed(shop, streams=streams)})


# --- What is kept -----------------------------------------------------------------------------------------------------


async def test_a_row_that_changes_leaves_its_old_version_with_its_time(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    loaded_at = bench.time.now()
    assert (await bench.sync(STREAM)).outcome == "ok"
    before = {row["customer_id"]: row for row in await bench.rows(CUSTOMERS)}
    assert await bench.fetch("SELECT FROM history.cyclesoftware_customers") == []

    bench.time.pass_by(minutes=20)
    key = rename(bench, "Nieuw")
    await bench.sync(STREAM)
    [old] = await versions(bench, key)
    [new] = await bench.rows(CUSTOMERS, f"customer_id = {key}")
    assert new["name"] == "Nieuw"
    assert (old["valid_from"], old["valid_to"]) == (before[key]["_changed_at"], new["_changed_at"])
    assert loaded_at <= old["valid_from"] < old["valid_to"] <= bench.time.now()
    names = set(old.keys()) - {"valid_from", "valid_to"}
    assert {name: old[name] for name in names} == {name: before[key][name] for name in names}
    assert names >= {"source", "customer_id", "name", "_extra", "_deleted_at"}


async def test_burying_and_returning_are_versions_too(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    watch = Watch(bench.db, (CUSTOMERS, NUMBERS))
    customer = first_customer(bench)
    numbers = len(customer["phone_numbers"])
    assert numbers
    bench.sandbox.delete("cyclesoftware", "customers", customer["customer_id"])
    bench.time.pass_by(days=8)
    assert (await bench.sync(STREAM, "sweep", accept_deletions=True)).counts.deleted == 1
    buried_at = bench.time.now()
    await watch.look()
    bench.time.pass_by(days=1)
    bench.sandbox.put("cyclesoftware", "customers", customer)
    await bench.sync(STREAM)

    alive, dead = await versions(bench, customer["customer_id"])
    assert (alive["_deleted_at"], alive["valid_to"]) == (None, dead["valid_from"])
    assert dead["_deleted_at"] == dead["valid_from"] <= buried_at
    kept = await versions(bench, customer["customer_id"], table="cyclesoftware_customer_phone_numbers")
    assert len(kept) == 2 * numbers
    assert await watch.faults() == []


async def test_a_parent_has_a_version_for_every_change_of_its_child_rows(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    customer = first_customer(bench)
    key = customer["customer_id"]
    for number in ("061", "062", "063"):
        phone = customer["phone_numbers"][0] | {"phone_number_id": "mob", "phone_number": number}
        bench.sandbox.put("cyclesoftware", "customers", customer | {"phone_numbers": [phone]})
        await bench.sync(STREAM)
        bench.time.pass_by(minutes=20)
    assert [row["name"] for row in await versions(bench, key)] == [customer["name"]] * 2
    kept = await versions(bench, key, table="cyclesoftware_customer_phone_numbers")
    assert [row["phone_number"] for row in kept] == ["061", "062"]
    query = "SELECT phone FROM reporting.customers_history WHERE customer_id = $1 ORDER BY valid_from"
    assert [row["phone"] for row in await bench.fetch(query, key)] == ["061", "062", "063"]


@pytest.mark.parametrize("step", [timedelta(0), timedelta(hours=-4), timedelta(days=-30)], ids=str)
async def test_versions_follow_one_another_whatever_the_clock_does(make_bench: MakeBench, step: timedelta) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    start = bench.time.now()
    await bench.sync(STREAM)
    watch = Watch(bench.db, (CUSTOMERS, NUMBERS))
    for number in range(4):
        key = rename(bench, f"Name {number}", number=f"06 {number}")
        bench.time.at = start + (step if number % 2 else timedelta(0))
        assert (await bench.sync(STREAM, "sweep")).counts.updated == 1
        await watch.look()
    names = [row["name"] for row in await versions(bench, key)]
    assert names[1:] == ["Name 0", "Name 1", "Name 2"]
    assert len(await versions(bench, key, table="cyclesoftware_customer_phone_numbers")) == 4
    assert await watch.faults() == []


async def test_every_way_of_writing_keeps_versions(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, time=WallClock(), **SIZES)
    await bench.sync(STREAM)
    watch = Watch(bench.db, (CUSTOMERS, NUMBERS))
    await watch.look()

    key = rename(bench, "by a run")
    assert (await bench.sync(STREAM)).counts.updated == 1
    rename(bench, "by a sweep")
    assert (await bench.sync(STREAM, "sweep")).counts.updated == 1
    rename(bench, "by a backfill")
    since = bench.time.now() - timedelta(days=4000)
    assert (await bench.sync(STREAM, "backfill", since=since)).counts.updated == 1
    await watch.look()
    config = bench.config_file()
    rename(bench, "by verify")
    assert await verify.verify_streams(config, [STREAM], pages=0, repair=True, as_json=True) == 0
    await watch.look()
    record = first_customer(bench) | {"name": "by replay"}
    await bench.fetch(
        "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at)"
        " VALUES ('shop', 'customers', '', $1, '', 1, $2, $2)",
        json.dumps(record), bench.time.now() + timedelta(minutes=1),
    )  # fmt: skip
    await rejects.replay_rejects(config, [STREAM], as_json=True)
    await watch.look()
    rename(bench, "at last")
    await bench.sync(STREAM)

    names = [row["name"] for row in await versions(bench, key)]
    assert names[1:] == ["by a run", "by a sweep", "by a backfill", "by verify", "by replay"]
    assert await watch.faults() == []


async def test_riders_are_kept_by_the_setting_of_their_own_stream(make_bench: MakeBench) -> None:
    extra = "[sources.parts.streams.urgent_messages]\nhistory = true\n"
    bench = await make_bench(extra=extra, **SIZES)
    await bench.sync("parts.orders")
    [message, *_] = bench.sandbox.truth("ghs", "urgent_messages")
    order = bench.sandbox.truth("ghs", "orders")[0]
    bench.sandbox.put("ghs", "urgent_messages", message | {"message": "anders"})
    bench.sandbox.put("ghs", "orders", order | {"externalOrderId": "anders"})
    bench.time.pass_by(minutes=20)
    await bench.sync("parts.orders")
    [kept] = await bench.fetch("SELECT * FROM history.ghs_urgent_messages")
    assert kept["message"] == message["message"]
    assert await bench.rows("ghs.orders", "external_order_id = 'anders'")
    assert await bench.fetch("SELECT FROM history.ghs_orders") == []


# --- Off and on -------------------------------------------------------------------------------------------------------


async def test_without_it_nothing_is_kept_and_rows_are_written_by_one_statement_a_table(make_bench: MakeBench) -> None:
    bench = await make_bench(**SIZES)
    said: list[str] = []

    def hear(query: asyncpg.connection.LoggedQuery) -> None:
        said.append(query.query)

    await bench.sync(STREAM)
    rename(bench, "Nieuw", number="0600000000")
    async with bench.db.connection() as conn:
        conn.add_query_logger(hear)
    await bench.sync(STREAM)
    assert len([query for query in said if 'UPDATE "cyclesoftware"' in query]) == 2
    assert [query for query in said if "history" in query or "syncd.changes" in query] == []
    assert await bench.fetch("SELECT FROM history.cyclesoftware_customers") == []
    assert await bench.fetch("SELECT FROM syncd.changes") == []


async def test_what_changed_while_it_was_off_is_a_gap_that_no_version_claims(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    times = []
    for name, is_on in (("one", True), ("two", False), ("three", False), ("four", True)):
        bench.syncer.reconfigure(reconfigured(bench.syncer.config, history=is_on))
        bench.time.pass_by(minutes=20)
        key = rename(bench, name)
        await bench.sync(STREAM)
        [row] = await bench.rows(CUSTOMERS, f"customer_id = {key}")
        times.append(row["_changed_at"])
    found = await versions(bench, key)
    assert [row["name"] for row in found][1:] == ["three"]
    assert [(row["valid_from"], row["valid_to"]) for row in found][1:] == [(times[2], times[3])]
    past = await bench.fetch("SELECT FROM reporting.customers_as_of($1) WHERE customer_id = $2", times[1], key)
    assert past == []


async def test_a_mirror_that_was_restored_without_its_history_goes_on(make_bench: MakeBench) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    bench.time.pass_by(minutes=20)
    key = rename(bench, "Nieuw")
    await bench.sync(STREAM)
    await bench.fetch(
        "UPDATE cyclesoftware.customers c SET name = h.name, _changed_at = h.valid_from, _hash = NULL"
        " FROM history.cyclesoftware_customers h WHERE h.customer_id = c.customer_id"
    )
    bench.time.pass_by(days=1)
    result = await bench.sync(STREAM, "sweep")
    assert (result.outcome, result.counts.updated) == ("ok", 1)
    assert len(await versions(bench, key)) == 1


# --- Asking for the past ----------------------------------------------------------------------------------------------


async def shown(bench: Bench, source: str, columns: str) -> list[asyncpg.Record]:
    rows = await bench.fetch(f"SELECT {columns} FROM {source}")
    return sorted(rows, key=repr)


async def columns_of(bench: Bench, view: str) -> str:
    """Return the columns that a view and its past share, as they are shown; of the past, twins may be missing."""
    listed = {row["attname"]: row["attnum"] for row in await bench.fetch(
        "SELECT attname, attnum FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0",
        f"reporting.{view}",
    )}  # fmt: skip
    async with bench.db.connection() as conn:
        past = await conn.prepare(f"SELECT * FROM reporting.{view}_as_of(now())")
        twins = {name for name in listed if re.sub("_(decimal|float)$", "", name) in listed.keys() - {name}}
        missing = twins - {attribute.name for attribute in past.get_attributes()}
    names = [name for name in listed if name not in TOLD_TODAY[view] | missing]
    assert len(names) > 5
    return ", ".join(names)


@trial
@pytest.mark.parametrize("seed", [1, 2])
async def test_the_past_is_what_the_views_showed_then(make_bench: MakeBench, seed: int) -> None:
    bench = await make_bench(keeps=True, seed=seed, **SIZES)
    columns = {view: await columns_of(bench, view) for view in TOLD_TODAY}
    moments: dict[datetime, Mapping[str, list[asyncpg.Record]]] = {}
    for _ in range(5):
        for stream in STREAMS:
            assert (await bench.sync(stream)).outcome == "ok"
        bench.time.pass_by(seconds=1)
        moments[bench.time.now()] = {
            view: await shown(bench, f"reporting.{view}", names) for view, names in columns.items()
        }
        bench.time.pass_by(minutes=30)
        bench.sandbox.evolve(40)
        rename(bench, f"At {bench.time.now():%H:%M}", number=f"06 {bench.time.now():%H%M}")
    different = set()
    for at, views in moments.items():
        for view, rows in views.items():
            assert await shown(bench, f"reporting.{view}_as_of('{at.isoformat()}')", columns[view]) == rows, (view, at)
            different.add((view, repr(rows)))
    changed = {view for view in columns if sum(view == name for name, _ in different) > 1}
    assert changed >= {"customers", "stock_objects", "stock", "lease_orders", "vehicles"}, changed


async def test_a_question_about_one_row_reads_an_index_and_no_function(make_bench: MakeBench) -> None:
    bench = await make_bench(**SIZES)
    async with bench.db.connection() as conn, conn.transaction():
        await conn.execute("SET LOCAL enable_seqscan = off")
        for view, key in (
            ("customers", "customer_id = 7"),
            ("vehicles", "vehicle_id = 'V1'"),
            ("parts", "product_id = '1'"),
        ):
            found = await conn.fetch(
                f"EXPLAIN SELECT * FROM reporting.{view}_as_of(now()) WHERE source = 's' AND {key}"
            )
            plan = "\n".join(row[0] for row in found)
            assert "Function Scan" not in plan
            assert "Index Cond: ((source = 's'::text) AND" in plan, plan
        [*_, plan] = await conn.fetch("EXPLAIN SELECT * FROM reporting.stock_as_of(now())")
        assert "Function Scan" not in plan[0]


async def test_a_reader_of_the_views_may_ask_for_the_past_but_not_read_what_lies_below(bench: Bench) -> None:
    async with bench.db.connection() as conn:
        undone = conn.transaction()
        await undone.start()
        try:
            await conn.execute("CREATE ROLE analyst_of_the_past; GRANT analyst_of_the_past TO current_user")
            await conn.execute("GRANT USAGE ON SCHEMA reporting TO analyst_of_the_past")
            await conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO analyst_of_the_past")
            await conn.execute("SET LOCAL ROLE analyst_of_the_past")
            assert await conn.fetch("SELECT * FROM reporting.customers_as_of(now())") == []
            assert await conn.fetch("SELECT * FROM reporting.stock_as_of(now())") == []
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.fetch("SELECT * FROM history.cyclesoftware_customers")
        finally:
            await undone.rollback()


# --- How long it is kept ----------------------------------------------------------------------------------------------


async def test_versions_that_ended_long_ago_are_deleted_in_batches(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    monkeypatch.setattr(retention, "PRUNE_BATCH", 2)
    await bench.sync(STREAM)
    ends = []
    for day in range(8):
        bench.time.pass_by(days=1)
        key = rename(bench, f"Day {day}", number=f"06 {day}")
        await bench.sync(STREAM)
        ends.append(bench.time.now())
    before = {"versions": ends[4] + timedelta(hours=1)}
    assert await retention.prune(bench.db, before) == {"versions": 10}
    assert [row["name"] for row in await versions(bench, key)] == ["Day 4", "Day 5", "Day 6"]
    assert len(await versions(bench, key, table="cyclesoftware_customer_phone_numbers")) == 3
    assert await retention.prune(bench.db, before) == {"versions": 0}

"""`syncd backfill --in-service`: the service walks the parts, and the command shows how far all of them are."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from syncd.cli.asked import PART, split
from syncd.sandbox import Limits
from syncd.service import house
from tests.support.bench import Bench, MakeBench
from tests.support.command import syncd
from tests.support.daemon import Now, count, serving, write

SINCE, NOW = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now(), limits=Limits(per_minute=10_000, per_day=100_000), customers=30)


def test_a_range_is_divided_into_parts_that_meet_and_end_where_it_ends() -> None:
    assert split(SINCE, SINCE + PART, now=NOW) == [(SINCE, SINCE + PART)]
    parts = split(SINCE, SINCE + PART + timedelta(days=1), now=NOW)
    assert parts == [(SINCE, SINCE + PART), (SINCE + PART, SINCE + PART + timedelta(days=1))]
    opened = split(SINCE, None, now=NOW)
    assert [end for _, end in opened[:-1]] == [begin for begin, _ in opened[1:]]
    assert (len(opened), opened[0][0], opened[-1][1]) == (4, SINCE, None)
    assert split(SINCE, None, now=NOW + PART)[:3] == opened[:3]  # the same ones however late it is asked for again


async def test_the_daemon_walks_what_it_is_asked_for_and_the_command_shows_how_far_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "FOLLOW_S", 0.2)
    streams = {"shop.customers": 'every = "1h"', "shop.sales_orders": 'every = "1h"\nfrom = "2026-11-01"'}
    path = write(bench, streams)
    words = ("backfill", "shop", "--since", "2025-01-01", "--in-service", "--config", str(path))
    assert (await syncd(*words[:-2], "--withdraw", *words[-2:])).code == 0
    async with serving(path):
        first = await syncd(*words, "--json")
        assert first.code == 0, first.err
        told = json.loads(first.out)
        assert (told["parts"]["parts"], told["parts"]["ok"], told["failed"]) == (5, 5, [])  # customers, and 4 of orders
        runs = await bench.fetch("SELECT stream, outcome, pid FROM syncd.runs WHERE kind = 'backfill'")
        assert sorted(row["stream"] for row in runs) == ["customers", *["sales_orders"] * 4]
        assert {(row["outcome"], row["pid"]) for row in runs} == {("ok", os.getpid())}
        assert told["parts"]["rows"] == (await bench.fetch("SELECT sum(rows_seen) AS n FROM syncd.runs"
                                                           " WHERE kind = 'backfill'"))[0]["n"] > 0  # fmt: skip

        again = await syncd(*words)
        assert (again.code, "5 of 5 parts complete" in again.err) == (0, True), again.err
        assert await count(bench, "syncd.runs WHERE kind = 'backfill'") == 5  # nothing is walked twice
        once_more = await syncd(*words, "--again")
        assert once_more.code == 0, once_more.err
        assert await count(bench, "syncd.runs WHERE kind = 'backfill'") == 10


async def test_what_nobody_walks_waits_and_can_be_withdrawn_and_a_failure_is_told_and_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "FOLLOW_S", 0.2)
    path = write(bench, {"shop.customers": 'every = "1h"'})
    words = ("backfill", "shop.customers", "--since", "2025-01-01", "--config", str(path))
    refused = await syncd(*words, "--withdraw")
    assert (refused.code, "--in-service" in refused.err) == (2, True)
    await bench.fetch(
        "INSERT INTO syncd.backfills (source, stream, since, asked_at) VALUES ('shop', 'customers', $1, now())", SINCE
    )
    assert (await syncd(*words, "--since", "2024-12-31T23:00:00Z", "--in-service", "--withdraw")).code == 0
    assert await count(bench, "syncd.backfills") == 1  # another range
    await bench.fetch("DELETE FROM syncd.backfills")
    async with serving(path):
        bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="customers")
        failed = await syncd(*words, "--in-service")
        assert (failed.code, "403" in failed.err) == (1, True), failed.err
        bench.sandbox.faults.clear()
        mended = await syncd(*words, "--in-service")
        assert (mended.code, "1 of 1 part complete" in mended.err) == (0, True), mended.err
    [row] = await bench.fetch("SELECT outcome, error, finished_at > asked_at AS is_later FROM syncd.backfills")
    assert (row["outcome"], row["error"], row["is_later"]) == ("ok", None, True)

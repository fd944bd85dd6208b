"""What the status tells of each stream: fresh, late, failing, paused, off, under way."""

import asyncio
import json
import re
import time
from datetime import timedelta

import msgspec
import pytest

from syncd import config as configuration
from syncd import log, status
from syncd.sandbox import CREDENTIALS
from syncd.sources import registry, specs
from syncd.status import Status, StreamStatus
from syncd.status.cache import REST, Cache
from syncd.status.facts import Facts
from syncd.storage.postgres.database import Database
from syncd.storage.state import retention, runs
from tests.support.bench import Bench, MakeBench
from tests.support.past_runs import add_run


async def look(bench: Bench) -> Status:
    return await status.collect(bench.db, bench.config, registry(), now=bench.time.now())


async def look_at(bench: Bench, selector: str) -> StreamStatus:
    source, _, stream = selector.partition(".")
    found = (await look(bench)).stream(source, stream)
    assert found is not None
    return found


async def test_a_stream_that_never_ran(bench: Bench) -> None:
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.last_run, found.freshness_s, found.cursor) == ("never", None, None, None)
    assert found.why == "no run has succeeded yet"
    assert found.cursor_words == "no cursor yet: the next run reads from the beginning"
    assert found.next_run_at == bench.time.now()
    assert found.rows == status.Rows(alive=0, deleted=0)
    assert found.schedule == "every 5 min, sweep every 7 days"


async def test_a_stream_is_fresh_after_a_good_run_and_late_when_the_next_ones_are_missing(bench: Bench) -> None:
    started_at = bench.time.now()
    await bench.sync("shop.customers")
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.why, found.last_ok_at) == ("fresh", "", started_at)
    assert found.last_run is not None
    assert (found.last_run.kind, found.last_run.outcome) == ("live", "ok")
    assert found.last_run.rows_inserted == len(bench.sandbox.truth("cyclesoftware", "customers"))
    assert found.next_run_at == started_at + timedelta(minutes=5)
    assert found.cursor_words.startswith("resumes at 2026-11-22 10:00:00 Europe/Amsterdam")
    bench.time.at = started_at + timedelta(minutes=10, seconds=59)
    assert (await look_at(bench, "shop.customers")).state == "fresh"
    bench.time.at = started_at + timedelta(minutes=11)
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.freshness_s) == ("late", 660.0)
    assert found.why == "the last good run started 11 min ago"


@pytest.mark.parametrize(
    ("fault", "state", "error_kind", "words"),
    [
        ("scope-revoked", "paused", "ScopeMissing", "answered 403"),
        ("bad-credentials", "paused", "BadCredentials", "answered 401"),
        ("not-found-list", "failing", "NotFound", "answered 404"),
        ("html-200", "failing", "Unreachable", "an HTML page"),
    ],
)
async def test_a_failing_stream_says_why_until_a_run_succeeds(
    bench: Bench, fault: str, state: str, error_kind: str, words: str
) -> None:
    await bench.sync("shop.customers")
    bench.time.pass_by(minutes=1)
    bench.sandbox.faults.add(fault, api="cyclesoftware")
    await bench.sync("shop.customers")
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.last_run and found.last_run.error_kind) == (state, error_kind)
    assert words in found.why
    assert found.freshness_s is not None
    assert found.freshness_s >= 60
    bench.sandbox.faults.clear()
    await bench.sync("shop.customers")
    assert (await look_at(bench, "shop.customers")).state == "fresh"


async def test_a_run_under_way_is_shown_with_its_progress(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=400, page_size=100)
    bench.sandbox.faults.add("hang", api="cyclesoftware", stream="customers", after=2)
    running = asyncio.create_task(bench.sync("shop.customers"))
    async with asyncio.timeout(10):
        found = await look_at(bench, "shop.customers")
        while found.running is None or not found.running.rows_seen:
            found = await look_at(bench, "shop.customers")
    assert found.state == "running"
    assert found.running.rows_seen >= 100
    assert "pass" in found.cursor
    words = (
        r"resumes within a pass over everything, offset [1-9]\d+, in the pass that began 2026-11-22 10:00:00 Europe/.+"
    )
    assert re.fullmatch(words, found.cursor_words)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.running) == ("never", None)


async def test_a_run_whose_process_died_is_failing_not_running(bench: Bench) -> None:
    await bench.sync("shop.customers")
    await add_run(bench, "shop.customers", "running")
    found = await look_at(bench, "shop.customers")
    assert (found.state, found.running) == ("failing", None)
    assert "without a word" in found.why
    assert await runs.recover(bench.db, now=bench.time.now()) == 1
    assert await runs.recover(bench.db, now=bench.time.now()) == 0
    assert (await look_at(bench, "shop.customers")).state == "failing"
    await bench.sync("shop.customers")
    assert (await look_at(bench, "shop.customers")).state == "fresh"


async def test_a_run_that_begins_or_ends_during_the_look_is_not_called_dead(bench: Bench) -> None:
    """Looks and short runs go on side by side, so that runs begin and end between any two statements of a look."""
    pair, states, other = ("shop", "customers"), list[str](), Database(bench.db_url, "here")

    async def run_again_and_again() -> None:
        spent = runs.Spent(0, 0.0)
        while True:
            run = await runs.open_run(
                bench.db, *pair, kind="live", lane="live", cursor_kind="live", now=bench.time.now()
            )
            await runs.close_run(bench.db, run, outcome="ok", spent=spent, now=bench.time.now())
            await bench.db.unlock(runs.stream_lock(*pair, "live"))

    working = asyncio.create_task(run_again_and_again())
    async with asyncio.timeout(60):
        while states.count("running") < 30:
            other.drop_idle()  # a session's first statement takes the longest from its snapshot to its end
            facts = await Facts.read_standing(other, [pair], {})
            run, is_dead = facts.open_run(pair, "live", "sweep")
            states.append("dead" if is_dead else "running" if run else "closed")
            assert not working.done() or working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await other.close()
    assert "dead" not in states
    assert "closed" in states


async def test_recover_leaves_alone_what_is_under_way(bench: Bench) -> None:
    assert await bench.db.try_lock(runs.stream_lock("shop", "customers", "live"))
    await add_run(bench, "shop.customers", "running")
    await add_run(bench, "shop.customers", "running", kind="backfill")
    assert await runs.recover(bench.db, now=bench.time.now()) == 1
    left = await bench.fetch("SELECT kind FROM syncd.runs WHERE outcome = 'running'")
    assert [row["kind"] for row in left] == ["live"]
    assert (await look_at(bench, "shop.customers")).state == "running"


async def test_a_run_that_was_asked_to_stop_proves_nothing(bench: Bench) -> None:
    await bench.sync("shop.customers")
    stop = asyncio.Event()
    stop.set()
    assert (await bench.sync("shop.customers", stop=stop)).outcome == "aborted"
    found = await look_at(bench, "shop.customers")
    assert found.state == "fresh"
    assert found.last_run is not None
    assert found.last_run.outcome == "ok"


async def test_streams_that_are_off_say_so(make_bench: MakeBench) -> None:
    bench = await make_bench(
        extra=(
            "[sources.shop.streams.customers]\nenabled = false\n"
            '[sources.empty]\ntype = "ghs"\nbase_url = "http://127.0.0.1:1"\n'
            'api_key = "k"\nusername = "u"\npassword = "p"\n'
        )
    )
    customers = await look_at(bench, "shop.customers")
    assert (customers.state, customers.why) == ("disabled", "disabled (enabled = false)")
    assert customers.next_run_at is None
    products = await look_at(bench, "empty.products")
    assert products.state == "off"
    assert "has no keys to look up" in products.why
    found = await look(bench)
    off = [stream for source in registry().values() for stream in source.streams if not stream.is_on]
    assert found.summary["disabled"] == 1 + len(off), "customers, and those that are off by default"
    assert sum(found.summary.values()) == len(found.streams)
    on = len(found.streams) - found.summary["disabled"] - found.summary["off"]
    assert found.line == f"{on} streams: {on} never"


async def test_a_refused_sweep_stays_visible_though_live_runs_go_well(bench: Bench) -> None:
    await bench.sync("shop.customers")
    bench.sandbox.faults.add("empty-list", api="cyclesoftware", stream="customers")
    bench.time.pass_by(minutes=1)
    await bench.sync("shop.customers", kind="sweep")
    bench.sandbox.faults.clear()
    await bench.sync("shop.customers")
    found = await look_at(bench, "shop.customers")
    assert found.state == "fresh"
    assert found.why.startswith("the last sweep failed: ")
    assert status.is_sweep_refused(found)
    assert found.rows is not None
    assert found.rows.deleted == 0


async def test_rows_rejects_and_drift_are_counted_by_source(bench: Bench) -> None:
    await bench.sync("shop.customers")
    gone = bench.sandbox.truth("cyclesoftware", "customers")[0]["customer_id"]
    bench.sandbox.delete("cyclesoftware", "customers", gone)
    bench.sandbox.faults.add("missing-key", api="cyclesoftware", stream="customers", times=1)
    bench.sandbox.faults.add("unknown-field", api="cyclesoftware", stream="customers", times=1)
    bench.time.pass_by(minutes=1)
    await bench.sync("shop.customers", kind="sweep")
    found = await look_at(bench, "shop.customers")
    stored = await bench.fetch("SELECT count(*), count(_deleted_at) FROM cyclesoftware.customers")
    assert found.rows == status.Rows(alive=stored[0][0] - stored[0][1], deleted=stored[0][1])
    assert found.rejects == len(await bench.fetch("SELECT FROM syncd.rejects")) > 0
    assert found.drift_count == len(found.drift) == len(await bench.fetch("SELECT FROM syncd.drift")) > 0
    assert (await look_at(bench, "shop.stores")).rows == status.Rows(alive=0, deleted=0)


async def test_budgets_are_shown_as_they_stand_now(bench: Bench) -> None:
    await bench.sync("shop.customers")
    shop = next(source for source in (await look(bench)).sources if source.source == "shop")
    assert shop.budget is not None
    assert shop.budget.minute_limit is not None
    assert shop.budget.minute_used_live >= 1
    used = shop.budget.day_used_live
    bench.time.pass_by(minutes=5)
    shop = next(source for source in (await look(bench)).sources if source.source == "shop")
    assert shop.budget is not None
    assert (shop.budget.minute_used_live, shop.budget.day_used_live) == (0, used)
    assert next(source for source in (await look(bench)).sources if source.source == "cars").budget is None


async def test_a_backfill_under_way_is_listed(bench: Bench) -> None:
    assert await bench.db.try_lock(runs.stream_lock("cars", "vehicles", "backfill"))
    await add_run(bench, "cars.vehicles", "running", kind="backfill", rows_seen=40, pages=2, rows_expected=100)
    await bench.fetch(
        "INSERT INTO syncd.cursors VALUES ('cars', 'vehicles', 'backfill 2025-01-01T00:00:00+00:00..', '{}', $1)",
        bench.time.now(),
    )
    found = (await look(bench)).backfills
    assert [(one.source, one.stream, one.range) for one in found] == [
        ("cars", "vehicles", "2025-01-01T00:00:00+00:00..")
    ]
    assert (found[0].run.rows_seen, found[0].run.rows_expected) == (40, 100)
    await bench.db.unlock(runs.stream_lock("cars", "vehicles", "backfill"))
    assert (await look(bench)).backfills == []


async def test_the_status_is_json_without_secrets_and_needs_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for selector in ("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"):
        await bench.sync(selector)
    path = bench.config_file()
    text = path.read_text().replace(json.dumps(CREDENTIALS["cyclesoftware"]["password"]), '{ env = "NOT_SET" }')
    path.write_text(text)
    monkeypatch.delenv("NOT_SET", raising=False)
    unresolved = configuration.load(path, specs(), resolve_secrets=False)
    found = await status.collect(bench.db, unresolved, registry(), now=bench.time.now())
    encoded = msgspec.json.encode(found)
    assert msgspec.json.decode(encoded, type=Status) == found
    for credentials in CREDENTIALS.values():
        for name, value in credentials.items():
            if name in ("password", "api_key", "api_token"):
                assert str(value).encode() not in encoded


async def test_errors_are_masked_once_more(bench: Bench) -> None:
    log.protect("hunter2-of-the-status")
    await add_run(
        bench, "shop.customers", "failed", error="said hunter2-of-the-status", error_kind="BadPayload",
        finished_at=bench.time.now(),
    )  # fmt: skip
    found = await look_at(bench, "shop.customers")
    assert found.why == "said ***"
    assert b"hunter2" not in msgspec.json.encode(found)


async def test_a_reader_collects_once_for_all_who_ask_at_once(bench: Bench) -> None:
    reader = status.StatusReader(
        registry(), config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now
    )
    began_at = time.monotonic()
    first, *others = await asyncio.gather(*(reader.status() for _ in range(10)))
    assert all(other is first for other in others)
    bench.time.pass_by(seconds=2 + REST * (time.monotonic() - began_at))  # what took long on a busy machine is kept so
    assert await reader.status() is not first


async def test_what_is_dear_to_make_is_kept_for_longer(bench: Bench) -> None:
    made = []

    async def make() -> int:
        made.append(bench.time.now())
        if len(made) == 1:
            await asyncio.sleep(0.2)  # what takes time is the point
        return len(made)

    kept = Cache[int](1.0, bench.time.now)
    assert await asyncio.gather(*(kept.get(make) for _ in range(5))) == [1] * 5
    bench.time.pass_by(seconds=1.5)
    assert await kept.get(make) == 1
    bench.time.pass_by(seconds=60)
    assert await kept.get(make) == 2
    bench.time.pass_by(seconds=1.5)
    assert await kept.get(make) == 3
    bench.time.pass_by(hours=-1)  # a clock that was set back keeps nothing for an hour
    assert await kept.get(make) == 4


async def test_old_runs_and_rejects_are_pruned_but_not_what_the_schedule_goes_by(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PRUNE_BATCH", 1)  # each batch goes on where the one before ended
    then, now = bench.time.now() - timedelta(days=100), bench.time.now()
    for day, (kind, outcome) in enumerate(
        [("live", "failed"), ("live", "ok"), ("live", "ok"), ("sweep", "ok"), ("live", "ok"), ("live", "failed")]
    ):
        await add_run(bench, "shop.customers", outcome, kind=kind, started_at=then + timedelta(days=day))
    await add_run(bench, "shop.customers", "failed", started_at=now)
    for fingerprint, seen_at in ((b"old", then), (b"new", now)):
        await bench.fetch(
            "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at,"
            " last_seen_at) VALUES ('shop', 'customers', 'no key', '{}', $1, 1, $2, $3)",
            fingerprint, then, seen_at,
        )  # fmt: skip
    before = dict.fromkeys(("runs", "rejects"), now - timedelta(days=50))
    assert await retention.prune(bench.db, before) == {"runs": 3, "rejects": 1}
    left = await bench.fetch("SELECT kind, outcome, started_at FROM syncd.runs ORDER BY run_id")
    days = [(row["kind"], row["outcome"], (row["started_at"] - then).days) for row in left]
    assert days == [("live", "ok", 1), ("sweep", "ok", 3), ("live", "ok", 4), ("live", "failed", 100)]
    assert [row["fingerprint"] for row in await bench.fetch("SELECT fingerprint FROM syncd.rejects")] == [b"new"]
    assert await retention.prune(bench.db, before) == {"runs": 0, "rejects": 0}


async def test_histories_give_a_starting_scheduler_what_it_must_know(bench: Bench) -> None:
    pairs = [("shop", "customers"), ("shop", "stores")]
    first_at = bench.time.now()
    await bench.sync("shop.customers")
    bench.time.pass_by(minutes=5)
    latest_at = bench.time.now()
    await bench.sync("shop.customers")
    found = await status.histories(bench.db, pairs)
    customers = found["shop", "customers"]
    assert (customers.ok_at, customers.swept_at, customers.sweep_failures) == (latest_at, first_at, 0)
    assert found["shop", "stores"].ok_at is None
    bench.sandbox.faults.add("empty-list", api="cyclesoftware", stream="customers")
    bench.time.pass_by(minutes=5)
    await bench.sync("shop.customers", kind="sweep")
    customers = (await status.histories(bench.db, pairs))["shop", "customers"]
    assert (customers.sweep_failures, customers.sweep_error_kind) == (1, "SweepRefused")

"""What the status says of streams in every state, from real runs against the sandbox."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from syncd import config as configuration
from syncd import log, status
from syncd.sandbox import CREDENTIALS
from syncd.sources import registry, specs
from syncd.status import Status, StreamStatus
from syncd.status.cache import REST, Cache
from syncd.storage.state import retention, runs
from syncd.upstream import budget
from tests.support.bench import Bench, MakeBench


async def look(bench: Bench) -> Status:
    return await status.collect(bench.db, bench.config, registry(), now=bench.time.now())


async def look_at(bench: Bench, selector: str) -> StreamStatus:
    source, _, stream = selector.partition(".")
    found = (await look(bench)).stream(source, stream)
    assert found is not None
    return found


async def add_run(bench: Bench, selector: str, outcome: str, *, kind: str = "live", **columns: Any) -> None:
    source, _, stream = selector.partition(".")
    lane = "backfill" if kind == "backfill" else "live"
    values = {"source": source, "stream": stream, "kind": kind, "outcome": outcome, "started_at": bench.time.now()}
    values |= {"lane": lane, **columns}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await bench.fetch(f"INSERT INTO syncd.runs ({', '.join(values)}) VALUES ({places})", *values.values())


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


# --- The last 24 hours ------------------------------------------------------------------------------------------------


def reader_of(bench: Bench) -> status.StatusReader:
    return status.StatusReader(registry(), config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now)


async def add_day(bench: Bench, selector: str, minutes_ago: list[float], outcome: str = "ok", **columns: Any) -> None:
    """Add runs of one minute each that began so long ago."""
    for minutes in minutes_ago:
        began_at = bench.time.now() - timedelta(minutes=minutes)
        ended_at = began_at + timedelta(minutes=1)
        await add_run(bench, selector, outcome, started_at=began_at, finished_at=ended_at, **columns)


async def test_a_day_is_told_in_half_hours_by_lane_and_outcome(bench: Bench) -> None:
    bench.time.pass_by(minutes=10)  # 09:10: the last slot began at 09:00
    await add_day(bench, "shop.customers", [24 * 60 + 5], rows_inserted=99)
    await add_day(bench, "shop.customers", [75, 5], rows_inserted=3, rows_updated=2, rows_deleted=1, requests=4)
    await add_day(bench, "lease.orders", [70], "failed", error_kind="BadPayload", requests=7)
    await add_day(bench, "cars.vehicles", [65], kind="backfill", requests=11, rows_updated=5)
    await add_run(bench, "shop.stores", "running", requests=2, rows_inserted=10)
    reader = reader_of(bench)
    day = await reader.day()
    assert len(day) == 48
    assert (day[0].begins_at, day[-1].begins_at) == (
        datetime(2026, 11, 21, 9, 30, tzinfo=UTC), datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    )  # fmt: skip
    told = [
        (
            place,
            slot.ok,
            slot.bad,
            slot.inserted,
            slot.updated,
            slot.deleted,
            slot.requests_live,
            slot.requests_backfill,
        )
        for place, slot in enumerate(day)
        if slot.ok or slot.bad or slot.inserted
    ]
    assert told == [(44, 1, 0, 3, 2, 1, 4, 0), (45, 1, 1, 0, 5, 0, 7, 11), (47, 1, 0, 13, 2, 1, 6, 0)]
    assert [slot.longest_s for slot in day[44:]] == [60, 60, None, 60]
    found = (await reader.stream_days([("shop", "customers")]))["shop", "customers"]
    assert [(place, slot.inserted) for place, slot in enumerate(found.slots) if slot.inserted] == [(44, 3), (47, 3)]


async def test_freshness_is_told_by_half_hours_from_the_run_before_them(bench: Bench) -> None:
    bench.time.pass_by(minutes=10)
    every = [*range(24 * 60 + 20, 600, -5), *range(500, 20, -5)]  # every 5 min, but for 100 min in the morning
    await add_day(bench, "shop.customers", [float(minutes) for minutes in every])
    await add_day(bench, "shop.customers", [303], "failed", error_kind="BadPayload")
    found = (await reader_of(bench).stream_days([("shop", "customers")]))["shop", "customers"]
    levels = [one.level for one in found.freshness]
    # the run 605 min ago began at 23:05, and the next one ended at 00:51; one failed at 04:07; the last began at 08:45
    assert {place: level for place, level in enumerate(levels) if level != "fresh"} == {
        27: "late", 28: "late", 29: "late", 30: "late", 37: "failed", 46: "late", 47: "late",
    }  # fmt: skip
    ages = {place: round((found.freshness[place].age_s or 0) / 60) for place in (0, 27, 28, 29, 30, 31, 47)}
    assert ages == {0: 6, 27: 25, 28: 55, 29: 85, 30: 106, 31: 6, 47: 25}
    assert found.late_s == 11 * 60
    assert found.words == "late in 6 and with failed runs in 1 of 48 half hours"


async def test_a_stream_without_a_good_run_has_no_age(bench: Bench) -> None:
    await add_day(bench, "shop.customers", [200], "failed", error_kind="BadPayload")
    days = await reader_of(bench).stream_days([("shop", "customers"), ("shop", "stores")])
    found = days["shop", "customers"]
    assert {one.level for one in found.freshness} == {"none", "failed"}
    assert {one.age_s for one in found.freshness} == {found.late_s} == {None}
    assert days["shop", "stores"].words == "no good run yet"
    assert await reader_of(bench).stream_days([("shop", "gone"), ("gone", "customers")]) == {}


async def test_one_good_run_long_ago_counts_for_the_whole_day(bench: Bench) -> None:
    await add_day(bench, "shop.customers", [48 * 60])
    found = (await reader_of(bench).stream_days([("shop", "customers")]))["shop", "customers"]
    assert {one.level for one in found.freshness} == {"late"}
    assert found.freshness[-1].age_s == 48 * 3600


def run_so_far(**values: Any) -> status.RunStatus:
    counts = dict.fromkeys(("requests", "pages", *(f"rows_{c}" for c in ("seen", "inserted", "updated"))), 0)
    counts |= {f"rows_{name}": 0 for name in ("unchanged", "deleted", "rejected")}
    defaults = {
        "run_id": 1, "kind": "backfill", "outcome": "running", "started_at": datetime(2026, 11, 22, 9, tzinfo=UTC),
        "finished_at": None, "rows_expected": None, "budget_wait_s": 0.0, "error": None, "error_kind": None,
    }  # fmt: skip
    return status.RunStatus(**{**defaults, **counts, **values})


@pytest.mark.parametrize(
    ("run", "options", "share", "left_s"),
    [
        ({}, {}, None, None),
        ({"rows_seen": 100}, {}, None, None),
        ({"rows_seen": 100, "rows_expected": 400, "requests": 4}, {}, 0.25, 180),
        ({"rows_seen": 100, "rows_expected": 400}, {"mirrored": 1000}, 0.25, 180),
        ({"rows_seen": 100, "requests": 4}, {"mirrored": 1000}, 0.1, 540),
        ({"rows_seen": 100}, {"mirrored": 99}, None, None),  # more than were mirrored: nobody knows
        ({"rows_seen": 0}, {"mirrored": 99}, 0, None),
        # resumed at 300: what is left goes at the pace of this run
        ({"rows_seen": 100, "rows_expected": 1000}, {"cursor": {"pass": {"offset": 400}}}, 0.4, 360),
        (
            {"rows_seen": 7},
            {"cursor": {"reached": "2026-01-04T00:00:00Z"}, "walked": "2026-01-01T00:00:00Z..2026-01-11T00:00:00Z"},
            0.3,
            140,
        ),
        ({"rows_seen": 7}, {"cursor": {"reached": "garbage"}, "walked": "2026-01-01.."}, None, None),
        ({"rows_seen": 7, "rows_expected": 14}, {"cursor": {"pass": "odd"}, "walked": "odd"}, 0.5, 60),
    ],
)
def test_how_far_a_run_is(run: dict[str, Any], options: dict[str, Any], share: float | None, left_s: Any) -> None:
    now = datetime(2026, 11, 22, 9, 1, tzinfo=UTC)
    found = status.progress_of(run_so_far(**run), now=now, **options)
    if share is None:
        assert found is None
    else:
        assert found is not None
        assert found.share == pytest.approx(share)
        assert found.left_s == (None if left_s is None else pytest.approx(left_s))


def test_what_is_left_waits_for_the_budget_of_its_lane() -> None:
    now = datetime(2026, 11, 22, 9, 1, tzinfo=UTC)
    state = budget.State(limits=budget.Limits(minute=60, day=1000), day=budget.Day(ends_at=now.timestamp() + 36_000))
    run = run_so_far(rows_seen=100, rows_expected=1000, requests=10)
    found = status.progress_of(run, now=now, purse=(state, budget.Policy()))
    assert found is not None
    assert found.requests_left == 90
    assert found.left_s == 540  # at the pace so far, which the budget allows
    slower = status.progress_of(run, now=now, purse=(state, budget.Policy(per_minute=2)))
    assert slower is not None
    assert slower.left_s is not None
    assert slower.left_s > 30 * 60
    assert slower.quota_days == pytest.approx(90 / 800)


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (None, "no cursor yet: the next run reads from the beginning"),
        ({}, "reads the whole list every time"),
        ({"since": "2026-11-22T13:03:11+00:00"}, "resumes at 2026-11-22 14:03:11 Europe/Amsterdam"),
        (
            {"since": "2026-07-01T00:00:00+00:00", "pass": {"started_at": "2026-07-02T00:00:00Z", "offset": 12_000}},
            (
                "resumes at 2026-07-01 02:00:00 Europe/Amsterdam, offset 12,000, "
                "in the pass that began 2026-07-02 02:00:00 Europe/Amsterdam"
            ),
        ),
        ({"pass": {"after": ["ids", "secret-key-of-a-person"]}}, "resumes within a pass over everything"),
        ({"top": ["1", "2"]}, "knows the newest records of the last pass"),
        ({"since": "garbage", "as_of": 7}, "reads the whole list every time"),
    ],
)
def test_cursor_in_words(cursor: dict[str, Any] | None, words: str) -> None:
    assert status.cursor_words(cursor, "Europe/Amsterdam") == words


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

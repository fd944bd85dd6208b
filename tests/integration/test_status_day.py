"""What the status tells of the last 24 hours, and how far a run is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd import status
from syncd.sources import registry
from syncd.upstream import budget
from tests.support.bench import Bench
from tests.support.past_runs import add_run

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

"""An upstream that fails for good: how often it is asked, what the log says, and that nobody else is held up.

The daemon's timetable lives through days in seconds: its timer never rings, and the test turns the clock to one
run after the other.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import pytest
import structlog.testing

from syncd.sandbox import CREDENTIALS
from syncd.service.timetable import Timetable
from syncd.upstream.request import TRIES
from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.search import sampled, trial
from tests.support.truth import NAMES, differences

MINUTES, HOURS, DAYS = 60.0, 3_600.0, 86_400.0
EVERY_S = {
    "shop": {"customers": 5 * MINUTES, "sales_orders": 5 * MINUTES, "stores": HOURS, "stock_items": DAYS},
    "lease": {"orders": 5 * MINUTES, "cyclists": HOURS, "dealers": DAYS},
    "cars": {"vehicles": 5 * MINUTES, "makes": DAYS},
    "parts": {"orders": 5 * MINUTES, "account": DAYS},
}
REST_S = 6 * HOURS
"""Interval of the streams of the sources that are well."""
PROBE_S = 15 * MINUTES
SPREAD_S = MINUTES
"""Jitter of a job, and the spread of streams that are let go on."""
TURNS = ("source_failing", "source_recovered", "stream_paused", "stream_resumed")
Events = list[MutableMapping[str, Any]]


@pytest.fixture
def events() -> Iterator[Events]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def _never(_delay_s: float, ring: Callable[[], None]) -> asyncio.Handle:
    """Stand for the timer of the event loop."""
    return asyncio.Handle(ring, (), asyncio.get_running_loop())


class Days:
    """The daemon's timetable over simulated days: the source that fails is busy, the others are not."""

    def __init__(self, bench: Bench, fails: str) -> None:
        self.bench, self.fails = bench, fails
        sources = {
            name: changed(
                source,
                streams={
                    stream.name: dataclasses.replace(
                        stream, enabled=stream.name in EVERY_S[name], cron=None, sweep_s=None,
                        every_s=EVERY_S[name].get(stream.name, DAYS) if name == fails else REST_S,
                    )
                    for stream in source.streams.values()
                },
            )
            for name, source in bench.config.sources.items()
        }  # fmt: skip
        bench.syncer.reconfigure(dataclasses.replace(bench.config, sources=sources))
        self.timetable = Timetable(bench.syncer, {}, on_outage=lambda _error: None, later=_never)

    async def __aenter__(self) -> Self:
        self.timetable.plan()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.timetable.close(grace_s=1)

    async def pass_by(self, **duration: float) -> None:
        """Run every job when it is due, and its run to the end."""
        time = self.bench.time
        until = time.at + timedelta(**duration)
        while (at := min(self.timetable.next_runs().values())) <= until:
            time.at = max(time.at, at)
            others = asyncio.all_tasks()
            self.timetable.run_due()
            await asyncio.gather(*(asyncio.all_tasks() - others))
        time.at = until

    def asked(self, since: datetime, *streams: str) -> list[float]:
        """Return when the source that fails was asked for anything (or for these streams), in seconds since then."""
        return [
            (entry.at - since).total_seconds()
            for entry in self.bench.sandbox.requests
            if entry.api == NAMES[self.fails] and entry.at >= since and (entry.stream in streams or not streams)
        ]

    async def runs(self, since: datetime) -> dict[str, Counter[str]]:
        """Return how many live runs of each source ended how."""
        rows = await self.bench.fetch(
            "SELECT source, outcome, count(*) AS n FROM syncd.runs WHERE started_at >= $1 GROUP BY 1, 2", since
        )
        found: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
        for row in rows:
            found[row["source"]][row["outcome"]] = row["n"]
        return found


async def assert_mirrored(days: Days) -> None:
    """The streams of the source that failed are whole."""
    for stream in EVERY_S[days.fails]:
        assert await differences(days.bench, f"{days.fails}.{stream}") == []


def told(events: Events) -> list[tuple[str, str, str]]:
    """Return what the log says above the end of each run: by name, level and source."""
    return [
        (event["event"], event["log_level"], event["source"])
        for event in events
        if event["event"] in TURNS or event["log_level"] not in ("debug", "info")
    ]


def assert_probes(asked: list[float], steps_s: list[float]) -> None:
    """One request at the end of each of these steps, and after them one every PROBE_S."""
    waits_s = [round(later - earlier, 3) for earlier, later in pairwise(asked)]
    assert len(waits_s) > len(steps_s)
    for wait_s, step_s in zip(waits_s, [*steps_s, *[PROBE_S] * (len(waits_s) - len(steps_s))], strict=True):
        assert step_s <= wait_s <= step_s + SPREAD_S


async def assert_others_are_well(days: Days, since: datetime, hours: float) -> None:
    """Every run of the other sources was ok, and none was left out."""
    runs = await days.runs(since)
    for name in NAMES.keys() - {days.fails}:
        assert list(runs[name]) == ["ok"]
        assert abs(runs[name]["ok"] - len(EVERY_S[name]) * hours * HOURS / REST_S) <= len(EVERY_S[name])


@trial
@pytest.mark.parametrize("down_days", [2, 7])
async def test_a_source_that_is_down_for_a_week_is_probed_by_one_request_per_step(
    make_bench: MakeBench, events: Events, down_days: int
) -> None:
    bench = await make_bench(customers=20)
    async with Days(bench, "shop") as days:
        await days.pass_by(hours=1)
        bench.sandbox.faults.add("error-500", api="cyclesoftware")
        for stream in ("customers", "stores"):
            record = bench.sandbox.truth("cyclesoftware", stream)[3]
            bench.sandbox.put("cyclesoftware", stream, record | {"city": "Nieuwstad"})
        since = bench.time.at
        await days.pass_by(days=down_days)
        asked = days.asked(since)
        assert_probes(asked[2 * TRIES - 1 :], [10 * MINUTES])  # two streams gave up before the source counted as down
        assert len(asked) >= down_days * DAYS / (PROBE_S + SPREAD_S)
        assert len((await days.runs(since))["shop"]) == 1
        await assert_others_are_well(days, since, down_days * 24)
        bench.sandbox.faults.clear()
        back_at = bench.time.at
        await days.pass_by(seconds=PROBE_S + SPREAD_S)
        assert list((await days.runs(back_at))["shop"]) == ["ok"]
        await assert_mirrored(days)
    assert told(events) == [("source_failing", "warning", "shop"), ("source_recovered", "info", "shop")]
    failing, recovered = (event for event in events if event["event"] in TURNS)
    assert "answered 500" in failing["error"]
    assert 0 <= recovered["down_s"] - down_days * DAYS <= PROBE_S + SPREAD_S


@pytest.mark.parametrize(
    ("fails", "key"), sampled([("shop", "password"), ("lease", "api_token"), ("cars", "api_key")], every=3)
)
async def test_credentials_that_are_refused_are_tried_once_per_step(
    make_bench: MakeBench, events: Events, monkeypatch: pytest.MonkeyPatch, fails: str, key: str
) -> None:
    bench = await make_bench(customers=20)
    async with Days(bench, fails) as days:
        await days.pass_by(minutes=30)
        with monkeypatch.context() as vendor:
            vendor.setitem(CREDENTIALS[NAMES[fails]], key, "another")
            since = bench.time.at
            await days.pass_by(hours=6)
        asked = days.asked(since)
        assert asked[1] - asked[0] < 1  # asked again, or logged in again, before it was believed
        assert_probes(asked[1:], [])
        await assert_others_are_well(days, since, 6)
        await days.pass_by(seconds=PROBE_S + SPREAD_S)
        await assert_mirrored(days)
    assert told(events) == [("source_failing", "warning", fails), ("source_recovered", "info", fails)]


async def test_a_login_that_is_refused_is_tried_once_per_step(make_bench: MakeBench, events: Events) -> None:
    bench = await make_bench(customers=20)
    async with Days(bench, "parts") as days:
        await days.pass_by(minutes=30)
        bench.sandbox.faults.add("auth-expired", api="ghs")
        bench.sandbox.faults.add("error-xml", api="ghs", stream="auth", status=401)
        since = bench.time.at
        await days.pass_by(hours=6)
        assert_probes(days.asked(since)[1:], [])
        bench.sandbox.faults.clear()
        await days.pass_by(seconds=PROBE_S + SPREAD_S)
        await assert_mirrored(days)
    assert told(events) == [("source_failing", "warning", "parts"), ("source_recovered", "info", "parts")]


async def test_a_scope_that_is_taken_away_pauses_its_stream_only_and_keeps_its_rows(
    make_bench: MakeBench, events: Events
) -> None:
    bench = await make_bench(customers=20)
    async with Days(bench, "shop") as days:
        await days.pass_by(hours=1)
        rows = await bench.rows("cyclesoftware.customers")
        bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="customers")
        since = bench.time.at
        await days.pass_by(hours=6)
        assert_probes(days.asked(since, "customers"), [])
        assert len(days.asked(since, "sales_orders")) >= 6 * HOURS / (5 * MINUTES + SPREAD_S)
        assert len(days.asked(since, "stores")) >= 5
        assert await bench.rows("cyclesoftware.customers") == rows != []
        await assert_others_are_well(days, since, 6)
        bench.sandbox.faults.clear()
        await days.pass_by(seconds=PROBE_S + SPREAD_S)
        await assert_mirrored(days)
    assert told(events) == [("stream_paused", "warning", "shop"), ("stream_resumed", "info", "shop")]
    assert {event["stream"] for event in events if event["event"] in TURNS} == {"customers"}


async def test_a_stream_that_fails_alone_holds_up_no_other_of_its_source(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=20)
    async with Days(bench, "shop") as days:
        await days.pass_by(hours=1)
        bench.sandbox.faults.add("error-500", api="cyclesoftware", stream="customers")
        since = bench.time.at
        await days.pass_by(hours=3)
        assert_probes(days.asked(since, "customers")[TRIES - 1 :], [10 * MINUTES])
        waits_s = [later - earlier for earlier, later in pairwise(days.asked(since, "sales_orders"))]
        assert max(waits_s) <= 5 * MINUTES + 2 * SPREAD_S
        assert len(days.asked(since, "stores")) >= 2

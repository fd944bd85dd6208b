"""Time: local times that come twice or never, clocks that are wrong or jump on either side, times that are none."""

import copy
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.contract import snake
from syncd.records.values import earliest_reading, instant, latest_reading
from syncd.sources import registry
from tests.support.bench import Bench, MakeBench, Time
from tests.support.search import sampled, trial
from tests.support.truth import NAMES, differences

ZONES = ("Europe/Amsterdam", "Europe/Brussels", "Europe/Berlin")
MOVING = ("shop.customers", "shop.sales_orders", "lease.orders", "cars.vehicles", "parts.orders")
"""Streams whose live runs ask for what is new since a watermark (of GHS: the newest orders)."""


HOUR, DAY = 3_600.0, 86_400.0


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_zones_are_those_of_the_sources() -> None:
    zones = {
        source.type: option.default
        for source in registry().values()
        for option in source.options
        if option.name == "zone"
    }
    assert zones == dict(zip(("cyclesoftware", "cyclis", "autengo"), ZONES, strict=True))


# --- One time as sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("sent", "expected", "gives_back"),
    [
        pytest.param("2026-10-25 01:59:59", "2026-10-24 23:59:59", True, id="before the fold"),
        pytest.param("2026-10-25 02:00:00", "2026-10-25 00:00:00", True, id="the fold begins"),
        pytest.param("2026-10-25 02:30:00", "2026-10-25 00:30:00", True, id="comes twice: the first"),
        pytest.param("2026-10-25T02:59:59", "2026-10-25 00:59:59", True, id="the fold ends"),
        pytest.param("2026-10-25 03:00:00", "2026-10-25 02:00:00", True, id="after the fold"),
        pytest.param("2026-10-25 02:30:00+01:00", "2026-10-25 01:30:00", True, id="the second, with its offset"),
        pytest.param("2026-03-29 01:59:59", "2026-03-29 00:59:59", True, id="before the gap"),
        pytest.param("2026-03-29 02:00:00", "2026-03-29 01:00:00", False, id="the gap begins"),
        pytest.param("2026-03-29 02:30:00", "2026-03-29 01:30:00", False, id="never comes"),
        pytest.param("2026-03-29 03:00:00", "2026-03-29 01:00:00", True, id="after the gap"),
        pytest.param("2026-07-01 12:00:00", "2026-07-01 10:00:00", True, id="summer"),
        pytest.param("2026-01-01 12:00:00", "2026-01-01 11:00:00", True, id="winter"),
    ],
)
def test_a_local_time(zone: str, sent: str, expected: str, gives_back: bool) -> None:
    assert instant(sent, ZoneInfo(zone)) == (utc(expected), gives_back)


near_a_change = st.sampled_from(["2026-10-25 01:00", "2026-03-29 01:00", "2026-07-01 00:00", "2027-01-01 00:00"])
moments = st.builds(
    lambda near, minutes: utc(near) + timedelta(minutes=minutes), near_a_change, st.integers(-3000, 3000)
)
zones = st.sampled_from([*ZONES, "UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


@given(moments, zones)
def test_a_filter_is_early_or_late_enough_however_it_is_read(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)

    def readings(naive: datetime) -> list[datetime]:
        return [naive.replace(tzinfo=UTC), *(naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))]

    assert all(read <= moment for read in readings(earliest_reading(moment, zone)))
    assert all(read >= moment for read in readings(latest_reading(moment, zone)))


@given(moments, zones)
def test_a_time_that_is_written_locally_is_read_back_unless_it_comes_twice(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    local = moment.astimezone(zone)
    read, gives_back = instant(f"{local:%Y-%m-%d %H:%M:%S}", zone)
    assert gives_back
    assert read == (moment if local.fold == 0 else local.replace(fold=0).astimezone(UTC))


# --- Through the sandbox ----------------------------------------------------------------------------------------------

SIZES = {
    "customers": 12, "page_size": 5, "cyclis_orders": 8, "cyclists": 4, "companies": 3, "vehicles": 12, "orders": 12,
    "stock_items": 5, "sales_orders": 8, "leads": 1, "dealers": 2, "makes": 2, "contacts": 1, "products": 12,
}  # fmt: skip
TIMES = {
    "shop.customers": ("customer_id", "datetime_created"),
    "shop.sales_orders": ("sales_order_id", "datetime_created"),
    "cars.vehicles": ("sellingId", "created"),
    "lease.orders": ("id", "create_timestamp"),
    "parts.urgent_messages": ("id", "startDate"),
}
"""One time of each stream that has some, by its name upstream, after the name of the key."""
ODD: tuple[object, ...] = (
    "0000-00-00", "0000-00-00 00:00:00", "2026-07-01T12:00:99", "2026-02-30 10:00:00", "2026-07-01 25:00:00", "soon",
    "/Date(-62135596800000)/", "/Date(99999999999999999)/", "9999-99-99 99:99:99", 20260701, -1, True, [], {},
)  # fmt: skip


def new_key(like: int | str, number: int) -> int | str:
    if isinstance(like, int):
        return 9_000_000 + number
    return str(UUID(int=number)) if len(like) == 36 else f"ODD{number}"


@pytest.mark.parametrize("selector", TIMES)
async def test_what_is_no_time_is_kept_as_sent_beside_an_empty_column(make_bench: MakeBench, selector: str) -> None:
    bench = await make_bench(**SIZES)
    (api, stream), (key, name) = places(selector), TIMES[selector]
    template = bench.sandbox.truth(api, stream)[0]
    for number, odd in enumerate(ODD):
        record = copy.deepcopy(template) | {key: new_key(template[key], number)}
        record.get("attributes", record)[name] = odd
        bench.sandbox.put(api, stream, record)
    await bench.sync("parts.orders" if api == "ghs" else selector)
    column = snake(name)
    empty = await bench.fetch(f"SELECT FROM {api}.{stream} WHERE \"{column}\" IS NULL AND _extra::text LIKE '%{name}%'")
    assert len(empty) == len(ODD)
    assert await differences(bench, selector) == []


def places(selector: str) -> tuple[str, str]:
    source, _, stream = selector.partition(".")
    return NAMES[source], stream


async def assert_live_runs_find_all(bench: Bench) -> None:
    for selector in MOVING:
        result = await bench.sync(selector)
        assert (selector, result.outcome) == (selector, "ok")
    assert await differences(bench, *MOVING) == []


@pytest.mark.parametrize(
    "night", ["2026-10-24 23:00", pytest.param("2026-03-29 00:00", marks=trial)], ids=["fold", "gap"]
)
async def test_live_runs_lose_nothing_in_a_night_of_two_times(make_bench: MakeBench, night: str) -> None:
    bench = await make_bench(time=Time(utc(night)), **SIZES)
    await assert_live_runs_find_all(bench)
    for step in range(12):
        for selector in MOVING:
            api, stream = places(selector)
            keys = bench.sandbox.world[api, stream].keys()
            bench.sandbox.world.change(api, stream, keys[step % len(keys)])
        bench.time.pass_by(minutes=19)  # longer than the overlap
        await assert_live_runs_find_all(bench)


@pytest.mark.parametrize(
    ("ours_s", "theirs_s"),
    sampled(
        [
            pytest.param([20 * DAY, 0, 0], [0, 0, 0], id="ours weeks ahead, then right"),
            pytest.param([-20 * DAY, 0, 0], [0, 0, 0], id="ours weeks behind, then right"),
            pytest.param([0, -4 * HOUR, 4 * HOUR, 0], [0, 0, 0, 0], id="ours jumps"),
            pytest.param([0, 0, 0], [4 * HOUR] * 3, id="theirs ahead"),
            pytest.param([0, 0, 0], [-4 * HOUR] * 3, id="theirs behind"),
            pytest.param([0, 0, 0], [0, 25 * HOUR, 25 * HOUR], id="theirs jumps ahead"),
            pytest.param([0, 0, 0, 0], [0, 4 * HOUR, 0, 0], id="theirs jumps ahead and back"),
            pytest.param([0, 0, 0], [0, -8 * 60, -8 * 60], id="theirs is set back a little"),
            pytest.param([0, -2 * HOUR, 3 * HOUR], [2 * HOUR, 0, -8 * 60], id="both jump"),
        ],
        every=2,
    ),
)
async def test_live_runs_and_sweeps_lose_nothing_to_clocks(
    make_bench: MakeBench, ours_s: list[float], theirs_s: list[float]
) -> None:
    true, theirs = Time(), Time()
    bench = await make_bench(time=theirs, **SIZES)
    ours = Time()
    bench.syncer.clock = ours.now
    for step, (our_error_s, their_error_s) in enumerate(zip(ours_s, theirs_s, strict=True)):
        ours.at = true.at + timedelta(seconds=our_error_s)
        theirs.at = true.at + timedelta(seconds=their_error_s)
        for selector in MOVING:
            api, stream = places(selector)
            bench.sandbox.world.change(api, stream, bench.sandbox.world[api, stream].keys()[step])
        for time in (true, ours, theirs):
            time.pass_by(minutes=7)
        for selector in MOVING:
            assert (selector, (await bench.sync(selector)).outcome) == (selector, "ok")
        if our_error_s > -DAY:  # nobody asks for orders of a day that is to come
            assert await differences(bench, *MOVING) == []
    for selector in MOVING:
        api, stream = places(selector)
        bench.sandbox.delete(api, stream, bench.sandbox.world[api, stream].keys()[0])
    for time in (true, ours, theirs):
        time.pass_by(minutes=7)
    for selector in MOVING:
        assert (selector, (await bench.sync(selector, "sweep")).outcome) == (selector, "ok")
    assert await differences(bench, *MOVING) == []


async def test_what_an_upstream_dates_back_is_found_by_the_next_sweep(make_bench: MakeBench) -> None:
    bench = await make_bench(**SIZES)
    await assert_live_runs_find_all(bench)
    bench.time.pass_by(hours=-4)  # both clocks, as when a server is restored
    for selector in MOVING:
        api, stream = places(selector)
        bench.sandbox.world.change(api, stream, bench.sandbox.world[api, stream].keys()[3])
    for selector in MOVING:
        assert (selector, (await bench.sync(selector, "sweep")).outcome) == (selector, "ok")
    assert await differences(bench, *MOVING) == []

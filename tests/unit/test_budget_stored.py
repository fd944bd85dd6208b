"""The form in which a budget's state is stored: what version 0.1.0 wrote is read, and it could read what we write."""

import json
from typing import Any

import pytest

from syncd.upstream.budget import Closing, Day, Limits, Pace, Policy, acquire, decode, encode, summary

NOW = 1773144000.0
CHARGES = [[3546287940, 0, 1], [3546287960, 30, 0], [3546287979, 19, 0], [3546287990, 0, 1]]
SIGHTS: list[list[Any]] = [[3546287984, 91, 91, 651], [3546287992, None, None, None]]
WRITTEN: dict[str, Any] = {
    "last_at": 1773143998.0, "charges": CHARGES, "sights": SIGHTS, "minute_limit": 60, "day_limit": 1000,
    "limits_at": 1773143997.0, "ceiling": 51, "ceiling_until": 1773144898.0, "day_began_at": 1773143970.0,
    "day_ends_at": 1773187200.0, "day_live": 49, "day_backfill": 2, "day_capacity": 651, "day_seen_at": 1773143995.0,
    "day_parts": [[1477590, 3, 9]], "closed_at": 1773143998.0, "closed_until": 1773144031.5, "strikes": 1,
    "probe_at": 1773143999.0, "live_next_at": 1773144002.5, "backfill_next_at": 1773144004.0,
}  # fmt: skip
"""Every field of 0.1.0, as its code wrote them after a burst of 51 requests, a response and a 429."""


def as_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))


def test_every_field_that_0_1_0_wrote_is_read() -> None:
    state = decode(as_json(WRITTEN))
    assert state.last_at == NOW - 2
    assert [[one.slot, one.live, one.backfill] for one in state.charges] == CHARGES
    assert [[one.slot, one.low, one.high, one.day] for one in state.sights] == SIGHTS
    assert state.limits == Limits(minute=60, day=1000, at=NOW - 3)
    assert state.day == Day(
        began_at=NOW - 30, ends_at=1773187200.0, live=49, backfill=2, capacity=651, seen_at=NOW - 5,
        parts=state.day.parts,
    )  # fmt: skip
    assert [[one.slot, one.live, one.backfill] for one in state.day.parts] == [[1477590, 3, 9]]
    assert state.closing == Closing(
        at=NOW - 2, until=NOW + 31.5, strikes=1, probe_at=NOW - 1, ceiling=51, ceiling_until=NOW + 898
    )
    assert state.pace == Pace(live=NOW + 2.5, backfill=NOW + 4)


def test_what_0_1_0_knew_still_holds() -> None:
    state = decode(as_json(WRITTEN))
    told = summary(state, Policy(), NOW)
    assert (told.minute_limit, told.minute_remaining, told.minute_used_live, told.minute_used_backfill) == (
        60,
        0,
        49,
        2,
    )
    assert (told.day_limit, told.day_remaining, told.day_used_live, told.day_used_backfill) == (1000, 600, 49, 2)
    assert (told.day_reset_at, told.closed_until, told.live_reserve) == (1773187200.0, NOW + 31.5, 200)
    _, wait = acquire(state, Policy(), NOW, "live")
    assert wait is not None
    assert (wait.until, wait.reason) == (NOW + 31.5, "closed by 429")


@pytest.mark.parametrize("absent", [(), tuple(WRITTEN), *((name,) for name in WRITTEN)])
def test_what_is_written_is_what_0_1_0_would_have_written(absent: tuple[str, ...]) -> None:
    fields = {name: value for name, value in WRITTEN.items() if name not in absent}
    assert encode(decode(as_json(fields))) == as_json(fields)


def test_a_field_of_a_later_version_does_no_harm() -> None:
    assert decode(as_json({**WRITTEN, "of_tomorrow": {"x": 1}})) == decode(as_json(WRITTEN))

"""The day: its begin and end, what we may spend of it, and when a lane must wait for it.

The day begins anew at the server's Reset, else at midnight in the policy's `day_zone`. A server that says nothing of
its day may begin it at another hour, or count the last 24 hours. So a backfill then keeps to its share of any 24 hours
too, counted per part of 20 minutes.
"""

import datetime as dt
import math
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from syncd.contract import Lane
from syncd.upstream.budget.charges import (
    DAY_PARTS,
    PART_S,
    SLOT_S,
    WINDOW_SLOTS,
    Charges,
    added,
    gathered,
    later_than,
    part_of,
    slot_of,
    spent,
)
from syncd.upstream.budget.sights import SIGHT_SLOTS, fresh
from syncd.upstream.budget.state import Day, Observation, Policy, State, Wait, least

DAY_S: Final = 86_400.0
LONGEST_DAY_S: Final = 26 * 3600.0
"""The autumn day has 25 hours; a Reset further away is garbage."""
DAY_GUARD_S: Final = 5.0
"""Our day begins this much after the server's, for clocks that differ."""
RESET_SLACK_S: Final = 2.0
"""A Reset counts from a Date of whole seconds: told twice it differs by less than this."""
DAY_DOUBT_S: Final = 3 * 3600.0
"""A day found spent this early may be yesterday's; the vendors' zones differ by less."""
DAY_CREDIT_S: Final = 3600.0
"""Live work may be this much ahead of an even spending of its day's last fifth."""
PACED_FROM: Final = 0.8
"""Live work is paced from here on, over what is left of the day; our choice."""


def settled(state: State, policy: Policy, now: float) -> State:
    """Begin a new day when it is due."""
    ends_at = state.day.ends_at
    if ends_at is None or ends_at > now + LONGEST_DAY_S:
        return replace(state, day=replace(state.day, ends_at=_midnight_after(now, policy.day_zone)))
    if now < ends_at + DAY_GUARD_S:
        return state
    return _begun(state, now, _midnight_after(now, policy.day_zone))


def set_back(day: Day, now: float) -> Day:
    """Follow a clock that was set back."""
    return replace(
        day,
        began_at=min(day.began_at, now),
        seen_at=min(day.seen_at, now),
        parts=gathered(day.parts, part_of(now)),
    )


def _midnight_after(now: float, zone: str) -> float:
    local = dt.datetime.fromtimestamp(now, ZoneInfo(zone))
    return dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), local.tzinfo).timestamp()


def _begun(state: State, began_at: float, ends_at: float) -> State:
    live, backfill = spent(state.charges, slot_of(began_at) - 1)
    day = replace(state.day, began_at=began_at, ends_at=ends_at, live=live, backfill=backfill, capacity=None)
    return replace(state, day=day, sights=tuple(replace(sight, day=None) for sight in state.sights))


def day_ends_at(day: Day) -> float:
    """Return when our day of a settled state ends."""
    return (day.ends_at or 0.0) + DAY_GUARD_S


def day_capacity(state: State, policy: Policy, now: float) -> int | None:
    """Return what we may spend from the day's begin to its end; None: no limit is known."""
    recent = least(*(sight.day for sight in fresh(state.sights, now)))
    return least(policy.per_day, state.limits.day, state.day.capacity if recent is None else recent)


def day_reserve(state: State, policy: Policy, now: float) -> int | None:
    """Return how many requests of the day a backfill leaves to live runs; None: no limit is known."""
    limit = least(policy.per_day, state.limits.day) or day_capacity(state, policy, now)
    return None if limit is None else max(0, min(limit - 1, math.ceil(limit * policy.live_reserve - 1e-9)))


def charged(day: Day, at: float, now: float, lane: Lane) -> Day:
    """Count one request."""
    return replace(
        day,
        live=day.live + (lane == "live"),
        backfill=day.backfill + (lane == "backfill"),
        parts=() if day.seen_at else added(_kept(day, now), part_of(at), lane),
    )


def _kept(day: Day, now: float) -> tuple[Charges, ...]:
    return later_than(day.parts, part_of(now) - DAY_PARTS)


def wait_for_day(state: State, policy: Policy, now: float, lane: Lane) -> Wait | None:
    """Tell until when the day keeps a lane from sending. A backfill is not paced: its rest comes tomorrow anyway.

    What responses of the last minute said is careful, and may tell of less than is left. Where the latest response
    alone would let the lane send, the wait ends when these are forgotten.
    """
    wait = _wait_with(state, policy, now, lane, day_capacity(state, policy, now))
    if wait is None:
        return None
    latest = least(policy.per_day, state.limits.day, state.day.capacity)
    binding = [sight.slot for sight in fresh(state.sights, now) if sight.day is not None and sight.day < (latest or 0)]
    if not binding:
        return wait
    forgotten_at = (max(binding) + SIGHT_SLOTS + WINDOW_SLOTS) * SLOT_S
    later = _wait_with(state, policy, forgotten_at, lane, latest)
    return Wait(min(wait.until, later.until if later else forgotten_at), wait.reason)


def _wait_with(state: State, policy: Policy, now: float, lane: Lane, capacity: int | None) -> Wait | None:
    """Tell until when a day of that capacity keeps a lane from sending."""
    if capacity is None:
        return None
    day, ends_at = state.day, day_ends_at(state.day)
    free = capacity - day.live - day.backfill
    if free < 1:
        return Wait(ends_at, "day window")
    if lane == "backfill":
        reserve = day_reserve(state, policy, now) or 0
        if free <= reserve:
            return Wait(ends_at, "live reserve")
        return None if day.seen_at else _wait_for_parts(day, now, capacity, reserve)
    last_fifth = (1 - PACED_FROM) * (capacity - day.backfill)
    even_at = ends_at - DAY_CREDIT_S - DAY_S * free / last_fifth
    return Wait(even_at, "pacing") if now < even_at else None


def _wait_for_parts(day: Day, now: float, capacity: int, reserve: int) -> Wait | None:
    """Keep a backfill to its share of the last 24 hours, too."""
    parts = _kept(day, now)
    live, backfill, opens_at = sum(part.live for part in parts), sum(part.backfill for part in parts), now
    for part in parts:
        if backfill + max(reserve, live) < capacity:
            break
        live, backfill = live - part.live, backfill - part.backfill
        opens_at = (part.slot + DAY_PARTS) * PART_S
    return Wait(opens_at, "live reserve") if opens_at > now else None


def reset_believed(state: State, seen: Observation, now: float) -> State:
    """Believe when the server says that its day ends."""
    reset_at = seen.day_reset_at
    if reset_at is None or reset_at <= now:
        return state
    if reset_at > day_ends_at(state.day) + DAY_S / 2:  # the server's day has begun before ours
        return _begun(state, seen.sent_at, reset_at)
    if abs(reset_at - (state.day.ends_at or 0.0)) < RESET_SLACK_S:
        return state  # it would be news with every answer
    return replace(state, day=replace(state.day, ends_at=reset_at))


class Capacities(NamedTuple):
    """The day's capacity by one response: what remains, and what we had spent until its request.

    low   if the requests charged in the same slot came to the server after this one: never too high
    high  if they came before it
    """

    low: int
    high: int


def day_seen(state: State, seen: Observation, now: float) -> Capacities | None:
    """Return the day's capacities by one response; None if it says nothing of our day."""
    if seen.day_remaining is None or seen.sent_at < state.day.began_at or doubts_day(state.day, seen, now):
        return None
    slot, used = slot_of(seen.sent_at), state.day.live + state.day.backfill
    low = seen.day_remaining + 1 + max(0, used - sum(spent(state.charges, slot - 1)))
    return Capacities(low, max(low, seen.day_remaining + used - sum(spent(state.charges, slot))))


def latest_believed(day: Day, seen: Observation, high: int) -> Day:
    """Remember what the latest response says of the day, which holds once those of its minute are forgotten.

    All requests of its slot have arrived by then, so the least that one of them told is what they left.
    """
    if seen.sent_at < day.seen_at:
        return day
    is_same_slot = bool(day.seen_at) and slot_of(day.seen_at) == slot_of(seen.sent_at)
    return replace(day, seen_at=seen.sent_at, capacity=least(high, day.capacity) if is_same_slot else high)


def doubts_day(day: Day, seen: Observation, now: float) -> bool:
    """Tell whether a day found spent may be yesterday's: ours has just begun, and the server names no Reset."""
    is_young = day.began_at > 0 and now < day.began_at + DAY_DOUBT_S
    return seen.day_remaining == 0 and seen.day_reset_at is None and is_young

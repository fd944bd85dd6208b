"""What people are told of a budget: how it stands now, and what a number of requests will cost."""

import math

import msgspec

from syncd.contract import Lane
from syncd.upstream.budget.charges import SHARE_SLOTS, SLOT_S, WINDOW_SLOTS
from syncd.upstream.budget.day import DAY_GUARD_S, DAY_S, day_capacity, day_ends_at, day_reserve, wait_for_day
from syncd.upstream.budget.decisions import settled
from syncd.upstream.budget.minute import NEAR, Minute, minute_of
from syncd.upstream.budget.state import Policy, State, least

UNLIMITED_PER_S = 1e9
"""Stands for a rate that no limit bounds."""
ROOM = 0.1
"""Share of the minute that must be free before a request is sent that may be in vain."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The budget as shown to people; None: no limit is known. Used requests are our own."""

    minute_limit: int | None
    minute_remaining: int | None
    minute_used_live: int
    minute_used_backfill: int
    day_limit: int | None
    day_remaining: int | None
    day_used_live: int
    day_used_backfill: int
    day_reset_at: float
    closed_until: float | None
    live_reserve: int | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of requests will cost if others go on spending as they do now.

    takes_s     the stops at the end of each day's quota included, response times not
    quota_days  in whole days of what the lane may use; 0 where no day limit is known
    left_today  requests that the lane may still send today; None where no day limit is known
    """

    takes_s: float
    quota_days: float
    left_today: float | None


def summary(state: State, policy: Policy, now: float) -> Summary:
    """Show the budget as it stands."""
    state = settled(state, policy, now)
    minute, capacity = minute_of(state, policy, now), day_capacity(state, policy, now)
    free, day, closing = minute.free("live"), state.day, state.closing
    return Summary(
        minute_limit=least(policy.per_minute, state.limits.minute),
        minute_remaining=None if free is None else max(0, free),
        minute_used_live=minute.live,
        minute_used_backfill=minute.backfill,
        day_limit=least(policy.per_day, state.limits.day),
        day_remaining=None if capacity is None else max(0, capacity - day.live - day.backfill),
        day_used_live=day.live,
        day_used_backfill=day.backfill,
        day_reset_at=day_ends_at(day) - DAY_GUARD_S,
        closed_until=closing.until if closing.until > now else None,
        live_reserve=day_reserve(state, policy, now),
    )


def has_room(state: State, policy: Policy, now: float, lane: Lane) -> bool:
    """Say whether a tenth of the minute is free for a lane and nothing is closed: then a request may be in vain."""
    state = settled(state, policy, now)
    minute = minute_of(state, policy, now)
    free = minute.free(lane)
    limit = least(policy.per_minute, state.limits.minute) or minute.capacity
    is_open = state.closing.until <= now and wait_for_day(state, policy, now, lane) is None
    return is_open and (free is None or limit is None or free > limit * ROOM)


def forecast(state: State, policy: Policy, now: float, requests: int, lane: Lane) -> Forecast:
    """Estimate what so many requests of the lane will take (`backfill --dry-run`)."""
    state = settled(state, policy, now)
    minute = minute_of(state, policy, now)
    per_s = _rate_per_s(minute, lane)
    free = minute.free(lane)
    at_once = math.inf if free is None else NEAR * free  # what is paced from then on evens out
    quota, left = _quota_and_left(state, policy, now, lane)
    opens_at = max(now, state.closing.until)
    ends_at = day_ends_at(state.day)
    today = min(left, max(at_once, per_s * (ends_at - opens_at)))
    if requests <= today:
        takes_s = opens_at - now + (0 if requests <= at_once else requests / per_s)
    else:
        rest, daily = requests - today, min(quota, per_s * DAY_S)
        days = math.ceil(rest / daily) - 1
        takes_s = ends_at - now + days * DAY_S + (rest - days * daily) / per_s
    return Forecast(takes_s=takes_s, quota_days=requests / quota, left_today=None if math.isinf(left) else left)


def _rate_per_s(minute: Minute, lane: Lane) -> float:
    """Return the rate that the lane can keep up."""
    window, slots = (minute.capacity, WINDOW_SLOTS) if lane == "live" else (minute.share, SHARE_SLOTS)
    return UNLIMITED_PER_S if window is None else max(1, window) / (slots * SLOT_S)


def _quota_and_left(state: State, policy: Policy, now: float, lane: Lane) -> tuple[float, float]:
    """Return how many requests the lane may use of a whole day, and how many are left of this one; inf: unlimited."""
    capacity = day_capacity(state, policy, now)
    reserve = (day_reserve(state, policy, now) or 0) if lane == "backfill" else 0
    limit = least(policy.per_day, state.limits.day) or capacity
    quota = math.inf if limit is None else max(1, limit - reserve)
    left = math.inf if capacity is None else max(0, capacity - reserve - state.day.live - state.day.backfill)
    return quota, left

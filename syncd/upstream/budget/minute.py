"""The moving minute: what it holds, the backfill's share of it, when a lane must wait, and how a lane is paced.

The server counts the arrivals of 60 s (upstream/FACTS.md, CycleSoftware). Charges are counted per slot of half a
second and leave after 61 s, against network and clock jitter. A response's Remaining plus what was charged in the
minute before its request is the capacity that others leave us. The lowest capacity seen in the last minute holds, in
whatever order responses come. A backfill's share of it is our own rule, so the share counts exactly 60 s.
"""

import math
from typing import Final, NamedTuple

from syncd.contract import Lane
from syncd.upstream.budget.charges import (
    MINUTE_SLOTS,
    SHARE_SLOTS,
    SLOT_S,
    WINDOW_SLOTS,
    leaves_at,
    slot_of,
    spent,
)
from syncd.upstream.budget.ladder import ceiling
from syncd.upstream.budget.sights import SIGHT_SLOTS, fresh
from syncd.upstream.budget.state import Observation, Pace, Policy, Sight, State, Wait, least

LIVE_ROOM: Final = 0.25
"""Of the minute outside the backfill's share: stays free for live even when live is over 40 %."""
NEAR: Final = 0.8
"""A lane that has used this share of its window is paced,"""
FAR: Final = 0.1
"""until it uses less than this: a burst would otherwise come back a minute later."""
PACE: Final = 0.95
"""Of the even spacing, so that the window sets the rate and not the rounding."""
CATCH_UP_S: Final = 1.0
"""A paced lane that woke up late catches up this much."""
BOTH: Final[tuple[Lane, ...]] = ("live", "backfill")


class Minute(NamedTuple):
    """What the moving minute holds at one instant; None: no limit is known.

    share       of the capacity, for the backfill
    room        of the capacity, kept free by the backfill
    share_used  by the backfill, in 60 s instead of 61
    """

    capacity: int | None
    share: int | None
    room: int
    live: int
    backfill: int
    share_used: int

    def free(self, lane: Lane) -> int | None:
        """Return how many requests the lane may send; below zero after limits shrank."""
        if self.capacity is None or self.share is None:
            return None
        free = self.capacity - self.live - self.backfill
        return free if lane == "live" else min(free - self.room, self.share - self.share_used)

    def fill(self, lane: Lane) -> float:
        """Return how much of its window the lane has used; live does not pay for what backfill used."""
        if lane == "live":
            return self.live / self.capacity if self.capacity else 1.0
        return 1.0 - (self.free(lane) or 0) / self.share if self.share else 1.0


def minute_of(state: State, policy: Policy, now: float) -> Minute:
    """Return what the minute that ends now holds."""
    limit = least(policy.per_minute, state.limits.minute, ceiling(state.closing, now))
    sights = fresh(state.sights, now)
    high = least(limit, *(sight.high for sight in sights))
    live, backfill = spent(state.charges, slot_of(now) - WINDOW_SLOTS)
    capacity = least(limit, *(sight.low for sight in sights))
    return Minute(
        capacity=capacity,
        share=None if high is None else max(1, math.floor(high * policy.backfill_minute_share + 1e-9)),
        room=math.floor((capacity or 0) * LIVE_ROOM * (1 - policy.backfill_minute_share) + 1e-9),
        live=live,
        backfill=backfill,
        share_used=spent(state.charges, slot_of(now) - SHARE_SLOTS)[1],
    )


def wait_for_minute(state: State, minute: Minute, now: float, lane: Lane) -> Wait | None:
    """Tell until when the minute keeps a lane from sending."""
    free = minute.free(lane)
    if free is None or minute.capacity is None or minute.share is None:
        return None
    used = minute.live + minute.backfill
    if used >= minute.capacity:
        until = leaves_at(state.charges, now, used - minute.capacity + 1, WINDOW_SLOTS, BOTH)
        binding = [sight.slot for sight in fresh(state.sights, now) if sight.low is not None and sight.low <= used]
        forgotten_at = (max(binding) + SIGHT_SLOTS + WINDOW_SLOTS) * SLOT_S if binding else math.inf
        return Wait(min(until, forgotten_at), "minute window")
    if free < 1:
        over, over_room = minute.share_used - minute.share + 1, used - minute.capacity + minute.room + 1
        share_at = leaves_at(state.charges, now, over, SHARE_SLOTS, ("backfill",))
        room_at = leaves_at(state.charges, now, over_room, WINDOW_SLOTS, BOTH)
        return Wait(max(share_at, room_at), "backfill share")
    next_at = _next_at(state.pace, lane)
    if next_at is not None and now < next_at and minute.fill(lane) >= FAR:
        return Wait(next_at, "pacing")
    return None


def paced(state: State, minute: Minute, now: float, lane: Lane) -> Pace:
    """Return the pace after a lane sends now.

    The spacing is the shortest that can be kept up, given what is free and when the lane's own charges leave.
    """
    before = _next_at(state.pace, lane)
    free, fill = minute.free(lane), minute.fill(lane)
    if free is None or fill < (NEAR if before is None else FAR):
        return _with(state.pace, lane, None)
    slots = WINDOW_SLOTS if lane == "live" else SHARE_SLOTS
    earned, spacing_s = free - 1, 0.0
    for charges in state.charges:
        left_s = (charges.slot + slots) * SLOT_S - now
        if left_s > 0 and charges.of(lane):
            if left_s > CATCH_UP_S:
                spacing_s = max(spacing_s, left_s / (earned + 1))
            earned += charges.of(lane)
    spacing_s = max(spacing_s, slots * SLOT_S / (earned + 1))
    return _with(state.pace, lane, max(now - CATCH_UP_S, before or now) + PACE * spacing_s)


def _next_at(pace: Pace, lane: Lane) -> float | None:
    return pace.live if lane == "live" else pace.backfill


def _with(pace: Pace, lane: Lane, at: float | None) -> Pace:
    return Pace(live=at, backfill=pace.backfill) if lane == "live" else Pace(live=pace.live, backfill=at)


def minute_seen(state: State, seen: Observation) -> Sight:
    """Return the minute's capacities by one response."""
    slot = slot_of(seen.sent_at)
    if seen.minute_remaining is None:
        return Sight(slot)
    low = seen.minute_remaining + sum(spent(state.charges, slot - MINUTE_SLOTS, slot)) + 1
    return Sight(slot, low, max(low, seen.minute_remaining + sum(spent(state.charges, slot - WINDOW_SLOTS))))

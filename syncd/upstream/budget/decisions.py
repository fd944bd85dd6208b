"""The two decisions: whether a request may be sent now, and what a response changes."""

from typing import Final

from msgspec.structs import replace

from syncd.contract import Lane
from syncd.upstream.budget import closing, day
from syncd.upstream.budget.charges import (
    KEPT_SLOTS,
    MINUTE_SLOTS,
    SLOT_S,
    Charges,
    added,
    gathered,
    later_than,
    slot_of,
)
from syncd.upstream.budget.day import day_seen, latest_believed, reset_believed, wait_for_day
from syncd.upstream.budget.minute import minute_of, minute_seen, paced, wait_for_minute
from syncd.upstream.budget.sights import SIGHT_SLOTS, fresh, merged
from syncd.upstream.budget.state import Limits, Observation, Pace, Policy, State, Wait

RECHECK_S: Final = 60.0
"""Longest sleep before asking again."""
SKEW_S: Final = 5.0
"""Clocks of two processes may differ by this; further back means that the clock was set back."""
SHORTEST_WAIT_S: Final = 0.01
"""Rounding must not make a busy loop."""


def acquire(
    state: State, policy: Policy, now: float, lane: Lane, endpoint: str = ""
) -> tuple[State, Wait | None]:  # fmt: skip
    """Charge one request to the lane, or tell until when to wait and why.

    `endpoint` is what will be asked (see `endpoint_of`), "" if that is not known.

    Store the state in either case, unless it is the object that was passed in.
    """
    state = settled(state, policy, now)
    minute = minute_of(state, policy, now)
    wait = (
        closing.wait_while_closed(state, now, lane, endpoint)
        or wait_for_day(state, policy, now, lane)
        or wait_for_minute(state, minute, now, lane)
    )
    if wait is not None:
        return state, replace(wait, until=max(wait.until, now + SHORTEST_WAIT_S))
    at = max(now, state.last_at)  # by the clock that is ahead
    state = replace(
        state,
        last_at=at,
        charges=added(_kept(state, now), slot_of(at), lane),
        day=day.charged(state.day, at, now, lane),
        pace=paced(state, minute, now, lane),
    )
    return closing.charged(state, now, endpoint), None


def observe(state: State, policy: Policy, observation: Observation, now: float) -> State:
    """Believe a response: Remaining and 429 before Limit, the later request before the earlier one."""
    state = settled(state, policy, now)
    seen = replace(observation, sent_at=min(observation.sent_at, now))
    if seen.sent_at >= state.limits.at:
        state = reset_believed(replace(state, limits=_stated(state.limits, seen)), seen, now)
    if now - seen.sent_at < MINUTE_SLOTS * SLOT_S:  # an older Remaining says nothing of this minute
        state = _remaining_believed(state, seen, now)
    state = closing.answered(state, seen, now)
    return replace(state, last_at=max(state.last_at, now), charges=_kept(state, now))


def settled(state: State, policy: Policy, now: float) -> State:
    """Bring the state to `now`: follow a clock that was set back, begin a new day when it is due."""
    if now < state.last_at - SKEW_S:
        state = _set_back(state, now)
    return day.settled(closing.settled(state, now), policy, now)


def _set_back(state: State, now: float) -> State:
    """Take all that lies in the future as of now: over-counted for a minute, never forgotten."""
    slot = slot_of(now)
    state = closing.set_back(state, now)
    return replace(
        state,
        last_at=now,
        charges=gathered(state.charges, slot),
        sights=merged(replace(sight, slot=min(sight.slot, slot)) for sight in state.sights),
        limits=replace(state.limits, at=min(state.limits.at, now)),
        day=day.set_back(state.day, now),
        pace=Pace(),
    )


def _stated(limits: Limits, seen: Observation) -> Limits:
    return Limits(minute=seen.minute_limit or limits.minute, day=seen.day_limit or limits.day, at=seen.sent_at)


def _remaining_believed(state: State, seen: Observation, now: float) -> State:
    """Believe what remains of the minute and of the day."""
    capacities = day_seen(state, seen, now)
    sight = minute_seen(state, seen)
    sight = replace(sight, slot=sight.slot - sight.slot % SIGHT_SLOTS, day=capacities.low if capacities else None)
    if capacities is not None:
        state = replace(state, day=latest_believed(state.day, seen, capacities.high))
    return replace(state, sights=merged((*fresh(state.sights, now), sight)))


def _kept(state: State, now: float) -> tuple[Charges, ...]:
    return later_than(state.charges, slot_of(now) - KEPT_SLOTS)

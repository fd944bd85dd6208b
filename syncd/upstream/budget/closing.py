"""After a 429: how long the source is closed, the single probe that follows, and the lowered minute.

This module alone decides what a 429 does. All of it is kept in `Closing`, which no other rule changes.
"""

from typing import Final

from msgspec.structs import replace

from syncd.upstream.budget.charges import KEPT_SLOTS, MINUTE_SLOTS, SLOT_S, WINDOW_SLOTS, later_than, slot_of, spent
from syncd.upstream.budget.day import day_ends_at, doubts_day
from syncd.upstream.budget.state import Closing, Observation, State, Wait, least

PROBE_S: Final = 60.0
"""A probe that was never answered (crash, lost connection) is given up after this."""
PROBE_POLL_S: Final = 1.0
"""Meanwhile the others ask this often."""
CLOSE_S: Final = (5.0, 60.0, 900.0)
"""After a 429 without Retry-After: shortest, longest at first, longest after doubling."""
CEILING_S: Final = 900.0
"""For so long a 429 that no header explains lowers the minute to what had passed,"""
CEILING_FLOOR: Final = 10
"""but never below this many requests."""


def ceiling(closing: Closing, now: float) -> int | None:
    """Return what the minute is lowered to, None if it is not."""
    return closing.ceiling if now < closing.ceiling_until else None


def set_back(closing: Closing, now: float) -> Closing:
    """Follow a clock that was set back: no closure lasts longer for it."""
    return replace(
        closing,
        at=min(closing.at, now),
        until=min(closing.until, now + closing.until - closing.at),
        probe_at=None if closing.probe_at is None else min(closing.probe_at, now),
        ceiling_until=min(closing.ceiling_until, now + CEILING_S),
    )


def wait_while_closed(closing: Closing, now: float) -> Wait | None:
    """Tell until when the source is closed, or until when to wait for the answer to a probe."""
    if closing.strikes and now < closing.until:
        return Wait(closing.until, "closed by 429")
    if closing.strikes and closing.probe_at is not None and now < closing.probe_at + PROBE_S:
        return Wait(min(now + PROBE_POLL_S, closing.probe_at + PROBE_S), "closed by 429")
    return None


def charged(closing: Closing, now: float) -> Closing:
    """Note that a request was charged: after a closure it is the probe."""
    return replace(closing, probe_at=now if closing.strikes else None)


def answered(state: State, seen: Observation, now: float) -> Closing:
    """Return what a response makes of the closing.

    A 429 closes. The answer to the probe opens, unless it is a fault of the server. A response to a request that was
    sent before the closure ended proves nothing.
    """
    closing = state.closing
    if seen.status == 429:
        return _closed(state, _lowered(state, seen, now), seen, now)
    if not closing.strikes or seen.sent_at < closing.until:
        return closing
    return replace(closing, probe_at=None, strikes=0 if 100 <= seen.status < 500 else closing.strikes)


def _closed(state: State, closing: Closing, seen: Observation, now: float) -> Closing:
    """Close. The 429s of one flight are one event; the next one, of a probe, doubles the wait."""
    is_same_event = closing.strikes > 0 and seen.sent_at <= closing.at
    until = closing.until if is_same_event else now
    if seen.retry_after_s is not None:
        until = max(until, now + seen.retry_after_s)
    elif seen.day_remaining == 0 and not doubts_day(state.day, seen, now):
        until = max(until, day_ends_at(state.day))
    elif not is_same_event:
        until = now + _unexplained_s(state, now)
    if is_same_event:
        return replace(closing, until=until)
    return replace(closing, at=now, until=until, strikes=closing.strikes + 1, probe_at=None)


def _unexplained_s(state: State, now: float) -> float:
    """Return how long to close when no header says it: until the oldest charge leaves the minute, or twice as long."""
    shortest_s, first_s, longest_s = CLOSE_S
    kept = later_than(state.charges, slot_of(now) - KEPT_SLOTS)
    oldest = min((charges.slot for charges in kept), default=slot_of(now))
    leaves_s = min(first_s, max(shortest_s, (oldest + WINDOW_SLOTS) * SLOT_S - now))
    closing = state.closing
    doubled_s = 2 * (closing.until - closing.at) if closing.strikes else 0.0
    return min(longest_s, max(leaves_s, doubled_s))


def _lowered(state: State, seen: Observation, now: float) -> Closing:
    """Lower the minute to what had passed, if no header explains the 429: the limit is wrong, or unknown."""
    closing = state.closing
    if seen.minute_remaining == 0 or seen.day_remaining == 0:
        return closing
    slot = slot_of(seen.sent_at)
    passed = sum(spent(state.charges, slot - MINUTE_SLOTS, slot))
    lowest = least(max(CEILING_FLOOR, passed), ceiling(closing, now))
    return replace(closing, ceiling=lowest, ceiling_until=now + CEILING_S)

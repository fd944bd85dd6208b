"""After a 429: which scope is closed, for how long, and the single probe that follows.

This module alone decides what a 429 does; `ladder` holds the rules of one scope. Evidence has an order: a header of
the refusal itself, then what passed, then a guess. A Remaining of 0 closes the source, a Retry-After the endpoint. A
refusal that no header explains is the endpoint's, until a second endpoint is refused within moments.
"""

from typing import Final

from msgspec.structs import replace

from syncd.contract import Lane
from syncd.upstream.budget import ladder
from syncd.upstream.budget.charges import KEPT_SLOTS, SLOT_S, WINDOW_SLOTS, later_than, slot_of
from syncd.upstream.budget.day import day_ends_at, doubts_day
from syncd.upstream.budget.endpoints import counted, found, is_idle, stored, traffic, uncounted
from syncd.upstream.budget.endpoints import set_back as endpoint_set_back
from syncd.upstream.budget.state import Closing, Endpoint, Observation, State, Wait

PROBE_S: Final = 60.0
"""A probe that was never answered (crash, lost connection) is given up after this."""
PROBE_POLL_S: Final = 1.0
"""Meanwhile the others ask this often,"""
PROBE_POLL_FIRST_S: Final = 0.05
"""and more often after a first refusal; doubled with each further one."""
CLOSE_S: Final = (5.0, 60.0, 900.0)
"""When a header says that the minute is spent: shortest, longest at first, longest after doubling."""
MOMENTS_S: Final = 10.0
"""A second endpoint that is refused within this time makes the source the scope."""
SECOND_S: Final = 2.0
"""A Retry-After of at most this speaks of a limit per second."""
SPREAD_S: Final = 61.0
"""What an endpoint's minute holds is spread over this: a bucket that is refilled evenly refuses what comes sooner."""
CATCH_UP_S: Final = 0.5
"""A pace that woke up late catches up this much,"""
CATCH_UP_SHARE: Final = 0.3
"""and a pace per second at most this part of its spacing: after a closure a whole request more in the first second is
refused again."""


# --- Before a request


def wait_while_closed(state: State, now: float, lane: Lane, endpoint: str) -> Wait | None:
    """Tell until when the source or the endpoint keeps a request from being sent."""
    waits = [_wait_of(state.closing, now, lane)]
    if endpoint:
        known = found(state.endpoints, endpoint)
        waits += [_wait_of(known.closing, now, lane), _wait_for_ceiling(known, now)]
    return max((wait for wait in waits if wait is not None), key=lambda wait: wait.until, default=None)


def _wait_of(closing: Closing, now: float, lane: Lane) -> Wait | None:
    """Tell until when one scope is closed, waits for the answer to a probe, or is paced."""
    if now < closing.until:
        return Wait(closing.until, "closed by 429")
    if closing.strikes and closing.probe_at is not None and now < closing.probe_at + PROBE_S:
        poll_s = min(PROBE_POLL_S, PROBE_POLL_FIRST_S * 2.0 ** (closing.strikes - 1))
        return Wait(min(now + poll_s, closing.probe_at + PROBE_S), "closed by 429")
    spacing_s = _spacing_s(closing, now)
    next_at = closing.next_at - (spacing_s if lane == "live" else 0.0)  # live goes before a backfill
    return Wait(next_at, "pacing") if spacing_s and now < next_at else None


def _spacing_s(closing: Closing, now: float) -> float:
    """Return the seconds between two requests of a scope; 0: it is not paced."""
    pace = ladder.pace_per_s(closing, now)
    return 0.0 if pace is None else 1.0 / pace


def _wait_for_ceiling(endpoint: Endpoint, now: float) -> Wait | None:
    """Tell until when an endpoint's minute is full, and spread what it holds; the source's is one with its minute."""
    most = ladder.ceiling(endpoint.closing, now)
    if most is None:
        return None
    passed = traffic((endpoint,), now)
    if passed.window >= most:
        return Wait(passed.leaves_at, "minute window")
    return Wait(endpoint.closing.next_at, "pacing") if now < endpoint.closing.next_at else None


def charged(state: State, now: float, endpoint: str) -> State:
    """Note that a request was charged: after a closure it is the probe."""
    known = counted(found(state.endpoints, endpoint), now)
    closing = _charged(known.closing, now)
    most = ladder.ceiling(closing, now)
    if endpoint and most is not None:
        spacing_s = SPREAD_S / most
        closing = replace(closing, next_at=max(closing.next_at, now - CATCH_UP_S) + spacing_s)
    others = tuple(one for one in state.endpoints if not is_idle(one, now))
    return replace(
        state,
        closing=_charged(state.closing, now),
        endpoints=stored(others, replace(known, closing=closing)),
    )


def _charged(closing: Closing, now: float) -> Closing:
    spacing_s = _spacing_s(closing, now)
    if not spacing_s and not closing.strikes:
        return closing
    late_s = min(CATCH_UP_S, CATCH_UP_SHARE * spacing_s)
    next_at = max(closing.next_at, now - late_s) + spacing_s if spacing_s else closing.next_at
    return replace(closing, probe_at=now if closing.strikes else None, next_at=next_at)


def settled(state: State, now: float) -> State:
    """Forget what is long past."""
    closing = ladder.forgotten(state.closing, now)
    if closing is not state.closing:
        state = replace(state, closing=closing)
    if any(ladder.forgotten(one.closing, now) is not one.closing for one in state.endpoints if one.closing.at):
        kept = (replace(one, closing=ladder.forgotten(one.closing, now)) for one in state.endpoints)
        state = replace(state, endpoints=tuple(kept))
    return state


def set_back(state: State, now: float) -> State:
    """Follow a clock that was set back: no closure lasts longer for it."""
    endpoints = (endpoint_set_back(one, now, _set_back(one.closing, now)) for one in state.endpoints)
    return replace(state, closing=_set_back(state.closing, now), endpoints=tuple(endpoints))


def _set_back(closing: Closing, now: float) -> Closing:
    return replace(
        closing,
        at=min(closing.at, now),
        until=min(closing.until, now + closing.until - closing.at),
        probe_at=None if closing.probe_at is None else min(closing.probe_at, now),
        ceiling_until=min(closing.ceiling_until, now + ladder.BELIEVED_S),
        raised_at=min(closing.raised_at, now),
        next_at=min(closing.next_at, now),
    )


# --- After an answer


def is_struck(state: State) -> bool:
    """Tell whether a scope waits for the answer to a probe, which all processes should learn of at once."""
    return state.closing.strikes > 0 or any(one.closing.strikes for one in state.endpoints)


def answered(state: State, seen: Observation, now: float) -> State:
    """Return what a response makes of the closings.

    A 429 closes. The answer to the probe opens, unless it is a
    fault of the server. A response to a request that was sent before the closure ended proves nothing.
    """
    if seen.status == 429:
        known = uncounted(found(state.endpoints, seen.endpoint), seen.sent_at)
        if known.counts:
            state = replace(state, endpoints=stored(state.endpoints, known))
        return _refused(state, seen, now)
    source = _answered(state.closing, state.endpoints, seen, now)
    known = found(state.endpoints, seen.endpoint)
    closing = _answered(known.closing, (known,), seen, now)
    if closing is not known.closing:
        endpoints = tuple(replace(one, closing=closing) if one is known else one for one in state.endpoints)
        state = replace(state, endpoints=endpoints)
    return state if source is state.closing else replace(state, closing=source)


def _answered(closing: Closing, endpoints: tuple[Endpoint, ...], seen: Observation, now: float) -> Closing:
    """Return what an answer other than 429 makes of one scope."""
    if not closing.at or seen.sent_at < closing.until:
        return closing
    if not 100 <= seen.status < 500:
        return replace(closing, probe_at=None) if closing.strikes else closing
    closing = ladder.passed(closing)
    if not ladder.has_limit(closing):
        return closing
    says_left = (seen.minute_remaining or 0) > 0 and seen.day_remaining != 0
    is_lone = closing.lifted == 0 and now >= closing.raised_at + ladder.LONE_S
    if is_lone or (says_left and closing.lifted < ladder.LIFTS):
        return ladder.let_go(closing, now)
    return ladder.tried(closing, traffic(endpoints, seen.sent_at), now)


def _refused(state: State, seen: Observation, now: float) -> State:
    """Close the scope that the evidence names."""
    if seen.retry_after_s is not None:
        is_sources = seen.minute_remaining == 0 or seen.day_remaining == 0
        return _closed(state, seen, now, "" if is_sources else _scope(state, seen, now))
    if seen.minute_remaining == 0 or seen.day_remaining == 0:
        return replace(state, closing=_spent(state, seen, now))
    return _closed(state, seen, now, _scope(state, seen, now))


def _scope(state: State, seen: Observation, now: float) -> str:
    """Return the endpoint that was refused; "" for the source, if another endpoint was refused within moments."""
    if state.closing.strikes or state.closing.raised > 1:
        return ""
    refused_at = (one.closing.at for one in state.endpoints if one.closing.at and one.name != seen.endpoint)
    return "" if any(max(now, seen.sent_at) - at < MOMENTS_S for at in refused_at) else seen.endpoint


def _closed(state: State, seen: Observation, now: float, scope: str) -> State:
    """Close one scope for what its refusal says or teaches."""
    if not scope:
        return replace(state, closing=_closing(state.closing, state.endpoints, seen, now))
    known = found(state.endpoints, scope)
    return replace(
        state,
        endpoints=stored(state.endpoints, replace(known, closing=_closing(known.closing, (known,), seen, now))),
    )


def _closing(closing: Closing, endpoints: tuple[Endpoint, ...], seen: Observation, now: float) -> Closing:
    """Close. The 429s of one flight are one event; the next one is of a probe."""
    passed = traffic(endpoints, seen.sent_at)
    if seen.sent_at <= closing.at:
        until = max(closing.until, now + (seen.retry_after_s or 0.0))
        return replace(ladder.same_flight(closing, passed), until=until)
    if seen.retry_after_s is None:
        return ladder.refused(closing, passed, now)
    if closing.strikes == 0:
        is_minute = closing.ceiling is not None or seen.retry_after_s > SECOND_S
        closing = ladder.learned(closing, passed, now, is_minute=is_minute)
        closing = replace(closing, peak_per_s=0.0)  # the wait is the server's own; nothing slower was asked for
    until = now + seen.retry_after_s
    return replace(closing, at=now, until=until, strikes=closing.strikes + 1, probe_at=None, passed=0)


def _spent(state: State, seen: Observation, now: float) -> Closing:
    """Close the source, because a header says that its minute or its day is spent."""
    closing = state.closing
    is_same_event = closing.strikes > 0 and seen.sent_at <= closing.at
    until = closing.until if is_same_event else now
    if seen.day_remaining == 0 and not doubts_day(state.day, seen, now):
        until = max(until, day_ends_at(state.day))
    elif not is_same_event:
        until = now + _minute_s(state, now)
    if is_same_event:
        return replace(closing, until=until)
    return replace(closing, at=now, until=until, strikes=closing.strikes + 1, probe_at=None, passed=0)


def _minute_s(state: State, now: float) -> float:
    """Return how long to close for a minute: until the oldest charge leaves it, or twice as long as last time."""
    shortest_s, first_s, longest_s = CLOSE_S
    kept = later_than(state.charges, slot_of(now) - KEPT_SLOTS)
    oldest = min((charges.slot for charges in kept), default=slot_of(now))
    leaves_s = min(first_s, max(shortest_s, (oldest + WINDOW_SLOTS) * SLOT_S - now))
    closing = state.closing
    doubled_s = 2 * (closing.until - closing.at) if closing.strikes else 0.0
    return min(longest_s, max(leaves_s, doubled_s))

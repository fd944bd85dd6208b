"""What one scope learns from refusals that no header explains, and from what passes afterwards.

A scope is an endpoint or the source. The narrowest window that may explain a refusal is tried first: the moment, the
second, the minute, then longer ones. Two refusals with many good answers between them are strays. Two at about the
same pace with few between them are a limit. A limit is held, and tried beyond ever more rarely.
"""

import math
from typing import Final

from msgspec.structs import replace

from syncd.upstream.budget.endpoints import Traffic
from syncd.upstream.budget.state import HELD, NEVER, Closing

FIRST_S: Final = 0.25
"""After a first refusal the scope is closed for a moment,"""
SECOND_S: Final = 1.0
"""after a second one in a row for a window of a second,"""
MINUTE_S: Final = (2.0, 30.0)
"""after a third one so long (first: no ceiling was known; second: one was); after each further one twice as long,"""
LONGEST_S: Final = 900.0
"""but not longer than this."""
TOLERATED: Final = 200
"""So many good answers between two refusals make them strays: 0.5 %."""
RISES_IN: Final = 40.0
"""A halved pace rises by its peak in so many good answers, or in so many seconds."""
GIVEN_UP: Final = 1.5
"""A halved pace that has risen to this part of its peak bounds no more."""
SAME: Final = (0.7, 1.4)
"""Two paces whose ratio lies between these are about the same."""
NEAR: Final = 0.8
"""A minute that held less than this part of its ceiling was not refused for the ceiling."""
LOWER: Final = (0.9, 0.98)
"""A limit per second that is refused although it is held becomes what passed, but lower by these factors at most and at
least."""
PACE_S: Final = 2.0
"""A pace is measured over the last second or two."""
LONE_S: Final = 120.0
"""A limit is held for so long, and let go then if it was met for the first time,"""
BELIEVED_S: Final = 3600.0
"""and for so long after the last refusal."""
REMEMBERED_S: Final = 600.0
"""A refusal that taught no limit is forgotten after this."""
TRIAL: Final = 1.1
"""A limit is tried beyond by this factor,"""
TRIAL_MORE: Final = 1.5
"""and by this one, once that has passed."""
TRIAL_FINE: Final = 1.03
"""A limit per second whose trial was refused before is only tried by this factor, and step by step."""
LET_GO: Final = 1000.0
"""The factor of a limit that bounds no more, but is remembered: one refusal brings it back."""
TRIAL_S: Final = 10.0
"""A pace has passed when it was kept for so long."""
FREE_TRIALS: Final = 2
"""The first trials need only that a limit was held for LONE_S,"""
TRIAL_ANSWERS: Final = (600, 1000)
"""later ones so many good answers, too: for a minute (one refusal each), for a second (some)."""
LIFTS: Final = 2
"""So often the server's headers end a limit; one that is met again nevertheless is none that they tell of."""


def ceiling(closing: Closing, now: float) -> int | None:
    """Return how many requests of a minute may pass, None if no limit is believed."""
    if closing.ceiling is None or now >= closing.ceiling_until:
        return None
    return None if closing.raised == LET_GO else _beyond(closing.ceiling, closing.raised)


def _beyond(ceiling: int, raised: float) -> int:
    return math.ceil(ceiling * raised - 1e-9)


def pace_per_s(closing: Closing, now: float) -> float | None:
    """Return the requests per second that may pass, None if the pace is not bounded."""
    paces = []
    if closing.limit_per_s:
        paces.append(closing.limit_per_s * closing.raised)
    risen = 0.5 + max(closing.passed, now - closing.at) / RISES_IN
    if closing.peak_per_s and risen < GIVEN_UP:
        paces.append(closing.peak_per_s * risen)
    return min(paces, default=None)


def has_limit(closing: Closing) -> bool:
    """Tell whether a limit is believed."""
    return closing.ceiling is not None or closing.limit_per_s > 0


def forgotten(closing: Closing, now: float) -> Closing:
    """Forget what is long past."""
    if closing.at == NEVER:
        return closing
    believed_s = BELIEVED_S if has_limit(closing) else REMEMBERED_S
    if closing.strikes or now < max(closing.at + believed_s, closing.until, closing.ceiling_until):
        return closing
    return Closing()


def refused(closing: Closing, traffic: Traffic, now: float) -> Closing:
    """Close after a refusal that no header explains; `traffic` is what passed before it."""
    if closing.strikes == 0:
        learnt = learned(closing, traffic, now, is_minute=closing.ceiling is not None)
        return replace(learnt, at=now, until=now + FIRST_S, strikes=1, probe_at=None, passed=0)
    if closing.strikes == 1:
        return replace(closing, at=now, until=now + SECOND_S, strikes=2, probe_at=None, passed=0)
    shortest_s = MINUTE_S[closing.ceiling is not None]
    longer_s = 2 * (closing.until - closing.at) if closing.strikes > 2 else 0.0
    return replace(
        _minute_learned(closing, traffic.minute, now),
        at=now,
        until=now + min(LONGEST_S, max(shortest_s, longer_s)),
        strikes=closing.strikes + 1,
        probe_at=None,
        passed=0,
    )


def learned(closing: Closing, traffic: Traffic, now: float, *, is_minute: bool) -> Closing:
    """Return what the first refusal in a row teaches: a limit of the minute or of the second, or only a slower pace."""
    pace = traffic.pace or NEVER
    is_tried = HELD < closing.raised < LET_GO
    least, most = SAME
    is_same = closing.peak_per_s > 0 and least <= pace / closing.peak_per_s <= most
    slower = replace(closing, peak_per_s=pace, proven=closing.proven + is_tried)
    if not is_tried and not (closing.at > NEVER and closing.passed < TOLERATED):
        return slower
    slower = replace(slower, raised=HELD, raised_at=now)
    if is_minute:
        is_full = is_same or traffic.minute >= NEAR * (closing.ceiling or 0)
        return _minute_learned(slower, traffic.minute, now) if is_full and traffic.minute else slower
    if is_tried:
        return replace(slower, peak_per_s=NEVER)
    if closing.limit_per_s and closing.raised == HELD:
        lowest, highest = (closing.limit_per_s * factor for factor in LOWER)
        is_told = now >= closing.until + PACE_S  # else the pace was measured over the closure, too
        lower = replace(slower, limit_per_s=min(highest, max(lowest, pace)) if is_told else highest)
        return replace(lower, peak_per_s=NEVER) if pace >= least * closing.limit_per_s else lower
    return replace(slower, limit_per_s=pace) if is_same else slower


def same_flight(closing: Closing, traffic: Traffic) -> Closing:
    """Lower a ceiling that a refusal has just taught by another request that was under way and refused with it."""
    if closing.ceiling is None or closing.raised_at != closing.at:
        return closing
    return replace(closing, ceiling=max(1, min(closing.ceiling, traffic.minute)))


def _minute_learned(closing: Closing, passed: int, now: float) -> Closing:
    """Believe that no more passes in a minute than did. If nothing did, it is not the minute that is refused."""
    return replace(
        closing,
        ceiling=passed or None,
        ceiling_until=now + BELIEVED_S if passed else NEVER,
        limit_per_s=NEVER,
        peak_per_s=NEVER,
        raised=HELD,
        raised_at=now,
    )


def passed(closing: Closing) -> Closing:
    """Count a good answer, which ends a row of refusals."""
    return replace(closing, strikes=0, probe_at=None, passed=closing.passed + 1)


def let_go(closing: Closing, now: float) -> Closing:
    """Be bound by a limit no more, but remember it."""
    return replace(closing, peak_per_s=NEVER, raised=LET_GO, raised_at=now, lifted=closing.lifted + 1)


def tried(closing: Closing, traffic: Traffic, now: float) -> Closing:
    """Try beyond a limit when that is due, and further when it has passed."""
    if closing.raised == HELD:
        answers = TRIAL_ANSWERS[closing.ceiling is None] if closing.proven >= FREE_TRIALS else 0
        is_due = now >= closing.raised_at + LONE_S and closing.passed >= answers
        return replace(closing, raised=_step(closing, TRIAL), raised_at=now) if is_due else closing
    if closing.raised == LET_GO:
        return closing
    if closing.ceiling is not None:
        beyond = _beyond(closing.ceiling, closing.raised)
        if traffic.minute < beyond:
            return closing
        return replace(closing, ceiling=beyond, raised=TRIAL_MORE, raised_at=now)
    half_way = closing.limit_per_s * (1 + closing.raised) / 2
    if now < closing.raised_at + TRIAL_S or (traffic.pace or 0) < half_way:
        return closing
    raised = _step(closing, TRIAL_MORE)
    return replace(closing, limit_per_s=closing.limit_per_s * closing.raised, raised=raised, raised_at=now)


def _step(closing: Closing, usual: float) -> float:
    """Return the factor of the next trial."""
    return TRIAL_FINE if closing.ceiling is None and closing.proven else usual

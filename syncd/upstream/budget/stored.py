"""The form in which PostgreSQL holds a state (`syncd.budgets.state`): one flat JSON object of some kB.

The form is that of version 0.1.0 with fields added, so that an upgrade and a downgrade both find what was spent. A
field that is at its default is left out. An unknown field is ignored.
"""

import msgspec

from syncd.upstream.budget.charges import Charges
from syncd.upstream.budget.state import HELD, NEVER, Closing, Day, Endpoint, Limits, Pace, Sight, State


class _Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields as they are stored; a field may be added, but never renamed."""

    last_at: float = NEVER
    charges: tuple[Charges, ...] = ()
    sights: tuple[Sight, ...] = ()
    minute_limit: int | None = None
    day_limit: int | None = None
    limits_at: float = NEVER
    ceiling: int | None = None
    ceiling_until: float = NEVER
    day_began_at: float = NEVER
    day_ends_at: float | None = None
    day_live: int = 0
    day_backfill: int = 0
    day_capacity: int | None = None
    day_seen_at: float = NEVER
    day_parts: tuple[Charges, ...] = ()
    closed_at: float = NEVER
    closed_until: float = NEVER
    strikes: int = 0
    probe_at: float | None = None
    live_next_at: float | None = None
    backfill_next_at: float | None = None
    passed: int = 0
    peak_per_s: float = NEVER
    limit_per_s: float = NEVER
    raised: float = HELD
    raised_at: float = NEVER
    proven: int = 0
    lifted: int = 0
    next_at: float = NEVER
    endpoints: tuple[Endpoint, ...] = ()


def encode(state: State) -> str:
    """Return a state as JSON."""
    limits, day, closing, pace = state.limits, state.day, state.closing, state.pace
    stored = _Stored(
        last_at=state.last_at,
        charges=state.charges,
        sights=state.sights,
        minute_limit=limits.minute,
        day_limit=limits.day,
        limits_at=limits.at,
        ceiling=closing.ceiling,
        ceiling_until=closing.ceiling_until,
        day_began_at=day.began_at,
        day_ends_at=day.ends_at,
        day_live=day.live,
        day_backfill=day.backfill,
        day_capacity=day.capacity,
        day_seen_at=day.seen_at,
        day_parts=day.parts,
        closed_at=closing.at,
        closed_until=closing.until,
        strikes=closing.strikes,
        probe_at=closing.probe_at,
        live_next_at=pace.live,
        backfill_next_at=pace.backfill,
        passed=closing.passed,
        peak_per_s=closing.peak_per_s,
        limit_per_s=closing.limit_per_s,
        raised=closing.raised,
        raised_at=closing.raised_at,
        proven=closing.proven,
        lifted=closing.lifted,
        next_at=closing.next_at,
        endpoints=state.endpoints,
    )
    return msgspec.json.encode(stored).decode()


def decode(text: str | bytes) -> State:
    """Read a state from JSON. Raises msgspec.MsgspecError if it is none."""
    stored = msgspec.json.decode(text, type=_Stored)
    return State(
        last_at=stored.last_at,
        charges=stored.charges,
        sights=stored.sights,
        limits=Limits(minute=stored.minute_limit, day=stored.day_limit, at=stored.limits_at),
        day=Day(
            began_at=stored.day_began_at,
            ends_at=stored.day_ends_at,
            live=stored.day_live,
            backfill=stored.day_backfill,
            capacity=stored.day_capacity,
            seen_at=stored.day_seen_at,
            parts=stored.day_parts,
        ),
        closing=Closing(
            at=stored.closed_at,
            until=stored.closed_until,
            strikes=stored.strikes,
            probe_at=stored.probe_at,
            ceiling=stored.ceiling,
            ceiling_until=stored.ceiling_until,
            passed=stored.passed,
            peak_per_s=stored.peak_per_s,
            limit_per_s=stored.limit_per_s,
            raised=stored.raised,
            raised_at=stored.raised_at,
            proven=stored.proven,
            lifted=stored.lifted,
            next_at=stored.next_at,
        ),
        pace=Pace(live=stored.live_next_at, backfill=stored.backfill_next_at),
        endpoints=stored.endpoints,
    )

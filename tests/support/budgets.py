"""Words for tests of the arithmetic of budgets."""

import datetime as dt
import email.utils

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from syncd.contract import Lane
from syncd.upstream.budget import (
    Observation,
    Policy,
    State,
    Wait,
    acquire,
)

FIXED = settings(derandomize=True, deadline=None, max_examples=40)
DAY_S = 86_400
NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC).timestamp()
MIDNIGHT = NOON + DAY_S / 2
LANES: st.SearchStrategy[Lane] = st.sampled_from(("live", "backfill"))


def seen(sent_at: float, status: float = 200, **said: float | None) -> Observation:
    return msgspec.convert(
        {"sent_at": sent_at, "received_at": sent_at + 0.2, "status": status, **said}, type=Observation, strict=False
    )


def http_date(at_s: float) -> str:
    return email.utils.formatdate(at_s, usegmt=True)


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def drain(state: State, policy: Policy, now: float, lane: Lane = "live", most: int = 10_000) -> tuple[State, int]:
    """Acquire at one instant until told to wait."""
    for count in range(most):
        state, wait = acquire(state, policy, now, lane)
        if wait is not None:
            return state, count
    return state, most


def refusal(state: State, policy: Policy, now: float, lane: Lane = "live") -> Wait:
    wait = acquire(state, policy, now, lane)[1]
    assert wait is not None
    return wait


# Headers

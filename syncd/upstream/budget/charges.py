"""Requests that were charged, counted per slot of time: adding, forgetting and summing them.

Knows no limits, sources or headers.
"""

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from syncd.contract import Lane

SLOT_S: Final = 0.5
"""A power of two, so that slot arithmetic is exact."""
MINUTE_SLOTS: Final = 120
"""The server's minute."""
SHARE_SLOTS: Final = MINUTE_SLOTS + 1
"""A charge leaves this window 60 s after its slot's end."""
WINDOW_SLOTS: Final = MINUTE_SLOTS + 3
"""A charge leaves this window 61 s after its slot's end: tries may differ by 1 s in time on the wire."""
KEPT_SLOTS: Final = WINDOW_SLOTS + 8
"""4 s more: what was charged in the minute before a request with so late a response."""
PART_S: Final = 1200.0
"""A backfill of many days begins this much later each day: 1.4 %."""
DAY_PARTS: Final = 73
"""A charge leaves this window 24 h after its part's end."""


class Charges(msgspec.Struct, frozen=True, array_like=True):
    """Requests charged in one slot; a slot is an instant in units of SLOT_S (of a day's part: PART_S), rounded down."""

    slot: int
    live: int = 0
    backfill: int = 0

    def of(self, lane: Lane) -> int:
        """Return the requests of one lane."""
        return self.live if lane == "live" else self.backfill


def slot_of(at: float) -> int:
    """Return the slot of an instant."""
    return math.floor(at / SLOT_S)


def part_of(at: float) -> int:
    """Return the part of the day of an instant."""
    return math.floor(at / PART_S)


def added(charges: tuple[Charges, ...], slot: int, lane: Lane) -> tuple[Charges, ...]:
    """Add one request to the newest slot."""
    last = Charges(slot)
    if charges and charges[-1].slot == slot:
        charges, last = charges[:-1], charges[-1]
    return (*charges, Charges(slot, last.live + (lane == "live"), last.backfill + (lane == "backfill")))


def gathered(charges: tuple[Charges, ...], slot: int) -> tuple[Charges, ...]:
    """Put what lies in later slots into this one."""
    later = [one for one in charges if one.slot >= slot]
    if not later:
        return charges
    one = Charges(slot, sum(one.live for one in later), sum(one.backfill for one in later))
    return (*charges[: len(charges) - len(later)], one)


def later_than(charges: tuple[Charges, ...], slot: int) -> tuple[Charges, ...]:
    """Return what was charged after a slot."""
    return tuple(one for one in charges if one.slot > slot)


def spent(charges: Iterable[Charges], after: int, before: int | None = None) -> tuple[int, int]:
    """Return the requests of (live, backfill) charged in the slots between two, both excluded."""
    live = backfill = 0
    for one in charges:
        if after < one.slot and (before is None or one.slot < before):
            live += one.live
            backfill += one.backfill
    return live, backfill


def leaves_at(charges: Iterable[Charges], now: float, count: int, slots: int, lanes: tuple[Lane, ...]) -> float:
    """Return when so many of the lanes' charges will have left a window of so many slots."""
    if count <= 0:
        return now
    for one in charges:
        if one.slot > slot_of(now) - slots:
            count -= sum(one.of(lane) for lane in lanes)
            if count <= 0:
                return (one.slot + slots) * SLOT_S
    return now + slots * SLOT_S

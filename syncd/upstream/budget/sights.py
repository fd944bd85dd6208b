"""What responses said of the capacities, gathered per few seconds: the least of each holds for a minute."""

from collections.abc import Iterable
from typing import Final

from syncd.upstream.budget.charges import WINDOW_SLOTS, slot_of
from syncd.upstream.budget.state import Sight, least

SIGHT_SLOTS: Final = 8
"""Observations are merged per 4 s."""


def fresh(sights: Iterable[Sight], now: float) -> tuple[Sight, ...]:
    """Return the sights that still hold."""
    before = slot_of(now) - WINDOW_SLOTS - SIGHT_SLOTS
    return tuple(sight for sight in sights if sight.slot > before)


def merged(sights: Iterable[Sight]) -> tuple[Sight, ...]:
    """Return one sight per slot, with the least that any of them said."""
    found: dict[int, Sight] = {}
    for new in sights:
        old = found.get(new.slot, new)
        found[new.slot] = Sight(new.slot, least(old.low, new.low), least(old.high, new.high), least(old.day, new.day))
    return tuple(found.values())

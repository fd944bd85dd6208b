"""Days as PostgreSQL counts them: since 2000. Pure functions.

The driver's own codec writes the first and the last day that Python knows as -infinity and infinity.
"""

from datetime import date
from typing import Final

_EPOCH: Final = date(2000, 1, 1).toordinal()


def written(day: date) -> tuple[int]:
    """Return what the driver sends for a date."""
    return (day.toordinal() - _EPOCH,)


def read(sent: tuple[int]) -> date:
    """Return what the driver received for a date; what lies beyond the years 1 to 9999 as the nearest day in them."""
    return date.fromordinal(max(date.min.toordinal(), min(date.max.toordinal(), sent[0] + _EPOCH)))

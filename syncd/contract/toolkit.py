"""What several sources need when they read cursors, write time filters and report errors. Pure functions only."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from syncd.contract.errors import UsageError
from syncd.contract.options import OVERLAP
from syncd.contract.walk import Walk

FAULT_CHARS: Final = 200
"""Longest text of an upstream that goes into the log or an error; our choice."""


def overlap_of(walk: Walk) -> timedelta:
    """Return how far before its cursor a live walk asks again."""
    return timedelta(seconds=OVERLAP.of(walk.options))


def fault_text(text: str) -> str:
    """Return a text of the upstream as one printable line of at most FAULT_CHARS characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:FAULT_CHARS]


def cursor_time(value: Any) -> datetime:
    """Read a time of a cursor, which an operator may have set by hand; a time without a zone is UTC.

    Raises UsageError for what is no time in ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the cursor holds {str(value)[:60]!r} where a time is expected",
            hint="set it anew, or reset it: syncd cursor",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def earliest_reading(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return a zone-less time that means `moment` or earlier, whether it is read as UTC or as local time in `zone`.

    Holds in the autumn hour that comes twice, too: every offset of the days around counts.
    """
    return moment.astimezone(UTC).replace(tzinfo=None) + min(timedelta(0), *_offsets(moment, zone))


def latest_reading(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return a zone-less time that means `moment` or later, whether it is read as UTC or as local time in `zone`."""
    return moment.astimezone(UTC).replace(tzinfo=None) + max(timedelta(0), *_offsets(moment, zone))


def _offsets(moment: datetime, zone: ZoneInfo) -> list[timedelta]:
    around = [(moment + timedelta(days=days)).astimezone(zone) for days in (-1, 0, 1)]
    return [local.utcoffset() or timedelta(0) for local in around]

"""Times and dates as upstreams write them."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DOTNET_DATE = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")
_LOCAL_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def instant(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """Read an upstream's time as an aware instant; a time without a zone is local time in `zone`.

    Returns the instant (None if unreadable) and whether it alone gives the text back. A local time that comes twice is
    the first of the two; one that never comes (the spring gap) is read with the offset before the gap, and does not
    give its text back. `/Date(ms±zzzz)/` counts UTC milliseconds whatever its suffix (FACTS, GHS).
    """
    if dotnet := _DOTNET_DATE.fullmatch(text):
        try:
            moment = EPOCH + timedelta(milliseconds=int(dotnet[1]))
        except OverflowError:
            return None, False
        return (None, False) if moment.year == 1 else (moment, True)
    if not (parts := _LOCAL_TIME.fullmatch(text)):
        return None, False
    day, clock, fraction, offset = parts.groups()
    try:
        naive = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}")
        if offset:
            return datetime.fromisoformat(f"{naive.isoformat()}{offset.replace('Z', '+00:00')}"), len(
                fraction or ""
            ) < 7
        moment = naive.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, False
    return moment, moment.astimezone(zone).replace(tzinfo=None) == naive and len(fraction or "") < 7


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


def read_date(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read a date; of a date with a time only the day fits."""
    if not isinstance(value, str):
        return None, False
    if _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value), True
        except ValueError:
            return None, False
    moment, _ = instant(value, zone)
    if moment is None:
        return None, False
    return (date.fromisoformat(value[:10]) if _DATE.match(value) else moment.astimezone(zone).date()), False


def read_timestamp(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read an instant; a bare date is its midnight in `zone`, and does not fit."""
    if not isinstance(value, str):
        return None, False
    if _DATE.fullmatch(value):
        return instant(f"{value} 00:00:00", zone)[0], False
    return instant(value, zone)

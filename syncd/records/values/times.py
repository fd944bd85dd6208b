"""Times and dates as upstreams write them."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
"""The instants that are stored: in every time zone they lie in the years 1 to 9999, which is what drivers can read."""

_DOTNET_DATE = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/", re.ASCII)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_LOCAL_TIME = re.compile(rf"(\d{{4}}-\d\d-\d\d)[ T]({_CLOCK})(?:\.(\d{{1,9}}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_OTHER_FORM = re.compile(
    r"(?:(\d{4})-(\d\d)-(\d\d)|(\d\d)-(\d\d)-(\d{4}))(?: ((?:[01]\d|2[0-3]):[0-5]\d)(:[0-5]\d)?)?", re.ASCII
)


def instant(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """Read an upstream's time as an aware instant; a time without a zone is local time in `zone`.

    Returns the instant (None if unreadable) and whether it alone gives the text back. A local time that comes twice is
    the first of the two; one that never comes (the spring gap) is read with the offset before the gap, and does not
    give its text back. `/Date(ms±zzzz)/` counts UTC milliseconds whatever its suffix (FACTS, GHS). The day may come
    first, and the seconds may lack (STREAMS R10). An instant before EARLIEST or after LATEST counts as unreadable.
    """
    moment, fits = _anywhen(plain_form(text), zone)
    return (moment, fits) if moment is not None and EARLIEST <= moment <= LATEST else (None, False)


def plain_form(text: str) -> str:
    """Return a time or a day as 2026-11-28 10:00:00 where its day comes first or its seconds lack; else as it is."""
    if len(text) > 19 or not (parts := _OTHER_FORM.fullmatch(text)):
        return text
    year, month, day, first, second, third, clock, seconds = parts.groups()
    written = f"{year or third}-{month or second}-{day or first}"
    return f"{written} {clock}{seconds or ':00'}" if clock else written


def _anywhen(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """Read a time as `instant` does, in whatever year it lies."""
    if dotnet := _DOTNET_DATE.fullmatch(text):
        try:
            return EPOCH + timedelta(milliseconds=int(dotnet[1])), True
        except OverflowError:
            return None, False
    if not (parts := _LOCAL_TIME.fullmatch(text)):
        return None, False
    day, clock, fraction, offset = parts.groups()
    try:
        naive = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}")
        if offset:
            moment = datetime.fromisoformat(f"{naive.isoformat()}{offset.replace('Z', '+00:00')}")
            return moment, len(fraction or "") < 7
        moment = naive.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, False
    return moment, moment.astimezone(zone).replace(tzinfo=None) == naive and len(fraction or "") < 7


def is_day(text: str) -> bool:
    """Say whether a text looks like a day, as in 2026-11-28."""
    return _DATE.fullmatch(text) is not None


def read_date(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read a date; of a date with a time only the day fits."""
    if not isinstance(value, str):
        return None, False
    value = plain_form(value)
    if _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value), True
        except ValueError:
            return None, False
    if _DATE.match(value):
        moment, _ = _anywhen(value, zone)
        return (None if moment is None else date.fromisoformat(value[:10])), False
    moment, _ = instant(value, zone)
    return (None if moment is None else moment.astimezone(zone).date()), False


def read_timestamp(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read an instant; a bare date is its midnight in `zone`, and does not fit."""
    if not isinstance(value, str):
        return None, False
    value = plain_form(value)
    if _DATE.fullmatch(value):
        return instant(f"{value} 00:00:00", zone)[0], False
    return instant(value, zone)

"""The fast reader of times: what is the same for a whole day is worked out once a day."""

from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from syncd.records.values.pg_instant import microseconds
from syncd.records.values.times import is_day, read_timestamp

ODD: Any = object()
"""Stands for a value that is not as documented."""
DAYS_CACHED = 10_000
NOON = timedelta(hours=12)
_FIRST_DAY, _LAST_DAY = "0001-01-03", "9999-12-29"
"""Days between these two lie wholly within the instants that are stored, whatever the zone."""

_MINUTES = {f"{at // 60:02d}:{at % 60:02d}": at * 60_000_000 for at in range(24 * 60)}
_SECONDS = {f":{at:02d}": at * 1_000_000 for at in range(60)}


def fitting(reading: tuple[Any, bool]) -> Any:
    """Return the value of a reading, `ODD` if it does not hold all that was sent."""
    value, fits = reading
    return value if fits else ODD


class Times:
    """Reads times; knows of each day whether one offset holds all through it."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._offsets: dict[str, timezone | None] = {}
        self._midnights: dict[str, int] = {}

    def read(self, text: str) -> Any:
        """Return an instant."""
        if (
            len(text) == 19
            and text[10] in " T"
            and text[11:16] in _MINUTES
            and text[16:] in _SECONDS
            and text[2] != "-"
        ):
            try:
                if offset := self._offset(text[:10]):
                    return datetime.fromisoformat(text).replace(tzinfo=offset)
            except (ValueError, OverflowError):
                return ODD
        return fitting(read_timestamp(text, self._zone))

    def count(self, text: str) -> Any:
        """Return an instant as PostgreSQL counts it; days and minutes that were seen before are not read again."""
        midnight, minutes, seconds = text[:10], text[11:16], text[16:]
        try:
            if text[10] in " T":
                return self._midnights[midnight] + _MINUTES[minutes] + _SECONDS[seconds]
        except (KeyError, IndexError):
            pass
        moment = self.read(text)
        if moment is ODD:
            return ODD
        counted = microseconds(moment)
        if seconds in _SECONDS and minutes in _MINUTES and self._offsets.get(midnight):
            if len(self._midnights) >= DAYS_CACHED:
                self._midnights.clear()
            self._midnights[midnight] = counted - _MINUTES[minutes] - _SECONDS[seconds]
        return counted

    def _offset(self, day: str) -> timezone | None:
        """Return the offset of the zone on a day.

        None if the clocks are changed on it, or if not all of it lies in the years that are stored. Raises ValueError
        for what is no day.
        """
        if day not in self._offsets:
            if not is_day(day):
                raise ValueError(day)
            if len(self._offsets) >= DAYS_CACHED:
                self._offsets.clear()
            morning = datetime.combine(date.fromisoformat(day), time.min, tzinfo=self._zone)
            offsets = {morning.utcoffset(), (morning + timedelta(days=1)).utcoffset(), (morning + NOON).utcoffset()}
            first = offsets.pop()
            is_plain = first is not None and not offsets and _FIRST_DAY < day < _LAST_DAY
            self._offsets[day] = timezone(first) if is_plain and first is not None else None
        return self._offsets[day]

"""An instant as it is typed on the command line."""

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from syncd.errors import UsageError

FORMS: Final = "2026, 2026-01, 2026-01-31 or 2026-01-31T08:00"
_YEAR: Final = re.compile(r"(\d{4})(?:-(\d{1,2}))?")


def parse_instant(text: str, zone: ZoneInfo, option: str) -> datetime:
    """Return the instant in UTC; a year, a month or a day alone means its beginning, in `zone` as all without a zone.

    Raises UsageError that names the option.
    """
    try:
        if found := _YEAR.fullmatch(text.strip()):
            moment = datetime(int(found[1]), int(found[2] or 1), 1)  # noqa: DTZ001  the zone comes below
        else:
            moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text}: no date or time", hint=FORMS) from None

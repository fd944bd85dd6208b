"""Crontabs: checked when the configuration is read, and written so that APScheduler means what cron means.

APScheduler 3 counts weekdays from Monday and joins day and weekday by "and" where cron says "or". Weekdays as names
mean the same to both, and a crontab that sets both fields is refused.
"""

import re
from datetime import UTC, datetime
from typing import Final

_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron counts from Sunday, which is 0 and 7
_WEEKDAY: Final = f"{'|'.join(_WEEKDAYS)}|[0-7]"
_WEEKDAY_ITEM: Final = re.compile(rf"(?:\*|({_WEEKDAY})(?:-({_WEEKDAY}))?)(?:/([1-7]))?")


def parse_cron(text: str) -> str:
    """Check a crontab of five fields, in UTC; return it with weekdays as names, or raise ValueError that says why."""
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f'expected five fields (minute hour day month weekday), found {len(fields)} in "{text}"')
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError('set the day of the month or the day of the week, not both; the other one is "*"')
    if fields[4] != "*":
        fields[4] = _weekday_names(fields[4])
    from apscheduler.triggers.cron import CronTrigger

    crontab = " ".join(fields)
    try:
        next_at = CronTrigger.from_crontab(crontab, timezone=UTC).get_next_fire_time(None, datetime.now(UTC))
    except (ValueError, KeyError) as error:
        raise ValueError(f'"{text}" is not a crontab: {error}') from None
    if next_at is None:
        raise ValueError(f'"{text}" never comes')
    return crontab


def _weekday_names(items: str) -> str:
    chosen: set[int] = set()
    for item in items.split(","):
        match = _WEEKDAY_ITEM.fullmatch(item)
        if not match:
            raise ValueError(f'"{item}" is not a day of the week; write mon, mon-fri or 0 to 7 (0 and 7 are Sunday)')
        first = _weekday(match[1]) if match[1] else 0
        last = _weekday(match[2]) if match[2] else first if match[1] and not match[3] else 6
        end = last + (8 if last < first else 1)  # fri-mon runs over the week's end
        chosen.update(day % 7 for day in range(first, end, int(match[3] or 1)))
    return ",".join(_WEEKDAYS[day] for day in sorted(chosen))


def _weekday(word: str) -> int:
    return _WEEKDAYS.index(word) if word in _WEEKDAYS else int(word)

"""Durations: as the configuration writes them ("1h30m"), and as people are told them ("90 min")."""

import re
from functools import lru_cache
from typing import Final

LONGEST_DURATION_S: Final = 3650 * 86_400.0  # ten years; a larger one is a slip, and would overflow a timedelta

_UNITS_S: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile("".join(f"(?:([0-9]{{1,9}}){letter})?" for letter in _UNITS_S))


@lru_cache(maxsize=256)
def parse_duration(text: str) -> float:
    """Read "30s", "5m", "6h", "7d" or a falling sequence such as "1h30m" as seconds; raise ValueError that says why."""
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError('expected a duration such as "30s", "5m", "6h" or "7d"')
    seconds = float(sum(int(count or 0) * unit for count, unit in zip(match.groups(), _UNITS_S.values(), strict=True)))
    if not 0 < seconds <= LONGEST_DURATION_S:
        raise ValueError(f"a duration is more than nothing and at most {format_duration(LONGEST_DURATION_S)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Write whole seconds as `parse_duration` reads them: 5400 is "1h30m"."""
    rest, words = round(seconds), ""
    for letter, unit in _UNITS_S.items():
        count, rest = divmod(rest, unit)
        words += f"{count}{letter}" if count else ""
    return words or "0s"


def spoken(seconds: float | None) -> str:
    """Write a duration in the largest unit of which it has two: 4.5 s, 45 s, 12 min, 3.5 h, 8 days; None as nothing.

    A negative one is the work of a clock that was set back, and is written as 0 s.
    """
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.{0 if seconds >= 10 else 1}f}".removesuffix(".0") + " s"

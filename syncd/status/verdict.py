"""Whether streams are as fresh as they should be: a pure decision about what the status says.

`syncd status --check` and `/freshz` tell it, so that a script and a monitor judge alike.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from syncd.config import Config, StreamConfig
from syncd.config.duration import spoken
from syncd.engine import schedule
from syncd.frozen import dataclass
from syncd.status.model import BudgetStatus, Pair, Status, StreamStatus


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One stream that is not as it should be, and why in words."""

    source: str
    stream: str
    why: str

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self.source}.{self.stream} {self.why}"


def troubles(
    status: Status, config: Config, pairs: Collection[Pair], *, max_age_s: float | None = None
) -> list[Trouble]:
    """Return which of the streams are late, failing or paused, in the order of the status.

    A stream is late by its own schedule, or beyond `max_age_s` if that is given. One that is just being read is judged
    by its last good run, and one without any good run is late.
    """
    found = []
    for stream in status.streams:
        if (stream.source, stream.stream) in pairs:
            settings = config.sources[stream.source].streams[stream.stream]
            if why := _why(stream, settings, status.at, max_age_s):
                found.append(Trouble(source=stream.source, stream=stream.stream, why=why))
    return found


def late(status: Status, config: Config) -> set[Pair]:
    """Return the streams that are late by their own schedules, whatever else they are; a new one is not."""
    found = set()
    for stream in status.streams:
        source = config.sources.get(stream.source)  # the configuration may have just changed
        settings = source.streams.get(stream.stream) if source else None
        if settings and stream.last_ok_at and status.at >= schedule.late_at(settings, stream.last_ok_at):
            found.add((stream.source, stream.stream))
    return found


def _why(stream: StreamStatus, settings: StreamConfig, now: datetime, max_age_s: float | None) -> str:
    if stream.state in ("failing", "paused"):
        return f"is {stream.state}: {stream.why}"
    if stream.last_ok_at is None:
        return "is late: no run has succeeded yet"
    age_s = max(0.0, (now - stream.last_ok_at).total_seconds())
    age = f"the last good run started {spoken(age_s)} ago"
    if max_age_s is not None:
        return f"is late: {age}, more than {spoken(max_age_s)}" if age_s > max_age_s else ""
    return f"is late: {age}" if now >= schedule.late_at(settings, stream.last_ok_at) else ""


BUDGET_LEFT: Final = 0.1
"""A budget is nearly spent when less than this share of the day's requests is left; our choice."""


def is_nearly_spent(budget: BudgetStatus) -> bool:
    """Say whether little of a source's day is left; never where no limit is known."""
    if not budget.day_limit or budget.day_remaining is None:
        return False
    return budget.day_remaining < budget.day_limit * BUDGET_LEFT


def is_young(settings: StreamConfig, ok_at: datetime | None, now: datetime) -> bool:
    """Say whether a stream whose last good run started at `ok_at` is younger than its interval."""
    return ok_at is not None and (now - ok_at).total_seconds() < schedule.interval_s(settings, now)

"""How CycleSoftware may read a range of days: nobody knows, so the seed says which of the readings this account has."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from syncd.sandbox.answer import Ask
from syncd.sandbox.world import World

WIDEST_DAYS = 31  # from the first day to the last
TIMED = 12  # signs, from which on a text holds a time, too
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


class TooWide(ValueError):
    """The range is longer than the vendor allows."""


def holds_last_day(world: World) -> bool:
    """Say whether the last day of a range is part of it."""
    return world.seed % 2 == 0


def zone(world: World) -> ZoneInfo:
    """Return the zone in which a day begins."""
    return ZoneInfo("UTC") if world.seed // 2 % 2 else AMSTERDAM


def asked_range(world: World, ask: Ask, first: str, last: str, form: str = "%Y-%m-%d") -> tuple[float, float] | None:
    """Return from and before which epoch second the request asks; None if it names no day.

    Raises ValueError for what is no day in this form, or for one day alone, and TooWide.
    """
    if first not in ask.query and last not in ask.query:
        return None
    days = [_day(ask.query.get(name, ""), form) for name in (first, last)]
    if not ask.lenient and not timedelta(0) <= days[1] - days[0] <= timedelta(days=WIDEST_DAYS):
        raise TooWide(f"The range of {first} and {last} is limited to {WIDEST_DAYS} days")
    days[1] += timedelta(days=1 if holds_last_day(world) else 0)
    begin, end = (day.replace(tzinfo=zone(world)).astimezone(UTC).timestamp() for day in days)
    return begin, end


def _day(text: str, form: str) -> datetime:
    form = form if len(text) < TIMED else f"{form} %H:%M"
    return datetime.strptime(text, form)  # noqa: DTZ007  (the account's zone is not in the text)

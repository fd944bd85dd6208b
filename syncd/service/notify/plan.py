"""What is told now: a pure decision over what stands, what was told before, the hour and the wishes.

A cause is told once it has stood for `after_s`, and its end once it is over. In quiet hours nothing is told; what began
and ended within them is told by nobody. What could not be sent stays untold, and is planned again at the next look.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from syncd.config import Notify
from syncd.status.causes import Cause
from syncd.storage.state.operators import Acknowledgement

LOOK_S: Final = 15.0
"""Longest time between two looks; our choice."""
DIGEST_FOR = timedelta(hours=6)
"""A digest that could not be sent in time is still sent within this; our choice."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A row of `syncd.notifications`: a cause, and what was told of it."""

    key: str
    began_at: datetime
    headline: str
    details: str
    scope: str = ""
    is_event: bool = False
    told_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to store, and what to tell; `begun` and `ended` are stored whether or not the message goes out."""

    begun: Sequence[Cause] = ()
    ended: Sequence[Told] = ()
    tell: Sequence[Told] = ()
    tell_over: Sequence[Told] = ()
    is_well: bool = True
    standing: Sequence[Told] = field(default_factory=list)


def plan(
    stored: Sequence[Told],
    causes: Sequence[Cause],
    wishes: Notify,
    host: str,
    now: datetime,
    acknowledged: Mapping[str, Acknowledgement] = MappingProxyType({}),
) -> Plan:
    """Decide what begins, what is over, and what is told of both.

    `stored` are the rows that are open, whose end was not told, or events that were not told; also events that were
    told lately, which do not begin again. A cause with a scope is ended only by a daemon of that host. Of what
    operators `acknowledged` nobody is told any more. What they muted does not stop the heartbeat either.
    """
    standing = {cause.key: cause for cause in causes}
    known = {row.key for row in stored if row.ended_at is None or row.is_event}
    begun = [cause for key, cause in standing.items() if key not in known]
    ended = [
        row for row in stored
        if row.ended_at is None and row.key not in standing and row.scope in ("", host)
    ]  # fmt: skip
    over = {(row.key, row.began_at) for row in ended}
    rows = [*stored, *(_row(cause, now) for cause in begun)]
    is_open = [row for row in rows if row.ended_at is None and (row.key, row.began_at) not in over]
    muted = {key for key, one in acknowledged.items() if one.muted_until is not None}
    grave = [row for row in is_open if row.key in standing and standing[row.key].is_grave and row.key not in muted]
    is_well = not any(_is_ripe(row, wishes, now) for row in grave)
    if wishes.quiet and wishes.quiet.hold(now, wishes.zone):
        return Plan(begun=begun, ended=ended, is_well=is_well, standing=is_open)
    fresh = [row for row in rows if row.told_at is None and row.key not in acknowledged]
    untold = [row for row in fresh if row.is_event]
    ripe = [row for row in fresh if row in is_open and not row.is_event and _is_ripe(row, wishes, now)]
    told = [row for row in rows if row.told_at is not None and not row.is_event]
    tell_over = [row for row in told if row.ended_at is not None or (row.key, row.began_at) in over]
    return Plan(
        begun=begun, ended=ended, tell=[*_current(ripe, standing), *untold], tell_over=tell_over, is_well=is_well,
        standing=is_open,
    )  # fmt: skip


def _row(cause: Cause, now: datetime) -> Told:
    return Told(
        key=cause.key, began_at=now, headline=cause.headline, details=cause.details, scope=cause.scope,
        is_event=cause.is_event, ended_at=now if cause.is_event else None,
    )  # fmt: skip


def _is_ripe(row: Told, wishes: Notify, now: datetime) -> bool:
    return now - row.began_at >= timedelta(seconds=wishes.after_s)


def _current(rows: Sequence[Told], standing: Mapping[str, Cause]) -> list[Told]:
    """Return the rows in the words of now: more streams may have joined since they began."""
    return [
        Told(
            key=row.key, began_at=row.began_at, headline=standing[row.key].headline,
            details=standing[row.key].details, scope=row.scope,
        ) if row.key in standing else row
        for row in rows
    ]  # fmt: skip


def digest_due(wishes: Notify, now: datetime) -> str | None:
    """Return the day whose digest may be sent now, as its key; None if none is wanted, or not at this hour."""
    if wishes.digest is None:
        return None
    local = now.astimezone(ZoneInfo(wishes.zone))
    due = local.replace(hour=wishes.digest.hour, minute=wishes.digest.minute, second=0, microsecond=0)
    return f"digest {local:%Y-%m-%d}" if due <= local < due + DIGEST_FOR else None


def look_every_s(wishes: Notify | None) -> float:
    """Return the time between two looks: a whole part of the heartbeat's interval, so that each beat has a look."""
    if wishes is None or wishes.heartbeat_url is None:
        return LOOK_S
    return wishes.heartbeat_every_s / math.ceil(wishes.heartbeat_every_s / LOOK_S)


def beat_due(wishes: Notify, last: datetime | None, now: datetime) -> bool:
    """Say whether the heartbeat is due at this look, if the last one was at `last`.

    The look that is nearest to the interval's end counts: looks come some milliseconds early or late. A beat that lies
    ahead was made by a clock that was set back since.
    """
    if last is None or now < last:
        return True
    return (now - last).total_seconds() >= wishes.heartbeat_every_s - look_every_s(wishes) / 2

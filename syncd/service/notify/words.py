"""Messages as people read them: one for all that is told at a time, with the hours of their own clocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from syncd.config.duration import spoken
from syncd.service.notify.plan import Told

Tone = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is sent; `tone` is a word that services show as a colour or sign."""

    title: str
    body: str
    tone: Tone = "info"


@dataclass(frozen=True, kw_only=True)
class DayTotals:
    """What all streams did in 24 hours."""

    runs: int
    failed: int
    changed: int
    requests: int


def compose(begun: Sequence[Told], over: Sequence[Told], *, host: str, zone: str, now: datetime) -> Message:
    """Write what began and what is over in one message."""
    parts = [*(_begun(row, zone, now) for row in begun), *(_over(row, zone, now) for row in over)]
    heads = [part.partition("\n")[0] for part in parts]
    title = heads[0] if len(heads) == 1 else f"{len(heads)} messages, the first: {heads[0]}"
    body = "\n\n".join(parts) if len(parts) > 1 else parts[0].partition("\n")[2] or parts[0]
    tone: Tone = "success"
    if any(not row.is_event for row in begun):
        tone = "failure"
    elif begun:
        tone = "info"
    return Message(title=f"syncd: {title}", body=f"{body}\n\n{host}, {_clock(now, zone, now)}", tone=tone)


def _begun(row: Told, zone: str, now: datetime) -> str:
    since = "" if row.is_event else f", since {_clock(row.began_at, zone, now)}"
    return f"{row.headline}{since}\n{row.details}".rstrip()


def _over(row: Told, zone: str, now: datetime) -> str:
    ended = row.ended_at or now
    lasted = spoken((ended - row.began_at).total_seconds())
    span = f"{_clock(row.began_at, zone, now)} to {_clock(ended, zone, now)}"
    return f"over: {row.headline}, {span}\nIt lasted {lasted}."


def digest(
    status_line: str, totals: DayTotals, standing: Sequence[Told], *, host: str, zone: str, now: datetime
) -> Message:
    """Write how things stand, once a day."""
    lines = [
        f"{status_line}.",
        f"In 24 hours: {totals.runs:,} runs, of which {totals.failed:,} failed.",
        f"{totals.changed:,} rows changed, {totals.requests:,} requests were sent.",
        *(f"- {row.headline}, since {_clock(row.began_at, zone, now)}" for row in standing),
    ]
    what = f"{len(standing)} to look at" if standing else "all well"
    body = "\n".join(lines)
    return Message(
        title=f"syncd: the day until {_clock(now, zone, now)}, {what}", body=f"{body}\n\n{host}",
        tone="warning" if standing else "success",
    )  # fmt: skip


def trial(host: str) -> Message:
    """Write the message of `syncd notify test`."""
    return Message(
        title="syncd: a test", body=f"If you read this, syncd on {host} can tell you what needs a look.", tone="info"
    )


def _clock(at: datetime, zone: str, now: datetime) -> str:
    """Write an instant by the clocks of the zone; with its day where that is not today."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%a %d %b %H:%M}"

"""States, schedules and cursors in words: pure decisions about what was read."""

from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from syncd.config import StreamConfig, is_off
from syncd.config.duration import spoken
from syncd.contract import Cursor
from syncd.engine import schedule
from syncd.status.model import RunStatus, State, StreamStatus


def judge(
    settings: StreamConfig,
    *,
    running: RunStatus | None,
    dead: bool,
    live: RunStatus | None,
    ok: RunStatus | None,
    now: datetime,
    paused_at: datetime | None = None,
) -> tuple[State, str]:
    """Return the state of a stream and why.

    `live` is the newest live run that says how the stream does, `ok` the newest good one, `running` a run under way;
    `dead` says that the newest run's process ended without a word. A stream that fails fails until a run succeeds, also
    while it is being tried again. `paused_at` is when an operator paused it.
    """
    off = is_off(settings)
    if off:
        return state_off(settings), off
    if paused_at is not None:
        return "paused", f"an operator paused it at {paused_at:%Y-%m-%d %H:%M} UTC"
    if dead:
        return "failing", "the process of the last run ended without a word; the next run goes on where it was"
    if live and live.outcome != "ok":
        state: State = "paused" if live.error_kind in schedule.PAUSING else "failing"
        return state, live.error or f"the last run was {live.outcome}"
    if running:
        return "running", ""
    if ok is None:
        return "never", "no run has succeeded yet"
    if now >= schedule.late_at(settings, ok.started_at):
        return "late", f"the last good run started {spoken((now - ok.started_at).total_seconds())} ago"
    return "fresh", ""


def state_off(settings: StreamConfig) -> State:
    """Return the state of a stream that does nothing."""
    return "off" if settings.enabled else "disabled"


def is_sweep_refused(stream: StreamStatus) -> bool:
    """Whether the last sweep of a stream was refused, so that somebody has to look."""
    return stream.last_sweep is not None and stream.last_sweep.error_kind == schedule.REFUSED


def is_sweep_failing(stream: StreamStatus) -> bool:
    """Whether the last sweep of a stream failed, for another reason than that its burials were not believed."""
    return stream.last_sweep is not None and stream.last_sweep.outcome != "ok" and not is_sweep_refused(stream)


def schedule_words(settings: StreamConfig) -> str:
    """Say when a stream runs; `every_s` of an auto stream is what is in force."""
    if settings.is_pushed:
        return "as webhooks tell"
    words = _schedule_words(settings.cron, settings.every_s, settings.sweep_s)
    if settings.auto is None:
        return words
    return f"auto ({spoken(settings.auto.min_s)} to {spoken(settings.auto.max_s)}), now {words}"


@lru_cache
def _schedule_words(cron: str | None, every_s: float | None, sweep_s: float | None) -> str:
    words = f"cron {cron} (UTC)" if cron else f"every {spoken(every_s or 0)}"
    return words + (f", sweep every {spoken(sweep_s)}" if sweep_s else "")


CURSORS_KEPT: Final = 10_000
"""Instants of cursors that are kept in words, 3 MB at most: from one look to the next few of them move."""
_CURSOR_WORDS: Final = {
    "since": "resumes at",
    "reached": "has reached",
    "as_of": "up to date as of",
    "swept_at": "swept",
}


def cursor_words(cursor: Cursor | None, zone: str) -> str:
    """Say in words where a stream resumes. Only names that cursors commonly use are told, never a key of a record."""
    if cursor is None:
        return "no cursor yet: the next run reads from the beginning"
    parts = [f"{words} {at}" for name, words in _CURSOR_WORDS.items() if (at := _local(cursor.get(name), zone))]
    under_way = cursor.get("pass")
    if isinstance(under_way, dict):
        parts = parts or ["resumes within a pass over everything"]
        if isinstance(under_way.get("offset"), int):
            parts.append(f"offset {under_way['offset']:,}")
        if began := _local(under_way.get("started_at"), zone):
            parts.append(f"in the pass that began {began}")
    if cursor.get("top"):
        parts.append("knows the newest records of the last pass")
    return ", ".join(parts) or "reads the whole list every time"


def _local(value: object, zone: str) -> str:
    """Write an instant of a cursor in the source's zone; nothing if it is none."""
    return _written(value, zone) if isinstance(value, str) else ""


@lru_cache(maxsize=CURSORS_KEPT)
def _written(value: str, zone: str) -> str:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return ""
    if at.tzinfo is None:
        return f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"

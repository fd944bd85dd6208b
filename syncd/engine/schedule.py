"""When a stream is due: pure decisions over instants and failures, without clock, sleep or I/O.

Owns the spread of first runs, the wait after a failure, when a sweep is due, and when a stream counts as late. The
daemon acts on them, the status shows them.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from syncd.config import StreamConfig

SPREAD_S: Final = 30.0
"""First runs, and the jitter of later ones, are spread over at most this (ISSUE 2: accounts do not tick together)."""
STARTS_PER_S: Final = 20.0
"""Many streams that are due at once are begun at this rate: half of what one core can do (docs/performance.md)."""
JITTER_SHARE: Final = 0.1
"""Of the interval, at most, by which a tick is put off at random."""
PROBE_S: Final = 900.0
"""A stream that runs at least this often is tried again after this much failing at the latest; our choice."""
SWEEP_RETRY_S: Final = 3600.0
"""First wait after a sweep that failed: a whole listing is dear; doubled each time."""
REFUSED_RETRY_S: Final = 86_400.0
"""A sweep that was refused is looked at again after this: somebody has to judge it."""
IDLE_RETRY_S: Final = 60.0
"""First wait after a good run that had nothing to ask for: it costs no request to look again; doubled each time."""
GRACE_S: Final = 60.0
"""A stream is late after two intervals and this."""
PAUSE_MAX_S: Final = 3_300.0
"""Longest rest of a stream that lacks its scope, so that a scope given back is noticed within an hour (STREAMS 10)."""
PAUSING: Final = frozenset({"AnotherAccount", "BadCredentials", "ScopeMissing"})
"""Kinds of error that only a person can mend (errors.py): the stream is paused and only probed."""

OUTAGES: Final = frozenset({"AnotherAccount", "BadCredentials", "Unreachable"})
"""Kinds of error that may stand for the whole source, and not only for the stream that met it (upstream/faults.py)."""

REFUSED: Final = "SweepRefused"
"""Kind of error of a sweep whose burials are not believed (deletions.py)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What is known of a stream's earlier runs.

    ok_at           when the last good live run started
    failures        live runs that failed since then; `failed_at` is when the last of them ended
    idle            good live runs in a row, up to now, that sent no request: what they ask for comes from other streams
    swept_at        when the last good sweep started or, if there was none yet, the first good live run, which read all
    sweep_failures  sweeps that failed since the last good one; `sweep_tried_at` is when the last of them ended
    """

    ok_at: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    idle: int = 0
    error_kind: str | None = None
    swept_at: datetime | None = None
    sweep_failures: int = 0
    sweep_tried_at: datetime | None = None
    sweep_error_kind: str | None = None


def spread_s(name: str, every_s: float, streams: int = 1, least_s: float = SPREAD_S) -> float:
    """Return the stream's own offset, the same in every process: below `every_s` and `least_s`.

    So many streams that begin together are spread further where they would begin faster than STARTS_PER_S.
    """
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return share * min(every_s, max(least_s, streams / STARTS_PER_S))


def jitter_s(every_s: float) -> float:
    """Return by how much a tick may be put off at random."""
    return min(every_s * JITTER_SHARE, SPREAD_S)


def first_at(now: datetime, name: str, settings: StreamConfig, history: History, streams: int = 1) -> datetime:
    """Return when a stream runs first after a start: when it is due or, if it is overdue, at its offset from now.

    A stream that was failing is overdue, because a restart may have mended it. A clock that was set back puts no run
    off for longer than one interval. `streams` is how many begin with it.
    """
    return due_at(now, settings, history) or now + timedelta(seconds=spread_s(name, interval_s(settings, now), streams))


def due_at(now: datetime, settings: StreamConfig, history: History) -> datetime | None:
    """Return when a stream that ran before is due; None if it is overdue, or never ran."""
    if history.ok_at is None:
        return None
    ok_at = min(history.ok_at, now)
    due = _after_idle_at(settings, history.idle, ok_at) or next_at(settings, ok_at)
    return due if due > now else None


def taken_over_at(now: datetime, name: str, settings: StreamConfig, history: History, overdue: int) -> datetime:
    """Return when a stream runs next that another process ran until a moment ago.

    It is due as it was there. What fell due meanwhile runs at once, no faster than STARTS_PER_S with `overdue` such
    streams. One that never ran begins as at a start.
    """
    least_s = SPREAD_S if history.ok_at is None else 0.0
    late_s = spread_s(name, interval_s(settings, now), overdue, least_s)
    return due_at(now, settings, history) or now + timedelta(seconds=late_s)


def next_at(settings: StreamConfig, after: datetime) -> datetime:
    """Return when a stream that started at `after` is due again."""
    if settings.cron is None:
        return after + timedelta(seconds=settings.every_s or 0.0)
    return cron_after(settings.cron, after)


def following(settings: StreamConfig, previous: datetime, now: datetime) -> datetime:
    """Return when a stream whose tick was planned for `previous` is due after now: in its rhythm, however long ago.

    What was missed between the two is computed and never listed, because a clock may jump by years.
    """
    if settings.cron is not None:
        return cron_after(settings.cron, max(previous, now))
    return rhythm_after(settings.every_s or 0.0, previous, now)


def rhythm_after(every_s: float, previous: datetime, now: datetime) -> datetime:
    """Return the first instant after now that is whole intervals after `previous`."""
    missed = max(0.0, (now - previous).total_seconds()) // every_s
    return previous + timedelta(seconds=(missed + 1) * every_s)


def clock_set_back(settings: StreamConfig, at: datetime, back_s: float, now: datetime) -> datetime:
    """Return when a stream runs that was planned for `at`, after the clock was set back to `now` by `back_s`.

    Its wait stays as long as it was. A crontab names instants of the clock, so it may be due earlier.
    """
    same_wait = at - timedelta(seconds=back_s)
    return same_wait if settings.cron is None else max(same_wait, min(at, cron_after(settings.cron, now)))


def longest_at(settings: StreamConfig, now: datetime) -> datetime:
    """Return until when a stream rests at the latest, whatever instants a wrong clock has left in its history."""
    return now + timedelta(seconds=max(interval_s(settings, now), PROBE_S))


def cron_after(cron: str, after: datetime) -> datetime:
    """Return the first instant of a crontab (UTC, checked by `crontab.parse_cron`) later than `after`."""
    from apscheduler.triggers.cron import CronTrigger

    found: datetime = CronTrigger.from_crontab(cron, timezone=UTC).get_next_fire_time(
        None, after + timedelta(microseconds=1)
    )
    return found


def interval_s(settings: StreamConfig, now: datetime) -> float:
    """Return the time between two runs; of a crontab, that between its next two instants."""
    if settings.cron is None:
        return settings.every_s or 0.0
    following = cron_after(settings.cron, now)
    return (cron_after(settings.cron, following) - following).total_seconds()


def wait_s(every_s: float, failures: int, error_kind: str | None = None) -> float:
    """Return how long a stream rests after its n-th failure in a row before it is tried again.

    A frequent stream doubles its interval up to PROBE_S. A rare one is tried after PROBE_S, which is doubled up to its
    interval: an hour's outage must not cost a day. A paused one never rests for less than PROBE_S; one that lacks its
    scope rests for PAUSE_MAX_S at most.
    """
    step = min(max(failures, 1), 20)
    if error_kind == "ScopeMissing":
        every_s = min(every_s, PAUSE_MAX_S)
    if every_s <= PROBE_S:
        return PROBE_S if error_kind in PAUSING else min(PROBE_S, every_s * 2.0**step)
    return min(every_s, PROBE_S * 2.0 ** (step - 1))


def again_at(settings: StreamConfig, history: History) -> datetime | None:
    """Return when a stream runs next that failed or was idle; None: its job's own rhythm holds.

    A run that sent no request had nothing to ask for yet, such as models before there are makes.
    """
    if history.failures and history.failed_at:
        every_s = interval_s(settings, history.failed_at)
        return history.failed_at + timedelta(seconds=wait_s(every_s, history.failures, history.error_kind))
    return _after_idle_at(settings, history.idle, history.ok_at)


def _after_idle_at(settings: StreamConfig, idle: int, ok_at: datetime | None) -> datetime | None:
    """Return when a stream runs next that was idle so often in a row, last at `ok_at`; None: it was not."""
    if not idle or ok_at is None:
        return None
    rest_s = IDLE_RETRY_S * 2.0 ** (min(idle, 20) - 1)
    return ok_at + timedelta(seconds=min(rest_s, interval_s(settings, ok_at)))


def probe_at(streams: Collection[tuple[StreamConfig, History]]) -> datetime | None:
    """Return from when on one stream of a source may ask whether it answers again; None: the source is not down.

    It is down if its credentials are refused, or two streams (or the only one) failed since it last answered any. The
    steps grow from the shortest interval to PROBE_S, whatever stream it is that asks.
    """
    if not any(history.failures for _, history in streams):
        return None
    answers = [history.ok_at for _, history in streams if history.ok_at]
    answers += [h.failed_at for _, h in streams if h.failures and h.failed_at and h.error_kind not in OUTAGES]
    failing = [
        (history.failed_at, history)
        for _, history in streams
        if history.failures and history.failed_at and history.error_kind in OUTAGES
        and all(history.failed_at > at for at in answers)
    ]  # fmt: skip
    is_refused = any(history.error_kind in PAUSING for _, history in failing)
    if not failing or (len(failing) < min(2, len(streams)) and not is_refused):
        return None
    failed_at = max(at for at, _ in failing)
    steps = 1 + sum(history.failures - 1 for _, history in failing)
    every_s = min(interval_s(settings, failed_at) for settings, _ in streams)
    error_kind = "BadCredentials" if is_refused else None
    return failed_at + timedelta(seconds=min(PROBE_S, wait_s(every_s, steps, error_kind)))


def is_sweep_due(now: datetime, sweep_s: float | None, history: History) -> bool:
    """Say whether a sweep should follow the live run that just ended well."""
    if sweep_s is None or history.swept_at is None or abs(now - history.swept_at) < timedelta(seconds=sweep_s):
        return False  # a sweep of long after now was dated by a clock that was wrong
    if history.sweep_tried_at is None or not history.sweep_failures:
        return True
    return abs(now - history.sweep_tried_at) >= timedelta(seconds=_sweep_rest_s(sweep_s, history))


def sweep_at(sweep_s: float | None, history: History) -> datetime | None:
    """Return from when on a sweep follows a good live run; None: the stream has no sweeps, or no good run yet."""
    if sweep_s is None or history.swept_at is None:
        return None
    due_at = history.swept_at + timedelta(seconds=sweep_s)
    if history.sweep_tried_at is None or not history.sweep_failures:
        return due_at
    return max(due_at, history.sweep_tried_at + timedelta(seconds=_sweep_rest_s(sweep_s, history)))


def _sweep_rest_s(sweep_s: float, history: History) -> float:
    """Return how long a stream is not swept after a sweep that failed."""
    rest_s = SWEEP_RETRY_S * 2.0 ** (min(history.sweep_failures, 20) - 1)
    if history.sweep_error_kind == REFUSED:
        rest_s = max(rest_s, REFUSED_RETRY_S)
    return min(rest_s, sweep_s)


def slowest(settings: StreamConfig) -> StreamConfig:
    """Return the settings of a stream at the longest interval that it may have."""
    return settings if settings.auto is None else replace(settings, every_s=settings.auto.max_s)


def late_at(settings: StreamConfig, ok_at: datetime) -> datetime:
    """Return from when on a stream is late whose last good run started at `ok_at`: two intervals later, and a grace."""
    settings = slowest(settings)
    due_at = next_at(settings, next_at(settings, ok_at))
    return due_at + timedelta(seconds=GRACE_S)

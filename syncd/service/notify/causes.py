"""What needs a look, grouped by its cause: a pure reading of the status and of a few counts.

An error's own text is never used: it is for the log and the status page. Here each kind of error has words of ours.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from syncd.engine import schedule
from syncd.status import (
    BUDGET_LEFT,
    BudgetStatus,
    Notice,
    Pair,
    Status,
    StreamStatus,
    is_nearly_spent,
    is_sweep_refused,
)
from syncd.storage.postgres.migrations import Standing

MISFIT: Final = "database misfit"
LISTED: Final = 10
"""Streams that one message names."""

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "Unreachable": ("host unreachable", "Nothing to do if the vendor is down; the next runs go on where they were."),
    "BadCredentials": ("credentials refused", "Mend them in the configuration, then: systemctl reload syncd"),
    "AnotherAccount": ("another account than the mirror's", "syncd sources list says whose rows these are."),
    "ScopeMissing": ("scope missing", "Ask the vendor for the scope, or set enabled = false for the stream."),
    "Throttled": ("request budget spent", "syncd status shows the budget, and when it opens again."),
    "BadPayload": ("answers break the documented form", "syncd logs --failed says what was wrong."),
    "BadRequest": ("requests refused", "syncd logs --failed says what the vendor answered."),
    "NotFound": ("not found at the vendor", "syncd logs --failed says what was asked for."),
    "Killed": ("a run ended without a word", "journalctl -u syncd says why the process died."),
    "Defect": ("a defect of syncd", "Please report it with what syncd doctor gathers."),
}
"""Words and next step for each kind of error; any other kind is "failing"."""
OTHER: Final = ("failing", "syncd logs --failed says why.")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One thing that needs a look; the same `key` at the next look is the same cause.

    `is_grave` stops the heartbeat. `is_event` happened once and has no end. `scope`: only a daemon of this host sees
    it; empty for what every daemon sees.
    """

    key: str
    title: str
    step: str
    streams: tuple[str, ...] = ()
    is_grave: bool = True
    is_event: bool = False
    scope: str = ""

    @property
    def headline(self) -> str:
        """What it is, with the number of streams where there are several."""
        return f"{self.title}, {len(self.streams)} streams" if len(self.streams) > 1 else self.title

    @property
    def details(self) -> str:
        """Which streams it concerns, and the next step."""
        names = ", ".join(self.streams[:LISTED])
        more = f" and {len(self.streams) - LISTED} more" if len(self.streams) > LISTED else ""
        return "\n".join(filter(None, (f"{names}{more}" if names else "", self.step)))


@dataclass(frozen=True, kw_only=True)
class EndedBackfill:
    """A backfill that ended lately."""

    run_id: int
    source: str
    stream: str
    outcome: str
    rows: int
    requests: int


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What the status does not tell: what is late, rejects of a day by source, ended backfills, a misfit database."""

    late: Collection[Pair] = ()
    rejects: Mapping[str, int] = field(default_factory=dict)
    backfills: Sequence[EndedBackfill] = ()
    misfit: str = ""
    host: str = ""


def causes_of(status: Status, extras: Extras) -> list[Cause]:
    """Return what needs a look now, in the order of the configuration."""
    found = [*_database(extras), *_streams(status, extras.late)]
    for source in status.sources:
        found += _budget(source.source, source.budget)
        if count := extras.rejects.get(source.source, 0):
            records = "1 record" if count == 1 else f"{count:,} records"
            found.append(
                Cause(
                    key=f"{source.source} rejects",
                    title=f"{source.source}: {records} became no row in 24 h",
                    step=f"syncd rejects list {source.source}",
                    is_grave=False,
                )
            )
    found += [_backfill(one) for one in extras.backfills]
    return [*found, *(_notice(notice, extras.host) for notice in status.notices)]


def misfit_of(standing: Standing) -> str:
    """Return what makes the database fit again; nothing if it does."""
    if standing.admits:
        return ""
    return "Upgrade syncd on this machine." if standing.is_newer else "Run: syncd migrate"


def misfit(step: str) -> Cause:
    """Return the cause that the database must be upgraded, or this program."""
    return Cause(key=MISFIT, title="the database and this syncd do not fit", step=step)


def _database(extras: Extras) -> list[Cause]:
    return [misfit(extras.misfit)] if extras.misfit else []


def _streams(status: Status, late: Collection[Pair]) -> list[Cause]:
    by_cause: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for stream in status.streams:
        if stream.state in ("off", "disabled", "never"):
            continue
        if stream.state in ("failing", "paused"):
            by_cause[stream.source, _kind(stream)].append(stream.stream)
        elif (stream.source, stream.stream) in late:
            by_cause[stream.source, "late"].append(stream.stream)
        if is_sweep_refused(stream):
            by_cause[stream.source, schedule.REFUSED].append(stream.stream)
    return [_of_streams(source, kind, names) for (source, kind), names in by_cause.items()]


def _kind(stream: StreamStatus) -> str:
    kind = (stream.last_run.error_kind if stream.last_run else None) or ""
    return kind if kind in KINDS else "failing"


def _of_streams(source: str, kind: str, names: Sequence[str]) -> Cause:
    if kind == "late":
        words, step = "late", "syncd status shows when they ran last and run next."
    elif kind == schedule.REFUSED:
        words = "a sweep is refused, because it would bury too many rows"
        step = f"If they are really gone: syncd sync {source}.{names[0]} --full --accept-deletions"
    else:
        words, step = KINDS.get(kind, OTHER)
    place = f"{source}.{names[0]}" if len(names) == 1 else source
    streams = tuple(names) if len(names) > 1 else ()
    return Cause(key=f"{source} {kind}", title=f"{place}: {words}", step=step, streams=streams)


def _budget(source: str, budget: BudgetStatus | None) -> list[Cause]:
    if budget is None or not is_nearly_spent(budget):
        return []
    title = f"{source}: less than {BUDGET_LEFT:.0%} of the day's requests is left"
    step = "Live runs go on at a slower pace. syncd status shows who used them."
    return [Cause(key=f"{source} budget", title=title, step=step, is_grave=False)]


def _backfill(one: EndedBackfill) -> Cause:
    ended = "is complete" if one.outcome == "ok" else f"ended: {one.outcome}"
    step = f"{one.rows:,} records, {one.requests:,} requests."
    if one.outcome != "ok":
        step += " The same command goes on where it was."
    return Cause(
        key=f"backfill {one.run_id}", title=f"{one.source}.{one.stream}: the backfill {ended}", step=step,
        is_grave=False, is_event=True,
    )  # fmt: skip


NOTICES: Final[Mapping[str, str]] = {
    "config_refused": "the new configuration is refused, the one before is in use",
    "port_taken": "the status page is not served, because its port is taken",
    "callbacks_port_taken": "callbacks are not heard, because their port is taken",
}


def _notice(notice: Notice, host: str) -> Cause:
    title = NOTICES.get(notice.what, notice.what.replace("_", " "))
    return Cause(
        key=f"{host} {notice.what}", title=f"{host}: {title}", step="syncd check says what is wrong.", is_grave=False,
        scope=host,
    )  # fmt: skip

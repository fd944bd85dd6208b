"""What needs a look, grouped by its cause: a pure reading of the status and of a few counts.

The status page and the notifications both tell of these causes. An error's own text is never used: each kind of error
has words of ours, so that a message can go to a stranger's server.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Final

from syncd.engine import schedule
from syncd.frozen import dataclass
from syncd.status.model import BudgetStatus, Notice, Pair, Status, StreamStatus
from syncd.status.verdict import BUDGET_LEFT, is_nearly_spent
from syncd.status.words import is_sweep_failing, is_sweep_refused
from syncd.storage.postgres.migrations import Standing

MISFIT: Final = "database misfit"
LISTED: Final = 10
"""Streams that one message names."""

SWEEP_FAILING: Final = "sweep failing"
PAUSED: Final = "paused"
FAILING: Final = "failing"
"""Kind of every error that has no words of its own."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of trouble in words: what it is, what it means and what syncd does meanwhile, and the next step."""

    words: str
    about: str
    step: str


KINDS: Final[Mapping[str, Kind]] = {
    "Unreachable": Kind(
        words="host unreachable",
        about="The vendor's server did not answer, or the way to it is broken. syncd asks again at growing intervals, "
        "every 15 minutes at the latest. The next runs go on where the last ones ended, so nothing is lost.",
        step="Nothing to do if the vendor is down; the next runs go on where they were.",
    ),
    "BadCredentials": Kind(
        words="credentials refused",
        about="The vendor refused the login of this source. No stream of it is read until the login works again. syncd "
        "tries it every 15 minutes, because some vendors refuse a login for a short time only.",
        step="Mend them in the configuration, then: systemctl reload syncd",
    ),
    "AnotherAccount": Kind(
        words="another account than the mirror's",
        about="The configuration names another account than the one whose rows the mirror holds under this name. "
        "Nothing is requested, so that the rows of two accounts do not mix.",
        step="syncd sources list says whose rows these are.",
    ),
    "ScopeMissing": Kind(
        words="scope missing",
        about="The vendor answered that the account may not read this. The other streams go on. syncd asks again "
        "within an hour, and goes on by itself once the scope is there.",
        step="Ask the vendor for the scope, or set enabled = false for the stream.",
    ),
    "Throttled": Kind(
        words="request budget spent",
        about="The requests that the vendor allows in a minute or a day are used up. syncd waits until the vendor "
        "allows more, and goes on by itself.",
        step="syncd status shows the budget, and when it opens again.",
    ),
    "BadPayload": Kind(
        words="answers break the documented form",
        about="The vendor's answers cannot be read as what its documents promise, such as an HTML page in place of "
        "JSON. Nothing of such an answer is written. syncd asks again at growing intervals.",
        step="syncd logs --failed says what was wrong.",
    ),
    "BadRequest": Kind(
        words="requests refused",
        about="The vendor refused a request as wrong. Often an option of the stream does not suit this account. syncd "
        "asks again at growing intervals.",
        step="syncd logs --failed says what the vendor answered.",
    ),
    "NotFound": Kind(
        words="not found at the vendor",
        about="The vendor does not know the address that was asked for. Often base_url is wrong, or the account does "
        "not have this list. syncd asks again at growing intervals.",
        step="syncd logs --failed says what was asked for.",
    ),
    "Killed": Kind(
        words="a run ended without a word",
        about="The process of the last run ended before the run did: it was killed, or the machine went down. Every "
        "page that was committed is kept. The next run goes on where this one was.",
        step="journalctl -u syncd says why the process died.",
    ),
    "Defect": Kind(
        words="a defect of syncd",
        about="syncd itself made a mistake. No half page was written. The stream is tried again at growing intervals.",
        step="Please report it with what syncd doctor gathers.",
    ),
    PAUSED: Kind(
        words="paused by an operator",
        about="Somebody pressed Pause on the status page. The daemon starts no run of it until it is resumed. What "
        "changes at the vendor meanwhile is found then.",
        step="Press Resume on the page of the stream. syncd sync runs it once, though it is paused.",
    ),
    "late": Kind(
        words="late",
        about="No run has succeeded for two intervals, and none failed. The runs may be slow, wait for the request "
        "budget, or not start at all.",
        step="syncd status shows when they ran last and run next.",
    ),
    schedule.REFUSED: Kind(
        words="a sweep is refused, because it would bury too many rows",
        about="A full listing of the vendor lacks so many rows of the mirror that syncd does not believe it. Nothing "
        "was marked as deleted. Live runs go on, and the sweep is tried again after a day.",
        step="If they are really gone: syncd sync {name} --full --accept-deletions",
    ),
    SWEEP_FAILING: Kind(
        words="the last sweep failed",
        about="Live runs work, but the full listing that finds deleted rows did not end well. Rows that the vendor "
        "deleted stay in the mirror until a sweep succeeds. The sweep is tried again by itself.",
        step="syncd logs --failed says why.",
    ),
}
"""Words for each kind of error by its class, and for what is no error."""
OTHER: Final = Kind(
    words="failing",
    about="Runs fail. syncd tries again at growing intervals, and goes on where the last good run ended.",
    step="syncd logs --failed says why.",
)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One thing that needs a look; the same `key` at the next look is the same cause.

    `about` is a paragraph for whoever meets it for the first time. `source` and `streams` are what it concerns.
    `is_grave` stops the heartbeat. `is_event` happened once and has no end. `scope`: only a daemon of this host sees
    it; empty for what every daemon sees.
    """

    key: str
    title: str
    step: str
    about: str = ""
    source: str = ""
    streams: tuple[str, ...] = ()
    is_grave: bool = True
    is_event: bool = False
    scope: str = ""

    @property
    def headline(self) -> str:
        """What it is, with the number of streams where there are several."""
        return f"{self.title}, {len(self.streams)} streams" if len(self.streams) > 1 else self.title

    @property
    def pairs(self) -> list[Pair]:
        """The streams that it concerns."""
        return [(self.source, name) for name in self.streams]

    @property
    def details(self) -> str:
        """Which streams it concerns, and the next step."""
        names = ", ".join(self.streams[:LISTED]) if len(self.streams) > 1 else ""
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
                    about="Each of these records lacks its key, or has one that cannot be read. It is kept as it was "
                    "sent, and written as soon as it can become a row.",
                    step=f"syncd rejects list {source.source}",
                    source=source.source,
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
    about = "No run is made until the database and the program are of versions that fit."
    return Cause(key=MISFIT, title="the database and this syncd do not fit", step=step, about=about)


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
        elif is_sweep_failing(stream) and stream.state not in ("failing", "paused"):
            by_cause[stream.source, SWEEP_FAILING].append(stream.stream)
    return [_of_streams(source, kind, names) for (source, kind), names in by_cause.items()]


def _kind(stream: StreamStatus) -> str:
    if stream.paused_at is not None:
        return PAUSED
    kind = (stream.last_live.error_kind if stream.last_live else None) or ""
    return kind if kind in KINDS else FAILING


def _of_streams(source: str, kind: str, names: Sequence[str]) -> Cause:
    told = KINDS.get(kind, OTHER)
    place = f"{source}.{names[0]}" if len(names) == 1 else source
    return Cause(
        key=f"{source} {kind}", title=f"{place}: {told.words}", step=told.step.format(name=f"{source}.{names[0]}"),
        about=told.about, source=source, streams=tuple(names), is_grave=kind not in (SWEEP_FAILING, PAUSED),
    )  # fmt: skip


def _budget(source: str, budget: BudgetStatus | None) -> list[Cause]:
    if budget is None or not is_nearly_spent(budget):
        return []
    title = f"{source}: less than {BUDGET_LEFT:.0%} of the day's requests is left"
    step = "Live runs go on at a slower pace. syncd status shows who used them."
    about = "Nothing fails yet. If the rest is used up, no stream of this source is read until the vendor's day ends."
    return [Cause(key=f"{source} budget", title=title, step=step, about=about, source=source, is_grave=False)]


def _backfill(one: EndedBackfill) -> Cause:
    ended = "is complete" if one.outcome == "ok" else f"ended: {one.outcome}"
    step, about = f"{one.rows:,} records, {one.requests:,} requests.", ""
    if one.outcome != "ok":
        about = "What it has read is kept. The live runs of the stream are not touched by it."
        step += " The same command goes on where it was."
    return Cause(
        key=f"backfill {one.run_id}", title=f"{one.source}.{one.stream}: the backfill {ended}", step=step,
        about=about, source=one.source, streams=(one.stream,), is_grave=False, is_event=True,
    )  # fmt: skip


NOTICES: Final[Mapping[str, str]] = {
    "config_refused": "the new configuration is refused, the one before is in use",
    "configs_differ": "the workers have different configurations",
    "accounts_refused": "the query for accounts fails, the accounts before are in use",
    "port_taken": "the status page is not served, because its port is taken",
    "callbacks_port_taken": "callbacks are not heard, because their port is taken",
}

USUAL_STEP: Final = "syncd check says what is wrong."
STEPS: Final[Mapping[str, str]] = {"configs_differ": "Bring one file to all of them, then: syncd reload --all"}


def _notice(notice: Notice, host: str) -> Cause:
    title = NOTICES.get(notice.what, notice.what.replace("_", " "))
    return Cause(
        key=f"{host} {notice.what}", title=f"{host}: {title}", step=STEPS.get(notice.what, USUAL_STEP), is_grave=False,
        scope=host,
    )  # fmt: skip

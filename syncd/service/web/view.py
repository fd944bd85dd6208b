"""What a page shows of a status: which streams, in what order, in which words. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from syncd import log
from syncd.config import SourceConfig
from syncd.status import (
    SPANS,
    BudgetStatus,
    Cause,
    Day,
    Freshness,
    Overview,
    Pair,
    SourceStatus,
    State,
    Status,
    StreamDay,
    StreamStatus,
    is_sweep_failing,
    is_sweep_refused,
)
from syncd.storage.state.operators import Acknowledgement

STREAMS_SHOWN: Final = 100
"""Streams on one page of the list; a source's streams stay together."""
PROBLEMS_SHOWN: Final = 25
"""Problems listed one by one. If there are more, they usually share a cause, which these show."""
WORST_FIRST: Final[tuple[State, ...]] = ("failing", "paused", "late")
STATES: Final[tuple[State, ...]] = (*WORST_FIRST, "running", "fresh", "never", "off", "disabled")


ASKED: Final = frozenset({"q", "state", "page"})
"""What a query says of which streams are asked for."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the reader asked to see: a part of a name or type, a state, a page of the list, how far to look back."""

    text: str = ""
    state: str = ""
    page: int = 1
    span: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Choice":
        """Read it from a query string; invalid values are ignored."""
        page, state = query.get("page", ""), query.get("state", "")
        return cls(
            text=query.get("q", "").strip()[:100],
            state=state if state in STATES else "",
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
            span=query.get("range", "") if query.get("range") in SPANS else "",
        )

    def link(self, *, state: str | None = None, page: int = 1, span: str | None = None) -> str:
        """Return the address of another state, page or span of the same choice, below the root of the page."""
        asked = {
            "q": self.text, "state": self.state if state is None else state, "page": page if page > 1 else "",
            "range": self.span if span is None else span,
        }  # fmt: skip
        return "/?" + urlencode({name: value for name, value in asked.items() if value})

    def matching(self, source: SourceConfig, states: Mapping[str, State]) -> Sequence[str]:
        """Return those streams of a source that match, of which `states` are the states."""
        names = [name for name, state in states.items() if state == self.state] if self.state else list(states)
        if not self.text or not names:
            return names
        text = self.text.casefold()
        if text in source.name.casefold() or text in source.type.casefold():
            return names
        return [name for name in names if text in f"{source.name}.{name} {source.type}".casefold()]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The streams of one page of those asked for, in the order of the configuration."""

    pairs: list[Pair]
    page: int
    pages: int
    matching: int


def choose(overview: Overview, choice: Choice) -> Chosen:
    """Choose the streams of a page."""
    pages: list[list[tuple[str, Sequence[str]]]] = [[]]
    matching = shown = 0
    for source in overview.config.sources.values():
        found = choice.matching(source, overview.states(source))
        if not found:
            continue
        if shown and shown + len(found) > STREAMS_SHOWN:
            pages.append([])
            shown = 0
        pages[-1].append((source.name, found))
        shown += len(found)
        matching += len(found)
    page = min(max(choice.page, 1), len(pages))
    pairs = [(source, name) for source, found in pages[page - 1] for name in found]
    return Chosen(pairs=pairs, page=page, pages=len(pages), matching=matching)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A source and those of its streams that are shown."""

    source: SourceStatus
    streams: Sequence[StreamStatus]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of the streams asked for, grouped by source."""

    groups: list[Group]
    page: int
    pages: int
    matching: int


def listing(chosen: Chosen, details: Status) -> Listing:
    """Return a page of the list, with what `details` tells of its streams; what it no longer has is left out."""
    sources = {source.source: source for source in details.sources}
    streams = {(stream.source, stream.stream): stream for stream in details.streams}
    shown: dict[str, list[StreamStatus]] = {}
    for pair in chosen.pairs:
        if (stream := streams.get(pair)) is not None:
            shown.setdefault(pair[0], []).append(stream)
    groups = [Group(source=sources[name], streams=found) for name, found in shown.items()]
    return Listing(groups=groups, page=chosen.page, pages=chosen.pages, matching=chosen.matching)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One cause as the page shows it, with the streams that it concerns and what is known of it.

    `state` is the worst state among the streams, or what else it is: sweep, budget. `said` is the newest error in its
    own words. `next_at` is the next try of any of its streams.
    """

    cause: Cause
    state: str
    streams: Sequence[StreamStatus]
    said: str
    known: Acknowledgement | None = None

    @property
    def id(self) -> str:
        """What the script finds it by."""
        return "p-" + self.cause.key.replace(" ", ".")

    @property
    def is_about_runs(self) -> bool:
        """Whether live runs are in trouble, and not a sweep or a budget."""
        return self.state in WORST_FIRST

    @property
    def oldest_ok_at(self) -> datetime | None:
        """When the stream that is worst off ran well last; None: never."""
        found = [stream.last_ok_at for stream in self.streams]
        return None if None in found else min((at for at in found if at), default=None)

    @property
    def next_at(self) -> datetime | None:
        """The next try."""
        which = "next_run_at" if self.is_about_runs else "next_sweep_at"
        return min((at for stream in self.streams if (at := getattr(stream, which))), default=None)

    @property
    def is_running(self) -> bool:
        """Whether a try is under way."""
        return any(stream.running for stream in self.streams)


def looks(
    stream: Callable[[Pair], StreamStatus | None], causes: Iterable[Cause], known: Mapping[str, Acknowledgement]
) -> list[Look]:
    """Return what needs a look, the worst first; `stream` tells how a stream stands.

    What only one daemon sees is left out, since `Status.notices` tells it, and so are events that went well.
    """
    found = []
    for cause in causes:
        if cause.scope or (cause.is_event and not cause.about):
            continue
        concerned = [one for pair in cause.pairs if (one := stream(pair))]
        state = min((doubt(one) for one in concerned), key=_badness, default="look")
        newest = max(concerned, key=lambda one: one.last_run.run_id if one.last_run else 0, default=None)
        said = newest.why if newest and not cause.is_event else ""
        known_of = known.get(cause.key)
        found.append(Look(cause=cause, state=state, streams=concerned, said=said, known=known_of))
    found.sort(key=lambda look: _badness(look.state))
    return found


def _badness(state: str) -> int:
    order = (*WORST_FIRST, "sweep refused", "sweep failed")
    return order.index(state) if state in order else len(order)


def doubt(stream: StreamStatus) -> str:
    """Return the state of a stream or, if its live runs are well and its sweeps are not, that."""
    if stream.state in WORST_FIRST:
        return stream.state
    if is_sweep_refused(stream):
        return "sweep refused"
    return "sweep failed" if is_sweep_failing(stream) else stream.state


def headline(status: Status, looks: Sequence[Look]) -> tuple[str, str]:
    """Return one line about the state of all streams, and its tone: good, warn, bad or idle.

    It is good only if nothing at all needs a look, known or not.
    """
    on = sum(count for state, count in status.summary.items() if state not in ("off", "disabled"))
    never = status.summary.get("never", 0)
    streams = f"{on:,} stream{'' if on == 1 else 's'}"
    new, others = [look for look in looks if look.known is None], others_to_look_at(status)
    concerned = {stream.name: look.state for look in new for stream in look.streams}
    if concerned:
        tone = "bad" if "failing" in concerned.values() else "warn"
        return tone, f"{len(concerned):,} of {streams} need{'s' if len(concerned) == 1 else ''} a look"
    if new or others:
        count = len(new) + others
        return "warn", f"{count:,} thing{'' if count == 1 else 's'} need{'s' if count == 1 else ''} a look"
    if looks:
        return "warn", f"Nothing new; {len(looks):,} {'cause is' if len(looks) == 1 else 'causes are'} known"
    if not on:
        return "idle", "No stream is on"
    if never == on:
        return "idle", f"None of {streams} has run yet"
    if never:
        return "idle", f"{on - never:,} of {streams} are fresh, the others have yet to run"
    return "good", "The stream is fresh" if on == 1 else f"All {streams} are fresh"


def others_to_look_at(status: Status) -> int:
    """Return how many things beside the streams need a look: the service itself, and whose data there is."""
    return len(status.notices) + len(status.orphans) + sum(source.refused is not None for source in status.sources)


def announcement(status: Status, looks: Sequence[Look]) -> str:
    """Say what a screen reader should tell when it changes: states only, no ages."""
    new = [look for look in looks if look.known is None]
    told = ", ".join(islice((f"{stream.name} is {look.state}" for look in new for stream in look.streams), 5))
    return headline(status, looks)[1] + (f": {told}" if told else "")


def swept(streams: Iterable[StreamStatus]) -> list[StreamStatus]:
    """Return the streams that have sweeps, those first whose last one did not go well."""
    found = [stream for stream in streams if stream.last_sweep or stream.next_sweep_at]
    return sorted(found, key=lambda stream: not (is_sweep_refused(stream) or is_sweep_failing(stream)))


def is_empty(day: Day) -> bool:
    """Say whether nothing at all happened in a span: there is nothing to draw then."""
    return not any(slot.ok or slot.bad or slot.requests_live or slot.requests_backfill for slot in day)


@dataclass(frozen=True, kw_only=True)
class Window:
    """How one window of a budget is spent; shares are percent of its limit, and sum up to 100."""

    limit: int
    left: int
    live: int
    backfill: int
    others: int
    reserve: int

    def share(self, requests: int) -> float:
        """Return requests as percent of the limit."""
        return round(100 * requests / self.limit, 2) if self.limit else 0.0

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Return who has spent how much, as (who, where it begins, how wide)."""
        found, begin = [], 0.0
        for who in ("live", "backfill", "others"):
            width = min(self.share(getattr(self, who)), 100 - begin)
            found.append((who, round(begin, 2), round(width, 2)))
            begin += width
        return found


def window(limit: int | None, left: int | None, live: int, backfill: int, reserve: int = 0) -> Window | None:
    """Build one window of a budget; requests that are neither left nor ours were spent by somebody else."""
    if limit is None:
        return None
    rest = limit - live - backfill if left is None else left
    return Window(
        limit=limit, left=max(0, rest), live=live, backfill=backfill, others=max(0, limit - rest - live - backfill),
        reserve=min(reserve, limit),
    )  # fmt: skip


def minute_window(budget: BudgetStatus) -> Window | None:
    """Return how the moving minute is spent."""
    return window(
        budget.minute_limit, budget.minute_remaining, budget.minute_used_live, budget.minute_used_backfill
    )  # fmt: skip


def day_window(budget: BudgetStatus) -> Window | None:
    """Return how the day is spent."""
    return window(
        budget.day_limit, budget.day_remaining, budget.day_used_live, budget.day_used_backfill, budget.live_reserve or 0
    )


STRIP_HEIGHTS: Final = {"none": 2, "fresh": 7, "failed": 13, "late": 20}
"""Heights of the cells of a strip: a taller cell is worse, so that colour is not needed."""
STRIP_WIDTH: Final = 191
"""Width of a strip, in units of its own: 48 cells of three, and the gaps between them."""


def strip(freshness: Sequence[Freshness]) -> dict[str, str]:
    """Draw freshness as bars: an SVG path for each level that occurs."""
    paths: dict[str, str] = {}
    wide = (STRIP_WIDTH + 1) / max(1, len(freshness))
    for place, one in enumerate(freshness):
        tall = STRIP_HEIGHTS[one.level]
        cell = f"M{place * wide:g} 20v-{tall}h{wide - 1:g}v{tall}z"
        paths[one.level] = paths.get(one.level, "") + cell
    return paths


def ages(day: StreamDay) -> list[dict[str, Any]]:
    """Return the age of a stream's data by slot, beside the age from which on it is late."""
    return [{"begins_at": one.begins_at, "age_s": one.age_s, "late_s": day.late_s} for one in day.freshness]


def totals(day: Day) -> dict[str, int]:
    """Sum up a day: runs that ended well and badly, rows written, requests."""
    return {
        "ok": sum(slot.ok for slot in day),
        "bad": sum(slot.bad for slot in day),
        "rows": sum(slot.inserted + slot.updated + slot.deleted for slot in day),
        "requests": sum(slot.requests_live + slot.requests_backfill for slot in day),
    }


def notes(given: object) -> list[str]:
    """Return what happened on the way of a run, a line for each thing, masked."""
    return [log.mask(str(one)) for one in given] if isinstance(given, list) else []

"""What a page shows of a status: which streams, in what order, in which words. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from syncd.status import BudgetStatus, Day, Freshness, SourceStatus, State, Status, StreamDay, StreamStatus

STREAMS_SHOWN: Final = 100
"""Streams on one page of the list; a source's streams stay together."""
PROBLEMS_SHOWN: Final = 25
"""Problems listed one by one. If there are more, they usually share a cause, which these show."""
WORST_FIRST: Final[tuple[State, ...]] = ("failing", "paused", "late")
STATES: Final[tuple[State, ...]] = (*WORST_FIRST, "running", "fresh", "never", "off", "disabled")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the reader asked to see: a part of a name or type, a state, a page of the list."""

    text: str = ""
    state: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Choice":
        """Read it from a query string; invalid values are ignored."""
        page, state = query.get("page", ""), query.get("state", "")
        return cls(
            text=query.get("q", "").strip()[:100],
            state=state if state in STATES else "",
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )

    def link(self, *, state: str | None = None, page: int = 1) -> str:
        """Return the address of another state or page of the same choice."""
        asked = {"q": self.text, "state": self.state if state is None else state, "page": page if page > 1 else ""}
        return "/?" + urlencode({name: value for name, value in asked.items() if value})

    def matches(self, source: SourceStatus, stream: StreamStatus) -> bool:
        """Say whether a stream matches."""
        if self.state and stream.state != self.state:
            return False
        return not self.text or self.text.casefold() in f"{stream.name} {source.type}".casefold()


@dataclass(frozen=True, kw_only=True)
class Group:
    """A source and those of its streams that are shown."""

    source: SourceStatus
    streams: list[StreamStatus]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of the streams asked for, grouped by source."""

    groups: list[Group]
    page: int
    pages: int
    matching: int


def listing(status: Status, choice: Choice) -> Listing:
    """Choose the streams of a page."""
    streams: dict[str, list[StreamStatus]] = {}
    for stream in status.streams:
        streams.setdefault(stream.source, []).append(stream)
    pages: list[list[Group]] = [[]]
    matching = shown = 0
    for source in status.sources:
        found = [stream for stream in streams.get(source.source, []) if choice.matches(source, stream)]
        if not found:
            continue
        if shown and shown + len(found) > STREAMS_SHOWN:
            pages.append([])
            shown = 0
        pages[-1].append(Group(source=source, streams=found))
        shown += len(found)
        matching += len(found)
    page = min(max(choice.page, 1), len(pages))
    return Listing(groups=pages[page - 1], page=page, pages=len(pages), matching=matching)


def problems(status: Status) -> list[StreamStatus]:
    """Return the streams that need attention, worst first."""
    found = [stream for stream in status.streams if stream.state in WORST_FIRST]
    found.sort(key=lambda stream: WORST_FIRST.index(stream.state))
    refused = [s for s in status.streams if s.why and s.state in ("fresh", "running")]  # the last sweep did not go well
    return found + refused


def headline(status: Status) -> tuple[str, str]:
    """Return one line about the state of all streams, and its tone: good, warn, bad or idle."""
    on = [stream for stream in status.streams if stream.state not in ("off", "disabled")]
    bad = problems(status)
    never = sum(stream.state == "never" for stream in on)
    streams = f"{len(on):,} stream{'' if len(on) == 1 else 's'}"
    if not on:
        return "idle", "No stream is on"
    if bad:
        tone = "bad" if bad[0].state == "failing" else "warn"
        return tone, f"{len(bad):,} of {streams} need{'s' if len(bad) == 1 else ''} a look"
    if never == len(on):
        return "idle", f"None of {streams} has run yet"
    if never:
        return "idle", f"{len(on) - never:,} of {streams} are fresh, the others have yet to run"
    return "good", "The stream is fresh" if len(on) == 1 else f"All {streams} are fresh"


def announcement(status: Status) -> str:
    """Say what a screen reader should tell when it changes: states only, no ages."""
    told = ", ".join(f"{stream.name} is {stream.state}" for stream in problems(status)[:5])
    return headline(status)[1] + (f": {told}" if told else "")


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
CELL: Final = 4
"""Width of a cell with the gap after it."""


def strip(freshness: Iterable[Freshness]) -> dict[str, str]:
    """Draw freshness as bars: an SVG path for each level that occurs."""
    paths: dict[str, str] = {}
    for place, one in enumerate(freshness):
        tall = STRIP_HEIGHTS[one.level]
        cell = f"M{place * CELL} 20v-{tall}h{CELL - 1}v{tall}z"
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

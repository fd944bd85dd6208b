"""What a pass will be, decided before its first page, and what each of its pages then is.

Pure decisions over values: this module never asks the database, the upstream or a clock.
"""

from enum import Enum
from typing import Final

from syncd.contract import Cursor, Lane, Page, Stream
from syncd.frozen import dataclass
from syncd.records.giant import is_large


class Listing(Enum):
    """Whether a pass lists everything that its stream holds, and what that is good for."""

    NONE = "none"
    """The pass asks for a part only. What it does not hold may still exist."""
    FIRST_LOAD = "first load"
    """The pass lists everything, and the table is empty: nothing can be missing from the listing.

    A pass that takes it up finds its rows in the table, so they must be known where that pass lists everything.
    """
    FULL = "full"
    """The pass lists everything: rows that it does not hold are gone at the upstream."""


class Tracking(Enum):
    """How the keys of a listing are kept until its end, when the rows without one of them are looked for."""

    NOT_TRACKED = "not tracked"
    ONE_PAGE = "one page"
    """The whole listing is one page: its keys are at hand."""
    STORED = "stored"
    """The keys of each page are stored with it, so that a pass which resumes still knows them."""


class Ending(Enum):
    """What the commit of a page does to its run."""

    OPEN = "open"
    CLOSES = "closes"
    CLOSES_IF_COMPLETE = "closes if complete"
    """The page ends a full listing. It closes the run only if no row is missing; else deletions are judged first."""


@dataclass(frozen=True, kw_only=True)
class PagePlan:
    """What one page is in its pass.

    tracking  how the keys of the listing are kept; the same for all pages of a pass
    begins    True on the page with which a listing begins: keys kept by an earlier one no longer count
    ending    what the commit of the page does to the run
    """

    tracking: Tracking
    begins: bool
    ending: Ending


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pass will be: what it lists, whether it takes up an earlier pass, and the cursor that its walk gets.

    `lists_on` says that a pass which takes up this one lists everything, too: it then needs the keys of this one.
    """

    listing: Listing
    resumes: bool
    cursor: Cursor | None
    lists_on: bool = False

    def page(self, page: Page, *, is_first: bool, is_last: bool) -> PagePlan:
        """Return what a page is; `is_last` says that the walk is known to end with it."""
        tracking = self._tracking(is_whole=is_first and is_last and not self.resumes and not is_large(page.records))
        return PagePlan(
            tracking=tracking,
            begins=(is_first and not self.resumes) or page.starts_over,
            ending=_ending(page, tracking, is_last=is_last),
        )

    def _tracking(self, *, is_whole: bool) -> Tracking:
        """Return how keys are kept; `is_whole` says that the page is all there is of the pass."""
        match self.listing:
            case Listing.FIRST_LOAD:
                return Tracking.STORED if self.lists_on and not is_whole else Tracking.NOT_TRACKED
            case Listing.FULL:
                return Tracking.ONE_PAGE if is_whole else Tracking.STORED
            case Listing.NONE:
                return Tracking.ONE_PAGE if is_whole else Tracking.NOT_TRACKED


def plan_pass(stream: Stream, kind: str, cursor: Cursor | None, table_is_empty: bool) -> Plan:
    """Plan the pass of a run of this kind from the stored cursor.

    `table_is_empty` counts only where `may_be_first_load` is True.
    """
    start = _start(stream, kind, cursor)
    listing = Listing.FULL if _lists_everything(stream, kind, start) else Listing.NONE
    if table_is_empty and may_be_first_load(stream, kind, cursor):
        listing = Listing.FIRST_LOAD
    lists_on = resumes(stream, kind, _GOING) and _lists_everything(stream, kind, _GOING)
    return Plan(listing=listing, resumes=bool((start or {}).get("pass")), cursor=start, lists_on=lists_on)


_GOING: Final[Cursor] = {"pass": {"anywhere": True}}
"""Stands for the cursor of a pass that was cut short."""


def may_be_first_load(stream: Stream, kind: str, cursor: Cursor | None) -> bool:
    """Say whether it matters if the table is empty: only then is it worth a query."""
    start = _start(stream, kind, cursor)
    return not start and _lists_everything(stream, kind, start)


def resumes(stream: Stream, kind: str, cursor: Cursor | None) -> bool:
    """Say whether a run of this kind takes up an earlier pass."""
    return bool((_start(stream, kind, cursor) or {}).get("pass"))


def lane_of(stream: Stream, kind: str) -> Lane:
    """Return whose share of the budget a run is charged to: a sweep by windows is long, so live work goes first."""
    return "backfill" if kind == "backfill" or (kind == "sweep" and stream.windows) else "live"


def is_tick(stream: Stream, kind: str, cursor: Cursor | None) -> bool:
    """Say whether a run asks only for what is new since the last one: usually there is one page of it."""
    return (
        kind == "live"
        and bool(cursor)
        and not (cursor or {}).get("pass")
        and not _lists_everything(stream, kind, cursor)
    )


def _start(stream: Stream, kind: str, cursor: Cursor | None) -> Cursor | None:
    """Return where a pass starts.

    A sweep never resumes, because what vanished behind its resume point would stay. One that is walked by windows does,
    because it is long: what vanished meanwhile stays until the next sweep.
    """
    if kind != "sweep" or not cursor or stream.windows:
        return cursor
    return {name: value for name, value in cursor.items() if name != "pass"}


def _lists_everything(stream: Stream, kind: str, cursor: Cursor | None) -> bool:
    if stream.lookup:
        return False  # it asks for keys by name
    if stream.sweep_s is None and stream.backfills:
        return False  # it walks ranges of time, and nobody ever walks all of them
    return kind == "sweep" or (kind == "live" and (stream.sweep_s is None or not cursor))


def _ending(page: Page, tracking: Tracking, *, is_last: bool) -> Ending:
    if page.whole_walk and page.scope is not None and tracking is not Tracking.NOT_TRACKED:
        return Ending.CLOSES_IF_COMPLETE
    return Ending.CLOSES if is_last else Ending.OPEN

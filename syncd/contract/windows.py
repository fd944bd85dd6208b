"""Walks a range of time by windows of whole days, because vendors answer for about a month at a time.

A vendor that takes dates says neither in which zone nor whether the last day counts. So each window asks for a day more
than it needs, and two windows share at least a day; rows that come twice are harmless, because rows are idempotent by
key. A server that refuses a window's width is asked for half of it, once.

Each page can be resumed after, a sweep's too: the keys that it has seen are stored. Where changed rows may move to a
window read before, a sweep that went on proves nothing alone: the stream confirms, or looks again (`goes_on_at`).

Windows are asked for before their turn, and come in order. Never the open one: what changes meanwhile moves there, so
that it must be asked last. Knows nothing of any API: a source gives `ask`, which asks for one window of its list.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from syncd.contract.clamps import Clamps, Dated, Question
from syncd.contract.early import EARLY_BYTES
from syncd.contract.errors import BadPayload, UpstreamError
from syncd.contract.paging import EndUnknown, row_keys
from syncd.contract.second_ways import is_refusal, take
from syncd.contract.toolkit import cursor_time, earliest_reading, latest_reading, overlap_of
from syncd.contract.walk import Answer, Cursor, Page, Scope, Walk

WIDEST: Final = timedelta(days=27)
"""Of a window: at most 31 days are allowed where a vendor says so, and whole days in any zone add up to four."""
HALF: Final = timedelta(days=13)
"""Of a window where the server refuses WIDEST."""
NARROW: Final = HALF - timedelta(days=3)
"""A question about so few days is not suspected of being answered for fewer."""
NEVER: Final = datetime.max.replace(tzinfo=UTC)
HALVED: Final = "the server refuses questions about 27 days; 13 days are asked for at a time"
"""The second way of windows."""
CLAMPED: Final = "the server answers for fewer days than it is asked for; 13 days are asked for at a time"
"""Another second way: what was asked for with 27 days is asked for again."""
LONG: Final = timedelta(days=183)
"""Of a range: no ordinary live run asks for so much, so it leaves the live lane to others; our choice."""
RESUMES_FOR: Final = timedelta(days=7)
"""A sweep on schedule goes on where it was for so long after its last page; our choice."""
ORDERED_RESUMES_FOR: Final = timedelta(days=1)
"""The same of a sweep that an operator ordered."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A question about whole days.

    first, last  the days to ask for
    end          up to here the answers are complete, whatever the zone of the days and whether the last one counts
    is_open      True for the last window of its range
    """

    first: date
    last: date
    end: datetime
    is_open: bool


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One response within a window.

    place       where the list goes on in its window, as members of a cursor; None at the window's end
    holds_back  True if records were kept back, to come with a later piece: nobody can resume after this one
    doubt       why nothing may be buried on the strength of a walk that holds this piece, None if all is well
    """

    records: Sequence[bytes]
    answer: Answer
    place: Cursor | None
    holds_back: bool = False
    keys: Sequence[Hashable | None] | None = None
    doubt: str | None = None


Ask = Callable[[Window, Cursor | None], AsyncIterator[Piece]]
"""Asks for a window, from its beginning or from a place in it; gives one piece at least."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range of time to walk: from where to where, how far windows overlap, and in which zone its days are.

    Windows that share more than a day are for rows which one question may know by two dates.
    """

    begin: datetime
    limit: datetime
    overlap: timedelta
    zone: ZoneInfo

    def window(self, begin: datetime, width: timedelta) -> Window:
        """Return the window that begins there, at most so wide."""
        begin = min(begin, self.limit)
        is_open = self.limit - begin <= width
        end = self.limit if is_open else begin + width
        return Window(
            first=earliest_reading(begin, self.zone).date(),
            last=latest_reading(end, self.zone).date() + timedelta(days=2 if is_open else 1),
            end=end,
            is_open=is_open,
        )

    def windows(self) -> list[tuple[datetime, datetime]]:
        """Return where each window begins and ends, in order."""
        begin, found = min(self.begin, self.limit), list[tuple[datetime, datetime]]()
        while True:
            window = self.window(begin, WIDEST)
            found.append((begin, window.end))
            if window.is_open:
                return found
            begin = window.end - self.overlap


@dataclass(kw_only=True)
class _At:
    """Where a walk is: the beginning of its window; of one that is under way also itself, and the place in it.

    `started_at` is when the window was first asked for, `began_at` when the first window was.
    """

    begin: datetime
    window: Window | None = None
    place: Cursor | None = None
    started_at: datetime | None = None
    began_at: datetime | None = None
    doubt: str | None = None


async def walk_windows(
    walk: Walk,
    ask: Ask,
    wanted: Range,
    *,
    keep: Cursor | None = None,
    mark: str = "",
    reached: datetime | None = None,
    scope: Scope | None = None,
    unproven: str | None = None,
    resumes: bool = True,
    dated: Dated | None = None,
) -> AsyncGenerator[Page, None]:
    """Give the pages of all windows of a range, from where the cursor says that a walk of it was.

    A walk begins anew where the server is found to answer for fewer days than it was asked for.

    keep            members that every cursor of this walk holds
    mark            the member that tells up to where windows are complete, which begins with `reached` and never falls;
                    empty if there is none
    scope, unproven of the last page; see Page
    resumes         False where every walk begins anew
    dated           how rows are known by their days, to find that out; None where it is not looked at

    The last cursor holds the mark, or `as_of` where there is none; of a sweep it holds `swept_at`, of a backfill only
    what is kept.
    """
    keep, (at, starts_over) = keep or {}, _resumed(walk, wanted.begin, resumes=resumes)
    if wanted.limit - at.begin > LONG:
        walk.charge_to_backfill()
    ahead = _Ahead(walk, ask, wanted)
    clamps, mark_before = Clamps(walk, _question(ask), dated, narrow=NARROW), reached
    while True:
        window, clamped = None, False
        try:
            async for window, piece in _asked(walk, ahead, at):
                at.started_at = at.started_at or piece.answer.safe_at
                at.began_at, at.doubt = at.began_at or at.started_at, at.doubt or piece.doubt
                clamps.see(window.first, window.last, piece.records)
                clamped = piece.place is None and await clamps.found(window.first, window.last)
                if clamped:
                    _narrow(walk)
                    reached = mark_before
                elif piece.place is None:
                    told = at.started_at if window.is_open else min(at.started_at, window.end)
                    reached = max(told, reached or told)
                marks = {mark: reached.isoformat()} if mark and reached else {}
                is_last = window.is_open and piece.place is None and not clamped
                cursor: Cursor | None
                if clamped:
                    again: Cursor = {"begin": wanted.begin.isoformat()}
                    cursor = {**keep, **marks, "pass": again | passed(walk, at.began_at, doubt=at.doubt)}
                elif is_last:
                    cursor = _last_cursor(walk, at.began_at, keep, marks)
                else:
                    cursor = _cursor(walk, piece, window, at, keep, marks, begin=window.end - wanted.overlap)
                yield Page(
                    records=piece.records,
                    cursor=cursor,
                    requested_at=piece.answer.sent_at,
                    keys=row_keys(piece.keys),
                    scope=scope if is_last else None,
                    whole_walk=is_last and scope is not None,
                    doubt=at.doubt if is_last else None,
                    unproven=unproven if is_last else None,
                    starts_over=starts_over,
                )
                starts_over = False
                ahead.look(window, piece.answer.size_bytes)
        except EndUnknown as error:
            yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at, starts_over=starts_over)
            raise
        if clamped:
            ahead = _Ahead(walk, ask, wanted)
            at = _At(begin=wanted.begin, began_at=at.began_at, doubt=at.doubt)
            continue
        if window is None or window.is_open:
            return
        at = _At(begin=window.end - wanted.overlap, began_at=at.began_at, doubt=at.doubt)


def _question(ask: Ask) -> Question:
    """Return what asks for days that are no window of a walk."""
    return lambda first, last: ask(Window(first=first, last=last, end=NEVER, is_open=False), None)


def _narrow(walk: Walk) -> None:
    """Ask for narrow windows from here on. Raises BadPayload if that was done already."""
    if CLAMPED in walk.ways or HALVED in walk.ways:
        raise BadPayload("the server answers for fewer than 13 days, whatever it is asked for")
    take(walk, CLAMPED)


async def walk_changes(
    walk: Walk,
    ask: Ask,
    *,
    begins_at: datetime,
    zone: ZoneInfo,
    dated: Dated | None = None,
    scope: Scope | None = None,
    unproven: str | None = None,
) -> AsyncGenerator[Page, None]:
    """Give what changed since the cursor, window by window; the last one reaches beyond now.

    A sweep gives everything since `begins_at`, as a live walk without a cursor does; a backfill gives its own range.
    The watermark is the instant when a window was asked for, and never later than the window's end. A live walk that
    went on in the middle of its last window asks once more, for what changed meanwhile.
    """
    is_live = walk.kind == "live"
    mark = "since" if is_live else "reached" if walk.kind == "backfill" else ""
    keep: Cursor = {}
    if walk.kind == "backfill":
        keep = {"since": walk.since and walk.since.isoformat(), "until": walk.until and walk.until.isoformat()}
    cursor = walk.cursor or {}
    if any(cursor.get(name) != value for name, value in keep.items()):
        cursor = {}
    while True:
        went_on = "pass" in cursor
        reached = cursor_time(cursor[mark]) if mark in cursor else None
        wanted = range_of(walk, reached - overlap_of(walk) if reached else begins_at, zone)
        async for page in walk_windows(
            replace(walk, cursor=cursor), ask, wanted, keep=keep, mark=mark, reached=reached,
            scope=scope if walk.kind == "sweep" else None, unproven=unproven, dated=dated,
        ):  # fmt: skip
            cursor = page.cursor or cursor
            yield page
        if not (is_live and went_on):
            return


def range_of(walk: Walk, begin: datetime, zone: ZoneInfo) -> Range:
    """Return the range from `begin` to now, or to where a backfill ends; windows overlap as live runs do."""
    limit = min(walk.until or walk.now(), walk.now())
    return Range(begin=min(begin, limit), limit=limit, overlap=overlap_of(walk), zone=zone)


class _Ahead:
    """Windows of a range, each asked for when it is its turn, or before."""

    def __init__(self, walk: Walk, ask: Ask, wanted: Range) -> None:
        self._walk = walk
        self._ask = ask
        self._wanted = wanted
        self._asked: dict[Window, tuple[AsyncIterator[Piece], asyncio.Task[Piece]]] = {}

    def window(self, begin: datetime, *, narrow: bool = False) -> Window:
        """Return the window that begins there, as wide as the server allows."""
        return self._wanted.window(begin, HALF if narrow or self._walk.ways & {HALVED, CLAMPED} else WIDEST)

    def look(self, window: Window, size_bytes: int) -> None:
        """Ask for the closed windows that follow one, as many as may be on the wire if answers have that size."""
        early = self._walk.early
        most = min(early.in_flight, max(1, EARLY_BYTES // (size_bytes + 1)))
        for _ in range(most if early.in_flight > 1 else 0):
            if window.is_open or (window := self.window(window.end - self._wanted.overlap)).is_open:
                return
            if window not in self._asked and len(self._asked) < most:
                pieces = self._ask(window, None)
                self._asked[window] = pieces, early.ask(_first(pieces))

    async def begin(self, window: Window, place: Cursor | None) -> tuple[Piece, AsyncIterator[Piece]]:
        """Return the first piece of a window, and the iterator over the others."""
        if place is None and (asked := self._asked.pop(window, None)):
            return await asked[1], asked[0]
        pieces = self._ask(window, place)
        return await anext(pieces), pieces


async def _first(pieces: AsyncIterator[Piece]) -> Piece:
    return await anext(pieces)


async def _asked(walk: Walk, ahead: _Ahead, at: _At) -> AsyncGenerator[tuple[Window, Piece], None]:
    """Ask for the window where a walk is; if the server refuses its width, ask for a narrower one from here on."""
    window = at.window or ahead.window(at.begin)
    try:
        first, pieces = await ahead.begin(window, at.place)
    except UpstreamError as error:
        narrow = ahead.window(at.begin, narrow=True)
        if at.place is not None or narrow == window or not is_refusal(error):
            raise
        window = narrow
        try:
            first, pieces = await ahead.begin(narrow, None)
        except UpstreamError as again:
            raise (error if is_refusal(again) else again) from None
        take(walk, HALVED)
    yield window, first
    async for piece in pieces:
        yield window, piece


_OWN: Final = frozenset({"begin", "first", "last", "end", "open", "started_at", "began_at", "at", "ordered", "doubt"})
"""Members of a resume point that are not of the place in the window."""


def goes_on_at(walk: Walk) -> datetime | None:
    """Return the beginning of the window where a walk goes on; None if it begins anew."""
    begin = _resumed(walk, NEVER, resumes=True)[0].begin
    return None if begin == NEVER else begin


def _resumed(walk: Walk, begin: datetime, *, resumes: bool) -> tuple[_At, bool]:
    """Return where a walk goes on, and whether it found a resume point that it cannot use."""
    going = (walk.cursor or {}).get("pass")
    if not isinstance(going, dict):
        return _At(begin=begin), False
    if not resumes or "begin" not in going or not _is_fresh(walk, going):
        return _At(begin=begin), True
    at = _At(begin=cursor_time(going["begin"]), began_at=cursor_time(going["began_at"]), doubt=going.get("doubt"))
    if "first" in going:
        at.window = Window(
            first=date.fromisoformat(going["first"]),
            last=date.fromisoformat(going["last"]),
            end=cursor_time(going["end"]),
            is_open=going["open"],
        )
        at.started_at = cursor_time(going["started_at"])
        at.place = {name: value for name, value in going.items() if name not in _OWN}
        if walk.kind != "live" and "query" in at.place:
            # a token may stand for the rows as they were when it was made, older than what live runs stored since
            at.place = at.started_at = None
    return at, False


def _is_fresh(walk: Walk, going: Cursor) -> bool:
    """Say whether a walk may go on: what a sweep has read must not be too old for what was ordered."""
    if walk.kind != "sweep":
        return True
    rests = ORDERED_RESUMES_FOR if walk.whole else RESUMES_FOR
    return going.get("ordered", False) == walk.whole and walk.now() - cursor_time(going["at"]) < rests


def _cursor(
    walk: Walk, piece: Piece, window: Window, at: _At, keep: Cursor, marks: Cursor, *, begin: datetime
) -> Cursor | None:
    """Return the cursor after a piece that is not the last; the next window starts at `begin`."""
    if piece.holds_back:
        return None
    if piece.place is None and marks:
        return {**keep, **marks}  # the mark says where the next window starts
    going: Cursor = {"begin": (begin if piece.place is None else at.begin).isoformat()}
    if piece.place is not None:
        started_at = at.started_at or piece.answer.safe_at
        going |= {
            "first": window.first.isoformat(), "last": window.last.isoformat(), "end": window.end.isoformat(),
            "open": window.is_open, "started_at": started_at.isoformat(), **piece.place,
        }  # fmt: skip
    return {**keep, **marks, "pass": going | passed(walk, at.began_at or piece.answer.safe_at, doubt=at.doubt)}


def passed(walk: Walk, began_at: datetime, *, doubt: str | None = None) -> Cursor:
    """Return what every resume point of a walk tells: when it began and, of a sweep, who ordered it and when it was."""
    told: Cursor = {"began_at": began_at.isoformat()}
    if walk.kind == "sweep":
        told |= {"at": walk.now().isoformat(), "ordered": walk.whole}
    return told | ({"doubt": doubt} if doubt else {})


def _last_cursor(walk: Walk, began_at: datetime, keep: Cursor, marks: Cursor) -> Cursor:
    """Return the cursor of a complete walk."""
    match walk.kind:
        case "sweep":
            return {"swept_at": began_at.isoformat()}
        case "backfill":
            return keep or {"as_of": began_at.isoformat()}
        case _:
            return {**keep, **marks} or {"as_of": began_at.isoformat()}

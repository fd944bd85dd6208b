"""Walks a range of time by windows of whole days, because vendors answer for about a month at a time.

A server that refuses a window's width is asked for half of it, once. Each page can be resumed after, see `places`.

Windows are asked for before their turn, and come in order. Never the open one: what changes meanwhile moves there, so
that it must be asked last. Knows nothing of any API: a source gives `ask`, which asks for one window of its list.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from syncd.contract.clamps import Clamps, Dated, Question
from syncd.contract.early import EARLY_BYTES
from syncd.contract.errors import BadPayload, UpstreamError
from syncd.contract.paging import EndUnknown, row_keys
from syncd.contract.places import NEVER, At, Told, goes_on_at, passed, resumed
from syncd.contract.second_ways import is_refusal, take
from syncd.contract.spans import HALF, NARROW, WIDEST, Ask, Piece, Range, Window, range_of
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.contract.walk import Cursor, Page, Scope, Walk

__all__ = [
    "CLAMPED", "HALF", "HALVED", "NARROW", "WIDEST", "Ask", "Piece", "Range", "Window", "goes_on_at", "passed",
    "range_of", "walk_changes", "walk_windows",
]  # fmt: skip

HALVED: Final = "the server refuses questions about 27 days; 13 days are asked for at a time"
"""The second way of windows."""
CLAMPED: Final = "the server answers for fewer days than it is asked for; 13 days are asked for at a time"
"""Another second way: what was asked for with 27 days is asked for again."""
LONG: Final = timedelta(days=183)
"""Of a range: no ordinary live run asks for so much, so it leaves the live lane to others; our choice."""


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

    keep, mark, reached  what the cursors tell; see `Told`
    scope, unproven      of the last page; see Page
    resumes              False where every walk begins anew
    dated                how rows are known by their days, to find out for how many the server answers; None where it is
                         not looked at
    """
    at, starts_over = resumed(walk, wanted.begin, resumes=resumes)
    told = Told(walk=walk, wanted=wanted, keep=keep or {}, mark=mark, reached=reached)
    if wanted.limit - at.begin > LONG:
        walk.charge_to_backfill()
    ahead, clamps = _Ahead(walk, ask, wanted), Clamps(walk, _question(ask), dated, narrow=NARROW)
    while True:
        window, begins_anew = None, False
        try:
            async for window, piece in _asked(walk, ahead, at):
                began_at = at.note(piece)
                clamps.see(window.first, window.last, piece.records)
                begins_anew = piece.place is None and await clamps.found(window.first, window.last)
                is_last = window.is_open and piece.place is None and not begins_anew
                if begins_anew:
                    _narrow(walk)
                    cursor: Cursor | None = told.anew(at, began_at)
                else:
                    if piece.place is None:
                        told.complete(window, at.started_at or began_at)
                    cursor = told.last(began_at) if is_last else told.after(piece, window, at)
                page = _page(piece, cursor, starts_over=starts_over)
                yield _ending(page, scope, unproven, at.doubt) if is_last else page
                starts_over = False
                ahead.look(window, piece.answer.size_bytes)
        except EndUnknown as error:
            yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at, starts_over=starts_over)
            raise
        if begins_anew:
            ahead, at = _Ahead(walk, ask, wanted), at.later(wanted.begin)
        elif window is None or window.is_open:
            return
        else:
            at = at.later(window.end - wanted.overlap)


def _page(piece: Piece, cursor: Cursor | None, *, starts_over: bool) -> Page:
    """Return the page of a piece."""
    return Page(
        records=piece.records,
        cursor=cursor,
        requested_at=piece.answer.sent_at,
        keys=row_keys(piece.keys),
        starts_over=starts_over,
    )


def _ending(page: Page, scope: Scope | None, unproven: str | None, doubt: str | None) -> Page:
    """Return the page as the last one of its walk."""
    return replace(page, scope=scope, whole_walk=scope is not None, doubt=doubt, unproven=unproven)


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


async def _asked(walk: Walk, ahead: _Ahead, at: At) -> AsyncGenerator[tuple[Window, Piece], None]:
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

"""One pass through the vehicles, walked by value.

Each request asks for what is not older than the last row of the answer before. So a row that moves while the list is
walked can only move to where the walk has not been yet, and ties at the edge of a page are read again. Whatever speaks
against the order or the filter makes the pass go on by offset, from where that is safe.
"""

import re
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from syncd.contract import (
    Cursor,
    Page,
    Scope,
    Walk,
)
from syncd.contract.errors import BadRequest, UpstreamError
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.contract.second_ways import is_refusal, take
from syncd.contract.toolkit import cursor_time
from syncd.records.readers import (
    earliest_reading,
    latest_reading,
    peek,
)
from syncd.sources.autengo.api import (
    LIMIT,
    OVERLAP,
    ZONE,
    fetch_slice,
    is_stale,
)

LIMITLESS: Final = "the server refuses our number of rows (limit); its own is taken"
FILTERLESS: Final = "the server refuses the filter on times; the whole list is walked each time"
ORDERLESS: Final = "the server refuses the order that is asked for; the list is walked as it comes"
PLAINER: Final = (
    frozenset({LIMITLESS}), frozenset({FILTERLESS}), frozenset({ORDERLESS}), frozenset({FILTERLESS, ORDERLESS}),
    frozenset({LIMITLESS, FILTERLESS, ORDERLESS}),
)  # fmt: skip
"""What is left out of a question that is refused: the cheapest first."""
FOLD: Final = timedelta(hours=1)  # local times run back by this on the autumn night without any disorder
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[ -~]{0,16}", re.ASCII)


def _moment(value: Any) -> datetime | None:
    """Read an upstream time as the naive moment by which the list is ordered; None for what is no time."""
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        return None
    try:
        return datetime.fromisoformat(value[:19])
    except ValueError:
        return None


def _bounds(walk: Walk, cursor: Cursor) -> tuple[str | None, str | None]:
    """Return the first and last `updated` of a pass as filter values; right whichever zone the filter is read in.

    A live pass starts from the watermark or the newest `updated` ever seen, whichever is earlier, less the overlap.
    """
    zone = ZoneInfo(ZONE.of(walk.options))
    if walk.kind == "backfill":
        first = earliest_reading(walk.since, zone) if walk.since else None
        last = latest_reading(walk.until, zone) if walk.until else None
        return _written(first), _written(last)
    if walk.kind == "sweep" or not cursor.get("since"):
        return None, None
    since, newest = earliest_reading(cursor_time(cursor["since"]), zone), _moment(cursor.get("last_updated"))
    return _written(min(since, newest or since) - timedelta(seconds=OVERLAP.of(walk.options))), None


def _written(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else None


@dataclass(kw_only=True)
class _Pass:
    """One pass through the vehicles: where it stands and what it has seen.

    value, resume   the lower bound of the requests now (None: no filter), and the place in the list that it gives
    came_from       value and resume before the last step by value, until that step has proved sound
    anchors         keys that the answer after a step by value must hold again
    plain           True once the pass walks from its start again, by offset only
    without         second ways that are being tried
    seen            identities of the rows met; None in a resumed pass, which cannot tell
    """

    walk: Walk
    order: str
    start: str | None
    end: str | None
    value: str | None
    resume: Resume | None = None
    came_from: tuple[str | None, Resume] | None = None
    anchors: frozenset[Hashable] = frozenset()
    by_value: bool = True
    plain: bool = False
    doubt: str | None = None
    started_at: datetime | None = None
    last_updated: str | None = None
    starts_over: bool = False
    expected: int | None = None
    seen: set[Hashable] | None = field(default_factory=set)
    without: frozenset[str] = frozenset()

    @staticmethod
    def of(walk: Walk) -> "_Pass":
        """Begin a pass, or take up the one that the cursor holds."""
        cursor, order = walk.cursor or {}, "created" if walk.kind == "sweep" else "updated"
        stored = cursor.get("pass")
        stale = (walk.kind == "sweep" and is_stale(walk, stored)) or bool(stored and FILTERLESS in walk.ways)
        if stored and not stale:
            plain = {
                name: stored[name] for name in ("start", "end", "value", "by_value", "plain", "doubt", "last_updated")
            }
            begun_at = cursor_time(stored["started_at"])
            return _Pass(
                walk=walk, order=order, resume=Resume.from_json(stored), started_at=begun_at, seen=None, **plain
            )
        start, end = (None, None) if FILTERLESS in walk.ways else _bounds(walk, cursor)
        last_updated = cursor.get("last_updated")
        return _Pass(
            walk=walk,
            order=order,
            start=start,
            end=end,
            value=start,
            by_value=walk.ways.isdisjoint({FILTERLESS, ORDERLESS}),
            last_updated=last_updated,
            starts_over=stale,
        )

    async def pages(self) -> AsyncIterator[Page]:
        """Walk to the end: an inner walk goes by offset within one lower bound, a step by value begins a new one."""
        moved = True
        while moved:
            async with aclosing(walk_offsets(self._fetch, walk=self.walk, resume=self.resume)) as steps:
                async for piece, after in steps:
                    times = [peek(record, self.order, "updated") for record in piece.records]
                    self._note(piece, [updated for _, updated in times])
                    moved = self._move(piece, [value for value, _ in times], after)
                    yield self._page(piece, complete=after is None and not moved)
                    if moved:
                        break

    async def _fetch(self, offset: int) -> Slice:
        """Ask for a slice; where a server refuses the question itself, ask a plainer one from then on."""
        try:
            return await self._ask(offset)
        except UpstreamError as error:
            if offset or not is_refusal(error):  # whether an offset is refused is for the paging to find out
                raise
            usual = (self.start, self.end, self.value, self.by_value, self.came_from)
            for fewer in PLAINER:
                self.without = fewer | self.walk.ways
                if self.without & {FILTERLESS, ORDERLESS}:
                    self.start = self.end = self.value = self.came_from = None
                    self.by_value = False
                with suppress(BadRequest):
                    piece = await self._ask(offset)
                    for told in sorted(fewer):
                        take(self.walk, told)
                    return piece
                self.start, self.end, self.value, self.by_value, self.came_from = usual
            self.without = frozenset()
            raise

    async def _ask(self, offset: int) -> Slice:
        without = self.without | self.walk.ways
        limit = None if LIMITLESS in without else LIMIT.of(self.walk.options)
        bounds = [f">=|{self.value}"] if self.value else []
        bounds += [f"<=|{self.end}"] if self.end else []
        name = f"and[{self.order}]" + ("[]" if len(bounds) > 1 else "")
        params = [] if ORDERLESS in without else [("order[field]", self.order), ("order[dir]", "asc")]
        params += [] if FILTERLESS in without else [(name, bound) for bound in bounds]
        params += [("offset", str(offset)), *([] if limit is None else [("limit", str(limit))])]
        position = self.resume.offset if self.resume else 0
        return await fetch_slice(
            self.walk, "/vehicle", params, "sellingId", asked=offset, position=position, limit=limit
        )

    def _note(self, piece: Slice, updated: Sequence[Any]) -> None:
        """Remember what the pass has seen."""
        self.started_at = self.started_at or piece.answer.safe_at
        self.expected = piece.total if self.expected is None else self.expected
        if self.seen is not None:
            rows = zip(piece.keys, piece.records, strict=True)
            self.seen.update(record if key is None else key for key, record in rows)
        times = [value for value in (*updated, self.last_updated) if _moment(value)]
        newest = max(times, key=lambda value: str(_moment(value)), default=None)
        self.last_updated = newest

    def _move(self, piece: Slice, values: Sequence[Any], after: Resume | None) -> bool:
        """Decide how the pass goes on; True if a new inner walk begins at `value` and `resume`."""
        came_from, self.came_from = self.came_from, None
        if came_from and self.anchors.isdisjoint(piece.keys):
            # the filter does not give back the row it was made of: it reads times otherwise than they are written,
            # or excludes the bound, or just that row changed; where the pass stood by offset, it is safe
            (self.value, self.resume), self.by_value = came_from, False
            return True
        moments = [moment for moment in map(_moment, values) if moment]
        if self.by_value and any(later < earlier - FOLD for earlier, later in pairwise(moments)):
            return self._start_again(f"the list is not in the order of `{self.order}` that was asked for")
        if after is None:
            # rows without a time are outside of every lower bound: look for them by offset
            falls_short = self.seen is not None and len(self.seen) < (self.expected or 0)
            return falls_short and not self.plain and self._start_again(None)
        self.resume = after
        last, bound = _moment(values[-1]) if values else None, _moment(self.value)
        if not (self.by_value and last and (bound is None or last > bound)):
            return False
        rows = zip(piece.keys, values, strict=True)
        self.anchors = frozenset(key for key, value in rows if value == values[-1] and key is not None)
        self.came_from, self.value, self.resume = (self.value, after), values[-1], None
        return True

    def _start_again(self, doubt: str | None) -> bool:
        """Walk the whole pass once more, by offset only."""
        self.value, self.resume, self.by_value, self.plain, self.doubt = self.start, None, False, True, doubt
        return True

    def _page(self, piece: Slice, *, complete: bool) -> Page:
        sweeps = complete and self.walk.kind == "sweep"
        starts_over, self.starts_over = self.starts_over, False
        return Page(
            records=piece.records,
            cursor=self._after() if complete else self._within(),
            requested_at=piece.answer.sent_at,
            scope=Scope() if sweeps else None,
            whole_walk=sweeps,
            starts_over=starts_over,
            doubt=self.doubt,
            unproven=piece.unproven,
            total=self.expected,
        )

    def _within(self) -> Cursor:
        """Return the cursor within the pass: a step by value is stored as the place by offset that it was made from."""
        value, resume = self.came_from or (self.value, self.resume)
        place = (resume or Resume(offset=0, tail=())).to_json()
        started_at = self.started_at.isoformat() if self.started_at else None
        stored = {"started_at": started_at, "start": self.start, "end": self.end, "value": value, **place}
        stored |= {name: getattr(self, name) for name in ("by_value", "plain", "doubt", "last_updated")}
        return {**(self.walk.cursor or {}), "pass": stored}

    def _after(self) -> Cursor:
        """Return the cursor after the pass: the watermark, which never goes backwards.

        While no vehicle was ever seen there is none: the next pass asks for everything again.
        """
        if self.walk.kind != "live" or self.started_at is None or self.last_updated is None:
            return {}
        before = (self.walk.cursor or {}).get("since")
        since = max(self.started_at, cursor_time(before)) if before else self.started_at
        return {"since": since.isoformat(), "last_updated": self.last_updated}


async def walk_by_value(walk: Walk) -> AsyncIterator[Page]:
    """Walk once; a live pass that goes on where a killed run stopped is followed by a fresh one.

    What was committed late meanwhile may lie before the place to go on from.
    """
    again = True
    while again:
        again = walk.kind == "live" and "pass" in (walk.cursor or {})
        async for page in _Pass.of(walk).pages():
            yield page
            walk = replace(walk, cursor=page.cursor)

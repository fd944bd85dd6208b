"""Where a walk by windows is: the cursors that tell it, and how a later run goes on from there.

Each page can be resumed after, a sweep's too: the keys that it has seen are stored. Where changed rows may move to a
window read before, a sweep that went on proves nothing alone: the stream confirms, or looks again (`goes_on_at`).
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from syncd.contract.spans import Piece, Range, Window
from syncd.contract.toolkit import cursor_time
from syncd.contract.walk import Cursor, Walk

NEVER: Final = datetime.max.replace(tzinfo=UTC)
RESUMES_FOR: Final = timedelta(days=7)
"""A sweep on schedule goes on where it was for so long after its last page; our choice."""
ORDERED_RESUMES_FOR: Final = timedelta(days=1)
"""The same of a sweep that an operator ordered."""

_OWN: Final = frozenset({"begin", "first", "last", "end", "open", "started_at", "began_at", "at", "ordered", "doubt"})
"""Members of a resume point that are not of the place in the window."""


@dataclass(kw_only=True)
class At:
    """Where a walk is: the beginning of its window; of one that is under way also itself, and the place in it.

    `started_at` is when the window was first asked for, `began_at` when the first window was.
    """

    begin: datetime
    window: Window | None = None
    place: Cursor | None = None
    started_at: datetime | None = None
    began_at: datetime | None = None
    doubt: str | None = None

    def note(self, piece: Piece) -> datetime:
        """Note when the window and the walk were first asked for, and the first doubt; return when the walk was."""
        self.started_at = self.started_at or piece.answer.safe_at
        self.began_at, self.doubt = self.began_at or self.started_at, self.doubt or piece.doubt
        return self.began_at

    def later(self, begin: datetime) -> "At":
        """Return the beginning of another window of the same walk."""
        return At(begin=begin, began_at=self.began_at, doubt=self.doubt)


@dataclass(kw_only=True)
class Told:
    """What the cursors of a walk tell.

    keep     members that every one holds
    mark     the member that tells up to where windows are complete; empty if there is none
    reached  up to where they are; it never falls
    """

    walk: Walk
    wanted: Range
    keep: Cursor
    mark: str
    reached: datetime | None
    _reached_before: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        self._reached_before = self.reached

    def complete(self, window: Window, started_at: datetime) -> None:
        """Note that a window is complete: what changed before it was asked for is known, as far as the window goes."""
        upto = started_at if window.is_open else min(started_at, window.end)
        self.reached = max(upto, self.reached or upto)

    def anew(self, at: At, began_at: datetime) -> Cursor:
        """Return the cursor of a walk that begins anew, because nothing that it was told is complete."""
        self.reached = self._reached_before
        begin: Cursor = {"begin": self.wanted.begin.isoformat()}
        return {**self.keep, **self._marks(), "pass": begin | passed(self.walk, began_at, doubt=at.doubt)}

    def after(self, piece: Piece, window: Window, at: At) -> Cursor | None:
        """Return the cursor after a piece that is not the last; None where nobody can go on."""
        marks, begin = self._marks(), window.end - self.wanted.overlap
        if piece.holds_back:
            return None
        if piece.place is None and marks:
            return {**self.keep, **marks}  # the mark says where the next window starts
        going: Cursor = {"begin": (begin if piece.place is None else at.begin).isoformat()}
        if piece.place is not None:
            started_at = at.started_at or piece.answer.safe_at
            going |= {
                "first": window.first.isoformat(), "last": window.last.isoformat(), "end": window.end.isoformat(),
                "open": window.is_open, "started_at": started_at.isoformat(), **piece.place,
            }  # fmt: skip
        began_at = at.began_at or piece.answer.safe_at
        return {**self.keep, **marks, "pass": going | passed(self.walk, began_at, doubt=at.doubt)}

    def last(self, began_at: datetime) -> Cursor:
        """Return the cursor of a complete walk: of a sweep when it began, else the mark or what is kept, or `as_of`."""
        match self.walk.kind:
            case "sweep":
                return {"swept_at": began_at.isoformat()}
            case "backfill":
                return self.keep or {"as_of": began_at.isoformat()}
            case _:
                return {**self.keep, **self._marks()} or {"as_of": began_at.isoformat()}

    def _marks(self) -> Cursor:
        return {self.mark: self.reached.isoformat()} if self.mark and self.reached else {}


def passed(walk: Walk, began_at: datetime, *, doubt: str | None = None) -> Cursor:
    """Return what every resume point of a walk tells: when it began and, of a sweep, who ordered it and when it was."""
    told: Cursor = {"began_at": began_at.isoformat()}
    if walk.kind == "sweep":
        told |= {"at": walk.now().isoformat(), "ordered": walk.whole}
    return told | ({"doubt": doubt} if doubt else {})


def goes_on_at(walk: Walk) -> datetime | None:
    """Return the beginning of the window where a walk goes on; None if it begins anew."""
    begin = resumed(walk, NEVER)[0].begin
    return None if begin == NEVER else begin


def resumed(walk: Walk, begin: datetime, *, resumes: bool = True) -> tuple[At, bool]:
    """Return where a walk goes on, and whether it found a resume point that it cannot use."""
    going = (walk.cursor or {}).get("pass")
    if not isinstance(going, dict):
        return At(begin=begin), False
    if not resumes or "begin" not in going or not _is_fresh(walk, going):
        return At(begin=begin), True
    at = At(begin=cursor_time(going["begin"]), began_at=cursor_time(going["began_at"]), doubt=going.get("doubt"))
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

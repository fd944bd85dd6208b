"""Walks a list that is paged by offset, without losing what shifts while it is being walked.

Every page after the first is asked for one row early: it must begin with a row of the page before, or hold them all. If
it does not, rows were removed ahead of it and others slid past unseen; the walk then steps back until the pages meet.
Rows that it sees twice are harmless, because rows are idempotent by key.

No vendor promises to take an offset that it did not hand out. Where one refuses, the walk goes on by the server's own
offsets: it then cannot notice that rows slid past, and proves of no row that it is gone.

Where `fetch` may be called before its turn, some pages are foretold: once a page that was asked for one row early has
come, the next ones are asked for at once, each one row early. Such an answer is taken only if it begins with the very
row with which the page before ended, as sent. Then no row was added or removed ahead of it between the two answers,
whichever came first, and no older state of a row follows a newer one. At the first answer that does not join, what was
asked for early is thrown away, and the walk goes on page by page.

Knows nothing of any API: a source gives `fetch`, which asks for one slice of its list.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import Any

from syncd.contract.early import EARLY_BYTES, Early, Foretold
from syncd.contract.errors import BadPayload, UpstreamError
from syncd.contract.second_ways import REFUSALS, take
from syncd.contract.walk import Answer, Walk
from syncd.frozen import dataclass

OFFSET_REFUSALS = REFUSALS | {404}
"""Statuses with which servers refuse an offset that they do not know."""
STEP_BACKS = 32
"""Most steps back in one walk: a list that keeps shifting faster than it can be walked fails the pass."""
EMPTY_PAGES = 50
"""Most empty pages in a row that still promise a next one."""
SAME_PAGES = 2
"""Pages in a row that held nothing but keys of the page before; one may be a page's worth of rows inserted ahead."""
OWN_OFFSETS = "the server takes only offsets that it handed out; pages are asked for without overlap"
"""The second way of paging."""
HELD_ROWS = 2_000
"""A page of more rows must not stay in memory beside the next one; of a shorter one, keys are read when needed."""
TAIL_KEYS = 5
"""Keys of the last page that a resume point remembers."""


class EndUnknown(BadPayload):
    """A page does not say whether the list goes on. Its rows count, but the list is not complete."""

    def __init__(self, message: str, answer: Answer, records: Sequence[bytes]) -> None:
        super().__init__(message)
        self.answer = answer
        self.records = records


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One response of an offset-paged list.

    keys          one hashable key per record, None for a record without one
    next_offset   where the upstream says the list goes on, None at its end
    total         length of the whole list, if the upstream says so
    doubt         why this slice may be incomplete (nothing may then be buried), None if it is sound
    unproven      why the walk so far proves of no row that it is gone, None if it does
    """

    records: Sequence[bytes]
    keys: Sequence[Hashable | None]
    next_offset: int | None
    answer: Answer
    total: int | None = None
    doubt: str | None = None
    unproven: str | None = None


@dataclass(frozen=True, kw_only=True)
class Resume:
    """A safe place to go on from: the next offset and the last keys before it."""

    offset: int
    tail: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form that a cursor stores."""
        return {"offset": self.offset, "tail": [list(key) if isinstance(key, tuple) else key for key in self.tail]}

    @staticmethod
    def from_json(value: dict[str, Any] | None) -> "Resume | None":
        """Read what `to_json` wrote; None stays None."""
        if not value:
            return None
        tail = tuple(tuple(key) if isinstance(key, list) else key for key in value["tail"])
        return Resume(offset=int(value["offset"]), tail=tail)


Fetch = Callable[[int], Awaitable[Slice]]
"""Asks for the slice at an offset."""


def row_keys(keys: Sequence[Hashable | None] | None) -> Sequence[tuple[Any, ...] | None] | None:
    """Return the keys of a slice as those of a page; None where each is read with its record, as of a large answer."""
    return [key if isinstance(key, tuple) else None for key in keys] if isinstance(keys, list) else None


async def walk_offsets(
    fetch: Callable[[int], Awaitable[Slice]],
    *,
    walk: Walk | None = None,
    resume: Resume | None = None,
    early: Early | None = None,
) -> AsyncGenerator[tuple[Slice, Resume | None], None]:
    """Yield each slice with the place to resume after it, None with the last one.

    With `walk`, an offset of our own that is refused leads to the server's own offsets; without it, to the error. With
    `early`, pages are foretold: `fetch` must then give the same for an offset in whatever order it is called.

    Raises BadPayload on a paging loop: a next offset that repeats or falls, the same page again, or empty pages
    without end.
    """
    ways = walk.ways if walk else frozenset[str]()
    fetch = _told_unproven(fetch, ways)
    offset = resume.offset if resume else 0
    before = _Before(resume.tail if resume else ())
    overlaps = bool(resume and resume.tail) and offset > 0
    step_backs = empty = repeats = 0
    last_next = -1
    foretold = Foretold(fetch, early or Early())
    while True:
        overlaps = overlaps and OWN_OFFSETS not in ways
        ask = offset - 1 if overlaps else offset
        taken = await foretold.take(ask)
        if taken and not (overlaps and before.is_joined_by(taken)):
            foretold.miss()
            taken = None
        piece = taken or (await _one_row_early(fetch, walk, offset) if overlaps else await fetch(ask))
        if overlaps and OWN_OFFSETS in ways:
            ask, overlaps = offset, False
        step = 1
        while overlaps and ask > 0 and not before.is_met_by(piece, loosely=step_backs >= STEP_BACKS // 2):
            step_backs += 1
            if step_backs > STEP_BACKS:
                raise BadPayload(f"the list kept shifting while it was walked: {STEP_BACKS} steps back did not suffice")
            step *= 2
            ask = max(0, ask - step)
            last_next = -1
            piece = await fetch(ask)
        if overlaps and len(piece.records) == 1 and piece.next_offset == last_next:  # the shared row alone: go on
            piece, ask, overlaps = await fetch(offset), offset, False
        _check_progress(piece, ask, last_next)
        repeats = repeats + 1 if step == 1 and before.holds_all_of(piece) else 0
        if repeats >= SAME_PAGES:
            raise BadPayload(f"paging loop: offset {ask} brought the same page again, the offset seems ignored")
        empty = 0 if piece.records else empty + 1
        if empty > EMPTY_PAGES:
            raise BadPayload(f"paging loop: {EMPTY_PAGES} empty pages in a row, each promising a next one")
        if piece.next_offset is None:
            foretold.miss()
            yield piece, None
            return
        tail = _tail(piece)
        resume = Resume(offset=piece.next_offset, tail=tail or (resume.tail if resume else ()))
        takes_ours = overlaps  # pages are foretold once the server has taken an offset that it did not hand out
        # one row early only where offsets count rows, and where that still makes progress
        overlaps = bool(tail) and piece.next_offset - ask == len(piece.records) > 1
        before = _Before(piece.keys, piece.records) if tail else before
        offset = last_next = piece.next_offset
        later = await _foreseen(early, piece) if takes_ours and overlaps and early and foretold.may_ask else ()
        foretold.ask(offset - 1, later)  # before the caller is at work on this page
        yield piece, resume


def _told_unproven(
    fetch: Callable[[int], Awaitable[Slice]], ways: AbstractSet[str]
) -> Callable[[int], Awaitable[Slice]]:
    """Let each slice say whether the stream is walked by the server's own offsets."""

    async def fetched(offset: int) -> Slice:
        piece = await fetch(offset)
        return replace(piece, unproven=OWN_OFFSETS) if OWN_OFFSETS in ways else piece

    return fetched


async def _foreseen(early: Early, piece: Slice) -> Sequence[int]:
    """Return the offsets of the pages that follow the next one if all are as long as this one.

    None lies behind the end of the list, as far as that is known.
    """
    length, first = len(piece.records), (piece.next_offset or 0) - 1
    pages = min(early.in_flight, EARLY_BYTES // (piece.answer.size_bytes + 1))
    offsets = [first + (length - 1) * ahead for ahead in range(1, pages)]
    if piece.total is not None:
        return [offset for offset in offsets if offset + 1 < piece.total]
    usual_pages = -(-await early.usual() // length)  # what a run has seen holds the shared rows twice
    return [offset for offset in offsets if not usual_pages or offset < (length - 1) * usual_pages]


async def _one_row_early(fetch: Fetch, walk: Walk | None, offset: int) -> Slice:
    """Ask one row early; if that is refused, and the offset itself is taken, take the second way from here on."""
    try:
        return await fetch(offset - 1)
    except UpstreamError as error:
        if walk is None or error.status not in OFFSET_REFUSALS:
            raise
        try:
            piece = await fetch(offset)
        except UpstreamError:
            raise error from None
        take(walk, OWN_OFFSETS)
        return replace(piece, unproven=OWN_OFFSETS)


class _Before:
    """The rows of the page before; what takes all their keys is read only where their bytes do not settle it."""

    def __init__(self, keys: Sequence[Hashable | None], records: Sequence[bytes] = ()) -> None:
        is_large = len(records) > HELD_ROWS
        self._all_keys: Collection[Hashable | None] = frozenset(keys) if is_large else keys
        self._last = records[-1] if records else None

    @cached_property
    def _keys(self) -> frozenset[Hashable]:
        return frozenset(self._all_keys) - {None}

    def is_joined_by(self, piece: Slice) -> bool:
        """Say whether a slice begins with the very row with which the page before ended, as sent."""
        return self._last is not None and len(piece.records) > 0 and piece.records[0] == self._last

    def is_met_by(self, piece: Slice, *, loosely: bool) -> bool:
        """Say whether a slice begins among these rows, or holds all of them.

        One of these rows further on proves nothing: it may have moved there since, past rows that nobody has seen. It
        is enough `loosely`, after many steps back: where equal rows change places with each request no slice begins so.
        """
        if self.is_joined_by(piece) and piece.keys[0] is not None:
            return True
        keys = [key for key in piece.keys if key is not None]
        if loosely and not self._keys.isdisjoint(keys):
            return True
        return bool(keys) and (keys[0] in self._keys or self._keys.issubset(keys))

    def holds_all_of(self, piece: Slice) -> bool:
        """Say whether a slice of several rows brings none that these are not.

        One that goes on where they end does; a list that repeats itself would begin anew.
        """
        if len(piece.records) <= 1 or (self.is_joined_by(piece) and piece.records[-1] != piece.records[0]):
            return False
        return self._keys.issuperset(piece.keys)


def _tail(piece: Slice) -> tuple[Hashable, ...]:
    """Return the last keys of a slice."""
    for keys in (piece.keys[-TAIL_KEYS:], piece.keys):
        if found := tuple(key for key in keys if key is not None)[-TAIL_KEYS:]:
            return found
    return ()


def _check_progress(piece: Slice, ask: int, last_next: int) -> None:
    following = piece.next_offset
    if following is not None and (following <= ask or following <= last_next):
        raise BadPayload(f"paging loop: asked for offset {ask}, was sent on to {following}")

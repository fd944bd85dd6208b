"""What a walk through a stream may know, and what it gives: pages of records, each with its cursor."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from syncd.contract.early import Early
from syncd.frozen import dataclass

Cursor = dict[str, Any]
"""Where to resume: a small JSON object that only the stream's own walk understands.

One member is known to the engine: while a pass is under way its resume point stands under `pass`, and the cursor of
the last page has no such member.
"""

RunKind = Literal["live", "sweep", "backfill", "callback"]
"""What a run walks, and what a walk gives in it.

live       what is new since the cursor of the live runs; everything where there is no cursor yet
sweep      everything, so that rows which the upstream no longer has can be buried
backfill   what changed from `since` to `until`, with a cursor of its own for each range
callback   the records whose keys `named` holds, because the upstream told of them, or the records in `pushed`; stores
           no cursor
"""

Lane = Literal["live", "backfill"]
"""Whose share of the budget a request is charged to.

Backfills, long sweeps and long first runs have a lane of their own, all other runs are live.
"""

Options = Mapping[str, Any]
"""The options of a source or stream as the configuration gives them; read with `Option.of`."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The rows about which a page is complete: those whose `column` is one of `values`, or all if `column` is None.

    `also` names further columns, and the value that each must have. Of these only rows all of whose times `within` lie
    from `since` on and before `until`, if times are named; with `nulls` one that has no such time, too. A row in scope
    that was not seen is gone. `guarded` says whether the breaker judges the burial (listings), or not (an answer about
    keys that were asked for by name).
    """

    column: str | None = None
    values: tuple[Any, ...] = ()
    guarded: bool = True
    within: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    nulls: bool = False
    also: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """The records of one response, and the cursor that is valid once they are committed.

    records       each one JSON object as sent, in the order of the response
    cursor        stored in the same transaction; None stores nothing: the walk must start again from the cursor before
    requested_at  when the request was sent (our clock): what is older than a stored change must not overwrite it
    scope         on a page of a lookup: the rows for which these records are everything there is;
                  on the last page of a full listing: the rows for which the whole walk is everything there is
    whole_walk    True on the last page of a full listing: `scope` speaks for all pages of the walk
    starts_over   True on the first page of a walk that found a resume point in its cursor and could not use it
    doubt         why nothing may be buried on the strength of this walk, although it succeeded; None if nothing speaks
                  against it
    unproven      why a row that this walk lacks may still be there: only what asking by key confirms is buried; None if
                  the walk proves by itself what is gone
    keys          the key of each record, where the walk has read it anyway (None for a record without one)
    riders        records for other streams of the source that came along, by name of the stream; only ever upserted
    total         how many records the whole walk will have, if the upstream says so (for progress only)
    """

    records: Sequence[bytes]
    cursor: Cursor | None
    requested_at: datetime
    scope: Scope | None = None
    whole_walk: bool = False
    starts_over: bool = False
    doubt: str | None = None
    unproven: str | None = None
    keys: Sequence[tuple[Any, ...] | None] | None = None
    riders: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One whole successful response: body inflated and size-checked; `served_at` is the server's Date header.

    `members` are those of a body that is a JSON object, once somebody has split it (`records.split.envelope`). A copy
    with another body begins without them. `left_out_bytes` is the size of a body that was left out.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: datetime
    served_at: datetime | None
    left_out_bytes: int = 0
    members: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def safe_at(self) -> datetime:
        """The earlier of our clock and the server's when the request was sent: a watermark may stand here."""
        return min(self.sent_at, self.served_at) if self.served_at else self.sent_at

    @property
    def size_bytes(self) -> int:
        """The size of the body, whether it is still held or not."""
        return len(self.body) + self.left_out_bytes

    def without_body(self) -> "Answer":
        """Return what stays of an answer once its records were read: a page that waits holds them only once."""
        return replace(self, body=b"", left_out_bytes=self.size_bytes)


class Upstream(Protocol):
    """One account at one API, as a walk sees it: every request is charged, signed, retried and checked."""

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        """Send one request and return its successful answer.

        `path` is relative to the source's base_url and starts with "/". `query` is sent as it is, byte for byte, and
        `params` follow it, encoded. Raises an `UpstreamError` after the retries
        that its kind deserves; `NotFound` for a 404.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Due:
    """A key that the mirror gives to a lookup, and when what it stands for last changed, where that counts."""

    key: str
    at: datetime | None = None


async def _nothing_held(_scope: Scope) -> Sequence[tuple[Any, ...]]:
    return ()


async def _nothing_due(_after: Due | None, _most: int) -> Sequence[Due]:
    return ()


def _unheard(_remark: str) -> None:
    pass


def _by_kind() -> None:
    pass


async def _nothing_stored(_key: tuple[Any, ...]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Walk:
    """All that a walk may know: the account, its options, where to resume, which keys to ask for.

    kind       what to walk; see RunKind
    cursor     the stored cursor of this kind of run, or None for the first time
    options    the source's options with secrets wrapped; `stream_options` those of this stream; see Option.of
    lookup     keys to look up, by option name (e.g. {"barcodes": [...]}), queries already resolved
    mirrored   reads one column of the live rows of another stream of this source, in ascending order
    stored     reads the mirrored row of this stream by its key, as values by column; empty where there is none
    held       reads the keys of the live rows of this stream in a scope
    due        reads the keys of the stream's feed or hints that come after one (None: from the first), so many at most
    now        our clock, aware UTC
    since      where a backfill begins, None for the first record there is; `until` where it ends, None for now
    whole      True where an operator ordered everything there is, and not only what a run on schedule gives
    base_url   the source's address, to judge a link by: one that leads to another host is never followed
    named      keys of the records that a callback told of
    pushed     records of a pushed stream that webhooks brought
    note       keeps a remark for the run's record
    ways       second ways that the stream's server needs, as far as this process knows; see `second_ways`
    early      what may be asked before its turn; see `early`
    charge_to_backfill  has the requests that follow charged to the backfill lane: called by a live walk that takes so
               many of them, once, that other streams would wait for it
    """

    upstream: Upstream
    kind: RunKind
    cursor: Cursor | None
    options: Mapping[str, Any]
    stream_options: Mapping[str, Any]
    lookup: Mapping[str, Sequence[Any]]
    now: Callable[[], datetime]
    mirrored: Callable[[str, str], Awaitable[list[Any]]]
    since: datetime | None = None
    until: datetime | None = None
    whole: bool = False
    base_url: str = ""
    named: Sequence[tuple[Any, ...]] = ()
    pushed: Sequence[bytes] = ()
    note: Callable[[str], None] = _unheard
    ways: set[str] = field(default_factory=set)
    stored: Callable[[tuple[Any, ...]], Awaitable[Mapping[str, Any]]] = _nothing_stored
    early: Early = field(default_factory=Early)
    held: Callable[[Scope], Awaitable[Sequence[tuple[Any, ...]]]] = _nothing_held
    due: Callable[[Due | None, int], Awaitable[Sequence[Due]]] = _nothing_due
    charge_to_backfill: Callable[[], None] = _by_kind

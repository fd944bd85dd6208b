"""The contract between the engine and an API: what a source declares, and what a walk through a stream gives.

Types only. One file in `syncd/sources/` fills them in for one API; the engine knows nothing else about that API.

    Source ── Auth                  how requests are signed, and when a login is due
       ├───── Stream ── Table       where its rows go (and Child tables)
       │         └───── walk(Walk)  an async generator of Pages: one page is committed in one transaction
       └───── Callbacks             where the API tells us of changes, if it does
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from syncd.config import OptionSpec
from syncd.errors import SyncdError

Cursor = dict[str, Any]
"""Where to resume: a small JSON object that only the stream's own walk understands.

One member is known to the engine: while a pass is under way its resume point stands under `pass`, and the cursor of
the last page has no such member.
"""

RunKind = Literal["live", "sweep", "backfill", "callback"]
Lane = Literal["live", "backfill"]


class Kind(StrEnum):
    """The type of a column, by its name in PostgreSQL; SHA256 is text that holds only the digest of a secret."""

    TEXT = "text"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamptz"
    UUID = "uuid"
    JSON = "jsonb"
    SHA256 = "sha256"


ALIVE = "_deleted_at IS NULL"
"""Rows that are no tombstones."""

EMAIL = "lower(NULLIF(btrim(email), ''))"
"""An e-mail address as the views of schema reporting compare it."""


def month_of(column: str) -> str:
    """Return the expression of the month in which an instant lies, as the views of schema reporting have it."""
    return f"((date_trunc('month', {column} AT TIME ZONE 'Europe/Amsterdam'))::date)"


def snake(name: str) -> str:
    """Return an upstream's camelCase name as a column name: co2EmissionCombined → co2_emission_combined, ID → id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass(frozen=True, kw_only=True)
class Column:
    """One typed column and where its value stands in a record.

    `path` leads from the record to the value: names of objects, or a number for a place in an array of fixed length.
    `optional` is True where the vendor's page declares that the field may be absent: only then does a missing field
    erase a stored value.
    """

    name: str
    path: tuple[str | int, ...]
    kind: Kind
    comment: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index beside the key, for questions that would read a large table from end to end (tests/plans.py).

    `on` holds columns or expressions, `where` the rows that it holds, both as PostgreSQL writes them. A text belongs in
    a hash only: one that is too long for a btree would keep its row out.
    """

    name: str
    on: tuple[str, ...]
    where: str | None = ALIVE
    using: Literal["btree", "brin", "hash"] = "btree"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the mirror: its key (without `source`, which always comes first), typed columns and child tables.

    `columns` holds the key columns too, in the order of the table. `deleted` names the boolean column by which the
    upstream itself flags a deleted record; such a row is a tombstone for as long as the flag is set.

    personal   columns that hold what is said of a person, or may (free text)
    person     True if each row is a person, whose one key column `syncd forget` takes
    refers     by column, the stream of the same source whose person it names: of a forgotten one, such a row keeps
               neither that column nor its personal ones, nor any field without a column
    needed     columns on which sweeps and other streams rest: they can be neither left out nor hashed

    The last four say nothing of how a record becomes a row.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    comment: str
    deleted: str | None = None
    children: tuple["Child", ...] = ()
    indexes: tuple[Index, ...] = ()
    personal: tuple[str, ...] = field(default=(), repr=False)
    person: bool = field(default=False, repr=False)
    refers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    needed: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child table, filled from the array `field` of each parent record; its rows live and die with the parent.

    The child's key is the parent's key followed by its own: the leading columns of `table.key` bear the names of the
    parent's key columns and take the parent's values, whatever the element itself says.
    """

    field: str
    table: Table


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The rows about which a page is complete: those whose `column` is one of `values`, or all if `column` is None.

    A row in scope that was not seen is gone. `guarded` says whether the breaker judges the burial (listings), or not
    (an answer about keys that were asked for by name).
    """

    column: str | None = None
    values: tuple[Any, ...] = ()
    guarded: bool = True


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
    keys: Sequence[tuple[Any, ...] | None] | None = None
    riders: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One whole successful response: body inflated and size-checked; `served_at` is the server's Date header."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: datetime
    served_at: datetime | None

    @property
    def safe_at(self) -> datetime:
        """The earlier of our clock and the server's when the request was sent: a watermark may stand here."""
        return min(self.sent_at, self.served_at) if self.served_at else self.sent_at


class Upstream(Protocol):
    """One account at one API, as a walk sees it: every request is charged, signed, retried and checked."""

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), json: Any = None
    ) -> Answer:
        """Send one request and return its successful answer.

        `path` is relative to the source's base_url and starts with "/". Raises an `UpstreamError` after the retries
        that its kind deserves; `NotFound` for a 404.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Walk:
    """All that a walk may know: the account, its options, where to resume, which keys to ask for.

    kind       live: what is new since the cursor; sweep: everything; backfill: from `since` to `until`;
               callback: the records whose keys are `named`, and no scope: what is not there proves nothing
    cursor     the stored cursor of this kind of run, or None for the first time
    options    the source's options with secrets wrapped; `stream_options` those of this stream
    lookup     keys to look up, by option name (e.g. {"barcodes": [...]}), queries already resolved
    mirrored   reads one column of the live rows of another stream of this source, in ascending order
    now        our clock, aware UTC
    base_url   the source's address, to judge a link by: one that leads to another host is never followed
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
    base_url: str = ""
    named: Sequence[tuple[Any, ...]] = ()


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One collection of a source.

    walk        gives the pages of one pass, at least one, in order; ends normally only if the pass is complete
    every_s     default time between two live runs; sweep_s between two sweeps (None: a live pass is a full listing,
                or nothing can be swept)
    lookup      names of the stream options that hold the keys to ask for; empty for listings
    backfills   True if the stream can be walked over a range of time
    reads       streams of the source whose mirrored rows the walk reads: a command runs them first
    confirm     asks for one record by its key: the record as sent, or raises NotFound; None where no such request
                exists. A row about to be buried is first asked for by it.
    """

    name: str
    table: Table
    walk: Callable[[Walk], AsyncIterator[Page]]
    every_s: float
    sweep_s: float | None = None
    lookup: tuple[str, ...] = ()
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    backfills: bool = False
    reads: tuple[str, ...] = ()
    confirm: Callable[[Walk, tuple[Any, ...]], Awaitable[bytes]] | None = None


class Send(Protocol):
    """Sends one bare request of a login: charged and retried, but neither signed nor logged in first."""

    async def __call__(self, method: str, path: str, *, headers: Mapping[str, str] = {}, json: Any = None) -> Answer:
        """Return the successful answer; a 400 or 401 raises BadCredentials."""
        ...


class Auth(Protocol):
    """How the requests of one account are signed. State (token, session) lives in memory only."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that sign a request now; secrets stay inside."""
        ...

    def due(self, now: datetime) -> bool:
        """Say whether a login (or renewal) must come before the next request."""
        ...

    async def login(self, send: Send, now: datetime) -> None:
        """Log in, or renew; called by one task at a time. Raises BadCredentials if refused."""
        ...

    def refused(self) -> bool:
        """Forget the session after a 401; say whether a new login could help."""
        ...

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Take note of what any response carries for the session (rotated cookies)."""
        ...


Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """How an API tells of changes: it calls one address of ours, which it was given once.

    A source that has them takes CALLBACK_OPTIONS, too. What a call says is a hint to ask, and never data.

    stream      the stream whose records are named; its walk knows the kind `callback`
    named       reads the key of the record that a body names, None if it tells of something else; raises BadPayload
                for a body of any other form
    registered  asks which address the API calls, None for none; raises CannotTell where it does not say
    register    gives it an address; `clear` takes away whichever it has
    """

    stream: str
    named: Callable[[bytes], tuple[Any, ...] | None]
    registered: Callable[[Upstream, Options], Awaitable[str | None]]
    register: Callable[[Upstream, Options, str], Awaitable[None]]
    clear: Callable[[Upstream, Options], Awaitable[None]]


class CannotTell(SyncdError):
    """The API does not say which address it calls."""


CALLBACK_OPTIONS: Mapping[str, OptionSpec] = {
    "callbacks": OptionSpec(kind="bool", default=False, comment="listen for callbacks, too (docs/callbacks.md)"),
    "callback_url": OptionSpec(
        kind="url", default=None, comment="public address under which the vendor reaches http.callback_listen"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One API: its options, its streams in the order in which a first sync should walk them, its ways.

    auth      makes the Auth of one account from its options
    fault_of  reads the vendor's error text from an answer of any status, None if the body tells of none; an error
              inside a 200 is found by this. Its text is for the log: at most 200 characters, no personal data.
    headers   sent with every request (Accept-Language, …)
    zone      zone in which the vendor's day begins, for a day window without a reset time
    """

    type: str
    schema_comment: str
    base_url: str | None
    options: Mapping[str, OptionSpec]
    streams: tuple[Stream, ...]
    auth: Callable[[Mapping[str, Any]], Auth]
    fault_of: Callable[[Answer], str | None]
    headers: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda _options: {}
    zone: str = "UTC"
    callbacks: Callbacks | None = None

    def stream(self, name: str) -> Stream:
        """Return the stream of that name; raises KeyError."""
        return {stream.name: stream for stream in self.streams}[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, in order."""
        return tuple(stream.name for stream in self.streams)

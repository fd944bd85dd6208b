"""What an API declares: its streams, its way to sign requests, its way to tell of changes."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any

from syncd.config import Timeouts
from syncd.contract.auth import Auth
from syncd.contract.cost import Cost
from syncd.contract.errors import SyncdError
from syncd.contract.identity import Identity, identity_of
from syncd.contract.lookups import Feed
from syncd.contract.options import Option, Secret
from syncd.contract.schema import Table
from syncd.contract.walk import Answer, Options, Page, Upstream, Walk
from syncd.contract.webhooks import Webhooks
from syncd.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a walk splits a range of time: each window costs one request at least, also where it holds nothing.

    of       the windows of a backfill, in order: where each begins and ends; no request is sent
    columns  by the time in the first of these that has one, a row of the stream's table falls into a window
    """

    of: Callable[[Walk], Sequence[tuple[datetime, datetime]]]
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One collection of a source.

    walk        gives the pages of one pass, at least one, in order; ends normally only if the pass is complete
    every_s     default time between two live runs; sweep_s between two sweeps (None: a live pass is a full listing,
                or nothing can be swept)
    lookup      names of the stream options that hold the keys to ask for; empty for listings
    feed        keys of the lookup that the mirror gives; a stream that has one needs none from the configuration
    hints       keys that rows of other streams give to a listing, whose records they say changed: its walk may ask for
                these first (`Walk.due`). None where nothing hints at them
    is_on       False for a stream that runs only where the configuration says `enabled = true`
    backfills   True if the stream can be walked over a range of time
    windows     how a backfill splits its range, where it does: what a range costs is known by it
    reads       streams of the source whose mirrored rows the walk reads: a command runs them first
    confirm     asks for one record by its key: the record as sent, or raises NotFound; None where no such request
                exists. A row about to be buried is first asked for by it. Raises CannotTell where the mirrored row
                lacks what the request needs: that row stays.
    keyless     True where a list may hold records that can have no key: they are rejects, and no reason to bury nothing
    lacks       asks another list, or the same once more, which of the rows about to be buried it lacks, and returns
                their keys: only these are buried. None where there is no such list. Raises CannotTell if the list is
                not complete: all rows stay.
    is_pushed   True for a stream whose records come in webhooks only: nothing asks for them, so it has no runs of its
                own, `every_s` counts for nothing, and nobody can say that it is complete
    cost        what its runs cost in requests, for the forecast of `syncd check --budget`
    """

    name: str
    table: Table
    walk: Callable[[Walk], AsyncIterator[Page]]
    every_s: float
    sweep_s: float | None = None
    lookup: tuple[str, ...] = ()
    feed: Feed | None = None
    hints: Feed | None = None
    options: tuple[Option[Any], ...] = ()
    is_on: bool = True
    backfills: bool = False
    windows: Windows | None = None
    reads: tuple[str, ...] = ()
    confirm: Callable[[Walk, tuple[Any, ...]], Awaitable[bytes]] | None = None
    keyless: bool = False
    lacks: Callable[[Walk, Sequence[tuple[Any, ...]]], Awaitable[Sequence[tuple[Any, ...]]]] | None = None
    is_pushed: bool = False
    cost: Cost = field(default_factory=Cost)

    @property
    def can_sweep(self) -> bool:
        """Whether it has sweeps: by schedule, or, where its backfills go by windows, when somebody orders one."""
        return self.sweep_s is not None or self.windows is not None

    @asynccontextmanager
    async def pages(self, walk: Walk) -> AsyncGenerator[AsyncIterator[Page]]:
        """Give the pages of a walk. The end of the block ends the walk and all that it asked for before its turn."""
        pages = self.walk(walk)
        try:
            yield pages
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()
            await walk.early.end()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the headers of an answer say of the budget; None: they do not say.

    A bucket that drips empty in a minute is a minute of as many requests as it holds.
    """

    per_minute: int | None = None
    minute_left: int | None = None
    per_day: int | None = None
    day_left: int | None = None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """How an API tells of changes: it calls one address of ours, which it was given once.

    A source that has them lists CALLBACK_OPTIONS among its options. What a call says is a hint to ask, and never data.

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
    """The API does not say: which address it calls, or whether it holds a record."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One API: its options, its streams in the order in which a first sync should walk them, its ways.

    auth      makes the Auth of one account from its options
    fault_of  reads the vendor's error text from an answer of any status, None if the body tells of none; an error
              inside a 200 is found by this. Its text is for the log: at most 200 characters, no personal data.
    headers   sent with every request (Accept-Language, …)
    zone      zone in which the vendor's day begins, for a day window without a reset time
    example_name  the name that `syncd init` proposes for a source of this type; empty: the type
    timeouts  how long an answer may take, unless the configuration says otherwise
    account   options that name the account: another value is another account, whose rows are never mixed with those of
              the first. Of a secret the digest counts. Empty: every secret names the account.
    contract  the version of this contract for which the source was built; see `version`
    migrations  the folder of the source's own migrations (docs/add-an-api.md); None where they are among syncd's own
    reports   the folder of a plugin's own questions for `syncd report`: each a file NAME.sql, which begins with the
              lines `-- about: …` and `-- question: …`; then one query that ends with `;`. It reads the source's tables
              and views of schema reporting. NAME is used by nobody else, so let it begin with the type. A file that
              cannot be used is left out, and told. None: no questions
    per_minute, per_day  requests that the vendor documents; the configuration may say otherwise, and headers that say
              less are believed
    limits_of  reads the budget from the headers of an answer, where they are other ones than X-RateLimit-Minutely-* and
              X-RateLimit-Daily-*; None where they say nothing. Retry-After is read for every source.
    """

    type: str
    schema_comment: str
    base_url: str | None
    options: tuple[Option[Any], ...]
    streams: tuple[Stream, ...]
    auth: Callable[[Mapping[str, Any]], Auth]
    fault_of: Callable[[Answer], str | None]
    headers: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda _options: {}
    zone: str = "UTC"
    callbacks: Callbacks | None = None
    webhooks: Webhooks | None = None
    example_name: str = ""
    account: tuple[Option[Any], ...] = ()
    contract: str = ""
    migrations: Path | None = None
    reports: Path | None = None
    per_minute: int | None = None
    per_day: int | None = None
    limits_of: Callable[[Mapping[str, str]], Limits | None] = lambda _headers: None
    timeouts: Timeouts = field(default_factory=Timeouts)

    def stream(self, name: str) -> Stream:
        """Return the stream of that name; raises KeyError."""
        return {stream.name: stream for stream in self.streams}[name]

    def secrets(self, options: Options) -> list[Secret]:
        """Return the values of the options that are declared secret."""
        found = [option.of(options) for option in self.options if option.kind == "secret"]
        return [secret for secret in found if secret is not None]

    def identity(self, base_url: str, options: Options) -> Identity:
        """Return which account these options are of; see `identity_of`."""
        named_by = self.account or tuple(option for option in self.options if option.kind == "secret")
        return identity_of(self.type, base_url, named_by, options)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, in order."""
        return tuple(stream.name for stream in self.streams)

"""The keys that a listing has held, for the rows that are missing at its end.

Works inside the caller's transaction and never commits. It says which rows are missing, never whether they are gone:
`deletions` judges that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import asyncpg

from syncd.contract import Scope
from syncd.engine.plan import Tracking
from syncd.records.rows import Key
from syncd.storage.mirror import listing
from syncd.storage.mirror.target import Target
from syncd.storage.state import known_pages
from syncd.storage.state.runs import ALWAYS, Condition


class SeenKeys(Protocol):
    """The keys of one listing. Three forms: not tracked, one page, stored."""

    @property
    def began_at(self) -> datetime:
        """When the first page was requested: a row that changed later was seen alive by somebody."""

    @property
    def are_stored(self) -> bool:
        """Whether `open` and `add` write to the database, so that the page needs a transaction."""

    async def open(self, conn: asyncpg.Connection) -> None:
        """Begin a listing: drop the keys of an earlier one that was cut short."""

    async def add(self, conn: asyncpg.Connection, keys: Sequence[Key], *, seen_at: datetime) -> None:
        """Keep the keys of a page. If its transaction rolls back, the page is simply added again."""

    def added(self, keys: Sequence[Key], *, seen_at: datetime) -> Condition:
        """Return what keeps the keys of a page, as `add` does, within the statement that records the page."""

    async def missing(self, conn: asyncpg.Connection, scope: Scope, *, limit: int) -> list[Key]:
        """Return at most `limit` keys of rows in scope that the listing did not hold."""

    async def close(self, conn: asyncpg.Connection) -> None:
        """End the listing: drop all stored keys of the stream."""


@dataclass(kw_only=True)
class NotTracked:
    """No keys are kept: of such a pass nothing can be missing."""

    began_at: datetime
    are_stored: bool = False

    async def open(self, conn: asyncpg.Connection) -> None:
        """Do nothing: stored keys belong to another kind of pass."""

    async def add(self, conn: asyncpg.Connection, keys: Sequence[Key], *, seen_at: datetime) -> None:
        """Keep nothing."""

    def added(self, keys: Sequence[Key], *, seen_at: datetime) -> Condition:
        """Keep nothing."""
        return ALWAYS

    async def missing(self, conn: asyncpg.Connection, scope: Scope, *, limit: int) -> list[Key]:
        """Return nothing."""
        return []

    async def close(self, conn: asyncpg.Connection) -> None:
        """Do nothing: stored keys belong to another kind of pass."""


@dataclass(kw_only=True)
class OnePage:
    """The keys of a listing that came in one page are kept in memory."""

    target: Target
    source: str
    stream: str
    began_at: datetime
    are_stored: bool = False
    _keys: Sequence[Key] = field(default=(), init=False)

    async def open(self, conn: asyncpg.Connection) -> None:
        """Do nothing: `missing` does not look at stored keys, and `close` drops them."""

    async def add(self, conn: asyncpg.Connection, keys: Sequence[Key], *, seen_at: datetime) -> None:
        """Keep the keys of the only page."""
        self._keys = keys

    def added(self, keys: Sequence[Key], *, seen_at: datetime) -> Condition:
        """Keep the keys of the only page."""
        self._keys = keys
        return ALWAYS

    async def missing(self, conn: asyncpg.Connection, scope: Scope, *, limit: int) -> list[Key]:
        """Compare the table with the keys of the page."""
        return await listing.missing(
            conn, self.target, self.source, "", scope, self._keys, not_after=self.began_at, limit=limit
        )

    async def close(self, conn: asyncpg.Connection) -> None:
        """Drop what an earlier listing, which was cut short, left behind."""
        await listing.drop_seen(conn, self.source, self.stream)


@dataclass(kw_only=True)
class Stored:
    """The keys of each page are stored with it in `syncd.seen`: a pass that resumes goes on with them."""

    target: Target
    source: str
    stream: str
    began_at: datetime
    are_stored: bool = True

    async def open(self, conn: asyncpg.Connection) -> None:
        """Drop the keys of an earlier listing that was cut short."""
        await listing.drop_seen(conn, self.source, self.stream)

    async def add(self, conn: asyncpg.Connection, keys: Sequence[Key], *, seen_at: datetime) -> None:
        """Store the keys of a page."""
        await listing.remember_seen(conn, self.target, self.source, self.stream, keys, seen_at=seen_at)

    def added(self, keys: Sequence[Key], *, seen_at: datetime) -> Condition:
        """Store the keys of a page together with its record."""
        return listing.remembered(self.target, keys, seen_at=seen_at)

    async def missing(self, conn: asyncpg.Connection, scope: Scope, *, limit: int) -> list[Key]:
        """Compare the table with all stored keys."""
        return await listing.missing(
            conn, self.target, self.source, self.stream, scope, [], not_after=self.began_at, limit=limit
        )

    async def close(self, conn: asyncpg.Connection) -> None:
        """Drop the stored keys, and the known pages that did not come again."""
        await listing.drop_seen(conn, self.source, self.stream)
        await known_pages.drop_unmet(conn, self.source, self.stream, since=self.began_at)


def seen_keys(tracking: Tracking, target: Target, source: str, stream: str, *, began_at: datetime) -> SeenKeys:
    """Return where the keys of a listing are kept, whose first page was requested at `began_at`."""
    match tracking:
        case Tracking.NOT_TRACKED:
            return NotTracked(began_at=began_at)
        case Tracking.ONE_PAGE:
            return OnePage(target=target, source=source, stream=stream, began_at=began_at)
        case Tracking.STORED:
            return Stored(target=target, source=source, stream=stream, began_at=began_at)

"""The next page: fetched and read while PostgreSQL writes the one before, in order, never more than one ahead.

A walk itself may have more answers on the wire; it gives their pages in order, too.
Never writes anything. A page that was fetched ahead and not committed is fetched again by the next run.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from syncd.contract import Page
from syncd.contract.early import Early
from syncd.records.page import Read
from syncd.records.rows import Key
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.state.runs import Counts


class PageReader:
    """Reads the pages of one pass in their order, each as far as the page before it makes worth while."""

    def __init__(self, target: Target, turns: Turns, *, expects_new: bool) -> None:
        self._target = target
        self._turns = turns
        self._expects_new = expects_new
        self._last = Counts()
        self._before: Mapping[Key, bytes] = {}

    def learn(self, counts: Counts) -> None:
        """Learn what the page before the next one brought: if it was mostly new, so will be the next."""
        self._last = counts

    async def read(self, page: Page) -> Read:
        """Read a page when it is its turn: keys and fingerprints, and all values too if most rows will be new."""
        await self._turns.reading()
        whole = self._expects_new or self._last.inserted > self._last.seen / 2
        read = self._target.intake.read(page.records, keys=page.keys, whole=whole, before=self._before)
        self._before = read.fingerprints
        return read

    def read_again(self, page: Page, read: Read) -> Read:
        """Read a page anew, as far as before: somebody was forgotten meanwhile."""
        return self._target.intake.read(page.records, keys=page.keys, whole=bool(read.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A page, what was read of it, and whether the walk is known to end with it."""

    page: Page
    read: Read
    is_last: bool


_Ahead = tuple[Page, Read]


@contextlib.asynccontextmanager
async def fetch_ahead(
    pages: AsyncIterator[Page], read: Callable[[Page], Awaitable[Read]], stop: asyncio.Event, early: Early
) -> AsyncIterator[AsyncIterator[Fetched]]:
    """Give the pages of a walk, each fetched and read while the one before is at the caller's.

    Ends early once `stop` is set. When the block ends, whatever is under way is cancelled and the walk is closed;
    `early` holds what the walk has asked for before its turn.
    """
    fetches = _Fetches(pages, read)
    walking = _in_order(fetches, stop)
    try:
        yield walking
    finally:
        await walking.aclose()
        await fetches.cancel()
        await pages.aclose()  # type: ignore[attr-defined]
        await early.end()


class _Fetches:
    """The requests for pages that are under way."""

    def __init__(self, pages: AsyncIterator[Page], read: Callable[[Page], Awaitable[Read]]) -> None:
        self._pages = pages
        self._read = read
        self._under_way: set[asyncio.Task[_Ahead | None]] = set()

    def start(self) -> asyncio.Task[_Ahead | None]:
        """Begin to fetch the next page; the result is None if there is none."""
        task = asyncio.ensure_future(self._fetch())
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    async def cancel(self) -> None:
        """End all that is under way, and wait until it has ended."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self) -> _Ahead | None:
        page = await anext(self._pages, None)
        return None if page is None else (page, await self._read(page))

    def _done(self, task: asyncio.Task[_Ahead | None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # heard: a run that ended before it came to this page has its own error


async def _in_order(fetches: _Fetches, stop: asyncio.Event) -> AsyncGenerator[Fetched]:
    ahead = await _unless(stop, fetches.start())
    while ahead is not None:
        following = fetches.start()
        await asyncio.sleep(0)  # a walk that ends without another request ends now
        page, read = ahead
        yield Fetched(page=page, read=read, is_last=_has_ended(following))
        ahead = await _unless(stop, following)


def _has_ended(following: asyncio.Task[_Ahead | None]) -> bool:
    """Say whether it is known already that no page follows."""
    has_result = following.done() and not following.cancelled() and following.exception() is None
    return has_result and following.result() is None


async def _unless(stop: asyncio.Event, task: asyncio.Task[_Ahead | None]) -> _Ahead | None:
    """Wait for the next page, or return None as soon as the run is to stop."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return None if stop.is_set() else task.result()

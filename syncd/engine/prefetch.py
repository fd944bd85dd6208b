"""The next page: fetched and read while PostgreSQL writes the one before, in order, never more than one ahead.

A walk itself may have more answers on the wire; it gives their pages in order, too.
Never writes anything. A page that was fetched ahead and not committed is fetched again by the next run.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from syncd.contract import Page
from syncd.records.giant import chunks_of, is_large
from syncd.records.page import Read, Sent
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
        self.expects_nothing = False
        self._before: Sent | None = None

    def learn(self, counts: Counts, *, as_stored: bool) -> None:
        """Learn what the page before the next one brought: if it was mostly new, so will be the next.

        If it was exactly as stored (`expects_nothing`), so will be the next, too.
        """
        self._last = counts
        self.expects_nothing = as_stored

    @property
    def _whole(self) -> bool:
        return self._expects_new or self._last.inserted > self._last.seen / 2

    async def read(self, page: Page) -> Read | None:
        """Read a page when it is its turn: fingerprints, and all values too if most rows will be new.

        A large page is not read here, but chunk by chunk while it is written.
        """
        if is_large(page.records):
            self._before = None
            return None
        statement = await self._turns.reading()
        read = self._target.intake.read(page.records, keys=page.keys, before=self._before)
        if self._whole:
            await self._turns.reading(after=statement)  # the larger part of the work: beside the next statement
            read = self._target.intake.with_values(read)
        self._before = read.sent
        return read

    def read_again(self, page: Page, read: Read | None) -> Read | None:
        """Read a page anew, as far as before: somebody was forgotten meanwhile."""
        return read and self._target.intake.read(page.records, keys=page.keys, whole=bool(read.columns))

    async def read_chunks(self, page: Page) -> AsyncIterator[Read]:
        """Read a large page chunk by chunk; of records with the same key, the last one of the page counts."""
        keys_of, begin = self._target.intake.parser.keys, 0
        last = await _last_places(keys_of, page.records)
        for chunk in chunks_of(page.records):
            kept = chunk
            if last:
                keys = enumerate(keys_of(chunk), begin)
                kept = [each for each, (at, key) in zip(chunk, keys, strict=True) if last.get(key, at) == at]
            read = self._target.intake.read(kept, whole=self._whole)
            yield replace(read, seen=read.seen + len(chunk) - len(kept))
            begin += len(chunk)
            await asyncio.sleep(0)


_BITS: Final = 2**27
"""Of the field that tells which keys may have been met: of a million keys some 4,000 are suspected wrongly."""


async def _last_places(
    keys_of: Callable[[Sequence[bytes]], Sequence[Key | None]], records: Sequence[bytes]
) -> dict[Key | None, int]:
    """Return the last place of each key that comes more than once, and of some others; memory does not grow by key."""
    met, last, begin = bytearray(_BITS // 8), dict[Key | None, int](), 0
    for chunk in chunks_of(records):
        for at, key in enumerate(keys_of(chunk), begin):
            if key is not None:
                byte, bit = divmod(hash(key) % _BITS, 8)
                if met[byte] >> bit & 1:
                    last[key] = at
                met[byte] |= 1 << bit
        begin += len(chunk)
        await asyncio.sleep(0)
    return last


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A page, what was read of it (None: it is large), and whether the walk is known to end with it."""

    page: Page
    read: Read | None
    is_last: bool


_Ahead = tuple[Page, Read | None]


@contextlib.asynccontextmanager
async def fetch_ahead(
    pages: AsyncIterator[Page], read: Callable[[Page], Awaitable[Read | None]], stop: asyncio.Event
) -> AsyncIterator[AsyncIterator[Fetched]]:
    """Give the pages of a walk, each fetched and read while the one before is at the caller's.

    Ends early once `stop` is set. When the block ends, whatever is under way is cancelled.
    """
    fetches = _Fetches(pages, read)
    walking = _in_order(fetches, stop)
    try:
        yield walking
    finally:
        await walking.aclose()
        await fetches.cancel()


class _Fetches:
    """The requests for pages that are under way."""

    def __init__(self, pages: AsyncIterator[Page], read: Callable[[Page], Awaitable[Read | None]]) -> None:
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
        page, read = ahead
        if read is None:  # one large answer at a time is in memory
            yield Fetched(page=page, read=None, is_last=False)
            del page, ahead
            ahead = await _unless(stop, fetches.start())
            continue
        following = fetches.start()
        await asyncio.sleep(0)  # a walk that ends without another request ends now
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

"""The commit of one page: rows, keys seen, rejects, drift, cursor and counts, in one transaction.

Never fetches a page and never commits a part of one. What is missing from a listing is judged in `deletions`.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import asyncpg

from syncd.contract import Page, Scope
from syncd.engine.deletions import bury_missing_of_page
from syncd.engine.plan import Ending, Listing, PagePlan
from syncd.engine.route import Pass
from syncd.engine.seen import SeenKeys
from syncd.errors import DatabaseChanged
from syncd.frozen import dataclass
from syncd.records.page import Read
from syncd.storage.mirror import catalog, listing, writer
from syncd.storage.mirror.table_locks import begin_locked
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.writing.outcome import ROW_FAULTS, Written
from syncd.storage.postgres import transactions
from syncd.storage.postgres.transactions import savepoint
from syncd.storage.state import drift, rejects, runs, sources
from syncd.storage.state.forgotten import MarkersChanged
from syncd.storage.state.runs import Condition, Counts, PageRecord


class _Write(Protocol):
    """Writes what was read of a page to its table, inside the caller's transaction."""

    async def __call__(
        self,
        conn: asyncpg.Connection,
        target: Target,
        source: str,
        read: Read,
        *,
        now: datetime,
        not_after: datetime | None = None,
    ) -> Written: ...


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How the records of a page are written: those of its own stream, and those that came along for other streams."""

    rows: _Write
    riders: _Write


ROW_BY_ROW: Final = Writing(rows=writer.write_row_by_row, riders=writer.write_row_by_row)
"""A row that PostgreSQL refuses becomes a reject, and does not cost the page. Slow."""


def rows_together(work: Pass) -> Writing:
    """Return the fast way: all rows of a page at once, while the next page may be read."""
    unseen = work.plan.listing is Listing.FIRST_LOAD
    return Writing(rows=partial(writer.write_page, unseen=unseen, turns=work.turns), riders=writer.write_page)


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What the commit of a page gave: its counts, and whether it closed the run."""

    counts: Counts
    closes: bool


async def commit_page(work: Pass, page: Page, read: Read | None, seen: SeenKeys, plan: PagePlan) -> None:
    """Commit one page, and add it to the result.

    Tries again if somebody was forgotten since the page was read, and row by row if PostgreSQL refuses a value.
    """
    writing = rows_together(work)
    with work.turns.writing():
        while True:
            try:
                committed = await commit_once(work, page, read, seen, plan, writing)
                break
            except MarkersChanged:
                await work.route.learn_forgotten()
                read = work.reader.read_again(page, read)
            except ROW_FAULTS:
                if writing is ROW_BY_ROW:
                    raise
                await _require_unchanged(work)
                writing = ROW_BY_ROW
            except TypeError:  # how the driver refuses a value for a column of another type
                await _require_unchanged(work)
                raise
    result = work.result
    result.counts.add(committed.counts)
    result.pages += 1
    result.expected = page.total or result.expected
    result.spent = work.upstream.spent
    if committed.closes:
        result.outcome = "ok"


async def _require_unchanged(work: Pass) -> None:
    """Raise DatabaseChanged if the tables are not as declared: else a changed column would make every row a reject."""
    target = work.route.target
    tables = [catalog.declared(each.layout) for each in (target, *target.children)]
    async with work.route.database.connection() as conn:
        for difference in await catalog.differences(conn, tables):
            if difference.is_grave:
                raise DatabaseChanged(difference.told, hint=difference.hint)


async def commit_once(
    work: Pass, page: Page, read: Read | None, seen: SeenKeys, plan: PagePlan, writing: Writing
) -> Committed:
    """Commit one page in one transaction; all of it or nothing. A large page is read and written in chunks.

    A page that ends a full listing closes the run only if no row is missing. Else the stored cursor stays as it is
    until `deletions` has judged what is missing. Raises MarkersChanged if somebody was forgotten since the page was
    read, one of ROW_FAULTS if PostgreSQL refuses a value, RunFenced if the run was declared dead.
    """
    if read and (unchanged := await _commit_unchanged(work, page, read, seen, plan)):
        return unchanged
    is_first = _tells_identity(work)
    route, now = work.route, work.route.clock()
    riders = {name: route.target_of(name) for name, records in page.riders.items() if records}
    touches_rows = bool(page.records or riders or page.scope)
    needs_transaction = touches_rows or seen.are_stored or is_first
    begin = transactions.begin
    if touches_rows:
        targets = [route.target, *riders.values()]
        begin = partial(begin_locked, source=route.source, targets=targets, run_id=work.run.run_id)
    async with route.database.transaction(begin) if needs_transaction else route.database.connection() as conn:
        if plan.begins:
            await seen.open(conn)
        adds_alone = read is None or plan.ending is not Ending.OPEN  # keys in chunks, or to be looked at before the end
        written, generations = await _write_rows(conn, work, page, read, seen if adds_alone else None, writing, now=now)
        await _write_riders(conn, work, page, riders, writing, now=now)
        counts = written.counts
        work.reader.learn(counts, as_stored=written.as_stored)
        closes = await _closes(conn, page, seen, plan)
        is_open_end = plan.ending is Ending.CLOSES_IF_COMPLETE and not closes
        recorded = PageRecord(
            counts=counts, spent=work.upstream.spent, at=now, expected=page.total, notes=work.upstream.notes,
            cursor=None if is_open_end else page.cursor, closes=closes,
        )  # fmt: skip
        keys = runs.ALWAYS if adds_alone else seen.added(written.keys, seen_at=page.requested_at)
        generation = await runs.record_page(conn, work.run, recorded, keys)
        if touches_rows and generations - {generation}:
            raise MarkersChanged
        if is_first:
            await sources.claim(conn, route.source, route.identity, now=now)
        work.turns.sent()
    return Committed(counts=counts, closes=closes)


def _tells_identity(work: Pass) -> bool:
    """Say whether the page is the first one of its source: it says whose data it is, in its own transaction."""
    return work.run.identity is None and not work.result.pages


async def _write_rows(
    conn: asyncpg.Connection,
    work: Pass,
    page: Page,
    read: Read | None,
    seen: SeenKeys | None,
    writing: Writing,
    *,
    now: datetime,
) -> tuple[Written, set[str]]:
    """Write the stream's own records and all that goes with them: burials of a page's scope, rejects, drift.

    Their keys are added to `seen`, if it is given; if not, they are in what is returned. Return what came of it, and
    the generations of the markers of forgotten persons that were known while it was read.
    """
    route, whole = work.route, Written(Counts())
    not_after = page.requested_at if work.run.kind == "backfill" else None
    write = partial(writing.rows if read else _chunk_writer(work, writing), now=now, not_after=not_after)
    generations: set[str] = set()
    async for each in _one(read) if read else work.reader.read_chunks(page):
        written = await write(conn, route.target, route.source, each)
        generations.add(each.generation)
        whole.counts.add(written.counts)
        whole.as_stored = written.as_stored
        if page.scope and not page.whole_walk:
            whole.rejects += written.rejects
        if seen is None or (page.scope and not page.whole_walk):
            whole.keys += written.keys
        if seen:
            await seen.add(conn, written.keys, seen_at=page.requested_at)
        await _save_oddities(conn, work, route.stream.name, written, now=now)
    if page.scope and not page.whole_walk:
        whole.counts.deleted += await bury_missing_of_page(conn, work, page, page.scope, whole, now=now)
    return whole, generations


async def _one(read: Read) -> AsyncIterator[Read]:
    yield read


def _chunk_writer(work: Pass, writing: Writing) -> _Write:
    """Return what writes a chunk of a large page: row by row only where PostgreSQL refuses one of these rows."""

    async def write(
        conn: asyncpg.Connection,
        target: Target,
        source: str,
        read: Read,
        *,
        now: datetime,
        not_after: datetime | None = None,
    ) -> Written:
        if writing is not ROW_BY_ROW:
            try:
                async with savepoint(conn):
                    return await writing.rows(conn, target, source, read, now=now, not_after=not_after)
            except ROW_FAULTS:
                await _require_unchanged(work)
        return await ROW_BY_ROW.rows(conn, target, source, read, now=now, not_after=not_after)

    return write


async def _write_riders(
    conn: asyncpg.Connection,
    work: Pass,
    page: Page,
    riders: Mapping[str, Target],
    writing: Writing,
    *,
    now: datetime,
) -> None:
    """Write records of other streams that came along; they are not counted, and nothing of theirs is buried."""
    for name, target in riders.items():
        read = target.intake.read(page.riders[name])
        written = await writing.riders(conn, target, work.route.source, read, now=now)
        await _save_oddities(conn, work, name, written, now=now)


async def _save_oddities(conn: asyncpg.Connection, work: Pass, stream: str, written: Written, *, now: datetime) -> None:
    await rejects.save_rejects(conn, work.run, stream, written.rejects, now=now)
    await drift.save_drift(conn, work.route.source, stream, written.notes, now=now)


async def _closes(conn: asyncpg.Connection, page: Page, seen: SeenKeys, plan: PagePlan) -> bool:
    """Say whether the page closes the run; a listing ends with its run, unless rows are missing from it."""
    if plan.ending is Ending.OPEN:
        return False
    is_judged = plan.ending is Ending.CLOSES_IF_COMPLETE
    if is_judged and await seen.missing(conn, page.scope or Scope(), limit=1):
        return False
    if is_judged or seen.are_stored:  # a single page that asked for a part is no listing: it has stored nothing
        await seen.close(conn)
    return True


async def _commit_unchanged(work: Pass, page: Page, read: Read, seen: SeenKeys, plan: PagePlan) -> Committed | None:
    """Commit a page that changes nothing, in one statement; None if there is more to do.

    It needs no lock of the table, to which it writes nothing: whoever is writing there now comes after it.
    """
    route, counts, closes = work.route, Counts(seen=read.seen), plan.ending is not Ending.OPEN
    recorded = PageRecord(
        counts=counts, spent=work.upstream.spent, at=route.clock(), cursor=page.cursor, expected=page.total,
        notes=work.upstream.notes, closes=closes,
    )  # fmt: skip
    for place, unchanged in enumerate(_unchanged(work, page, read, seen, plan)):
        async with route.database.connection() as conn:
            work.turns.sent()
            is_unchanged = await runs.record_page_if(conn, work.run, recorded, unchanged)
            work.turns.back()
        if is_unchanged:
            read.sent.keep(is_whole=closes)
            if place:  # what the first statement did not find, it will not find the next time
                read.sent.forget_sorted()
            return Committed(counts=counts, closes=closes)
    return None


def _unchanged(work: Pass, page: Page, read: Read, seen: SeenKeys, plan: PagePlan) -> Iterator[Condition]:
    """Give the conditions each of which says that a page changes nothing; none if that is no matter of one statement.

    It may be one for a whole listing of one page, and for a page amid others, where the one before changed nothing or
    the text came before.
    """
    if any(page.riders.values()) or _tells_identity(work):
        return
    route, sent = work.route, read.sent
    if plan.ending is Ending.CLOSES_IF_COMPLETE and not seen.are_stored and read.before is None and not sent.rejects:
        name, scope = route.stream.name, page.scope or Scope()
        if sent.known and sent.known.sorted:
            yield listing.as_known(route.target, route.source, name, scope, read)
        yield listing.as_listed(route.target, route.source, name, scope, read)
    is_amid = plan.ending is Ending.OPEN and not plan.begins and page.scope is None
    if is_amid and (work.reader.expects_nothing or sent.known):
        seen_at = page.requested_at if seen.are_stored else None
        if condition := listing.as_stored(route.target, route.source, read, seen_at=seen_at):
            yield condition

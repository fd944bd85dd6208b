"""Rows that a listing lacks: whether the listing is believed, whether they are gone, and their burial.

Owns the breaker and the confirmation. Never looks for missing rows in anything but a complete listing, and never
deletes: a burial sets the row's tombstone.
"""

import random
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from syncd.contract import CannotTell, Page, Scope
from syncd.engine.route import Pass
from syncd.engine.seen import SeenKeys
from syncd.errors import NotFound, SyncdError, UpstreamError
from syncd.frozen import dataclass
from syncd.records.rows import Key
from syncd.storage.mirror import listing, writer
from syncd.storage.mirror.table_locks import begin_locked
from syncd.storage.mirror.writing import burial
from syncd.storage.mirror.writing.outcome import Written
from syncd.storage.state import rejects, runs
from syncd.storage.state.forgotten import MarkersChanged
from syncd.storage.state.runs import PageRecord

BREAKER_SHARE: Final = 0.2
BREAKER_ROWS: Final = 10
"""A listing that would bury more than this share and more than so many rows buries nothing (DESIGN section 5)."""
CONFIRM_ROWS: Final = 100
"""At most so many rows are asked for one by one before they are buried; of more, this many at random."""


class SweepRefused(SyncdError):
    """A listing was complete, but what it would bury is not believed."""


def most_believed(alive: int) -> int:
    """Return how many of so many rows a listing may bury before the breaker opens."""
    return max(BREAKER_ROWS, int(alive * BREAKER_SHARE))


def judge(gone: int, alive: int, *, is_empty: bool) -> str | None:
    """Return what speaks against burying `gone` of `alive` rows, or None if the breaker stays closed.

    `is_empty` says that the listing held nothing: a suddenly empty list is never believed. Counting may stop at one
    more than `most_believed`: `gone` is then a lower bound.
    """
    if gone == 0 or not (is_empty or gone > most_believed(alive)):
        return None
    many = "all" if gone >= alive else f"{gone} or more"
    return f"the listing would bury {many} of {alive} rows; nothing was buried"


async def bury_missing_of_page(
    conn: asyncpg.Connection, work: Pass, page: Page, scope: Scope, written: Written, *, now: datetime
) -> int:
    """Bury the rows for which this one page is everything there is, and which it did not hold; return how many.

    Part of the page's transaction. A doubt buries nothing and is noted. Raises SweepRefused if the breaker opens.
    """
    target, source = work.route.target, work.route.source
    alive = await listing.count_alive(conn, target, source, scope)
    doubt = page.doubt or (f"{len(written.rejects)} records had no usable key" if written.rejects else None)
    if doubt:
        work.upstream.note(f"nothing buried: {doubt}")
        return 0
    gone = await listing.missing(
        conn, target, source, "", scope, written.keys, not_after=page.requested_at, limit=alive + 1
    )
    _ask_breaker(work, scope, len(gone), alive, is_empty=not page.records)
    return await burial.bury(conn, target, source, gone, now=now, not_after=page.requested_at)


async def end_listing(work: Pass, page: Page, scope: Scope, seen: SeenKeys) -> None:
    """End a full listing that lacks rows: bury those that are gone, move the cursor and close the run.

    All that is one transaction. Raises SweepRefused, having buried nothing, if the listing is not believed.
    """
    try:
        if page.unproven and work.route.stream.confirm is None and work.route.stream.lacks is None:
            work.upstream.note(f"nothing buried: {page.unproven}")
            confirmed = _Confirmed(gone=(), returned=())
        else:
            confirmed = await _confirm(work, await _believed(work, page, scope, seen), unproven=page.unproven)
    except SweepRefused:
        await _reset_pass(work)
        raise
    while True:
        try:
            return await _bury_once(work, page, seen, confirmed)
        except MarkersChanged:
            await work.route.learn_forgotten()


async def _believed(work: Pass, page: Page, scope: Scope, seen: SeenKeys) -> list[Key]:
    """Return the keys of the rows that a whole listing lacks; raises SweepRefused if it is not believed."""
    route, accepts, name = work.route, work.order.accept_deletions, work.result.name
    async with route.database.transaction() as conn:
        alive = await listing.count_alive(conn, route.target, route.source, scope)
        most = most_believed(alive) if scope.guarded and not accepts else alive
        gone = await seen.missing(conn, scope, limit=most + 1)
        unnamed = await rejects.count_unnamed(conn, route.source, route.stream.name, since=seen.began_at)
    is_asked = route.stream.confirm or route.stream.lacks or route.stream.keyless
    if gone and unnamed and not is_asked and not accepts:
        raise SweepRefused(
            f"{name}: rows are missing from the listing, but {unnamed} of its records had no usable key and may be"
            " these; nothing was buried",
            hint=f"See: syncd rejects list. If they are really gone: syncd sync {name} --full --accept-deletions",
        )
    if gone and page.doubt:
        raise SweepRefused(
            f"{name}: rows are missing from the listing, but it is not trusted: {page.doubt}",
            hint="Nothing was buried; the next sweep tries again.",
        )
    _ask_breaker(work, scope, len(gone), alive, is_empty=len(gone) >= alive > 0)
    return gone


def _ask_breaker(work: Pass, scope: Scope, gone: int, alive: int, *, is_empty: bool) -> None:
    """Raise SweepRefused if the breaker opens, unless the scope is not guarded or the order accepts deletions."""
    if not scope.guarded or work.order.accept_deletions:
        return
    if reason := judge(gone, alive, is_empty=is_empty):
        name = work.result.name
        raise SweepRefused(
            f"{name}: {reason}",
            hint=f"If they are really gone: syncd sync {name} --full --accept-deletions",
        )


@dataclass(frozen=True, kw_only=True)
class _Confirmed:
    """What asking by key gave: the keys of the rows to bury, and the records of those that are alive after all."""

    gone: Sequence[Key]
    returned: Sequence[bytes]


async def _confirm(work: Pass, gone: list[Key], *, unproven: str | None) -> _Confirmed:
    """Ask for each missing row by its key, where the API can.

    Of very many rows a random sample is asked for; one that is alive discredits the listing: raises SweepRefused.
    Where the listing proves nothing by itself, or some rows cannot be asked for, only those that were asked for are
    buried; the others wait for the next sweep.
    """
    stream = work.route.stream
    if stream.lacks is not None and gone:
        return _Confirmed(gone=await _lacked(work, gone), returned=())
    if stream.confirm is None or not gone:
        return _Confirmed(gone=gone, returned=())
    is_sample = len(gone) > CONFIRM_ROWS
    asked = random.sample(gone, CONFIRM_ROWS) if is_sample else gone
    confirmed, returned = [], []
    untold: CannotTell | None = None
    for key in asked:
        try:
            returned.append(await stream.confirm(work.walk, key))
            work.upstream.note(f"{stream.name}: a row missing from the listing is alive")
        except NotFound:
            confirmed.append(key)
        except CannotTell as error:
            untold = error
    if untold:
        unproven = unproven or f"some of them cannot be asked for: {untold}"
        work.upstream.note(f"{len(asked) - len(confirmed) - len(returned)} missing rows stay: {untold}")
    if is_sample and unproven:
        work.upstream.note(f"{len(gone) - len(asked)} missing rows wait for the next sweep: {unproven}")
    if not is_sample or unproven:
        return _Confirmed(gone=confirmed, returned=returned)
    if returned:
        raise SweepRefused(
            f"{work.result.name}: {len(returned)} of {len(asked)} rows missing from the listing are alive when asked"
            " for",
            hint="Nothing was buried; the next sweep tries again.",
        )
    return _Confirmed(gone=gone, returned=())


async def _lacked(work: Pass, gone: Sequence[Key]) -> Sequence[Key]:
    """Return which of the missing rows the upstream lacks when it is asked another way; none if that tells nothing."""
    lacks = work.route.stream.lacks
    try:
        lacked = await lacks(work.walk, gone) if lacks else gone
    except (CannotTell, UpstreamError) as error:
        work.upstream.note(f"{len(gone)} missing rows stay: {error}")
        return ()
    if left := len(gone) - len(lacked):
        work.upstream.note(f"{left} missing rows stay: asked another way, the upstream still holds them")
    return lacked


async def _bury_once(work: Pass, page: Page, seen: SeenKeys, confirmed: _Confirmed) -> None:
    """Bury rows and write those that are alive, move the cursor and close the run, in one transaction.

    Raises MarkersChanged, with nothing committed, if somebody was forgotten since the records were read.
    """
    target, source, now = work.route.target, work.route.source, work.route.clock()
    back = target.intake.read(confirmed.returned)
    begin = partial(begin_locked, source=source, targets=[target], run_id=work.run.run_id)
    async with work.route.database.transaction(begin) as conn:
        written = await writer.write_page(conn, target, source, back, now=now)
        deleted = await burial.bury(conn, target, source, confirmed.gone, now=now, not_after=seen.began_at)
        await seen.close(conn)
        counts = written.counts
        counts.seen, counts.deleted = counts.inserted + counts.updated + counts.rejected, deleted
        recorded = PageRecord(
            counts=counts, spent=work.upstream.spent, at=now, cursor=page.cursor, notes=work.upstream.notes,
            closes=True,
        )  # fmt: skip
        if await runs.record_page(conn, work.run, recorded) != back.generation:
            raise MarkersChanged
    work.result.counts.add(counts)
    work.result.outcome = "ok"


async def _reset_pass(work: Pass) -> None:
    """Let the next run list everything anew: a listing that was refused must not be taken up again at its end.

    Of a stream with sweeps, one that is walked by windows resumes; another needs no reset.
    """
    if work.route.stream.sweep_s is None or work.route.stream.windows:
        async with work.route.database.connection() as conn:
            await runs.drop_resume_point(conn, work.run)

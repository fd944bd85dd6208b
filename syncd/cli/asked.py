"""`syncd backfill --in-service`: asks the daemon or the workers for backfills, and shows how far all of them are.

The command walks nothing itself, and may be ended: the same command shows again how far they are.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from syncd.cli import console
from syncd.cli.runner import Job
from syncd.engine.syncer import Syncer
from syncd.errors import UsageError
from syncd.scale import workers
from syncd.storage.state import backfills, cursors
from syncd.storage.state.backfills import Range, Standing

Wish = Literal["walk", "walk again", "withdraw"]

PART: Final = timedelta(days=189)
"""Length of a part, where a walk goes by windows of time: seven windows of the widest. Our choice."""
LOOK_S: Final = 1.0
RESTS: Final = 10
"""A look that takes long is followed by a rest of so many times as long: many parts cost the database something."""


async def ask_service(syncer: Syncer, jobs: Sequence[Job], wish: Wish, stop: asyncio.Event, *, as_json: bool) -> int:
    """Ask for the backfills, or withdraw them; then show how far they are until they end or `stop` is set.

    Returns 0 if all ended well or were withdrawn, else 1.
    """
    ranges = [each for job in jobs for each in parts_of(syncer, job)]
    async with syncer.database.connection() as conn:
        if wish == "withdraw":
            await backfills.withdraw(conn, ranges)
            console.print_note("withdrawn; what is under way ends at its next page")
            return 0
        is_served = await workers.is_served(conn)
    if wish == "walk again":
        await _forget(syncer, ranges)
    async with syncer.database.connection() as conn:
        await backfills.ask(conn, ranges)
    if not is_served:
        console.print_note("neither a daemon nor a worker runs on this database: it begins once one does")
    how = await _follow(syncer, ranges, stop, quiet=as_json)
    return await _report(syncer, ranges, how, as_json=as_json)


def parts_of(syncer: Syncer, job: Job) -> list[Range]:
    """Return the parts that a backfill is asked for in; always the same ones for the same range, but for the last."""
    since, until = job.order.since, job.order.until
    if since is None:
        raise UsageError(f"{job.name}: a backfill needs the begin of its range")
    is_split = syncer.source(job.source)[0].stream(job.stream).windows is not None
    spans = split(since, until, now=syncer.clock()) if is_split else [(since, until)]
    return [Range(source=job.source, stream=job.stream, since=begin, until=end) for begin, end in spans]


def split(since: datetime, until: datetime | None, *, now: datetime) -> list[tuple[datetime, datetime | None]]:
    """Divide a range into parts of PART; the last one ends where the range does, or is open as the range is."""
    spans: list[tuple[datetime, datetime | None]] = []
    while since + PART < (until or now):
        spans.append((since, since + PART))
        since += PART
    return [*spans, (since, until)]


async def _forget(syncer: Syncer, ranges: Sequence[Range]) -> None:
    """Forget that these were ever walked. Raises LockHeld while one is under way."""
    async with syncer.database.connection() as conn:
        await backfills.withdraw(conn, ranges, ended_too=True)
    for each in ranges:
        await cursors.delete_cursor(syncer.database, each.source, each.stream, each.cursor_kind)


async def _follow(syncer: Syncer, ranges: Sequence[Range], stop: asyncio.Event, *, quiet: bool) -> Standing:
    """Print how far they are whenever it changes, until all have ended or `stop` is set."""
    told, loop = "", asyncio.get_running_loop()
    while True:
        began = loop.time()
        async with syncer.database.connection() as conn:
            how = await backfills.standing(conn, ranges)
        if not quiet and (words := _words(how)) != told:
            console.print_note(told := words)
        if how.is_over or stop.is_set():
            return how
        try:
            await asyncio.wait_for(stop.wait(), max(LOOK_S, RESTS * (loop.time() - began)))
        except TimeoutError:
            continue


def _words(how: Standing) -> str:
    parts = "1 part" if how.parts == 1 else f"{how.parts:,} parts"
    failed = f", {how.failed:,} failed" if how.failed else ""
    return (
        f"{how.ok:,} of {parts} complete, {how.under_way:,} under way{failed}:"
        f" {how.rows:,} records in {how.requests:,} requests"
    )


async def _report(syncer: Syncer, ranges: Sequence[Range], how: Standing, *, as_json: bool) -> int:
    async with syncer.database.connection() as conn:
        failed = await backfills.ended_badly(conn, ranges)
    if as_json:
        console.print_json({"parts": how, "failed": failed})
    for each in failed:
        end = f"{each.until:%Y-%m-%d}" if each.until else "now"
        console.print_note(f"{each.source}.{each.stream} {each.since:%Y-%m-%d} to {end}: {each.outcome}: {each.error}")
    if not how.is_over:
        console.print_note("the service goes on; the same command shows how far it is, and --withdraw ends it")
    elif failed:
        console.print_note("the same command asks for those that failed again")
    return 0 if how.is_over and not failed else 1

"""Locks within a transaction: one writer at a time for each table of a source, and one for the change feed.

They are advisory locks that PostgreSQL releases when the transaction ends.
"""

from collections.abc import Collection

import asyncpg

from syncd.log import counters
from syncd.storage.mirror import history
from syncd.storage.mirror.target import Target
from syncd.storage.postgres.locks import KEY, lock_number
from syncd.storage.state import losses

WAYS = ("hashjoin", "material", "memoize", "mergejoin", "seqscan")
"""PostgreSQL's ways to find rows otherwise than by their key."""
_BY_KEY = ", ".join([*(f"set_config('enable_{way}', 'off', true)" for way in WAYS), losses.ERASING])


async def lock_tables(
    conn: asyncpg.Connection, source: str, targets: Collection[Target], *, run_id: int | None = None
) -> None:
    """Keep other writers of the same source's tables waiting until the transaction ends.

    The locks are always taken in the same order. For the rest of the transaction rows are looked up by key only:
    PostgreSQL keeps the plan of a statement, and a plan that was best while the table was small would read the whole
    table for each page of a first load.
    """
    with counters.waiting_for_lock(source):
        await conn.execute(_locking(source, targets, run_id))


async def begin_locked(
    conn: asyncpg.Connection, source: str, targets: Collection[Target], *, run_id: int | None = None
) -> None:
    """Begin a transaction and take its locks as `lock_tables` does, in one message to PostgreSQL."""
    with counters.waiting_for_lock(source):
        await conn.execute(f"BEGIN; {_locking(source, targets, run_id)}")


def _locking(source: str, targets: Collection[Target], run_id: int | None) -> str:
    """Return the statement that takes the locks; it has no parameters, so that others may stand before it."""
    numbers = ", ".join(str(lock_number("table", source, name)) for name in sorted(target.name for target in targets))
    tells = run_id is not None and any(target.kept.changes for target in targets)
    settings = f"{_BY_KEY}, set_config('{history.RUN}', '{run_id}', true)" if tells else _BY_KEY
    lock = f"pg_advisory_xact_lock({KEY.format('number')})"
    return f"SELECT {lock}, {settings} FROM unnest('{{{numbers}}}'::bigint[]) AS number"


async def lock_feed(conn: asyncpg.Connection, target: Target, source: str) -> None:
    """Take the lock of the change feed before rows change, if the changes of this table go into the feed.

    With it changes get their numbers in the order of the commits. There is no deadlock: a transaction that waits for
    this lock holds its tables already, and the one that holds it waits for no table.
    """
    if target.kept.changes:
        with counters.waiting_for_lock(source):
            await conn.execute(history.LOCK_FEED, lock_number(history.FEED), f"{source}.{target.kept.stream}")

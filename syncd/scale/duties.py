"""What a worker does for the others: it steps in for the lost ones and, if it leads, looks after what all share."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final
from uuid import UUID

import asyncpg

from syncd import log
from syncd.clock import utc_now
from syncd.scale import placement, queue, workers
from syncd.scale.queue import Queue
from syncd.scale.workers import Worker
from syncd.storage.postgres.database import Database
from syncd.storage.state import runs

NEWS: Final = "syncd_workers"
"""The channel on which a worker says that a round is worth while: somebody came or went, or gave shards up."""
DIFFER_S: Final = 60.0
"""Configurations that differ are told of after this: a reload takes a moment to reach every machine."""
PRUNE_S: Final = 3600.0

_log = log.get(__name__)


async def tell_news(conn: asyncpg.Connection) -> None:
    """Let every worker begin a round now."""
    await conn.execute("SELECT pg_notify($1, '')", NEWS)


async def step_in(
    conn: asyncpg.Connection, judge: UUID, database: Database, accounts: Callable[[Collection[int]], list[str]]
) -> list[Worker]:
    """Declare lost who was silent, end its sessions and its runs, and free its shards; return how all workers stand.

    The order is what fences a lost worker. Every step may be done twice, and by several judges. `accounts` returns the
    accounts in some shards. Only a worker that has beaten steadily for a whole lease may judge: after an outage all
    look silent.
    """
    declared = set(await workers.declare_lost(conn, judge))
    if await queue.free_of_nobody(conn):
        await tell_news(conn)
    crew = await workers.crew(conn)
    for one in crew:
        if one.lost_at is None:
            continue
        held = await queue.held_by(conn, one.worker_id)
        if not held and one.worker_id not in declared:
            continue
        sessions = await workers.end_sessions(conn, one.worker_id)
        ended = await runs.recover(database, now=utc_now(), of=accounts(held | set(one.shards)))
        await queue.give_all_back(conn, one.worker_id)
        await tell_news(conn)
        _log.warning(
            "worker_lost", worker=str(one.worker_id), host=one.host, worker_pid=one.pid, shards=len(held),
            sessions=sessions, runs=ended, silent_s=round(one.silent_s, 1),
        )  # fmt: skip
    return crew


class Lead:
    """What the worker that leads does in each round."""

    def __init__(self) -> None:
        self._pruned_at = float("-inf")

    async def look(self, conn: asyncpg.Connection, jobs: Queue) -> None:
        """Queue jobs that somebody deleted, and prune."""
        if made := await jobs.seed(conn):
            await tell_news(conn)
            _log.info("shards_queued", count=len(made))
        if time.monotonic() - self._pruned_at > PRUNE_S:
            self._pruned_at = time.monotonic()
            await queue.prune_log(conn)
            await workers.forget_lost(conn)


class Agreement:
    """Whether all workers have one configuration, as one of them sees it from round to round."""

    def __init__(self) -> None:
        self._differ_since: float | None = None

    def look(self, digests: Mapping[UUID, str], *, at_s: float) -> frozenset[UUID]:
        """Return the workers whose configuration differs from most, once any have for longer than DIFFER_S.

        `digests` are those of the workers that are alive. `at_s` comes from a clock that never goes back.
        """
        others = placement.differing(digests)
        if not others:
            self._differ_since = None
            return frozenset()
        self._differ_since = at_s if self._differ_since is None else self._differ_since
        return frozenset(others) if at_s - self._differ_since > DIFFER_S else frozenset()

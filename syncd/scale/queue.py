"""The jobs of PgQueuer, one for each shard: whoever has picked a job runs the accounts of its shard.

Nothing else imports pgqueuer, which is an extra, and this only where it is used. Its queries pick jobs and queue them.
Those with which it renews jobs and gives them back know a job by its number only, so that a worker which comes back
late would renew or give back the job of its heir. Those here name the owner, too.
"""

from collections.abc import Collection
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from syncd.errors import UsageError

if TYPE_CHECKING:
    from pgqueuer.queries import Queries

SCHEMA: Final = "syncd_queue"
PREFIX: Final = "shard."
NAMES: Final = {
    "prefix": "", "queue_table": "pgqueuer", "queue_table_log": "pgqueuer_log", "queue_status_type": "pgqueuer_status",
    "statistics_table": "pgqueuer_statistics", "schedules_table": "pgqueuer_schedules", "channel": "ch_pgqueuer",
    "function": "fn_pgqueuer_changed", "trigger": "tg_pgqueuer_changed",
}  # fmt: skip
"""PgQueuer's names as the migration wrote them: it would take others from the environment."""
NEVER_STALE: Final = timedelta(days=365)
"""Nobody picks a job because it was not renewed: its owner is declared lost and fenced first, which frees the job."""
LOG_KEPT: Final = "1 day"
"""How long PgQueuer's log is kept: a few lines for each shard that moves."""

_GIVE_BACK: Final = f"""
UPDATE {SCHEMA}.pgqueuer SET status = 'queued', queue_manager_id = NULL, updated = now(), execute_after = now()
WHERE queue_manager_id = $1 AND status = 'picked' AND entrypoint = ANY($2::text[])
"""
_GIVE_ALL_BACK: Final = f"""
UPDATE {SCHEMA}.pgqueuer SET status = 'queued', queue_manager_id = NULL, updated = now(), execute_after = now()
WHERE queue_manager_id = $1 AND status = 'picked' RETURNING entrypoint
"""
_OF_NOBODY: Final = f"""
UPDATE {SCHEMA}.pgqueuer AS job SET status = 'queued', queue_manager_id = NULL, updated = now(), execute_after = now()
WHERE status = 'picked' AND entrypoint LIKE '{PREFIX}%'
  AND NOT EXISTS (SELECT FROM syncd.workers WHERE worker_id = job.queue_manager_id)
RETURNING entrypoint
"""
_HELD: Final = f"""
SELECT entrypoint FROM {SCHEMA}.pgqueuer WHERE queue_manager_id = $1 AND status = 'picked'
"""
_THERE: Final = f"""
SELECT DISTINCT entrypoint FROM {SCHEMA}.pgqueuer WHERE status IN ('queued', 'picked')
"""


def require_installed() -> None:
    """Raise UsageError where the extra is not installed."""
    if find_spec("pgqueuer") is None:
        raise UsageError(
            "workers need the extra `scale`, which is not installed here", hint="Install it: pip install 'syncd[scale]'"
        )


def load() -> None:
    """Import PgQueuer now: it takes a good part of a second, for which a worker that has joined would be silent."""
    require_installed()
    import_module("pgqueuer.queries")


def job_of(shard: int) -> str:
    """Return the name of a shard's job: PgQueuer's entrypoint, so that a worker asks for certain shards only."""
    return f"{PREFIX}{shard}"


def shards_of(jobs: Collection[str]) -> frozenset[int]:
    """Return the shards of these jobs."""
    return frozenset(int(job.removeprefix(PREFIX)) for job in jobs if job.startswith(PREFIX))


def _queries(conn: asyncpg.Connection) -> "Queries":
    """Return PgQueuer's queries for its tables in our schema, whatever the environment says of PgQueuer."""
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.domain.settings import DBSettings
    from pgqueuer.queries import Queries

    settings = DBSettings(db_schema=SCHEMA, **NAMES)
    return Queries(
        AsyncpgDriver(conn), qbe=QueryBuilderEnvironment(settings=settings), qbq=QueryQueueBuilder(settings=settings)
    )


class Queue:
    """The jobs as one worker sees them, on its own connection."""

    def __init__(self, worker: UUID, shards: int) -> None:
        self._worker = worker
        self._shards = shards

    async def seed(self, conn: asyncpg.Connection) -> frozenset[int]:
        """Queue a job for each shard that has none, as when somebody deleted it; return these shards."""
        there = shards_of([row["entrypoint"] for row in await conn.fetch(_THERE)])
        missing = sorted(set(range(self._shards)) - there)
        if not missing:
            return frozenset()
        names = [job_of(shard) for shard in missing]
        number = len(names)
        made = await _queries(conn).enqueue(names, [None] * number, [0] * number, dedupe_key=names, on_conflict="skip")
        return frozenset(shard for shard, job in zip(missing, made, strict=True) if job is not None)

    async def take(self, conn: asyncpg.Connection, shards: Collection[int]) -> frozenset[int]:
        """Pick the jobs of these shards that are free; return the shards that were had."""
        if not shards:
            return frozenset()
        from pgqueuer.queries import EntrypointExecutionParameter
        from pgqueuer.types import QueueEntrypoint, QueueManagerId

        unlimited = EntrypointExecutionParameter(concurrency_limit=0)
        jobs = await _queries(conn).dequeue(
            batch_size=len(shards),
            entrypoints={QueueEntrypoint(job_of(shard)): unlimited for shard in shards},
            queue_manager_id=QueueManagerId(self._worker),
            global_concurrency_limit=None,
            heartbeat_timeout=NEVER_STALE,
        )
        return shards_of([job.entrypoint for job in jobs])

    async def give_back(self, conn: asyncpg.Connection, shards: Collection[int]) -> None:
        """Queue the jobs of these shards again, as far as they are this worker's."""
        await conn.execute(_GIVE_BACK, self._worker, [job_of(shard) for shard in shards])


async def free_of_nobody(conn: asyncpg.Connection) -> frozenset[int]:
    """Queue the jobs whose owner is on no list, as when somebody deleted its row; return their shards."""
    return shards_of([row["entrypoint"] for row in await conn.fetch(_OF_NOBODY)])


async def held_by(conn: asyncpg.Connection, worker: UUID) -> frozenset[int]:
    """Return the shards whose jobs are a worker's."""
    return shards_of([row["entrypoint"] for row in await conn.fetch(_HELD, worker)])


async def give_all_back(conn: asyncpg.Connection, worker: UUID) -> frozenset[int]:
    """Queue all jobs of a lost worker again; return their shards. Harmless the second time."""
    return shards_of([row["entrypoint"] for row in await conn.fetch(_GIVE_ALL_BACK, worker)])


async def prune_log(conn: asyncpg.Connection) -> None:
    """Delete what PgQueuer noted of jobs long ago; it never does so itself."""
    await conn.execute(f"DELETE FROM {SCHEMA}.pgqueuer_log WHERE created < now() - interval '{LOG_KEPT}'")

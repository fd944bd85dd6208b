"""The rows of `syncd.workers` and `syncd.scale`: who is there, who was lost, and what all workers agree on.

Every instant here is the database's own, so that the clocks of the machines need not agree. A worker that was declared
lost commits nothing more: the sessions that it had are ended, and `admit` refuses it new ones.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from syncd.errors import UsageError, WorkerLost
from syncd.storage.postgres.database import Database

DAEMON_PROGRAM: Final = "syncd run"
"""The name of the sessions of a daemon that has every account."""
END_MS: Final = 500
"""How long the end of a lost worker's session is waited for."""
LOST_KEPT: Final = "1 day"
"""How long a worker that was lost is shown."""

_JOIN: Final = """
INSERT INTO syncd.workers (worker_id, host, pid, version, config_digest, http_address, lease_s, started_at, beat_at,
                           is_leaving, shards, reloads_followed)
SELECT $1, $2, $3, $4, $5, $6, $7, now(), now(), false, '{}', reloads FROM syncd.scale
"""
# One statement, so that a worker that was declared lost renews nothing. The jobs are renewed seldom: the beat decides.
_BEAT: Final = """
WITH me AS (
  UPDATE syncd.workers SET beat_at = clock_timestamp(), shards = $2, is_leaving = $3, config_digest = $4,
    http_address = $5, reloads_followed = $6, refused = $7
  WHERE worker_id = $1 AND lost_at IS NULL RETURNING worker_id, lease_s
), renewed AS (
  UPDATE syncd_queue.pgqueuer AS job SET heartbeat = now() FROM me
  WHERE queue_manager_id = me.worker_id AND status = 'picked' AND heartbeat < now() - make_interval(secs => lease_s)
)
SELECT EXISTS (SELECT FROM me) AS is_member, (SELECT reloads FROM syncd.scale) AS reloads,
       ARRAY(SELECT entrypoint FROM syncd_queue.pgqueuer WHERE queue_manager_id = $1 AND status = 'picked') AS jobs
"""
_CREW: Final = """
SELECT worker_id, host, pid, version, config_digest, http_address, lease_s, started_at, is_leaving, lost_at, shards,
       reloads_followed, refused, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS silent_s,
       beat_at < clock_timestamp() - make_interval(secs => lease_s) AS is_silent
FROM syncd.workers ORDER BY started_at, worker_id
"""
_DECLARE_LOST: Final = """
UPDATE syncd.workers SET lost_at = clock_timestamp()
WHERE lost_at IS NULL AND worker_id <> $1 AND beat_at < clock_timestamp() - make_interval(secs => lease_s)
RETURNING worker_id
"""
_END_SESSIONS: Final = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, $2)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()
"""
_ADMIT: Final = "SELECT EXISTS (SELECT FROM syncd.workers WHERE worker_id = $1 AND lost_at IS NULL)"
_DAEMONS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
"""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One row of syncd.workers; `silent_s` is the time since its last beat."""

    worker_id: UUID
    host: str
    pid: int
    version: str
    config_digest: str
    http_address: str | None
    lease_s: float
    started_at: datetime
    is_leaving: bool
    lost_at: datetime | None
    shards: Sequence[int]
    reloads_followed: int
    refused: str | None
    silent_s: float
    is_silent: bool

    @property
    def is_alive(self) -> bool:
        """Whether it may hold shards; one that leaves still does."""
        return self.lost_at is None and not self.is_silent

    @property
    def left_s(self) -> float:
        """How long it may still be silent."""
        return self.lease_s - self.silent_s

    @property
    def name(self) -> str:
        """What people know it by."""
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a beat learns: the jobs that are this worker's, and how often all were told to reload."""

    jobs: Sequence[str]
    reloads: int


def program_of(worker: UUID) -> str:
    """Return the name of a worker's sessions, by which another ends them."""
    return f"syncd worker {worker}"


async def settle_shards(conn: asyncpg.Connection, shards: int) -> int:
    """Return the number of shards: the first worker stores it, and it stays."""
    await conn.execute("INSERT INTO syncd.scale VALUES (1, $1, 0) ON CONFLICT DO NOTHING", shards)
    return int(await conn.fetchval("SELECT shards FROM syncd.scale"))


async def join(
    conn: asyncpg.Connection,
    worker: UUID,
    *,
    host: str,
    pid: int,
    version: str,
    digest: str,
    address: str | None,
    lease_s: float,
) -> None:
    """Add a worker, after `settle_shards`."""
    await conn.execute(_JOIN, worker, host, pid, version, digest, address, lease_s)


async def beat(
    conn: asyncpg.Connection,
    worker: UUID,
    *,
    shards: Collection[int],
    is_leaving: bool,
    digest: str,
    address: str | None,
    reloads_followed: int,
    refused: str | None,
) -> Beat:
    """Say that a worker lives and what it holds. Raises WorkerLost if it was declared lost."""
    row = await conn.fetchrow(
        _BEAT, worker, sorted(shards), is_leaving, digest, address, reloads_followed, refused
    )  # fmt: skip
    if not row["is_member"]:
        raise lost()
    return Beat(jobs=row["jobs"], reloads=row["reloads"])


async def crew(conn: asyncpg.Connection) -> list[Worker]:
    """Return every worker, also those that were lost, the oldest first."""
    return [Worker(**row) for row in await conn.fetch(_CREW)]


async def declare_lost(conn: asyncpg.Connection, judge: UUID) -> list[UUID]:
    """Declare those lost that were silent for longer than their lease; return them. Two judges share them out."""
    return [row["worker_id"] for row in await conn.fetch(_DECLARE_LOST, judge)]


async def end_sessions(conn: asyncpg.Connection, worker: UUID) -> int:
    """End every session of a worker, and with them its transactions and locks; return how many there were."""
    return int(await conn.fetchval(_END_SESSIONS, program_of(worker), END_MS))


async def leave(conn: asyncpg.Connection, worker: UUID) -> None:
    """Take a worker off the list that has ended in order."""
    await conn.execute("DELETE FROM syncd.workers WHERE worker_id = $1 AND lost_at IS NULL", worker)


async def forget_lost(conn: asyncpg.Connection) -> None:
    """Delete those that were lost long ago."""
    await conn.execute(f"DELETE FROM syncd.workers WHERE lost_at < now() - interval '{LOST_KEPT}'")


async def admit(conn: asyncpg.Connection, worker: UUID) -> None:
    """Refuse a new session to a worker that was declared lost: raises WorkerLost.

    Whoever declares it lost does so before it ends the sessions. So a session that was admitted before is ended, too.
    """
    if not await conn.fetchval(_ADMIT, worker):
        raise lost()


def lost() -> WorkerLost:
    """Return the error for a worker that was declared lost."""
    return WorkerLost(
        "this worker was silent for longer than its lease, and others have taken its accounts over",
        hint="It joins again at once. If this happens often, give it a longer lease in [scale], or a stronger machine.",
    )


async def ask_reload(conn: asyncpg.Connection) -> int:
    """Tell all workers to read their configuration again; return the number of this reload, 0 if there never was any.

    A worker follows it within a beat.
    """
    return int(await conn.fetchval("UPDATE syncd.scale SET reloads = reloads + 1 RETURNING reloads") or 0)


async def is_served(conn: asyncpg.Connection) -> bool:
    """Say whether a daemon or a worker runs on this database."""
    return bool(await conn.fetchval(_DAEMONS, DAEMON_PROGRAM)) or any(one.is_alive for one in await crew(conn))


async def require_none(database: Database) -> None:
    """Raise UsageError if workers share the accounts of this database: a daemon with every account would collide."""
    async with database.connection() as conn:
        alive = [one for one in await crew(conn) if one.is_alive]
    if alive:
        names = ", ".join(one.name for one in alive[:3]) + (" …" if len(alive) > 3 else "")
        raise UsageError(
            f"{len(alive)} worker{'s share' if len(alive) > 1 else ' has'} the accounts of the database"
            f" {database.shown} ({names}), and syncd run would take all of them",
            hint="Add this machine with: syncd worker. Or end the workers first; syncd workers lists them.",
        )


async def require_no_daemon(database: Database) -> None:
    """Raise UsageError if a daemon has every account of this database."""
    async with database.connection() as conn:
        daemons = await conn.fetchval(_DAEMONS, DAEMON_PROGRAM)
    if daemons:
        raise UsageError(
            f"a daemon (syncd run) has every account of the database {database.shown}, and leaves none to a worker",
            hint="End it first, then start workers: syncd worker, or syncd run --workers N.",
        )

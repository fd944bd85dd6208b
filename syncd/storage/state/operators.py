"""What operators did on the status page: acknowledged and muted causes, paused streams, and the audit of it all.

Every change is written in one transaction with its row in `syncd.audit`, which the caller opens.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import asyncpg

from syncd.frozen import dataclass

Pair = tuple[str, str]

_NOTE: Final = "INSERT INTO syncd.audit (at, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5)"
_NEWEST: Final = "SELECT at, actor, action, subject, details FROM syncd.audit ORDER BY audit_id DESC LIMIT $1"
_ACKNOWLEDGE: Final = """
INSERT INTO syncd.acknowledgements (cause, acknowledged_at, muted_until, actor) VALUES ($1, $2, $3, $4)
ON CONFLICT (cause) DO UPDATE SET acknowledged_at = $2, muted_until = $3, actor = $4
"""
_WITHDRAW: Final = "DELETE FROM syncd.acknowledgements WHERE cause = $1"
_ALL: Final = """
SELECT cause, acknowledged_at, muted_until, actor FROM syncd.acknowledgements
WHERE muted_until IS NULL OR muted_until > $1 ORDER BY cause
"""
_SETTLE: Final = """
DELETE FROM syncd.acknowledgements WHERE muted_until <= $1 OR (muted_until IS NULL AND cause <> ALL ($2::text[]))
"""
_PAUSE: Final = """
INSERT INTO syncd.pauses (source, stream, paused_at, actor) SELECT s, t, $3, $4
FROM unnest($1::text[], $2::text[]) AS asked (s, t) ON CONFLICT (source, stream) DO NOTHING
"""
_RESUME: Final = """
DELETE FROM syncd.pauses USING unnest($1::text[], $2::text[]) AS asked (s, t) WHERE source = s AND stream = t
"""


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """Somebody knows of a cause: until it is over or, if it is muted, until an instant."""

    cause: str
    acknowledged_at: datetime
    muted_until: datetime | None
    actor: str


@dataclass(frozen=True, kw_only=True)
class Deed:
    """A row of `syncd.audit`: who did what, and to what."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: str


async def note(conn: asyncpg.Connection, deed: Deed) -> None:
    """Write a row of the audit."""
    await conn.execute(_NOTE, deed.at, deed.actor, deed.action, deed.subject, deed.details)


async def newest_deeds(conn: asyncpg.Connection, limit: int) -> list[Deed]:
    """Return what was done last, newest first."""
    return [Deed(**dict(row)) for row in await conn.fetch(_NEWEST, limit)]


async def acknowledge(conn: asyncpg.Connection, one: Acknowledgement) -> None:
    """Store that somebody knows of a cause; a newer word takes the place of the one before."""
    await conn.execute(_ACKNOWLEDGE, one.cause, one.acknowledged_at, one.muted_until, one.actor)


async def withdraw(conn: asyncpg.Connection, cause: str) -> bool:
    """Delete what is known of a cause; return whether there was anything."""
    return bool(await conn.execute(_WITHDRAW, cause) != "DELETE 0")


async def acknowledgements(conn: asyncpg.Connection, now: datetime) -> dict[str, Acknowledgement]:
    """Return what is known of causes, by cause."""
    return {row["cause"]: Acknowledgement(**dict(row)) for row in await conn.fetch(_ALL, now)}


async def knows_any(conn: asyncpg.Connection) -> bool:
    """Say whether anything is acknowledged or muted, or was until lately."""
    return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM syncd.acknowledgements)"))


async def settle(conn: asyncpg.Connection, standing: Collection[str], now: datetime) -> None:
    """Forget acknowledgements of causes that no longer stand, and mutes that have run out."""
    await conn.execute(_SETTLE, now, list(standing))


async def pause(conn: asyncpg.Connection, pairs: Sequence[Pair], now: datetime, actor: str) -> None:
    """Store that streams are paused; one that is paused already stays paused since then."""
    await conn.execute(_PAUSE, *_columns(pairs), now, actor)


async def resume(conn: asyncpg.Connection, pairs: Sequence[Pair]) -> None:
    """Store that streams are no longer paused."""
    await conn.execute(_RESUME, *_columns(pairs))


async def pauses(conn: asyncpg.Connection) -> dict[Pair, datetime]:
    """Return the streams that are paused, and since when."""
    rows = await conn.fetch("SELECT source, stream, paused_at FROM syncd.pauses")
    return {(row["source"], row["stream"]): row["paused_at"] for row in rows}


def _columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [source for source, _ in pairs], [stream for _, stream in pairs]

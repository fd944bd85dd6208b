"""The table `syncd.sources`: whose data the rows of each source are.

The identity of a source is stored with its first page, in the page's own transaction. From then on a run for another
account is refused before it sends a request.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from syncd.contract import Identity
from syncd.errors import AnotherAccount

_STORED: Final = "SELECT type, address, account FROM syncd.sources WHERE source = $1"
_CLAIM: Final = """
INSERT INTO syncd.sources (source, type, address, account, known_since)
SELECT $1, $2, $3, $4::jsonb, $5 WHERE {condition}
ON CONFLICT (source) DO {on_conflict}
"""
_TAKE_OVER: Final = (
    "UPDATE SET type = excluded.type, address = excluded.address, account = excluded.account,"
    " known_since = excluded.known_since"
)


def decoded(stored: str) -> Identity:
    """Read an identity as `syncd.identity_of` gives it: a JSON object."""
    return msgspec.json.decode(stored, type=Identity)


def identity_of(row: Any) -> Identity:
    """Read the identity from a row of the table."""
    return Identity(type=row["type"], address=row["address"], account=msgspec.json.decode(row["account"]))


async def stored(conn: asyncpg.Connection, source: str) -> Identity | None:
    """Return whose data the rows of a source are; None if no run has stored any since there is such a table."""
    row = await conn.fetchrow(_STORED, source)
    return None if row is None else identity_of(row)


async def all_stored(conn: asyncpg.Connection, of: Sequence[str] | None = None) -> dict[str, Identity]:
    """Return every identity that is stored, by the name of its source; `of` names the sources asked for."""
    rows = await conn.fetch(
        "SELECT source, type, address, account FROM syncd.sources WHERE $1::text[] IS NULL OR source = ANY($1)"
        " ORDER BY source", of,
    )  # fmt: skip
    return {row["source"]: identity_of(row) for row in rows}


async def claim(conn: asyncpg.Connection, source: str, identity: Identity, *, now: datetime) -> None:
    """Store whose data the rows of a source are, unless that is stored already; inside the caller's transaction.

    Of two processes that do this at once the second waits for the first to commit. Raises AnotherAccount if the
    identity that is stored then is another one: the caller's transaction must roll back.
    """
    await conn.execute(_CLAIM.format(condition="true", on_conflict="NOTHING"), *_values(source, identity, now))
    require_same(source, await stored(conn, source), identity)


async def claim_rows(conn: asyncpg.Connection, source: str, identity: Identity, *, now: datetime) -> None:
    """Store whose data the rows of a source are, if a version without this table wrote any."""
    has_rows = "EXISTS (SELECT FROM syncd.cursors WHERE source = $1)"
    await conn.execute(_CLAIM.format(condition=has_rows, on_conflict="NOTHING"), *_values(source, identity, now))


async def adopt(conn: asyncpg.Connection, source: str, identity: Identity, *, now: datetime) -> None:
    """Store an identity in place of the one before, and forget where the source's streams resume.

    Inside the caller's transaction, while the streams are at rest: a cursor of one account means nothing to another.
    """
    await conn.execute(_CLAIM.format(condition="true", on_conflict=_TAKE_OVER), *_values(source, identity, now))
    await conn.execute("DELETE FROM syncd.cursors WHERE source = $1", source)
    await conn.execute("DELETE FROM syncd.seen WHERE source = $1", source)


def _values(source: str, identity: Identity, now: datetime) -> tuple[object, ...]:
    account = msgspec.json.encode(identity.account).decode()
    return source, identity.type, identity.address, account, now


def require_same(source: str, found: Identity | None, configured: Identity) -> None:
    """Raise AnotherAccount, which names both accounts and the ways out, if the rows are not of the configured one."""
    if found is None or found == configured:
        return
    raise AnotherAccount(
        f"{source}: another account: its rows are of {found.words}, and the configuration says {configured.words}",
        hint=f"If it is the same data: syncd sources adopt {source}. If not, give the new account another name in the"
        f" configuration, or clear this one: syncd sources rename {source} NAME, or syncd sources drop {source}.",
    )

"""The table `syncd.losses`: rows of the mirror that somebody else deleted, until a run has brought them back.

Triggers of the mirror's tables write it, so that a tick which finds nothing pays nothing for it.
"""

from collections.abc import Sequence

import asyncpg

ERASING = "set_config('syncd.erasing', 'on', true)"
"""Says, for the rest of a transaction, that it deletes rows on purpose: they are no loss."""
FOUND = "EXISTS (SELECT FROM syncd.losses WHERE source = $2)"
"""Whether anything of the source `$2` was lost."""


async def find(conn: asyncpg.Connection, source: str, tables: Sequence[str]) -> dict[int, str]:
    """Return the losses in some tables of a source: their numbers, each with its table."""
    query = "SELECT loss_id, table_name FROM syncd.losses WHERE source = $1 AND table_name = ANY($2)"
    return {row["loss_id"]: row["table_name"] for row in await conn.fetch(query, source, tables)}


async def forget(conn: asyncpg.Connection, numbers: Sequence[int]) -> None:
    """Delete losses: a run has asked for everything since."""
    await conn.execute("DELETE FROM syncd.losses WHERE loss_id = ANY($1)", numbers)

"""Cursors that the operator sets or deletes by hand. A run writes its own cursor in the transaction of its page."""

from syncd.errors import LockHeld
from syncd.storage.postgres.database import Database
from syncd.storage.state.runs import stream_lock


async def set_cursor(database: Database, source: str, stream: str, kind: str, cursor: str) -> None:
    """Set one cursor to a JSON object.

    Raises LockHeld while a run of the stream is under way, because that run would overwrite the cursor.
    """
    await _while_at_rest(
        database, source, stream, kind,
        "INSERT INTO syncd.cursors (source, stream, kind, cursor, updated_at) VALUES ($1, $2, $3, $4, now())"
        " ON CONFLICT (source, stream, kind) DO UPDATE SET cursor = excluded.cursor, updated_at = now()",
        cursor,
    )  # fmt: skip


async def delete_cursor(database: Database, source: str, stream: str, kind: str) -> bool:
    """Delete one cursor and return whether there was one.

    Raises LockHeld while a run of the stream is under way, because that run could write the cursor again.
    """
    statement = "DELETE FROM syncd.cursors WHERE source = $1 AND stream = $2 AND kind = $3"
    return await _while_at_rest(database, source, stream, kind, statement) == "DELETE 1"


async def _while_at_rest(database: Database, source: str, stream: str, kind: str, statement: str, *more: object) -> str:
    """Execute a statement about one cursor while no run of the stream can move it. Raises LockHeld."""
    number = stream_lock(source, stream, kind.partition(" ")[0])
    if not await database.try_lock(number):
        raise LockHeld(f"{source}.{stream}: a run is under way", hint="Wait for it, or end that process.")
    try:
        async with database.connection() as conn:
            status: str = await conn.execute(statement, source, stream, kind, *more)
            return status
    finally:
        await database.unlock(number)

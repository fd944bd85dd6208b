"""A transaction of one connection, and a part of it that may fail alone.

The driver has transactions of its own. They begin with a message of their own, and none of theirs can stand in one that
was begun in another way: whoever is inside of a transaction of ours uses `savepoint`.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

Begin = Callable[[asyncpg.Connection], Awaitable[object]]
"""Sends BEGIN, and what is to be done at once."""


async def begin(conn: asyncpg.Connection) -> None:
    """Begin a transaction."""
    await conn.execute("BEGIN")


@contextlib.asynccontextmanager
async def transaction(conn: asyncpg.Connection, begin: Begin = begin) -> AsyncIterator[None]:
    """Commit what the block does, or roll it back if it raises."""
    try:
        await begin(conn)
        yield
    except BaseException:
        if not conn.is_closed():
            await conn.execute("ROLLBACK")
        raise
    await conn.execute("COMMIT")


@contextlib.asynccontextmanager
async def savepoint(conn: asyncpg.Connection) -> AsyncIterator[None]:
    """Inside a transaction, roll back what the block does if it raises; what came before stays."""
    await conn.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if not conn.is_closed():
            await conn.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        raise
    await conn.execute("RELEASE SAVEPOINT part")

"""Transactions on one connection: what commits, what rolls back, and which locks they hold from their beginning."""

import asyncio
from functools import partial
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from syncd.errors import DatabaseBusy
from syncd.records.parser import Parser
from syncd.sources.cyclesoftware.customers import CUSTOMERS
from syncd.storage.mirror.table_locks import begin_locked, lock_tables
from syncd.storage.mirror.target import make_target
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.transactions import savepoint

TARGET = make_target(CUSTOMERS, Parser(CUSTOMERS, ZoneInfo("UTC")))
BEGIN = partial(begin_locked, source="s", targets=[TARGET], run_id=7)


async def _add(conn: asyncpg.Connection, number: int) -> None:
    await conn.execute(
        "INSERT INTO cyclesoftware.customers (source, customer_id, _first_seen_at, _changed_at)"
        " VALUES ('s', $1, now(), now())",
        number,
    )


async def _add_in_a_transaction(db: Database, *numbers: int) -> None:
    async with db.transaction(BEGIN) as conn:
        for number in numbers:
            await _add(conn, number)


async def _stored(db: Database) -> list[int]:
    async with db.connection() as conn:
        return [row[0] for row in await conn.fetch("SELECT customer_id FROM cyclesoftware.customers ORDER BY 1")]


async def test_a_block_that_raises_leaves_nothing_and_a_savepoint_leaves_what_came_before(db: Database) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await _add_in_a_transaction(db, 1, 1)
    assert await _stored(db) == []
    async with db.transaction(BEGIN) as conn:
        await _add(conn, 1)
        for number in (1, 2):
            try:
                async with savepoint(conn):
                    await _add(conn, 3)
                    await _add(conn, number)
            except asyncpg.UniqueViolationError:
                assert number == 1
    assert await _stored(db) == [1, 2, 3]
    async with db.connection() as conn:
        assert not conn.is_in_transaction()
        assert await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def _add_and_raise(db: Database, number: int, error: BaseException) -> None:
    async with db.transaction(BEGIN) as conn:
        await _add(conn, number)
        raise error


async def _add_and_raise_within(conn: asyncpg.Connection, number: int, error: BaseException) -> None:
    async with savepoint(conn):
        await _add(conn, number)
        raise error


@pytest.mark.parametrize("error", [KeyError("of the block"), asyncio.CancelledError()], ids=["error", "cancelled"])
async def test_what_postgres_does_not_know_of_rolls_back_too(db: Database, error: BaseException) -> None:
    with pytest.raises(type(error)):
        await _add_and_raise(db, 1, error)
    assert await _stored(db) == []
    async with db.transaction(BEGIN) as conn:
        await _add(conn, 2)
        with pytest.raises(type(error)):
            await _add_and_raise_within(conn, 3, error)
    assert await _stored(db) == [2]


async def test_a_transaction_that_cannot_begin_is_over_and_its_session_goes_on(db: Database) -> None:
    sessions: list[asyncpg.Connection] = []

    async def hurried(conn: asyncpg.Connection) -> None:
        sessions.append(conn)
        await conn.execute("SET lock_timeout = '50ms'")
        await BEGIN(conn)

    async with db.transaction() as holder:
        await lock_tables(holder, "s", [TARGET])
        with pytest.raises(DatabaseBusy):
            async with db.transaction(hurried):
                raise AssertionError("two hold the lock of a table")
        assert not sessions[0].is_in_transaction()
        assert not sessions[0].is_closed()
    async with db.transaction(BEGIN) as conn:
        assert await conn.fetchval("SELECT current_setting('enable_seqscan')") == "off"
        await _add(conn, 4)
    assert await _stored(db) == [4]

"""The keys that a listing has held, in their three forms: which rows are missing at its end."""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from syncd.contract import Scope
from syncd.engine.plan import Tracking
from syncd.engine.seen import SeenKeys, seen_keys
from syncd.records.parser import Parser
from syncd.records.rows import Key
from syncd.sources.cyclesoftware.customers import CUSTOMERS
from syncd.storage.mirror import table_locks, writer
from syncd.storage.mirror.target import make_target
from syncd.storage.postgres.database import Database

WRITTEN_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEGAN_AT = WRITTEN_AT + timedelta(hours=1)
TARGET = make_target(CUSTOMERS, Parser(CUSTOMERS, ZoneInfo("UTC")))
FORMS = [pytest.param(tracking, id=tracking.value) for tracking in Tracking]
TRACKED = [pytest.param(tracking, id=tracking.value) for tracking in (Tracking.ONE_PAGE, Tracking.STORED)]


def keys(*numbers: int) -> list[Key]:
    return [(number,) for number in numbers]


def begun(tracking: Tracking, *, source: str = "s", stream: str = "customers") -> SeenKeys:
    return seen_keys(tracking, TARGET, source, stream, began_at=BEGAN_AT)


async def written(db: Database, numbers: Iterable[int], *, source: str = "s", at: datetime = WRITTEN_AT) -> None:
    records = [json.dumps({"customer_id": number, "city": f"{at}"}).encode() for number in numbers]
    async with db.transaction() as conn:
        await table_locks.lock_tables(conn, source, [TARGET])
        await writer.write_page(conn, TARGET, source, TARGET.intake.read(records), now=at)


async def added(db: Database, seen: SeenKeys, *numbers: int, begins: bool = False) -> None:
    async with db.transaction() as conn:
        if begins:
            await seen.open(conn)
        await seen.add(conn, keys(*numbers), seen_at=BEGAN_AT)


async def missing(db: Database, seen: SeenKeys, *, limit: int = 100) -> list[Key]:
    async with db.transaction() as conn:
        return await seen.missing(conn, Scope(), limit=limit)


async def stored(db: Database) -> list[tuple[str, str, int]]:
    async with db.connection() as conn:
        found = await conn.fetch("SELECT source, stream, cardinality(keys) FROM syncd.seen ORDER BY 1, 2, 3")
    return [tuple(row) for row in found]


@pytest.mark.parametrize("tracking", TRACKED)
async def test_rows_that_the_listing_did_not_hold_are_missing(db: Database, tracking: Tracking) -> None:
    await written(db, range(1, 7))
    await written(db, range(1, 3), source="another")
    seen = begun(tracking)
    await added(db, seen, 1, 3, 5, begins=True)
    assert await missing(db, seen) == keys(2, 4, 6)
    assert await missing(db, seen, limit=2) == keys(2, 4)


@pytest.mark.parametrize("tracking", TRACKED)
async def test_a_row_that_changed_after_the_listing_began_is_not_missing(db: Database, tracking: Tracking) -> None:
    await written(db, range(1, 5))
    await written(db, [2], at=BEGAN_AT + timedelta(seconds=1))
    seen = begun(tracking)
    await added(db, seen, 1, begins=True)
    assert await missing(db, seen) == keys(3, 4)


async def test_nothing_is_missing_from_a_pass_that_is_not_tracked(db: Database) -> None:
    await written(db, range(1, 4))
    seen = begun(Tracking.NOT_TRACKED)
    await added(db, seen, 1, begins=True)
    assert (seen.began_at, seen.are_stored) == (BEGAN_AT, False)
    assert await missing(db, seen) == []


async def test_stored_keys_of_all_pages_count_also_for_the_run_that_resumes(db: Database) -> None:
    await written(db, range(1, 7))
    first = begun(Tracking.STORED)
    await added(db, first, 1, 2, begins=True)
    await added(db, first, 3)
    resumed = begun(Tracking.STORED)
    await added(db, resumed, 4)
    assert await missing(db, resumed) == keys(5, 6)


async def test_a_listing_that_begins_drops_the_keys_of_the_one_that_was_cut_short(db: Database) -> None:
    await written(db, range(1, 5))
    await added(db, begun(Tracking.STORED), 1, 2, 3, begins=True)
    await added(db, begun(Tracking.STORED, stream="orders"), 1, begins=True)
    anew = begun(Tracking.STORED)
    await added(db, anew, 4, begins=True)
    assert await missing(db, anew) == keys(1, 2, 3)
    assert await stored(db) == [("s", "customers", 1), ("s", "orders", 1)]


async def test_keys_left_behind_do_not_count_for_a_listing_of_one_page_and_are_dropped_at_its_end(db: Database) -> None:
    await written(db, range(1, 4))
    await added(db, begun(Tracking.STORED), 3, begins=True)
    seen = begun(Tracking.ONE_PAGE)
    await added(db, seen, 1, begins=True)
    assert await missing(db, seen) == keys(2, 3)
    async with db.transaction() as conn:
        await seen.close(conn)
    assert await stored(db) == []


async def test_a_pass_that_is_not_tracked_leaves_the_keys_of_a_listing_alone(db: Database) -> None:
    await added(db, begun(Tracking.STORED), 1, begins=True)
    live = begun(Tracking.NOT_TRACKED)
    await added(db, live, 2, begins=True)
    async with db.transaction() as conn:
        await live.close(conn)
    assert await stored(db) == [("s", "customers", 1)]


class _Refused(Exception):
    pass


@pytest.mark.parametrize("tracking", TRACKED)
async def test_a_page_that_was_rolled_back_is_added_again(db: Database, tracking: Tracking) -> None:
    """As when somebody was forgotten since the page was read: the keys are then those of the page read anew."""
    await written(db, range(1, 5))
    seen = begun(tracking)
    with suppress(_Refused):
        async with db.transaction() as conn:
            await seen.open(conn)
            await seen.add(conn, keys(1, 2, 3), seen_at=BEGAN_AT)
            raise _Refused
    await added(db, seen, 1, begins=True)
    assert await missing(db, seen) == keys(2, 3, 4)


@pytest.mark.parametrize("tracking", FORMS)
async def test_a_page_needs_a_transaction_for_its_keys_only_where_they_are_stored(
    db: Database, tracking: Tracking
) -> None:
    seen = begun(tracking)
    await added(db, seen, 1, 2, begins=True)
    assert seen.are_stored is bool(await stored(db))
    assert seen.are_stored is (tracking is Tracking.STORED)

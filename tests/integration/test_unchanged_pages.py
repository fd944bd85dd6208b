"""A page that changes nothing is committed in one statement, and only such a page is."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.records.page import Read
from syncd.records.parser import Parser
from syncd.sources.cyclesoftware.customers import CUSTOMERS
from syncd.storage.mirror import listing, table_locks, writer
from syncd.storage.mirror.target import make_target
from syncd.storage.mirror.writing import burial
from syncd.storage.mirror.writing.outcome import Written
from syncd.storage.postgres.database import Database
from syncd.storage.state import forgotten, runs
from syncd.storage.state.runs import Counts, PageRecord, Run, Spent
from tests.support.bench import MakeBench
from tests.support.truth import differences, told

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TARGET = make_target(CUSTOMERS, Parser(CUSTOMERS, ZoneInfo("UTC")))
STORED = range(1, 41)


def _read(*numbers: int, city: str = "Oss") -> Read:
    return TARGET.intake.read([json.dumps({"customer_id": number, "city": city}).encode() for number in numbers])


async def _write(db: Database, read: Read, *, source: str = "s") -> Written:
    async with db.transaction() as conn:
        await table_locks.lock_tables(conn, source, [TARGET])
        return await writer.write_page(conn, TARGET, source, read, now=NOW)


async def _run(db: Database) -> Run:
    opened = await runs.open_run(db, "s", "customers", kind="sweep", lane="live", cursor_kind="live", now=NOW)
    await _write(db, _read(*STORED))
    await _write(db, _read(*range(1, 100), city="Best"), source="another")
    return opened


async def _commit(db: Database, run: Run, read: Read, *, seen_at: datetime | None = NOW) -> bool:
    """Commit a page if it changes nothing; say whether it was."""
    condition = listing.as_stored(TARGET, "s", read, seen_at=seen_at)
    assert condition, "no matter of one statement"
    record = PageRecord(counts=Counts(seen=read.seen), spent=Spent(3, 0.0), at=NOW, cursor={"pass": read.seen})
    async with db.connection() as conn:
        return await runs.record_page_if(conn, run, record, condition)


async def _told(db: Database) -> list[tuple[Any, ...]]:
    async with db.connection() as conn:
        return [
            tuple(row)
            for row in await conn.fetch(
                "SELECT pages, rows_seen, (SELECT cursor ->> 'pass' FROM syncd.cursors),"
                " (SELECT count(*) FROM syncd.seen) FROM syncd.runs"
            )
        ]


async def test_it_counts_moves_the_cursor_and_remembers_the_keys_as_any_page_does(db: Database) -> None:
    run = await _run(db)
    assert await _commit(db, run, _read(*range(11, 31)))
    assert await _commit(db, run, _read(*range(31, 41)), seen_at=None)
    assert await _told(db) == [(2, 30, "10", 1)]
    async with db.transaction() as conn:
        await listing.remember_seen(conn, TARGET, "s", "customers", [(at,) for at in range(11, 31)], seen_at=NOW)
        assert len(await conn.fetch("SELECT DISTINCT source, stream, seen_at, keys FROM syncd.seen")) == 1


CHANGES = {
    "a row is another": "UPDATE cyclesoftware.customers SET _hash = decode(repeat('ab', 16), 'hex')",
    "a row must be compared anew": "UPDATE cyclesoftware.customers SET _hash = NULL",
    "a row is buried": "UPDATE cyclesoftware.customers SET _hash = NULL, _deleted_at = now()",
    "a row is not there": "DELETE FROM cyclesoftware.customers",
}


async def test_a_page_of_which_anything_is_not_stored_as_sent_changes_nothing_so_far(db: Database) -> None:
    run = await _run(db)
    assert not await _commit(db, run, _read(*range(21, 42)))
    assert not await _commit(db, run, _read(*range(11, 31), city="Best"))
    assert not await _commit(db, run, _read(*(at for at in range(11, 31) if at != 20)))
    for place, (name, change) in enumerate(CHANGES.items(), 12):
        async with db.connection() as conn:
            await conn.execute(f"{change} WHERE source = 's' AND customer_id = {place}")
        assert not await _commit(db, run, _read(*range(place, place + 5))), name
        assert not await _commit(db, run, _read(*range(place - 4, place + 1))), name
    assert await _told(db) == [(0, 0, None, 0)]


async def test_rows_that_are_buried_between_those_of_a_page_do_not_matter(db: Database) -> None:
    run = await _run(db)
    async with db.transaction() as conn:
        assert await burial.bury(conn, TARGET, "s", [(14,), (17,)], now=NOW) == 2
    page = _read(*(at for at in range(11, 31) if at not in (14, 17)))
    assert (await _write(db, page)).as_stored
    assert await _commit(db, run, page)


async def test_a_page_that_was_read_before_somebody_was_forgotten_is_read_again(db: Database) -> None:
    run, page = await _run(db), _read(*range(11, 31))
    async with db.transaction() as conn:
        await forgotten.mark(conn, "s", "customers", ["99"], now=NOW)
    assert not await _commit(db, run, page)


async def test_a_run_that_was_declared_dead_commits_nothing(db: Database) -> None:
    run = await _run(db)
    await runs.close_run(db, run, outcome="aborted", spent=Spent(0, 0.0), now=NOW)
    assert not await _commit(db, run, _read(*range(11, 31)))
    assert await _told(db) == [(0, 0, None, 0)]


@pytest.mark.parametrize("numbers", [(), (3, 2, 1), (1, 2, 10_000), (-(2**63), 2**63 - 1)])
def test_keys_that_are_no_short_range_are_looked_up_one_by_one(numbers: tuple[int, ...]) -> None:
    assert listing.as_stored(TARGET, "s", _read(*numbers), seen_at=None) is None


async def test_a_sweep_finds_what_changed_and_what_is_gone_amid_pages_that_change_nothing(
    make_bench: MakeBench,
) -> None:
    bench = await make_bench(customers=95, page_size=10)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    bench.time.pass_by(days=1)
    first = await bench.sync("shop.customers", "sweep")
    assert (first.outcome, first.counts.unchanged, first.counts.seen) == ("ok", first.counts.seen, first.counts.seen)
    stored = await bench.rows("cyclesoftware.customers")
    keys = list(bench.sandbox.world["cyclesoftware", "customers"].keys())
    for place in (44, 71):
        customer = bench.sandbox.get("cyclesoftware", "customers", keys[place])
        bench.sandbox.put("cyclesoftware", "customers", {**customer, "city": "Elders"})
    for place in (38, 39, 62):
        bench.sandbox.delete("cyclesoftware", "customers", keys[place])
    bench.time.pass_by(days=1)
    second = await bench.sync("shop.customers", "sweep")
    counts = second.counts
    assert (second.outcome, counts.updated, counts.inserted, counts.deleted) == ("ok", 2, 0, 3)
    found = await differences(bench, "shop.customers")
    assert not found, told(found)
    assert len(await bench.rows("cyclesoftware.customers")) == len(stored) - 3
    assert await bench.fetch("SELECT FROM syncd.seen") == []


async def test_of_a_page_only_the_rows_that_changed_are_looked_up_and_written(db: Database) -> None:
    """What the comparison of the whole page has told is not asked for again, and neither is what a join can tell."""

    def page(*changed: int) -> Read:
        phone = {"phone_number_id": "1", "name": "Home"}
        return TARGET.intake.read(
            [
                json.dumps(
                    {
                        "customer_id": number,
                        "city": "Best" if number in changed else "Oss",
                        "phone_numbers": [{**phone, "customer_id": number, "phone_number": "06"}],
                    }
                ).encode()
                for number in STORED
            ]
        )

    await _write(db, page())
    asked: list[str] = []
    async with db.transaction() as conn:
        await table_locks.lock_tables(conn, "s", [TARGET])
        with conn.query_logger(lambda record: asked.append(record.query)):
            found = await writer.write_page(conn, TARGET, "s", page(3, 33), now=NOW)
    assert (found.counts.seen, found.counts.updated, found.counts.inserted) == (len(STORED), 2, 0)
    texts, phones = TARGET.statements, TARGET.children[0].statements
    own = [query for query in asked if "cyclesoftware" in query]  # the driver asks for types besides
    assert own == [texts.select_range, texts.select_rows, phones.update_family, texts.update]

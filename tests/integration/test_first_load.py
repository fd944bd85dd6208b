"""A first load copies what it has not seen without looking it up, and is right where it was mistaken."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.records.parser import Parser
from syncd.sources.cyclesoftware.customers import CUSTOMERS
from syncd.storage.mirror import table_locks, writer
from syncd.storage.mirror.target import make_target
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writing.outcome import Written
from syncd.storage.postgres.database import Database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 5, 1, 13, tzinfo=UTC)


def _customer(number: int, city: str = "Oss", phones: tuple[str, ...] = ("tel",)) -> bytes:
    numbers = [{"phone_number_id": name, "customer_id": number, "phone_number": "1", "name": ""} for name in phones]
    return json.dumps({"customer_id": number, "city": city, "phone_numbers": numbers}).encode()


async def _written(db: Database, records: list[bytes], *, now: datetime = NOW, unseen: bool = True) -> Written:
    target = make_target(CUSTOMERS, Parser(CUSTOMERS, ZoneInfo("UTC")))
    async with db.transaction() as conn:
        await table_locks.lock_tables(conn, "s", [target])
        read = target.intake.read(records, whole=unseen)
        return await writer.write_page(conn, target, "s", read, now=now, unseen=unseen)


async def _held(db: Database, query: str) -> list[tuple[Any, ...]]:
    async with db.connection() as conn:
        return [tuple(row) for row in await conn.fetch(query)]


_CITIES = "SELECT customer_id, city, _first_seen_at < _changed_at FROM cyclesoftware.customers ORDER BY 1"
_PHONES = "SELECT customer_id, phone_number_id FROM cyclesoftware.customer_phone_numbers ORDER BY 1, 2"


async def test_rows_that_another_run_has_written_meanwhile_are_compared(db: Database) -> None:
    await _written(db, [_customer(1), _customer(2)], unseen=False)
    found = await _written(db, [_customer(2, "Best", ("tel", "mob")), _customer(1), _customer(3)], now=LATER)
    assert (found.counts.inserted, found.counts.updated, found.counts.unchanged) == (1, 1, 1)
    assert await _held(db, _CITIES) == [(1, "Oss", False), (2, "Best", True), (3, "Oss", False)]
    assert await _held(db, _PHONES) == [(1, "tel"), (2, "mob"), (2, "tel"), (3, "tel")]


async def test_child_rows_that_are_there_without_their_parent_are_taken_over(db: Database) -> None:
    await _written(db, [_customer(7, phones=("tel", "old"))])
    async with db.connection() as conn:
        await conn.execute("DELETE FROM cyclesoftware.customers")
    found = await _written(db, [_customer(7), _customer(8)], now=LATER)
    assert found.counts.inserted == 2
    alive = "SELECT customer_id, phone_number_id FROM cyclesoftware.customer_phone_numbers WHERE _deleted_at IS NULL"
    assert sorted(await _held(db, alive)) == [(7, "tel"), (8, "tel")]


async def test_one_odd_record_does_not_keep_the_others_from_being_copied(db: Database) -> None:
    odd = b'{"customer_id": "5", "city": {"name": "Oss"}, "phone_numbers": 3}'
    found = await _written(db, [_customer(4), odd, b'{"city": "nowhere"}', _customer(6, "\0"), _customer(6, "Ede")])
    assert (found.counts.seen, found.counts.inserted, found.counts.rejected) == (5, 3, 1)
    assert await _held(db, _CITIES) == [(4, "Oss", False), (5, None, False), (6, "Ede", False)]


async def test_what_the_page_before_has_brought_is_not_written_again(db: Database) -> None:
    target = make_target(CUSTOMERS, Parser(CUSTOMERS, ZoneInfo("UTC")))
    first = target.intake.read([_customer(1), _customer(2)], whole=True)
    second = target.intake.read([_customer(2), _customer(1, "Best"), _customer(3)], before=first.sent)
    assert set(second.fingerprints) == {(1,), (3,)}
    assert set(second.sent.settled) == {(1,), (2,), (3,)}


async def test_readers_have_their_turns_while_the_writer_waits_for_postgresql() -> None:
    turns, heard = Turns(), list[str]()

    async def read(word: str, *, until: int = 10) -> None:
        await turns.reading()
        heard.append(word)
        if len(heard) == until:
            turns.back()  # the answer has come during this turn

    async def settled() -> None:
        for _ in range(40):
            await asyncio.sleep(0)

    await read("nobody writes")
    with turns.writing():
        readers = [asyncio.ensure_future(read(word, until=3)) for word in ("first", "second", "third")]
        await settled()
        assert heard == ["nobody writes"]
        turns.sent()
        await settled()
        assert heard == ["nobody writes", "first", "second"]
        turns.sent()
        await settled()
        assert heard == ["nobody writes", "first", "second", "third"]
        turns.back()
        readers.append(asyncio.ensure_future(read("after the page")))
        await settled()
        assert len(heard) == 4
    await asyncio.gather(*readers)
    assert heard[4:] == ["after the page"]


async def test_a_long_read_has_its_turns_beside_different_statements() -> None:
    turns, heard = Turns(), list[str]()

    async def read() -> None:
        statement = await turns.reading()
        heard.append("keys")
        await turns.reading(after=statement)
        heard.append("values")

    async def settled() -> None:
        for _ in range(40):
            await asyncio.sleep(0)

    with turns.writing():
        turns.sent()
        reader = asyncio.ensure_future(read())
        await settled()
        assert heard == ["keys"]
        turns.back()
        turns.sent()
        await settled()
        assert heard == ["keys", "values"]
    await reader
    await read()  # nobody writes: no statement has to be waited for
    assert heard == ["keys", "values"] * 2


@pytest.mark.parametrize("apart", [1, 3, 1000, -1, 2**57])
async def test_numbers_that_lie_close_together_are_compared_as_those_that_do_not(db: Database, apart: int) -> None:
    """Rows of a page are read as one range of keys where that is short: it finds what one by one would be found."""
    numbers = [number * apart for number in range(1, 41)]
    await _written(db, [_customer(number) for number in numbers])
    async with db.connection() as conn:
        await conn.execute("UPDATE cyclesoftware.customers SET _hash = NULL WHERE customer_id = $1", numbers[3])
        await conn.execute("UPDATE cyclesoftware.customers SET _deleted_at = now() WHERE customer_id = $1", numbers[3])
        await conn.execute("DELETE FROM cyclesoftware.customers WHERE customer_id = $1", numbers[7])
        await conn.execute("DELETE FROM cyclesoftware.customer_phone_numbers WHERE customer_id = $1", numbers[7])
    same = [_customer(number) for number in numbers if number not in (numbers[3], numbers[7])]
    for page in (same, same[::-1], same[10:20]):
        found = await _written(db, page, now=LATER, unseen=False)
        assert (found.counts.unchanged, found.counts.seen) == (len(page), len(page))
    page = [_customer(number, "Best" if number == numbers[11] else "Oss") for number in numbers]
    page.insert(20, _customer(41 * apart))
    found = await _written(db, page, now=LATER, unseen=False)
    assert (found.counts.inserted, found.counts.updated, found.counts.unchanged) == (2, 2, 37)
    assert (
        len(await _held(db, "SELECT FROM cyclesoftware.customers WHERE _deleted_at IS NULL AND _hash IS NOT NULL"))
        == 41
    )


async def test_the_changed_rows_of_a_page_are_found_wherever_they_stand(db: Database) -> None:
    numbers = list(range(1, 41))
    await _written(db, [_customer(number) for number in numbers])
    for places in ({0}, {39}, {15, 16}, {31, 32, 33}, {0, 7, 39}, set(range(40)), set[int]()):
        now = LATER + timedelta(minutes=sum(places))
        page = [_customer(number, str(now) if at in places else "Oss") for at, number in enumerate(numbers)]
        found = await _written(db, page, now=now, unseen=False)
        changed = "SELECT customer_id FROM cyclesoftware.customers WHERE _changed_at = $1 AND city <> 'Oss' ORDER BY 1"
        async with db.connection() as conn:
            assert [row[0] for row in await conn.fetch(changed, now)] == [numbers[at] for at in sorted(places)]
        assert found.as_stored == (not places)
        await _written(db, [_customer(number) for number in numbers], now=now + timedelta(seconds=1), unseen=False)


async def test_a_page_of_as_many_rows_that_are_others_is_no_page_of_changed_rows(db: Database) -> None:
    """It is as long as what is stored between its first and its last key, and most rows are the same."""
    stored = [1, 2, 4, 5, 7]
    await _written(db, [_customer(number) for number in stored])
    keyless = b'{"city": "nowhere"}'
    for page, told, held in (
        ([_customer(1), _customer(3), *map(_customer, stored[2:])], (1, 0, 0), (1, 3, 4, 5, 7)),
        ([_customer(1), keyless, *map(_customer, stored[1:])], (0, 0, 1), stored),  # six, as many as are stored now
        ([_customer(1), _customer(2, "Best"), _customer(4), _customer(5), _customer(7)], (0, 1, 0), stored),
        ([_customer(1), _customer(1), _customer(4), _customer(5), _customer(7)], (0, 0, 0), (1, 4, 5, 7)),
    ):
        found = await _written(db, page, now=LATER, unseen=False)
        assert (found.counts.inserted, found.counts.updated, found.counts.rejected) == told
        assert not found.as_stored
        assert set(found.keys) == {(number,) for number in held}
    assert await _held(db, _CITIES) == [
        (1, "Oss", False), (2, "Best", True), (3, "Oss", False), (4, "Oss", False), (5, "Oss", False),
        (7, "Oss", False),
    ]  # fmt: skip


async def test_many_instants_are_written_as_they_are(db: Database) -> None:
    instants = [NOW.replace(microsecond=at % 1_000_000) + timedelta(seconds=at // 7) for at in range(25_000)]
    async with db.connection() as conn:
        found = await conn.fetchval("SELECT array_agg(t) FROM unnest($1::timestamptz[]) t", [*instants, *instants[:9]])
    assert found == [*instants, *instants[:9]]

"""Numbers travel to PostgreSQL and back in its own binary form, to the last digit, also where that is a zero."""

import random
from decimal import Decimal

import pytest

from syncd.records.values import pg_number
from syncd.storage.postgres.database import Database

EDGES = [
    *("0", "0.00", "-0", "1", "-1", "10", "1000", "9999", "10000", "10001", "99990000", "-100000000"),
    *("0.1", "0.0001", "0.00001", "0.00010", "1.0", "1.00", "1E+3", "12E-7", "0E+5", "1E-300", "1E+300"),
    *("123456789.987654321", "9999.9999", "10000.0001", "1E+131071", "1E-16383", "NaN", "Infinity", "-Infinity"),
]
_TEXTS = "SELECT array_agg(number::text ORDER BY place) FROM unnest($1::numeric[]) WITH ORDINALITY AS t(number, place)"


def _as_postgresql_writes_it(number: Decimal) -> str:
    return f"{number:f}".removeprefix("-") if not number else f"{number:f}"  # it knows no negative zero


def _numbers() -> list[Decimal]:
    chance = random.Random(8)  # noqa: S311  (no secret)
    made = [
        Decimal(
            (sign, tuple(chance.choice((0, 0, 5, 9)) for _ in range(chance.randint(1, 40))), chance.randint(-30, 12))
        )
        for sign in (0, 1)
        for _ in range(500)
    ]
    return [*map(Decimal, EDGES), *made]


async def test_postgresql_reads_what_was_written_and_writes_what_is_read(db: Database) -> None:
    numbers = _numbers()
    texts = [_as_postgresql_writes_it(number) for number in numbers]
    async with db.connection() as conn:
        assert await conn.fetchval(_TEXTS, numbers) == texts
        found = await conn.fetchval("SELECT $1::text[]::numeric[]", texts)
    assert [_as_postgresql_writes_it(number) for number in found] == texts


@pytest.mark.parametrize("number", ["1E+131072", "1E-16384", "-1E+9999999"])
def test_a_number_that_postgresql_cannot_hold_is_refused(number: str) -> None:
    with pytest.raises(OverflowError, match="out of range"):
        pg_number.written(Decimal(number))


def test_what_is_remembered_of_numbers_has_an_end() -> None:
    for number in range(pg_number.NUMBERS_CACHED + 10):
        assert pg_number.read(pg_number.written(Decimal(number))) == number
    assert str(pg_number.read(pg_number.written(Decimal("1.50")))) == "1.50"
    kept = len(pg_number._WRITTEN), len(pg_number._READ)
    long = Decimal("9" * 1000)
    assert pg_number.read(pg_number.written(long)) == long
    assert (len(pg_number._WRITTEN), len(pg_number._READ)) == kept

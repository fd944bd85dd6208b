"""No question of the cookbook reads a large table from end to end; `make plans` shows the same on 1,000,000 rows."""

from syncd.database import Database
from syncd.reports import questions
from tests import plans

ROWS = 20_000
BY_EMAIL = {"customers_twice", "customers_who_lease"}
"""Match customers by an address that has no index, and read them once: it would double the cost of a first load."""


async def test_no_question_reads_a_large_table_whole(db: Database) -> None:
    async with db.connection() as conn:
        await plans.fill(conn, ROWS)
        found = await plans.plans(conn)
        assert len(found) == len(questions())
        too_much = {one.name: set(one.too_much) for one in found if one.too_much}
        assert too_much == {key: {"cyclesoftware.customers"} for key in BY_EMAIL}
        await conn.execute("DROP INDEX autengo.vehicles_at_hand")
        blind = await plans.plan(conn, questions()["cars_longest_in_stock"])
    assert blind.too_much == {"autengo.vehicles"}, "the plans are seen"

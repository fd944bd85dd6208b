"""No question of the cookbook reads a large table from end to end; `make plans` shows the same on 1,000,000 rows."""

import re

import pytest

from syncd.cookbook import Question, questions
from syncd.sources.cyclesoftware.workshop_orders import HINTS
from syncd.storage.mirror import table_locks
from syncd.storage.postgres.database import Database
from tests.papers import plans
from tests.support.bench import MakeBench
from tests.support.search import trial

ROWS = 20_000
BY_EMAIL = {"customers_twice", "customers_who_lease"}
"""Match customers by an address that has no index, and read them once: it would double the cost of a first load."""
BY_LINE = {
    "articles_dead_stock", "articles_sold_out", "discount_by_seller", "ebikes_insured", "margin_by_brand",
    "repair_hours_by_mechanic", "turnover_by_brand",
}  # fmt: skip
"""Find their transactions by month, and read all lines once: a year is a tenth of them, and as many look-ups by key
cost more. A copy of the month on each line would have to be kept right."""


@trial
async def test_no_question_reads_a_large_table_whole(db: Database) -> None:
    async with db.connection() as conn:
        await plans.fill(conn, ROWS)
        found = await plans.plans(conn)
        assert len(found) == len(questions())
        too_much = {one.name: set(one.too_much) for one in found if one.too_much}
        expected = {key: {"cyclesoftware.customers"} for key in BY_EMAIL}
        assert too_much == expected | {key: {"cyclesoftware.sales_transaction_items"} for key in BY_LINE}
        told = await plans.plan(conn, Question(name="hints", about="", text="", query=_at_rest(HINTS.query)))
        assert told.too_much == set(), "this is asked every quarter of an hour"
        assert "sales_transactions_by_change" in told.indexes
        await conn.execute("DROP INDEX autengo.vehicles_at_hand")
        blind = await plans.plan(conn, questions()["cars_longest_in_stock"])
    assert blind.too_much == {"autengo.vehicles"}, "the plans are seen"


def _at_rest(query: str) -> str:
    """Return the query of a feed as of a source and an instant."""
    return query.replace("$1", "'shop'").replace("$2", f"'{plans.NOW}'")


@pytest.mark.parametrize(
    ("stream", "indexed"),
    [
        ("sales_transactions", "(account_id = ANY ($2)) AND (sales_transaction_number = ANY ($3))"),
        ("trading_hours", "(store_id = ANY ($2)) AND (date = ANY ($3))"),
        ("customers", "(customer_id = ANY ($2))"),
    ],
)
async def test_the_lines_of_a_page_are_found_by_the_whole_key_of_their_records(
    make_bench: MakeBench, stream: str, indexed: str
) -> None:
    """By the first column alone, which is the account, a page of sales would read all lines that there are."""
    bench = await make_bench(customers=20)
    for child in bench.syncer.target("shop", stream).children:
        async with bench.db.transaction() as conn:
            await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off")
            await conn.execute(f"PREPARE family AS {child.statements.select_family}")
            nothing = ", ".join(["NULL"] * len({*re.findall(r"\$\d+", child.statements.select_family)}))
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN EXECUTE family({nothing})"))
        assert f"Index Cond: ((source = $1) AND {indexed})" in plan, plan


@pytest.mark.parametrize("keeps", [False, True], ids=["plain", "keeping"])
async def test_changed_and_buried_rows_are_found_by_key_in_a_table_without_statistics(
    make_bench: MakeBench, keeps: bool
) -> None:
    bench = await make_bench(customers=3_000, keeps=keeps)
    await bench.sync("shop.customers")
    target = bench.syncer.target("shop", "customers")
    for at, statement in enumerate((target.statements.update, target.statements.bury)):
        async with bench.db.transaction() as conn:
            await table_locks.lock_tables(conn, "shop", [target])
            await conn.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE page_{at} AS {statement}")
            nothing = ", ".join(["NULL"] * len({*re.findall(r"\$\d+", statement)}))
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN EXECUTE page_{at}({nothing})"))
        assert "Index Cond: ((source = k._source) AND (customer_id = k.customer_id))" in plan, plan
        assert "Join Filter" not in plan, plan

"""How the cookbook's questions are answered on large tables: `python -m tests.papers.plans`, 1,000,000 rows in each.

Fills a database by SQL alone and answers every question. Fails if a plan reads one of the large tables from end to end.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd.cli import console
from syncd.cookbook import Question, questions
from syncd.storage.postgres import database, embedded, migrations
from tests.support.bench import SERVER_SETTINGS

ROWS = 1_000_000
HEAVIEST = 10
"""Questions that are shown, with the indexes that serve them."""
LARGE = frozenset(
    (
        "cyclesoftware.customers", "cyclesoftware.customer_phone_numbers", "cyclesoftware.stock_items",
        "cyclesoftware.sales_orders", "cyclesoftware.sales_order_items", "cyclesoftware.sales_transactions",
        "cyclesoftware.sales_transaction_items", "cyclesoftware.payments", "cyclis.orders",
        "autengo.vehicles", "syncd.runs",
    )
)  # fmt: skip
"""Tables that get all the rows; the others get a tenth, a fifth or what a trade of that size has of them."""
NOW = "2026-11-22 09:00+00"
CHANGED_AT = f"timestamptz '{NOW}' - interval '10 years' * (1 - row_number() OVER () / (count(*) OVER ())::float8)"
"""Rows changed in the order of their numbers, in ten years, the last one just now."""

# A trade that grew over ten years: most of what a table holds is history, a few percent are under way. $n is the number
# of rows of the large tables; bookkeeping is added to each row.
FILL = {
    "cyclesoftware.stores": (
        "SELECT 'shop' AS source, '1-' || g AS store_id, 'Store ' || g AS store_name FROM generate_series(1, 40) AS g"
    ),
    "cyclesoftware.customers": """
        SELECT 'shop' AS source, g AS customer_id, 'Klant' AS customer_type_name,
               (1000 + g % 9000) || 'AB' AS postcode, g % 200 AS house_number, '' AS company_name,
               'First' || g % 977 AS first_name, 'Last' || g % 7919 AS name, 'Street ' || g % 997 AS street,
               'City ' || g % 2500 AS city, 'NL' AS country_code_iso_3166,
               CASE WHEN g % 10 > 0 THEN 'First' || g || '@example.com' ELSE '' END AS email,
               CASE WHEN g % 20 = 0 THEN 5 ELSE 0 END AS discount_percentage,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS datetime_created
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.customer_phone_numbers": """
        SELECT 'shop' AS source, g AS customer_id, kind AS phone_number_id,
               CASE WHEN (g + length(kind)) % 5 > 0 THEN '06 0' || g ELSE '' END AS phone_number
        FROM generate_series(1, $n) AS g, unnest('{mob}'::text[]) AS kind
    """,
    "cyclesoftware.stock_items": """
        SELECT 'shop' AS source, 1 AS account_id, g AS object_id, 1 + g % 40 AS store_id, 0 AS sales_order_id,
               'Brand ' || g % 37 AS brand_name, 'A' || g % 20000 AS article_id, 'E' || g % 20000 AS barcode,
               'Brand ' || g % 37 || ' Model ' || g % 640 || ' D53' AS description, 'F' || g AS frame_id,
               90000 AS purchase_price_cents, 149900 AS dealer_rrp_cents, g % 50 > 0 AS is_sold_to_customer,
               g % 350 = 0 AS is_demo, false AS is_rental,
               date '2016-11-22' + (3652.0 * g / $n)::int AS stocked_at
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.stock": """
        SELECT 'shop' AS source, '1-' || 1 + g * 50 % 40 AS store_id, g * 50 AS object_id,
               'Brand ' || g * 50 % 37 AS brand_name, 'A' || g * 50 % 20000 AS article_id, g % 7 = 0 AS is_demo
        FROM generate_series(1, $n / 50) AS g
    """,
    "cyclesoftware.sales_orders": """
        SELECT 'shop' AS source, g AS sales_order_id, 1 + g % 40 AS store_id,
               1 + (g * 7919::bigint) % ($n / 2) AS customer_id, 'Afgerond' AS status_text,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS datetime_created
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.sales_order_items": """
        SELECT 'shop' AS source, g AS sales_order_id, g * 10 AS order_item_id, 'E' || g % 20000 AS barcode,
               1 AS quantity, 12500 AS nett_line_price_in_vat_in_cents
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.sales_transactions": """
        SELECT 'shop' AS source, 1 AS account_id, g AS sales_transaction_number, 1 + g % 40 AS store_id,
               true AS is_final, 11 + g % 9 AS sales_employee_id, 'Seller ' || g % 9 AS sales_employee_name,
               CASE WHEN g % 3 = 0 THEN g END AS workshop_order_id,
               CASE WHEN g % 3 = 0 THEN g % 9 END AS workshop_order_mechanic_employee_id,
               CASE WHEN g % 3 = 0 THEN 'Mechanic ' || g % 9 END AS workshop_order_mechanic_employee_name,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS booked_at
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.sales_transaction_items": """
        SELECT 'shop' AS source, 1 AS account_id, g AS sales_transaction_number, g * 10 AS sales_item_id,
               1 + g % 3 AS item_type_id, 'Group ' || g % 5 AS pos_group_name, 1 AS quantity,
               CASE WHEN g % 3 = 0 THEN 30 END AS unit_work_time_minutes, 'Brand ' || g % 37 AS article_brand_name,
               10000 AS nett_line_price_ex_vat_cents, 6000 AS purchase_price_ex_vat_cents,
               CASE WHEN g % 4 = 0 THEN 500 ELSE 0 END AS unit_discount_ex_vat_cents
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.payments": """
        SELECT 'shop' AS source, g AS payment_id, 1 + g % 40 AS store_id, 'Way ' || g % 5 AS method,
               10000 AS amount_cents, timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS book_date
        FROM generate_series(1, $n) AS g
    """,
    "cyclesoftware.workshop_orders": """
        SELECT 'shop' AS source, g * 3 AS workshop_order_id, 1 + g % 40 AS store_id, 30 AS total_repair_time_minutes,
               timestamptz '2016-11-22' + interval '10 years' * (g * 3::float8 / $n) AS datetime_created,
               timestamptz '2016-11-24' + interval '10 years' * (g * 3::float8 / $n) AS datetime_scheduled_start
        FROM generate_series(1, $n / 3) AS g
    """,
    "cyclesoftware.workshop_order_items": """
        SELECT 'shop' AS source, g * 3 AS workshop_order_id, 1 AS item_id, 5000 AS price_in_vat_cents
        FROM generate_series(1, $n / 3) AS g
    """,
    "cyclesoftware.trading_hours": """
        SELECT 'shop' AS source, store AS store_id, date '2026-11-22' + day AS date, 480 AS capacity_minutes,
               240 AS scheduled_minutes, 240 AS available_minutes, false AS is_closed
        FROM generate_series(1, 40) AS store, generate_series(-300, 13) AS day
    """,
    "cyclesoftware.leads": """
        SELECT 'shop' AS source, gen_random_uuid() AS uuid, '1-' || 1 + g % 40 AS store_id, 'test_ride' AS type,
               CASE WHEN g % 200 = 0 THEN 'open' ELSE 'succeeded' END AS status, 'Name ' || g AS customer_name,
               timestamptz '2016-11-22' + interval '10 years' * (g * 10::float8 / $n) AS created_at
        FROM generate_series(1, $n / 10) AS g
    """,
    "cyclis.companies": """
        SELECT 'lease' AS source, md5('company' || g)::uuid AS id, 'Company ' || g AS name
        FROM generate_series(1, 500) AS g
    """,
    "cyclis.cyclists": """
        SELECT 'lease' AS source, md5('cyclist' || g)::uuid AS id, 'First' || g % 977 AS first_name,
               'Last' || g % 7919 AS last_name, 'first' || g * 50 || '@example.com' AS email,
               md5('company' || 1 + g % 500)::uuid AS company_id
        FROM generate_series(1, $n / 5) AS g
    """,
    "cyclis.dealers": """
        SELECT 'lease' AS source, md5('dealer' || g)::uuid AS id, 'Dealer ' || g AS name, 'City ' || g % 300 AS city,
               jsonb_build_array('Brand ' || g % 37, 'Brand ' || (g + 1) % 37) AS brands
        FROM generate_series(1, 3000) AS g
    """,
    "cyclis.orders": """
        SELECT 'lease' AS source, md5('order' || g)::uuid AS id, 'SO' || g AS name,
               'Brand ' || g % 37 || ' Model ' || g % 640 AS bike_name, 'Brand ' || g % 37 AS bike_brand,
               'Model ' || g % 640 AS bike_model,
               CASE WHEN g % 1000 = 0 THEN 'to_order' ELSE 'delivered' END AS bike_order_state,
               CASE WHEN g % 1000 = 0 THEN 'confirmed' WHEN g % 100 = 1 THEN 'quote'
                    WHEN g < $n * 0.7 THEN 'done' ELSE 'active' END AS state,
               80.5 AS lease_cost, 36 AS lease_duration,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS start_lease_date,
               timestamptz '2019-11-22' + interval '10 years' * (g::float8 / $n) AS end_lease_date,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS create_timestamp,
               md5('cyclist' || 1 + g % ($n / 5))::uuid AS cyclist_id,
               md5('company' || 1 + g % ($n / 5) % 500)::uuid AS company_id,
               'order' AS type, 'City Bike' AS bike_type, 'Unisex' AS bike_frame_type, '55' AS bike_size,
               'Yellow' AS bike_color, true AS insurance, true AS maintenance, 300 AS maintenance_budget,
               'CC12345' AS cost_center, 'EM12345' AS employee_id, 'cyclist' AS cyclist_type,
               'company' AS company_type, decode(md5('order' || g), 'hex') AS _hash
        FROM generate_series(1, $n) AS g
    """,
    "autengo.vehicles": """
        SELECT 'cars' AS source, 'V' || g AS selling_id, 12345 + g % 5 AS branch_id, 'Make ' || g % 40 AS make_name,
               'Model ' || g % 300 AS model_name,
               CASE WHEN g % 50 = 0 THEN 'inventory' WHEN g % 200 = 1 THEN 'incoming' ELSE 'sold' END AS vehicle_state,
               50000 AS kilometers, 'VIN' || g AS vin, 10000 + g % 30000 AS dealer_price,
               12000 + g % 29000 AS price_yard, g % 20 = 0 AS is_damaged, g % 33 = 0 AS had_accident_damage,
               timestamptz '2016-11-22' + interval '10 years' * (g::float8 / $n) AS created
        FROM generate_series(1, $n) AS g
    """,
    "ghs.products": """
        SELECT 'parts' AS source, lpad(g::text, 9, '0') AS id, 'Part ' || g AS name, 'Brand ' || g % 90 AS brand_name,
               10.5 AS netto_price, 20 AS bruto_price, g % 40 AS quantity_linked_warehouse
        FROM generate_series(1, $n / 10) AS g
    """,
    "ghs.orders": """
        SELECT 'parts' AS source, lpad(g::text, 9, '0') AS order_id,
               jsonb_build_array(jsonb_build_object('productId', lpad((1 + g % ($n / 10))::text, 9, '0'),
                 'productName', 'Part ' || 1 + g % ($n / 10), 'quantity', 2)) AS items
        FROM generate_series(1, $n / 10) AS g
    """,
    "syncd.runs": """
        SELECT source, stream, 'live' AS kind, 'live' AS lane, at AS started_at, at AS finished_at, 'ok' AS outcome
        FROM generate_series(1, $n / 20) AS g, unnest('{shop,lease,cars,parts}'::text[]) AS source,
             unnest('{a,b,c,d,e}'::text[]) AS stream,
             LATERAL (SELECT timestamptz '2026-11-22' - interval '90 days' * (1 - g * 20::float8 / $n) AS at) AS times
    """,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a question was answered: in what time, which tables were read from end to end, which indexes were used."""

    name: str
    seconds: float
    whole: frozenset[str]
    indexes: frozenset[str]

    @property
    def too_much(self) -> frozenset[str]:
        """The large tables that were read from end to end."""
        return self.whole & LARGE


async def fill(conn: asyncpg.Connection, rows: int) -> None:
    """Fill the mirror; the large tables get that many rows."""
    await conn.execute("SET synchronous_commit = on")  # VACUUM knows a row as visible to all once its commit is flushed
    for table, query in FILL.items():
        kinds = dict(
            await conn.fetch(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = $1::text::regclass AND attnum > 0",
                table,
            )
        )
        times = f", now() AS _first_seen_at, {CHANGED_AT} AS _changed_at" if "_changed_at" in kinds else ""
        made = f"SELECT *{times} FROM ({query.replace('$n', str(rows))}) AS made"
        names = [each.name for each in (await conn.prepare(made)).get_attributes()]
        values = ", ".join(f"{name}::{kinds[name]}" for name in names)
        await conn.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM ({made}) AS made")
        await conn.execute(f"VACUUM ANALYZE {table}")


async def plan(conn: asyncpg.Connection, question: Question) -> Plan:
    """Answer a question and say how."""
    await conn.execute(f"SET reporting.now = '{NOW}'")
    [[told]] = await conn.fetch(f"EXPLAIN (ANALYZE, VERBOSE, TIMING off, FORMAT json) {question.query}")
    [root] = json.loads(told)
    nodes = list(_nodes(root["Plan"]))
    return Plan(
        name=question.name,
        seconds=root["Execution Time"] / 1000,
        whole=frozenset(
            f"{node['Schema']}.{node['Relation Name']}" for node in nodes if node["Node Type"] == "Seq Scan"
        ),
        indexes=frozenset(node["Index Name"] for node in nodes if "Index Name" in node),
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


async def plans(conn: asyncpg.Connection) -> list[Plan]:
    """Answer every question of the cookbook; the heaviest comes first."""
    found = [await plan(conn, question) for question in questions().values()]
    return sorted(found, key=lambda one: -one.seconds)


async def _main(rows: int) -> int:
    with tempfile.TemporaryDirectory(prefix="syncd-plans-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "data"
        server = await embedded.ensure(place, settings=SERVER_SETTINGS)
        try:
            settings = configuration.DatabaseConfig(url=configuration.Secret(server.url), data_dir=place)
            opened = await database.connect(settings)
            await migrations.migrate(opened)
            begun = time.monotonic()
            async with opened.connection() as conn:
                await fill(conn, rows)
                console.say(f"{rows:,} rows in each of {len(LARGE)} tables, made in {time.monotonic() - begun:.0f} s")
                found = await plans(conn)
            await opened.close()
        finally:
            await embedded.stop(place)
    console.print_table(
        "", ["question", "seconds", "indexes", "read whole"],
        [
            (one.name, round(one.seconds, 3), ", ".join(sorted(one.indexes)), ", ".join(sorted(one.whole)))
            for one in found[:HEAVIEST]
        ],
    )  # fmt: skip
    bad = [f"{one.name} reads {', '.join(sorted(one.too_much))} whole" for one in found if one.too_much]
    console.say("\n".join(bad) or f"none of {len(found)} questions reads a large table whole")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    sys.exit(asyncio.run(_main(parser.parse_args().rows)))

"""Schema reporting about articles, services and deliveries: properties unfolded, odd values, nobody forgotten shown."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten
from tests.support.search import sampled

SELECTORS = ("shop.stores", "shop.articles", "shop.service_items", "shop.repair_objects", "shop.packing_list_items")
VIEWS = ("stores_map", "articles", "article_stock", "service_due", "goods_received")


@pytest.fixture
async def mirror(make_bench: MakeBench) -> Bench:
    bench: Bench = await make_bench(stock_items=0)
    for selector in SELECTORS:
        assert (await bench.sync(selector)).outcome == "ok"
    return bench


def entry(value: Any, **more: Any) -> dict[str, Any]:
    return {"value": value, **more}


async def test_the_value_that_counts_is_the_objects_then_the_first_suppliers_then_any(mirror: Bench) -> None:
    async def color(*values: dict[str, Any], supplier: int | None = 12) -> str | None:
        properties = json.dumps({"basic_color": {"type": "codelist", "values": list(values)}})
        query = "SELECT reporting.article_text(reporting.article_property($1::jsonb, 'basic_color', $2))"
        async with mirror.db.connection() as conn:
            found: str | None = await conn.fetchval(query, properties, supplier)
        return found

    anyone, second = entry("any"), entry("second", supplier_ids=[13])
    first, thing = entry("first", supplier_ids=[13, 12]), entry("object", object_ids=[7], supplier_ids=[13])
    assert await color(anyone, second, first, thing) == "object"
    assert await color(anyone, second, first) == "first"
    assert await color(anyone, second) == "any"
    assert await color(second, anyone, supplier=None) == "second"
    assert await color(entry({"fr": "noir", "en": "black", "nl": "zwart"})) == "zwart"
    assert await color(entry({"fr": "noir", "en": "black", "nl": "", "user": "mat"})) == "mat"
    assert await color(entry({"fr": "noir", "en": ""})) == "noir"
    assert await color(entry(["fiets", "stad"])) == "fiets, stad"
    plain: dict[Any, str | None] = {True: "true", 12.5: "12.5", "": None, None: None}
    assert {value: await color(entry(value)) for value in plain} == plain
    assert [await color(entry({})), await color(entry([]))] == [None, None]


async def test_an_article_shows_its_properties_prices_and_stock(mirror: Bench) -> None:
    [row] = await mirror.fetch("SELECT min(barcode) AS barcode FROM cyclesoftware.articles WHERE properties <> '[]'")
    properties = {
        "brand": {"values": [{"code": "0101"}]}, "model": {"values": [entry("C7")]},
        "model_year": {"values": [entry(2025)]},
        "article_group": {"values": [entry({"nl": "Banden"}, code="2N")]}, "weight_netto": {"values": [entry(17.5)]},
    }  # fmt: skip
    await mirror.fetch(
        "UPDATE cyclesoftware.articles SET properties = $1, pricing_pos_sales_price_cents = 129500 WHERE barcode = $2",
        json.dumps(properties), row["barcode"],
    )  # fmt: skip
    [article] = await mirror.fetch("SELECT * FROM reporting.articles WHERE barcode = $1", row["barcode"])
    expected = {
        "brand": "0101", "model": "C7", "model_year": 2025, "article_group": "2N", "group_name": "Banden",
        "weight_netto": Decimal("17.5"), "price": Decimal("1295.00"), "basic_color": None, "article_sub_group": None,
    }  # fmt: skip
    assert {name: article[name] for name in expected} == expected
    [counted] = await mirror.fetch(
        "SELECT (SELECT sum(stock_level) FROM cyclesoftware.article_stock WHERE _deleted_at IS NULL) AS mirrored,"
        " (SELECT sum(stock_level) FROM reporting.articles) AS by_article,"
        " (SELECT sum(stock_level) FROM reporting.article_stock) AS by_store"
    )
    assert counted["mirrored"] == counted["by_article"] == counted["by_store"] != 0


ODD = (
    '{"brand": {"values": [null, 1, {}]}, "model_year": {"values": [{"value": "20x5"}]}}', "[]", "7", '"x"',
    '{"brand": {"values": [{"supplier_ids": "?", "object_ids": 3}]}}', "null", '{"brand": 1}',
    '{"brand": {"values": {"a": 1}}}',
)  # fmt: skip


@pytest.mark.parametrize("odd", sampled(ODD, every=4))
async def test_odd_properties_and_amounts_break_no_view(mirror: Bench, odd: str) -> None:
    await mirror.fetch("UPDATE cyclesoftware.articles SET properties = $1, pricing_rrp_cents = $2", odd, 2**62)
    await mirror.fetch("UPDATE cyclesoftware.service_items SET gross_unit_price_cents = $1", -(2**63))
    await mirror.fetch("UPDATE cyclesoftware.packing_list_items SET unit_purchase_price_ex_vat_cents = $1", 2**62)
    await mirror.fetch(
        "UPDATE cyclesoftware.stores SET store_id = 'no account ' || store_id WHERE store_id <> '9001-1'"
    )
    counts = [len(await mirror.fetch(f"SELECT * FROM reporting.{view}")) for view in VIEWS]
    assert counts[0] == 1
    assert all(count > 20 for count in counts[1:])


async def test_stores_are_found_by_account_and_number(mirror: Bench) -> None:
    rows = await mirror.fetch("SELECT * FROM reporting.stores_map ORDER BY store_id")
    stores = {each["store_id"] for each in mirror.sandbox.truth("cyclesoftware", "stores") if "-" in each["store_id"]}
    assert {row["store_id"] for row in rows} == stores
    assert all(row["store_id"] == f"{row['account_id']}-{row['store_number']}" for row in rows)
    assert {row["account_id"] for row in rows if row["is_own"]} <= {1}  # the account that services name
    await mirror.fetch("UPDATE cyclesoftware.stores SET store_id = '1-3' WHERE store_id = '9001-1'")
    [own] = await mirror.fetch("SELECT * FROM reporting.stores_map WHERE store_id = '1-3'")
    assert (own["account_id"], own["store_number"], own["is_own"]) == (1, 3, True)
    named = {
        row["store_name"] for row in await mirror.fetch("SELECT * FROM reporting.article_stock WHERE store_number = 3")
    }
    assert named == {own["store_name"]}


async def test_a_forgotten_customer_is_in_no_list_of_services(mirror: Bench) -> None:
    await mirror.sync("shop.customers")
    [row] = await mirror.fetch("SELECT * FROM reporting.service_due WHERE customer_name IS NOT NULL LIMIT 1")
    await forgotten(mirror, "shop.customers", row["customer_id"])
    [kept] = await mirror.fetch(
        "SELECT * FROM reporting.service_due WHERE service_item_id = $1", row["service_item_id"]
    )
    assert (kept["customer_id"], kept["customer_name"], kept["phone"], kept["email"]) == (None, None, None, None)
    assert (kept["title"], kept["price"]) == (row["title"], row["price"])

"""A change feed of a small mirror."""

from typing import Any, cast

from tests.support.bench import Bench

STREAM = "shop.customers"
CUSTOMERS = "cyclesoftware.customers"
NUMBERS = "cyclesoftware.customer_phone_numbers"
SIZES = {
    "customers": 12, "page_size": 5, "cyclis_orders": 30, "cyclists": 20, "companies": 3, "vehicles": 30, "orders": 30,
    "stock_items": 20, "sales_orders": 8, "leads": 3, "dealers": 2, "makes": 2, "contacts": 1, "products": 12,
}  # fmt: skip
LONGEST_S = 60.0


async def newest(bench: Bench) -> int:
    [[found]] = await bench.fetch("SELECT coalesce(max(id), 0) FROM syncd.changes")
    return cast("int", found)


def first_customer(bench: Bench) -> dict[str, Any]:
    return bench.sandbox.truth("cyclesoftware", "customers")[0]

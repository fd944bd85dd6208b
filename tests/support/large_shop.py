"""A sandbox with the shop of STREAMS section 6, in a process of its own: `python -m tests.support.large_shop`.

Prints one line of JSON once it serves: its address, its configuration, and what a mirror of it must hold.
"""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from syncd.sandbox import Limits, Sandbox, config_text, serve
from syncd.sandbox.apis.cyclesoftware.api import CycleSoftware

CUSTOMERS, ARTICLES, TRANSACTIONS, REPAIR_OBJECTS = 60_000, 120_000, 180_000, 25_000
DAYS = 730
"""Over which the transactions are spread."""
PAGE, TOKEN_PAGE = 500, 250
"""Rows of a page by offset and by token: as STREAMS section 6 assumes."""


def open_shop() -> Sandbox:
    """Return the sandbox; its limits stop nobody."""
    sandbox = Sandbox(
        customers=CUSTOMERS, articles=ARTICLES, sales_transactions=TRANSACTIONS, sales_days=DAYS,
        repair_objects=REPAIR_OBJECTS, page_size=PAGE, limits=Limits(per_minute=100_000, per_day=10_000_000),
    )  # fmt: skip
    next(api for api in sandbox.apis if isinstance(api, CycleSoftware)).lists.token_sizes = (TOKEN_PAGE,)
    return sandbox


def held(sandbox: Sandbox) -> dict[str, int]:
    """Return how many rows the large tables of a mirror must hold, and what the sales add up to."""
    sales = _of(sandbox, "sales_transactions")
    found = {"sales_transactions": 0, "sales_transaction_items": 0, "amount_cents": 0}
    for sale in sales:
        found["sales_transactions"] += 1
        found["sales_transaction_items"] += len(sale["sales_items"])
        found["amount_cents"] += sale["total_amount_cents"]
    found |= {"articles": 0, "article_stock": 0, "article_objects": 0, "article_suppliers": 0}
    for article in _of(sandbox, "articles"):
        found["articles"] += 1
        found["article_stock"] += len(article.get("stock", {}).get("stores", ()))
        found["article_objects"] += len(article.get("objects", ()))
        found["article_suppliers"] += len(article["suppliers"])
    return found | {name: len(sandbox.world["cyclesoftware", name]) for name in ("customers", "repair_objects")}


def _of(sandbox: Sandbox, stream: str) -> Iterator[dict[str, Any]]:
    collection = sandbox.world["cyclesoftware", stream]
    return (collection.get(key) for key in collection.keys())  # noqa: SIM118  (a method of ours)


async def _main() -> None:
    sandbox = open_shop()
    async with serve(sandbox) as address:
        told = {"url": address.url, "config": config_text(sandbox, address), "held": held(sandbox)}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())

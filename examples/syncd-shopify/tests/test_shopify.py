"""What the kit cannot know of Shopify: the feed of deletions, the bucket, and the token's life."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest
from syncd_shopify import SOURCE
from syncd_shopify.api import limits_of

from syncd.contract import Limits
from syncd.testing import Rig, open_rig


def rigged(work: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def do() -> None:
        async with open_rig(SOURCE) as rig:
            await work(rig)

    asyncio.run(do())


def test_a_live_run_buries_what_the_feed_tells() -> None:
    async def do(rig: Rig) -> None:
        await rig.clean("products")
        for place in (0, 3, 5):
            rig.delete("products", place)
        rig.change("products")
        await rig.clean("products")
        await rig.require_equal("products", "after a live run")
        assert len(await rig.fetch("SELECT FROM shopify.products WHERE _deleted_at IS NOT NULL")) == 3

    rigged(do)


def test_a_token_is_bought_once_a_day() -> None:
    async def do(rig: Rig) -> None:
        for _ in range(3):
            await rig.clean("products")
            rig.time.pass_by(hours=20)
        logins = [entry for entry in rig.requests() if entry.stream == "auth"]
        assert len(logins) == 2

    rigged(do)


def test_the_bucket_never_overflows() -> None:
    async def do(rig: Rig) -> None:
        for number in range(30):
            await rig.clean("customers", "sweep" if number % 2 else "live")
        assert len(rig.requests()) > 80
        assert {entry.status for entry in rig.requests()} == {200}

    rigged(do)


def test_the_report_on_stock_says_what_the_shop_holds() -> None:
    async def do(rig: Rig) -> None:
        for place, vendor in enumerate(("Alta", "Brix", "Alta")):
            product = rig.sandbox.truth("shopify", "products")[place]
            rig.sandbox.put("shopify", "products", {**product, "vendor": vendor})
        rig.delete("products", 4)
        await rig.clean("products")
        expected = defaultdict[str, list[Any]](lambda: [0, 0, Decimal()])
        for product in rig.sandbox.truth("shopify", "products"):
            stocked = [each for each in product["variants"] if each["inventory_quantity"] > 0]
            if product["status"] == "active" and stocked:
                total = expected[product["vendor"]]
                total[0] += 1
                total[1] += sum(each["inventory_quantity"] for each in stocked)
                total[2] += sum(each["inventory_quantity"] * Decimal(each["price"]) for each in stocked)
        assert len(expected) == 3
        told = await rig.fetch((SOURCE.reports / "shopify_stock_by_vendor.sql").read_text())
        assert {row["vendor"]: list(row.values())[1:] for row in told} == expected

    rigged(do)


@pytest.mark.parametrize(
    ("told", "limits"),
    [("32/40", Limits(per_minute=40, minute_left=8)), ("41/40", Limits(per_minute=40, minute_left=0)),
     ("x", None), ("", None), ("1/0", None)],
)  # fmt: skip
def test_the_bucket_is_read(told: str, limits: Limits | None) -> None:
    assert limits_of({"X-Shopify-Shop-Api-Call-Limit": told}) == limits

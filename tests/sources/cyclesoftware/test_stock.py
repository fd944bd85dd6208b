"""CycleSoftware's stock: the vendor's samples, listings and lookups."""

import json
from datetime import date

import pytest

from syncd.contract import Scope
from syncd.errors import BadPayload
from tests.support.sources.cyclesoftware import NOW, STOCK, Script, pages_of, parsed, values, walk_of

STOCK_ITEM = """{
    "account_id": 1, "store_id": 1, "object_id": 22952, "sales_order_id": 0, "supplier": "Batavus",
    "article_id": "BE100086", "barcode": "8713568256155", "description": "Batavus STREAM", "frame_id": "BA5169351",
    "purchase_price_cents": 219900, "dealer_rrp_cents": 259900, "is_sold_to_customer": false, "is_demo": true,
    "is_new": true, "has_invoice": false, "is_deleted": false, "is_rental": false, "stocked_at": "2015-12-08",
    "custom_variable_1": "Custom var 1"
}"""


def test_stock_sample() -> None:
    row = parsed("stock", STOCK)
    assert values("stock", row) == {
        "store_id": "5185-1",
        "object_id": 144922,
        "barcode": "8717144186799",
        "article_id": "03505002",
        "brand_name": "Sparta",
        "is_demo": False,
    }
    assert row.extra is None
    assert not row.notes


def test_stock_item_sample() -> None:
    row = parsed("stock_items", STOCK_ITEM)
    assert values("stock_items", row) == {
        "account_id": 1,
        "store_id": 1,
        "object_id": 22952,
        "sales_order_id": 0,
        "brand_name": None,
        "supplier": "Batavus",
        "article_id": "BE100086",
        "barcode": "8713568256155",
        "description": "Batavus STREAM",
        "frame_id": "BA5169351",
        "purchase_price_cents": 219900,
        "dealer_rrp_cents": 259900,
        "is_sold_to_customer": False,
        "is_demo": True,
        "is_used": None,
        "has_invoice": False,
        "is_deleted": False,
        "is_rental": False,
        "is_new": True,
        "stocked_at": date(2015, 12, 8),
        "custom_variable_1": "Custom var 1",
    }
    assert row.extra is None
    assert not row.notes
    assert not row.absent


async def test_full_listing_follows_paging_only_if_it_appears() -> None:
    whole = Script([{"error": False, "data": [json.loads(STOCK_ITEM)]}])
    (page,) = await pages_of("stock_items", walk_of(whole))
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})
    items = [{"account_id": 1, "object_id": n} for n in (1, 2, 3)]
    paged = Script(
        [
            {"data": items[:2], "pagination": {"next_offset": 2}},
            {"data": items[1:], "pagination": {"next_offset": None}},
        ]
    )
    first, last = await pages_of("stock_items", walk_of(paged))
    assert (first.cursor, first.scope, first.whole_walk) == (None, None, False)
    assert (last.cursor, last.scope, last.whole_walk) == ({"as_of": NOW.isoformat()}, Scope(), True)
    elsewhere = Script([{"data": items, "pagination": {"next_url": "https://other.example/x"}}])
    with pytest.raises(BadPayload, match="next_offset"):
        await pages_of("stock_items", walk_of(elsewhere))


async def test_stock_is_asked_for_in_batches_that_each_speak_for_themselves() -> None:
    barcodes = [f"{n:013d}" for n in range(150)]
    script = Script([{"stores": [], "stock": [json.loads(STOCK)]}, {"stock": []}, {"stock": []}])
    walk = walk_of(script, lookup={"barcodes": [*barcodes, barcodes[0]], "article_ids": ["03505002"]})
    pages = await pages_of("stock", walk)
    assert [asked[0] for asked in script.asked] == ["POST"] * 3
    assert script.asked[1][3] == [{"barcode": code} for code in barcodes[100:]]
    assert script.asked[2][3] == [{"article_id": "03505002"}]
    assert [page.scope for page in pages] == [
        Scope(column="barcode", values=tuple(barcodes[:100]), guarded=False),
        Scope(column="barcode", values=tuple(barcodes[100:]), guarded=False),
        Scope(column="article_id", values=("03505002",), guarded=False),
    ]
    assert [len(page.records) for page in pages] == [1, 0, 0]
    assert not any(page.whole_walk for page in pages)


async def test_ten_thousand_barcodes_are_each_asked_for_once() -> None:
    barcodes = [f"{n:013d}" for n in range(10_000)]
    script = Script([{"stock": []}] * 100)
    pages = await pages_of("stock", walk_of(script, lookup={"barcodes": [*barcodes, *barcodes[:5_000]]}))
    asked = [entry["barcode"] for request in script.asked for entry in request[3]]
    assert (len(pages), asked) == (100, barcodes)
    assert [code for page in pages if page.scope for code in page.scope.values] == barcodes

"""Stock: all objects of the account, and objects in any store by barcode and article number."""

from collections.abc import AsyncIterator
from functools import partial

from syncd.contract import (
    ALIVE,
    BIGINT,
    BOOLEAN,
    DATE,
    TEXT,
    Answer,
    Cost,
    Index,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.early import in_order
from syncd.contract.errors import BadRequest, UpstreamError
from syncd.contract.options import MINUTE_S
from syncd.contract.second_ways import is_refusal, take
from syncd.records.readers import elements, envelope
from syncd.sources.cyclesoftware.api import SCHEMA, listing

STOCK_BATCHES = (100, 25, 5, 1)
"""Barcodes or article numbers per request; the vendor names no maximum, so a modest number of ours, and fewer where
that is refused."""


STOCK = Table(
    schema=SCHEMA,
    name="stock",
    key=("store_id", "object_id"),
    comment="Objects in stock, for the barcodes and article numbers that were asked for",
    needed=("barcode", "article_id"),
    columns=(
        column("store_id", TEXT, "The store as [account]-[store]; an object that moves becomes another row"),
        column("object_id", BIGINT, "Number of the object, unique within the account only"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays, e.g. 03505002"),
        column("brand_name", TEXT, "Brand, e.g. Gazelle"),
        column("is_demo", BOOLEAN, "True for a demonstration bike"),
    ),
)

STOCK_ITEMS = Table(
    schema=SCHEMA,
    name="stock_items",
    key=("account_id", "object_id"),
    comment="All stocked objects of the account, available or sold pro forma; needs the scope stock-export",
    deleted="is_deleted",
    columns=(
        column("account_id", BIGINT, "Account of the store: the first part of stores.store_id"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("object_id", BIGINT, "Number of the object, unique within the account only"),
        column("sales_order_id", BIGINT, "Sales order that holds the object; 0 if none does"),
        column("brand_name", TEXT, "Brand; the vendor's sample has supplier instead", optional=True),
        column("supplier", TEXT, "Supplier; sampled where brand_name is documented", optional=True),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("description", TEXT, "Description of the article"),
        column("frame_id", TEXT, "Frame number"),
        column("purchase_price_cents", BIGINT, "Purchase price in euro cents"),
        column("dealer_rrp_cents", BIGINT, "Recommended retail price in euro cents"),
        column("is_sold_to_customer", BOOLEAN, "True once sold to a customer"),
        column("is_demo", BOOLEAN, "True for a demonstration bike"),
        column("is_used", BOOLEAN, "True for a used object; the page's table and sample differ over it", optional=True),
        column("has_invoice", BOOLEAN, "True once invoiced"),
        column("is_deleted", BOOLEAN, "True if deleted upstream; the row then bears a tombstone"),
        column("is_rental", BOOLEAN, "True for a rental object"),
        column("is_new", BOOLEAN, "True for a new object; the page's table and sample differ over it", optional=True),
        column("stocked_at", DATE, "Day on which the object came into stock"),
        column("custom_variable_1", TEXT, "A variable of the article that the shop may use as it likes"),
    ),
    indexes=(
        Index(name="stock_items_in_stock", on=("stocked_at",), where=f"{ALIVE} AND is_sold_to_customer IS NOT TRUE"),
    ),
)


async def _ask_batch(walk: Walk, name: str, wanted: list[str]) -> tuple[tuple[str, ...], Answer]:
    """Ask for as many keys as the server takes in one request: for fewer, if it refuses so many."""
    most = min((size for size in STOCK_BATCHES if _fewer(size) in walk.ways), default=STOCK_BATCHES[0])
    refused: UpstreamError | None = None
    tried = 0
    for size in (size for size in STOCK_BATCHES if size <= most):
        batch = tuple(wanted[:size])
        if len(batch) == tried:
            continue
        tried = len(batch)
        try:
            asked = [{name: value} for value in batch]
            answer = await walk.upstream.request("POST", "/api/v1/stock-in-store-locator/stock.json", json=asked)
        except UpstreamError as error:
            if not is_refusal(error) or len(batch) == 1:
                raise refused or error from None
            refused = refused or error
            continue
        if refused:
            take(walk, _fewer(size))
        return batch, answer
    raise BadRequest("no number of keys is taken")


async def _ask_all(walk: Walk, name: str, wanted: list[str]) -> list[tuple[tuple[str, ...], Answer]]:
    """Ask for these keys: at once, or in as many requests as the server needs."""
    answers: list[tuple[tuple[str, ...], Answer]] = []
    while wanted:
        answers.append(await _ask_batch(walk, name, wanted))
        wanted = wanted[len(answers[-1][0]) :]
    return answers


def _fewer(size: int) -> str:
    return f"the server refuses {STOCK_BATCHES[0]} keys in one request; {size} are asked for"


async def _walk_stock(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the objects in stock by barcode and by article number; each answer is all there is of its batch."""
    if not any(walk.lookup.values()):
        yield Page(records=[], cursor=walk.cursor, requested_at=walk.now())
    for option, name in (("barcodes", "barcode"), ("article_ids", "article_id")):
        wanted = list(dict.fromkeys(str(value) for value in walk.lookup.get(option, ()) if value not in (None, "")))
        batches = [wanted[at : at + STOCK_BATCHES[0]] for at in range(0, len(wanted), STOCK_BATCHES[0])]
        async for _, answers in in_order(batches, partial(_ask_all, walk, name), walk.early):
            for batch, answer in answers:
                yield Page(
                    records=elements(envelope(answer).get("stock"), "stock"),
                    cursor={"as_of": answer.safe_at.isoformat()},
                    requested_at=answer.sent_at,
                    scope=Scope(column=name, values=batch, guarded=False),
                )


STOCK_STREAM = Stream(
    name="stock",
    table=STOCK,
    walk=_walk_stock,
    every_s=5 * MINUTE_S,
    lookup=("barcodes", "article_ids"),
    cost=Cost(at_once=100),
)

STOCK_ITEMS_STREAM = Stream(
    name="stock_items",
    table=STOCK_ITEMS,
    walk=listing(STOCK_ITEMS, "/api/v1/stock/pos-items.json", "data"),
    every_s=30 * MINUTE_S,
    cost=Cost(live=1.0),
)

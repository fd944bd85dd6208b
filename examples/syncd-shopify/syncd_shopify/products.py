"""Products with their variants. What was deleted is told by the feed of events."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from syncd.contract import (
    BIGINT,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Index,
    Page,
    Scope,
    Table,
    Walk,
    column,
)
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.records.readers import peek
from syncd_shopify.api import changed, instant, listed

VARIANTS: Final = Table(
    schema="shopify",
    name="product_variants",
    key=("product_id", "variant_id"),
    comment="Variants of products: what is sold",
    columns=(
        column("product_id", BIGINT, "The product"),
        column("variant_id", BIGINT, "Number of the variant", "id"),
        column("title", TEXT, "Title of the variant"),
        column("sku", TEXT, "Stock keeping unit, as the shop writes it"),
        column("barcode", TEXT, "Barcode, GTIN or ISBN"),
        column("price", NUMERIC, "Price in the currency of the shop; sent as a text, which is kept in _extra too"),
        column("inventory_quantity", BIGINT, "How many are in stock, over all locations"),
        column("position", BIGINT, "Place among the variants of the product, from 1"),
    ),
    indexes=(Index(name="product_variants_by_sku", on=("sku",), using="hash"),),
)
PRODUCTS: Final = Table(
    schema="shopify",
    name="products",
    key=("product_id",),
    comment="Products of the web shop",
    columns=(
        column("product_id", BIGINT, "Number of the product", "id"),
        column("title", TEXT, "Title"),
        column("vendor", TEXT, "Brand or vendor"),
        column("product_type", TEXT, "Category, as the shop writes it"),
        column("handle", TEXT, "The product's name in addresses"),
        column("status", TEXT, "active, archived or draft"),
        column("tags", TEXT, "Tags, separated by commas"),
        column("body_html", TEXT, "Description, as HTML"),
        column("created_at", TIMESTAMP, "When it was created"),
        column("updated_at", TIMESTAMP, "When it was last changed"),
        column("published_at", TIMESTAMP, "When it was published; null if it is not"),
    ),
    children=(Child(field="variants", table=VARIANTS),),
)


async def walk_products(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was changed; then bury what the feed tells was deleted, unless the listing itself proves that."""
    async for page, ends in changed(walk, "products"):
        if not ends or page.whole_walk:
            yield page
            continue
        yield replace(page, cursor=None)  # a run that ends here asks for the last page again
        async for burial in _destroyed(walk, page):
            yield burial


async def _destroyed(walk: Walk, last: Page) -> AsyncIterator[Page]:
    """Yield pages that say which products are gone: those of which the feed tells since the pass before."""
    cursor = walk.cursor or {}
    since = cursor_time(cursor["since"] if "since" in cursor else cursor["pass"]["began_at"])
    params = [("filter", "Product"), ("verb", "destroy"), ("created_at_min", instant(since - overlap_of(walk)))]
    async for piece in listed(walk, "events", params):
        told = [peek(record, "verb", "subject_id") for record in piece.records]
        gone = [number for verb, number in told if verb == "destroy" and isinstance(number, int)]
        yield Page(
            records=[],
            cursor=last.cursor if piece.following is None else None,
            requested_at=piece.answer.sent_at,
            scope=Scope(column="product_id", values=tuple(gone), guarded=False) if gone else None,
        )

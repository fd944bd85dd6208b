"""Products that the configuration names by id, EAN code or search term."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    JSON,
    NUMERIC,
    TEXT,
    Column,
    Kind,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    camel_column,
    column,
    snake,
)
from syncd.contract.early import Early, in_order
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.contract.options import HOUR_S
from syncd.contract.paging import Slice, walk_offsets
from syncd.sources.ghs.api import SCHEMA, ask, ask_page, bare_record, riders_of, slice_of

SEARCH_TAKE: Final = 25  # the vendor's default (FACTS, P); large pages of products are slow (vendor's page, Paging)
EAN_TAKE: Final = 100  # articles of one EAN code fit well into this
PRODUCT_ID_CHARS: Final = 9  # "Product id's should be 9 characters long" (vendor's page, Error messages)
UNKNOWN_PRODUCT: Final = ("cart-unknown-product", "invalid-productid", "not-found")
TOO_MANY: Final = "too-many-results-refine-the-search"
WITHOUT_ROUTES: Final = ("withoutRouteInfo", "true")  # saves about three seconds a product (vendor's page, History)


def _available(name: str, what: str) -> tuple[Column, Column]:
    """Make the two columns of a time that is a date by the vendor's metadata, and was read as a boolean before."""
    at = f"{snake(name)}_at"
    return (
        column(at, Kind.TIMESTAMP, f"From when {what}; null if unset (kept in _extra as sent)", name),
        column(snake(name), BOOLEAN, f"Whether {what}, where that is sent instead of a time; see {at}", name, after=at),
    )


PRODUCTS: Final = Table(
    schema=SCHEMA,
    name="products",
    key=("id",),
    comment="Products that the configuration names by id, EAN code or search term; prices are this account's",
    columns=(
        camel_column("id", TEXT, "GHS id of the product: nine characters, leading zeros count"),
        camel_column("articleDataId", TEXT, "Id of the article in the data pool; leading zeros count"),
        camel_column("alfaCode", TEXT, "Short code of the brand"),
        camel_column("articleNo", TEXT, "Article number of the brand, blanks as sent"),
        camel_column("name", TEXT, "Name"),
        camel_column("commercialName", TEXT, "Name for the trade"),
        camel_column("description", TEXT, "Description"),
        camel_column("shortDescription", TEXT, "Short description"),
        camel_column("longDescription", TEXT, "Long description; may hold HTML"),
        camel_column("brandName", TEXT, "Brand"),
        camel_column("brandId", TEXT, "Id of the brand; leading zeros count"),
        camel_column("productGroup", TEXT, "Product group, in words"),
        camel_column("productGroupId", TEXT, "Id of the product group; leading zeros count"),
        camel_column("boschProductGroupId", TEXT, "Id of the product group at Bosch"),
        camel_column("requiresLegitimation", BOOLEAN, "Whether the buyer must identify himself"),
        camel_column("isGaik", BOOLEAN, "Whether a GAIK form must come with an order"),
        camel_column("isNotRetourable", BOOLEAN, "Whether it cannot be returned"),
        camel_column("isFGas", BOOLEAN, "Whether it holds fluorinated gas, whose sale is restricted"),
        camel_column("canBackorder", BOOLEAN, "Whether it can be ordered while out of stock"),
        camel_column("nettoPrice", NUMERIC, "This account's price in euro"),
        camel_column("brutoPrice", NUMERIC, "List price in euro"),
        camel_column("isLeadSurcharge", BOOLEAN, "Whether a surcharge on lead is due (batteries)"),
        camel_column("leadSurcharge", NUMERIC, "Surcharge on lead, in euro"),
        camel_column("isDisposalFee", BOOLEAN, "Whether a disposal fee is due"),
        camel_column("disposalFee", NUMERIC, "Disposal fee, in euro"),
        camel_column("priceLabel", TEXT, "What the price is for, in words"),
        camel_column("unitsPerSale", NUMERIC, "Units in one sale"),
        camel_column("quantityLinkedWarehouse", NUMERIC, "Stock in the account's own warehouse, when it was asked for"),
        camel_column("quantityAllWarehouses", NUMERIC, "Stock in all warehouses, when it was asked for"),
        camel_column("depositFee", NUMERIC, "Deposit on the old part, in euro"),
        camel_column("environmentalTax", NUMERIC, "Environmental tax, in euro"),
        camel_column("removalFee", NUMERIC, "Removal fee, in euro"),
        camel_column("hasCharacteristic", BOOLEAN, "Whether there are characteristics to show"),
        camel_column("countryCode", TEXT, "Country code"),
        *_available("availableLinkedWarehouse", "the account's own warehouse can deliver it"),
        *_available("availableNextRoute", "the next delivery route can bring it"),
        camel_column(
            "routeExpiryDate", Kind.TIMESTAMP, "Until when the route holds; null if unset (kept in _extra as sent)"
        ),
        camel_column(
            "isNextRoute", BOOLEAN, "Whether it comes with the next route; not loaded by us (withoutRouteInfo)"
        ),
        camel_column("isVheckRoute", BOOLEAN, "Whether it comes by a Vheck route; not loaded by us (withoutRouteInfo)"),
        camel_column("isInPromotion", BOOLEAN, "Whether it is in a promotion"),
        camel_column("isNettoPriceProvided", BOOLEAN, "Whether netto_price was filled in"),
        camel_column(
            "isRouteInfoProvided", BOOLEAN, "Whether route fields were filled in; false, as we ask without them"
        ),
        camel_column("isKnownProduct", BOOLEAN, "Whether GHS carries it"),
        camel_column("relevance", NUMERIC, "Rank in the search that found it"),
        camel_column("brandLabel", TEXT, "Label of the brand"),
        camel_column("sortOrder", BIGINT, "Place in the list that it came in"),
        camel_column("origins", JSON, "Catalogues in which it was found, as sent"),
        camel_column("hasSetParts", BOOLEAN, "Whether it is a set of parts"),
        camel_column("isRentalProduct", BOOLEAN, "Whether it is for rent (tools)"),
        camel_column("isLeisureProduct", BOOLEAN, "Whether it is a leisure product"),
        camel_column("hasCompatibleCars", BOOLEAN, "Whether there is a list of cars that it fits"),
        camel_column("hbase", JSON, "Data of the HBase catalogue, as sent"),
        camel_column("heijl", JSON, "Data of the Heijl catalogue, as sent"),
        camel_column("tecDoc", JSON, "Data of the TecDoc catalogue, as sent"),
        camel_column("aldoc", JSON, "Data of the Aldoc catalogue, as sent: brandId, brandName, productId"),
        camel_column("autoElectra", JSON, "Data of the Auto Electra catalogue, as sent: brandIds, productId"),
    ),
)


async def _walk_products(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each product; keys that the upstream refuses are told of at the end, after all others were read.

    One is asked for after the other: a session's cookie may change with every answer, and an older one is refused then.
    Only an id that is unknown buries its row: EAN codes and search terms say nothing about what they do not find.
    A pass that goes on where a killed run stopped asks for what that one had asked for last: it may have changed since.
    """
    steps = sorted((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys))
    done = tuple(((walk.cursor or {}).get("pass") or {}).get("after") or ())
    refused: list[BadRequest] = []
    in_turn = sorted(steps, key=lambda step: step <= done)
    async for step, found in in_order(in_turn, partial(_product_page, walk), Early()):
        if isinstance(found, BadRequest):
            refused.append(found)
        page = Page(records=[], cursor=None, requested_at=walk.now()) if isinstance(found, BadRequest) else found
        yield replace(page, cursor={"pass": {"after": list(step)}}, total=len(steps))
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        told = f"{len(refused)} of {len(steps)} product keys were refused, the first: {refused[0]}"
        raise BadRequest(told, hint=refused[0].hint, status=refused[0].status)


async def _product_page(walk: Walk, step: tuple[str, str]) -> Page | BadRequest:
    """Ask for the products of one key; return their page, or why the upstream refused the key."""
    name, key = step
    try:
        if name == "ids":
            return await _by_id(walk, key)
        what, take = (("eanCodes", key), EAN_TAKE) if name == "ean_codes" else (("searchTerm", key), SEARCH_TAKE)
        return await _search(walk, what, take)
    except BadRequest as error:
        return error


async def _by_id(walk: Walk, key: str) -> Page:
    """Ask for one product; an unknown one buries its row, an id of the wrong length is a mistake of ours."""
    requested_at = walk.now()
    try:
        answer, fields = await ask(walk, f"/api/products/{quote(key, safe='')}", WITHOUT_ROUTES)
    except (NotFound, BadRequest) as error:
        if isinstance(error, BadRequest) and len(key) != PRODUCT_ID_CHARS:
            hint = f"A product id has {PRODUCT_ID_CHARS} characters; correct {key!r} in the configuration."
            raise BadRequest(str(error), hint=hint, status=error.status) from None
        if isinstance(error, BadRequest) and not any(code in str(error) for code in UNKNOWN_PRODUCT):
            raise
        gone = Scope(column="id", values=(key,), guarded=False)
        return Page(records=[], cursor=None, requested_at=requested_at, scope=gone)
    record = fields["product"] if "product" in fields else bare_record(fields)
    if record[:1] != b"{":
        raise BadPayload("expected an object in `product`")
    return Page(records=[record], cursor=None, requested_at=answer.sent_at, riders=riders_of(fields))


async def _search(walk: Walk, what: tuple[str, str], take: int) -> Page:
    """Walk one search, of at most 200 products, into one page."""
    records: list[bytes] = []
    riders: Mapping[str, Sequence[bytes]] = {}
    position, requested_at = 0, walk.now()

    async def fetch(offset: int) -> Slice:
        nonlocal riders
        answer, fields, took = await ask_page(
            walk, "/api/products", what, WITHOUT_ROUTES, skip=offset, wanted=take, filled="products"
        )
        riders = riders_of(fields)
        return slice_of(answer, fields, ("products", "id"), offset, position, took)

    try:
        async for piece, after in walk_offsets(fetch, walk=walk):
            records.extend(piece.records)
            position = after.offset if after else position
    except BadRequest as error:
        hint = f"More than 200 products: refine the search term {what[1]!r}." if TOO_MANY in str(error) else error.hint
        raise BadRequest(str(error), hint=hint, status=error.status) from None
    return Page(records=records, cursor=None, requested_at=requested_at, riders=riders)


PRODUCTS_STREAM: Final = Stream(
    name="products",
    table=PRODUCTS,
    walk=_walk_products,
    every_s=HOUR_S,
    lookup=("ids", "ean_codes", "search_terms"),
)

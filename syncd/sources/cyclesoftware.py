"""CycleSoftware: customers, stores, stock, platform keys, leads and sales orders of one bike dealer's account.

Owns every fact about this API; `docs/sources/cyclesoftware.md` says which page each rests on. Only ever reads.
"""

import base64
import html
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from syncd.config import OptionSpec
from syncd.contract import (
    ALIVE,
    Answer,
    Auth,
    Child,
    Column,
    Cursor,
    Index,
    Kind,
    Page,
    Scope,
    Send,
    Source,
    Stream,
    Table,
    Walk,
    month_of,
)
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.errors import BadPayload, ConfigError, NotFound, UsageError
from syncd.records.parser import Parser, column, elements, envelope, scalar
from syncd.records.values import earliest_reading, latest_reading

SCHEMA = "cyclesoftware"
STOCK_BATCH = 100
"""Barcodes or article numbers per request; the vendor names no maximum, so a modest number of ours."""
WINDOW = timedelta(days=27)
"""Of sales orders per question: at most 31 days are allowed, and whole days in any zone add up to four."""
HISTORY = timedelta(days=730)
"""How far back the first walk of sales orders goes unless `from` says otherwise: two years, our choice."""

TEXT, BIGINT, NUMERIC, BOOLEAN = Kind.TEXT, Kind.BIGINT, Kind.NUMERIC, Kind.BOOLEAN
DATE, TIMESTAMP, UUID, JSON, SHA256 = Kind.DATE, Kind.TIMESTAMP, Kind.UUID, Kind.JSON, Kind.SHA256
PHONE_NUMBERS = Table(
    schema=SCHEMA,
    name="customer_phone_numbers",
    key=("customer_id", "phone_number_id"),
    comment="Phone numbers of customers; lives and dies with its customer",
    personal=("phone_number", "name"),
    columns=(
        column("customer_id", BIGINT, "The customer whose list held it, whatever the number itself says"),
        column("phone_number_id", TEXT, "tel (landline), mob (mobile), or the number of an extra one, such as 714253"),
        column("phone_number", TEXT, "As typed by the shop, in any form; empty if the slot is unused"),
        column("name", TEXT, "Whose number it is, e.g. the customer's name or Extra 1"),
    ),
)

CUSTOMERS = Table(
    schema=SCHEMA,
    name="customers",
    key=("customer_id",),
    comment="Customers of the account; carries no time of change, deletions are found by sweeps",
    person=True,
    personal=(
        "customer_id",
        "customer_reference",
        "postcode",
        "house_number",
        "house_number_postfix",
        "company_name",
        "attn",
        "title",
        "initials",
        "insertion",
        "first_name",
        "name",
        "street",
        "city",
        "email",
        "vat_number",
        "coc_number",
    ),
    columns=(
        column("customer_id", BIGINT, "Number of the customer, e.g. 1006"),
        column("customer_type_name", TEXT, "Kind of customer, an open set: Klant, Zakelijk, E-commerce, …"),
        column("customer_reference", TEXT, "The shop's own reference for the customer"),
        column("postcode", TEXT, "Postcode, e.g. 5388GM"),
        column("house_number", TEXT, "House number without its postfix"),
        column("house_number_postfix", TEXT, "What follows the house number, e.g. c"),
        column("company_name", TEXT, "Company; said to be empty for businesses, yet samples fill it"),
        column("attn", TEXT, "For the attention of"),
        column("title", TEXT, "Form of address as stored, trailing blanks kept, e.g. 'Dhr./Mevr. '"),
        column("initials", TEXT, "Initials"),
        column("insertion", TEXT, "Name particle, e.g. van"),
        column("first_name", TEXT, "First name"),
        column("name", TEXT, "Last name"),
        column("street", TEXT, "Street without house number"),
        column("city", TEXT, "City"),
        column("country_code_iso_3166", TEXT, "Country by ISO 3166, as sent: sr was seen"),
        column("email", TEXT, "E-mail address"),
        column("vat_number", TEXT, "VAT number, e.g. NL855630693B01"),
        column("coc_number", TEXT, "Number at the chamber of commerce; digits, kept as text"),
        column("discount_percentage", NUMERIC, "Standing discount in percent"),
        column("datetime_created", TIMESTAMP, "When it was created, if known; sent in local time", optional=True),
    ),
    children=(Child(field="phone_numbers", table=PHONE_NUMBERS),),
    indexes=(Index(name="customers_by_created", on=("datetime_created",), where=None, using="brin"),),
)


def _store_columns(*under: str, city: bool = False) -> tuple[Column, ...]:
    """Return the columns of a store, which stands in the record itself or in its object `under`."""

    def of(name: str, comment: str, *, kind: Kind = TEXT) -> Column:
        return column(name, kind, comment, *under, name)

    place = (*under, "store_coordinates")
    return (
        of("store_id", "The store as [account]-[store], e.g. 5185-1"),
        of("store_gln", "Global Location Number; empty or shared by several stores at times"),
        of("store_name", "Name of the store"),
        of("store_address", "Street and house number"),
        of("store_postal_code", "Postcode, e.g. 5249JJ"),
        *((of("store_city", "City"),) if city else ()),
        of("store_phone_number", "Phone number in any form, or empty"),
        of("store_country_code", "Country, e.g. NL"),
        of("store_email", "E-mail address"),
        column("store_latitude", NUMERIC, "Latitude in degrees; 0 with longitude 0 where it is not known", *place, 0),
        column("store_longitude", NUMERIC, "Longitude in degrees; 0 with latitude 0 where it is not known", *place, 1),
    )


STORES = Table(
    schema=SCHEMA,
    name="stores",
    key=("store_id",),
    comment="Stores whose stock the account may see, those of other accounts among them",
    columns=_store_columns(),
)

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

_DEALER_NUMBER = ("store", "store_meta_data", "drg_dealer_number")

PLATFORM_KEYS = Table(
    schema=SCHEMA,
    name="platform_keys",
    key=("key_sha256",),
    comment="Stores that gave the platform a key to their data; needs the scope platform",
    columns=(
        column("key_sha256", SHA256, "SHA-256 in hexadecimal of the store's key, which is never stored", "key"),
        column("is_active", BOOLEAN, "Whether the key is enabled"),
        *_store_columns("store", city=True),
        column("store_meta_data_drg_dealer_number", TEXT, "Dealer number at Dynamo Retail Group", *_DEALER_NUMBER),
    ),
)

_WISHES = {
    "test_ride_requested": "Whether the customer asks for a test ride",
    "phone_call_requested": "Whether the customer asks to be called",
    "finance_information_requested": "Whether the customer asks about financing",
    "insurance_information_requested": "Whether the customer asks about insurance",
}
_EXCHANGE = {
    "exchange_description": "Description of the object offered in exchange",
    "exchange_remarks": "Remarks about the object offered in exchange",
}
_ADDRESS = ("customer", "customer_address_id")
_LEAD_CUSTOMER = {
    "company_name": "Company of the customer, or empty",
    "name": "Name of the customer",
    "street": "Street",
    "house_number": "House number",
    "house_number_postfix": "What follows the house number",
    "postal_code": "Postcode",
    "city": "City",
    "country_code": "Country by ISO 3166, e.g. NL",
    "phone_number": "Phone number in any form",
    "email": "E-mail address",
    "notes": "Remarks about the customer's address",
}
_ADDRESS_COLUMNS = ("customer_address_id", "customer_id", *(f"customer_{name}" for name in _LEAD_CUSTOMER))

LEADS = Table(
    schema=SCHEMA,
    name="leads",
    key=("uuid",),
    comment="Sales leads, asked for one by one by their UUID",
    person=True,
    personal=(
        "title",
        "message",
        "object_description",
        "exchange_object_exchange_description",
        "exchange_object_exchange_remarks",
        *_ADDRESS_COLUMNS,
    ),
    refers={"customer_id": "customers"},
    columns=(
        column("uuid", UUID, "Identifies the lead"),
        column("store_id", TEXT, "The store, promised as [account]-[store], but sampled as 43831 too"),
        column("type", TEXT, "information, sales_offer, test_ride, contact_request, exchange, complaint or other"),
        column("status", TEXT, "open, noticed, accepted, declined, succeeded, failed or cancelled"),
        column("title", TEXT, "Short description"),
        column("message", TEXT, "Message to the dealer"),
        column("costs_ex_vat_cents", BIGINT, "What acceptance costs the dealer, in euro cents without VAT"),
        *(column(f"options_{name}", BOOLEAN, text, "options", name) for name, text in _WISHES.items()),
        column("object_description", TEXT, "Description of the object asked about", "object", "description"),
        column("object_id", BIGINT, "The object in the dealer's stock, as in table stock", "object", "object_id"),
        column("object_article_number", TEXT, "Article number of the object", "object", "article_number"),
        column("object_barcode", TEXT, "EAN of the object", "object", "barcode"),
        *(column(f"exchange_object_{name}", TEXT, text, "exchange_object", name) for name, text in _EXCHANGE.items()),
        column("customer_address_id", BIGINT, "Number of the address", *_ADDRESS, optional=True),
        column("customer_address_type", TEXT, "lead or delivery_address in the samples", "customer", "address_type"),
        column("customer_id", BIGINT, "The customer, if the address is linked to one", "customer", "customer_id"),
        column("customer_is_business_address", BOOLEAN, "True for a company", "customer", "is_business_address"),
        *(column(f"customer_{name}", TEXT, text, "customer", name) for name, text in _LEAD_CUSTOMER.items()),
        column("created_at", TIMESTAMP, "When the lead was created; sent with its offset", optional=True),
        column("modified_at", TIMESTAMP, "When the lead was last modified; sent with its offset", optional=True),
    ),
)


def _order(name: str, kind: Kind, comment: str) -> Column:
    # every field is optional: the team's pages name none of them
    return column(name, kind, comment, optional=True)


SALES_ORDERS = Table(
    schema=SCHEMA,
    name="sales_orders",
    key=("sales_order_id",),
    comment="Sales orders; a deleted one stays, with a cancelled status. Needs the scope sales-export",
    personal=("customer_id", "order_reference_text", "cancellation_description", "order_items"),
    refers={"customer_id": "customers"},
    columns=(
        column("sales_order_id", BIGINT, "Number of the sales order, e.g. 50032"),
        _order("account_id", BIGINT, "Account of the store"),
        _order("store_id", BIGINT, "Store within the account"),
        _order("customer_id", BIGINT, "The customer, as in table customers"),
        _order("order_type_id", BIGINT, "Kind of order, by the vendor's list"),
        _order("order_type_text", TEXT, "Kind of order in words, e.g. Reparatie"),
        _order("order_reference_id", TEXT, "Reference of the order"),
        _order("order_reference_text", TEXT, "Reference of the order in words"),
        _order("datetime_created", TIMESTAMP, "When the order was created; sent in local time"),
        _order("datetime_modified", TIMESTAMP, "When the order was last modified; sent in local time"),
        _order("datetime_preferred_delivery", DATE, "Day on which the customer would like to have it"),
        _order("sales_employee_id", BIGINT, "Who sold it"),
        _order("last_update_employee_id", BIGINT, "Who changed it last"),
        _order("status_id", BIGINT, "Status, by the vendor's list; a deleted order has the one for cancelled"),
        _order("status_text", TEXT, "Status in words, e.g. Afgerond"),
        _order("cancellation_type_id", BIGINT, "Why it was cancelled, by the vendor's list; 0 if it was not"),
        _order("cancellation_description", TEXT, "Why it was cancelled, in words"),
        _order("has_invoice", BOOLEAN, "True once invoiced"),
        _order("invoice_number", BIGINT, "Number of the invoice; 0 or null if there is none"),
        _order("delivery_method_id", BIGINT, "How it is delivered, by the vendor's list"),
        _order("delivery_method_description", TEXT, "How it is delivered, in words"),
        _order(
            "order_items", JSON, "The order's items as sent, where the API gives one record per item (by order_item_id)"
        ),
    ),
    indexes=(Index(name="sales_orders_by_month", on=(month_of("datetime_created"),)),),
)
_ORDER_FIELDS = frozenset(each.name for each in SALES_ORDERS.columns) - {"order_items"}

_KEYS = {
    table.name: Parser(table, ZoneInfo("UTC"))
    for table in (CUSTOMERS, STORES, STOCK_ITEMS, PLATFORM_KEYS, LEADS, SALES_ORDERS)
}
"""Parsers that are asked for keys only, which no zone changes."""


# --- Answers ----------------------------------------------------------------------------------------------------------


def fault_of(answer: Answer) -> str | None:
    """Read the vendor's error text: JSON error_message (nested too), XML error_message, or a SOAP faultstring."""
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    start = body[:200].lstrip()[:1]
    if start == b"<":
        return _xml_fault(body[:20_000].decode("utf-8", "replace"))
    return _json_fault(body, depth=2) if start == b"{" else None


def _json_fault(body: bytes, depth: int) -> str | None:
    try:
        fields = envelope(body)
    except BadPayload:
        return None
    if _is_set(scalar(fields.get("error"))):
        texts = [scalar(fields.get(name)) for name in ("error_message", "message", "error")]
        return _cut(next((text for text in texts if isinstance(text, str) and text), "an error without a message"))
    inner = [fields[name] for name in ("error", "data", "result") if fields.get(name, b"")[:1] == b"{"] if depth else []
    return next((fault for raw in inner if (fault := _json_fault(raw, depth - 1))), None)


def _is_set(error: Any) -> bool:
    """Say whether a member `error` tells of one: true, 1, "1", "true", a code; not false, 0, null or "0"."""
    return bool(error) and not (isinstance(error, str) and error.strip().lower() in {"", "0", "false", "no", "null"})


def _xml_fault(text: str) -> str | None:
    if re.search(r"<error>\s*(1|true)\s*</error>", text, re.IGNORECASE):
        found = re.search(r"<error_message>(.*?)</error_message>", text, re.DOTALL | re.IGNORECASE)
    else:
        found = re.search(r"<faultstring[^>]*>(.*?)</faultstring>", text, re.DOTALL | re.IGNORECASE)
        if not found:
            return None
    inner = re.sub(r"<!\[CDATA\[|\]\]>", "", found[1]) if found else ""
    return _cut(html.unescape(inner)) or "an error without a message"


def _cut(text: str) -> str:
    """Return a text of the upstream as one line for the log."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]


def _slice(answer: Answer, rows_at: str, stream: str, *, paged: bool) -> Slice:
    """Read one response of a list; `paged` says whether the vendor documents paging for it."""
    fields = envelope(answer.body)
    records = elements(fields.get(rows_at), rows_at)
    found = _KEYS[stream].keys(records)
    if stream == "sales_orders":
        found = [(*key, _item_of(record)) if key else None for key, record in zip(found, records, strict=True)]
    keys: list[Hashable | None] = [*found]
    raw = fields.get("pagination")
    if not paged and raw in (None, b"null"):
        return Slice(records=records, keys=keys, next_offset=None, answer=answer)
    if raw is None or raw[:1] != b"{":
        raise BadPayload(f"expected an object `pagination` beside `{rows_at}`, got {_shown(raw)}")
    pagination = envelope(raw)
    return Slice(
        records=records,
        keys=keys,
        next_offset=_next_offset(pagination.get("next_offset")),
        answer=answer,
        doubt=_count_doubt(pagination.get("count"), rows_at, len(records)),
    )


def _next_offset(raw: bytes | None) -> int | None:
    """Read `pagination.next_offset`: null is the end; its absence says nothing, so it is an error."""
    if raw == b"null":
        return None
    number = _whole(raw)
    if number is None:
        raise BadPayload(f"expected a number or null in `pagination.next_offset`, got {_shown(raw)}")
    return number


def _count_doubt(raw: bytes | None, rows_at: str, received: int) -> str | None:
    """Compare `pagination.count` with the rows received; raises BadPayload if rows are missing."""
    if raw in (None, b"null"):
        return None
    count = _whole(raw)
    if count is None:
        return f"`pagination.count` is no number but {_shown(raw)}"
    if count > received:
        raise BadPayload(f"rows are missing: `pagination.count` says {count}, but `{rows_at}` holds {received}")
    return f"`pagination.count` says {count}, but `{rows_at}` holds {received}" if count < received else None


def _whole(raw: bytes | None) -> int | None:
    """Read a number of 0 or more, sent as a number or as a text of digits."""
    value = scalar(raw)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _shown(raw: bytes | None) -> str:
    return "nothing" if raw is None else raw[:40].decode("utf-8", "replace")


# --- Walks ------------------------------------------------------------------------------------------------------------


def _fetch(
    walk: Walk, path: str, rows_at: str, stream: str, params: Sequence[tuple[str, str]] = (), *, paged: bool = True
) -> Callable[[int], Awaitable[Slice]]:
    """Return what asks for one slice of a list."""

    async def fetch(offset: int) -> Slice:
        place = [("offset", str(offset))] if offset else []
        answer = await walk.upstream.request("GET", path, params=[*params, *place])
        return _slice(answer, rows_at, stream, paged=paged)

    return fetch


def _listing(stream: str, path: str, rows_at: str) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a list that comes whole, in one response as far as the vendor documents it."""

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        as_of: datetime | None = None
        doubt: str | None = None
        async for piece, resume in walk_offsets(_fetch(walk, path, rows_at, stream, paged=False)):
            as_of, doubt = as_of or piece.answer.safe_at, doubt or piece.doubt
            yield Page(
                records=piece.records,
                cursor=None if resume else {"as_of": as_of.isoformat()},
                requested_at=piece.answer.sent_at,
                scope=None if resume else Scope(),
                whole_walk=resume is None,
                doubt=doubt,
            )

    return pages


async def _walk_customers(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was modified since the cursor, or everything.

    A live pass that goes on where a killed run stopped is followed by a fresh one: what changed meanwhile may lie
    before the place to go on from.
    """
    cursor = walk.cursor or {}
    if walk.kind == "backfill":
        keep: Cursor = {"since": walk.since.isoformat() if walk.since else None}
        going = cursor.get("pass") if cursor.get("since") == keep["since"] else None
        asked = _modified_since(walk, walk.since)
        async for page in _customer_pass(walk, going, asked, keep=keep, finish=lambda _started: keep):
            yield page
        return
    if walk.kind == "sweep":
        keep = {name: value for name, value in cursor.items() if name != "pass"}
        async for page in _customer_pass(
            walk,
            cursor.get("pass"),
            None,
            keep=keep,
            finish=lambda started: {"swept_at": started.isoformat()},
            full=True,
        ):
            yield page
        return
    going = {"offset": 0}
    while going:
        going = cursor.get("pass")
        since = _instant(cursor["since"]) if "since" in cursor else None
        asked = _modified_since(walk, since - _overlap(walk) if since else None)
        keep = {"since": since.isoformat()} if since else {}
        async for page in _customer_pass(
            walk, going, asked, keep=keep, finish=_since_not_before(since), full=not since and not going
        ):
            cursor = page.cursor or cursor
            yield page


def _since_not_before(since: datetime | None) -> Callable[[datetime], Cursor]:
    return lambda started: {"since": (max(started, since) if since else started).isoformat()}


async def _customer_pass(
    walk: Walk,
    going: Cursor | None,
    asked: str | None,
    *,
    keep: Cursor,
    finish: Callable[[datetime], Cursor],
    full: bool = False,
) -> AsyncIterator[Page]:
    """Give the pages of one pass, which goes on with the question it began with.

    Every cursor holds `keep` and the pass so far; the last one is `finish` of the instant at which the pass began.
    """
    asked = going["asked_since"] if going else asked
    started = _instant(going["started_at"]) if going else None
    doubt: str | None = going.get("doubt") if going else None
    params = [("modified_since", asked)] if asked else []
    fetch = _fetch(walk, "/api/v1/customers/list.json", "customers", "customers", params)
    async for piece, resume in walk_offsets(fetch, resume=Resume.from_json(going)):
        started, doubt = started or piece.answer.safe_at, doubt or piece.doubt
        so_far = {"started_at": started.isoformat(), "asked_since": asked, "doubt": doubt}
        ends_listing = full and resume is None
        yield Page(
            records=piece.records,
            cursor={**keep, "pass": {**so_far, **resume.to_json()}} if resume else finish(started),
            requested_at=piece.answer.sent_at,
            keys=[key if isinstance(key, tuple) else None for key in piece.keys],
            scope=Scope() if ends_listing else None,
            whole_walk=ends_listing,
            doubt=doubt,
        )


async def _confirm_customer(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one customer as sent, asked for by its number."""
    answer = await walk.upstream.request("GET", f"/api/v1/customers/{int(key[0])}.json")
    envelope(answer.body)
    if (found := _KEYS["customers"].key(answer.body)) != key:
        raise BadPayload(f"asked for customer {key[0]}, got {found[0] if found else 'a record without customer_id'}")
    return answer.body


async def _walk_stock(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the objects in stock by barcode and by article number; each answer is all there is of its batch."""
    if not any(walk.lookup.values()):
        yield Page(records=[], cursor=walk.cursor, requested_at=walk.now())
    for option, name in (("barcodes", "barcode"), ("article_ids", "article_id")):
        wanted = list(dict.fromkeys(str(value) for value in walk.lookup.get(option, ()) if value not in (None, "")))
        for place in range(0, len(wanted), STOCK_BATCH):
            batch = tuple(wanted[place : place + STOCK_BATCH])
            answer = await walk.upstream.request(
                "POST", "/api/v1/stock-in-store-locator/stock.json", json=[{name: value} for value in batch]
            )
            yield Page(
                records=elements(envelope(answer.body).get("stock"), "stock"),
                cursor={"as_of": answer.safe_at.isoformat()},
                requested_at=answer.sent_at,
                scope=Scope(column=name, values=batch, guarded=False),
            )


async def _walk_leads(walk: Walk) -> AsyncIterator[Page]:
    """Ask for leads one by one; a lead that is not found is gone."""
    wanted = list(dict.fromkeys(_uuid(value) for value in walk.lookup.get("uuids", ())))
    if not wanted:
        yield Page(records=[], cursor=walk.cursor, requested_at=walk.now())
    for lead in wanted:
        asked_at = walk.now()
        scope = Scope(column="uuid", values=(lead,), guarded=False)
        try:
            answer = await walk.upstream.request("GET", f"/api/v1/leads/{quote(str(lead), safe='')}.json")
        except NotFound:
            yield Page(records=[], cursor={"as_of": asked_at.isoformat()}, requested_at=asked_at, scope=scope)
            continue
        record = envelope(answer.body).get("sales_lead")
        if record is None or record[:1] != b"{":
            raise BadPayload(
                f"expected an object in `sales_lead`, got {'nothing' if record is None else 'another type'}"
            )
        same = _KEYS["leads"].key(record) == (lead,)
        yield Page(
            records=[record],
            cursor={"as_of": answer.safe_at.isoformat()},
            requested_at=answer.sent_at,
            scope=scope if same else None,
            doubt=None if same else "a lead came back with another uuid than it was asked for by",
        )


def _uuid(value: Any) -> uuid.UUID:
    try:
        return uuid.UUID(str(value).strip())
    except ValueError:
        raise ConfigError(
            f"leads: expected a UUID such as 0c6b40a4-a217-11e8-92bb-005056a46320 in uuids, found {str(value)[:60]!r}"
        ) from None


# --- Sales orders -----------------------------------------------------------------------------------------------------


async def _walk_sales_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the orders modified since the cursor, window by window; the last window reaches beyond now.

    Like that of customers, a live walk that went on in the middle of its last window asks once more.
    """
    live = walk.kind == "live"
    keep: Cursor = {}
    if walk.kind == "backfill":
        keep = {"since": walk.since and walk.since.isoformat(), "until": walk.until and walk.until.isoformat()}
    cursor = walk.cursor or {}
    if any(cursor.get(name) != value for name, value in keep.items()):
        cursor = {}
    mark = "since" if live else "reached"
    begin = _instant(cursor[mark]) - _overlap(walk) if mark in cursor else _first_day(walk)
    while True:
        going = cursor.get("pass")
        limit = min(walk.until or walk.now(), walk.now())
        window = going or _window(min(begin, limit), limit, _zone(walk))
        async for page in _sales_pass(walk, window, cursor, mark=mark, keep=keep):
            cursor = page.cursor or cursor
            yield page
        if window["open"] and not (live and going):
            return
        begin = (_instant(cursor[mark]) if window["open"] else _instant(window["end"])) - _overlap(walk)


def _first_day(walk: Walk) -> datetime:
    """Return where a walk without a cursor begins: at `since` of a backfill, at the option `from`, or two years ago."""
    wanted = walk.stream_options.get("from")
    if walk.since or not wanted:
        return walk.since or walk.now() - HISTORY
    try:
        moment = datetime.fromisoformat(str(wanted))
    except ValueError:
        raise ConfigError(f'sales_orders: expected a date such as "2024-01-01" in from, found {wanted!r}') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=_zone(walk))


def _window(begin: datetime, limit: datetime, zone: ZoneInfo) -> Cursor:
    """Return the question of one window, in whole days that hold it in any zone; open if it is the last.

    The vendor documents dates, not times, and does not say whether the last day counts: it is a day too late.
    """
    is_open = limit - begin <= WINDOW
    end = limit if is_open else begin + WINDOW
    last = latest_reading(end, zone).date() + timedelta(days=2 if is_open else 1)
    return {
        "end": end.isoformat(),
        "open": is_open,
        "modified_start": earliest_reading(begin, zone).date().isoformat(),
        "modified_end": last.isoformat(),
    }


async def _sales_pass(walk: Walk, window: Cursor, cursor: Cursor, *, mark: str, keep: Cursor) -> AsyncIterator[Page]:
    """Give the pages of one window.

    Where orders come as one record per item, the items of an order may lie on several pages: they are gathered, and
    given as whole orders on the last page; until then there is no place to resume in the window.
    """
    question = {name: window[name] for name in ("end", "open", "modified_start", "modified_end")}
    params = [(name, str(question[name])) for name in ("modified_start", "modified_end")]
    before = {mark: cursor[mark]} if mark in cursor else {}
    started = _instant(window["started_at"]) if "started_at" in window else None
    items: dict[Any, dict[str, bytes]] = {}
    fetch = _fetch(walk, "/api/v2/salesdata/orders.json", "data", "sales_orders", [*params, ("include_deleted", "1")])
    async for piece, resume in walk_offsets(fetch, resume=Resume.from_json(window if "offset" in window else None)):
        started = started or piece.answer.safe_at
        records = [record for record in piece.records if not _gather(record, items)]
        reached = max(
            [started if window["open"] else min(started, _instant(window["end"]))]
            + [_instant(at) for at in before.values()]
        )
        page_cursor: Cursor | None = {**keep, mark: reached.isoformat()}
        if resume:
            so_far = {**question, "started_at": started.isoformat(), **resume.to_json()}
            page_cursor = None if items else {**keep, **before, "pass": so_far}
        else:
            records += [_whole_order(parts) for parts in items.values()]
            if window["open"] and walk.kind != "live":
                page_cursor = keep or {"swept_at": started.isoformat()}
        yield Page(records=records, cursor=page_cursor, requested_at=piece.answer.sent_at)


def _gather(record: bytes, items: dict[Any, dict[str, bytes]]) -> bool:
    """Put a record that is one item of an order with its order; False if the record is a whole order."""
    item, key = _item_of(record), _KEYS["sales_orders"].key(record)
    if not item or key is None:
        return False
    items.setdefault(key, {})[item] = record
    return True


def _item_of(record: bytes) -> str:
    """Return order_item_id as sent; empty where the record is a whole order."""
    if b'"order_item_id"' not in record or record[:1] != b"{":
        return ""
    return envelope(record).get("order_item_id", b"").decode("utf-8", "replace")


def _whole_order(items: Mapping[str, bytes]) -> bytes:
    """Make one record of an order: its own fields as in the last item, and all items as sent."""
    ordered = [items[item] for item in sorted(items, key=lambda item: (len(item), item))]
    fields = {name: msgspec.Raw(raw) for name, raw in envelope(ordered[-1]).items() if name in _ORDER_FIELDS}
    return msgspec.json.encode({**fields, "order_items": [msgspec.Raw(item) for item in ordered]})


# --- Times ------------------------------------------------------------------------------------------------------------


def _zone(walk: Walk) -> ZoneInfo:
    return ZoneInfo(str(walk.options["zone"]))


def _overlap(walk: Walk) -> timedelta:
    return timedelta(seconds=float(walk.options["overlap"]))


def _modified_since(walk: Walk, moment: datetime | None) -> str | None:
    """Write an instant for `modified_since`: right or too early, whether the vendor reads local time or UTC."""
    return earliest_reading(moment, _zone(walk)).isoformat(" ", "seconds") if moment else None


def _instant(value: Any) -> datetime:
    """Read a time of a cursor, which somebody may have set by hand."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the cursor holds {str(value)[:60]!r} where a time is expected",
            hint="set it anew, or reset it: syncd cursor",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# --- The source -------------------------------------------------------------------------------------------------------


class _BasicAuth(Auth):
    """HTTP Basic: every request bears the same header, and there is nothing to renew."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        username = str(options["username"])
        if ":" in username:
            raise ConfigError("username: HTTP Basic authentication allows no colon in a user name")
        self._header = base64.b64encode(f"{username}:{options['password'].reveal()}".encode()).decode()

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Basic {self._header}"}

    def due(self, now: datetime) -> bool:
        return False

    async def login(self, send: Send, now: datetime) -> None:
        return

    def refused(self) -> bool:
        return False

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        return


MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0

SOURCE = Source(
    type="cyclesoftware",
    schema_comment="Mirror of CycleSoftware, the shop system of bike dealers",
    base_url="https://api.cyclesoftware.nl",
    zone="Europe/Amsterdam",
    auth=_BasicAuth,
    fault_of=fault_of,
    options={
        "username": OptionSpec(kind="str", comment="user name of the API account"),
        "password": OptionSpec(kind="secret", comment="its password"),
        "zone": OptionSpec(kind="zone", default="Europe/Amsterdam", comment="zone of times that are sent without one"),
        "overlap": OptionSpec(
            kind="duration",
            default=10 * MINUTE_S,
            minimum=MINUTE_S,
            maximum=7 * DAY_S,
            comment="how far before its cursor a live run asks again, for changes that are committed late",
        ),
    },
    streams=(
        Stream(
            name="stores",
            table=STORES,
            walk=_listing("stores", "/api/v1/stock-in-store-locator/stores.json", "stores"),
            every_s=HOUR_S,
        ),
        Stream(
            name="customers",
            table=CUSTOMERS,
            walk=_walk_customers,
            every_s=5 * MINUTE_S,
            sweep_s=7 * DAY_S,
            backfills=True,
            confirm=_confirm_customer,
        ),
        Stream(
            name="stock_items",
            table=STOCK_ITEMS,
            walk=_listing("stock_items", "/api/v1/stock/pos-items.json", "data"),
            every_s=30 * MINUTE_S,
        ),
        Stream(
            name="stock",
            table=STOCK,
            walk=_walk_stock,
            every_s=5 * MINUTE_S,
            lookup=("barcodes", "article_ids"),
        ),
        Stream(
            name="platform_keys",
            table=PLATFORM_KEYS,
            walk=_listing("platform_keys", "/api/v1/platform/authentication/keys.json", "keys"),
            every_s=6 * HOUR_S,
        ),
        Stream(name="leads", table=LEADS, walk=_walk_leads, every_s=15 * MINUTE_S, lookup=("uuids",)),
        Stream(
            name="sales_orders",
            table=SALES_ORDERS,
            walk=_walk_sales_orders,
            every_s=10 * MINUTE_S,
            backfills=True,
            options={
                "from": OptionSpec(
                    kind="str", default=None, comment="day from which the first run starts; default: two years back"
                )
            },
        ),
    ),
)

"""Sales transactions: invoices, credits and pro-forma invoices, with their lines, walked by day of change."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from syncd.contract import (
    ALIVE,
    BIGINT,
    BOOLEAN,
    DATE,
    JSON,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Column,
    Cost,
    Cursor,
    Index,
    Kind,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    Windows,
    column,
    month_of,
)
from syncd.contract.errors import NotFound
from syncd.contract.links import walk_links
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import walk_offsets
from syncd.contract.source import CannotTell
from syncd.contract.windows import Piece, Window, range_of, walk_changes
from syncd.records.readers import Keys, peek
from syncd.sources.cyclesoftware.api import FROM, SCHEMA, first_day, zone_of
from syncd.sources.cyclesoftware.forms import dated
from syncd.sources.cyclesoftware.identification import identification_columns, identification_names
from syncd.sources.cyclesoftware.nested import respeller
from syncd.sources.cyclesoftware.paged_lists import NEXT_OFFSET, fetch_linked, fetch_pages
from syncd.sources.cyclesoftware.proforma import PROFORMA_INVOICES, PROFORMA_PATH
from syncd.sources.cyclesoftware.transaction_items import SALES_TRANSACTION_ITEMS


def _of(outer: str, name: str, kind: Kind, comment: str, *path: str) -> Column:
    """Make a column of an object that a transaction need not have: absence erases."""
    return column(f"{outer}_{name}", kind, comment, *(path or (outer, name)), optional=True)


_CUSTOMER = (
    _of("customer", "id", BIGINT, "The customer; null for an anonymous sale", "customer", "customer_id"),
    _of("customer", "full_name", TEXT, "Name as on the invoice"),
    _of("customer", "street", TEXT, "Street as on the invoice"),
    _of("customer", "housenumber", TEXT, "House number"),
    _of("customer", "housenumber_postfix", TEXT, "Addition to the house number"),
    _of("customer", "city", TEXT, "City"),
    _of("customer", "postcode", TEXT, "Postcode"),
    _of("customer", "country", TEXT, "Country in words"),
    _of("customer", "country_code", TEXT, "Country code"),
    _of("customer", "loyalty_points", BIGINT, "Loyalty points"),
    _of("customer", "email", TEXT, "E-mail address"),
    _of("customer", "global_discount", NUMERIC, "Discount of the customer, in percent"),
    _of("customer", "iban", TEXT, "Bank account"),
    _of("customer", "date_of_birth", DATE, "Date of birth"),
    _of("customer", "phone_numbers", JSON, "Phone numbers as sent"),
    _of("customer", "language_code", TEXT, "Language code"),
)
_SALES_ORDER = (
    _of("sales_order", "id", BIGINT, "The sales order", "sales_order", "sales_order_id"),
    _of("sales_order", "customer_id", BIGINT, "Customer of the order; another one where the order was split"),
    _of("sales_order", "type_id", BIGINT, "Kind of order: enums, subject sales_order_types"),
    _of("sales_order", "status_id", BIGINT, "Status of the order: enums, subject sales_order_status"),
    _of("sales_order", "reference_id", TEXT, "Reference of the order"),
    _of("sales_order", "reference_text", TEXT, "Reference of the order in words"),
    _of("sales_order", "delivery_method_id", BIGINT, "How it is delivered: enums, subject delivery_methods"),
    _of("sales_order", "track_trace_reference", TEXT, "Reference for following the parcel"),
    _of("sales_order", "created_at", TIMESTAMP, "When the order was created; sent in local time"),
    _of("sales_order", "quote_converted_at", TIMESTAMP, "When the quote became an order; null if it never was one"),
)
_WORKSHOP_ORDER = (
    _of("workshop_order", "id", BIGINT, "The repair: workshop_orders", "workshop_order", "workshop_order_id"),
    _of("workshop_order", "repair_object_id", BIGINT, "What was repaired: repair_objects.object_id"),
    _of("workshop_order", "type_id", BIGINT, "Kind of repair: enums, subject workshop_order_types"),
    _of("workshop_order", "status_id", BIGINT, "Status of the repair: enums, subject workshop_order_status"),
    _of("workshop_order", "workshop_rate_id", BIGINT, "Rate of the work: enums, subject workshop_rates"),
    _of("workshop_order", "mechanic_employee_id", BIGINT, "Who repaired it: employees"),
    _of("workshop_order", "mechanic_employee_name", TEXT, "Name of the mechanic"),
    _of("workshop_order", "delivery_method_id", BIGINT, "How it is delivered: enums, subject delivery_methods"),
    _of("workshop_order", "reference_text", TEXT, "Reference of the repair in words"),
    _of("workshop_order", "km_age", BIGINT, "Mileage in kilometres"),
    *(
        _of("workshop_order", f"object_{name}", kind, comment, "workshop_order", "object", path)
        for name, kind, comment, path in (
            ("id", BIGINT, "What was repaired: repair_objects.object_id", "object_id"),
            ("brand_name", TEXT, "Its brand", "brand_name"),
            ("color", TEXT, "Its colour", "color"),
            ("category_name", TEXT, "Its category in words", "category_name"),
            ("sub_category_name", TEXT, "Its category within the category, in words", "sub_category_name"),
            ("model_name", TEXT, "Its model", "model_name"),
            ("size", TEXT, "Its size", "size"),
            ("year", BIGINT, "Its model year", "year"),
        )
    ),
    *identification_columns("workshop_order_identification_", "workshop_order", "identification"),
)

SALES_TRANSACTIONS = Table(
    schema=SCHEMA,
    name="sales_transactions",
    key=("account_id", "sales_transaction_number"),
    comment="Invoices, credits and pro-forma invoices; a booked one is never buried; needs the scope sales-export",
    personal=(
        "vat_number", "sales_employee_name", "booked_by_employee_name", "last_update_by_employee_name", "customer_id",
        "customer_full_name", "customer_street", "customer_housenumber", "customer_housenumber_postfix",
        "customer_city", "customer_postcode", "customer_email", "customer_iban", "customer_date_of_birth",
        "customer_phone_numbers", "sales_order_customer_id", "workshop_order_mechanic_employee_name",
        *identification_names("workshop_order_identification_"),
    ),
    refers={"customer_id": "customers"},
    needed=("is_final",),
    columns=(
        column("account_id", BIGINT, "Account of the store: the first part of stores.store_id"),
        column("sales_transaction_number", BIGINT, "Number of the transaction, which its invoice bears"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("type_name", TEXT, "Kind of transaction in words"),
        column("is_final", BOOLEAN, "True once booked; false for a pro-forma invoice, which may still vanish"),
        column("book_location_id", BIGINT, "Where it was booked", optional=True),
        column("transaction_date", DATE, "Day of the transaction"),
        column("created_at", TIMESTAMP, "When it was created; sent in local time"),
        column("modified_at", TIMESTAMP, "When it was last modified; sent in local time"),
        column("booked_at", TIMESTAMP, "When it was booked; sent in local time", optional=True),
        column("vat_number", TEXT, "VAT number of the customer", optional=True),
        column("vat_country_code", TEXT, "Country of the VAT", optional=True),
        column("total_amount_cents", BIGINT, "Amount with advance payments, in euro cents"),
        column("gross_total_amount_cents", BIGINT, "Amount without advance payments, in euro cents"),
        column("unpaid_amount_cents", BIGINT, "What is still to be paid, in euro cents; may lag behind payments"),
        column("sales_employee_name", TEXT, "Name of who sold it"),
        column("sales_employee_id", BIGINT, "Who sold it: employees"),
        column("booked_by_employee_name", TEXT, "Name of who booked it"),
        column("booked_by_employee_id", BIGINT, "Who booked it: employees"),
        column("last_update_by_employee_name", TEXT, "Name of who changed it last"),
        column("last_update_by_employee_id", BIGINT, "Who changed it last: employees"),
        column(
            "customer_phone_number_id", TEXT, "Number to call: customer_phone_numbers.phone_number_id", optional=True
        ),
        column("debit_sales_transaction_number", BIGINT, "Of a credit: the transaction that it cancels", optional=True),
        column("credit_sales_transaction_number", BIGINT, "The credit by which it was cancelled", optional=True),
        *_CUSTOMER,
        *_SALES_ORDER,
        *_WORKSHOP_ORDER,
    ),
    children=(Child(field="sales_items", table=SALES_TRANSACTION_ITEMS),),
    indexes=(
        Index(name="sales_transactions_by_month", on=(month_of("booked_at"),)),
        Index(name="sales_transactions_by_change", on=("_changed_at",), where=None, using="brin"),
        Index(
            name="sales_transactions_by_repair", on=("workshop_order_id", "source"),
            where=f"{ALIVE} AND workshop_order_id IS NOT NULL",
        ),
        Index(
            name="sales_transactions_unpaid", on=("sales_transaction_number",),
            where=f"{ALIVE} AND unpaid_amount_cents <> 0",
        ),
    ),
)  # fmt: skip

_PATH = "/api/v3/salesdata/transactions.json"
_KEYS = Keys(SALES_TRANSACTIONS)
_DATED = dated(SALES_TRANSACTIONS, "modified_at")
_respelled = respeller(SALES_TRANSACTIONS, {"unpayed_amount_cents": "unpaid_amount_cents"})
ORDERS_AT_ONCE = 25
"""Most sales orders that the vendor allows in `sales_order_ids` (STREAMS 2.1)."""
_UNBOOKED = Scope(column="is_final", values=(False,))
_UNPROVEN = "pages that go on by tokens cannot show that rows slid past"


async def _walk_transactions(walk: Walk) -> AsyncIterator[Page]:
    """Walk the transactions modified since the cursor; a sweep gives all since `from`, to find unbooked ones gone."""
    if walk.kind == "callback":
        async for page in _walk_named_orders(walk):
            yield page
        return

    async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
        params = [
            ("date_field", "modified_at"),
            ("date_start", window.first.isoformat()),
            ("date_end", window.last.isoformat()),
        ]
        fetch = fetch_linked(walk, _PATH, _KEYS.of_all, params)
        try:
            async for piece in walk_links(fetch, resume=(place or {}).get("query", "")):
                yield Piece(
                    records=_latest_last(_respelled(piece.records), piece.keys),
                    answer=piece.answer,
                    place=None if piece.following is None else {"query": piece.following},
                )
        except NotFound as error:
            error.hint = error.hint or "Does this server know version 3 of the transactions? Ask the vendor."
            raise

    pages = walk_changes(
        walk, ask, begins_at=first_day(walk), zone=zone_of(walk), scope=_UNBOOKED, unproven=_UNPROVEN, dated=_DATED
    )
    async for page in pages:
        yield page


async def _walk_named_orders(walk: Walk) -> AsyncIterator[Page]:
    """Give the transactions of the sales orders that webhooks named, ORDERS_AT_ONCE in a request."""
    for begin in range(0, len(walk.named), ORDERS_AT_ONCE):
        orders = ",".join(str(key[0]) for key in walk.named[begin : begin + ORDERS_AT_ONCE])
        fetch = fetch_linked(walk, _PATH, _KEYS.of_all, [("sales_order_ids", orders)])
        async for piece in walk_links(fetch):
            yield Page(
                records=_latest_last(_respelled(piece.records), piece.keys),
                cursor=None,
                requested_at=piece.answer.sent_at,
            )


def _latest_last(records: Sequence[bytes], keys: Sequence[Any]) -> Sequence[bytes]:
    """Return the records of a page, of which the last with a key counts: the one that was modified last."""
    if len(set(keys)) == len(keys):
        return records
    moments = [_modified_at(record) for record in records]
    return [records[at] for at in sorted(range(len(records)), key=lambda at: moments[at])]


def _modified_at(record: bytes) -> str:
    return str(peek(record, "modified_at")[0] or "")


async def _lacked_by_proforma(walk: Walk, keys: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Return which unbooked transactions are on no pro-forma invoice; asks for the whole list of these."""
    fetch = fetch_pages(walk, Keys(PROFORMA_INVOICES).of_all, PROFORMA_PATH, NEXT_OFFSET)
    held: set[Any] = set()
    async for piece, _ in walk_offsets(fetch, early=walk.early):
        if None in piece.keys:
            raise CannotTell("a pro-forma invoice without a number may be any of them")
        held.update(key[0] for key in piece.keys if isinstance(key, tuple))
    return [key for key in keys if key[-1] not in held]


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return range_of(walk, first_day(walk), zone_of(walk)).windows()


SALES_TRANSACTIONS_STREAM = Stream(
    name="sales_transactions",
    table=SALES_TRANSACTIONS,
    walk=_walk_transactions,
    every_s=15 * MINUTE_S,
    sweep_s=30 * DAY_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("modified_at", "created_at")),
    options=(FROM,),
    lacks=_lacked_by_proforma,
    cost=Cost(live=3.0, page_rows=250),
)

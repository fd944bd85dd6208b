"""Sales orders, walked by windows of the time of change, and gathered where each item is a record."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from syncd.contract import (
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
    Stream,
    Table,
    Walk,
    Windows,
    column,
    month_of,
)
from syncd.contract.options import MINUTE_S
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.contract.second_ways import either
from syncd.contract.windows import Ask, Piece, Window, range_of, walk_changes
from syncd.records.readers import Keys, envelope
from syncd.sources.cyclesoftware.api import FROM, SCHEMA, fetch_slices, first_day, zone_of
from syncd.sources.cyclesoftware.forms import DATA, data_of, dated


def _order(name: str, kind: Kind, comment: str) -> Column:
    # every field is optional: the team's pages name none of them
    return column(name, kind, comment, optional=True)


_ITEMS = "sales_order_items"
"""Member of our own making: the lines of an order without what each repeats of the order."""

SALES_ORDER_ITEMS = Table(
    schema=SCHEMA,
    name="sales_order_items",
    key=("sales_order_id", "order_item_id"),
    comment="Lines of sales orders; live and die with their order",
    personal=("assigned_to_customer_id",),
    columns=(
        column("sales_order_id", BIGINT, "Number of the sales order"),
        column("order_item_id", BIGINT, "Number of the line: sales_transaction_items.sales_order_item_id"),
        column("order_item_status", TEXT, "Status of the line in words"),
        column("assigned_to_customer_id", BIGINT, "The customer for whom the line is"),
        column("item_type", TEXT, "Kind of line in words, e.g. Artikelregel or Arbeid"),
        column("barcode", TEXT, "Barcode of what was ordered"),
        column("object_id", BIGINT, "The bike: stock_items.object_id; 0 for none"),
        column("pos_group_id", BIGINT, "Turnover group: enums, subject pos_groups"),
        column("quantity", NUMERIC, "How many"),
        column("description", TEXT, "What was ordered, in words"),
        column("gross_unit_price_in_vat_in_cents", BIGINT, "Price of one before discount, with VAT, in euro cents"),
        column("unit_discount_in_vat_in_cents", BIGINT, "Discount on one, with VAT, in euro cents"),
        column("nett_line_price_in_vat_in_cents", BIGINT, "Price of the line, with VAT, in euro cents"),
        column("vat_amount_cents", BIGINT, "VAT of the line, in euro cents"),
        column("vat_percentage", NUMERIC, "VAT in percent"),
    ),
)

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
    children=(Child(field=_ITEMS, table=SALES_ORDER_ITEMS),),
    indexes=(
        Index(name="sales_orders_by_month", on=(month_of("datetime_created"),)),
        Index(name="sales_orders_by_change", on=("_changed_at",), where=None, using="brin"),
    ),
)
_ORDER_FIELDS = frozenset(each.name for each in SALES_ORDERS.columns) - {"order_items"}

_KEYS = Keys(SALES_ORDERS)
_DATED = dated(SALES_ORDERS, "datetime_modified")
_PATH = "/api/v2/salesdata/orders.json"
_NO_LINE = ("0", '"0"')
_NO_DELETED = "the server refuses include_deleted=1; orders are asked for without, so deleted ones stay as they were"


async def _walk_sales_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the orders modified since the cursor. A sweep gives all of them; nothing is buried, for none disappears."""
    async for page in walk_changes(walk, _asker(walk), begins_at=first_day(walk), zone=zone_of(walk), dated=_DATED):
        yield page


def _asker(walk: Walk) -> Ask:
    """Return what asks for one window.

    Where orders come as one record per item, the items of an order may lie on several pages: they are gathered, and
    given as whole orders on the last page; until then there is no place to resume in the window.
    """

    async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("modified_start", window.first.isoformat()), ("modified_end", window.last.isoformat())]
        fetch_orders = partial(fetch_slices, walk, _PATH, DATA, _order_keys, records_of=data_of)
        with_deleted, without = fetch_orders([*params, ("include_deleted", "1")]), fetch_orders(params)

        async def fetch(offset: int) -> Slice:
            if offset:  # whether a refusal is of the offset is for the paging to find out
                return await (without if _NO_DELETED in walk.ways else with_deleted)(offset)
            return await either(walk, _NO_DELETED, lambda: with_deleted(0), lambda: without(0))

        items: dict[Any, dict[str, bytes]] = {}
        at = Resume.from_json(place)
        async for piece, resume in walk_offsets(fetch, walk=walk, resume=at, early=walk.early):
            records = [record for record in piece.records if not _gather(record, items)]
            if resume is None:
                records += [_whole_order(parts) for parts in items.values()]
            yield Piece(
                records=records,
                answer=piece.answer,
                place=resume.to_json() if resume else None,
                holds_back=resume is not None and bool(items),
            )

    return ask


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return range_of(walk, first_day(walk), zone_of(walk)).windows()


def _order_keys(records: Sequence[bytes]) -> list[Hashable | None]:
    """Return a key for each record of the list; where an order comes as one record per item, of the order's item."""
    found = zip(_KEYS.of_all(records), records, strict=True)
    return [(*key, _item_of(record)) if key else None for key, record in found]


def _gather(record: bytes, items: dict[Any, dict[str, bytes]]) -> bool:
    """Put a record that is one item of an order with its order; False if the record is a whole order."""
    item, key = _item_of(record), _KEYS.of(record)
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
    """Make one record of an order: its own fields as in the last item, all items as sent, and its lines by themselves.

    An order without lines comes with one item, whose number is 0: that is no line.
    """
    ordered = [items[item] for item in sorted(items, key=_by_number)]
    fields = {name: msgspec.Raw(raw) for name, raw in envelope(ordered[-1]).items() if name in _ORDER_FIELDS}
    lines = [_line(envelope(items[item])) for item in sorted(items, key=_by_number) if item not in _NO_LINE]
    return msgspec.json.encode({**fields, "order_items": [msgspec.Raw(item) for item in ordered], _ITEMS: lines})


def _by_number(item: str) -> tuple[int, str]:
    return len(item), item


def _line(item: Mapping[str, bytes]) -> dict[str, msgspec.Raw]:
    return {
        name: msgspec.Raw(raw) for name, raw in item.items() if name == "sales_order_id" or name not in _ORDER_FIELDS
    }


SALES_ORDERS_STREAM = Stream(
    name="sales_orders",
    table=SALES_ORDERS,
    walk=_walk_sales_orders,
    every_s=10 * MINUTE_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("datetime_modified", "datetime_created")),
    options=(FROM,),
    cost=Cost(live=2.0),
)

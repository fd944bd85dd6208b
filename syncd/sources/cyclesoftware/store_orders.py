"""Internal deliveries from store to store: no request reads them, webhooks alone bring them.

So nobody can say that the table is complete: it holds what was told since webhooks are on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from syncd.contract import (
    BIGINT,
    JSON,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Page,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.options import DAY_S
from syncd.records.readers import envelope, peek
from syncd.sources.cyclesoftware.forms import rows_of

ITEMS = "items"
_ITEM_LISTS = (ITEMS, "store_order_items", "order_items")
"""Names of the list of items; the vendor's table and sample have the first."""

STORE_ORDER_ITEMS = Table(
    schema="cyclesoftware",
    name="store_order_items",
    key=("store_order_id", "position"),
    comment="Items of internal deliveries, by their place in the list; lives and dies with its delivery",
    columns=(
        column("store_order_id", BIGINT, "The internal delivery whose list held it"),
        column("position", BIGINT, "Place in the list, from 0: the vendor's sample gives two items the same number"),
        column("store_order_item_id", BIGINT, "Number of the item as sent; not unique within a delivery"),
        column("barcode", TEXT, "Barcode of the article or object"),
        column("quantity", NUMERIC, "How many"),
        column("item_type_id", BIGINT, "1 article, 2 object"),
        column("object_id", BIGINT, "The object in stock: stock_items.object_id", optional=True),
        column("description", TEXT, "What it is, in words"),
    ),
)

STORE_ORDERS = Table(
    schema="cyclesoftware",
    name="store_orders",
    key=("store_order_id",),
    comment="Internal deliveries from store to store; only what webhooks told, so never complete",
    newest_by="event_timestamp",
    personal=("remarks",),
    columns=(
        column("store_order_id", BIGINT, "Number of the internal delivery, e.g. 45287"),
        column("store_id_from", BIGINT, "Store that delivers: the second part of stores.store_id"),
        column("dealer_id_from", BIGINT, "The same with its account, as the vendor packs the two"),
        column("store_id_to", BIGINT, "Store that receives: the second part of stores.store_id"),
        column("dealer_id_to", BIGINT, "The same with its account, as the vendor packs the two"),
        column("store_order_type", TEXT, "Kind in words, e.g. regulier"),
        column("store_order_type_id", BIGINT, "Kind: 0 regular, 1 via warehouse, 2 regular via warehouse"),
        column("status_id", BIGINT, "Status: 0 open, 1 processed, 2 cancelled, 3 invoiced, 5 locked"),
        column("status", TEXT, "Status in words, e.g. Verwerkt"),
        column("remarks", TEXT, "Remarks as typed"),
        column("processed_at", TIMESTAMP, "When it was processed; sent in local time", optional=True),
        column("related_to_sales_order_ids", JSON, "Sales orders that it is for: sales_orders.sales_order_id"),
        column("related_to_supplier_order_ids", JSON, "Orders at suppliers that it is for"),
        column("event_timestamp", NUMERIC, "When the webhook was made, in seconds since 1970; an older one is dropped"),
    ),
    children=(Child(field=ITEMS, table=STORE_ORDER_ITEMS),),
)


def as_record(payload: Mapping[str, bytes], event_timestamp: bytes | None) -> bytes:
    """Return the record that a webhook brings: its payload, when it was made, and the place of each item."""
    fields = {name: msgspec.Raw(raw) for name, raw in payload.items()}
    if event_timestamp is not None:
        fields["event_timestamp"] = msgspec.Raw(event_timestamp)
    name = next((each for each in _ITEM_LISTS if payload.get(each, b"")[:1] in (b"[", b"{")), None)
    if name is not None:
        del fields[name]
        placed = [_placed(item, at) for at, item in enumerate(rows_of(payload[name], name))]
        fields[ITEMS] = msgspec.Raw(b"[" + b",".join(placed) + b"]")
    return msgspec.json.encode(fields)


def _placed(item: bytes, position: int) -> bytes:
    """Return an item with its place in the list; what is no object stays as it is, and becomes a reject."""
    if item[:1] != b"{":
        return item
    return msgspec.json.encode(
        {**{name: msgspec.Raw(raw) for name, raw in envelope(item).items()}, "position": position}
    )


def _newest_last(records: Sequence[bytes]) -> list[bytes]:
    """Return records in the order of their events, so that of two about one delivery the newer one counts."""

    def made_at(record: bytes) -> float:
        (value,) = peek(record, "event_timestamp")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("-inf")

    return sorted(records, key=made_at)


async def _walk_store_orders(walk: Walk) -> AsyncIterator[Page]:
    """Give what webhooks brought. Asks for nothing, and buries nothing."""
    yield Page(records=_newest_last(walk.pushed), cursor=None, requested_at=walk.now())


STORE_ORDERS_STREAM = Stream(
    name="store_orders",
    table=STORE_ORDERS,
    walk=_walk_store_orders,
    every_s=DAY_S,
    is_pushed=True,
)

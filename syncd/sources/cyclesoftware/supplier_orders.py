"""Orders at suppliers, asked for one by one: those of which something is still to come, or those that are named."""

from typing import Final

import msgspec

from syncd.contract import (
    BIGINT,
    DATE,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Cost,
    Feed,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.lookups import one_by_one
from syncd.contract.options import HOUR_S
from syncd.records.readers import Keys, detail, envelope
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.forms import DATA, rows_of
from syncd.sources.cyclesoftware.stock_objects import number_of

PER_RUN: Final = 100
"""Orders in a run (STREAMS section 6)."""
PER_DAY: Final = 500
"""Orders of the mirror a day; our choice."""
_ITEMS: Final = "items"

SUPPLIER_ORDER_ITEMS = Table(
    schema=SCHEMA,
    name="supplier_order_items",
    key=("supplier_order_id", "supplier_order_item_id"),
    comment="Items of orders at suppliers; lives and dies with its order",
    columns=(
        column("supplier_order_id", BIGINT, "The order whose list held it"),
        column("supplier_order_item_id", BIGINT, "Number of the item"),
        column("item_type_id", BIGINT, "1 article, 2 object: enums, subject transaction_item_types"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "Barcode; text, so that a leading zero stays"),
        column("quantity", NUMERIC, "How many were ordered"),
        column("quantity_delivered", NUMERIC, "How many came"),
        column("quantity_open", NUMERIC, "How many are still to come"),
        column("supplier_delivery_date", DATE, "Day on which the supplier means to deliver", optional=True),
        column("supplier_item_reference", TEXT, "The supplier's reference of the item"),
    ),
)

SUPPLIER_ORDERS = Table(
    schema=SCHEMA,
    name="supplier_orders",
    key=("supplier_order_id",),
    comment="Orders at suppliers, asked for one by one; needs the scope e-commerce",
    columns=(
        column("supplier_order_id", BIGINT, "Number of the order, as in packing_list_items"),
        column("supplier_id", BIGINT, "The supplier: suppliers.supplier_id"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("order_type_id", BIGINT, "Kind of order: enums, subject supplier_order_types"),
        column("status_id", BIGINT, "Status: enums, subject supplier_order_status"),
        column("supplier_comment", TEXT, "Comment for the supplier"),
        column("supplier_reference", TEXT, "The supplier's reference"),
        column("own_reference", TEXT, "The shop's own reference"),
        column("created_at", TIMESTAMP, "When the order was created; sent in local time"),
    ),
    children=(Child(field=_ITEMS, table=SUPPLIER_ORDER_ITEMS),),
)

_KEYS = Keys(SUPPLIER_ORDERS)

FEED = Feed(
    option="ids",
    query="""
    WITH named AS (
      SELECT supplier_order_id AS key FROM cyclesoftware.packing_list_items
      WHERE source = $1 AND supplier_order_id > 0 AND created_at > $2::timestamptz - interval '90 days'
        AND _deleted_at IS NULL
      UNION
      SELECT (number #>> '{}')::bigint FROM cyclesoftware.store_orders
      CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(related_to_supplier_order_ids) WHEN 'array' THEN related_to_supplier_order_ids ELSE '[]' END
      ) AS number
      WHERE source = $1 AND _deleted_at IS NULL AND number #>> '{}' ~ '^[1-9][0-9]{0,17}$'
    )
    SELECT key FROM named
    WHERE NOT EXISTS (
      SELECT FROM cyclesoftware.supplier_orders AS known WHERE known.source = $1 AND known.supplier_order_id = named.key
    ) OR EXISTS (
      SELECT FROM cyclesoftware.supplier_order_items AS item
      WHERE item.source = $1 AND item.supplier_order_id = named.key AND item.quantity_open > 0
        AND item._deleted_at IS NULL
    )
    """,
    reads=("packing_list_items",),
    in_turn=True,
    per_day=PER_DAY,
)
"""Orders that packing lists of the last 90 days or internal deliveries name, unless all of them was delivered."""


async def _ask(walk: Walk, _option: str, key: str) -> Page:
    """Ask for one order; one that is not found is gone."""
    asked_at, number = walk.now(), number_of("supplier_orders", key)
    try:
        answer = await walk.upstream.request("GET", f"/api/v1/supplier/order/{number}.json")
    except NotFound:
        scope = Scope(column="supplier_order_id", values=(number,), guarded=False)
        return Page(records=[], cursor=None, requested_at=asked_at, scope=scope)
    record = _listed(detail(answer))
    if _KEYS.of(record) != (number,):
        raise BadPayload(f"asked for supplier order {number}, got another or none")
    return Page(records=[record], cursor=None, requested_at=answer.sent_at)


def _listed(sent: dict[str, bytes]) -> bytes:
    """Return the record with its items as a list, where they came as a map of numbers or as one item alone."""
    if sent.get(DATA, b"")[:1] == b"{" and "supplier_order_id" not in sent:
        sent = envelope(sent[DATA])
    fields = {name: msgspec.Raw(raw) for name, raw in sent.items()}
    if sent.get(_ITEMS, b"")[:1] == b"{":
        items = [msgspec.Raw(item) for item in rows_of(sent[_ITEMS], _ITEMS)]
        return msgspec.json.encode({**fields, _ITEMS: items})
    return msgspec.json.encode(fields)


SUPPLIER_ORDERS_STREAM = Stream(
    name="supplier_orders",
    table=SUPPLIER_ORDERS,
    walk=one_by_one(_ask, per_run=PER_RUN, feed=FEED),
    every_s=HOUR_S,
    lookup=("ids",),
    feed=FEED,
    reads=FEED.reads,
    cost=Cost(keys_a_run=PER_RUN),
)

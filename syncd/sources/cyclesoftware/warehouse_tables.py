"""The tables of an account that runs a warehouse for several shops."""

from collections.abc import Mapping
from typing import Final

from syncd.contract import BIGINT, BOOLEAN, DATE, NUMERIC, TEXT, TIMESTAMP, Column, Kind, Table, column
from syncd.sources.cyclesoftware.api import SCHEMA

SCOPE: Final = "needs the scope warehouse, off by default"
_DEALER: Final = "The shop, packed as the vendor does: the account for store 1, else account + 65536 * store"


def _article(supplier: str = "Supplier") -> tuple[Column, ...]:
    return (
        column("supplier", TEXT, supplier),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("description", TEXT, "Description of the article"),
        column("frame_id", TEXT, "Frame number"),
        column("purchase_price_cents", BIGINT, "Purchase price in euro cents"),
        column("purchase_price_cents_packinglist", BIGINT, "Purchase price by the packing list, in euro cents"),
        column("dealer_rrp_cents", BIGINT, "Recommended retail price in euro cents"),
    )


def _flags(flags: Mapping[str, str]) -> tuple[Column, ...]:
    return tuple(column(name, BOOLEAN, f"True {comment}") for name, comment in flags.items())


_VARIABLES = tuple(
    column(f"custom_variable_{place}", TEXT, "A variable that the account may use as it likes") for place in range(1, 6)
)

WAREHOUSE_STOCK_ITEMS = Table(
    schema=SCHEMA,
    name="warehouse_stock_items",
    key=("stock_item_id",),
    comment=f"Objects in the warehouse; {SCOPE}",
    deleted="is_deleted",
    columns=(
        column("stock_item_id", BIGINT, "Number of the object in the warehouse"),
        column("outbound_order_id", BIGINT, "Order of a shop that holds it; 0 if none does"),
        *_article(),
        column("claimed_for_account_id", BIGINT, "Account that claimed it", optional=True),
        column("claimed_for_store_id", BIGINT, "Store of that account", optional=True),
        *_flags(
            {
                "is_blocked_for_claiming": "if no shop may claim it",
                "is_claimed_for_obo": "if it is claimed for an order of a shop",
                "is_sold_to_customer": "once sold to a customer",
                "is_shipped": "once shipped to a shop",
                "is_deleted": "if deleted upstream; the row then bears a tombstone",
            }
        ),
        column("stocked_at", TIMESTAMP, "When it came into the warehouse; sent in local time"),
        column("shipped_at", TIMESTAMP, "When it was shipped; sent in local time", optional=True),
        *_VARIABLES,
        column("warehouse_group_name", TEXT, "Group of places in the warehouse", optional=True),
        column("warehouse_location", TEXT, "Place in the warehouse", optional=True),
    ),
)

WAREHOUSE_POS_ITEMS = Table(
    schema=SCHEMA,
    name="warehouse_pos_items",
    key=("account_id", "object_id"),
    comment=f"Objects in stock of all shops that the warehouse serves; {SCOPE}",
    deleted="is_deleted",
    columns=(
        column("account_id", BIGINT, "Account of the shop"),
        column("store_id", BIGINT, "Store within the account"),
        column("object_id", BIGINT, "Number of the object, unique within the account only"),
        column("warehouse_stock_item_id", BIGINT, "The object in warehouse_stock_items", optional=True),
        column("sales_order_id", BIGINT, "Sales order that holds it; 0 if none does"),
        *_article(),
        *_flags(
            {
                "is_sold_to_customer": "once sold to a customer",
                "is_demo": "for a demonstration bike",
                "has_invoice": "once invoiced",
            }
        ),
        column("stocked_at", DATE, "Day on which it came into stock"),
        *_VARIABLES,
        *_flags(
            {
                "is_deleted": "if deleted upstream; the row then bears a tombstone",
                "is_rental": "for a rental object",
                "is_used": "for a used object",
            }
        ),
    ),
)


def _assignment(name: str, kind: Kind, comment: str) -> Column:
    return column(f"assignment_{name}", kind, comment, "assignment", name, optional=True)


WAREHOUSE_BACKLOG_ITEMS = Table(
    schema=SCHEMA,
    name="warehouse_backlog_items",
    key=("id",),
    comment=f"What suppliers are still to deliver to the warehouse; {SCOPE}",
    columns=(
        column("id", BIGINT, "Number of the item"),
        column("supplier_id", BIGINT, "The supplier: suppliers.supplier_id"),
        column("is_sold_to_customer", BOOLEAN, "True if it is sold to a customer already"),
        column("in_transit", BOOLEAN, "True if it is under way"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("supplier_reference", TEXT, "The supplier's reference"),
        column("supplier_reference_2", TEXT, "The supplier's second reference"),
        column("delivery_date", DATE, "Day on which it is expected"),
        column("original_delivery_date", DATE, "Day on which it was expected at first"),
        column("external_remarks", TEXT, "Remarks for others"),
        column("internal_remarks", TEXT, "Remarks of the warehouse", optional=True),
        column("created_at", TIMESTAMP, "When it was ordered; sent in local time"),
        column("modified_at", TIMESTAMP, "When it was last modified; sent in local time"),
        _assignment("assigned_to_entity_type_id", BIGINT, "Kind of thing that it is meant for: enums, entity_types"),
        _assignment("assigned_to_entity_id", BIGINT, "Number of that thing"),
        _assignment("outbound_order_id", BIGINT, "Order of a shop that it is meant for"),
        _assignment("reference", TEXT, "Reference of what it is meant for"),
    ),
)

WAREHOUSE_DELIVERED_ITEMS = Table(
    schema=SCHEMA,
    name="warehouse_delivered_items",
    key=("inbound_delivery_item_id",),
    comment=f"What suppliers delivered to the warehouse; {SCOPE}",
    columns=(
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("datetime_delivered", TIMESTAMP, "When it was delivered; sent in local time"),
        column("inbound_delivery_id", BIGINT, "Number of the delivery"),
        column("inbound_delivery_item_id", BIGINT, "Number of the item of the delivery"),
        column("packinglist_number", TEXT, "The supplier's number of the packing list"),
        column("purchase_price_cents", BIGINT, "Purchase price in euro cents"),
        column("quantity_missing", NUMERIC, "How many were missing"),
        column("quantity_packinglist", NUMERIC, "How many the packing list names"),
        column("quantity_scanned", NUMERIC, "How many were scanned"),
        column("quantity_stocked", NUMERIC, "How many came into stock"),
        column("supplier_id", BIGINT, "The supplier: suppliers.supplier_id"),
    ),
)

WAREHOUSE_OPEN_ORDER_ITEMS = Table(
    schema=SCHEMA,
    name="warehouse_open_order_items",
    key=("outbound_order_item_id",),
    comment=f"Lines of shops' orders that the warehouse has not shipped whole; {SCOPE}",
    columns=(
        column("dealer_id", BIGINT, _DEALER),
        column("outbound_order_id", BIGINT, "Number of the order"),
        column("outbound_order_item_id", BIGINT, "Number of its line"),
        column("created_at", TIMESTAMP, "When it was ordered; sent in local time"),
        column("ecommerce_reference_id", TEXT, "Reference of the web shop's order"),
        column("ecommerce_reference_text", TEXT, "The same in words"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("description", TEXT, "Description of the article"),
        column("quantity", NUMERIC, "How many were ordered"),
        column("quantity_claimed", NUMERIC, "How many are claimed in the warehouse"),
        column("quantity_shipped", NUMERIC, "How many were shipped"),
        column("reference", TEXT, "Reference of the shop"),
        *_flags(
            {
                "is_sold_to_customer": "if it is sold to a customer already",
                "is_blocked_for_claiming": "if nothing may be claimed for it",
                "is_pooled_within_stores": "if stores share it",
            }
        ),
    ),
)

WAREHOUSE_ASSEMBLIES = Table(
    schema=SCHEMA,
    name="warehouse_assemblies",
    key=("stock_item_id",),
    comment=f"Objects that the warehouse assembles before it ships them; {SCOPE}",
    personal=("released_by",),
    columns=(
        column("stock_item_id", BIGINT, "The object in warehouse_stock_items"),
        column("is_assembled", BOOLEAN, "True once it is assembled"),
        column("released_by", TEXT, "Who released it"),
        column("scheduled_for_release_at", DATE, "Day on which it is to be released"),
        column("released_for_shipment_at", DATE, "Day on which it was released"),
        column("claimed_by_dealer_id", BIGINT, _DEALER),
        column("outbound_order_id", BIGINT, "Order of the shop"),
        column("outbound_order_item_id", BIGINT, "Line of that order"),
        column("outbound_shipment_id", BIGINT, "Number of the shipment"),
        column("outbound_shipment_item_id", BIGINT, "Line of that shipment"),
        column("is_sold_to_customer", BOOLEAN, "True if it is sold to a customer already"),
    ),
)

WAREHOUSE_AVAILABILITY = Table(
    schema=SCHEMA,
    name="warehouse_availability",
    key=("warehouse_group_name", "code"),
    comment=f"Free places in the warehouse, by kind of place; {SCOPE}",
    columns=(
        column(
            "warehouse_group_name", TEXT, "Group of places; empty for the figures of the whole warehouse", blank=True
        ),
        column("code", TEXT, "Kind of place"),
        column("description", TEXT, "Kind of place in words"),
        column("available_locations", BIGINT, "How many places are free"),
    ),
)

"""Objects in stock in full, asked for one by one: those of stock_items that are new or changed, or named ones."""

import re
from typing import Any, Final

import msgspec

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    DATE,
    JSON,
    NUMERIC,
    TEXT,
    Column,
    Cost,
    Feed,
    Kind,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.contract.lookups import one_by_one
from syncd.contract.options import MINUTE_S
from syncd.records.readers import Keys, detail, envelope
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.forms import DATA
from syncd.sources.cyclesoftware.identification import identification_columns, identification_names

PER_RUN: Final = 200
PER_DAY: Final = 500
"""Objects a run and a day (STREAMS 2.14)."""

_SUSPENSION: Final = {
    "has_front_suspension": (BOOLEAN, "True if it has a front suspension"),
    "front_suspension_brand": (TEXT, "Brand of the front suspension"),
    "front_suspension_model": (TEXT, "Model of the front suspension"),
    "rear_suspension_brand": (TEXT, "Brand of the rear suspension"),
    "rear_suspension_model": (TEXT, "Model of the rear suspension"),
}
"""The vendor's table has these beside `object`, its sample inside."""
_BRAKES_AND_GEARS: Final = {
    f"{of}_{part}": f"{what} in words: {whose}"
    for part, what in {
        "brake_system_front": "Front brake",
        "brake_system_rear": "Rear brake",
        "gear_system": "Gears",
    }.items()
    for of, whose in {"type": "kind", "brand": "brand", "model": "model"}.items()
}


def _inner(name: str, kind: Kind, comment: str, *, optional: bool = False) -> Column:
    return column(f"object_{name}", kind, comment, "object", name, optional=optional)


STOCK_OBJECTS = Table(
    schema=SCHEMA,
    name="stock_objects",
    key=("stock_object_id",),
    comment="Objects of stock_items in full, asked for one by one; needs the scope resources",
    personal=("customer_id", *identification_names("identification_")),
    refers={"customer_id": "customers"},
    columns=(
        column("stock_object_id", BIGINT, "Number of the object, as in stock_items.object_id"),
        column("customer_id", BIGINT, "The customer to whom it is sold or promised", optional=True),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("sales_order_id", BIGINT, "Sales order that holds it", optional=True),
        column("sales_transaction_number", BIGINT, "Number of the transaction that sold it", optional=True),
        column("status_available", BOOLEAN, "True if it can be sold", "status", "available"),
        column("status_expected_at", DATE, "Day on which it is expected", "status", "expected_at", optional=True),
        *(
            column(f"status_{name}", BOOLEAN, comment, "status", name)
            for name, comment in {
                "is_demo": "True for a demonstration bike",
                "is_rental": "True for a rental object",
                "is_reserved": "True if it is reserved",
                "is_sold": "True once sold",
                "is_used": "True for a used object",
            }.items()
        ),
        column("status_km_age", BIGINT, "Mileage in kilometres", "status", "km_age"),
        *identification_columns("identification_", "identification"),
        column("images", JSON, "Pictures as sent"),
        _inner("stock_object_id", BIGINT, "Number of the object, as its description has it"),
        _inner("store_id", BIGINT, "Store, as its description has it"),
        _inner("is_reserved", BOOLEAN, "True if it is reserved, as its description has it"),
        _inner("is_demo", BOOLEAN, "True for a demonstration bike, as its description has it"),
        _inner("reference", TEXT, "Reference of the shop"),
        _inner("barcode", TEXT, "Barcode; text, so that a leading zero stays"),
        _inner("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        _inner("brand_name", TEXT, "Brand, e.g. Gazelle"),
        _inner("brand_id", BIGINT, "The brand in suppliers.supplier_id"),
        _inner("model_name", TEXT, "Model"),
        _inner("article_main_group", BIGINT, "Main article group; one part of the composite code of code_list_entries"),
        _inner("article_group", TEXT, "Article group; one part of the composite code"),
        _inner("article_sub_group", BIGINT, "Article sub group; one part of the composite code"),
        _inner("frame_type", TEXT, "Type of frame in words, in the account's language"),
        _inner("model_year", BIGINT, "Model year"),
        _inner("frame_height", NUMERIC, "Height of the frame"),
        _inner("frame_size_supplier", TEXT, "Size as the supplier names it"),
        _inner("wheel_size", NUMERIC, "Size of the wheels"),
        _inner("customer_group", TEXT, "For whom it is meant, e.g. Dames"),
        _inner("frame_material", TEXT, "Material in words, in the account's language"),
        _inner("color", TEXT, "Colour in words"),
        _inner("primary_color", TEXT, "Basic colour, in the account's language"),
        _inner("secondary_color", TEXT, "Second basic colour, in the account's language"),
        *(_inner(name, TEXT, comment) for name, comment in _BRAKES_AND_GEARS.items()),
        _inner("gear_count", BIGINT, "Number of gears"),
        _inner("description_short", TEXT, "Short description"),
        _inner("description", TEXT, "Description"),
        _inner("purchase_price_cents", BIGINT, "Purchase price in euro cents"),
        _inner("sales_price_cents", BIGINT, "Sales price in euro cents"),
        _inner("rrp_cents", BIGINT, "Recommended retail price in euro cents"),
        _inner("ecommerce", BOOLEAN, "True if it is shown in the web shop"),
        _inner("ecommerce_price_cents", BIGINT, "Price in the web shop in euro cents"),
        _inner("nett_weight_kg", NUMERIC, "Net weight in kilograms"),
        _inner("gross_weight_kg", NUMERIC, "Gross weight in kilograms"),
        _inner("supplier_invoice_reference", TEXT, "Invoice of the supplier"),
        _inner("supplier_order_reference", TEXT, "Order at the supplier"),
        *(_inner(f"custom_variable_{n}", TEXT, "A variable that the shop may use as it likes") for n in range(1, 5)),
        _inner("warranty_duration_months", BIGINT, "Months of warranty", optional=True),
        _inner("warranty_type", BIGINT, "Kind of warranty: enums, subject warranty_types"),
        *(_inner(name, kind, comment) for name, (kind, comment) in _SUSPENSION.items()),
    ),
)

_KEYS = Keys(STOCK_OBJECTS)
_MAPS: Final = ("status", "identification", "object")

FEED = Feed(
    option="ids",
    query="""
    SELECT object_id AS key, max(_changed_at) AS at FROM cyclesoftware.stock_items AS item
    WHERE source = $1 AND (_deleted_at IS NULL OR EXISTS (
      SELECT FROM cyclesoftware.stock_objects AS known
      WHERE known.source = $1 AND known.stock_object_id = item.object_id AND known._deleted_at IS NULL
    ))
    GROUP BY object_id
    """,
    reads=("stock_items",),
    in_turn=False,
    per_day=PER_DAY,
)
"""Objects that are new or changed since they were last asked for; of those that left the stock, what is mirrored."""


async def _ask(walk: Walk, _option: str, key: str) -> Page:
    """Ask for one object; one that is not found is gone."""
    asked_at, number = walk.now(), number_of("stock_objects", key)
    scope = Scope(column="stock_object_id", values=(number,), guarded=False)
    try:
        answer = await walk.upstream.request("GET", f"/api/v1/stock-objects/{number}.json")
    except NotFound:
        return Page(records=[], cursor=None, requested_at=asked_at, scope=scope)
    record = _whole(detail(answer))
    if _KEYS.of(record) != (number,):
        raise BadPayload(f"asked for stock object {number}, got another or none")
    return Page(records=[record], cursor=None, requested_at=answer.sent_at)


def number_of(stream: str, key: str) -> int:
    """Return a key that must be a whole number. Raises BadRequest."""
    if not re.fullmatch(r"[0-9]{1,18}", key.strip()):
        hint = "Correct it in the configuration."
        raise BadRequest(f"{stream}: expected a whole number as a key, found {key[:60]!r}", hint=hint)
    return int(key)


def _whole(sent: dict[str, bytes]) -> bytes:
    """Return the record with its maps as maps, an empty one as none, and the suspension where the sample has it."""
    if sent.get(DATA, b"")[:1] == b"{" and "stock_object_id" not in sent:
        sent = envelope(sent[DATA])
    fields: dict[str, Any] = {name: msgspec.Raw(raw) for name, raw in sent.items()}
    fields |= {name: None for name in _MAPS if sent.get(name, b"").translate(None, b" \r\n\t") == b"[]"}
    inner = envelope(sent["object"]) if sent.get("object", b"")[:1] == b"{" else {}
    outside = {name: raw for name, raw in sent.items() if name in _SUSPENSION and name not in inner}
    if outside:
        fields = {name: raw for name, raw in fields.items() if name not in outside}
        fields["object"] = {name: msgspec.Raw(raw) for name, raw in {**inner, **outside}.items()}
    return msgspec.json.encode(fields)


STOCK_OBJECTS_STREAM = Stream(
    name="stock_objects",
    table=STOCK_OBJECTS,
    walk=one_by_one(_ask, per_run=PER_RUN, feed=FEED),
    every_s=30 * MINUTE_S,
    lookup=("ids",),
    feed=FEED,
    reads=FEED.reads,
    cost=Cost(keys_a_run=PER_RUN),
)

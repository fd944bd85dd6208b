"""Packing lists of suppliers: what was delivered, item by item, walked by the days of import."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta

from syncd.contract import (
    BIGINT,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Cost,
    Cursor,
    Index,
    Page,
    Stream,
    Table,
    Walk,
    Windows,
    column,
)
from syncd.contract.options import DAY_S, HOUR_S
from syncd.contract.windows import Ask, Piece, Window
from syncd.records.readers import Keys
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.forms import dated
from syncd.sources.cyclesoftware.paged_lists import walk_places
from syncd.sources.cyclesoftware.recent import recent_range, walk_recent

LIVE = timedelta(days=7)
SWEEP = timedelta(days=62)
"""The number of the object in stock may be filled in later."""

PACKING_LIST_ITEMS = Table(
    schema=SCHEMA,
    name="packing_list_items",
    key=("supplier_packinglist_item_id",),
    comment="Items of suppliers' packing lists, as imported by the shop; needs the scope resources",
    personal=("employee_name",),
    columns=(
        column("supplier_packinglist_id", BIGINT, "Number of the packing list"),
        column("supplier_packinglist_item_id", BIGINT, "Number of the item"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("supplier_id", BIGINT, "The supplier: suppliers.supplier_id"),
        column("supplier_name", TEXT, "Name of the supplier", optional=True),
        column("packinglist_number", TEXT, "The supplier's number of the packing list", optional=True),
        column("supplier_order_id", BIGINT, "Order at the supplier; 0 if there is none"),
        column("employee_id", BIGINT, "Who imported it: employees.employee_id"),
        column("employee_name", TEXT, "Name of who imported it"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("unit_purchase_price_ex_vat_cents", BIGINT, "Purchase price of one in euro cents, without VAT"),
        column("quantity", NUMERIC, "How many were delivered"),
        column("stock_object_id", BIGINT, "The object that it became: stock_items.object_id", optional=True),
        column("created_at", TIMESTAMP, "When it was imported; sent in local time, the day or the year first"),
    ),
    indexes=(Index(name="packing_list_items_by_created", on=("created_at",), where=None, using="brin"),),
)

_PATH = "/api/v1/supplier/packinglists.json"
_KEYS = Keys(PACKING_LIST_ITEMS)
_DATED = dated(PACKING_LIST_ITEMS, "created_at")


async def _walk_packing_lists(walk: Walk) -> AsyncIterator[Page]:
    async for page in walk_recent(walk, _asker(walk), live=LIVE, sweep=SWEEP, dated=_DATED):
        yield page


def _asker(walk: Walk) -> Ask:
    async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("start_date", _day(window.first)), ("end_date", _day(window.last))]
        async for piece, where in walk_places(walk, _PATH, _KEYS.of_all, params, member="next", place=place):
            yield Piece(records=piece.records, answer=piece.answer, place=where, keys=piece.keys)

    return ask


def _day(day: date) -> str:
    """Write a day as this list takes it: the day first."""
    return f"{day:%d-%m-%Y}"


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return recent_range(walk, live=LIVE, sweep=SWEEP).windows()


PACKING_LIST_ITEMS_STREAM = Stream(
    name="packing_list_items",
    table=PACKING_LIST_ITEMS,
    walk=_walk_packing_lists,
    every_s=HOUR_S,
    sweep_s=DAY_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("created_at",)),
    cost=Cost(live=1.0, sweep=5.0),
)

"""Service items: what an object of a customer is due for, walked by days of change and swept whole."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    DATE,
    TEXT,
    TIMESTAMP,
    CannotTell,
    Cost,
    Cursor,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import EndUnknown, Resume, Slice, row_keys, walk_offsets
from syncd.contract.toolkit import cursor_time
from syncd.contract.windows import Ask, Piece, Window, walk_changes
from syncd.records.readers import Keys
from syncd.sources.cyclesoftware.api import SCHEMA, zone_of
from syncd.sources.cyclesoftware.forms import bare_list, dated
from syncd.sources.cyclesoftware.paged_lists import NEXT_OFFSET, fetch_pages

SERVICE_ITEMS = Table(
    schema=SCHEMA,
    name="service_items",
    key=("service_item_id",),
    comment="Services that objects of customers are due for, by contract or once; needs the scope sales-export",
    personal=("customer_id",),
    refers={"customer_id": "customers"},
    columns=(
        column("account_id", BIGINT, "Account of the store: the first part of stores.store_id"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("service_id", BIGINT, "Number of the service contract of which it is a part", optional=True),
        column("service_item_id", BIGINT, "Number of the service item"),
        column("service_barcode", TEXT, "Barcode of the service item: DSK-<service_id>-<number>"),
        column("service_status_id", BIGINT, "Status: enums, subject service_item_status; 4 and 5 were seen as closed"),
        column("invoice_number", BIGINT, "The invoice that created it"),
        column("customer_id", BIGINT, "The customer whose object it is"),
        column("object_id", BIGINT, "The object: repair_objects.object_id"),
        column("is_open", BOOLEAN, "True until it is done or closed"),
        column("is_scheduled", BOOLEAN, "True once the workshop has planned it"),
        column("title", TEXT, "Title, e.g. Eerste beurt"),
        column("description", TEXT, "What is to be done"),
        column("gross_unit_price_cents", BIGINT, "Price in euro cents"),
        column("unit_discount_amount_cents", BIGINT, "Discount in euro cents"),
        column("amount_payed_in_advance_cents", BIGINT, "What was paid in advance, in euro cents"),
        column("time_minutes", BIGINT, "Time that it takes, in minutes"),
        column("scheduled_at", DATE, "Day on which it is due"),
        column("scheduled_at_km_age", BIGINT, "Mileage at which it is due, in kilometres"),
        column("modified_at", TIMESTAMP, "When it was last modified; sent in local time"),
    ),
)

_PATH = "/api/v1/workshop/repair-objects/service-items.json"
_KEYS = Keys(SERVICE_ITEMS)
_DATED = dated(SERVICE_ITEMS, "modified_at")


async def _walk_service_items(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was modified since the cursor, by windows of days; without a cursor, or in a sweep, the whole list.

    A first walk that goes on in the middle asks once more at its end: what changed meanwhile may lie before that place.
    """
    cursor = walk.cursor or {}
    if walk.kind == "sweep" or (walk.kind == "live" and "since" not in cursor):
        went_on = "pass" in cursor
        async for page in _whole_list(walk, cursor.get("pass")):
            cursor = page.cursor or cursor
            yield page
        if not went_on:
            return
    begins_at = walk.since or walk.now()
    walk = replace(walk, cursor=cursor)
    async for page in walk_changes(walk, _asker(walk), begins_at=begins_at, zone=zone_of(walk), dated=_DATED):
        yield page


async def _whole_list(walk: Walk, going: Cursor | None) -> AsyncIterator[Page]:
    """Give the pages of the list that comes where no days are asked for, going on where the cursor says.

    The last cursor holds the instant at which the walk began.
    """
    started = cursor_time(going["started_at"]) if going else None
    doubt: str | None = going.get("doubt") if going else None
    try:
        at = Resume.from_json(going)
        async for piece, resume in walk_offsets(_fetch(walk), walk=walk, resume=at, early=walk.early):
            started, doubt = started or piece.answer.safe_at, doubt or piece.doubt
            so_far = {"started_at": started.isoformat(), "doubt": doubt}
            mark = "swept_at" if walk.kind == "sweep" else "since"
            ends_listing = resume is None and not going
            yield Page(
                records=piece.records,
                cursor={"pass": {**so_far, **resume.to_json()}} if resume else {mark: started.isoformat()},
                requested_at=piece.answer.sent_at,
                keys=row_keys(piece.keys),
                scope=Scope() if ends_listing else None,
                whole_walk=ends_listing,
                doubt=doubt,
                unproven=piece.unproven,
            )
    except EndUnknown as error:
        yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
        raise


def _fetch(walk: Walk, params: Sequence[tuple[str, str]] = ()) -> Callable[[int], Awaitable[Slice]]:
    return fetch_pages(walk, _KEYS.of_all, _PATH, NEXT_OFFSET, params, counted=True)


def _asker(walk: Walk) -> Ask:
    async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("modified_start", window.first.isoformat()), ("modified_end", window.last.isoformat())]
        at = Resume.from_json(place)
        async for piece, resume in walk_offsets(_fetch(walk, params), walk=walk, resume=at, early=walk.early):
            where = resume.to_json() if resume else None
            yield Piece(records=piece.records, answer=piece.answer, place=where, keys=piece.keys)

    return ask


async def _confirm_service_item(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one service item as sent: it is asked for with all items of its service.

    An empty list, or a 404, says that it is gone.
    """
    row = await walk.stored(key)
    customer_id, service_id = row.get("customer_id"), row.get("service_id")
    if not customer_id or not service_id:
        raise CannotTell("a service item without customer_id or service_id cannot be asked for")
    answer = await walk.upstream.request("GET", f"/api/v1/customers/{customer_id}/service-items/{service_id}.json")
    records = bare_list(answer)
    keys = _KEYS.of_all(records)
    if key in keys:
        return records[keys.index(key)]
    if None in keys:
        raise BadPayload(f"asked for service {service_id}, got records without service_item_id")
    raise NotFound(f"service {service_id} no longer holds service item {key[0]}", status=200)


SERVICE_ITEMS_STREAM = Stream(
    name="service_items",
    table=SERVICE_ITEMS,
    walk=_walk_service_items,
    every_s=30 * MINUTE_S,
    sweep_s=7 * DAY_S,
    backfills=True,
    confirm=_confirm_service_item,
    cost=Cost(live=1.0),
)

"""Service items: what an object of a customer is due for, walked by days of change and swept whole."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    DATE,
    TEXT,
    TIMESTAMP,
    CannotTell,
    Cursor,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import EndUnknown, Resume, walk_offsets
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.records.readers import Keys
from syncd.sources.cyclesoftware.api import SCHEMA, zone_of
from syncd.sources.cyclesoftware.days import WIDEST, Days, refuses_range, window_from
from syncd.sources.cyclesoftware.forms import bare_list
from syncd.sources.cyclesoftware.paged_lists import fetch_pages, offset_of

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


async def _walk_service_items(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was modified since the cursor, window by window; without a cursor, or in a sweep, all of it.

    A live walk that goes on in the middle asks once more at its end: what changed meanwhile may lie before the place to
    go on from. A window that the server finds too wide is halved once.
    """
    cursor = walk.cursor or {}
    width: timedelta | None = None
    is_whole = walk.kind == "sweep" or "since" not in cursor
    name = "swept_at" if walk.kind == "sweep" else "since"
    while True:
        going = cursor.get("pass")
        window, finish = None, _named(name)
        if not is_whole:
            since = cursor_time(cursor["since"])
            window = Days.from_json(going) if going else _window(walk, since, width)
            finish = _since_after(window, since)
        try:
            async for page in _pass(walk, window, cursor, finish=finish):
                cursor = page.cursor or cursor
                yield page
        except BadRequest as error:
            if width or not window or not refuses_range(error):
                raise
            width = (window.end - window.begin) / 2 + 2 * overlap_of(walk)  # so that two of them reach to now
            cursor = {name: value for name, value in cursor.items() if name != "pass"}
            walk.note(f"the server finds {window.first} to {window.last} too wide a range; half of it is asked for")
            continue
        if (window is None or window.is_open) and not going:
            return
        is_whole = False


def _window(walk: Walk, since: datetime, width: timedelta | None) -> Days:
    return window_from(since - overlap_of(walk), walk.now(), zone_of(walk), width=width or WIDEST)


def _named(name: str) -> Callable[[datetime], Cursor]:
    return lambda started: {name: started.isoformat()}


def _since_after(window: Days, since: datetime) -> Callable[[datetime], Cursor]:
    """Return what gives the cursor after a window: the start of its pass, or its end if more windows follow."""
    return lambda started: {"since": max(since, started if window.is_open else window.end).isoformat()}


async def _pass(
    walk: Walk, window: Days | None, cursor: Cursor, *, finish: Callable[[datetime], Cursor]
) -> AsyncIterator[Page]:
    """Give the pages of one window, or of the whole list, going on where the cursor says.

    The cursor of the last page is `finish` of the instant at which the pass began.
    """
    going = cursor.get("pass")
    keep = {name: value for name, value in cursor.items() if name != "pass"}
    started = cursor_time(going["started_at"]) if going else None
    doubt: str | None = going.get("doubt") if going else None
    params = [("modified_start", f"{window.first}"), ("modified_end", f"{window.last}")] if window else []
    fetch = fetch_pages(walk, _KEYS.of_all, _PATH, "next_offset", offset_of, params, counted=True)
    try:
        async for piece, resume in walk_offsets(fetch, walk=walk, resume=Resume.from_json(going), early=walk.early):
            started, doubt = started or piece.answer.safe_at, doubt or piece.doubt
            so_far = {"started_at": started.isoformat(), "doubt": doubt, **(window.to_json() if window else {})}
            ends_listing = window is None and resume is None and not going
            yield Page(
                records=piece.records,
                cursor={**keep, "pass": {**so_far, **resume.to_json()}} if resume else finish(started),
                requested_at=piece.answer.sent_at,
                keys=[key if isinstance(key, tuple) else None for key in piece.keys],
                scope=Scope() if ends_listing else None,
                whole_walk=ends_listing,
                doubt=doubt,
                unproven=piece.unproven,
            )
    except EndUnknown as error:
        yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
        raise


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
    confirm=_confirm_service_item,
)

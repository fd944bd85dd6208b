"""Repairs of the workshop with their lines. The vendor filters them by the day for which they are planned, only."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    JSON,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Cost,
    Cursor,
    Due,
    Feed,
    Index,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    Windows,
    column,
    month_of,
)
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.links import walk_links
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import EndUnknown
from syncd.contract.source import CannotTell
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.contract.windows import Piece, Range, Window, goes_on_at, passed, walk_windows
from syncd.records.readers import Keys, envelope, members
from syncd.sources.cyclesoftware.api import FROM, SCHEMA, first_day, zone_of
from syncd.sources.cyclesoftware.forms import DATA, dated
from syncd.sources.cyclesoftware.paged_lists import fetch_linked

NEAR = timedelta(days=2)
"""Around now: planned days of which every live run asks."""
WIDE_BACK, WIDE_AHEAD = timedelta(days=45), timedelta(days=120)
"""Around now: planned days of which a live run asks now and then."""
WIDE_EVERY = timedelta(hours=6)
TOLD_MOST: Final = 20
"""Repairs in a live run that are asked for one by one, because other rows tell of a change; our choice."""
FAR = timedelta(days=366)
"""How far ahead repairs are planned at most."""

WORKSHOP_ORDER_ITEMS = Table(
    schema=SCHEMA,
    name="workshop_order_items",
    key=("workshop_order_id", "item_id"),
    comment="Lines of repairs; live and die with their repair",
    personal=("assigned_to_customer_id",),
    columns=(
        column("workshop_order_id", BIGINT, "Number of the repair"),
        column("item_id", BIGINT, "Number of the line, unique within the repair"),
        column(
            "item_type_id", BIGINT, "Kind of line: enums, subject transaction_item_types; 4 was seen for repair codes"
        ),
        column("special_type_id", BIGINT, "Which bike or code the line is of, by its kind"),
        column("quantity", NUMERIC, "How many"),
        column("barcode", TEXT, "Barcode; of a repair code the code itself"),
        column("pos_group_id", BIGINT, "Turnover group: enums, subject pos_groups"),
        column("description", TEXT, "What it is, in words"),
        column("unit_price_in_vat_cents", BIGINT, "Price of one, with VAT, in euro cents"),
        column("unit_discount_amount_in_vat_cents", BIGINT, "Discount on one, with VAT, in euro cents"),
        column("price_in_vat_cents", BIGINT, "Price of the line, with VAT, in euro cents"),
        column("discount_percentage", NUMERIC, "Discount in percent"),
        column("vat_code", BIGINT, "VAT code: enums, subject vat_codes"),
        column("vat_percentage", NUMERIC, "VAT in percent"),
        column("vat_amount_cents", BIGINT, "VAT of the line, in euro cents"),
        column("item_status_id", BIGINT, "Status of the line: enums, subject sales_order_item_status"),
        column("item_status_text", TEXT, "Status of the line in words"),
        column("unit_work_time_minutes", BIGINT, "Work for one, in minutes"),
        column("assigned_to_customer_id", BIGINT, "Customer who pays the line", optional=True),
        column("invoice_number", BIGINT, "Invoice of the line", optional=True),
    ),
)

WORKSHOP_ORDERS = Table(
    schema=SCHEMA,
    name="workshop_orders",
    key=("workshop_order_id",),
    comment="Repairs; one whose is_active is false is deleted and bears a tombstone; needs the scope resources",
    deleted="is_active",
    deleted_if=False,
    personal=("customer_id", "repair_description"),
    refers={"customer_id": "customers"},
    columns=(
        column("workshop_order_id", BIGINT, "Number of the repair"),
        column("sales_order_id", BIGINT, "The sales order: sales_orders.sales_order_id"),
        column("customer_id", BIGINT, "The customer whose bike it is"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("repair_object_id", BIGINT, "What is repaired: repair_objects.object_id"),
        column("is_active", BOOLEAN, "False if deleted upstream; the row then bears a tombstone"),
        column("reference_text", TEXT, "Reference in words"),
        column("datetime_scheduled_start", TIMESTAMP, "Planned begin; null if it is not planned; sent in local time"),
        column("datetime_scheduled_finished", TIMESTAMP, "Planned end; sent in local time"),
        column("datetime_created", TIMESTAMP, "When it was created; sent in local time"),
        column("datetime_modified", TIMESTAMP, "When it was last modified; sent in local time"),
        column("mechanic_employee_id", BIGINT, "Who repairs it: employees; 0 or null for nobody yet"),
        column("created_by_employee_id", BIGINT, "Who entered it: employees"),
        column("last_update_employee_id", BIGINT, "Who changed it last: employees"),
        column("phone_number_id", TEXT, "Number to call: customer_phone_numbers.phone_number_id"),
        column("repair_description", TEXT, "What is to be done, in words"),
        column("status_id", BIGINT, "Status: enums, subject workshop_order_status"),
        column("status_text", TEXT, "Status in words"),
        column("invoice_number", BIGINT, "Number of the invoice; 0 for none"),
        column("borrowed_object_reference", TEXT, "Bike that was lent meanwhile"),
        column("total_repair_time_minutes", BIGINT, "Time that the lines take, in minutes"),
        column("custom_repair_time_minutes", BIGINT, "Time as planned by hand, in minutes"),
        column("repair_codes", JSON, "Repair codes as sent; only when it is created", optional=True),
        column("service_card_codes", JSON, "Codes of service cards as sent; only when it is created", optional=True),
        column("delivery_method_id", BIGINT, "How it is delivered: enums, subject delivery_methods"),
        column("workshop_order_type_id", BIGINT, "Kind of repair: enums, subject workshop_order_types"),
    ),
    children=(Child(field="order_items", table=WORKSHOP_ORDER_ITEMS),),
    indexes=(
        Index(name="workshop_orders_by_month", on=(month_of("datetime_created"),)),
        Index(name="workshop_orders_by_start", on=("datetime_scheduled_start",)),
    ),
)  # fmt: skip

_PATH = "/api/v1/workshop/orders.json"
_KEYS = Keys(WORKSHOP_ORDERS)
_DATED = dated(WORKSHOP_ORDERS, "datetime_scheduled_start")
_ALL, _NEAR, _WIDE = "all", "near", "wide"
_REPAIRS = "Reparatie"

HINTS = Feed(
    option="",
    query=f"""
    WITH told AS (
      SELECT sales_order_id AS id, customer_id, datetime_modified AS modified_at, _changed_at AS at
      FROM cyclesoftware.sales_orders AS sale
      WHERE source = $1 AND customer_id > 0 AND _changed_at > $2::timestamptz - interval '2 days'
        AND (order_type_text = '{_REPAIRS}' OR EXISTS (
          SELECT FROM cyclesoftware.workshop_orders AS repair
          WHERE repair.source = $1 AND repair.workshop_order_id = sale.sales_order_id))
      UNION ALL
      SELECT workshop_order_id, coalesce(nullif(sales_order_customer_id, 0), customer_id), modified_at, _changed_at
      FROM cyclesoftware.sales_transactions
      WHERE source = $1 AND workshop_order_id > 0 AND _changed_at > $2::timestamptz - interval '2 days'
    )
    SELECT id || '/' || customer_id AS key, max(at) AS at FROM told
    WHERE customer_id > 0 AND modified_at > $2::timestamptz - interval '2 days' AND NOT EXISTS (
      SELECT FROM cyclesoftware.workshop_orders AS repair
      WHERE repair.source = $1 AND repair.workshop_order_id = told.id AND (
        repair.datetime_modified >= told.modified_at
        OR abs(extract(epoch FROM repair.datetime_scheduled_start - $2::timestamptz)) < {NEAR.total_seconds():.0f}))
    GROUP BY id, customer_id
    """,  # noqa: S608  (constants of this module)
    reads=("sales_orders", "sales_transactions"),
    in_turn=False,
    per_day=500,
)
"""Repairs of which a sales order or a transaction changed later than they did, as far as is known; not those near now,
which every live run lists, nor those of sales of long ago, which a first run or a backfill brings. A repair bears the
number of its sales order (STREAMS, an inference).
"""


async def _walk_workshop_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk repairs by their planned days: around now in a live run, further around it every few hours.

    A first run and a sweep give all of them: first the list without days, which alone holds what is not planned, then
    all windows since `from`. A later live run begins with repairs that other rows tell of.

    Only a sweep buries, and only what a request by key confirms. So one may go on where an earlier one was, although a
    repair that is planned anew may move to a window which was read before. The list is then read once more.
    """
    if walk.kind == "callback":
        async for page in _walk_named_repairs(walk):
            yield page
        return
    cursor = walk.cursor or {}
    if walk.kind == "live" and "pass" not in cursor:
        async for page in _told_elsewhere(walk, cursor):
            cursor = page.cursor or cursor
            yield page
    what = _what(walk, cursor)
    listed: set[Any] | None = None
    if what == _ALL and walk.kind != "backfill":
        place, resumes_later = _place_in_list(walk, cursor)
        listed = None if place else set()
        async for page in _list_without_days(walk, place, first=first_day(walk), resumes_later=resumes_later):
            if listed is not None:
                listed.update(page.keys or ())
            cursor = page.cursor or cursor
            yield page
    strangers = bool(cursor.get("strangers"))
    kept = {_NEAR: ("wide_at", "told"), _WIDE: ("told",)}.get(what, ())
    keep: Cursor = {name: cursor[name] for name in kept if name in cursor}
    wanted = _range(walk, what)
    pages = walk_windows(
        replace(walk, cursor=cursor), _asker(walk), wanted, keep={**keep, "what": what},
        scope=_inside(wanted) if walk.kind == "sweep" else None, dated=_DATED,
    )  # fmt: skip
    async for page in pages:
        strangers = strangers or (listed is not None and not listed.issuperset(page.keys or ()))
        if page.cursor and "pass" not in page.cursor:
            yield _last(walk, page, what, strangers)
        elif page.cursor and strangers:
            yield replace(page, cursor={**page.cursor, "strangers": True})
        else:
            yield page


async def _told_elsewhere(walk: Walk, cursor: Cursor) -> AsyncIterator[Page]:
    """Ask for the repairs that rows of other streams tell of since the last run, one by one, TOLD_MOST at most.

    One that is not there gives an empty page and proves nothing: it may not be readable yet, or be no repair.
    """
    if "told" not in cursor:
        return
    after = Due(key=str(cursor["told"]["key"]), at=cursor_time(cursor["told"]["at"]))
    for due in await walk.due(after, TOLD_MOST):
        number, customer_id = map(int, due.key.split("/"))
        asked_at, records = walk.now(), list[bytes]()
        with contextlib.suppress(NotFound):
            records = [await _ask_for_repair(walk, number, customer_id)]
        told = {"key": due.key, "at": due.at.isoformat() if due.at else asked_at.isoformat()}
        yield Page(records=records, cursor={**cursor, "told": told}, requested_at=asked_at)


async def _walk_named_repairs(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the repairs that webhooks named with their customers, one by one.

    One that is not there is buried if its webhook said that it was deleted; else that proves nothing.
    """
    for number, customer_id, is_deleted in walk.named:
        asked_at, records, gone = walk.now(), list[bytes](), None
        try:
            records = [await _ask_for_repair(walk, number, customer_id)]
        except NotFound:
            gone = Scope(column="workshop_order_id", values=(number,), guarded=False) if is_deleted else None
        yield Page(records=records, cursor=None, requested_at=asked_at, scope=gone)


def _last(walk: Walk, page: Page, what: str, strangers: bool) -> Page:
    """Return the last page of a walk with the cursor for the next; nothing is buried if the list is not believed."""
    cursor = dict(page.cursor or {})
    cursor.pop("what", None)
    if walk.kind == "live":
        asked_at = page.requested_at.isoformat()
        cursor = {"wide_at": asked_at, **cursor} if what == _NEAR else {**cursor, "wide_at": asked_at}
        cursor.setdefault("told", {"key": "", "at": asked_at})
    if walk.kind == "backfill":
        cursor = {"as_of": page.requested_at.isoformat()}
    if page.scope is None or not strangers:
        return replace(page, cursor=cursor)
    walk.note("nothing buried: the list without days lacks repairs that the windows hold")
    return replace(page, cursor=cursor, scope=None, whole_walk=False)


def _what(walk: Walk, cursor: Cursor) -> str:
    """Return what a run walks: all repairs, those around now, or those further around it."""
    if "pass" in cursor and "what" in cursor:
        return str(cursor["what"])
    if walk.kind != "live" or "wide_at" not in cursor:
        return _ALL
    return _WIDE if abs(walk.now() - cursor_time(cursor["wide_at"])) >= WIDE_EVERY else _NEAR


def _range(walk: Walk, what: str) -> Range:
    now = walk.now()
    begin, limit = {
        _NEAR: (now - NEAR, now),
        _WIDE: (now - WIDE_BACK, now + WIDE_AHEAD),
        _ALL: (first_day(walk), walk.until or now + FAR),
    }[what]
    return Range(begin=min(begin, limit), limit=limit, overlap=overlap_of(walk), zone=zone_of(walk))


def _inside(wanted: Range) -> Scope:
    """Return the rows about which a sweep says everything: those planned within its range, and those not planned."""
    return Scope(within=("datetime_scheduled_start",), since=wanted.begin, until=wanted.limit, nulls=True)


def _asker(walk: Walk) -> Any:
    """Return what asks for one window of planned days."""

    async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("date_from", window.first.isoformat()), ("date_until", window.last.isoformat())]
        fetch = fetch_linked(walk, _PATH, _KEYS.of_all, params)
        async for piece in walk_links(fetch, resume=(place or {}).get("query", "")):
            yield Piece(
                records=[_with_items(record) for record in piece.records],
                answer=piece.answer,
                place=None if piece.following is None else {"query": piece.following},
                keys=piece.keys,
            )

    return ask


def _place_in_list(walk: Walk, cursor: Cursor) -> tuple[str, bool]:
    """Return the place in the list without days where a walk goes on, empty for its beginning.

    And whether the walk goes on in a window later: the list is then read again, for what was entered meanwhile. A
    sweep compares it with the windows, and so reads it from its beginning.
    """
    going = cursor.get("pass")
    if walk.kind == "sweep":
        return "", goes_on_at(walk) is not None
    if not isinstance(going, dict):
        return "", False
    return str(going.get("list", "")), "begin" in going


async def _list_without_days(walk: Walk, place: str, *, first: datetime, resumes_later: bool) -> AsyncIterator[Page]:
    """Give the pages of the list without days, from a place in it; after its end the windows begin."""
    held = (walk.cursor or {}).get("pass")
    began_at = cursor_time(held["began_at"]) if place and isinstance(held, dict) else None
    starts_over = bool(held) and not place and not resumes_later
    try:
        async for piece in walk_links(fetch_linked(walk, _PATH, _KEYS.of_all), resume=place):
            began_at = began_at or piece.answer.safe_at
            where: Cursor = {"list": piece.following} if piece.following else {"begin": first.isoformat()}
            yield Page(
                records=[_with_items(record) for record in piece.records],
                cursor=None if resumes_later else {"what": _ALL, "pass": where | passed(walk, began_at)},
                requested_at=piece.answer.sent_at,
                keys=[key if isinstance(key, tuple) else None for key in piece.keys],
                starts_over=starts_over or piece.starts_over,
            )
            starts_over = False
    except EndUnknown as error:
        yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
        raise


def _with_items(record: bytes) -> bytes:
    """Return a repair with its lines; the vendor leaves the member out where there are none."""
    if b'"order_items"' in record or not (fields := members(record)):
        return record
    return msgspec.json.encode({**{name: msgspec.Raw(raw) for name, raw in fields.items()}, "order_items": []})


async def _confirm_workshop_order(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one repair as sent; it is asked for with its customer. A deleted one has `is_active` false, or a 404."""
    customer_id = (await walk.stored(key)).get("customer_id")
    if not customer_id:
        raise CannotTell("a repair without customer_id cannot be asked for")
    return await _ask_for_repair(walk, key[0], customer_id)


async def _ask_for_repair(walk: Walk, number: int, customer_id: int) -> bytes:
    """Return one repair as sent. Raises NotFound."""
    answer = await walk.upstream.request("GET", f"/api/v1/customers/{customer_id}/workshop-order/{number}.json")
    record = answer.body.lstrip()
    if _KEYS.of(record) != (number,):
        record = envelope(answer).get(DATA, b"")
    if _KEYS.of(record) != (number,):
        raise BadPayload(f"asked for repair {number}, got another or none")
    return _with_items(record)


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return _range(walk, _ALL).windows()


WORKSHOP_ORDERS_STREAM = Stream(
    name="workshop_orders",
    table=WORKSHOP_ORDERS,
    walk=_walk_workshop_orders,
    every_s=15 * MINUTE_S,
    sweep_s=7 * DAY_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("datetime_scheduled_start", "datetime_created")),
    options=(FROM,),
    confirm=_confirm_workshop_order,
    hints=HINTS,
    cost=Cost(live=2.0, beside=232.0),
)

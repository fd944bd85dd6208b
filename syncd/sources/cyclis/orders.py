"""Lease orders: walked by time of change, company by company where one is new, or one by one as callbacks name them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from syncd.contract import (
    ALIVE,
    BIGINT,
    BOOLEAN,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Cursor,
    Index,
    Page,
    Stream,
    Walk,
    month_of,
)
from syncd.contract.early import in_order
from syncd.contract.errors import BadPayload, BadRequest, NotFound, ScopeMissing
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.records.readers import Keys, earliest_reading, envelope
from syncd.sources.cyclis.api import ZONE, attribute, fetch_pieces, path_of, records_of, relation, resource_table
from syncd.sources.cyclis.listings import full_pass

ORDERS = resource_table(
    "orders",
    "Lease orders and quotes; carries no time of change, deletions are found by sweeps",
    "order",
    attribute("name", TEXT, "Number of the order, e.g. SO12345"),
    attribute("bike_name", TEXT, "Brand and model in one"),
    attribute("bike_brand", TEXT, "Brand of the bike"),
    attribute("bike_model", TEXT, "Model of the bike"),
    attribute("bike_type", TEXT, "Kind of bike, e.g. City Bike"),
    attribute("bike_frame_type", TEXT, "Kind of frame, e.g. Unisex"),
    attribute("bike_size", TEXT, "Size of the frame; text, e.g. 55"),
    attribute("bike_color", TEXT, "Color of the bike"),
    attribute("bike_order_state", TEXT, "How far the order of the bike itself is, e.g. ordered; an open set"),
    attribute("state", TEXT, "State of the order, e.g. quote, quote_to_review; an open set"),
    attribute("insurance", BOOLEAN, "Whether insurance is included"),
    attribute("maintenance", BOOLEAN, "Whether maintenance is included"),
    attribute("assistance", BOOLEAN, "Whether roadside assistance is included"),
    attribute("lease_cost", NUMERIC, "Cost of the lease, e.g. 91.26; unit not documented, presumably euros a month"),
    attribute("lease_duration", BIGINT, "Length of the lease, e.g. 36; unit not documented, presumably months"),
    attribute("maintenance_budget", NUMERIC, "Budget for maintenance, e.g. 300; presumably euros"),
    attribute("start_lease_date", TIMESTAMP, "Start of the lease; a date-time in the sample"),
    attribute("end_lease_date", TIMESTAMP, "End of the lease; a date-time in the sample"),
    attribute("cost_center", TEXT, "Cost center at the company"),
    attribute("employee_id", TEXT, "Number of the employee at the company"),
    attribute("create_timestamp", TIMESTAMP, "When the order was created"),
    *relation("cyclist", "The cyclist who leases"),
    *relation("company", "The company of the cyclist"),
    indexes=(
        Index(name="orders_by_month", on=(month_of("create_timestamp"),)),
        Index(name="orders_by_end", on=("end_lease_date",), where=f"{ALIVE} AND end_lease_date IS NOT NULL"),
        Index(name="orders_by_cyclist", on=("cyclist_id", "source")),
    ),
    personal=("cost_center", "employee_id", "cyclist_id"),
    refers={"cyclist_id": "cyclists"},
    needed=("company_id",),
)

_KEYS = Keys(ORDERS)


async def _walk_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was updated since the cursor, or everything; then all orders of companies that are new to the key."""
    cursor = walk.cursor or {}
    if walk.kind == "sweep":
        async for page in full_pass(walk, ORDERS, lambda started: {"swept_at": started.isoformat()}, by_company=True):
            yield page
    elif walk.kind == "callback":
        async for page in _walk_named_orders(walk):
            yield page
    elif walk.kind == "backfill":
        done = {"since": walk.since.isoformat() if walk.since else None}
        async for piece in fetch_pieces(walk, "orders", _updated_since(walk, walk.since)):
            cursor_then = done if piece.is_last else None
            yield Page(records=piece.records, cursor=cursor_then, requested_at=piece.answer.sent_at)
    elif "since" not in cursor:
        companies = sorted(await _mirrored_companies(walk))
        async for page in full_pass(
            walk, ORDERS, lambda started: {"since": started.isoformat(), "companies": companies}, by_company=True
        ):
            yield page
    else:
        async for page in _walk_updated_orders(walk, cursor):
            yield page


async def _walk_updated_orders(walk: Walk, cursor: Cursor) -> AsyncIterator[Page]:
    """Walk the orders updated since the cursor, then those of new companies, one company after the other.

    Old orders of a company that is added to the key appear without being updated, so they are asked for without
    `updated_since`. The cursor moves with the last page only, but remembers each company that is done.
    """
    since = cursor_time(cursor["since"])
    mirrored = await _mirrored_companies(walk)
    known = mirrored.intersection(cursor.get("companies", ()))
    new = sorted(mirrored - known)
    started = since
    async for piece in fetch_pieces(walk, "orders", _updated_since(walk, since - overlap_of(walk))):
        started = max(started, piece.answer.safe_at) if started is since else started
        is_end = piece.is_last and not new
        yield Page(
            records=piece.records,
            cursor={"since": started.isoformat(), "companies": sorted(known)} if is_end else None,
            requested_at=piece.answer.sent_at,
        )
    for company in new:
        asked_at = walk.now()
        moved = started if company == new[-1] else since
        try:
            async for piece in fetch_pieces(walk, "orders", [("company_id", company)]):
                asked_at = piece.answer.sent_at
                if not piece.is_last:
                    yield Page(records=piece.records, cursor=None, requested_at=asked_at)
                    continue
                known |= {company}
                done = {"since": moved.isoformat(), "companies": sorted(known)}
                yield Page(records=piece.records, cursor=done, requested_at=asked_at)
        except NotFound:
            # taken from the key again since the companies were read; not known, so it is asked for when it returns
            done = {"since": moved.isoformat(), "companies": sorted(known)}
            yield Page(records=[], cursor=done, requested_at=asked_at)


async def _walk_named_orders(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the orders that callbacks named, one by one.

    One that is not to be had gives an empty page and proves nothing: it may be of another company, or not readable yet.
    """
    async for _, page in in_order(walk.named, partial(_ask_order, walk), walk.early):
        yield page


async def _ask_order(walk: Walk, key: tuple[Any, ...]) -> Page:
    """Return the page of one order, empty if it is not to be had."""
    records: Sequence[bytes] = ()
    asked_at = walk.now()
    try:
        answer = await walk.upstream.request("GET", f"{path_of(walk, 'orders')}/{key[0]}")
    except (NotFound, ScopeMissing, BadRequest):
        pass
    else:
        asked_at, records = answer.sent_at, records_of(envelope(answer))
        if _KEYS.of_all(records) != [key]:
            raise BadPayload("asked for one order by its id, got something else")
    return Page(records=records, cursor=None, requested_at=asked_at)


async def _mirrored_companies(walk: Walk) -> set[str]:
    """Return the companies that the mirror knows; those of the cyclists where there is no list of companies."""
    found = await walk.mirrored("companies", "id") or await walk.mirrored("cyclists", "company_id")
    return {str(company) for company in found if company}


def _updated_since(walk: Walk, moment: datetime | None) -> list[tuple[str, str]]:
    """Write an instant for `updated_since`: right or too early, whether the vendor reads local time or UTC."""
    if moment is None:
        return []
    return [("updated_since", earliest_reading(moment, ZoneInfo(ZONE.of(walk.options))).isoformat("T", "seconds"))]


ORDERS_STREAM = Stream(
    name="orders",
    table=ORDERS,
    walk=_walk_orders,
    every_s=5 * MINUTE_S,
    sweep_s=DAY_S,
    backfills=True,
    reads=("companies", "cyclists"),
)

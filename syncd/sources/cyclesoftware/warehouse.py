"""The warehouse of an account that serves several shops: its stock, what comes in, what goes out. Off by default."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from syncd.contract import Answer, Cursor, Page, Scope, Stream, Table, Walk, Windows
from syncd.contract.errors import BadPayload
from syncd.contract.links import walk_links
from syncd.contract.options import DAY_S, HOUR_S, MINUTE_S
from syncd.contract.paging import EMPTY_PAGES, EndUnknown, row_keys
from syncd.contract.toolkit import cursor_time
from syncd.contract.windows import Ask, Piece, Window
from syncd.records.readers import Keys, envelope, scalar, shown, whole_number
from syncd.sources.cyclesoftware.api import listing
from syncd.sources.cyclesoftware.forms import DATA, data_of, dated, map_of, rows_of, with_member
from syncd.sources.cyclesoftware.paged_lists import NEXT_OFFSET, fetch_linked, full_list, walk_places
from syncd.sources.cyclesoftware.recent import recent_range, walk_recent
from syncd.sources.cyclesoftware.warehouse_tables import (
    WAREHOUSE_ASSEMBLIES,
    WAREHOUSE_AVAILABILITY,
    WAREHOUSE_BACKLOG_ITEMS,
    WAREHOUSE_DELIVERED_ITEMS,
    WAREHOUSE_OPEN_ORDER_ITEMS,
    WAREHOUSE_POS_ITEMS,
    WAREHOUSE_STOCK_ITEMS,
)

_V1, _V2 = "/api/v1/warehouse", "/api/v2/warehouse"
SWEEP: Final = timedelta(days=62)
"""How far back a sweep of deliveries and assemblies goes; our choice."""
_REPEATED: Final = "a row came twice while the list was walked, so it moved, and others may have slid past"
_WENT_ON: Final = "the walk went on from an earlier run's place, so nobody knows whether a row came twice"


# --- Objects of all shops: pages by token, nothing else to confirm by -------------------------------------------------


async def _walk_pos_items(walk: Walk) -> AsyncIterator[Page]:
    """Walk the whole list. It proves what is gone only if no row came twice, for there is nothing to confirm by."""
    going = (walk.cursor or {}).get("pass")
    started = cursor_time(going["started_at"]) if going else None
    unproven = _WENT_ON if going else None
    keys_of, known = Keys(WAREHOUSE_POS_ITEMS).of_all, set[Hashable]()
    fetch = fetch_linked(walk, f"{_V2}/stock/pos-items.json", keys_of)
    try:
        async for piece in walk_links(fetch, resume=going["query"] if going else ""):
            if piece.starts_over:
                started, unproven = None, None
                known.clear()
            started = started or piece.answer.safe_at
            found = [key for key in piece.keys if key is not None]
            if len(known | set(found)) < len(known) + len(found):
                unproven = unproven or _REPEATED
            known.update(found)
            is_last = piece.following is None
            so_far = {"started_at": started.isoformat(), "query": piece.following}
            yield Page(
                records=piece.records,
                cursor={"as_of": started.isoformat()} if is_last else {"pass": so_far},
                requested_at=piece.answer.sent_at,
                keys=row_keys(piece.keys),
                scope=Scope() if is_last else None,
                whole_walk=is_last,
                starts_over=piece.starts_over,
                unproven=unproven if is_last else None,
            )
    except EndUnknown as error:
        yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
        raise


# --- Lines of open orders: pages by number ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Numbered:
    """One page of a list that is paged by number."""

    records: Sequence[bytes]
    answer: Answer
    is_last: bool


async def _walk_open_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the whole list; where rows are missing from several pages, walk it once more before they count as gone.

    A row that is shipped while the list is walked lets all later ones slid forward, one of them onto a page that was
    read already. The walk starts again when it was cut off: the list is short.
    """
    keys_of, seen = Keys(WAREHOUSE_OPEN_ORDER_ITEMS).of_all, set[Hashable]()
    started: datetime | None = None
    pages = 0
    for is_second in (False, True):
        async for page in _numbered(walk, f"{_V1}/outbound/order/open-orders.json"):
            started, pages = started or page.answer.safe_at, pages + 1
            keys = keys_of(page.records)
            seen.update(keys)
            is_done = page.is_last and (is_second or pages == 1 or not await _lacks(walk, seen))
            yield Page(
                records=page.records,
                cursor={"as_of": started.isoformat()} if is_done else None,
                requested_at=page.answer.sent_at,
                keys=keys,
                scope=Scope() if is_done else None,
                whole_walk=is_done,
            )
            if is_done:
                return


async def _lacks(walk: Walk, seen: set[Hashable]) -> bool:
    """Say whether the mirror holds a row that was not seen."""
    return any(key not in seen for key in await walk.held(Scope()))


async def _numbered(walk: Walk, path: str) -> AsyncGenerator[_Numbered, None]:
    """Give the pages from 1 to the last. Raises BadPayload for a page that is another than was asked for."""
    number, empty = 1, 0
    while True:
        answer = await walk.upstream.request("GET", path, params=[("page", str(number))])
        records = data_of(answer)
        pagination = map_of(envelope(answer).get("pagination"), "pagination")
        if whole_number(pagination.get("page")) != number:
            told = shown(pagination.get("page"))
            raise BadPayload(f"asked for page {number}, `pagination.page` says {told}: is the page ignored?")
        more = pagination.get("has_next_page")
        if more not in (b"true", b"false", b"1", b"0"):
            told = f"expected true or false in `pagination.has_next_page`, got {shown(more)}"
            yield _Numbered(records=records, answer=answer.without_body(), is_last=False)
            raise BadPayload(told)
        yield _Numbered(records=records, answer=answer.without_body(), is_last=more in (b"false", b"0"))
        if more in (b"false", b"0"):
            return
        empty = 0 if records else empty + 1
        if empty > EMPTY_PAGES:
            raise BadPayload(f"paging loop: {EMPTY_PAGES} empty pages in a row, each promising a next one")
        number += 1


# --- Deliveries and assemblies: windows of days, never buried ---------------------------------------------------------


def _recent(table: Table, path: str, *, live: timedelta, by: str) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a list that is asked for by days and paged by `next_offset`."""
    keys_of, by_day = Keys(table).of_all, dated(table, by)

    def asker(walk: Walk) -> Ask:
        async def ask(window: Window, place: Cursor | None) -> AsyncIterator[Piece]:
            params = [("start_date", window.first.isoformat()), ("end_date", window.last.isoformat())]
            async for piece, where in walk_places(walk, path, keys_of, params, member=NEXT_OFFSET, place=place):
                yield Piece(records=piece.records, answer=piece.answer, place=where, keys=piece.keys)

        return ask

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        async for page in walk_recent(walk, asker(walk), live=live, sweep=SWEEP, dated=by_day):
            yield page

    return pages


def _windows(live: timedelta, walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return recent_range(walk, live=live, sweep=SWEEP).windows()


def _recent_stream(table: Table, path: str, *, live: timedelta, by: str) -> Stream:
    return Stream(
        name=table.name,
        table=table,
        walk=_recent(table, path, live=live, by=by),
        every_s=HOUR_S,
        sweep_s=DAY_S,
        backfills=True,
        windows=Windows(of=partial(_windows, live), columns=(by,)),
        is_on=False,
    )


# --- Other lists ------------------------------------------------------------------------------------------------------


async def _walk_backlog(walk: Walk) -> AsyncIterator[Page]:
    """Walk the whole list; an empty map of what an item is meant for, written as an array, is none."""
    pages = full_list(WAREHOUSE_BACKLOG_ITEMS, f"{_V1}/inbound/backlog.json")
    async for page in pages(walk):
        yield replace(page, records=[_assigned(record) for record in page.records])


def _assigned(record: bytes) -> bytes:
    if record[:1] != b"{" or b'"assignment"' not in record:
        return record
    fields = {name: msgspec.Raw(raw) for name, raw in envelope(record).items()}
    if bytes(fields.get("assignment", b"")).translate(None, b" \r\n\t") != b"[]":
        return record
    return msgspec.json.encode({**fields, "assignment": None})


def _available(answer: Answer) -> list[bytes]:
    """Return the figures of the whole warehouse, under an empty group, and those of each group."""
    data = map_of(envelope(answer).get(DATA), DATA)
    found = [
        with_member(each, "warehouse_group_name", "") for each in rows_of(data.get("availability"), "availability")
    ]
    groups = data.get("availability_per_warehouse_group", b"[]")
    for raw in [] if groups == b"null" else rows_of(groups, "availability_per_warehouse_group"):
        group = map_of(raw, "availability_per_warehouse_group")
        name = scalar(group.get("warehouse_group_name", group.get("name")))
        if not isinstance(name, str) or not name:
            raise BadPayload(
                f"expected a name in `warehouse_group_name`, got {shown(group.get('warehouse_group_name'))}"
            )
        rows = rows_of(group.get("availability"), "availability")
        found += [with_member(each, "warehouse_group_name", name) for each in rows]
    return found


WAREHOUSE_STREAMS: Final = (
    Stream(
        name="warehouse_stock_items",
        table=WAREHOUSE_STOCK_ITEMS,
        walk=full_list(WAREHOUSE_STOCK_ITEMS, f"{_V2}/stock/items.json", "next_url"),
        every_s=HOUR_S,
        is_on=False,
    ),
    Stream(
        name="warehouse_pos_items", table=WAREHOUSE_POS_ITEMS, walk=_walk_pos_items, every_s=HOUR_S, is_on=False
    ),
    Stream(
        name="warehouse_backlog_items", table=WAREHOUSE_BACKLOG_ITEMS, walk=_walk_backlog, every_s=HOUR_S, is_on=False
    ),
    _recent_stream(
        WAREHOUSE_DELIVERED_ITEMS, f"{_V1}/inbound/delivered-items.json", live=timedelta(days=7),
        by="datetime_delivered",
    ),
    Stream(
        name="warehouse_open_order_items",
        table=WAREHOUSE_OPEN_ORDER_ITEMS,
        walk=_walk_open_orders,
        every_s=30 * MINUTE_S,
        is_on=False,
    ),
    _recent_stream(
        WAREHOUSE_ASSEMBLIES, f"{_V1}/workshop/assemblies.json", live=timedelta(days=14), by="released_for_shipment_at"
    ),
    Stream(
        name="warehouse_availability",
        table=WAREHOUSE_AVAILABILITY,
        walk=listing(WAREHOUSE_AVAILABILITY, f"{_V1}/availability.json", DATA, records_of=_available),
        every_s=HOUR_S,
        is_on=False,
    ),
)  # fmt: skip

"""Orders of the account, newest first."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from syncd.contract import (
    JSON,
    TEXT,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    camel_column,
)
from syncd.contract.options import DAY_S, MINUTE_S, whole_option
from syncd.contract.paging import Slice, walk_offsets
from syncd.sources.ghs.api import SCHEMA, ask_page, riders_of, slice_of

ORDERS_TAKE: Final = 100  # our choice; `take` is required (FACTS, P)
WINDOW: Final = whole_option("window", "Newest orders that every live pass reads again", default=100, minimum=1)
TOP_IDS: Final = 25  # newest orders that a cursor remembers, to know where the next pass meets the one before

ORDERS: Final = Table(
    schema=SCHEMA,
    name="orders",
    key=("order_id",),
    comment="Orders of the account (GET /api/orders); fields that the vendor does not name stand in _extra",
    personal=("external_order_id",),
    columns=(
        camel_column("orderId", TEXT, "GHS id of the order; leading zeros count"),
        camel_column("externalOrderId", TEXT, "The customer's own reference"),
        camel_column(
            "deliveryRoute", TEXT, "Delivery route; A: collected by the customer, N: sent with a later delivery"
        ),
        camel_column("items", JSON, "Order lines as sent: productId, productName, quantity"),
    ),
)


async def _walk_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the orders, newest first.

    A live pass ends once it has re-read the window and, one page further, all that lies above the top of the last
    complete pass. A sweep, and the first pass, walk the whole list. New orders shift every offset, so that no place in
    the list is safe to resume at: an interrupted pass starts again.
    """
    before: list[Any] = (walk.cursor or {}).get("top", [])
    known = frozenset(before) if walk.kind == "live" else frozenset()
    top: list[Any] = []
    position, has_met = 0, False
    riders: Mapping[str, Sequence[bytes]] = {}

    async def fetch(offset: int) -> Slice:
        nonlocal riders
        answer, fields, take = await ask_page(walk, "/api/orders", skip=offset, wanted=ORDERS_TAKE, filled="orders")
        riders = riders_of(fields)
        return slice_of(answer, fields, ("orders", "orderId"), offset, position, take)

    async with aclosing(walk_offsets(fetch, walk=walk)) as pieces:
        async for piece, after in pieces:
            top = top or [key for key in piece.keys if key is not None][:TOP_IDS]
            complete = after is None or (has_met and position >= WINDOW.of(walk.stream_options))
            has_met = has_met or not known.isdisjoint(piece.keys)
            position = after.offset if after else position
            sweeps = walk.kind == "sweep" and complete
            newest = {"top": top or before} if walk.kind == "live" else {}
            yield Page(
                records=piece.records,
                cursor=newest if complete else None,
                requested_at=piece.answer.sent_at,
                scope=Scope() if sweeps else None,
                whole_walk=sweeps,
                doubt=piece.doubt,
                unproven=piece.unproven,
                riders=riders,
                total=piece.total,
            )
            if complete:
                return


ORDERS_STREAM: Final = Stream(
    name="orders",
    table=ORDERS,
    walk=_walk_orders,
    every_s=5 * MINUTE_S,
    sweep_s=DAY_S,
    options=(WINDOW,),
)

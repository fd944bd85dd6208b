"""Payments: how sales were paid, walked by windows of days. They are sent in groups, one per invoice or order."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import msgspec

from syncd.contract import (
    BIGINT,
    JSON,
    TEXT,
    TIMESTAMP,
    CannotTell,
    Cost,
    Cursor,
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
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.toolkit import cursor_time
from syncd.contract.windows import Ask, Piece, Range, Window, goes_on_at, walk_windows
from syncd.records.readers import Keys, members
from syncd.sources.cyclesoftware.api import FROM, SCHEMA, first_day, zone_of
from syncd.sources.cyclesoftware.forms import bare_list, dated, rows_of

LIVE = timedelta(days=3)
"""How far back a live run asks: which date the vendor's filter reads is not said."""
SWEPT = timedelta(days=31)
"""How far back a sweep on schedule asks."""
EDGE = timedelta(days=1)
"""At either end of a range: payments there may be missing from its answers, and are not buried."""

PAYMENTS = Table(
    schema=SCHEMA,
    name="payments",
    key=("payment_id",),
    comment="Payments, each with what its group says of the invoice or order; needs the scope sales-export",
    personal=("customer_id", "ecommerce_reference_text"),
    refers={"customer_id": "customers"},
    needed=("book_date", "created_at"),
    columns=(
        column("payment_id", BIGINT, "Number of the payment"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("book_location_id", BIGINT, "Where it was booked"),
        column("method", TEXT, "Way to pay in words, e.g. Pin, Contant or Bank"),
        column("method_id", BIGINT, "Way to pay: enums, subject payment_methods"),
        column("amount_cents", BIGINT, "Amount in euro cents"),
        column("book_date", TIMESTAMP, "When it was booked, at times for an earlier day; sent in local time"),
        column("created_at", TIMESTAMP, "When it was entered; sent in local time"),
        column("customer_id", BIGINT, "The customer; 0 or null for nobody known", optional=True),
        column("invoice_number", BIGINT, "The invoice: sales_transactions.sales_transaction_number", optional=True),
        column("related_to_invoice_number", BIGINT, "The invoice to which it belongs, too", optional=True),
        column("sales_order_id", BIGINT, "The sales order; of an advance payment nothing else is known", optional=True),
        column("ecommerce_reference_text", TEXT, "Reference of the web shop in words", optional=True),
        column("ecommerce_reference_id", TEXT, "Reference of the web shop", optional=True),
        column(
            "psp", JSON, "What the payment provider tells of the whole group, on each of its rows", optional=True
        ),
    ),
    indexes=(
        Index(name="payments_by_month", on=(month_of("book_date"),)),
        Index(name="payments_by_invoice", on=("invoice_number", "source")),
    ),
)  # fmt: skip

_PATH = "/api/v1/salesdata/payments.json"
_KEYS = Keys(PAYMENTS)
_DATED = dated(PAYMENTS, "book_date", "created_at")
"""The vendor does not say which of the two its filter reads."""


async def _walk_payments(walk: Walk) -> AsyncIterator[Page]:
    """Walk the last days; everything since `from` in a first run, and in a sweep that an operator ordered.

    Only a sweep buries: payments all of whose dates lie inside its range, whichever of them the vendor's filter
    reads.
    """
    wanted = _range(walk)
    scope = _inside(wanted) if walk.kind == "sweep" else None
    async for page in walk_windows(walk, _asker(walk), wanted, scope=scope, dated=_DATED):
        yield page


def _asker(walk: Walk) -> Ask:
    """Return what asks for one window of days."""

    async def ask(window: Window, _place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("start_date", window.first.isoformat()), ("end_date", window.last.isoformat())]
        answer = await walk.upstream.request("GET", _PATH, params=params)
        records, lost = list[bytes](), 0
        for group in bare_list(answer):
            payments, keyless = _payments_of(group)
            records += payments or [group]  # without payments it has no key, and becomes a reject
            lost += keyless
        doubt = f"{lost} payments had no payment_id" if lost else None
        yield Piece(records=records, answer=answer.without_body(), place=None, doubt=doubt)

    return ask


async def _lacked_by_a_second_look(walk: Walk, keys: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Return which payments are gone, of those that a sweep lacks.

    A sweep that went on does not know what moved since to a window which was read before. These windows are asked for
    once more. Raises CannotTell if a payment of theirs has no key.
    """
    went_on_at = goes_on_at(walk)
    if went_on_at is None:
        return keys
    read_before = replace(_range(walk), limit=went_on_at + LIVE)
    held: set[Any] = set()
    async for page in walk_windows(replace(walk, cursor=None), _asker(walk), read_before):
        if page.doubt:
            raise CannotTell(page.doubt)
        held.update(_KEYS.of_all(page.records))
    return [key for key in keys if key not in held]


def _range(walk: Walk) -> Range:
    """Return what to ask for; how far back depends on what was asked for before."""
    now = walk.now()
    limit, cursor = min(walk.until or now, now), walk.cursor or {}
    begin = first_day(walk)
    if walk.kind == "sweep" and not walk.whole:
        begin = max(begin, now - SWEPT)
    elif walk.kind == "live" and "as_of" in cursor:
        begin = min(cursor_time(cursor["as_of"]), now) - LIVE
    return Range(begin=min(begin, limit), limit=limit, overlap=LIVE, zone=zone_of(walk))


def _inside(wanted: Range) -> Scope:
    """Return the rows about which the answers to a whole range say everything."""
    window = wanted.window(wanted.begin, wanted.limit - wanted.begin)
    first, last = (datetime.combine(day, time.min, wanted.zone) for day in (window.first, window.last))
    return Scope(within=("book_date", "created_at"), since=first + EDGE, until=last - EDGE)


def _payments_of(group: bytes) -> tuple[list[bytes], int]:
    """Return the payments of a group, each with what the group says of itself, and how many of them lack a key."""
    fields = members(group)
    raw = fields.pop("payments", b"[]")
    if raw[:1] not in b"[{" or not fields:
        return [], 0
    records = [_with_group(fields, members(payment)) for payment in rows_of(raw, "payments")]
    return records, _KEYS.of_all(records).count(None)


def _with_group(group: Mapping[str, bytes], payment: Mapping[str, bytes]) -> bytes:
    """Return one payment with its group's fields; what both say of themselves in different words stays twice."""
    same = {f"group_{name}": raw for name, raw in group.items() if payment.get(name, raw) != raw}
    fields = {**group, **payment, **same}
    return msgspec.json.encode({name: msgspec.Raw(raw) for name, raw in fields.items()})


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return _range(walk).windows()


PAYMENTS_STREAM = Stream(
    name="payments",
    table=PAYMENTS,
    walk=_walk_payments,
    every_s=15 * MINUTE_S,
    sweep_s=DAY_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("book_date", "created_at")),
    options=(FROM,),
    keyless=True,
    lacks=_lacked_by_a_second_look,
    cost=Cost(live=1.0, sweep=2.0),
)

"""Insurances of bikes, as the shop applied for them; the insurer may know better. Walked by days of application."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from syncd.contract import BIGINT, DATE, TEXT, Cost, Cursor, Page, Stream, Table, Walk, Windows, column
from syncd.contract.options import DAY_S, HOUR_S
from syncd.contract.windows import Ask, Piece, Window
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.forms import bare_list, dated
from syncd.sources.cyclesoftware.recent import recent_range, walk_recent

LIVE = timedelta(days=14)
SWEEP = timedelta(days=365)
"""Later changes are not told, so a year is read again now and then."""

INSURANCES = Table(
    schema=SCHEMA,
    name="insurances",
    key=("insurance_id",),
    comment="Insurances as applied for in the shop; the insurer may know better. Needs the scope sales-export",
    personal=("customer_id", "policy_number"),
    refers={"customer_id": "customers"},
    columns=(
        column("insurance_id", BIGINT, "Number of the insurance"),
        column("customer_id", BIGINT, "The customer who is insured"),
        column("created_at", DATE, "Day of the application; sent with the day first"),
        column("stock_object_id", BIGINT, "The object: stock_items.object_id"),
        column("insurance_company", TEXT, "Name of the insurer"),
        column("reference_id", TEXT, "Reference at the insurer"),
        column("policy_number", TEXT, "Number of the policy; 0 if there is none"),
        column("insurance_starting_date", DATE, "First day of the insurance"),
        column("description", TEXT, "What is insured, in words"),
        column("policy_costs", BIGINT, "Costs of the policy in euro cents"),
        column("insured_amount", BIGINT, "Amount insured in euro cents"),
        column("premium_amount", BIGINT, "Premium in euro cents"),
    ),
)


_DATED = dated(INSURANCES, "created_at")


async def _walk_insurances(walk: Walk) -> AsyncIterator[Page]:
    async for page in walk_recent(walk, _asker(walk), live=LIVE, sweep=SWEEP, dated=_DATED):
        yield page


def _asker(walk: Walk) -> Ask:
    async def ask(window: Window, _place: Cursor | None) -> AsyncIterator[Piece]:
        params = [("start_date", window.first.isoformat()), ("end_date", window.last.isoformat())]
        answer = await walk.upstream.request("GET", "/api/v1/stock-objects/insurance/list.json", params=params)
        yield Piece(records=bare_list(answer), answer=answer.without_body(), place=None)

    return ask


def _windows(walk: Walk) -> list[tuple[datetime, datetime]]:
    """Return the windows of a backfill; see Windows."""
    return recent_range(walk, live=LIVE, sweep=SWEEP).windows()


INSURANCES_STREAM = Stream(
    name="insurances",
    table=INSURANCES,
    walk=_walk_insurances,
    every_s=6 * HOUR_S,
    sweep_s=30 * DAY_S,
    backfills=True,
    windows=Windows(of=_windows, columns=("created_at",)),
    cost=Cost(live=1.0, sweep=14.0),
)

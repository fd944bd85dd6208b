"""Trading hours: what the workshop of each store can take on, day by day, two weeks ahead."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from syncd.contract import BIGINT, BOOLEAN, DATE, JSON, TEXT, Child, Cost, Page, Stream, Table, Walk, column
from syncd.contract.options import HOUR_S
from syncd.contract.paging import EndUnknown
from syncd.records.readers import envelope, keys_at
from syncd.sources.cyclesoftware.api import SCHEMA, zone_of
from syncd.sources.cyclesoftware.forms import rows_of
from syncd.sources.cyclesoftware.paged_lists import walk_places

DAYS = 14
"""Days asked for, from today: as in the vendor's sample."""

TRADING_HOURS_EMPLOYEES = Table(
    schema=SCHEMA,
    name="trading_hours_employees",
    key=("store_id", "date", "employee_id"),
    comment="What each mechanic of a store can take on that day; lives with its day",
    columns=(
        # those two stand beside the list only
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id", optional=True),
        column("date", DATE, "The day", optional=True),
        column("employee_id", BIGINT, "The mechanic: employees.employee_id"),
        column("capacity_minutes", BIGINT, "Minutes that the mechanic can work"),
        column("scheduled_minutes", BIGINT, "Minutes that are planned"),
        column("available_minutes", BIGINT, "Minutes that are left"),
        column("available_slots", JSON, "Free times, as sent"),
    ),
)

TRADING_HOURS = Table(
    schema=SCHEMA,
    name="trading_hours",
    key=("store_id", "date"),
    comment="What a store's workshop can take on, by day; past days stay as last seen. Needs the scope resources",
    columns=(
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("store_name", TEXT, "Name of the store"),
        column("date", DATE, "The day"),
        column("capacity_minutes", BIGINT, "Minutes that the workshop can work"),
        column("scheduled_minutes", BIGINT, "Minutes that are planned"),
        column("available_minutes", BIGINT, "Minutes that are left"),
        column("day_id", BIGINT, "Day of the week: 0 for Sunday to 6 for Saturday"),
        column("week_no", BIGINT, "Number of the week"),
        column("is_closed", BOOLEAN, "True if the workshop is closed that day"),
        column("workshop_trading_hours", JSON, "When the workshop is open, as sent; its durations need not add up"),
    ),
    children=(Child(field="availability_per_employee", table=TRADING_HOURS_EMPLOYEES),),
)

_STORE = ("store_id", "store_name")
_LIST = "trading_hours"
_PATH = "/api/v2/workshop/trading-hours-per-store.json"


async def _walk_trading_hours(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the days from today, for all stores; of what they lack nothing is buried.

    The walk starts over when it was cut off: it is short, and today may be another day by then.
    """
    today = walk.now().astimezone(zone_of(walk)).date()
    params = [("start_date", today.isoformat()), ("day_count", str(DAYS))]
    as_of = None
    try:
        async for piece, place in walk_places(walk, _PATH, lambda stores: keys_at("store_id", stores), params):
            as_of = as_of or piece.answer.safe_at
            yield Page(
                records=_days_of(piece.records),
                cursor=None if place else {"as_of": as_of.isoformat()},
                requested_at=piece.answer.sent_at,
            )
    except EndUnknown as error:
        yield Page(records=_days_of(error.records), cursor=None, requested_at=error.answer.sent_at)
        raise


def _days_of(stores: Sequence[bytes]) -> list[bytes]:
    """Return one record for each day of each store: its own fields, and those of the store but the list of days.

    A record without such a list is given as it is, to be rejected.
    """
    found: list[bytes] = []
    for store in stores:
        fields = envelope(store) if store[:1] == b"{" else {}
        days = fields.pop(_LIST, b"")
        if days[:1] not in (b"[", b"{"):
            found.append(store)
            continue
        of_store = {name: msgspec.Raw(raw) for name, raw in fields.items()}
        found += [_day(day, of_store) for day in rows_of(days, _LIST)]
    return found


def _day(day: bytes, of_store: dict[str, msgspec.Raw]) -> bytes:
    if day[:1] != b"{":
        return day
    own = {name: msgspec.Raw(raw) for name, raw in envelope(day).items()}
    named = {name: raw for name, raw in of_store.items() if name in _STORE}
    return msgspec.json.encode({**of_store, **own, **named})


TRADING_HOURS_STREAM = Stream(
    name="trading_hours",
    table=TRADING_HOURS,
    walk=_walk_trading_hours,
    every_s=HOUR_S,
    cost=Cost(live=2.0),
)

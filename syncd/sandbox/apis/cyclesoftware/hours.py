"""Trading hours of CycleSoftware's workshops, store by store and day by day. Records and endpoint.

A day is made when it is first asked for, and then stays.
"""

from datetime import date, datetime, timedelta
from functools import partial

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.common import EMPLOYEES
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, V2, Lists
from syncd.sandbox.world import Child, Dice, Family, Pace, Record, Sizes, World

STREAM = "trading_hours"
STORES = {1: "Fietsplein Nistelrode", 3: "Fietsplein Uden", 4: "Fietsplein Webshop"}
WITHOUT_HOURS = 4  # a store that has no workshop
FIRST_NEW_STORE = 10
SUNDAY = 6  # as Python counts the days of a week
HOURS = ("08:30", "17:30", 480)  # from, to, minutes without the break
LATE_HOURS = ("07:30", "20:15", 780)  # the vendor's sample does not add up either
MINUTES_EACH = 420  # of one mechanic on one day
DAYS_AHEAD = 14


def _seed(world: World, _sizes: Sizes) -> None:
    """Make a few days of the past, which are the same whenever the seed is used."""
    _open(world, world.anchor.date(), 2)


def _open(world: World, first: date, count: int) -> None:
    """Make those of the days that are not there yet."""
    days = world[API, STREAM]
    for store in STORES:
        for day in (first + timedelta(days=ahead) for ahead in range(count)):
            if store != WITHOUT_HOURS and (store, day.isoformat()) not in days:
                days.put(_day(world, store, day), world.now().timestamp())


def _day(world: World, store: int, day: date) -> Record:
    dice = Dice(world.seed, "hours", store, day.isoformat())
    is_closed = day.weekday() == SUNDAY
    begin, end, minutes = LATE_HOURS if dice.chance(15) else HOURS
    mechanics = [] if is_closed else sorted({dice.between(2, EMPLOYEES) for _ in range(3)})
    at_work = [_mechanic(dice, employee) for employee in mechanics]
    return {
        "store_id": store,
        "store_name": STORES.get(store, f"Fietsplein {store}"),
        "date": day.isoformat(),
        **_sum(at_work),
        "day_id": (day.weekday() + 1) % 7,
        "week_no": day.isocalendar().week,
        "is_closed": is_closed,
        "workshop_trading_hours": [] if is_closed else [{"start": begin, "finish": end, "duration_minutes": minutes}],
        "availability_per_employee": at_work,
    }


def _mechanic(dice: Dice, employee_id: int) -> Record:
    planned = dice.below(8) * 60
    free = MINUTES_EACH - planned
    return {
        "employee_id": employee_id,
        "capacity_minutes": MINUTES_EACH,
        "scheduled_minutes": planned,
        "available_minutes": free,
        "available_slots": [{"start": "08:30", "duration_minutes": free}] if free else [],
    }


def _sum(at_work: list[Record]) -> Record:
    names = ("capacity_minutes", "scheduled_minutes", "available_minutes")
    return {name: sum(each[name] for each in at_work) for name in names}


def _fresh(world: World, _stream: str, number: int) -> Record:
    """Open another store, tomorrow."""
    return _day(world, FIRST_NEW_STORE + number, world.now().date() + timedelta(days=1))


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Plan a repair: on a day without mechanics, one comes in."""
    at_work = record["availability_per_employee"] or [_mechanic(dice, EMPLOYEES)]
    chosen = dice.pick(at_work)
    chosen["scheduled_minutes"] += 15
    chosen["available_minutes"] -= 15
    return {**record, **_sum(at_work), "availability_per_employee": at_work}


FAMILY = Family(
    api=API,
    keys={STREAM: ("store_id", "date"), "trading_hours_employees": ("store_id", "date", "employee_id")},
    pace={STREAM: Pace(changed=2, added=0, deletion_percent=0)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    children={
        "trading_hours_employees": Child(
            parent=STREAM,
            parent_key=("store_id", "date"),
            field=("availability_per_employee",),
            owner=("store_id", "date"),
            number="employee_id",
        )
    },
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of trading hours."""
    path = f"{V2}/workshop/trading-hours-per-store.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_hours, lists), limited=True)]


def _hours(lists: Lists, ask: Ask) -> Answer:
    world = lists.world
    try:
        first = datetime.strptime(ask.query["start_date"], "%Y-%m-%d").date()  # noqa: DTZ007  (a day)
        count = ask.number("day_count", DAYS_AHEAD)
    except (KeyError, ValueError):
        return lists.error(400, "start_date and day_count are required")
    _open(world, first, count)
    asked = {(first + timedelta(days=ahead)).isoformat() for ahead in range(count)}
    stores: dict[int, Record] = {
        store: {"store_id": store, "store_name": name, "trading_hours": []} for store, name in STORES.items()
    }
    for key in sorted(world[API, STREAM].keys()):
        day = world[API, STREAM].get(key)
        store, name = day.pop("store_id"), day.pop("store_name")
        held = stores.setdefault(store, {"store_id": store, "store_name": name, "trading_hours": []})
        if day["date"] in asked:
            held["trading_hours"].append(day)
    return _page(lists, ask, list(stores.values()))


def _page(lists: Lists, ask: Ask, stores: list[Record]) -> Answer:
    """Return the page of stores at `offset`; the link to the next one leads to another host."""
    try:
        offset = ask.number("offset", 0)
    except ValueError:
        return lists.error(400, "Invalid value for offset")
    size = min(lists.page_size, ask.page_limit or lists.page_size)
    more = offset + size < len(stores)
    link = f"https://s01.cyclesoftware.nl{V2}/workshop/trading-hours-per-store.json?day_count=14&offset={offset + size}"
    rows = [msgspec.Raw(msgspec.json.encode(store)) for store in stores[offset : offset + size]]
    body = {**NO_ERROR, "data": rows, "pagination": {"next_url": link if more else None}}
    return Answer(body=body, rows_at=("data",), more=more)

"""Service items of objects in CycleSoftware's workshop. Records and endpoints."""

from datetime import datetime, timedelta
from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware import workshop
from syncd.sandbox.apis.cyclesoftware.lists import API, V1, WIDEST_DAYS, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World

STREAM = "service_items"
ACCOUNT = 1
ITEMS = 60
FIRST_ITEM = 40_001
ITEMS_PER_SERVICE = 3
FIRST_SERVICE = 9_001
NAMELESS = 7  # of so many services one is sent without its number
WORK = (("Eerste beurt", 30, 0), ("Kleine beurt", 45, 4_995), ("Grote beurt", 90, 9_950))  # title, minutes, cents
STATES = (1, 2, 2, 4, 5, 2001)  # 4 and 5 close an item; 2001 stands in one of the vendor's samples


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(FIRST_ITEM, FIRST_ITEM + ITEMS):
        stamp = world.stamp_of(API, STREAM, number)
        record = _item(world, number)
        _stamp(world, STREAM, record, world.at(stamp))
        world[API, STREAM].put(record, stamp)


def _item(world: World, number: int) -> Record:
    service, place = divmod(number - FIRST_ITEM, ITEMS_PER_SERVICE)
    dice = Dice(world.seed, "service", service)
    owned = workshop.object_of(world, workshop.FIRST_OBJECT_ID + dice.below(workshop.OBJECTS))
    first_due = world.before(dice.between(-200, 400) * 86_400)
    title, minutes, price = WORK[place]
    state = Dice(world.seed, "service_item", number).pick(STATES)
    record = {
        "account_id": ACCOUNT,
        "store_id": dice.pick((1, 3)),
        "service_id": FIRST_SERVICE + service,
        "service_item_id": number,
        "service_barcode": f"DSK-{FIRST_SERVICE + service}-{place + 1}",
        "service_status_id": state,
        "invoice_number": 250_001 + service,
        "customer_id": owned["customer_id"],
        "object_id": owned["object_id"],
        "is_open": state not in (4, 5),
        "is_scheduled": dice.chance(30),
        "title": title,
        "description": f"{title} {owned['brand']}",
        "gross_unit_price_cents": price,
        "unit_discount_amount_cents": dice.pick((0, 0, 500)),
        "amount_payed_in_advance_cents": price if dice.chance(40) else 0,
        "time_minutes": minutes,
        "scheduled_at": (first_due + timedelta(days=180 * place)).date().isoformat(),
        "scheduled_at_km_age": 500 * (place + 1) ** 2,
    }
    if service % NAMELESS == NAMELESS - 1:  # as in one record of the vendor's sample
        del record["service_id"]
    return record


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    record["modified_at"] = world.local(API, at)


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _item(world, FIRST_ITEM + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["service_status_id"] = dice.pick(STATES)
    record["is_open"] = record["service_status_id"] not in (4, 5)
    record["time_minutes"] += 5
    return record


FAMILY = Family(
    api=API,
    keys={STREAM: ("service_item_id",)},
    pace={STREAM: Pace(changed=2, added=1, deletion_percent=10)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of service items."""
    found = {
        f"{V1}/workshop/repair-objects/service-items.json": _items,
        rf"{V1}/customers/{{customer:\d+}}/service-items/{{service:\d+}}.json": _of_service,
    }
    return [
        Route(method="GET", path=path, stream=STREAM, handler=partial(handle, lists), limited=True)
        for path, handle in found.items()
    ]


def _items(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, STREAM]
    keys = collection.keys()
    if {"modified_start", "modified_end"} & set(ask.query):  # without them the whole list comes
        asked = lists.days(ask, "modified_start", "modified_end", widest=WIDEST_DAYS)
        if isinstance(asked, Answer):
            return asked
        keys = [key for key in collection.since(asked[0]) if collection.stamp(key) < asked[1]]
    return lists.page(ask, collection, keys, "data")


def _of_service(lists: Lists, ask: Ask) -> Answer:
    asked = {"customer_id": int(ask.params["customer"]), "service_id": int(ask.params["service"])}
    found = [
        each
        for each in lists.world[API, STREAM].records()
        if all(each.get(name) == value for name, value in asked.items())
    ]
    return Answer(body=lists.encoded(found), rows_at=())

"""Repairs of CycleSoftware's workshops with lines, filtered by the day they are planned for. Records, endpoints."""

from datetime import datetime, timedelta
from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, DAY_S, V1, Lists
from syncd.sandbox.world import Child, Dice, Family, Key, Pace, Record, Sizes, World
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

FIRST_ID = 820_001
FIRST_NEW_ID = 7_000_000
PAST_DAYS, AHEAD_DAYS = 300, 30  # of the planned days of the seeded ones, around the seed's end
STATES = ((1, "Gepland"), (4, "In reparatie"), (7, "Reparatie voltooid"), (8, "Afgehaald"))
GONE = "deleted_workshop_orders"  # deleted repairs that the lists no longer hold


def _seed(world: World, sizes: Sizes) -> None:
    for number in range(sizes.workshop_orders):
        record = _repair(world, FIRST_ID + number)
        world[API, "workshop_orders"].put(record, world.stamp_of(API, "workshop_orders", FIRST_ID + number))


def _repair(world: World, order_id: int) -> Record:
    dice = Dice(world.seed, "repair", order_id)
    planned = world.before(-dice.between(0, AHEAD_DAYS) * DAY_S if dice.chance(30) else dice.below(PAST_DAYS) * DAY_S)
    if order_id >= FIRST_NEW_ID:
        planned = world.now() + timedelta(days=dice.below(2))
    created = min(planned, world.anchor) - timedelta(days=dice.between(1, 9))
    status_id, status = STATES[0] if planned > world.anchor else dice.pick(STATES)
    is_planned = not dice.chance(12)
    lines = [_line(world, order_id, at) for at in range(1, dice.below(4) + 1)]
    record = {
        "workshop_order_id": order_id,
        "sales_order_id": order_id,
        "customer_id": FIRST_CUSTOMER_ID + dice.below(300),
        "store_id": dice.pick((1, 2, 3)),
        "repair_object_id": 60_001 + dice.below(60),
        "is_active": not dice.chance(6),  # some deleted ones are still listed
        "reference_text": dice.pick((None, "Beurt")),
        "datetime_scheduled_start": world.local(API, planned) if is_planned else None,
        "datetime_scheduled_finished": world.local(API, planned + timedelta(hours=1)) if is_planned else None,
        "datetime_created": world.local(API, created),
        "datetime_modified": world.local(API, created),
        "mechanic_employee_id": dice.pick((0, 11, 12)),
        "created_by_employee_id": 11,
        "last_update_employee_id": 12,
        "phone_number_id": "mob",
        "repair_description": dice.pick(("", "Band lek", "Grote beurt")),
        "status_id": status_id,
        "status_text": status,
        "invoice_number": 0,
        "borrowed_object_reference": None,
        "total_repair_time_minutes": sum(line["unit_work_time_minutes"] for line in lines),
        "custom_repair_time_minutes": 0,
        "delivery_method_id": 0,
        "workshop_order_type_id": 1,
        "order_items": lines,
    }
    if not lines:  # the vendor leaves it out then
        record.pop("order_items")
    return record


def _line(world: World, order_id: int, at: int) -> Record:
    dice = Dice(world.seed, "repair_line", order_id, at)
    price = dice.between(5, 90) * 100
    return {
        "item_id": at,
        "item_type_id": dice.pick((1, 4)),
        "special_type_id": dice.below(20),
        "quantity": dice.pick((1, 2, 0.5)),
        "barcode": dice.pick(("B01", "O02")),
        "pos_group_id": 5,
        "description": "Band plakken",
        "unit_price_in_vat_cents": price,
        "unit_discount_amount_in_vat_cents": 0,
        "price_in_vat_cents": price,
        "discount_percentage": 0,
        "vat_code": 1,
        "vat_percentage": 9,
        "vat_amount_cents": round(price - price / 1.09),
        "item_status_id": 1,
        "item_status_text": "Open",
        "unit_work_time_minutes": dice.pick((15, 30, 45)),
        "assigned_to_customer_id": None,
        "invoice_number": None,
    }


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _repair(world, FIRST_NEW_ID + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["status_id"], record["status_text"] = dice.pick(STATES)
    record["repair_description"] = f"Zie notitie {dice.below(9_999)}"
    return record


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    record["datetime_modified"] = world.local(API, at)


FAMILY = Family(
    api=API,
    keys={"workshop_orders": ("workshop_order_id",), "workshop_order_items": ("workshop_order_id", "item_id")},
    pace={"workshop_orders": Pace(changed=2, added=1, deletion_percent=10)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    children={
        "workshop_order_items": Child(
            parent="workshop_orders", parent_key=("workshop_order_id",), field=("order_items",),
            owner=("workshop_order_id",), number="item_id",
        )
    },
    stamp=_stamp,
)  # fmt: skip


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of repairs."""
    found = {
        f"{V1}/workshop/orders.json": _repairs,
        rf"{V1}/customers/{{customer:\d+}}/workshop-order/{{id:\d+}}.json": _one_repair,
    }
    return [
        Route(method="GET", path=path, stream="workshop_orders", handler=partial(handle, lists), limited=True)
        for path, handle in found.items()
    ]


def _repairs(lists: Lists, ask: Ask) -> Answer:
    """Return the repairs planned for these days; without days all of them. One alone comes as an object."""
    if going_on := lists.token_walk(ask):
        return _alone(going_on)
    collection = lists.world[API, "workshop_orders"]
    keys: list[Key] = list(collection.keys())
    if "date_from" in ask.query:
        span = lists.days(ask, "date_from", "date_until")
        if isinstance(span, Answer):
            return span
        keys = [key for key in keys if _is_planned(lists.world, collection.get(key), span)]
    return _alone(lists.token_page(ask, collection, keys))


def _is_planned(world: World, record: Record, span: tuple[float, float]) -> bool:
    planned = record["datetime_scheduled_start"]
    return planned is not None and span[0] <= world.parsed(API, planned) < span[1]


def _alone(answer: Answer) -> Answer:
    """Let a list of one be the one object, as in the vendor's sample."""
    if answer.status == 200 and len(answer.body["data"]) == 1:
        answer.body["data"] = answer.body["data"][0]
    return answer


def _one_repair(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, "workshop_orders"]
    try:
        record = collection.get(int(ask.params["id"]))
    except KeyError:
        return lists.error(404, "Not Found")
    if record["customer_id"] != int(ask.params["customer"]):
        return lists.error(404, "Not Found")
    return Answer(body=record, rows_at=None)

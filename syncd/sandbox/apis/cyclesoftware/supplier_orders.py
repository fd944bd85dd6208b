"""Orders of CycleSoftware's shops at suppliers. Records and endpoint."""

from functools import partial
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.common import FIRST_SUPPLIER_ID, IMPORTERS
from syncd.sandbox.apis.cyclesoftware.lists import API, V1, Lists
from syncd.sandbox.world import Child, Dice, Family, Record, Sizes, World

STREAM, ITEMS = "supplier_orders", "supplier_order_items"
ORDERS = 20
FIRST_ID = 31_000  # packing lists refer to these
UNKNOWN_EACH = 7  # every seventh that a packing list names is unknown


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(FIRST_ID, FIRST_ID + ORDERS):
        if number % UNKNOWN_EACH:
            world[API, STREAM].put(_order(world, number), world.stamp_of(API, STREAM, number))


def follow(world: World, after: Record | None) -> None:
    """Let the order exist that a new item of a packing list names."""
    number = after["supplier_order_id"] if after else 0
    if number and number % UNKNOWN_EACH and number not in world[API, STREAM]:
        world[API, STREAM].put(_order(world, number), world.now().timestamp())


def _order(world: World, number: int) -> Record:
    dice = Dice(world.seed, STREAM, number)
    is_done = dice.chance(30)
    return {
        "supplier_order_id": number,
        "supplier_id": FIRST_SUPPLIER_ID + dice.below(len(IMPORTERS)),
        "store_id": dice.pick((1, 3)),
        "order_type_id": 1,
        "status_id": 4 if is_done else 2,
        "supplier_comment": dice.pick(("", "Graag op pallet")),
        "supplier_reference": f"SR{dice.digits(6)}",
        "own_reference": dice.pick(("", "voorjaar")),
        "created_at": world.local(API, world.before(dice.between(86_400, 90 * 86_400))),
        "items": [_item(dice, place, is_done=is_done) for place in range(1, dice.between(2, 5))],
    }


def _item(dice: Dice, place: int, *, is_done: bool) -> Record:
    wanted = dice.pick((1, 2, 10, 2.5))
    came = wanted if is_done else dice.pick((0, wanted / 2))
    return {
        "supplier_order_item_id": 900 + place,  # unique within an order only
        "item_type_id": 1,
        "article_id": f"0{dice.digits(6)}",
        "barcode": f"0871{dice.digits(9)}",
        "quantity": wanted,
        "quantity_delivered": came,
        "quantity_open": wanted - came,
        **({"supplier_delivery_date": "2026-07-15"} if dice.chance(50) else {}),
        "supplier_item_reference": "",
    }


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _order(world, FIRST_ID + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Deliver something, as long as something is to come: an order that is done changes no more."""
    still_open = [item for item in record["items"] if item["quantity_open"] > 0]
    if not still_open:
        return record
    record["supplier_comment"] = f"Levering {dice.digits(3)}"
    if len(still_open) > 1:
        still_open[0] |= {"quantity_delivered": still_open[0]["quantity"], "quantity_open": 0}
    return record


FAMILY = Family(
    api=API,
    keys={STREAM: ("supplier_order_id",), ITEMS: ("supplier_order_id", "supplier_order_item_id")},
    children={
        ITEMS: Child(
            parent=STREAM,
            parent_key=("supplier_order_id",),
            field=("items",),
            owner=("supplier_order_id",),
            number="supplier_order_item_id",
        )
    },
    pace={},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of orders at suppliers."""
    path = rf"{V1}/supplier/order/{{id:\d+}}.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_one, lists), limited=True)]


def _one(lists: Lists, ask: Ask) -> Answer:
    try:
        return Answer(body=lists.world[API, STREAM].raw(int(ask.params["id"])), rows_at=())
    except KeyError:
        return lists.error(404, "Not Found")


def lookups(world: World) -> dict[str, list[Any]]:
    """Return orders that can be asked for; all exist now."""
    return {"ids": world[API, STREAM].keys()[::2]}

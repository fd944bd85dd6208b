"""The warehouse of a CycleSoftware account that serves several shops: its stock, what comes in, what goes out.

Records and endpoints.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.common import FIRST_SUPPLIER_ID, IMPORTERS
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, V1, V2, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names

SIZES = {
    "warehouse_stock_items": 24, "warehouse_pos_items": 30, "warehouse_backlog_items": 18,
    "warehouse_delivered_items": 20, "warehouse_open_order_items": 16, "warehouse_assemblies": 14,
    "warehouse_availability": 9,
}  # fmt: skip
FIRST_ID = 640_001
DEALERS = (5393, 131_073, 791_825, 857_361)  # account, and account + 65536 * store, as in the vendor's samples
ACCOUNTS = (1, 5393)
GROUPS = ("", "Hal A", "Hal B")  # the first holds the figures of the whole warehouse
PLACES = ("PALLET", "BIKE", "SHELF")
DAY_S = 86_400


def _seed(world: World, _sizes: Sizes) -> None:
    for stream, count in SIZES.items():
        for number in range(count):
            world[API, stream].put(_MAKERS[stream](world, number), world.stamp_of(API, stream, number))


def _article(dice: Dice) -> Record:
    rrp = dice.between(299, 4_999) * 100
    return {
        "supplier": dice.pick(IMPORTERS),
        "article_id": f"0{dice.digits(7)}",
        "barcode": f"0871{dice.digits(9)}",
        "description": f"{dice.pick(names.BIKE_BRANDS)} {dice.pick(names.BIKE_MODELS)}",
        "frame_id": f"WH{dice.digits(8)}",
        "purchase_price_cents": rrp * 62 // 100,
        "purchase_price_cents_packinglist": rrp * 62 // 100,
        "dealer_rrp_cents": rrp,
    }


def _variables() -> Record:
    return {f"custom_variable_{place}": "" for place in range(1, 6)}


def _stock_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_stock", number)
    is_claimed, is_shipped = dice.chance(30), dice.chance(30)
    return {
        "stock_item_id": FIRST_ID + number,
        "outbound_order_id": 8_000 + dice.below(9) if is_claimed else 0,
        **_article(dice),
        "claimed_for_account_id": dice.pick(ACCOUNTS) if is_claimed else None,
        "claimed_for_store_id": dice.pick((1, 2)) if is_claimed else None,
        "is_blocked_for_claiming": dice.chance(5),
        "is_claimed_for_obo": is_claimed,
        "is_sold_to_customer": dice.chance(20),
        "is_shipped": is_shipped,
        "is_deleted": dice.chance(10),
        "stocked_at": world.local(API, world.before(dice.between(DAY_S, 300 * DAY_S))),
        **({"shipped_at": world.local(API, world.before(dice.between(0, DAY_S)))} if is_shipped else {}),
        **_variables(),
        **({"warehouse_group_name": dice.pick(GROUPS[1:]), "warehouse_location": "A-01"} if dice.chance(70) else {}),
    }


def _pos_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_pos", number)
    return {
        "account_id": ACCOUNTS[number % 2],
        "store_id": dice.pick((1, 2)),
        "object_id": 300_000 + number // 2,  # unique within an account only
        "warehouse_stock_item_id": FIRST_ID + number if dice.chance(60) else None,
        "sales_order_id": 0,
        **_article(dice),
        "is_sold_to_customer": dice.chance(15),
        "is_demo": dice.chance(5),
        "has_invoice": False,
        "stocked_at": world.before(dice.between(0, 600 * DAY_S)).date().isoformat(),
        **_variables(),
        "is_deleted": dice.chance(8),
        "is_rental": False,
        "is_used": dice.chance(10),
    }


def _backlog_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_backlog", number)
    due = (date(2026, 7, 1) + timedelta(days=dice.below(90))).isoformat()
    assignment: Any = {
        "assigned_to_entity_type_id": 20,
        "assigned_to_entity_id": 9_000 + number,
        "outbound_order_id": 8_000 + dice.below(9),
        "reference": f"OB-{number}",
    }
    return {
        "id": 77_001 + number,
        "supplier_id": FIRST_SUPPLIER_ID + dice.below(len(IMPORTERS)),
        "is_sold_to_customer": dice.chance(30),
        "in_transit": dice.chance(30),
        "article_id": f"0{dice.digits(7)}",
        "barcode": f"0871{dice.digits(9)}",
        "supplier_reference": f"S{dice.digits(5)}",
        "supplier_reference_2": "",
        "delivery_date": due,
        "original_delivery_date": due,
        "external_remarks": "",
        "internal_remarks": dice.pick((None, "bellen")),
        "created_at": world.local(API, world.before(dice.between(DAY_S, 90 * DAY_S))),
        "modified_at": world.local(API, world.before(dice.between(0, DAY_S))),
        # PHP writes a map without members as an array
        "assignment": dice.pick((assignment, assignment, None, [])),
    }


def _delivered_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_delivered", number)
    packed = dice.pick((1, 2, 10))
    return {
        "article_id": f"0{dice.digits(7)}",
        "barcode": f"0871{dice.digits(9)}",
        "datetime_delivered": world.local(API, world.before(number * 4 * DAY_S)),
        "inbound_delivery_id": 5_500 + number // 3,
        "inbound_delivery_item_id": 56_001 + number,
        "packinglist_number": f"PL0{dice.digits(5)}",
        "purchase_price_cents": dice.between(300, 200_000),
        "quantity_missing": 0,
        "quantity_packinglist": packed,
        "quantity_scanned": packed,
        "quantity_stocked": packed,
        "supplier_id": FIRST_SUPPLIER_ID + dice.below(len(IMPORTERS)),
    }


def _open_order_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_open", number)
    return {
        "dealer_id": dice.pick(DEALERS),
        "outbound_order_id": 8_000 + number // 3,
        "outbound_order_item_id": 81_001 + number,
        "created_at": world.local(API, world.before(dice.between(0, 40 * DAY_S))),
        "ecommerce_reference_id": f"0{dice.digits(4)}",
        "ecommerce_reference_text": "",
        "barcode": f"0871{dice.digits(9)}",
        "description": dice.pick(names.BIKE_MODELS),
        "quantity": dice.between(2, 6),
        "quantity_claimed": dice.below(2),
        "quantity_shipped": 0,
        "reference": "",
        "is_sold_to_customer": dice.chance(30),
        "is_blocked_for_claiming": False,
        "is_pooled_within_stores": dice.chance(20),
    }


def _assembly(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_assembly", number)
    released = world.before(number * 5 * DAY_S).date().isoformat()
    return {
        "stock_item_id": FIRST_ID + number,
        "is_assembled": dice.chance(60),
        "released_by": f"{dice.pick(names.FIRST_NAMES)} {dice.pick(names.LAST_NAMES)}",
        "scheduled_for_release_at": released,
        "released_for_shipment_at": released,
        "claimed_by_dealer_id": dice.pick(DEALERS),
        "outbound_order_id": 8_000 + dice.below(9),
        "outbound_order_item_id": 81_001 + dice.below(16),
        "outbound_shipment_id": 91_001 + number,
        "outbound_shipment_item_id": 92_001 + number,
        "is_sold_to_customer": dice.chance(40),
    }


def _availability(world: World, number: int) -> Record:
    dice = Dice(world.seed, "warehouse_places", number)
    place = PLACES[number % len(PLACES)]
    return {
        "warehouse_group_name": GROUPS[number // len(PLACES) % len(GROUPS)],
        "code": place if number < len(PLACES) * len(GROUPS) else f"{place}-{number}",
        "description": place.title(),
        "available_locations": dice.below(200),
    }


_MAKERS: dict[str, Callable[[World, int], Record]] = {
    "warehouse_stock_items": _stock_item, "warehouse_pos_items": _pos_item, "warehouse_backlog_items": _backlog_item,
    "warehouse_delivered_items": _delivered_item, "warehouse_open_order_items": _open_order_item,
    "warehouse_assemblies": _assembly, "warehouse_availability": _availability,
}  # fmt: skip


def _fresh(world: World, stream: str, number: int) -> Record:
    record = _MAKERS[stream](world, number)
    if "datetime_delivered" in record:
        record["datetime_delivered"] = world.local(API, world.now())
    if "released_for_shipment_at" in record:
        record["released_for_shipment_at"] = world.now().date().isoformat()
    return record


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream in ("warehouse_stock_items", "warehouse_pos_items"):
        record["is_sold_to_customer"] = not record["is_sold_to_customer"]
        record["custom_variable_1"] = dice.digits(3)
    elif stream == "warehouse_backlog_items":
        record["supplier_reference_2"] = dice.digits(4)
    elif stream == "warehouse_delivered_items":
        record["quantity_missing"] += 1
    elif stream == "warehouse_open_order_items":
        record["quantity_claimed"] += 1
    elif stream == "warehouse_assemblies":
        record["is_assembled"] = not record["is_assembled"]
    else:
        record["available_locations"] += dice.between(1, 9)
    return record


FAMILY = Family(
    api=API,
    keys={
        "warehouse_stock_items": ("stock_item_id",),
        "warehouse_pos_items": ("account_id", "object_id"),
        "warehouse_backlog_items": ("id",),
        "warehouse_delivered_items": ("inbound_delivery_item_id",),
        "warehouse_open_order_items": ("outbound_order_item_id",),
        "warehouse_assemblies": ("stock_item_id",),
        "warehouse_availability": ("warehouse_group_name", "code"),
    },
    pace={stream: Pace(changed=1, added=0, deletion_percent=0) for stream in SIZES},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of the warehouse."""
    found: dict[str, tuple[str, Callable[[Lists, Ask], Answer]]] = {
        f"{V2}/warehouse/stock/items.json": ("warehouse_stock_items", _stock),
        f"{V2}/warehouse/stock/pos-items.json": ("warehouse_pos_items", _pos),
        f"{V1}/warehouse/inbound/backlog.json": ("warehouse_backlog_items", _backlog),
        f"{V1}/warehouse/inbound/delivered-items.json": (
            "warehouse_delivered_items", partial(_between, by="datetime_delivered"),
        ),
        f"{V1}/warehouse/outbound/order/open-orders.json": ("warehouse_open_order_items", _open_orders),
        f"{V1}/warehouse/workshop/assemblies.json": (
            "warehouse_assemblies", partial(_between, by="released_for_shipment_at"),
        ),
        f"{V1}/warehouse/availability.json": ("warehouse_availability", _places),
    }  # fmt: skip
    return [
        Route(
            method="GET", path=path, stream=stream, handler=partial(handle, lists),
            limited=stream == "warehouse_open_order_items",
        )
        for path, (stream, handle) in found.items()
    ]  # fmt: skip


def _stock(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, ask.stream]
    return lists.linked_page(ask, collection, collection.keys(), "data")


def _pos(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, ask.stream]
    return lists.token_walk(ask) or lists.token_page(ask, collection, list(collection.keys()))


def _backlog(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, ask.stream]
    return lists.page(ask, collection, collection.keys(), "data")


def _between(lists: Lists, ask: Ask, *, by: str) -> Answer:
    """Return a page of what lies between two days."""
    asked = lists.days(ask, "start_date", "end_date")
    if isinstance(asked, Answer):
        return asked
    collection = lists.world[API, ask.stream]
    times = ((collection.key_of(record), lists.world.parsed(API, record[by])) for record in collection.records())
    return lists.page(ask, collection, [key for key, at in times if asked[0] <= at < asked[1]], "data")


def _open_orders(lists: Lists, ask: Ask) -> Answer:
    """Return a page by its number."""
    try:
        number = ask.number("page", 1)
    except ValueError:
        number = 0
    if not number:
        return lists.error(400, "Invalid value for page")
    collection = lists.world[API, ask.stream]
    size = min(lists.page_size, ask.page_limit or lists.page_size)
    keys = collection.keys()
    rows = [collection.raw(key) for key in keys[(number - 1) * size : number * size]]
    more = number * size < len(keys)
    body = {**NO_ERROR, "data": rows, "pagination": {"page": number, "has_next_page": more}}
    return Answer(body=body, rows_at=("data",), more=more)


def _places(lists: Lists, _ask: Ask) -> Answer:
    """Return the figures of the whole warehouse, and beside them those of each group."""
    found: dict[str, list[Record]] = {group: [] for group in GROUPS}
    for record in lists.world[API, "warehouse_availability"].records():
        group = record.pop("warehouse_group_name")
        found.setdefault(group, []).append(record)
    groups = [{"warehouse_group_name": group, "availability": rows} for group, rows in found.items() if group]
    body = {**NO_ERROR, "data": {"availability": lists.encoded(found[""]), "availability_per_warehouse_group": groups}}
    return Answer(body=body, rows_at=("data", "availability"))

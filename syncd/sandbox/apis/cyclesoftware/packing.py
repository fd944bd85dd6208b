"""Packing lists that suppliers sent to CycleSoftware's shops. Records and endpoint."""

from datetime import datetime
from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware import supplier_orders
from syncd.sandbox.apis.cyclesoftware.articles import ARTICLES, article_of
from syncd.sandbox.apis.cyclesoftware.common import EMPLOYEES
from syncd.sandbox.apis.cyclesoftware.lists import API, ELSEWHERE, V1, WIDEST_DAYS, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names

STREAM = "packing_list_items"
ITEMS = 60
ITEMS_PER_LIST = 3
FIRST_ITEM, FIRST_LIST = 510_001, 71_001
TRIES = 8  # to find another article of the list's supplier
DAYS_APART = 6  # of two lists, backwards from the seed's end
DAY_FIRST = "%d-%m-%Y %H:%M:%S"


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(FIRST_ITEM, FIRST_ITEM + ITEMS):
        imported_at = world.before(((number - FIRST_ITEM) // ITEMS_PER_LIST * DAYS_APART + 1) * 86_400)
        record = _item(world, number)
        _stamp(world, STREAM, record, imported_at)
        world[API, STREAM].put(record, imported_at.timestamp())


def _item(world: World, number: int) -> Record:
    place = (number - FIRST_ITEM) // ITEMS_PER_LIST
    of_list, dice = Dice(world.seed, "packing_list", place), Dice(world.seed, "packing_item", number)
    first = article_of(world, of_list.below(ARTICLES))
    entry = first["suppliers"][0]
    others = (article_of(world, dice.below(ARTICLES)) for _ in range(TRIES))
    article = next((each for each in others if each["suppliers"][0]["supplier_id"] == entry["supplier_id"]), first)
    entry = article["suppliers"][0]
    employee = of_list.between(1, EMPLOYEES)
    is_bike = "objects" in article
    return {
        "supplier_packinglist_id": FIRST_LIST + place,
        "supplier_packinglist_item_id": number,
        "store_id": of_list.pick((1, 3)),
        "supplier_id": entry["supplier_id"],
        "supplier_name": entry["supplier_name"] if of_list.chance(80) else None,
        "packinglist_number": f"PL0{of_list.digits(5)}",
        "supplier_order_id": of_list.pick((0, 31_000 + place)),
        "employee_id": employee,
        "employee_name": f"{of_list.pick(names.FIRST_NAMES)} {of_list.pick(names.LAST_NAMES)}",
        "barcode": article["barcode"],
        "article_id": entry["article_id"],
        "unit_purchase_price_ex_vat_cents": entry["purchase_price_cents"] * dice.between(90, 105) // 100,
        "quantity": 1 if is_bike else dice.pick((2, 5, 2.5)),
        "stock_object_id": None,
    }


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    """Note when a new item was imported; in every other list the day comes first."""
    if "created_at" not in record:
        text = world.local(API, at)
        is_day_first = record["supplier_packinglist_id"] % 2
        record["created_at"] = datetime.fromisoformat(text).strftime(DAY_FIRST) if is_day_first else text


def _created(world: World, record: Record) -> float:
    text = record["created_at"]
    if text[2] == "-":
        text = datetime.strptime(text, DAY_FIRST).isoformat()  # noqa: DTZ007  (local time)
    return world.parsed(API, text)


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _item(world, FIRST_ITEM + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Put an object into stock: the item tells its number from then on."""
    record["stock_object_id"] = dice.between(10_000, 99_999)
    return record


def _follow(world: World, _stream: str, _before: Record | None, after: Record | None, _at: float) -> None:
    supplier_orders.follow(world, after)


FAMILY = Family(
    api=API,
    keys={STREAM: ("supplier_packinglist_item_id",)},
    pace={STREAM: Pace(changed=0, added=2, deletion_percent=0)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
    follow=_follow,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of packing lists."""
    path = f"{V1}/supplier/packinglists.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_items, lists), limited=True)]


def _items(lists: Lists, ask: Ask) -> Answer:
    """Return a page of items; links to the pages beside it lead to another host. There is no `error`."""
    world, collection = lists.world, lists.world[API, STREAM]
    for name in ("start_date", "end_date"):
        ask.query[name] = "-".join(reversed(ask.query.get(name, "").split("-")))  # the day first, or it is no day
    asked = lists.days(ask, "start_date", "end_date", widest=WIDEST_DAYS)
    if isinstance(asked, Answer):
        return asked
    made = ((each["supplier_packinglist_item_id"], _created(world, each)) for each in collection.records())
    keys = [key for key, at in made if asked[0] <= at < asked[1]]
    answer = lists.page(ask, collection, keys, "data")
    if answer.status == 200:
        following = answer.body["pagination"]["next_offset"]
        links = {"previous": None, "next": None if following is None else _link(ask, following)}
        answer.body = {"data": answer.body["data"], "pagination": links}
        answer.paging = ""
    return answer


def _link(ask: Ask, offset: int) -> str:
    days = f"start_date={ask.query['start_date']}&end_date={ask.query['end_date']}"
    return f"{ELSEWHERE}{V1}/supplier/packinglists.json?{days}&offset={offset}"

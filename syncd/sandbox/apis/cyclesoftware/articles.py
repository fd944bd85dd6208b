"""Articles of CycleSoftware's shops, with stock, objects and suppliers. Records and endpoint."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.article_terms import CODES, V4
from syncd.sandbox.apis.cyclesoftware.common import FIRST_SUPPLIER_ID, IMPORTERS
from syncd.sandbox.apis.cyclesoftware.lists import API, Lists
from syncd.sandbox.world import Child, Collection, Dice, Family, Key, Pace, Record, Sizes, World, names

STREAM = "articles"
ARTICLES = Sizes().articles  # those that other streams name
FIRST_BARCODE = 8_712_000_000_000
FIRST_ENTRY, FIRST_OBJECT = 90_000, 210_000  # of suppliers' entries, and of objects
BIKES = 3  # one of so many articles is a bike or moped
ACCOUNT = 1
STORES = (1, 3)
PARTS = (("Buitenband", "2N01", 1_295), ("Binnenband", "2N02", 595), ("Fietstas", "3C00", 4_995))
COLORS = {
    "BLA": ("zwart", "black", "noir"), "BLU": ("blauw", "blue", "bleu"), "RED": ("rood", "red", "rouge"),
}  # fmt: skip


def _seed(world: World, sizes: Sizes) -> None:
    for number in range(sizes.articles):
        record = article_of(world, number)
        stamp = world.stamp_of(API, STREAM, number)
        _stamp(world, STREAM, record, world.at(stamp))
        world[API, STREAM].put(record, stamp)


def article_of(world: World, number: int) -> Record:
    """Return the article with this number as the seed has it, without the time of its change."""
    dice = Dice(world.seed, "article", number)
    is_bike = number % BIKES == 0
    brand = dice.pick(names.BIKE_BRANDS)
    price = dice.between(499, 4_299) * 100 if is_bike else PARTS[number % len(PARTS)][2] + dice.below(9) * 100
    purchase = price * 6 // 10
    record: Record = {
        "barcode": f"{FIRST_BARCODE + number:013d}" if number % 10 else f"0{dice.digits(11)}",
        "pricing": _pricing(world, dice, price, purchase),
        "suppliers": [_supplier(dice, number, place, brand, purchase) for place in range(dice.between(1, 2))],
    }
    if is_bike:
        record["objects"] = [_object(world, dice, number, place, price) for place in range(dice.between(1, 3))]
    elif number % 7:
        levels = [dice.between(-1, 12) for _ in STORES]
        stores = [_stock(dice, store, level) for store, level in zip(STORES, levels, strict=True)]
        record["stock"] = {"available": max(levels) > 0, "stores": stores}
    record["properties"] = _properties(dice, number, brand, record)
    return record


def _pricing(world: World, dice: Dice, price: int, purchase: int) -> Record:
    begins = world.before(dice.between(-60, 60) * 86_400).date()
    pricing: Record = {
        "currency": "EUR",
        "rrp_cents": price,
        "pos_sales_price_cents": price,
        "ecommerce_price_cents": price - 100 if dice.chance(60) else None,
        "pos_group_id": dice.pick((1, 2)),
        "vat_code": 2,
    }
    if dice.chance(80):
        pricing["purchase_price_cents"] = purchase
    if dice.chance(20):
        pricing |= {
            "pos_promo_price_cents": price * 9 // 10,
            "pos_promo_price_from": begins.isoformat(),
            "pos_promo_price_until": (begins + timedelta(days=21)).isoformat(),
        }
    return pricing


def _stock(dice: Dice, store: int, level: int) -> Record:
    record: Record = {"store_id": store, "stock_level": level, "locations": []}
    if dice.chance(70):  # sent since June 2026
        record |= {"min_stock_level": dice.pick((0, 2, 5)), "max_stock_level": dice.pick((0, 10))}
    if dice.chance(40):
        place = {"store_id": store, "location_id": dice.between(1, 99), "location_x": 1, "location_y": 2}
        record["locations"] = [{**place, "location_capacity": 20, "location_bulk": False}]
    return record


def _object(world: World, dice: Dice, number: int, place: int, price: int) -> Record:
    object_id = FIRST_OBJECT + 10 * number + place
    record: Record = {
        "object_id": object_id,
        "object_code": f"F.{ACCOUNT}-{object_id}",
        "store_id": dice.pick(STORES),
        "available": dice.chance(70),
        "is_demo": dice.chance(10),
        "is_used": dice.chance(20),
        "currency": "EUR",
        "ecommerce_price_cents": price,
        "pos_sales_price_cents": price,
        "identification": {"frame_number": f"WZ{dice.digits(7)}", "key_number": dice.digits(5)},
    }
    if dice.chance(70):
        record["purchase_price_cents"] = price * 6 // 10
    if not record["available"]:
        record["expected_at"] = world.before(-dice.between(1, 90) * 86_400).date().isoformat()
    return record


def _supplier(dice: Dice, number: int, place: int, brand: str, purchase: int) -> Record:
    supplier = dice.below(len(IMPORTERS))
    return {
        "_id": FIRST_ENTRY + 10 * number + place,
        "supplier_id": FIRST_SUPPLIER_ID + supplier,
        "supplier_name": IMPORTERS[supplier],
        "article_id": f"0{dice.digits(6)}",
        "model_id": f"{brand[:3].upper()}{number}" if dice.chance(50) else None,
        "currency": "EUR",
        "rrp_cents": purchase * 10 // 6,
        "purchase_price_cents": purchase + place * 50,
        "package": {"package_contents": 1, "min_order_quantity": dice.pick((1, 5)), "order_unit": 1},
    }


def _properties(dice: Dice, number: int, brand: str, record: Record) -> Any:
    """Return the properties by name; PHP writes an empty map as an empty array."""
    if number == 1:
        return []
    title, group, _ = PARTS[number % len(PARTS)]
    code = "1A00" if "objects" in record else group
    color = dice.pick(sorted(COLORS))
    dutch, english, french = COLORS[color]
    suppliers = [each["supplier_id"] for each in record["suppliers"]]
    objects = [each["object_id"] for each in record.get("objects", ())]
    colors = [
        {"supplier_ids": suppliers[-1:], "value": english},  # plain text beside localised values
        {"supplier_ids": suppliers[:1], "code": color, "value": {"nl": dutch, "en": english, "fr": french}},
    ]
    if objects and number % 2:
        colors.append({"object_ids": objects[:1], "value": {"user": "zwart mat", "nl": "zwart", "en": "black"}})
    return {
        "brand": {"type": "codelist", "values": [{"supplier_ids": suppliers, "code": "0101", "value": brand}]},
        "model": {"type": "string", "values": [{"value": dice.pick(names.BIKE_MODELS)}]},
        "model_year": {"type": "integer", "values": [{"supplier_ids": suppliers, "value": 2020 + dice.below(7)}]},
        "basic_color": {"type": "codelist", "values": colors},
        "weight_netto": {"type": "decimal", "unit": "kg", "values": [{"value": dice.between(5, 300) / 10}]},
        "is_foldable": {"type": "boolean", "values": [{"value": False}]},
        "keyword": {"type": "list", "values": [{"value": ["fiets", title.lower()]}]},
        "pos_description": {"type": "string", "values": [{"value": f"{brand} {title}"}]},
        **{name: _group(name, code[:length]) for name, length in
           (("article_main_group", 1), ("article_group", 2), ("article_sub_group", 4))},
    }  # fmt: skip


def _group(name: str, code: str) -> Record:
    dutch, english = CODES[name].get(code, ("", ""))
    return {"type": "codelist", "values": [{"code": code, "value": {"nl": dutch, "en": english}}]}


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    record["modified_at"] = world.local(API, at)


def _fresh(world: World, _stream: str, number: int) -> Record:
    return article_of(world, number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Change a price; a part is sold, an object goes, and the last object leaves no list behind."""
    record["pricing"]["pos_sales_price_cents"] += dice.between(1, 9) * 5
    for store in record.get("stock", {}).get("stores", ()):
        store["stock_level"] -= dice.below(2)
    if dice.chance(30) and record.pop("objects", [])[1:]:
        record["objects"] = []
    return record


def change_stock_unseen(world: World, barcode: Key) -> bool:
    """Sell one of an article without a new time of change; False if it has no stock."""
    articles = world[API, STREAM]
    record, stamp = articles.get(barcode), articles.stamp(barcode)
    stores = record.get("stock", {}).get("stores", [])
    if not stores:
        return False
    stores[0]["stock_level"] -= 1
    articles.put(record, stamp)
    return True


def _child(name: str, *path: str, number: str) -> dict[str, Child]:
    child = Child(parent=STREAM, parent_key=("barcode",), field=path, owner=("barcode",), number=number)
    return {name: child}


FAMILY = Family(
    api=API,
    keys={
        STREAM: ("barcode",),
        "article_stock": ("barcode", "store_id"),
        "article_objects": ("barcode", "object_id"),
        "article_suppliers": ("barcode", "_id"),
    },
    pace={STREAM: Pace(changed=3, added=1, deletion_percent=20)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
    children={
        **_child("article_stock", "stock", "stores", number="store_id"),
        **_child("article_objects", "objects", number="object_id"),
        **_child("article_suppliers", "suppliers", number="_id"),
    },
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of articles."""
    path = f"{V4}/articledata/entries.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_entries, lists))]


def _entries(lists: Lists, ask: Ask) -> Answer:
    """Return a page of articles; at the end of the list there is no `next_url` at all."""
    world, collection = lists.world, lists.world[API, STREAM]
    try:
        answer = lists.token_walk(ask) or lists.token_page(ask, collection, _asked(world, collection, ask))
    except ValueError:
        return lists.error(400, "Invalid value for modified_since")
    pagination = answer.body.get("pagination", {})
    if pagination.get("next_url", "") is None:
        del pagination["next_url"]
    return answer


def _asked(world: World, collection: Collection, ask: Ask) -> list[Key]:
    """Return the keys that are asked for: one, those changed after a second of local time, or all."""
    if barcode := ask.query.get("barcode"):
        return [barcode] if barcode in collection else []
    if not (text := ask.query.get("modified_since")):
        return collection.keys()
    since = world.parsed(API, datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).isoformat()[:19])
    return [key for key in collection.since(since) if collection.stamp(key) > since]

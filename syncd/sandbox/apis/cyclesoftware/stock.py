"""Bikes in stock: the items that CycleSoftware counts, and the rows of its stock locator. Records and endpoints."""

from functools import partial

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route, decoded
from syncd.sandbox.apis.cyclesoftware import stock_objects
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, STORES_ENVELOPE, V1, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names, samples

OWN_STORES = ("1-1", "1-3", "5185-1")
BARCODES = 60  # different articles in the shops' stock


def _seed(world: World, sizes: Sizes) -> None:
    documented = samples(__package__)["stock"]
    for row in documented:
        _stock_up(world, _item_of_sample(row), row)
    for number in range(max(0, sizes.stock_items - len(documented))):
        _stock_up(world, _stock_item(world, number))


def _stock_item(world: World, number: int) -> Record:
    dice = Dice(world.seed, "stock_item", number)
    store_id = dice.pick((*OWN_STORES, "9001-1", "9002-1"))
    article = Dice(world.seed, "article", dice.below(BARCODES))
    brand = article.pick(names.BIKE_BRANDS)
    rrp = article.between(299, 4_999) * 100
    sold, deleted = dice.chance(15), dice.chance(4)
    return {
        "account_id": int(store_id.split("-")[0]),
        "store_id": int(store_id.split("-")[1]),
        "object_id": 200_000 + number // 2,  # unique within an account only: other accounts reuse the numbers
        "sales_order_id": 700_001 + dice.below(300) if sold else 0,
        "brand_name": brand,
        "supplier": f"{brand} Nederland",
        "article_id": f"0{article.digits(7)}",
        "barcode": f"871{article.digits(10)}",
        "description": f"{brand} {article.pick(names.BIKE_MODELS)} {dice.pick(('D49', 'D53', 'H57', 'L', 'XL'))}",
        "frame_id": f"{brand[:2].upper()}{dice.digits(8)}",
        "purchase_price_cents": rrp * 62 // 100,
        "dealer_rrp_cents": rrp,
        "is_sold_to_customer": sold,
        "is_demo": dice.chance(5),
        "is_used": dice.chance(10),
        "has_invoice": sold,
        "is_deleted": deleted,
        "is_rental": dice.chance(2),
        "is_new": True,
        "stocked_at": world.before(dice.between(0, 700 * 86_400)).date().isoformat(),
        "custom_variable_1": dice.pick(("", "", "showroom", "kelder", "etalage 2")),
    }


def _item_of_sample(row: Record) -> Record:
    account, store = row["store_id"].split("-")
    flags = dict.fromkeys(("is_sold_to_customer", "is_used", "has_invoice", "is_deleted", "is_rental"), False)
    return {
        "account_id": int(account), "store_id": int(store), "object_id": row["object_id"], "sales_order_id": 0,
        "brand_name": row["brand_name"], "article_id": row["article_id"], "barcode": row["barcode"],
        "description": row["brand_name"], "frame_id": "", "purchase_price_cents": 99_900, "dealer_rrp_cents": 164_900,
        **flags, "is_demo": row["is_demo"], "is_new": True, "stocked_at": "2023-01-23", "custom_variable_1": "",
    }  # fmt: skip


def _stock_up(world: World, item: Record, row: Record | None = None) -> None:
    """Put an item, and its row in the stock locator while it is for sale."""
    key = (item["account_id"], item["object_id"])
    if key in world[API, "stock_items"]:
        item["object_id"] = key[1] + 100_000
        key = (key[0], item["object_id"])
    stamp = world.stamp_of(API, "stock_items", str(key))
    world[API, "stock_items"].put(item, stamp)
    _place_in_stock(world, item, stamp, row)


def _place_in_stock(world: World, item: Record, stamp: float, row: Record | None = None) -> None:
    """Make the stock locator agree with an item: a row while it is for sale, none after."""
    stock = world[API, "stock"]
    key = (f"{item['account_id']}-{item['store_id']}", item["object_id"])
    if item["is_sold_to_customer"] or item["is_deleted"]:
        if key in stock:
            stock.remove(key)
        return
    made = {
        "store_id": key[0],
        **{name: item[name] for name in ("object_id", "barcode", "article_id", "brand_name", "is_demo")},
    }
    stock.put(row or made, stamp)


def _follow(world: World, stream: str, before: Record | None, after: Record | None, stamp: float) -> None:
    """Let the stock locator follow a change of an item; one that moves leaves the shop where it was."""
    if stream == "stock_items" and before is not None:
        _place_in_stock(world, {**before, "is_deleted": True}, 0.0)
    if stream == "stock_items" and after is not None:
        _place_in_stock(world, after, stamp)
    if stream == "stock_items":
        stock_objects.follow(world, before, after)


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _stock_item(world, 50_000 + number)


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "stock":
        record["is_demo"] = not record["is_demo"]
        return record
    record["is_sold_to_customer"] = not record["is_sold_to_customer"]  # sold, or brought back
    record["is_deleted"] = record["is_deleted"] or dice.chance(10)
    if not record["is_sold_to_customer"]:
        record["store_id"] = 3 if record["store_id"] == 1 else 1  # moved to the other shop
    return record


FAMILY = Family(
    api=API,
    keys={"stock": ("store_id", "object_id"), "stock_items": ("account_id", "object_id")},
    pace={"stock_items": Pace(changed=5, added=1, deletion_percent=30)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    follow=_follow,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of the stock locator and of stock items."""
    return [
        Route(
            method="POST",
            path=f"{V1}/stock-in-store-locator/stock.json",
            stream="stock",
            handler=partial(_stock, lists),
            limited=True,
        ),
        Route(
            method="GET",
            path=f"{V1}/stock/pos-items.json",
            stream="stock_items",
            handler=partial(_stock_items, lists),
            limited=True,
        ),
    ]


def _stock(lists: Lists, ask: Ask) -> Answer:
    try:
        wanted = msgspec.json.decode(ask.body, type=list[dict[str, str]])
    except msgspec.DecodeError:
        return lists.error(400, "Invalid request: a list of objects with a barcode or article_id is expected")
    pairs = {(name, value) for entry in wanted for name, value in entry.items()}
    rows = [
        row
        for row in lists.all("stock")
        if (record := decoded(row))
        and (("barcode", record["barcode"]) in pairs or ("article_id", record["article_id"]) in pairs)
    ]
    body = {**STORES_ENVELOPE, "stores": lists.all("stores"), "stock": rows}
    return Answer(body=body, rows_at=("stock",))


def _stock_items(lists: Lists, _ask: Ask) -> Answer:
    return Answer(body={**NO_ERROR, "data": lists.all("stock_items")}, rows_at=("data",))


def lookups(world: World) -> dict[str, list[str]]:
    """Return barcodes and article numbers that `stock` can be asked for; all exist now."""
    stock = world.truth(API, "stock")
    barcodes = sorted({row["barcode"] for row in stock})[::2]
    asked = set(barcodes)
    articles = sorted({row["article_id"] for row in stock if row["barcode"] not in asked})
    return {"barcodes": barcodes, "article_ids": articles}

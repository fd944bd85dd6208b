"""Sales transactions of CycleSoftware's shops: invoices, credits and pro-forma invoices with lines that add up.

Records and endpoint. A transaction that is not booked yet stands on the list of pro-forma invoices, too.
"""

from datetime import datetime
from functools import partial
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.articles import ARTICLES, FIRST_BARCODE
from syncd.sandbox.apis.cyclesoftware.lists import API, DAY_S, V3, Lists
from syncd.sandbox.world import Child, Dice, Family, Pace, Record, Sizes, World, names
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

ACCOUNT = 5_185
FIRST_NUMBER = 900_001
FIRST_NEW_NUMBER = 6_000_000
WEEKS_OPEN = 3  # of an unbooked one
FIRST_SALES, TRIES = 60, 20  # sales among which a sold bike is looked for, and how often
VAT = {2: 21, 1: 9, 0: 0}  # percent by code
GROUPS = ((1, "Nieuwe fietsen"), (2, "Onderdelen"), (5, "Werkplaats"), (20, "Gebruikte fietsen"))
SELLERS = ((11, "Anna de Boer"), (12, "Bram Visser"), (14, "Chris Mulder"))
NO_OBJECT: dict[str, Any] = {"object": None, "identification": None}


def _seed(world: World, sizes: Sizes) -> None:
    for number in range(sizes.sales_transactions):
        record, at = _transaction(world, FIRST_NUMBER + number, days=sizes.sales_days)
        _put(world, record, at)
    sold = world[API, "sales_transactions"]
    if booked := next((record for key in sold.keys() if (record := sold.get(key))["is_final"]), None):  # noqa: SIM118
        _put(world, *_credit(world, booked, FIRST_NUMBER + sizes.sales_transactions))


def _put(world: World, record: Record, at: datetime) -> None:
    world[API, "sales_transactions"].put(record, at.timestamp())
    _follow(world, "sales_transactions", None, record, at.timestamp())


def _transaction(world: World, number: int, *, days: int) -> tuple[Record, datetime]:
    dice = Dice(world.seed, "transaction", number)
    age_s = dice.between(3_600, days * DAY_S) if number < FIRST_NEW_NUMBER else 3_600
    created, changed = world.before(age_s), world.before(age_s - dice.below(min(age_s, 5 * DAY_S)))
    is_final = not (age_s < WEEKS_OPEN * 7 * DAY_S and dice.chance(60))
    seller_id, seller = dice.pick(SELLERS)
    is_repair = dice.chance(40)
    items = [_item(world, number, at) for at in range(1, dice.between(1, 3) + 1)]
    total = sum(item["nett_line_price_in_vat_cents"] for item in items)
    return {
        "account_id": ACCOUNT,
        "store_id": dice.pick((1, 2, 3)),
        "sales_transaction_number": number,
        "type_name": "Verkoop",
        "is_final": is_final,
        "book_location_id": dice.pick((1, 2)) if is_final else None,
        "transaction_date": world.local(API, created)[:10],
        "created_at": world.local(API, created),
        "modified_at": world.local(API, changed),
        "booked_at": world.local(API, changed) if is_final else None,
        "vat_number": dice.pick((None, None, "NL855630693B01")),
        "vat_country_code": None,
        "total_amount_cents": total,
        "gross_total_amount_cents": total,
        "unpaid_amount_cents": 0 if is_final else total,
        "sales_employee_name": seller,
        "sales_employee_id": seller_id,
        "booked_by_employee_name": seller,
        "booked_by_employee_id": seller_id,
        "last_update_by_employee_name": seller,
        "last_update_by_employee_id": seller_id,
        "customer_phone_number_id": dice.pick((None, "mob")),
        "debit_sales_transaction_number": None,
        "credit_sales_transaction_number": None,
        "customer": _customer(dice),
        "sales_order": _order(world, dice, created) if is_repair or dice.chance(40) else None,
        "workshop_order": _repair(dice, seller_id, seller) if is_repair else None,
        "sales_items": items,
    }, changed


def _customer(dice: Dice) -> Record | None:
    if dice.chance(30):
        return None  # over the counter
    first_name, name, number = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES), dice.below(300)
    return {
        "customer_id": FIRST_CUSTOMER_ID + number,
        "full_name": f"{first_name} {name}",
        "street": dice.pick(names.STREETS),
        "housenumber": str(dice.between(1, 300)),
        "housenumber_postfix": "",
        "city": dice.pick(names.DUTCH_CITIES),
        "postcode": names.dutch_postcode(dice),
        "country": "Nederland",
        "country_code": "NL",
        "loyalty_points": dice.below(50),
        "email": names.email_of(first_name, name, number, "example.net"),
        "global_discount": 0,
        "iban": dice.pick((None, f"NL91ABNA0{dice.digits(9)}")),
        "date_of_birth": dice.pick((None, "1971-05-04")),
        "phone_numbers": [{"phone_number_id": "mob", "phone_number": f"06 0{dice.digits(7)}", "name": name}],
        "language_code": "nl",
    }


def _order(world: World, dice: Dice, created: datetime) -> Record:
    return {
        "sales_order_id": 700_001 + dice.below(300),
        "customer_id": FIRST_CUSTOMER_ID + dice.below(300),
        "type_id": dice.pick((0, 3, 6)),
        "status_id": dice.pick((2, 9)),
        "reference_id": None,
        "reference_text": dice.pick((None, "Graag bellen")),
        "delivery_method_id": 0,
        "track_trace_reference": None,
        "created_at": world.local(API, created),
    }


def _repair(dice: Dice, mechanic_id: int, mechanic: str) -> Record:
    return {
        "workshop_order_id": 700_001 + dice.below(300),
        "repair_object_id": 60_001 + dice.below(60),
        "type_id": 1,
        "status_id": dice.pick((7, 8)),
        "workshop_rate_id": 1,
        "mechanic_employee_id": mechanic_id,
        "mechanic_employee_name": mechanic,
        "delivery_method_id": 0,
        "reference_text": None,
        "km_age": dice.pick((None, 1_250)),
        "object": {
            "object_id": 60_001 + dice.below(60),
            "brand_name": dice.pick(names.BIKE_BRANDS),
            "color": "zwart",
            "category_name": "Stadsfiets",
            "sub_category_name": None,
            "model_name": dice.pick(names.BIKE_MODELS),
            "size": "57",
            "year": 2022,
        },
        "identification": {"frame_number": f"GZ{dice.digits(8)}", "key_number": dice.digits(5)},
    }


def _item(world: World, number: int, at: int) -> Record:
    dice = Dice(world.seed, "transaction_item", number, at)
    kind = dice.pick(("bike", "part", "part", "work"))
    group_id, group = {"bike": GROUPS[0], "part": GROUPS[1], "work": GROUPS[2]}[kind]
    code = 1 if kind == "work" else 2
    quantity: float = {"bike": 1, "part": dice.between(1, 3), "work": dice.pick((1, 0.5))}[kind]
    gross_in = {"bike": dice.between(499, 4_299), "part": dice.between(5, 60), "work": 68}[kind] * 100 - 5
    discount_in = dice.pick((0, 0, 904))
    gross_ex, discount_ex = (round(cents / (1 + VAT[code] / 100)) for cents in (gross_in, discount_in))
    nett_in, nett_ex = (round(quantity * (g - d)) for g, d in ((gross_in, discount_in), (gross_ex, discount_ex)))
    brand = dice.pick(names.BIKE_BRANDS)
    bike: Record = NO_OBJECT
    if kind == "bike":
        bike = _bike(dice, brand, gross_in)
    return {
        "sales_item_id": number * 10 + at,
        "item_type_id": {"bike": 2, "part": 1, "work": 11}[kind],
        "pos_group_id": group_id,
        "pos_group_name": group,
        "barcode": None if kind == "work" else _barcode(dice, kind),
        "quantity": quantity,
        "gross_unit_price_in_vat_cents": gross_in,
        "gross_unit_price_ex_vat_cents": gross_ex,
        "unit_discount_in_vat_cents": discount_in,
        "unit_discount_ex_vat_cents": discount_ex,
        "line_discount_in_vat_cents": discount_ex,  # as sampled: the amount without VAT
        "line_discount_ex_vat_cents": discount_ex,
        "nett_line_price_in_vat_cents": nett_in,
        "nett_line_price_ex_vat_cents": nett_ex,
        "ex_vat_based_prices": False,
        "discount_percentage": dice.pick((None, 2.5)),
        "vat_code": code,
        "vat_percentage": VAT[code],
        "vat_amount_cents": nett_in - nett_ex,
        "purchase_price_ex_vat_cents": None if kind == "work" else gross_ex * 6 // 10,
        "description": {"bike": f"{brand} fiets", "part": "Onderdeel", "work": "Arbeid"}[kind],
        "description_extended": None,
        "sales_order_item_id": dice.pick((None, number * 10 + at)),
        "unit_work_time_minutes": 60 if kind == "work" else None,
        "workshop_rate_id": 1 if kind == "work" else None,
        "article": _article(dice, brand, gross_in) if kind == "part" else None,
        **bike,
    }


def _barcode(dice: Dice, kind: str) -> str:
    """Return the barcode of what is sold: of a part, that of an article; a bike has one that no list knows."""
    return f"{FIRST_BARCODE + dice.below(ARTICLES):013d}" if kind == "part" else f"871{dice.digits(10)}"


def sold_bike(world: World, dice: Dice) -> int | None:
    """Return the number of a bike of the first sales; None if none is found."""
    for _ in range(TRIES):
        bike = _item(world, FIRST_NUMBER + dice.below(FIRST_SALES), 1)["object"]
        if bike:
            return int(bike["object_id"])
    return None


def _article(dice: Dice, brand: str, price: int) -> Record:
    return {
        "brand_name": brand,
        "description": "Onderdeel",
        "dst_main_id": dice.pick(("2", 1)),  # text, and a number at times
        "dst_main_name": "Onderdelen",
        "dst_sub_id": "A",
        "dst_sub_name": "Banden",
        "dst_sub_sub_id": "0",
        "dst_sub_sub_name": "",
        "sales_price_cents": price,
        "purchase_price_ex_vat_cents": price // 2,
        "suppliers": [{"supplier_id": 4, "supplier_name": "Groothandel", "article_id": "03505002"}],
    }


def _bike(dice: Dice, brand: str, price: int) -> Record:
    object_id = 10_000 + dice.below(10_000)
    return {
        "object": {
            "object_id": object_id,
            "object_barcode": f"F{object_id}",
            "barcode": f"871{dice.digits(10)}",
            "article_id": f"0{dice.digits(7)}",
            "type_id": 1,
            "is_demo": False,
            "stock_location_name": None,
            "brand_name": brand,
            "brand_id": 21,
            "model_name": dice.pick(names.BIKE_MODELS),
            "category_name": "Elektrische fiets",
            "is_elo_bike": dice.chance(55),
            "frame_type": "Dames",
            "color": "zwart",
            "year": 2024,
            "object_status": dice.pick(("Nieuw", "Gebruikt")),
            "size": "57",
            "gear_count": dice.pick((8, 999)),
            "ecommerce_price_cents": price,
            "purchased_from_customer_id": 0,
            "consignment_status": 0,
        },
        "identification": {"stock_object_id": object_id, "frame_number": f"GZ{dice.digits(8)}", "key_number": None},
    }


def _credit(world: World, original: Record, number: int) -> tuple[Record, datetime]:
    """Cancel a booked sale, as the shop does: by a new transaction that takes everything back."""
    at = world.before(2 * DAY_S)
    items = [
        {**item, "sales_item_id": number * 10 + place, "quantity": -item["quantity"]}
        | {name: -value for name, value in item.items() if name.startswith(("nett_line", "vat_amount"))}
        for place, item in enumerate(original["sales_items"], 1)
    ]
    changed = {**original, "credit_sales_transaction_number": number, "modified_at": world.local(API, at)}
    _put(world, changed, at)
    local = world.local(API, at)
    return {
        **original, "sales_transaction_number": number, "type_name": "Creditnota", "sales_items": items,
        "debit_sales_transaction_number": original["sales_transaction_number"], "created_at": local,
        "modified_at": local, "booked_at": local, "transaction_date": local[:10],
        "total_amount_cents": -original["total_amount_cents"],
        "gross_total_amount_cents": -original["gross_total_amount_cents"],
    }, at  # fmt: skip


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _transaction(world, FIRST_NEW_NUMBER + number, days=1)[0] | {"created_at": world.local(API, world.now())}


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Add a line's worth to a pro-forma invoice, or change what may change of a booked one."""
    if record["is_final"]:
        record["unpaid_amount_cents"] += dice.between(1, 500)
    else:
        item = record["sales_items"][0]
        item["nett_line_price_in_vat_cents"] += 100
        item["description"] = f"Aangepast {dice.below(9_999)}"
        record["total_amount_cents"] += 100
    return record


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    record["modified_at"] = world.local(API, at)


def _follow(world: World, _stream: str, before: Record | None, after: Record | None, stamp: float) -> None:
    """Keep the list of pro-forma invoices as the unbooked transactions are."""
    proforma, held = world[API, "proforma_invoices"], after or before or {}
    number = held["sales_transaction_number"]
    if after is None or after["is_final"]:
        if number in proforma:
            proforma.remove(number)
        return
    customer, order = after["customer"] or {}, after["sales_order"] or {}
    proforma.put(
        {
            "created_at": after["created_at"],
            "customer_id": customer.get("customer_id", 0),
            "modified_at": after["modified_at"],
            "sales_order_id": order.get("sales_order_id"),
            "sales_transaction_number": number,
            "store_id": after["store_id"],
            "total_amount_cents": after["total_amount_cents"],
            "transaction_date": after["transaction_date"],
            "unpayed_amount_cents": after["unpaid_amount_cents"],
        },
        stamp,
    )


FAMILY = Family(
    api=API,
    keys={
        "sales_transactions": ("account_id", "sales_transaction_number"),
        "sales_transaction_items": ("account_id", "sales_transaction_number", "sales_item_id"),
    },
    pace={"sales_transactions": Pace(changed=3, added=2, deletion_percent=0)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    children={
        "sales_transaction_items": Child(
            parent="sales_transactions", parent_key=("account_id", "sales_transaction_number"),
            field=("sales_items",), owner=("account_id", "sales_transaction_number"), number="sales_item_id",
        )
    },
    stamp=_stamp,
    follow=_follow,
)  # fmt: skip


ORDERS_AT_ONCE = 25  # documented for sales_order_ids


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of sales transactions."""
    return [
        Route(
            method="GET",
            path=f"{V3}/salesdata/transactions.json",
            stream="sales_transactions",
            handler=partial(_transactions, lists),
        )
    ]


def _transactions(lists: Lists, ask: Ask) -> Answer:
    if going_on := lists.token_walk(ask):
        return going_on
    if "sales_order_ids" in ask.query:
        return _of_orders(lists, ask)
    field = ask.query.get("date_field", "book_date")
    if field != "modified_at":
        return lists.error(400, "Unknown date_field")
    span = lists.days(ask, "date_start", "date_end")
    if isinstance(span, Answer):
        return span
    collection = lists.world[API, "sales_transactions"]
    keys = [key for key in collection.since(span[0]) if collection.stamp(key) < span[1]]
    return lists.token_page(ask, collection, keys)


def _of_orders(lists: Lists, ask: Ask) -> Answer:
    """Return the transactions of up to 25 sales orders."""
    wanted = ask.query["sales_order_ids"].split(",")
    if len(wanted) > ORDERS_AT_ONCE:
        return lists.error(400, "Too many sales_order_ids")
    collection = lists.world[API, "sales_transactions"]
    orders = {key: (collection.get(key)["sales_order"] or {}).get("sales_order_id") for key in collection.keys()}  # noqa: SIM118
    return lists.token_page(ask, collection, [key for key, order in orders.items() if str(order) in wanted])

"""Records of a Dutch/Belgian bike dealer with three shops, as CycleSoftware holds them; owns no request handling."""

from functools import lru_cache
from typing import Any

from syncd.sandbox import names
from syncd.sandbox.collection import Key, Record
from syncd.sandbox.dice import Dice
from syncd.sandbox.world import Sizes, World

API = "cyclesoftware"
FIRST_CUSTOMER_ID = 30_001  # above every documented sample
FIRST_NEW_ID = 5_000_000  # of customers and orders that were not seeded
TITLES = ("Dhr.", "Mevr.", "Dhr./Mevr. ", "Fam. ", "")  # the documented sample has the trailing blank
CUSTOMER_TYPES = ("Klant", "Klant", "Klant", "Klant", "Zakelijk", "E-commerce")
LEAD_TYPES = ("information", "sales_offer", "test_ride", "contact_request", "exchange", "complaint", "other")
LEAD_STATES = ("open", "noticed", "accepted", "declined", "succeeded", "failed", "cancelled")
ORDER_STATES = ("open", "ordered", "delivered", "invoiced")  # "cancelled" is kept for deleted orders
OWN_STORES = ("1-1", "1-3", "5185-1")
PROFILES = 2_000  # sets of what few customers share, so that a huge world is quick
TWICE = 40  # every so-many-th customer bears the address of the one before
BARCODES = 60  # different articles in the shops' stock


def seed(world: World, sizes: Sizes) -> None:
    """Fill all streams of the API."""
    samples = world.samples[API]
    customers = world[API, "customers"]
    for sample in samples["customers"][: sizes.customers]:
        customers.put(sample, world.stamp_of(API, "customers", sample["customer_id"]))
    ids = range(FIRST_CUSTOMER_ID, FIRST_CUSTOMER_ID + max(0, sizes.customers - len(samples["customers"])))
    customers.promise((number, world.stamp_of(API, "customers", number)) for number in ids)
    for store in [*samples["stores"], *(_store(world, n) for n in range(3))]:
        world[API, "stores"].put(store, world.stamp_of(API, "stores", store["store_id"]))
    for key in [*samples["platform_keys"], *(_platform_key(world, n) for n in range(6))]:
        world[API, "platform_keys"].put(key, world.stamp_of(API, "platform_keys", key["key"]))
    for row in samples["stock"]:
        _stock_up(world, _item_of_sample(row), row)
    for number in range(max(0, sizes.stock_items - len(samples["stock"]))):
        _stock_up(world, _stock_item(world, number))
    for lead in [*samples["leads"], *(_lead(world, n) for n in range(sizes.leads))]:
        world[API, "leads"].put(lead, world.stamp_of(API, "leads", lead["uuid"]))
    for number in range(sizes.sales_orders):
        order, stamp = _sales_order(world, 700_001 + number)
        world[API, "sales_orders"].put(order, stamp)


def customer(world: World, customer_id: Key) -> Record:
    """Make the customer of that number; the same one each time."""
    dice = Dice(world.seed, "customer", customer_id)
    record = dict(_profile(world.seed, dice.below(PROFILES)))
    first_name, insertion, name = record["first_name"], record["insertion"], record["name"]
    record["customer_id"] = customer_id
    record["house_number"] = str(dice.between(1, 240))
    if record["email"]:
        record["email"] = names.email_of(first_name, name, customer_id, record["email"])
    if isinstance(customer_id, int) and customer_id % TWICE == 0:
        record["email"] = customer(world, customer_id - 1)["email"]  # entered twice, under two numbers
    if dice.chance(85):
        record["datetime_created"] = world.local(API, world.before(dice.between(0, 2_500 * 86_400)))
    full_name = f"{first_name} {insertion} {name}" if insertion else f"{first_name} {name}"
    record["phone_numbers"] = _phone_numbers(dice, customer_id, full_name)
    return record


@lru_cache(maxsize=PROFILES)
def _profile(seed: int, number: int) -> Record:
    """Make what several customers of a huge world have in common; `email` holds the domain only."""
    dice = Dice(seed, "profile", number)
    kind = dice.pick(CUSTOMER_TYPES)
    business, belgian = kind == "Zakelijk", dice.chance(20)
    first_name = dice.pick(names.FIRST_NAMES)
    record: Record = {
        "customer_id": 0,
        "customer_type_name": kind,
        "customer_reference": f"REF{dice.below(9999)}" if dice.chance(30) else "",
        "postcode": str(dice.between(1000, 9999)) if belgian else _postcode(dice),
        "house_number": "",
        "house_number_postfix": dice.pick(("", "", "", "a", "B", "-2", "bis")),
        "company_name": dice.pick(names.COMPANIES) if business else "",
        "attn": "t.a.v. de boekhouding" if business else "",
        "title": dice.pick(TITLES),
        "initials": first_name[0],
        "insertion": dice.pick(names.INSERTIONS),
        "first_name": first_name,
        "name": dice.pick(names.LAST_NAMES),
        "street": dice.pick(names.STREETS),
        "city": dice.pick(names.BELGIAN_CITIES if belgian else names.DUTCH_CITIES),
        "country_code_iso_3166": "BE" if belgian else "NL",
        "email": dice.pick(names.EMAIL_DOMAINS) if dice.chance(90) else "",
        "vat_number": f"NL{dice.digits(9)}B01" if business else "",
        "coc_number": f"0{dice.digits(7)}" if business else "",
        "discount_percentage": dice.pick((0, 0, 0, 0, 5, 10, 12.5, 7.25, 0.1)),
        "datetime_created": None,
        "phone_numbers": [],
    }
    if dice.chance(3):
        del record["company_name"]  # as in the documented customer 11 of "find"
    return record


def _phone_numbers(dice: Dice, customer_id: int, name: str) -> list[Record]:
    owner = 6 if dice.chance(2) else customer_id  # the documented customer 1006 has 6 here
    # No Dutch mobile number starts with 06-0, and no local one with 0: these reach nobody.
    mobile = f"06{dice.pick(('-', ' ', ''))}0{dice.digits(7)}" if dice.chance(80) else ""
    landline = f"{dice.pick(('073 ', '038', '020 ', '0513'))}0{dice.digits(5)}" if dice.chance(50) else ""
    numbers = [
        {"phone_number_id": "mob", "customer_id": owner, "phone_number": mobile, "name": name},
        {"phone_number_id": "tel", "customer_id": owner, "phone_number": landline, "name": name},
    ]
    if dice.chance(12):
        extra = {"phone_number_id": str(400_000 + customer_id), "customer_id": owner, "name": "Extra 1"}
        numbers.append({**extra, "phone_number": f"+32 400 0{dice.digits(5)}"})
    return numbers


def _postcode(dice: Dice) -> str:
    return f"{dice.between(1000, 9999)}{dice.text(names.POSTCODE_LETTERS, 2)}"


def _store(world: World, number: int) -> Record:
    dice = Dice(world.seed, "store", number)
    unplaced = number == 1
    return {
        "store_id": f"{9_001 + number}-1",
        "store_gln": "" if unplaced else f"8700000{dice.digits(6)}",
        "store_name": f"{dice.pick(names.LAST_NAMES)} Tweewielers",
        "store_address": f"{dice.pick(names.STREETS)} {dice.between(1, 90)}",
        "store_postal_code": _postcode(dice),
        "store_phone_number": f"038 0{dice.digits(6)}",
        "store_country_code": "NL",
        "store_email": f"winkel{number + 2}@example.org",
        "store_coordinates": [0, 0] if unplaced else [51 + dice.below(10**6) / 10**6, 5 + dice.below(10**6) / 10**6],
    }


def _platform_key(world: World, number: int) -> Record:
    dice = Dice(world.seed, "platform_key", number)
    store = _store(world, number % 3)
    store.pop("store_coordinates")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return {
        "key": dice.text(letters, 40),
        "is_active": dice.chance(80),
        "store": {
            **store,
            "store_city": dice.pick(names.DUTCH_CITIES),
            "store_coordinates": [0, 0] if number % 2 else [51.5, 5.25],
            "store_meta_data": {"drg_dealer_number": str(100 + number)} if number else {},
        },
    }


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
    place_in_stock(world, item, stamp, row)


def place_in_stock(world: World, item: Record, stamp: float, row: Record | None = None) -> None:
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


def _lead(world: World, number: int) -> Record:
    dice = Dice(world.seed, "lead", number)
    first_name, name = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES)
    bike = f"{dice.pick(names.BIKE_BRANDS)} {dice.pick(names.BIKE_MODELS)}"
    kind = dice.pick(LEAD_TYPES)
    at = world.before(dice.between(3_600, 500 * 86_400))
    created_at = world.zoned(API, at)
    wishes = ("test_ride", "phone_call", "finance_information", "insurance_information")
    return {
        "uuid": dice.uuid(),
        "store_id": dice.pick(("1-1", "5185-1", "43831")),  # the documents promise account-store and show "43831"
        "type": kind,
        "status": dice.pick(LEAD_STATES),
        "title": f"Kieskeurig: {'proefrit' if kind == 'test_ride' else 'vraag'} {bike}",
        "message": dice.pick(("Een potentiële klant wil een proefrit maken", "Graag terugbellen na 17.00 uur", "")),
        "costs_ex_vat_cents": dice.pick((0, 1_000, 1_500)),
        "options": {f"{wish}_requested": dice.chance(30) for wish in wishes},
        "object": {
            "description": bike,
            "object_id": dice.between(10_000, 20_000),
            "article_number": dice.pick(("ART1", f"0{dice.digits(7)}", None)),
            "barcode": f"871{dice.digits(10)}",
        },
        "exchange_object": {"exchange_description": "", "exchange_remarks": ""},
        "customer": {
            "customer_address_id": 91_000 + number,
            "address_type": "lead",
            "customer_id": FIRST_CUSTOMER_ID + dice.below(300) if dice.chance(60) else None,
            "is_business_address": False,
            "company_name": "",
            "name": f"{first_name} {name}",
            "street": dice.pick(names.STREETS),
            "house_number": str(dice.between(1, 300)),
            "house_number_postfix": "",
            "postal_code": _postcode(dice),
            "city": dice.pick(names.DUTCH_CITIES),
            "country_code": "NL",
            "phone_number": f"06 0{dice.digits(7)}",
            "email": names.email_of(first_name, name, number, "example.net"),
            "notes": dice.pick(("", "Bellen tussen 12.00-17.00")),
        },
        "created_at": created_at,
        "modified_at": created_at,
    }


def _sales_order(world: World, order_id: int) -> tuple[Record, float]:
    dice = Dice(world.seed, "sales_order", order_id)
    created_at = world.before(dice.between(3_600, 400 * 86_400))
    brand = dice.pick(names.BIKE_BRANDS)
    price = dice.between(499, 4_299) * 100
    record = {
        "sales_order_id": order_id,
        "store_id": dice.pick((1, 3)),
        "customer_id": FIRST_CUSTOMER_ID + dice.below(400),
        "status": dice.pick(ORDER_STATES),
        "reference": f"VO{order_id}",
        "datetime_created": world.local(API, created_at),
        "total_inc_vat_cents": price,
        "order_lines": [
            {
                "line_id": 1,
                "description": f"{brand} {dice.pick(names.BIKE_MODELS)}",
                "quantity": 1,
                "price_cents": price,
            },
            {"line_id": 2, "description": "Afleverbeurt", "quantity": 1, "price_cents": 0},
        ],
    }
    return record, created_at.timestamp()


def fresh(world: World, stream: str, number: int) -> Record:
    """Make a new record of a stream; the caller puts it."""
    if stream in {"customers", "sales_orders"}:
        new_id = FIRST_NEW_ID + number  # a number is never given out twice
        return customer(world, new_id) if stream == "customers" else _sales_order(world, new_id)[0]
    makers: dict[str, Any] = {
        "stores": _store, "platform_keys": _platform_key, "stock_items": _stock_item, "leads": _lead,
    }  # fmt: skip
    made: Record = makers[stream](world, 50_000 + number)
    return made


def changed(stream: str, record: Record, dice: Dice) -> Record:
    """Return the record as some clerk left it a while later."""
    if stream == "customers":
        record["street"], record["city"] = dice.pick(names.STREETS), dice.pick(names.DUTCH_CITIES)
        record["house_number"] = str(dice.between(1, 240))
        if dice.chance(40) and record["phone_numbers"]:
            record["phone_numbers"][0]["phone_number"] = f"06-0{dice.digits(7)}"
        if dice.chance(20) and len(record["phone_numbers"]) > 2:
            record["phone_numbers"].pop()
    elif stream == "stores":
        record["store_phone_number"] = f"073 0{dice.digits(6)}"
    elif stream == "stock_items":
        record["is_sold_to_customer"] = not record["is_sold_to_customer"]  # sold, or brought back
        record["is_deleted"] = record["is_deleted"] or dice.chance(10)
        if not record["is_sold_to_customer"]:
            record["store_id"] = 3 if record["store_id"] == 1 else 1  # moved to the other shop
    elif stream == "stock":
        record["is_demo"] = not record["is_demo"]
    elif stream == "platform_keys":
        record["is_active"] = not record["is_active"]
    elif stream == "leads":
        record["status"] = dice.pick(LEAD_STATES)
        record["message"] = f"{record['message']} (gebeld {dice.below(9_999)})"
    elif stream == "sales_orders":
        record["status"] = dice.pick(ORDER_STATES)
        record["total_inc_vat_cents"] += dice.between(1, 5_000)
    return record

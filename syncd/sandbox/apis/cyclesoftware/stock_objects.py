"""Objects in stock of CycleSoftware's own shops in full, as they follow from the items. Records and endpoint."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World, names
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

STREAM = "stock_objects"
OWN_ACCOUNT = 1
FIRST_FRESH_ID = 900_000


def _seed(world: World, _sizes: Sizes) -> None:
    for item in world[API, "stock_items"].records():
        follow(world, None, item)


def follow(world: World, before: Record | None, after: Record | None) -> None:
    """Let an object follow its item: one that left the stock of the own account is unknown from then on."""
    item = after or before
    if item is None or item["account_id"] != OWN_ACCOUNT:
        return
    held, number = world[API, STREAM], item["object_id"]
    if after is None or after["is_deleted"]:
        if number in held:
            held.remove(number)
        return
    held.put(_object(world, after), world.stamp_of(API, STREAM, number))


def _object(world: World, item: Record) -> Record:
    number, sold = item["object_id"], item["is_sold_to_customer"]
    dice = Dice(world.seed, STREAM, number)
    electric, has_front = dice.chance(60), dice.chance(40)
    numbers = {"frame_number": item["frame_id"], "key_number": dice.digits(5)}
    if electric:
        numbers["battery_number"] = f"AC{dice.digits(7)}"
    color = dice.pick(("zwart", "grijs", "blauw"))
    return {
        "stock_object_id": number,
        "customer_id": FIRST_CUSTOMER_ID + dice.below(300) if sold else None,
        "store_id": item["store_id"],
        "sales_order_id": item["sales_order_id"] or None,
        "sales_transaction_number": 870_001 + dice.below(9_000) if sold else None,
        "status": {
            "available": not sold,
            "expected_at": None,
            "is_demo": item["is_demo"],
            "is_rental": item["is_rental"],
            "is_reserved": dice.chance(10),
            "is_sold": sold,
            "is_used": item["is_used"],
            "km_age": dice.pick((0, 0, 15)),
        },
        # members that are empty are left out; PHP writes a map without any as an array
        "identification": numbers if any(numbers.values()) else [],
        "images": [],
        "object": {
            "stock_object_id": number,
            "store_id": item["store_id"],
            "is_reserved": False,
            "is_demo": item["is_demo"],
            "reference": f"F.{OWN_ACCOUNT}-{number}",
            "barcode": item["barcode"],
            "article_id": item["article_id"],
            "brand_name": item.get("brand_name", item.get("supplier")),
            "brand_id": 40 + dice.below(20),
            "model_name": dice.pick(names.BIKE_MODELS),
            "article_main_group": 1,
            "article_group": "A" if electric else "B",
            "article_sub_group": 0,
            "frame_type": dice.pick(("Dames", "Heren", "Lage instap")),
            "model_year": dice.between(2021, 2026),
            "frame_height": dice.pick((49, 53, 57.5)),
            "frame_size_supplier": dice.pick(("S", "M", "L")),
            "wheel_size": 28,
            "customer_group": "Dames",
            "frame_material": "Aluminium",
            "color": color,
            "primary_color": color,
            "secondary_color": "",
            **{f"{of}_brake_system_{end}": "" for of in ("type", "brand", "model") for end in ("front", "rear")},
            "type_gear_system": "Naaf",
            "brand_gear_system": "Shimano",
            "model_gear_system": "Nexus 7",
            "gear_count": dice.pick((3, 7, 8, 999)),
            "description_short": item["description"],
            "description": f"{item['description']}, rijklaar",
            "purchase_price_cents": item["purchase_price_cents"],
            "sales_price_cents": item["dealer_rrp_cents"],
            "rrp_cents": item["dealer_rrp_cents"],
            "ecommerce": dice.chance(70),
            "ecommerce_price_cents": item["dealer_rrp_cents"],
            "nett_weight_kg": dice.pick((17.5, 22, 24.25)),
            "gross_weight_kg": 31,
            "supplier_invoice_reference": f"INV{dice.digits(6)}",
            "supplier_order_reference": "",
            **{f"custom_variable_{place}": "" for place in range(1, 5)},
            "warranty_duration_months": 24 if electric else None,
            "warranty_type": 1,
            "has_front_suspension": has_front,
            "front_suspension_brand": "Suntour" if has_front else "",
            "front_suspension_model": "",
            "rear_suspension_brand": "",
            "rear_suspension_model": "",
        },
    }


def _fresh(world: World, _stream: str, number: int) -> Record:
    item = {**world[API, "stock_items"].records()[0], "account_id": OWN_ACCOUNT, "object_id": FIRST_FRESH_ID + number}
    return _object(world, {**item, "is_deleted": False})


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["object"]["sales_price_cents"] = dice.between(10_000, 400_000)
    return record


FAMILY = Family(api=API, keys={STREAM: ("stock_object_id",)}, pace={}, seed=_seed, fresh=_fresh, changed=_changed)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of objects in stock."""
    path = rf"{V1}/stock-objects/{{id:\d+}}.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_one, lists))]


def _one(lists: Lists, ask: Ask) -> Answer:
    try:
        return Answer(body=lists.world[API, STREAM].raw(int(ask.params["id"])), rows_at=())
    except KeyError:
        return lists.error(404, "Not Found")

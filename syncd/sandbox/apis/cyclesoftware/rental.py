"""Bikes for rent at CycleSoftware's shops. Records and endpoint."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World, names

OBJECTS = 16
FIRST_NUMBER = 20_297  # the documented code is F1-20297
TEXTS_EMPTY = ("chip_number", "license_plate_number", "tyre_size", "frame_height", "basic_color_secondary")


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(OBJECTS):
        record = _object(world, FIRST_NUMBER + number)
        world[API, "rental_objects"].put(record, world.stamp_of(API, "rental_objects", record["code"]))


def _object(world: World, number: int) -> Record:
    dice = Dice(world.seed, "rental_object", number)
    brand, electric = dice.pick(names.BIKE_BRANDS), dice.chance(60)
    color = dice.pick(("Zwart", "Grijs", "Blauw", "Groen"))
    return {
        "code": f"F1-{number}",
        "account_id": 1,
        "article_id": f"0{dice.digits(7)}",
        "barcode": f"871{dice.digits(10)}",
        "store_id": dice.pick((1, 3)),
        "stock_object_id": 300_000 + number,
        "is_elo": electric,
        "is_moped": False,
        "category_name": "Elektrische fiets" if electric else "Stadsfiets",
        "dst_main_id": 1,
        "dst_sub_id": "A" if electric else "B",
        "dst_sub_sub_id": 0,
        "is_reserved": dice.chance(30),
        "is_demo": False,
        "is_rental": True,
        "brand_name": brand,
        "frame_type": dice.pick(("Dames", "Heren", "Lage instap")),
        "brakes_or_transmission": "Naaf",
        "name_brakes": dice.pick(("Rollerbrake", "V-brake", "Hydraulisch")),
        "object_barcode": f"F1{number}",
        "model_name": dice.pick(names.BIKE_MODELS),
        "color": color,
        "gears": dice.pick(("3", "7", "8")),
        "year_description": dice.pick(("2023", "2024", "2025")),
        "size": dice.pick(("49", "53", "57")),
        "wheel_size": "28",
        "frame_size_supplier": dice.pick(("S", "M", "L")),
        "customer_group": dice.pick(("Dames", "Heren", "Unisex")),
        "material_description": "Aluminium",
        "basic_color": color.lower(),
        "frame_number": f"{brand[:2].upper()}{dice.digits(8)}",
        "lock_number": dice.digits(5),
        "key_number": dice.digits(5),
        "engine_number": f"M{dice.digits(7)}" if electric else "",
        "battery_number": f"AC{dice.digits(7)}" if electric else "",
        **dict.fromkeys(TEXTS_EMPTY, ""),
        # the vendor's sample has a time that no clock shows
        "images": [{"url": f"https://img.example.org/rental/{number}.jpg", "modified_at": "2021-01-01T12:00:99"}],
    }


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _object(world, FIRST_NUMBER + number)


def _changed(_stream: str, record: Record, _dice: Dice) -> Record:
    record["is_reserved"] = not record["is_reserved"]
    return record


FAMILY = Family(
    api=API,
    keys={"rental_objects": ("code",)},
    pace={"rental_objects": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of objects for rent."""
    return [
        Route(
            method="GET",
            path=f"{V1}/rental/objects.json",
            stream="rental_objects",
            handler=partial(_objects, lists),
        )
    ]


def _objects(lists: Lists, _ask: Ask) -> Answer:
    return Answer(body=lists.all("rental_objects"), rows_at=())

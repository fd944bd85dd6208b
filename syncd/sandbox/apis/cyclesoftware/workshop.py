"""The workshop of CycleSoftware's shops: its repair codes, and the objects of customers. Records and endpoints."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World, names
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

REPAIRS = (
    # category, code, description, minutes
    ("Banden", "B01", "Band plakken", 15), ("Banden", "B02", "Buitenband achter vervangen", 30),
    ("Banden", "B03", "Buitenband voor vervangen", 20), ("Remmen", "R01", "Remblokken vervangen", 20),
    ("Remmen", "R02", "Hydraulische rem ontluchten", 40), ("Aandrijving", "A01", "Ketting vervangen", 25),
    ("Aandrijving", "A02", "Riem vervangen", 45), ("Verlichting", "V01", "Achterlicht vervangen", 15),
    ("Onderhoud", "O01", "Kleine beurt", 45), ("Onderhoud", "O02", "Grote beurt", 90),
    ("E-bike", "E01", "Accu doormeten", 20), ("E-bike", "E02", "Software bijwerken", 15),
)  # fmt: skip
FIRST_CODE_ID = 11
FIRST_OBJECT_ID = 60_001
OBJECTS = Sizes().repair_objects  # those that other streams name
NONE_SENT = ("chip_id", "lock_id", "object_barcode", "variant")
SHARED_CODE_ID = (2, 3)  # places of two codes that bear one code_id, as in the vendor's sample


def _seed(world: World, sizes: Sizes) -> None:
    for place in range(len(REPAIRS)):
        record = _repair_code(world, place)
        world[API, "repair_codes"].put(record, world.stamp_of(API, "repair_codes", record["code"]))
    for number in range(FIRST_OBJECT_ID, FIRST_OBJECT_ID + sizes.repair_objects):
        world[API, "repair_objects"].put(object_of(world, number), world.stamp_of(API, "repair_objects", number))


def _repair_code(world: World, place: int) -> Record:
    category, code, description, minutes = REPAIRS[place % len(REPAIRS)]
    dice = Dice(world.seed, "repair_code", place)
    is_old = place < len(REPAIRS)
    shared = min(SHARED_CODE_ID) if place in SHARED_CODE_ID else place
    return {
        "code_id": FIRST_CODE_ID + shared,
        "code": code if is_old else f"{code}-{place}",
        "category": category,
        "description": description,
        "extra_text": dice.pick(("", "", "Exclusief materiaal")),
        "price_cents": None if dice.chance(20) else minutes * 95 + dice.below(5) * 50,
        "time_minutes": minutes,
        "workshop_rate_id": 2 if category == "E-bike" else 1,
        "vat_code": 1,
    }


def object_of(world: World, object_id: int) -> Record:
    """Return the object with this number as the seed has it."""
    dice = Dice(world.seed, "repair_object", object_id)
    brand, is_leased, is_electric = dice.pick(names.BIKE_BRANDS), dice.chance(20), dice.chance(55)
    return {
        "object_id": object_id,
        "customer_id": FIRST_CUSTOMER_ID + dice.below(300),
        "is_active": dice.chance(88),  # false: sold by that customer, still listed
        "object_type_name": "E-bike" if is_electric else "Fiets",
        "category": "Elektrische fiets" if is_electric else "Stadsfiets",
        "brand": brand,
        "model": dice.pick(names.BIKE_MODELS),
        "model_year": dice.pick(("2019", "2022", "", 2024)),  # a number at times
        "color": dice.pick(("zwart", "grijs", "blauw")),
        "phone_number_id": dice.pick(("mob", "tel")),
        "license_plate": "",
        "km_mileage": dice.pick(("", "1250", "4300 km")),
        "frame_id": f"{brand[:2].upper()}{dice.digits(8)}",
        "key_id": dice.digits(5),
        "engine_id": f"M{dice.digits(7)}" if is_electric else "",
        "battery_id": f"AC{dice.digits(7)}" if is_electric else "",
        **dict.fromkeys(NONE_SENT, ""),
        "workshop_rate_id": 2 if is_electric else 1,
        "service_level_id": dice.between(0, 2),
        "images": [],
        "lease_fleet_customer_id": FIRST_CUSTOMER_ID + 1 if is_leased else 0,
        "lease_employer_customer_id": FIRST_CUSTOMER_ID + 2 if is_leased else 0,
        "lease_contract_number": f"SO{dice.digits(5)}" if is_leased else "",
    }


def _fresh(world: World, stream: str, number: int) -> Record:
    return _repair_code(world, number) if stream == "repair_codes" else object_of(world, FIRST_OBJECT_ID + number)


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "repair_objects":
        record["km_mileage"] = str(dice.between(100, 20_000))
        return record
    record["price_cents"] = (record["price_cents"] or 1_000) + dice.between(1, 9) * 25
    return record


FAMILY = Family(
    api=API,
    keys={"repair_codes": ("code_id", "code"), "repair_objects": ("object_id",)},
    pace={"repair_codes": SELDOM, "repair_objects": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of the workshop."""
    found = {
        f"{V1}/workshop/repair-codes.json": ("repair_codes", _repair_codes),
        f"{V1}/workshop/repair-objects.json": ("repair_objects", _repair_objects),
        rf"{V1}/workshop/repair-objects/{{id:\d+}}.json": ("repair_objects", _repair_object),
    }
    return [
        Route(method="GET", path=path, stream=stream, handler=partial(handle, lists), limited=True)
        for path, (stream, handle) in found.items()
    ]


def _repair_codes(lists: Lists, _ask: Ask) -> Answer:
    return Answer(body=lists.all("repair_codes"), rows_at=())


def _repair_objects(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, "repair_objects"]
    return lists.linked_page(ask, collection, collection.keys(), "data")


def _repair_object(lists: Lists, ask: Ask) -> Answer:
    try:
        return Answer(body={**NO_ERROR, "data": lists.world[API, "repair_objects"].raw(int(ask.params["id"]))})
    except KeyError:
        return lists.error(404, "Not Found")

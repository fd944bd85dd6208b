"""The workshop of CycleSoftware's shops: its repair codes. Records and endpoint."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World

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
SHARED_CODE_ID = (2, 3)  # places of two codes that bear one code_id, as in the vendor's sample


def _seed(world: World, _sizes: Sizes) -> None:
    for place in range(len(REPAIRS)):
        record = _repair_code(world, place)
        world[API, "repair_codes"].put(record, world.stamp_of(API, "repair_codes", record["code"]))


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


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _repair_code(world, number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["price_cents"] = (record["price_cents"] or 1_000) + dice.between(1, 9) * 25
    return record


FAMILY = Family(
    api=API,
    keys={"repair_codes": ("code_id", "code")},
    pace={"repair_codes": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of repair codes."""
    return [
        Route(
            method="GET",
            path=f"{V1}/workshop/repair-codes.json",
            stream="repair_codes",
            handler=partial(_repair_codes, lists),
            limited=True,
        )
    ]


def _repair_codes(lists: Lists, _ask: Ask) -> Answer:
    return Answer(body=lists.all("repair_codes"), rows_at=())

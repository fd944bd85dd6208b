"""Shops (stores) and platform keys of CycleSoftware: records and endpoints."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, STORES_ENVELOPE, V1, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names, samples

MADE_STORES, MADE_KEYS = 3, 6  # besides the documented samples


def _seed(world: World, _sizes: Sizes) -> None:
    documented = samples(__package__)
    for store in [*documented["stores"], *(_store(world, n) for n in range(MADE_STORES))]:
        world[API, "stores"].put(store, world.stamp_of(API, "stores", store["store_id"]))
    for key in [*documented["platform_keys"], *(_platform_key(world, n) for n in range(MADE_KEYS))]:
        world[API, "platform_keys"].put(key, world.stamp_of(API, "platform_keys", key["key"]))


def _store(world: World, number: int) -> Record:
    dice = Dice(world.seed, "store", number)
    unplaced = number == 1
    return {
        "store_id": f"{9_001 + number}-1",
        "store_gln": "" if unplaced else f"8700000{dice.digits(6)}",
        "store_name": f"{dice.pick(names.LAST_NAMES)} Tweewielers",
        "store_address": f"{dice.pick(names.STREETS)} {dice.between(1, 90)}",
        "store_postal_code": names.dutch_postcode(dice),
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


def _fresh(world: World, stream: str, number: int) -> Record:
    make = _store if stream == "stores" else _platform_key
    return make(world, 50_000 + number)


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "stores":
        record["store_phone_number"] = f"073 0{dice.digits(6)}"
    else:
        record["is_active"] = not record["is_active"]
    return record


FAMILY = Family(
    api=API,
    keys={"stores": ("store_id",), "platform_keys": ("key",)},
    pace={
        "stores": Pace(changed=1, added=0, deletion_percent=5),
        "platform_keys": Pace(changed=1, added=0, deletion_percent=10),
    },
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of stores and platform keys."""
    return [
        Route(
            method="GET",
            path=f"{V1}/stock-in-store-locator/stores.json",
            stream="stores",
            handler=partial(_all, lists, "stores"),
        ),
        Route(
            method="GET",
            path=f"{V1}/platform/authentication/keys.json",
            stream="platform_keys",
            handler=partial(_all, lists, "keys"),
        ),
    ]


def _all(lists: Lists, rows_at: str, ask: Ask) -> Answer:
    return Answer(body={**STORES_ENVELOPE, rows_at: lists.all(ask.stream)}, rows_at=(rows_at,))

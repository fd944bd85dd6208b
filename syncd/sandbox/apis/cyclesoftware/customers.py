"""Customers of a Dutch/Belgian bike dealer with three shops, and their phone numbers: records and endpoints."""

import re
from functools import lru_cache, partial

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, FIRST_NEW_ID, V1, Lists
from syncd.sandbox.world import Child, Dice, Family, Key, Pace, Record, Sizes, World, names, samples
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

TITLES = ("Dhr.", "Mevr.", "Dhr./Mevr. ", "Fam. ", "")  # the documented sample has the trailing blank
CUSTOMER_TYPES = ("Klant", "Klant", "Klant", "Klant", "Zakelijk", "E-commerce")
PROFILES = 2_000  # sets of what few customers share, so that a huge world is quick
TWICE = 40  # every so-many-th customer bears the address of the one before
SEARCHED = {  # parameter of `find` → field
    "postal_code": "postcode",
    "housenumber": "house_number",
    "housenumber_postfix": "house_number_postfix",
    "email": "email",
    "query": "name",
    "country_code": "country_code_iso_3166",
}


def _seed(world: World, sizes: Sizes) -> None:
    customers, documented = world[API, "customers"], samples(__package__)["customers"]
    for sample in documented[: sizes.customers]:
        customers.put(sample, world.stamp_of(API, "customers", sample["customer_id"]))
    ids = range(FIRST_CUSTOMER_ID, FIRST_CUSTOMER_ID + max(0, sizes.customers - len(documented)))
    customers.promise((number, world.stamp_of(API, "customers", number)) for number in ids)


def _customer(world: World, customer_id: Key) -> Record:
    """Make the customer of that number; the same one each time."""
    dice = Dice(world.seed, "customer", customer_id)
    record = dict(_profile(world.seed, dice.below(PROFILES)))
    first_name, insertion, name = record["first_name"], record["insertion"], record["name"]
    record["customer_id"] = customer_id
    record["house_number"] = str(dice.between(1, 240))
    if record["email"]:
        record["email"] = names.email_of(first_name, name, customer_id, record["email"])
    if isinstance(customer_id, int) and customer_id % TWICE == 0:
        record["email"] = _customer(world, customer_id - 1)["email"]  # entered twice, under two numbers
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
        "postcode": str(dice.between(1000, 9999)) if belgian else names.dutch_postcode(dice),
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


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _customer(world, FIRST_NEW_ID + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["street"], record["city"] = dice.pick(names.STREETS), dice.pick(names.DUTCH_CITIES)
    record["house_number"] = str(dice.between(1, 240))
    if dice.chance(40) and record["phone_numbers"]:
        record["phone_numbers"][0]["phone_number"] = f"06-0{dice.digits(7)}"
    if dice.chance(20) and len(record["phone_numbers"]) > 2:
        record["phone_numbers"].pop()
    return record


FAMILY = Family(
    api=API,
    keys={"customers": ("customer_id",), "customer_phone_numbers": ("_customer_id", "phone_number_id")},
    pace={"customers": Pace(changed=4, added=1, deletion_percent=40)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    makers={"customers": _customer},
    children={
        "customer_phone_numbers": Child(
            parent="customers",
            parent_key=("customer_id",),
            field=("phone_numbers",),
            owner=("_customer_id",),
            number="phone_number_id",
        )
    },
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of customers."""
    endpoints = {
        f"{V1}/customers/list.json": _list,
        f"{V1}/customers/find.json": _find,
        rf"{V1}/customers/{{id:\d+}}.json": _one,
    }
    return [
        Route(method="GET", path=path, stream="customers", handler=partial(handle, lists), limited=True)
        for path, handle in endpoints.items()
    ]


def _list(lists: Lists, ask: Ask) -> Answer:
    customers = lists.world[API, "customers"]
    keys = customers.keys()
    if "modified_since" in ask.query:
        try:
            keys = customers.since(lists.world.parsed(API, ask.query["modified_since"]))
        except ValueError:
            return lists.error(400, "Invalid value for modified_since")
    return lists.page(ask, customers, keys, "customers")


def _find(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, "customers"]
    found: list[msgspec.Raw] = []
    phone = re.sub(r"\D", "", ask.query.get("phone_number", ""))
    for key in collection.keys():  # noqa: SIM118 (a method of ours)
        record = collection.get(key)
        fits = all(ask.query.get(name, record[field]) == record[field] for name, field in SEARCHED.items())
        numbers = {re.sub(r"\D", "", number["phone_number"]) for number in record["phone_numbers"]}
        if fits and (not phone or phone in numbers):
            found.append(collection.raw(key))
    return Answer(body=found, rows_at=())


def _one(lists: Lists, ask: Ask) -> Answer:
    try:
        return Answer(body=lists.world[API, "customers"].raw(int(ask.params["id"])), rows_at=())
    except KeyError:
        return lists.error(404, "Not Found")

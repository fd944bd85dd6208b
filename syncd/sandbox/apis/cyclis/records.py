"""Records of a bike lease company's customers, as Cyclis holds them; owns no request handling."""

from datetime import datetime, timedelta

from syncd.sandbox.world import Dice, Family, Key, Pace, Record, Sizes, World, names, samples
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

API = "cyclis"
SAMPLE_ID = "497f6eca-6276-4993-bfeb-53cbbbba6f08"  # the documents use one id for everything
STATES = (
    "quote", "quote_sent", "quote_to_review", "approved_cyclist", "approved_hr",
    "confirmed", "ordered", "active", "done",
)  # fmt: skip


def _seed(world: World, sizes: Sizes) -> None:
    """Fill all streams of the API: a sample record first, then generated ones up to the size asked for."""
    documented = samples(__package__)
    sample = {"id": SAMPLE_ID, "type": "company", "attributes": {"name": "Voorbeeldbedrijf BV"}}
    for stream, first, size in (
        ("companies", sample, sizes.companies),
        ("cyclists", documented["cyclists"][0], sizes.cyclists),
        ("orders", documented["orders"][0], sizes.cyclis_orders),
        ("dealers", documented["dealers"][0], sizes.dealers),
    ):
        world[API, stream].put(first, world.stamp_of(API, stream, 0))
        for number in range(1, size):
            world[API, stream].put(_fresh(world, stream, number), world.stamp_of(API, stream, number))


def _fresh(world: World, stream: str, number: int) -> Record:
    """Make a new record of a stream; the caller puts it."""
    dice = Dice(world.seed, stream, number)
    if stream == "companies":
        return {
            "id": dice.uuid(),
            "type": "company",
            "attributes": {
                "name": f"{dice.pick(names.COMPANIES)} {number}",
                "vat": f"BE 0{dice.digits(3)}.{dice.digits(3)}",
            },
        }
    if stream == "dealers":
        return _dealer(dice)
    if stream == "cyclists":
        return _cyclist(world, dice, number, dice.pick(world[API, "companies"].keys()))
    return _order(world, dice, number)


def _cyclist(world: World, dice: Dice, number: int, company_id: str) -> Record:
    first_name, last_name = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES)
    return {
        "id": dice.uuid(),
        "type": "cyclist",
        "attributes": {
            "first_name": first_name,
            "last_name": last_name,
            "email": _email(world, number) or names.email_of(first_name, last_name, number, "example.org"),
            "lang": dice.pick(("nl_BE", "nl_NL", "fr_BE", "en_US")),
            "external_identifier": f"00{dice.digits(5)}" if dice.chance(60) else False,  # Odoo's false for no text
            "metadata": {"badge": dice.digits(6)} if dice.chance(20) else {},
        },
        "relationships": {"company": {"data": {"type": "company", "id": company_id}}},
    }


def _email(world: World, number: int) -> str:
    """Return the address of a cyclist who shares it with others, or buys at the shop too; empty for most."""
    if number % 20 == 0:
        return "Gedeeld.Adres@example.com"  # an e-mail address is not unique
    customers, customer_id = world["cyclesoftware", "customers"], FIRST_CUSTOMER_ID + number
    if number % 12 == 5 and customer_id in customers:
        return str(customers.get(customer_id)["email"]).capitalize()
    return ""


def _dealer(dice: Dice) -> Record:
    return {
        "id": dice.uuid(),
        "type": "dealer",
        "attributes": {
            "name": f"Fietsen {dice.pick(names.LAST_NAMES)}",
            "street_name": dice.pick(names.STREETS),
            "street_number": str(dice.between(1, 200)),
            "postal_code": str(dice.between(1000, 9999)),
            "city": dice.pick(names.BELGIAN_CITIES),
            "country_code": "BE",
            "email": f"dealer{dice.digits(4)}@example.com",
            "phone": f"014 0{dice.below(9)} {dice.digits(2)} {dice.digits(2)}",
            "mobile": f"0400 {dice.digits(2)} {dice.digits(2)} {dice.digits(2)}" if dice.chance(70) else False,
            "vat": f"BE 0{dice.digits(3)}.{dice.digits(3)}.{dice.digits(3)}",
            "latitude": 50 + dice.below(10**4) / 10**4,
            "longitude": 3 + dice.below(2 * 10**4) / 10**4,
            "brands": sorted({dice.pick(names.BIKE_BRANDS) for _ in range(3)}),
        },
    }


def _order(world: World, dice: Dice, number: int) -> Record:
    cyclist = world[API, "cyclists"].get(dice.pick(world[API, "cyclists"].keys()))
    brand, model = dice.pick(names.BIKE_BRANDS), dice.pick(names.BIKE_MODELS)
    created_at = world.before(dice.between(86_400, 900 * 86_400))
    months = dice.pick((36, 36, 48))
    state = dice.pick(STATES)
    running = state in {"active", "done"}
    return {
        "id": dice.uuid(),
        "type": "order",
        "attributes": {
            "name": f"SO{20_000 + number}",
            "bike_name": f"{brand} {model}",
            "bike_brand": brand,
            "bike_model": model,
            "bike_type": dice.pick(("City Bike", "Speed Pedelec", "Mountain Bike", "Cargo Bike")),
            "bike_frame_type": dice.pick(("Unisex", "Heren", "Dames")),
            "bike_size": str(dice.between(48, 61)),
            "bike_color": dice.pick(("Yellow", "Mat zwart", "Blauw", False)),
            "bike_order_state": dice.pick(("ordered", "delivered", "to_order", False)),
            "state": state,
            "insurance": dice.chance(90),
            "maintenance": dice.chance(80),
            "assistance": dice.chance(70),
            "lease_cost": dice.between(4_500, 16_000) / 100,
            "lease_duration": months,
            "maintenance_budget": dice.pick((0, 300, 450)),
            "start_lease_date": _utc(created_at) if running else False,
            "end_lease_date": _utc(created_at + timedelta(days=30 * months)) if running else False,
            "cost_center": f"CC{dice.digits(5)}" if dice.chance(50) else "",
            "employee_id": f"00{dice.digits(4)}",
            "create_timestamp": _utc(created_at),
        },
        "relationships": {
            "cyclist": {"data": {"type": "cyclist", "id": cyclist["id"]}},
            "company": {"data": cyclist["relationships"]["company"]["data"]},
        },
    }


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    """Return the record as some clerk left it a while later."""
    attributes = record["attributes"]
    if stream == "orders":
        attributes["state"] = dice.pick(STATES)
        attributes["lease_cost"] = dice.between(4_500, 16_000) / 100
    elif stream == "cyclists":
        attributes["last_name"] = dice.pick(names.LAST_NAMES)
        attributes["external_identifier"] = f"00{dice.digits(5)}"
    elif stream == "companies":
        attributes["name"] = f"{dice.pick(names.COMPANIES)} {dice.digits(3)}"
    else:
        attributes["street_number"] = str(dice.between(1, 200))
        attributes["brands"] = sorted({dice.pick(names.BIKE_BRANDS) for _ in range(4)})
    return record


def _visible(world: World, stream: str, keys: list[Key]) -> list[Key]:
    """Leave out the companies that were taken from the key, and their orders and cyclists."""
    if not world.revoked or stream == "dealers":
        return keys
    if stream == "companies":
        return [key for key in keys if key not in world.revoked]
    return [key for key in keys if _company_of(world, stream, key) not in world.revoked]


def _company_of(world: World, stream: str, key: Key) -> str:
    company: str = world[API, stream].get(key)["relationships"]["company"]["data"]["id"]
    return company


FAMILY = Family(
    api=API,
    keys={"orders": ("id",), "cyclists": ("id",), "companies": ("id",), "dealers": ("id",)},
    pace={
        "orders": Pace(changed=4, added=1, deletion_percent=20),
        "cyclists": Pace(changed=2, added=1, deletion_percent=30),
        "companies": Pace(changed=1, added=0, deletion_percent=5),
        "dealers": Pace(changed=1, added=0, deletion_percent=10),
    },
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    visible=_visible,
)

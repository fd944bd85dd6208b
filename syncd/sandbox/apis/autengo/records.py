"""Records of a German used-car dealer, as Autengo holds them; owns no request handling.

Vehicles are stored in German, the API's default language; `translated` gives the English form of a record.
"""

from datetime import datetime
from typing import Any

from syncd.sandbox.apis.autengo import filter_values
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names, samples

API = "autengo"
MAKES: dict[str, tuple[str, ...]] = {
    "Audi": ("A3", "A4", "Q5"),
    "BMW": ("118i", "320d", "X1"),
    "Citroën": ("C3", "Berlingo"),
    "Fiat": ("500", "Panda"),
    "Ford": ("Focus", "Fiesta", "Kuga"),
    "Mercedes-Benz": ("A 180", "C 220 d"),
    "Opel": ("Astra", "Corsa"),
    "Peugeot": ("208", "3008"),
    "Renault": ("Clio", "Zoe"),
    "Škoda": ("Fabia", "Octavia"),
    "Toyota": ("Yaris", "Corolla"),
    "Volkswagen": ("Golf", "Polo", "ID.3", "Passat"),
}
FIRST_MAKE_ID = 190  # Audi, as documented
FIRST_MODEL_ID = 3813 - 1  # A4, as documented, is the second
TIE_SIZE = 45  # vehicles of one import batch bear the same second in `updated`; more than a default page of 25

# field → key → (German, English). The texts of the documented sample are kept.
TEXTS: dict[str, dict[Any, tuple[str, str]]] = {
    "vehicleState": {
        "incoming": ("Zulauf", "Incoming"), "inventory": ("Im Bestand", "In stock"), "sold": ("Verkauft", "Sold"),
    },
    "vehicleTypeId": {
        1: ("Kleinwagen", "Small car"), 2: ("Cabrio", "Convertible"), 3: ("Coupé", "Coupe"), 4: ("SUV", "SUV"),
        5: ("Kombi", "Estate"), 6: ("Limousine", "Saloon"), 7: ("Van", "Van"),
    },
    "climatisationType": {
        "none": ("Keine", "None"), "airConditioning": ("Klimaanlage", "Air conditioning"),
        "automaticClimateControl": ("Auto", "Automatic"), "automaticClimateControl2": ("2-Zonen", "2 zones"),
    },
    "conditionType": {
        "new": ("Neu", "New"), "used": ("Gebraucht", "Used"), "demonstration": ("Vorführwagen", "Demonstration car"),
        "dayRegistration": ("Tageszulassung", "Day registration"),
    },
    "pollutionBadge": {1: ("Keine", "None"), 2: ("Rot", "Red"), 3: ("Gelb", "Yellow"), 4: ("Grün", "Green")},
    "emissionClass": {6: ("Euro 6", "Euro 6"), 9: ("Euro 6d-Temp", "Euro 6d-Temp"), 10: ("Euro 6e", "Euro 6e")},
    "colorId": {
        1: ("Schwarz", "Black"), 4: ("Weiß", "White"), 7: ("Blau", "Blue"), 9: ("Rot", "Red"), 11: ("Silber", "Silver"),
    },
    "airbagType": {"driverAirbag": ("Fahrerairbag", "Driver airbag"), "frontAirbag": ("Frontairbags", "Front airbags")},
    "interiorType": {
        "cloth": ("Stoff", "Cloth"), "fullLeather": ("Vollleder", "Full leather"),
        "alcantara": ("Alcantara", "Alcantara"),
    },
    "interiorColorId": {1: ("Schwarz", "Black"), 3: ("Beige", "Beige"), 6: ("Grau", "Grey")},
    "fuelType": {"gasoline": ("Benzin", "Petrol"), "diesel": ("Diesel", "Diesel"), "electric": ("Elektro", "Electric")},
    "fuelDetailType": {
        "diesel": ("Diesel", "Diesel"), "super95": ("Super 95", "Super 95"), "electric": ("Elektro", "Electric"),
    },
    "transmissionType": {
        "automatic": ("Automatik", "Automatic"), "manual": ("Schaltgetriebe", "Manual"),
        "semiAutomatic": ("Halbautomatik", "Semi-automatic"),
    },
    "tyreType": {
        "summerTyres": ("Sommerreifen", "Summer tyres"), "winterTyres": ("Winterreifen", "Winter tyres"),
        "allSeasonTyres": ("Ganzjahresreifen", "All-season tyres"),
    },
    "driveType": {"front": ("Frontantrieb", "Front"), "rear": ("Heckantrieb", "Rear"), "all": ("Allrad", "All wheels")},
    "slidingDoor": {
        "slidingDoorRight": ("Schiebetür rechts", "Sliding door right"),
        "slidingDoorBoth": ("Schiebetüren", "Sliding doors"),
    },
}  # fmt: skip


def _seed(world: World, sizes: Sizes) -> None:
    """Fill all streams of the API."""
    documented = samples(__package__)
    model_id = FIRST_MODEL_ID
    for number in range(sizes.makes):
        make = [*MAKES][number] if number < len(MAKES) else f"Manufaktur {number}"
        world[API, "makes"].put({"makeId": FIRST_MAKE_ID + number, "makeName": make}, 0.0)
        for model in MAKES.get(make, ("Eins",)):
            world[API, "models"].put({"makeId": FIRST_MAKE_ID + number, "modelId": model_id, "modelName": model}, 0.0)
            model_id += 1
    vehicles = world[API, "vehicles"]
    vehicles.put(documented["vehicles"][0], world.parsed(API, documented["vehicles"][0]["updated"]))
    for number in range(1, sizes.vehicles):
        vehicle = _fresh(world, "vehicles", number)
        stamp = world.anchor.timestamp() - 86_400 * 30 * (1 + _batch(number))
        if _batch(number) % 2 == 0:  # every second batch was touched one by one
            stamp += Dice(world.seed, "touched", number).below(20 * 86_400)
        vehicle["updated"] = world.local(API, world.at(stamp))
        vehicles.put(vehicle, stamp)
    world[API, "contacts"].put(documented["contacts"][0], 0.0)
    for number in range(1, sizes.contacts):
        world[API, "contacts"].put(_fresh(world, "contacts", number), 0.0)


def _batch(number: int) -> int:
    return number // TIE_SIZE


def _fresh(world: World, stream: str, number: int) -> Record:
    """Make a new record of a stream; the caller puts it."""
    dice = Dice(world.seed, stream, number)
    if stream == "makes":
        return {"makeId": 5_000 + number, "makeName": f"Manufaktur {number}"}
    if stream == "models":
        make_id = dice.pick(world[API, "makes"].keys())
        return {"makeId": make_id, "modelId": 50_000 + number, "modelName": f"Modell {number}"}
    return _contact(dice, number) if stream == "contacts" else _vehicle(world, dice)


def _vehicle(world: World, dice: Dice) -> Record:
    """Make a vehicle: the documented sample's fields with values of its own."""
    record: Record = dict(samples(__package__)["vehicles"][0])
    for field, texts in TEXTS.items():
        key = dice.pick([*texts])
        record[field] = {"key": key, "text": texts[key][0]}
    make = dice.pick([*MAKES])
    electric = record["fuelType"]["key"] == "electric"
    added_at = world.local(API, world.before(dice.between(86_400, 800 * 86_400)))
    record.update(
        sellingId=dice.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 6),
        internalId=f"H-{dice.digits(5)}",
        branchId=dice.pick((12345, 12346)),
        makeName=make,
        modelName=dice.pick(MAKES[make]),
        modelVersion=dice.pick(("1.5 TSI", "2.0 TDI", "xDrive", "GT-Line", "Titanium", "Élégance")),
        sourceType=dice.pick(("repurchased", "trade-in", "factoryCar", "leasingReturn")),
        description=dice.pick(("Scheckheftgepflegt, 1. Hand", "Unfallfrei – Garagenwagen", "<b>Top!</b>", "")),
        firstRegistration=f"{dice.between(2008, 2025)}-{dice.between(1, 12):02d}-{dice.between(1, 28):02d}",
        kilometers=dice.below(250_000),
        vin=f"WVW{dice.text('ABCDEFGHJKLMNPRSTUVWXYZ0123456789', 14)}",
        powerKw=dice.between(44, 280),
        cubicCapacity=None if electric else dice.between(900, 3_000),
        isMetallicColor=dice.chance(60),
        isDamaged=dice.chance(5),
        hadAccidentDamage=dice.chance(8),
        isNetPrice=dice.pick(("NO", "YES", False)),  # typed boolean, sampled "NO"
        isPriceNegotiable=dice.pick(("NO", True)),
        tyreTreadL=dice.pick((1.2, "6,5 mm", None)),  # typed string, sampled 1.2
        nextInspection=f"{dice.between(2025, 2028)}-{dice.between(1, 12):02d}",
        tsn=f"0{dice.digits(2)}",
        hsn=dice.between(1, 9999),
        dealerPrice=dice.between(1_990, 59_990),
        priceYard=dice.between(199_000, 5_999_000) / 100,
        previousOwnerCount=dice.below(5),
        equipment=[dice.pick(("ABS", "ESP", "Sitzheizung", "Navi", "AHK")) for _ in range(3)],
        damages=[] if dice.chance(90) else [{"position": "Tür links", "type": "Kratzer"}],
        documents=[],
        ads=dice.pick(("array", [], ["mobile.de"])),
        co2EmissionCombined=0 if electric else dice.between(89, 240),
        created=added_at,
        updated=added_at,
    )
    if not electric:
        record["slidingDoor"] = None
        record.pop("electricRangePluginHybrid")
    return record


def _contact(dice: Dice, number: int) -> Record:
    first_name, last_name = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES)
    private = dice.chance(70)
    return {
        "ID": 1_000 + number,
        "title": dice.pick(("Mr", "Mrs")),
        "firstName": first_name,
        "lastName": last_name,
        "streetAddress": f"{dice.pick(names.GERMAN_STREETS)} {dice.between(1, 99)}",
        "zipCode": f"0{dice.digits(4)}",
        "city": dice.pick(names.GERMAN_CITIES),
        "phoneNumber": f"+49 631 0{dice.digits(5)}",
        "phoneNumberMobile": "",
        "email": names.email_of(first_name, last_name, number, "example.org"),
        "faxNumber": None,
        "source": dice.pick(("walkIn", "mail", "platform", "phone", "onlineMarketing")),
        "customerRating": dice.between(1, 5),
        "isPrivat": private,
        "isOptIn": dice.chance(30),
        "dateOfBirth": f"{dice.between(1945, 2004)}-{dice.between(1, 12):02d}-{dice.between(1, 28):02d}"
        if private
        else None,
        "licensePlate": f"KL-{dice.text('ABCDEFGH', 2)} {dice.between(10, 999)}",
        "ustId": "" if private else f"DE{dice.digits(9)}",
        "type": dice.pick(("customer", "supplier", "partner", "prospect")),
        "country": "Germany",
        "salesTaxRegulation": dice.pick(("reverseCharge", "taxless", "withTax")),
        "notes": dice.pick(("", "Bitte nur per E-Mail", "Zahlt bar")),
        "customerNumber": f"C-{10_001 + number}",
        "tecfacturaId": f"D{dice.digits(9)}",
    }


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    """Return the record as some clerk left it a while later."""
    if stream == "vehicles":
        state = dice.pick(("inventory", "sold"))
        record["vehicleState"] = {"key": state, "text": TEXTS["vehicleState"][state][0]}
        record["dealerPrice"] = dice.between(1_990, 59_990)
    elif stream == "contacts":
        record["phoneNumberMobile"] = f"+49 150 0{dice.digits(6)}"
    elif stream == "makes":
        record["makeName"] = f"{record['makeName'].split(' (')[0]} ({dice.digits(3)})"
    else:
        record["modelName"] = f"{record['modelName'].split(' (')[0]} ({dice.digits(3)})"
    return record


def translated(record: Record) -> Record:
    """Return a vehicle with its texts in English."""
    for field, texts in TEXTS.items():
        value = record.get(field)
        if isinstance(value, dict) and value.get("key") in texts:
            value["text"] = texts[value["key"]][1]
    return record


def _stamp(world: World, stream: str, record: Record, at: datetime) -> None:
    if stream == "vehicles":
        record["updated"] = world.local(API, at)
        record.setdefault("created", record["updated"])


def _follow(world: World, stream: str, before: Record | None, after: Record | None, _stamp: float) -> None:
    if stream == "vehicles":
        filter_values.follow(world, before, after)


FAMILY = Family(
    api=API,
    keys={"vehicles": ("sellingId",), "makes": ("makeId",), "models": ("makeId", "modelId"), "contacts": ("ID",)},
    pace={
        "vehicles": Pace(changed=5, added=2, deletion_percent=60),
        "makes": Pace(changed=0, added=0, deletion_percent=0),
        "models": Pace(changed=1, added=0, deletion_percent=10),
        "contacts": Pace(changed=1, added=1, deletion_percent=20),
    },
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
    follow=_follow,
)

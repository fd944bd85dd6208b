"""Records of a Dutch parts wholesaler, as GHS Automotive holds them; owns no request handling."""

from datetime import datetime

from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World, names, samples

API = "ghs"
UNSET_DATE = "/Date(-62135596800000)/"  # .NET's DateTime.MinValue
PARTS = (
    ("Remblokkenset", "Brembo"), ("Remschijf", "ATE"), ("Oliefilter", "Mann-Filter"), ("Luchtfilter", "Mahle"),
    ("Ruitenwisserblad", "Bosch"), ("Bougie", "NGK"), ("Accu 70Ah", "Varta"), ("Distributieset", "Gates"),
    ("Schokdemper", "Sachs"), ("Koppelingsset", "LuK"), ("Gloeilamp H7", "Philips"), ("Motorolie 5W-30 5L", "Castrol"),
)  # fmt: skip


def _seed(world: World, sizes: Sizes) -> None:
    """Fill all streams of the API."""
    for number in range(sizes.products):
        world[API, "products"].put(_fresh(world, "products", number), world.stamp_of(API, "products", number))
    for number in range(sizes.orders):
        order = _fresh(world, "orders", number)
        world[API, "orders"].put(order, world.stamp_of(API, "orders", number))
    world[API, "account"].put(_account(world), 0.0)
    second = {
        "id": 2,
        "startDate": date(world.before(3 * 86_400)),
        "level": "Info",
        "title": "Gewijzigde routes",
        "message": "Op 1e en 2e kerstdag rijden <b>geen</b> routes &amp; is de balie gesloten.",
    }
    for message in [*samples(__package__)["urgent_messages"], second]:
        world[API, "urgent_messages"].put(message, 0.0)


def date(at: datetime, *, suffix: bool = True) -> str:
    """Return an instant as the API writes it; the ms are UTC, the suffix says nothing."""
    return f"/Date({int(at.timestamp() * 1000)}{'-0000' if suffix else ''})/"


def ms_of(text: str) -> int:
    """Return the milliseconds of a `/Date(ms)/` or `/Date(ms-0000)/`."""
    inner = text.removeprefix("/Date(").removesuffix(")/")
    return int(inner.removesuffix("-0000"))


def _fresh(world: World, stream: str, number: int) -> Record:
    """Make a new record of a stream; the caller puts it."""
    dice = Dice(world.seed, stream, number)
    if stream == "orders":
        return _order(world, dice, number)
    if stream == "products":
        return _product(world, dice, number)
    return {
        "id": 100 + number,
        "startDate": date(world.now()),
        "level": dice.pick(("Info", "Warning", "Error")),
        "title": f"Melding {number}",
        "message": "Beste klant, <br>het magazijn is <i>tijdelijk</i> gesloten.",
    }


def _product(world: World, dice: Dice, number: int) -> Record:
    name, brand = dice.pick(PARTS)
    gross = dice.between(395, 48_900) / 100
    return {
        "id": f"{1_200_000 + number * 37:09d}",  # nine characters, leading zeros
        "articleDataId": f"{dice.below(10**7):09d}",
        "alfaCode": brand[:4].upper(),
        "articleNo": f"0 {dice.digits(3)} {dice.digits(3)} {dice.digits(3)}",
        "name": f"{name} {brand}",
        "commercialName": f"{brand} {name} (vóór)" if dice.chance(30) else None,
        "description": f"{name}, passend op diverse modellen",
        "shortDescription": name,
        "longDescription": f"<p>{name} van {brand}. Geïmporteerd.</p>",
        "brandName": brand,
        "brandId": f"{dice.below(999):03d}",
        "productGroup": name.split()[0],
        "productGroupId": f"{dice.below(9999):04d}",
        "boschProductGroupId": None,
        "requiresLegitimation": False,
        "isGaik": False,
        "isNotRetourable": dice.chance(10),
        "isFGas": False,
        "canBackorder": dice.chance(70),
        "nettoPrice": round(gross * 0.61, 2),
        "brutoPrice": gross,
        "isLeadSurcharge": "Accu" in name,
        "leadSurcharge": 4.35 if "Accu" in name else 0,
        "isDisposalFee": False,
        "disposalFee": 0,
        "priceLabel": "per stuk",
        "unitsPerSale": dice.pick((1, 1, 1, 2, 4)),
        "quantityLinkedWarehouse": dice.below(12),
        "quantityAllWarehouses": dice.between(12, 200),
        "depositFee": 0.0,
        "hasCharacteristic": dice.chance(50),
        "countryCode": None,
        # dates by the vendor's metadata, the unset one included
        "availableLinkedWarehouse": date(world.before(dice.below(86_400))) if dice.chance(80) else UNSET_DATE,
        "availableNextRoute": date(world.before(-dice.below(86_400))) if dice.chance(60) else None,
        "routeExpiryDate": UNSET_DATE if dice.chance(40) else date(world.before(dice.below(86_400)), suffix=False),
        "isInPromotion": dice.chance(10),
        "isNettoPriceProvided": True,
        "isRouteInfoProvided": False,
        "isKnownProduct": True,
        "relevance": dice.below(1000) / 1000,
        "sortOrder": number,
        "origins": ["TecDoc"] if dice.chance(60) else [],
        "tecDoc": {"articleId": dice.below(10**7), "eanNumbers": [f"40{dice.digits(11)}"]},
        "hbase": None,
        "aldoc": {"brandId": dice.below(900), "brandName": brand, "productId": dice.digits(6)}
        if dice.chance(30)
        else None,
        "autoElectra": {"brandIds": [dice.below(90)], "productId": dice.digits(5)} if dice.chance(10) else None,
    }


def _order(world: World, dice: Dice, number: int) -> Record:
    at = world.now() if number >= 50_000 else world.before(3_600 * (1 + 11 * number))
    catalogue = world[API, "products"]
    items = []
    for _ in range(dice.between(1, 4)):
        product = catalogue.get(dice.pick(catalogue.keys()))
        items.append({"productId": product["id"], "productName": product["name"], "quantity": dice.between(1, 6)})
    return {
        "orderId": f"0{88_000_000 + (number if number >= 50_000 else 40_000 - number)}",
        "externalOrderId": f"{dice.digits(2)}-{dice.text('BCDFGH', 2)}-{dice.text('BCDFGH', 2)}"
        if dice.chance(80)
        else None,
        "orderDate": date(at),
        "deliveryRoute": f"R{at:%y}57218{at:%H%M}" if dice.chance(80) else "A",
        "status": dice.pick(("Besteld", "Onderweg", "Geleverd")),
        "dateOfBirthCheck": "/Date(-2208988800000-0000)/" if dice.chance(10) else None,  # negative ms exist
        "items": items,
    }


def _account(world: World) -> Record:
    dice = Dice(world.seed, "account")
    warehouse = {
        "id": "01",
        "name": "HOOFDMAGAZIJN HOENSBROEK",
        "warehouseEmail": "magazijn@example.com",
        "address": {"street": "Nieuwstraat 9", "city": "Hoensbroek"},
    }
    return {
        "userId": f"00{dice.digits(5)}",
        "displayName": f"Garage {dice.pick(names.LAST_NAMES)}",
        "email": "inkoop@example.com",
        "address": {
            "street": f"{dice.pick(names.STREETS)} {dice.between(1, 90)}",
            "postalCode": "6433 AA",
            "city": "Hoensbroek",
            "country": "NL",
        },
        "customerGroup": "B2B",
        "linkedWarehouse": {**warehouse, "region": "Limburg", "shouldEmailExternalOrders": True},
        "pickupWarehouse": {**warehouse, "shouldEmailExternalOrders": False},
        "preferredStyle": "ghs",
        "logo": "https://img.example.org/logo.png",
        "technicalDataProvider": "HaynesPro",
        "hasMijnGrossierAccounts": False,
        "hasReleventPickupWarehouse": True,
        "district": "Limburg",
        "linkedCompany": {
            "linkedCompanyId": "GHS",
            "linkedCompanyName": "GHS Automotive",
            "companyPreferredStyle": "ghs",
            "contactEmail": "info@example.com",
            "supportEmail": "support@example.com",
            "supportTeamPage": "https://ghs.example.com/team",
            "mapUrl": "https://ghs.example.com/map",
            "b2BUrl": "https://shop.example.com",
            "bmfEmail": "",
            "serverEmail": "server@example.com",
            "dieselInjectorEmail": None,
            "externalOrderEmail": "orders@example.com",
        },
        "certificate": {"id": "F-17", "name": "F-gassen", "endDate": "31-12-2027", "isValid": True},
        "tireCounts": {"currentYear": {"purchased": 12, "returned": 0, "delta": 12}},
        "promotions": [],
        "deliveryAddresses": [{"id": 1, "street": "Kerkstraat 1", "city": "Hoensbroek"}],
        "deliveryTimePreferences": [{"day": 1, "from": "08:00"}],
        "enrollments": [],
        "externalUsers": [{"name": "J. Jansen", "system": "planner"}],
        # the last three members tell of a person's identity document
        "userSettings": {
            "language": "nl",
            "lastId": "NLSPECI2014",
            "lastIdType": "passport",
            "lastAdditionalId": "999999990",
        },
        "paymentMethods": [{"id": 0, "value": "Op rekening"}, {"id": 2, "value": "Contant"}],
    }


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    """Return the record as it is a while later."""
    if stream == "products":
        record["nettoPrice"] = dice.between(100, 30_000) / 100
        record["quantityLinkedWarehouse"] = dice.below(12)
    elif stream == "orders":
        record["status"] = dice.pick(("Besteld", "Onderweg", "Geleverd", "Geannuleerd"))
        record["deliveryRoute"] = f"R{dice.digits(11)}"
    elif stream == "account":
        record["displayName"] = f"Garage {dice.pick(names.LAST_NAMES)}"
    else:
        record["level"] = dice.pick(("Info", "Warning", "Error"))
        record["title"] = f"Melding {dice.digits(4)}"
    return record


FAMILY = Family(
    api=API,
    keys={"products": ("id",), "orders": ("orderId",), "account": ("userId",), "urgent_messages": ("id",)},
    pace={
        "products": Pace(changed=4, added=1, deletion_percent=20),
        "orders": Pace(changed=2, added=1, deletion_percent=10),
        "account": Pace(changed=1, added=0, deletion_percent=0),
        "urgent_messages": Pace(changed=1, added=0, deletion_percent=20),
    },
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)

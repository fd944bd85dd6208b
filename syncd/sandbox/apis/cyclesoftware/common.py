"""What CycleSoftware's records name by number: enums, employees, suppliers with brands. Records and endpoints."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World, names

# Subject → number → Dutch and English. The last subject stands on no page of the vendor: shops add their own.
SUBJECTS: dict[str, dict[int, tuple[str, str]]] = {
    "sales_order_types": {
        0: ("Bestelling", "Order"), 1: ("E-commerce", "E-commerce"), 3: ("Order", "Sales order"),
        6: ("Reparatie", "Repair"),
    },
    "sales_order_status": {
        2: ("In behandeling", "In progress"), 8: ("Nog niet besteld", "Not ordered yet"), 9: ("Afgerond", "Finished"),
    },
    "sales_order_item_status": {1: ("Open", "Open"), 2: ("Besteld", "Ordered"), 3: ("Geleverd", "Delivered")},
    "cancellation_types": {0: ("Geen", "None"), 1: ("Op verzoek van klant", "At the customer's request")},
    "pos_groups": {
        1: ("Nieuw product", "New product"), 2: ("Onderdelen", "Parts"), 3: ("Werkplaats", "Workshop"),
        20: ("Gebruikt product", "Used product"), 90: ("Aanbetaling", "Advance payment"),
    },
    "payment_methods": {1: ("Contant", "Cash"), 2: ("PIN", "Debit card"), 3: ("Op rekening", "On account")},
    "delivery_methods": {0: ("Afhalen in winkel", "Collect in store"), 1: ("Bezorgen", "Delivery")},
    "vat_codes": {0: ("Geen", "None"), 1: ("Laag", "Low"), 2: ("Hoog", "High")},
    "workshop_order_status": {4: ("In de werkplaats", "In the workshop"), 7: ("Reparatie voltooid", "Repair done"),
                              8: ("Opgehaald", "Collected")},
    "workshop_order_types": {1: ("Reparatie", "Repair"), 2: ("Onderhoudsbeurt", "Service")},
    "workshop_rates": {1: ("Fiets", "Bike"), 2: ("E-bike", "Electric bike"), 3: ("Scooter", "Moped")},
    "customer_types": {1: ("Klant", "Customer"), 2: ("Zakelijk", "Business"), 3: ("E-commerce", "E-commerce")},
    "transaction_item_types": {1: ("Artikel", "Article"), 2: ("Object", "Object"), 4: ("Reparatiecode", "Repair code"),
                               11: ("Arbeid", "Labour")},
    "service_item_status": {1: ("Open", "Open"), 2: ("Ingepland", "Scheduled"), 4: ("Gesloten", "Closed"),
                            5: ("Anders gesloten", "Closed otherwise")},
    "entity_types": {5: ("Verkooptransactie", "Sales transaction"), 7: ("Verkooporder", "Sales order"),
                     20: ("Uitgaande orderregel", "Outbound order item")},
    "voucher_types": {1: ("Cadeaubon", "Gift voucher")},
    "consignment_status": {},
    "warranty_types": {0: ("Geen", "None"), 1: ("Fabrieksgarantie", "Manufacturer's warranty")},
    "leenfiets_redenen": {1: ("Reparatie duurt langer", "Repair takes longer"), 7: ("Proefrit", "Test ride")},
}  # fmt: skip
FIRST_SUBJECT = next(iter(SUBJECTS))
EMPLOYEES = 14
FIRST_BRAND_ID, FIRST_SUPPLIER_ID = 101, 501
MOPED_BRANDS = ("Vespa", "Piaggio", "Kymco", "Sym")
IMPORTERS = ("Fietsimport Noord", "Fietsimport Midden", "Bike Trading West", "Groothandel Zuid", "Motorhuis")
SUPPLIER_LISTS = {"bike-brands": ("bike-brand",), "moped-brands": ("moped-brand",), "suppliers": ()}  # (): all types
HEX = "0123456789abcdef"


def _seed(world: World, _sizes: Sizes) -> None:
    for subject, values in SUBJECTS.items():
        for number, (dutch, english) in values.items():
            record = {"subject": subject, "id": number, "description": dutch, "description_en": english}
            world[API, "enums"].put(record, world.stamp_of(API, "enums", f"{subject}/{number}"))
    for number in range(1, EMPLOYEES + 1):
        world[API, "employees"].put(_employee(world, number), world.stamp_of(API, "employees", number))
    for supplier in _suppliers():
        world[API, "suppliers"].put(supplier, world.stamp_of(API, "suppliers", supplier["supplier_id"]))


def _employee(world: World, employee_id: int) -> Record:
    dice = Dice(world.seed, "employee", employee_id)
    first_name, name = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES)
    record: Record = {
        "employee_id": employee_id,
        "employee_name": "Kassa" if employee_id == 1 else f"{first_name} {name}",
        "sso_username": names.email_of(first_name, name, employee_id, "example.org") if dice.chance(60) else None,
        "verification_hash": dice.text(HEX, 64),
        "roles": dice.pick((["seller"], ["seller", "mechanic"], ["mechanic"], ["manager"])),
        "is_active": dice.chance(85),
        "is_default": employee_id == 1,
        "is_administrator": employee_id == 2,
        "avatar": f"https://img.example.org/{employee_id}.png" if dice.chance(40) else None,
        "authorizations": [{"authorization_id": number, "allowed": dice.chance(70)} for number in range(3)],
    }
    if dice.chance(30):
        record["authorizations_warehouse"] = [{"authorization_id": 9, "allowed": True}]
    return record


def _suppliers() -> list[Record]:
    """Return importers, and the brands that they import."""
    importers = [
        {"supplier_id": FIRST_SUPPLIER_ID + n, "type": "supplier", "supplier_name": name, "parent_supplier_id": None}
        for n, name in enumerate(IMPORTERS)
    ]
    brands = [(name, "bike-brand") for name in names.BIKE_BRANDS] + [(name, "moped-brand") for name in MOPED_BRANDS]
    return importers + [
        {
            "supplier_id": FIRST_BRAND_ID + n,
            "type": kind,
            "supplier_name": name,
            "parent_supplier_id": FIRST_SUPPLIER_ID + (4 if kind == "moped-brand" else n % 4),
        }
        for n, (name, kind) in enumerate(brands)
    ]


def _fresh(world: World, stream: str, number: int) -> Record:
    match stream:
        case "enums":
            return {"subject": "payment_methods", "id": number, "description": f"Bon {number}", "description_en": None}
        case "employees":
            return _employee(world, number)
        case _:
            name = f"Groothandel {number}"
            return {"supplier_id": number, "type": "supplier", "supplier_name": name, "parent_supplier_id": None}


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    match stream:
        case "enums":
            record["description"] = f"{record['description'].split(' / ')[0]} / {dice.below(1000)}"
        case "employees":
            record["is_active"] = not record["is_active"]
        case _:
            record["supplier_name"] = f"{record['supplier_name'].split(' (')[0]} ({dice.pick(names.DUTCH_CITIES)})"
    return record


FAMILY = Family(
    api=API,
    keys={"enums": ("subject", "id"), "employees": ("employee_id",), "suppliers": ("supplier_id",)},
    pace={"enums": SELDOM, "employees": SELDOM, "suppliers": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints that need the scope common."""
    found = {f"{V1}/common/enum.json": ("enums", _enums), f"{V1}/common/employees.json": ("employees", _employees)}
    routes = [
        Route(method="GET", path=path, stream=stream, handler=partial(handle, lists), limited=True)
        for path, (stream, handle) in found.items()
    ]
    return routes + [
        Route(
            method="GET",
            path=f"{V1}/common/{name}.json",
            stream="suppliers",
            handler=partial(_of_types, lists, types),
            limited=True,
        )
        for name, types in SUPPLIER_LISTS.items()
    ]


def _enums(lists: Lists, _ask: Ask) -> Answer:
    subjects: dict[str, list[Record]] = {subject: [] for subject in SUBJECTS}
    for record in lists.world[API, "enums"].records():
        subjects.setdefault(record.pop("subject"), []).append(record)
    raw = {subject: lists.encoded(values) for subject, values in subjects.items()}
    return Answer(body={**NO_ERROR, "data": raw}, rows_at=("data", FIRST_SUBJECT))


def _employees(lists: Lists, _ask: Ask) -> Answer:
    return Answer(body={**NO_ERROR, "data": lists.all("employees")}, rows_at=("data",))


def _of_types(lists: Lists, types: tuple[str, ...], _ask: Ask) -> Answer:
    suppliers = [each for each in lists.world[API, "suppliers"].records() if not types or each["type"] in types]
    return Answer(body={**NO_ERROR, "data": lists.encoded(suppliers)}, rows_at=("data",))

"""How CycleSoftware describes articles: lists of codes, and properties. Records and endpoints."""

from functools import partial
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, SELDOM, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World

V4 = "/api/v4"
# List → codes → Dutch and English. A list without codes answers with an empty one.
CODES: dict[str, dict[str, tuple[str, str]]] = {
    "article_main_group": {"1": ("Fietsen", "Bikes"), "2": ("Onderdelen", "Parts"),
                           "3": ("Accessoires", "Accessories")},
    "article_group": {"1A": ("Elektrische fietsen", "Electric bikes"), "1B": ("Stadsfietsen", "City bikes"),
                      "2N": ("Banden", "Tyres"), "3C": ("Tassen", "Bags")},
    "article_sub_group": {"1A00": ("Elektrisch, stad", "Electric, city"),
                          "1A01": ("Elektrisch, sport", "Electric, sport"),
                          "1B00": ("Stad, dames", "City, ladies"), "2N01": ("Buitenbanden", "Outer tyres"),
                          "2N02": ("Binnenbanden", "Inner tubes"), "3C00": ("Fietstassen", "Panniers")},
    "base_color": {"BLA": ("zwart", "black"), "BLU": ("blauw", "blue"), "GRE": ("groen", "green"),
                   "RED": ("rood", "red"), "WHI": ("wit", "white")},
    "battery_position": {"01": ("bagagedrager", "carrier"), "02": ("frame", "frame")},
    "battery_type": {"LI": ("lithium-ion", "lithium-ion")},
    "brake_system": {"RB": ("rollerbrake", "roller brake"), "DH": ("schijfrem", "disc brake"),
                     "VB": ("v-brake", "v-brake")},
    "brand": {"0101": ("Gazelle", "Gazelle"), "0102": ("Batavus", "Batavus"), "0103": ("Sparta", "Sparta")},
    "customer_group": {"D": ("dames", "ladies"), "H": ("heren", "gentlemen"), "K": ("kinderen", "children")},
    "display_handling": {}, "display_type": {},
    "ebike_system": {"BO": ("Bosch", "Bosch"), "SH": ("Shimano", "Shimano")},
    "electric_bicycle_type": {}, "etrto_wheelsize": {"622": ("28 inch", "28 inch")}, "frame": {},
    "frame_material": {"AL": ("aluminium", "aluminium"), "ST": ("staal", "steel")}, "function": {}, "gear_system": {},
    "keyword": {}, "moped_category": {}, "moped_transmission": {}, "motor_position": {"M": ("midden", "mid")},
    "position": {"V": ("voor", "front"), "A": ("achter", "rear")}, "qualitymark": {}, "sensor_type": {},
    "status": {"A": ("actief", "active")}, "supplier": {}, "surcharge": {},
    "vat": {"H": ("hoog", "high"), "L": ("laag", "low")},
}  # fmt: skip
UNKNOWN = "moped_engine"  # documented, yet this account has no such list: 404
PROPERTIES: dict[str, tuple[str, str | None, Any, str | None]] = {
    # name → type, unit, an example, list of codes
    "brand": ("codelist", None, "0101", "brand"), "model": ("string", None, "Orange C7", None),
    "model_year": ("integer", None, 2025, None), "base_color": ("codelist", None, "BLA", "base_color"),
    "weight_netto": ("decimal", "kg", 17.5, None), "is_foldable": ("boolean", None, False, None),
    "keyword": ("list", None, ["fiets", "stad"], "keyword"),
    "description": ("localized", None, {"nl": "Fiets", "en": "Bike", "fr": "Vélo"}, None),
    "image_url": ("string", None, "https://img.example.org/1.jpg", None),
    "article_sub_group": ("codelist", None, "1A00", "article_sub_group"),
    "frame_height": ("decimal", "cm", 53, None), "gear_count": ("integer", None, 7, None),
}  # fmt: skip
FIRST_PROPERTY = next(iter(PROPERTIES))


def _seed(world: World, _sizes: Sizes) -> None:
    for name, codes in CODES.items():
        for code, (dutch, english) in codes.items():
            entry = _entry(name, code, dutch, english)
            world[API, "code_list_entries"].put(entry, world.stamp_of(API, "code_list_entries", f"{name}/{code}"))
    for number, name in enumerate(PROPERTIES, 1):
        world[API, "article_properties"].put(_property(name, number), world.stamp_of(API, "article_properties", name))


def _entry(name: str, code: str, dutch: str, english: str) -> Record:
    return {
        "codelist": f"codelist:{name}",
        "code": code,
        "code_international": code,
        "description_nl": dutch,
        "description_en": english,
        "description_fr": "",
        "description_de": "",
    }


def _property(name: str, number: int) -> Record:
    data_type, unit, example, code_list = PROPERTIES.get(name, ("string", None, "", None))
    record: Record = {
        "property_name": name,
        "property_id": number,
        "data_type": data_type,
        "description_nl": f"{name} (nl)",
        "description_en": name.replace("_", " "),
        "description_fr": f"{name} (fr)",
        "example_value": example,
    }
    return record | ({"unit": unit} if unit else {}) | ({"code_list": code_list} if code_list else {})


def _fresh(_world: World, stream: str, number: int) -> Record:
    if stream == "code_list_entries":
        return _entry("base_color", f"C{number}", f"kleur {number}", f"colour {number}")
    return _property(f"property_{number}", number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["description_fr"] = f"texte {dice.below(10_000)}"
    return record


FAMILY = Family(
    api=API,
    keys={"code_list_entries": ("codelist", "code"), "article_properties": ("property_name",)},
    pace={"code_list_entries": SELDOM, "article_properties": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of lists of codes and of properties."""
    found = {
        rf"{V4}/articledata/codelist/{{name:[a-z_]+}}.json": ("code_list_entries", _code_list),
        f"{V4}/articledata/properties.json": ("article_properties", _properties),
    }
    return [
        Route(method="GET", path=path, stream=stream, handler=partial(handle, lists))
        for path, (stream, handle) in found.items()
    ]


def _code_list(lists: Lists, ask: Ask) -> Answer:
    name = ask.params["name"]
    if name not in CODES:
        return lists.error(404, "Not Found")
    entries = lists.world[API, "code_list_entries"].records()
    entries = [each for each in entries if each["codelist"] == f"codelist:{name}"]
    return Answer(body={"data": lists.encoded(entries)}, rows_at=("data",))


def _properties(lists: Lists, _ask: Ask) -> Answer:
    found = {each.pop("property_name"): each for each in lists.world[API, "article_properties"].records()}
    # PHP writes an empty map as an empty array
    data = dict(zip(found, lists.encoded(list(found.values())), strict=True)) if found else []
    return Answer(body={"data": data}, rows_at=("data", FIRST_PROPERTY) if FIRST_PROPERTY in found else None)

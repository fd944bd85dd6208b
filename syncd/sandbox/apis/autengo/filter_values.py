"""The values that Autengo's filters know: whatever the vehicles hold at the moment, counted as vehicles come and go."""

from typing import Any

import msgspec

from syncd.sandbox.answer import Answer, Ask
from syncd.sandbox.world import Dice, Family, Record, Sizes, World

API, STREAM = "autengo", "filter_values"
FIELDS = (
    "makeId", "modelId", "vehicleTypeId", "climatisationType", "conditionType", "fuelType", "transmissionType",
    "isPluginHybrid", "driveType",
)  # fmt: skip
DEFAULT_FIELD = "makeId"


def answer(world: World, ask: Ask) -> Answer | str:
    """Return the lists of the fields that were asked for, or in words what is wrong with the request."""
    wanted = ask.query.getall("fields[]", []) or [DEFAULT_FIELD]
    if unknown := [name for name in wanted if name not in FIELDS]:
        return f"fields {unknown[0]}"
    body: dict[str, list[msgspec.Raw]] = {name: [] for name in wanted}
    for record in world[API, STREAM].records():
        if record["field"] in body:
            body[record["field"]].append(msgspec.Raw(record["_bare"].encode()))
    return Answer(body=body, rows_at=(wanted[0],))


def follow(world: World, before: Record | None, after: Record | None) -> None:
    """Count the values of a vehicle that changed, came or went; what no vehicle has any more is gone."""
    for vehicle, by in ((after, 1), (before, -1)):
        for name, value in _values(vehicle or {}).items():
            _count(world, name, value, by)


def _count(world: World, name: str, value: Any, by: int) -> None:
    bare = msgspec.json.encode(value).decode()
    key = (name, value if isinstance(value, str) else bare)
    held = world[API, STREAM]
    record: Record = held.get(key) if key in held else {"field": name, "value": key[1], "_bare": bare, "_vehicles": 0}
    record["_vehicles"] += by
    if record["_vehicles"] > 0:
        held.put(record, 0.0)
    elif key in held:
        held.remove(key)


def _values(vehicle: Record) -> dict[str, Any]:
    """Return the value of each field; makes and models by their number, as far as a vehicle's names tell it."""
    ids = {"makeId": vehicle.get("makeName"), "modelId": vehicle.get("modelName")}
    told = {**vehicle, **{name: _number(name, text) for name, text in ids.items() if text}}
    plain = {name: value.get("key") if isinstance(value := told.get(name), dict) else value for name in FIELDS}
    return {name: value for name, value in plain.items() if value not in (None, "")}


def _number(name: str, text: str) -> int:
    return Dice(name, text).between(100, 9_999)


def _seed(world: World, _sizes: Sizes) -> None:
    for vehicle in world[API, "vehicles"].records():
        follow(world, None, vehicle)


def _fresh(_world: World, _stream: str, number: int) -> Record:
    return {"field": DEFAULT_FIELD, "value": str(number), "_bare": str(number), "_vehicles": 1}


def _changed(_stream: str, record: Record, _dice: Dice) -> Record:
    record["_vehicles"] += 1
    return record


FAMILY = Family(api=API, keys={STREAM: ("field", "value")}, pace={}, seed=_seed, fresh=_fresh, changed=_changed)

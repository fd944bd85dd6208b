"""What the four upstreams hold: the seeded data, its changes, and the truth that a mirror must show.

Owns the collections, the hidden times of change and the vendors' time forms; knows nothing of HTTP or of faults.
"""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import resources
from types import ModuleType
from zoneinfo import ZoneInfo

from syncd.sandbox.collection import Collection, Key, Record
from syncd.sandbox.dice import Dice

# The key fields of every stream, as the upstream names them.
KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "cyclesoftware": {
        "customers": ("customer_id",),
        "customer_phone_numbers": ("_customer_id", "phone_number_id"),
        "stores": ("store_id",),
        "stock": ("store_id", "object_id"),
        "stock_items": ("account_id", "object_id"),
        "platform_keys": ("key",),
        "leads": ("uuid",),
        "sales_orders": ("sales_order_id",),
    },
    "cyclis": {"orders": ("id",), "cyclists": ("id",), "companies": ("id",), "dealers": ("id",)},
    "autengo": {"vehicles": ("sellingId",), "makes": ("makeId",), "models": ("makeId", "modelId"), "contacts": ("ID",)},
    "ghs": {"products": ("id",), "orders": ("orderId",), "account": ("userId",), "urgent_messages": ("id",)},
}
ZONES = {"cyclesoftware": "Europe/Amsterdam", "cyclis": "UTC", "autengo": "Europe/Berlin", "ghs": "UTC"}
# Seed data ends here, so that a seed gives the same records whenever it is used.
ANCHOR = datetime(2026, 6, 30, 12, tzinfo=UTC)
OLDEST_CHANGE_S = 1000 * 86_400  # seeded records were last changed within this time before the anchor

# What one step of evolution does to a stream: records changed, added, and the chance (%) that one is deleted.
PACE: dict[tuple[str, str], tuple[int, int, int]] = {
    ("cyclesoftware", "customers"): (4, 1, 40),
    ("cyclesoftware", "stores"): (1, 0, 5),
    ("cyclesoftware", "stock_items"): (5, 1, 30),
    ("cyclesoftware", "platform_keys"): (1, 0, 10),
    ("cyclesoftware", "leads"): (2, 1, 10),
    ("cyclesoftware", "sales_orders"): (3, 2, 30),
    ("cyclis", "orders"): (4, 1, 20),
    ("cyclis", "cyclists"): (2, 1, 30),
    ("cyclis", "companies"): (1, 0, 5),
    ("cyclis", "dealers"): (1, 0, 10),
    ("autengo", "vehicles"): (5, 2, 60),
    ("autengo", "makes"): (0, 0, 0),
    ("autengo", "models"): (1, 0, 10),
    ("autengo", "contacts"): (1, 1, 20),
    ("ghs", "products"): (4, 1, 20),
    ("ghs", "orders"): (2, 1, 10),
    ("ghs", "account"): (1, 0, 0),
    ("ghs", "urgent_messages"): (1, 0, 20),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many records of each stream the seed holds, documented samples included."""

    customers: int = 400
    stock_items: int = 600
    leads: int = 24
    sales_orders: int = 300
    companies: int = 8
    cyclists: int = 120
    cyclis_orders: int = 200
    dealers: int = 40
    vehicles: int = 150
    makes: int = 12
    contacts: int = 30
    products: int = 120
    orders: int = 60


@cache
def _samples() -> bytes:
    return resources.files("syncd.sandbox").joinpath("samples.json").read_bytes()


def _module_of(api: str) -> ModuleType:
    return importlib.import_module(f"syncd.sandbox.{api}_data")  # these import this module for its types


class World:
    """All records of the four APIs at this moment."""

    def __init__(self, *, seed: int, sizes: Sizes, now: Callable[[], datetime], zones: dict[str, str]) -> None:
        self.seed = seed
        self.now = now
        self.anchor = ANCHOR
        while self.anchor > now():
            self.anchor -= timedelta(days=365)
        self.on_change: Callable[[str, str, Key], None] = lambda _api, _stream, _key: None
        self.revoked: set[str] = set()  # ids of Cyclis companies that were taken from the key
        self.cancelled = Collection(
            KEYS["cyclesoftware"]["sales_orders"]
        )  # deleted sales orders, still listed on request
        self.samples: dict[str, dict[str, list[Record]]] = json.loads(_samples())
        self._zones = {api: ZoneInfo(zone) for api, zone in {**ZONES, **zones}.items()}
        self._steps = 0
        self._changes = 0
        self._born = 50_000  # numbers of records that were not seeded
        self._collections = {
            (api, stream): Collection(key_fields)
            for api, streams in KEYS.items()
            for stream, key_fields in streams.items()
            if stream != "customer_phone_numbers"
        }
        make_customer = partial(_module_of("cyclesoftware").customer, self)
        self._collections["cyclesoftware", "customers"] = Collection(("customer_id",), make_customer)
        for api in KEYS:
            _module_of(api).seed(self, sizes)

    def __getitem__(self, api_stream: tuple[str, str]) -> Collection:
        return self._collections[api_stream]

    # Times

    def before(self, age_s: int) -> datetime:
        """Return the instant so long before the seed's end."""
        return self.anchor - timedelta(seconds=age_s)

    def stamp_of(self, api: str, stream: str, key: int | str) -> float:
        """Return the hidden time of change that the seed gives to a record, in whole epoch seconds."""
        return self.anchor.timestamp() - Dice(self.seed, api, stream, "stamp", key).below(OLDEST_CHANGE_S)

    @staticmethod
    def at(stamp: float) -> datetime:
        """Return an epoch second as an instant."""
        return datetime.fromtimestamp(stamp, UTC)

    def zoned(self, api: str, at: datetime) -> str:
        """Return an instant as ISO text with the offset of the API's zone."""
        return at.astimezone(self._zones[api]).isoformat(timespec="seconds")

    def local(self, api: str, at: datetime) -> str:
        """Return an instant as the API's zone-less local time: 2026-10-25 02:30:00 comes twice."""
        return at.astimezone(self._zones[api]).isoformat(" ", "seconds")[:19]

    def parsed(self, api: str, text: str) -> float:
        """Return the epoch seconds of a date or time in the API's zone; ValueError if it is none."""
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=self._zones[api])).timestamp()

    # The truth

    def visible(self, api: str, stream: str, keys: list[Key] | None = None) -> list[Key]:
        """Return those of a stream's keys (default: all) that the account may see, in list order."""
        keys = self[api, stream].keys() if keys is None else keys
        if api != "cyclis" or not self.revoked:
            return keys
        if stream == "companies":
            return [key for key in keys if key not in self.revoked]
        if stream == "dealers":
            return keys
        return [key for key in keys if self._company_of(stream, key) not in self.revoked]

    def _company_of(self, stream: str, key: Key) -> str:
        company: str = self["cyclis", stream].get(key)["relationships"]["company"]["data"]["id"]
        return company

    def truth(self, api: str, stream: str) -> list[Record]:
        """Return every record of a stream as it would be sent now.

        What comes from elsewhere than the record itself is added: `makeId` of a model (from the path) and
        `_customer_id` of a phone number (the customer that holds it; the number's own customer_id can be another).
        """
        if stream == "customer_phone_numbers":
            customers = self["cyclesoftware", "customers"].records()
            return [
                {**number, "_customer_id": customer["customer_id"]}
                for customer in customers
                for number in customer["phone_numbers"]
            ]
        collection = self[api, stream]
        return [collection.get(key) for key in self.visible(api, stream)]

    # Changes

    def get(self, api: str, stream: str, key: Key) -> Record:
        """Return a copy of one record; KeyError if there is none."""
        if stream != "customer_phone_numbers":
            return self[api, stream].get(key)
        owner, number_id = key
        for number in self[api, "customers"].get(owner)["phone_numbers"]:
            if number["phone_number_id"] == number_id:
                return {**number, "_customer_id": owner}
        raise KeyError(key)

    def put(
        self, api: str, stream: str, record: Record, *, modified_at: datetime | None = None, first: bool = False
    ) -> Key:
        """Create or replace a record by its key and return the key; `first` puts a new one at the list's start."""
        at = modified_at or self.now()
        record = dict(record)
        if stream == "customer_phone_numbers":
            return self._put_phone_number(record, at)
        if (api, stream) == ("autengo", "vehicles"):
            record["updated"] = self.local(api, at)
            record.setdefault("created", record["updated"])
        elif stream == "leads":
            record["modified_at"] = self.zoned(api, at)
        elif stream == "sales_orders" and record["sales_order_id"] in self.cancelled:
            self.cancelled.remove(record["sales_order_id"])
        if stream == "stock_items" and (key := self[api, stream].key_of(record)) in self[api, stream]:
            self._leave_stock(key)
        key = self[api, stream].put(record, at.timestamp(), first=first)
        if stream == "stock_items":
            _module_of(api).place_in_stock(self, record, at.timestamp())
        self.on_change(api, stream, key)
        return key

    def _leave_stock(self, key: Key) -> None:
        item = self["cyclesoftware", "stock_items"].get(key)
        _module_of("cyclesoftware").place_in_stock(self, {**item, "is_deleted": True}, 0.0)

    def _put_phone_number(self, record: Record, at: datetime) -> Key:
        owner = record.pop("_customer_id", record["customer_id"])
        customer = self["cyclesoftware", "customers"].get(owner)
        kept = [n for n in customer["phone_numbers"] if n["phone_number_id"] != record["phone_number_id"]]
        customer["phone_numbers"] = [*kept, record]
        self.put("cyclesoftware", "customers", customer, modified_at=at)
        return (owner, record["phone_number_id"])

    def delete(self, api: str, stream: str, key: Key) -> None:
        """Delete a record; KeyError if there is none."""
        if stream == "customer_phone_numbers":
            owner, number_id = key
            customer = self[api, "customers"].get(owner)
            customer["phone_numbers"] = [n for n in customer["phone_numbers"] if n["phone_number_id"] != number_id]
            self.put(api, "customers", customer)
            return
        if stream == "stock_items":
            self._leave_stock(key)
        record = self[api, stream].remove(key)
        if stream == "sales_orders":
            self.cancelled.put({**record, "status": "cancelled"}, self.now().timestamp())
        self.on_change(api, stream, key)

    def fresh(self, api: str, stream: str) -> Record:
        """Make a new record of a stream, not yet put."""
        self._born += 1
        record: Record = _module_of(api).fresh(self, stream, self._born)
        if "created" in record and "updated" in record:
            record["created"] = self.local(api, self.now())
        return record

    def change(
        self, api: str, stream: str, key: Key, dice: Dice | None = None, *, modified_at: datetime | None = None
    ) -> None:
        """Change a record as one would in daily work; now, unless a time is given."""
        self._changes += 1
        chosen = dice or Dice(self.seed, "change", self._changes)
        record = _module_of(api).changed(stream, self[api, stream].get(key), chosen)
        self.put(api, stream, record, modified_at=modified_at)

    def evolve(self, steps: int = 1) -> None:
        """Let work go on: change, add, delete, sell, return and move records, stamped now; the seed says which."""
        for _ in range(steps):
            self._steps += 1
            for (api, stream), (changes, additions, deletion_percent) in PACE.items():
                dice = Dice(self.seed, "evolve", self._steps, api, stream)
                keys = self[api, stream].keys()
                for key in {dice.pick(keys): None for _ in range(changes) if keys}:
                    self.change(api, stream, key, dice)
                for _ in range(additions):
                    self.put(api, stream, self.fresh(api, stream))
                if len(keys) > 1 and dice.chance(deletion_percent):
                    self.delete(api, stream, dice.pick(self[api, stream].keys()))

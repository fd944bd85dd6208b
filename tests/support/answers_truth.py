"""The records that the sandbox holds, for the answers to the cookbook's questions, and words that they share."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from syncd.sandbox import Sandbox
from tests.support.past import Moment

Record = dict[str, Any]
Row = tuple[Any, ...]

AMSTERDAM, BERLIN = ZoneInfo("Europe/Amsterdam"), ZoneInfo("Europe/Berlin")
TOP = 10
AGREED = {"approved_hr", "confirmed", "ordered"}
OPEN_LEAD = {"open", "noticed", "accepted"}


class Truth:
    """What the four upstreams hold at an instant, in the words that the questions use.

    `past` is what the mirror saw earlier; such a moment as a Truth of its own is made with the records that it `held`.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        now: datetime,
        *,
        past: Sequence[Moment] = (),
        held: Mapping[tuple[str, str], list[Record]] | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.now = now
        self.past = [Truth(sandbox, moment.at, held=moment.records) for moment in past]
        self.held = held or {}
        self.today = now.astimezone(AMSTERDAM).date()

    def records(self, api: str, stream: str) -> list[Record]:
        return self.held.get((api, stream)) or self.sandbox.truth(api, stream)

    @property
    def times(self) -> list["Truth"]:
        """All that the mirror saw, this last."""
        return [*self.past, self]

    @cached_property
    def stores(self) -> dict[str, str]:
        return {store["store_id"]: store["store_name"] for store in self.records("cyclesoftware", "stores")}

    @cached_property
    def bikes(self) -> list[Record]:
        """Objects that a shop has: neither deleted nor sold, each with its store's full number and its age."""
        return [
            {
                **item,
                "store": (store := f"{item['account_id']}-{item['store_id']}"),
                "store_name": self.stores.get(store, store),
                "days": (self.today - date.fromisoformat(item["stocked_at"])).days,
                "for_sale": not item["is_demo"] and not item["is_rental"],
            }
            for item in self.records("cyclesoftware", "stock_items")
            if not item["is_deleted"] and not item["is_sold_to_customer"]
        ]

    @cached_property
    def customers(self) -> list[Record]:
        return [
            {
                **customer,
                "full_name": _words(
                    customer["first_name"].strip() or customer["initials"], customer["insertion"], customer["name"]
                ),
                "phone": _best_number(customer["phone_numbers"]),
                "created_at": _local(customer["datetime_created"], AMSTERDAM),
            }
            for customer in self.records("cyclesoftware", "customers")
        ]

    @cached_property
    def names(self) -> dict[int, str]:
        return {customer["customer_id"]: customer["full_name"] for customer in self.customers}

    @cached_property
    def sales_orders(self) -> list[Record]:
        return [
            {**order, "created_at": _local(order["datetime_created"], AMSTERDAM)}
            for order in self.records("cyclesoftware", "sales_orders")
        ]

    @cached_property
    def companies(self) -> dict[str, str]:
        return {company["id"]: company["attributes"]["name"] for company in self.records("cyclis", "companies")}

    @cached_property
    def cyclists(self) -> dict[str, Record]:
        return {
            cyclist["id"]: {
                "id": cyclist["id"],
                "name": f"{cyclist['attributes']['first_name']} {cyclist['attributes']['last_name']}",
                "email": cyclist["attributes"]["email"],
                "company": cyclist["relationships"]["company"]["data"]["id"],
            }
            for cyclist in self.records("cyclis", "cyclists")
        }

    @cached_property
    def leases(self) -> list[Record]:
        found = []
        for order in self.records("cyclis", "orders"):
            fields = order["attributes"]
            cost = Decimal(str(fields["lease_cost"]))
            found.append(
                {
                    **fields,
                    "cost": cost,
                    "value": cost * fields["lease_duration"],
                    "company": order["relationships"]["company"]["data"]["id"],
                    "cyclist": order["relationships"]["cyclist"]["data"]["id"],
                    "created_at": datetime.fromisoformat(fields["create_timestamp"]),
                    "ends_at": datetime.fromisoformat(fields["end_lease_date"]) if fields["end_lease_date"] else None,
                }
            )
        return found

    @cached_property
    def cars(self) -> list[Record]:
        return [
            {
                **car,
                "state": car["vehicleState"]["key"],
                "added_at": (added_at := _local(car["created"], BERLIN)),
                "days": (self.now - added_at).days if added_at else None,
                "price": Decimal(str(car["dealerPrice"])),
                "yard": Decimal(str(car["priceYard"])),
            }
            for car in self.records("autengo", "vehicles")
        ]

    @cached_property
    def inventory(self) -> list[Record]:
        return [car for car in self.cars if car["state"] == "inventory"]

    @cached_property
    def parts(self) -> dict[str, Record]:
        """The products that the configuration asks for: by id, by EAN code or by a word in one of their texts."""
        asked = self.sandbox.lookups["products"]
        return {
            part["id"]: part
            for part in self.records("ghs", "products")
            if part["id"] in asked["ids"]
            or set(part["tecDoc"]["eanNumbers"]) & set(asked["ean_codes"])
            or any(
                term.lower() in str(part[name]).lower()
                for term in asked["search_terms"]
                for name in ("name", "articleNo", "brandName", "description", "id")
            )
        }

    @cached_property
    def ordered_parts(self) -> list[tuple[str, Record]]:
        return [(order["orderId"], item) for order in self.records("ghs", "orders") for item in order["items"]]


def _by(records: Iterable[Record], *fields: str) -> dict[Any, list[Record]]:
    """Group records by one field, or by a tuple of several."""
    groups: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        key = tuple(record[field] for field in fields)
        groups[key if len(fields) > 1 else key[0]].append(record)
    return dict(groups)


def _oldest(bikes: Iterable[Record]) -> list[Record]:
    return sorted(bikes, key=lambda bike: (bike["stocked_at"], bike["store"], bike["object_id"]))[:TOP]


def _to_order(truth: Truth) -> list[Record]:
    leases = _of_months(truth, truth.leases, 24)
    return [order for order in leases if order["bike_order_state"] == "to_order" and order["state"] in AGREED]


def _recent(truth: Truth) -> list[Record]:
    """Return the customers of the last two years."""
    since = _months_before(truth.now, 24)
    return [each for each in truth.customers if each["created_at"] and each["created_at"] >= since]


def _of_months(truth: Truth, orders: Iterable[Record], months: int) -> list[Record]:
    """Return what was created in this month and in so many before it."""
    first = _month(_months_before(truth.now, months))
    return [order for order in orders if _month(order["created_at"]) >= first]


def _sum(records: Iterable[Record], field: str) -> Decimal:
    return sum((record[field] for record in records), Decimal())


def _euros(records: Iterable[Record], field: str) -> Decimal:
    return Decimal(sum(record[field] for record in records)) / 100


def _rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _plain(text: str) -> str:
    return text.replace(" ", "").lower()


def _words(*words: str) -> str:
    return " ".join(word.strip() for word in words if word.strip())


def _best_number(numbers: Iterable[Record]) -> str | None:
    """Return the mobile number, else the landline, else the first other one."""
    known = {number["phone_number_id"]: number["phone_number"] for number in numbers if number["phone_number"].strip()}
    others = [known[name] for name in sorted(known) if name not in {"mob", "tel"}]
    return known.get("mob") or known.get("tel") or next(iter(others), None)


def _local(text: str | None, zone: ZoneInfo) -> Any:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC) if text else None


def _month(at: datetime) -> date:
    return at.astimezone(AMSTERDAM).date().replace(day=1)


def _months_before(at: datetime, months: int) -> datetime:
    count = at.year * 12 + at.month - 1 - months
    return at.replace(year=count // 12, month=count % 12 + 1)

"""The answers to the cookbook's questions, computed from the records that the sandbox holds.

Plain Python over the vendors' own records; knows no table, no view and no SQL. One function for each question, of the
question's name.
"""

import importlib
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from syncd.sandbox import Sandbox
from syncd.sandbox.catalog import FAMILIES, KEYS
from tests.support import shop_answers
from tests.support.past import PLACES, STREAMS, Moment

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


# --- Shops ------------------------------------------------------------------------------------------------------------


def stock_by_store(truth: Truth) -> list[Row]:
    rows = [
        (
            name,
            sum(bike["for_sale"] for bike in bikes),
            sum(bike["is_demo"] for bike in bikes),
            sum(bike["is_rental"] and not bike["is_demo"] for bike in bikes),
        )
        for name, bikes in _by(truth.bikes, "store_name").items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def stock_by_brand(truth: Truth) -> list[Row]:
    rows = [
        (brand, len(bikes), _euros(bikes, "purchase_price_cents"), _euros(bikes, "dealer_rrp_cents"))
        for brand, bikes in _by(truth.bikes, "brand_name").items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:TOP]


def stock_on_a_day(truth: Truth) -> list[Row]:
    day = datetime(2026, 10, 1, tzinfo=AMSTERDAM)
    [*_, then] = [seen for seen in truth.times if seen.now <= day]
    rows = [
        (
            store, brand, sum(bike["for_sale"] for bike in bikes),
            sum(bike["for_sale"] and bool(bike["sales_order_id"]) for bike in bikes),
            _euros(bikes, "purchase_price_cents"),
        )
        for (store, brand), bikes in _by(then.bikes, "store_name", "brand_name").items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[4], row[0], row[1]))[:TOP]


def stock_by_age(truth: Truth) -> list[Row]:
    ages = ((90, "0 to 90 days"), (180, "91 to 180 days"), (365, "181 to 365 days"), (10**6, "more than a year"))
    rows, youngest = [], -1
    for oldest, age in ages:
        bikes = [bike for bike in truth.bikes if youngest < bike["days"] <= oldest]
        rows += [(age, len(bikes), _euros(bikes, "purchase_price_cents"))] if bikes else []
        youngest = oldest
    return rows


def stock_oldest(truth: Truth) -> list[Row]:
    return [
        (
            bike["store_name"], bike["description"], bike["frame_id"] or None, date.fromisoformat(bike["stocked_at"]),
            bike["days"], _euros([bike], "dealer_rrp_cents"),
        )
        for bike in _oldest(bike for bike in truth.bikes if bike["for_sale"])
    ]  # fmt: skip


def stock_demo_bikes(truth: Truth) -> list[Row]:
    return [
        (
            bike["store_name"], bike["brand_name"], bike["description"], date.fromisoformat(bike["stocked_at"]),
            _euros([bike], "purchase_price_cents"), _euros([bike], "dealer_rrp_cents"),
        )
        for bike in _oldest(bike for bike in truth.bikes if bike["is_demo"])
    ]  # fmt: skip


def stock_lacking(truth: Truth) -> list[Row]:
    rows = []
    for (brand, article), bikes in _by(truth.bikes, "brand_name", "article_id").items():
        selling = {bike["store"] for bike in bikes if bike["for_sale"]}
        count = sum(bike["for_sale"] for bike in bikes)
        rows += [(name, brand, article, count) for store, name in truth.stores.items() if store not in selling]
    return sorted(rows, key=lambda row: (-row[3], row[2], row[0]))[:TOP]


def stock_widest_spread(truth: Truth) -> list[Row]:
    rows = [
        (
            brand, article, len({bike["store"] for bike in bikes}), sum(bike["for_sale"] for bike in bikes),
            sum(bike["is_demo"] for bike in bikes),
        )
        for (brand, article), bikes in _by(truth.bikes, "brand_name", "article_id").items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[2], -row[3], row[1]))[:TOP]


def customers_by_city(truth: Truth) -> list[Row]:
    places = ((each["city"] or None, each["country_code_iso_3166"].upper() or None) for each in _recent(truth))
    rows = [(*place, count) for place, count in Counter(places).items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:TOP]


def customers_new_by_month(truth: Truth) -> list[Row]:
    since = _months_before(truth.now, 12)
    new = [each["created_at"] for each in truth.customers if each["created_at"] and each["created_at"] >= since]
    return sorted(Counter(map(_month, new)).items())


def customers_unreachable(truth: Truth) -> list[Row]:
    rows = []
    for kind, customers in _by(_recent(truth), "customer_type_name").items():
        silent = [not each["phone"] for each in customers]
        unwritten = [not each["email"] for each in customers]
        neither = [a and b for a, b in zip(silent, unwritten, strict=True)]
        rows.append((kind, len(customers), sum(unwritten), sum(silent), sum(neither)))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def customers_best(truth: Truth) -> list[Row]:
    rows = [
        (number, truth.names.get(number), len(orders), max(order["created_at"] for order in orders))
        for number, orders in _by(_of_months(truth, truth.sales_orders, 24), "customer_id").items()
    ]
    return sorted(rows, key=lambda row: (-row[2], -row[3].timestamp()))[:TOP]


def customers_gone_quiet(truth: Truth) -> list[Row]:
    known = {each["customer_id"]: each for each in truth.customers}
    rows = []
    for number, orders in _by(_of_months(truth, truth.sales_orders, 24), "customer_id").items():
        last_at = max(order["created_at"] for order in orders)
        if last_at < _months_before(truth.now, 12):
            who = known.get(number, {"full_name": None, "phone": None, "email": None})  # gone since
            rows.append((number, who["full_name"], who["phone"], who["email"] or None, len(orders), last_at))
    return sorted(rows, key=lambda row: -row[5].timestamp())[:TOP]


def customers_twice(truth: Truth) -> list[Row]:
    rows = [
        (new["customer_id"], new["full_name"], new["created_at"], old["customer_id"], old["full_name"])
        for new in _recent(truth)
        for old in truth.customers
        if old["customer_id"] < new["customer_id"] and new["email"] and old["email"].lower() == new["email"].lower()
    ]
    return sorted(rows, key=lambda row: (-row[2].timestamp(), row[3]))[:TOP]


def sales_orders_by_month(truth: Truth) -> list[Row]:
    groups = defaultdict(list)
    for order in _of_months(truth, truth.sales_orders, 12):
        groups[_month(order["created_at"]), f"{order['account_id']}-{order['store_id']}"].append(order["customer_id"])
    return sorted((month, store, len(who), len(set(who))) for (month, store), who in groups.items())


def leads_open(truth: Truth) -> list[Row]:
    leads = [lead for lead in truth.records("cyclesoftware", "leads") if lead["status"] in OPEN_LEAD]
    ages = {lead["uuid"]: (truth.now - datetime.fromisoformat(lead["created_at"])).days for lead in leads}
    return [
        (
            lead["type"], lead["status"], lead["object"]["description"], lead["store_id"], lead["customer"]["name"],
            lead["customer"]["phone_number"] or None, ages[lead["uuid"]],
        )
        for lead in sorted(leads, key=lambda lead: (-ages[lead["uuid"]], lead["uuid"]))
    ]  # fmt: skip


def leads_success(truth: Truth) -> list[Row]:
    rows = []
    for kind, leads in _by(truth.records("cyclesoftware", "leads"), "type").items():
        still = sum(lead["status"] in OPEN_LEAD for lead in leads)
        won, closed = sum(lead["status"] == "succeeded" for lead in leads), len(leads) - still
        rows.append((kind, len(leads), still, won, _rounded(Decimal(100 * won) / closed, 1) if closed else None))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


# --- Lease ------------------------------------------------------------------------------------------------------------


def lease_by_state(truth: Truth) -> list[Row]:
    rows = [
        (state, len(orders), _sum(orders, "cost"), _sum(orders, "value"))
        for state, orders in _by(_of_months(truth, truth.leases, 24), "state").items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def lease_by_month(truth: Truth) -> list[Row]:
    groups = defaultdict(list)
    for order in _of_months(truth, truth.leases, 12):
        groups[_month(order["created_at"])].append(order)
    return sorted(
        (month, len(orders), _sum(orders, "value"), _rounded(_sum(orders, "cost") / len(orders), 2))
        for month, orders in groups.items()
    )


def lease_companies(truth: Truth) -> list[Row]:
    rows = [
        (
            truth.companies[company], len(orders), len({order["cyclist"] for order in orders}), _sum(orders, "cost"),
            _sum(orders, "value"),
        )
        for company, orders in _by(_of_months(truth, truth.leases, 24), "company").items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[4], row[0]))[:TOP]


def lease_ending(truth: Truth) -> list[Row]:
    until = _months_before(truth.now, -6)
    ending = [order for order in truth.leases if order["ends_at"] and truth.now <= order["ends_at"] < until]
    return [
        (
            order["name"], truth.cyclists[order["cyclist"]]["name"], truth.companies[order["company"]],
            order["bike_name"], order["ends_at"].astimezone(AMSTERDAM).date(),
        )
        for order in sorted(ending, key=lambda order: (order["ends_at"], order["name"]))[:TOP]
    ]  # fmt: skip


def lease_brands(truth: Truth) -> list[Row]:
    leases = _of_months(truth, truth.leases, 24)
    rows = [
        (
            brand, len(orders), _rounded(_sum(orders, "cost") / len(orders), 2),
            _rounded(Decimal(100 * len(orders)) / len(leases), 1),
        )
        for brand, orders in _by(leases, "bike_brand").items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:TOP]


def lease_quotes_waiting(truth: Truth) -> list[Row]:
    before = _months_before(truth.now, 3)
    waiting = [
        order
        for order in _of_months(truth, truth.leases, 24)
        if order["state"] in {"quote", "quote_sent", "quote_to_review"} and order["created_at"] < before
    ]
    return [
        (
            order["name"], order["state"], truth.companies[order["company"]], truth.cyclists[order["cyclist"]]["name"],
            order["bike_name"], order["value"], order["created_at"],
        )
        for order in sorted(waiting, key=lambda order: (-order["created_at"].timestamp(), order["name"]))[:TOP]
    ]  # fmt: skip


def lease_time_in_quote(truth: Truth) -> list[Row]:
    days: dict[str, list[int]] = defaultdict(list)
    for order in _of_months(truth, truth.leases, 24):
        states = [
            (seen.now, next(o["state"] for o in seen.leases if o["name"] == order["name"])) for seen in truth.times
        ]
        waits = [
            (until - since).days
            for (since, state), (until, _) in itertools.pairwise(states)
            if state in {"quote", "quote_sent", "quote_to_review"}
        ]
        if waits and order["state"] not in {"quote", "quote_sent", "quote_to_review"}:
            days[order["bike_brand"]].append(sum(waits))
    rows = [
        (brand, len(found), _rounded(Decimal(sum(found)) / len(found), 0), Decimal(max(found)))
        for brand, found in days.items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:TOP]


def lease_bikes_to_order(truth: Truth) -> list[Row]:
    rows = [
        (brand, model, len(orders), min(order["created_at"] for order in orders))
        for (brand, model), orders in _by(_to_order(truth), "bike_brand", "bike_model").items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[3]))[:TOP]


def lease_potential(truth: Truth) -> list[Row]:
    leasing = {order["cyclist"] for order in truth.leases}
    rows = [
        (truth.companies[company], len(people), sum(each["id"] not in leasing for each in people))
        for company, people in _by(truth.cyclists.values(), "company").items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:TOP]


def lease_shared_email(truth: Truth) -> list[Row]:
    groups = defaultdict(list)
    for cyclist in truth.cyclists.values():
        groups[cyclist["email"].lower()].append(cyclist["company"])
    rows = [(email, len(who), len(set(who))) for email, who in groups.items() if len(who) > 1]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def dealers_by_brand(truth: Truth) -> list[Row]:
    cities = defaultdict(list)
    for dealer in truth.records("cyclis", "dealers"):
        for brand in dealer["attributes"]["brands"]:
            cities[brand].append(dealer["attributes"]["city"])
    rows = [(brand, len(where), ", ".join(sorted(set(where)))) for brand, where in cities.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


# --- Cars -------------------------------------------------------------------------------------------------------------


def cars_longest_in_stock(truth: Truth) -> list[Row]:
    return [
        (
            car["sellingId"], car["makeName"], car["modelName"], car["kilometers"], car["price"], car["added_at"],
            car["days"],
        )
        for car in sorted(truth.inventory, key=lambda car: (car["added_at"], car["sellingId"]))[:TOP]
    ]  # fmt: skip


def cars_price_changes(truth: Truth) -> list[Row]:
    rows = []
    for earlier, later in itertools.pairwise(truth.times):
        before = {car["sellingId"]: car["yard"] for car in earlier.inventory}
        rows += [
            (
                car["sellingId"], car["makeName"], car["modelName"], later.today, car["yard"],
                car["yard"] - before[car["sellingId"]],
            )
            for car in later.inventory
            if before[car["sellingId"]] != car["yard"]
        ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[3].toordinal(), row[0]))[:TOP]


def cars_by_make(truth: Truth) -> list[Row]:
    rows = [
        (
            make, len(cars), _rounded(_sum(cars, "price") / len(cars), 0), _sum(cars, "price"),
            _rounded(Decimal(sum(car["days"] for car in cars)) / len(cars), 0),
        )
        for make, cars in _by(truth.inventory, "makeName").items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def cars_by_age_in_stock(truth: Truth) -> list[Row]:
    ages = ((60, "0 to 60 days"), (180, "61 to 180 days"), (365, "181 to 365 days"), (10**6, "more than a year"))
    rows, youngest = [], -1
    for oldest, age in ages:
        cars = [car for car in truth.inventory if youngest < car["days"] <= oldest]
        rows += [(age, len(cars), _sum(cars, "price"))] if cars else []
        youngest = oldest
    return rows


def cars_by_state(truth: Truth) -> list[Row]:
    cars = [car for car in truth.cars if car["state"] != "sold"]
    return sorted(
        (branch, *(sum(car["state"] == state for car in cars) for state in ("incoming", "inventory")))
        for branch, cars in _by(cars, "branchId").items()
    )


def cars_with_damage(truth: Truth) -> list[Row]:
    hurt = [car for car in truth.inventory if car["isDamaged"] or car["hadAccidentDamage"]]
    return [
        (
            car["sellingId"], car["makeName"], car["modelName"], bool(car["isDamaged"]),
            bool(car["hadAccidentDamage"]), car["price"], car["days"],
        )
        for car in sorted(hurt, key=lambda car: (-car["price"], car["sellingId"]))
    ]  # fmt: skip


def cars_below_yard_price(truth: Truth) -> list[Row]:
    rows = [
        (car["sellingId"], car["makeName"], car["modelName"], car["price"], car["yard"], car["yard"] - car["price"])
        for car in truth.inventory
        if car["yard"] > car["price"]
    ]
    return sorted(rows, key=lambda row: (-row[5], row[0]))[:TOP]


# --- Parts ------------------------------------------------------------------------------------------------------------


def parts_most_ordered(truth: Truth) -> list[Row]:
    groups = defaultdict(list)
    for order, item in truth.ordered_parts:
        groups[item["productId"], item["productName"]].append((order, item["quantity"]))
    rows = [
        (*product, sum(quantity for _, quantity in lines), len({order for order, _ in lines}))
        for product, lines in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:TOP]


def parts_running_out(truth: Truth) -> list[Row]:
    ordered: Counter[str] = Counter()
    for _, item in truth.ordered_parts:
        ordered[item["productId"]] += item["quantity"]
    rows = [
        (part["id"], part["name"], part["quantityLinkedWarehouse"], part["quantityAllWarehouses"], ordered[part["id"]])
        for part in truth.parts.values()
        if part["quantityLinkedWarehouse"] <= 1 and part["id"] in ordered
    ]
    return sorted(rows, key=lambda row: (-row[4], row[0]))


def parts_by_brand(truth: Truth) -> list[Row]:
    rows = []
    for brand, parts in _by(truth.parts.values(), "brandName").items():
        net = [Decimal(str(part["nettoPrice"])) for part in parts]
        gross = [Decimal(str(part["brutoPrice"])) for part in parts]
        discounts = [_rounded(100 * (1 - n / g), 1) for n, g in zip(net, gross, strict=True)]
        rows.append((brand, len(parts), _rounded(sum(discounts, Decimal()) / len(parts), 1), min(net), max(net)))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


# --- Across sources ---------------------------------------------------------------------------------------------------


def customers_who_lease(truth: Truth) -> list[Row]:
    buyers, riders, recent = defaultdict(list), defaultdict(list), _recent(truth)
    for customer in truth.customers:
        buyers[customer["email"].strip().lower()].append(customer)
    for cyclist in truth.cyclists.values():
        riders[cyclist["email"].strip().lower()].append(cyclist)
    return sorted(
        (
            buyers[email][0]["customer_id"], buyers[email][0]["full_name"], cyclists[0]["name"],
            truth.companies[cyclists[0]["company"]], email,
        )
        for email, cyclists in riders.items()
        if email and len(cyclists) == 1 and len(buyers.get(email, ())) == 1 and buyers[email][0] in recent
    )  # fmt: skip


def lease_from_stock(truth: Truth) -> list[Row]:
    free = [bike for bike in truth.bikes if bike["for_sale"] and not bike["sales_order_id"]]
    rows = []
    for order in _to_order(truth):
        suitable = [
            bike
            for bike in free
            if _plain(bike["brand_name"]) == _plain(order["bike_brand"])
            and _plain(order["bike_model"]) in _plain(bike["description"])
        ]
        for (store, article), bikes in _by(suitable, "store_name", "article_id").items():
            same = [b for b in truth.bikes if (b["store_name"], b["article_id"]) == (store, article)]
            row = (order["name"], order["bike_brand"], order["bike_model"], order["bike_size"], store)
            rows.append((*row, min(bike["description"] for bike in same), len(bikes), article))
    return [row[:-1] for row in sorted(rows, key=lambda row: (row[0], row[4], row[7]))]


def brands_leased_and_stocked(truth: Truth) -> list[Row]:
    leased = Counter(order["bike_brand"] for order in _of_months(truth, truth.leases, 12))
    stocked = Counter(bike["brand_name"] for bike in truth.bikes)
    rows = [(brand, leased[brand], stocked[brand]) for brand in {*leased, *stocked}]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


# --- The mirror itself ------------------------------------------------------------------------------------------------

SOURCES = {"cars": "autengo", "lease": "cyclis", "parts": "ghs", "shop": "cyclesoftware"}
UNCOUNTED = {"store_orders", "urgent_messages"}
BEGAN = datetime(2026, 11, 22, 9, tzinfo=UTC)
"""They come with their customer and with any answer, and are no rows of a run."""


def sync_freshness(truth: Truth) -> list[Row]:
    """Every stream was run once, well; the shop's first, which waited for its budget."""
    return [
        (source, len(_run(api)), began := BEGAN if source == "shop" else truth.now, truth.now - began, 0)
        for source, api in sorted(SOURCES.items())
    ]


def _run(api: str) -> set[str]:
    """Return the streams of an API that run by themselves: children come with their parents."""
    children = {stream for family in FAMILIES for stream in family.children}
    return KEYS[api].keys() - children | ({"store_orders"} if api == "cyclesoftware" else set())


def sync_work(truth: Truth) -> list[Row]:
    requests = Counter(entry.api for entry in truth.sandbox.requests)
    rows = []
    for source, api in sorted(SOURCES.items()):
        held = {stream: len(truth.records(api, stream)) for stream in _run(api) - UNCOUNTED}
        held |= {"products": len(truth.parts)} if api == "ghs" else {}
        held |= _looked_up(truth) if api == "cyclesoftware" else {}
        runs = len(_run(api))
        new = sum(count for stream, count in held.items() if f"{source}.{stream}" not in STREAMS)
        changed = sum(
            record not in truth.past[-1].records(*place)
            for place in PLACES
            if place[0] == api
            for record in truth.records(*place)
        )
        rows.append((source, runs, 0, requests[api], new, changed, 0))
    return rows


def _looked_up(truth: Truth) -> dict[str, int]:
    """Return how many records of the shop were asked for by key, or by day: what is capped lacks the others."""
    asked = Counter(entry.stream for entry in truth.sandbox.requests if entry.status == 200)
    paths = [entry.path.removesuffix(".json") for entry in truth.sandbox.requests if entry.stream == "comments"]
    comments = [
        each
        for each in truth.records("cyclesoftware", "comments")
        if any(
            path.endswith(
                (f"/customers/{each['customer_id']}/comments", f"/{each['entity_type_id']}/{each['entity_id']}")
            )
            for path in paths
        )
    ]
    hours = [each for each in truth.records("cyclesoftware", "trading_hours") if each["date"] >= str(truth.today)]
    return {
        "stock_objects": asked["stock_objects"], "supplier_orders": asked["supplier_orders"],
        "comments": len(comments), "trading_hours": len(hours),
    }  # fmt: skip


# --- Words ------------------------------------------------------------------------------------------------------------


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


def of(question: str) -> Callable[[Truth], list[Row]]:
    """Return the function that knows the answer to a question."""
    sales = (importlib.import_module(f"tests.support.{name}") for name in ("answers_sales", "answers_open"))
    for place in (sys.modules[__name__], shop_answers, *sales):
        found: Callable[[Truth], list[Row]] | None = getattr(place, question, None)
        if found:
            return found
    raise KeyError(question)

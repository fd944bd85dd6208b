"""The answers to the cookbook's questions about stock, customers, orders and leads of the shops: see `answers`."""

from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal

from tests.support.answers_truth import (
    AMSTERDAM,
    OPEN_LEAD,
    TOP,
    Row,
    Truth,
    _by,
    _euros,
    _month,
    _months_before,
    _of_months,
    _oldest,
    _recent,
    _rounded,
)


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

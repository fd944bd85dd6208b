"""The answers to the cookbook's questions about open amounts, turnaround, insurances, dead stock and leases.

Plain Python over the vendor's own records, as in `answers`.
"""

import math
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.answers_sales import SHOP, _cents, _repairs
from tests.support.answers_truth import (
    AMSTERDAM,
    TOP,
    Record,
    Row,
    Truth,
    _by,
    _local,
    _month,
    _months_before,
    _rounded,
    _sum,
)
from tests.support.shop_answers import _articles, _levels


def open_items_by_age(truth: Truth) -> list[Row]:
    paid: list[tuple[Any, datetime, int]] = [
        (each["invoice_number"], _day_first(each["created_at"]), each["amount_cents"])
        for each in truth.records(SHOP, "payments")
    ]
    found = []
    for sale in truth.records(SHOP, "sales_transactions"):
        if not sale["unpaid_amount_cents"]:
            continue
        number, modified_at = sale["sales_transaction_number"], _local(sale["modified_at"], AMSTERDAM)
        booked_at = _local(sale["booked_at"], AMSTERDAM)
        days = (truth.today - booked_at.astimezone(AMSTERDAM).date()).days if booked_at else None
        found.append(
            {
                "age": _age(days) if sale["is_final"] else "not booked yet",
                "days": -1 if days is None else days,
                "customer": (sale["customer"] or {}).get("customer_id"),
                "unpaid": _cents(sale["unpaid_amount_cents"]),
                "since": _cents(sum(cents for invoice, at, cents in paid if invoice == number and at > modified_at)),
            }
        )
    rows = [
        (
            min(each["days"] for each in sales), age, len(sales), len({each["customer"] for each in sales} - {None}),
            _sum(sales, "unpaid"), _sum(sales, "since"),
        )
        for age, sales in _by(found, "age").items()
    ]  # fmt: skip
    return [row[1:] for row in sorted(rows)]


def _age(days: int | None) -> str:
    if days is not None and days <= 30:
        return "up to 30 days"
    return "31 to 90 days" if days is not None and days <= 90 else "over 90 days"


def _day_first(text: str) -> datetime:
    return datetime.strptime(text, "%d-%m-%Y %H:%M:%S").replace(tzinfo=AMSTERDAM)


def repair_turnaround(truth: Truth) -> list[Row]:
    booked: dict[int, datetime] = {}
    for sale in truth.records(SHOP, "sales_transactions"):
        number, at = (sale["workshop_order"] or {}).get("workshop_order_id"), _local(sale["booked_at"], AMSTERDAM)
        if number and at:
            booked[number] = min(at, booked.get(number, at))
    rows = []
    for month, repairs in _by(_repairs(truth), "month").items():
        days = sorted(
            _rounded(
                Decimal(str((booked[number] - _local(repair["datetime_created"], AMSTERDAM)) / timedelta(days=1))), 1
            )
            for repair in repairs
            if (number := repair["workshop_order_id"]) in booked
        )
        half, most = (days[max(0, math.ceil(share * len(days)) - 1)] if days else None for share in (0.5, 0.9))
        rows.append((month, len(repairs), len(days), half, most))
    return sorted(rows, key=lambda row: row[0])


def _sold(truth: Truth, months: int) -> list[Record]:
    """Return the items of the sales that were booked in this month and in so many before it."""
    first, found = _month(_months_before(truth.now, months)), []
    for sale in truth.records(SHOP, "sales_transactions"):
        at = _local(sale["booked_at"], AMSTERDAM)
        if at and _month(at) >= first:
            found += [{**item, "seller": sale["sales_employee_name"], "at": at} for item in sale["sales_items"]]
    return found


def ebikes_insured(truth: Truth) -> list[Row]:
    insured = {each["stock_object_id"] for each in truth.records(SHOP, "insurances")}
    bikes = [each for each in _sold(truth, 12) if (each["object"] or {}).get("is_elo_bike") and each["quantity"] > 0]
    rows = []
    for seller, sold in _by(bikes, "seller").items():
        count = sum(each["object"]["object_id"] in insured for each in sold)
        rows.append((seller, len(sold), count, _rounded(Decimal(100 * count) / len(sold), 1)))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def mechanics_load(truth: Truth) -> list[Row]:
    names = {each["employee_id"]: each["employee_name"] for each in truth.records(SHOP, "employees")}
    stores = {day["store_id"]: day["store_name"] for day in truth.records(SHOP, "trading_hours")}
    last = truth.today + timedelta(days=14)
    days = [
        day
        for day in truth.records(SHOP, "trading_hours_employees")
        if truth.today <= datetime.fromisoformat(day["date"]).date() < last
    ]
    rows = []
    for (store, mechanic), held in _by(days, "store_id", "employee_id").items():
        can, planned, left = (
            sum(day[f"{name}_minutes"] for day in held) for name in ("capacity", "scheduled", "available")
        )
        percent = _rounded(Decimal(100 * planned) / can, 1) if can else None
        rows.append((stores[store], names.get(mechanic, str(mechanic)), can, planned, left, percent))
    return sorted(rows, key=lambda row: (row[5] is None, -(row[5] or 0), row[0], row[1]))[:TOP]


def articles_sold_out(truth: Truth) -> list[Row]:
    since = truth.now - timedelta(days=90)
    sold = _by([each for each in _sold(truth, 12) if each["barcode"]], "barcode")
    rows = []
    for article in _articles(truth):
        level = sum(each["stock_level"] for each in article.get("stock", {}).get("stores", ()))
        lines = sold.get(article["barcode"])
        if lines and not article.get("objects") and level <= 0:
            count = sum((Decimal(str(each["quantity"])) for each in lines), Decimal())
            lately = sum((Decimal(str(each["quantity"])) for each in lines if each["at"] >= since), Decimal())
            told = article["told"] if isinstance(article["properties"], dict) else None
            last = max(each["at"] for each in lines)
            rows.append((article["barcode"], article["brand"], told, article["supplier"], lately, count, last))
    return sorted(rows, key=lambda row: (-row[4], -row[5], row[0]))[:TOP]


def articles_dead_stock(truth: Truth) -> list[Row]:
    sold = Counter(each["barcode"] for each in _sold(truth, 12))
    found = [
        {
            "group": article["group"], "barcode": article["barcode"], "level": Decimal(level["stock_level"]),
            "worth": None if article["cost"] is None else level["stock_level"] * article["cost"],
        }
        for article, level in _levels(truth)
        if level["stock_level"] > 0 and not sold[article["barcode"]]
    ]  # fmt: skip
    rows = []
    for group, held in _by(found, "group").items():
        known = [each["worth"] for each in held if each["worth"] is not None]
        worth = _cents(sum(known)) if known else None
        rows.append((group, len({each["barcode"] for each in held}), _sum(held, "level"), worth))
    return sorted(rows, key=lambda row: (row[3] is None, -(row[3] or 0), row[0] is None, row[0]))


def lease_bikes_in_workshop(truth: Truth) -> list[Row]:
    names = {each["customer_id"]: each["full_name"] for each in truth.customers}
    leased = [each for each in truth.records(SHOP, "repair_objects") if each["lease_fleet_customer_id"]]
    repairs = _by(_repairs(truth), "repair_object_id")
    rows = []
    for company, bikes in _by(leased, "lease_fleet_customer_id").items():
        done = [repair for bike in bikes for repair in repairs.get(bike["object_id"], [])]
        price = [_cents(sum(line["price_in_vat_cents"] for line in each.get("order_items", []))) for each in done]
        rows.append(
            (
                names.get(company, str(company)), len(bikes),
                len({bike["lease_contract_number"] for bike in bikes} - {""}),
                Decimal(len(done)), Decimal(sum(not each["invoice_number"] for each in done)),
                sum(price, Decimal()) if done else None,
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:TOP]

"""The answers to the cookbook's questions about sales and the workshop, computed from the records of the sandbox.

Plain Python over the vendor's own records, as in `answers`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

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

SHOP = "cyclesoftware"


def _cents(cents: Any) -> Decimal:
    return _rounded(Decimal(str(cents)) / 100, 2)


def _lines(truth: Truth, months: int) -> list[Record]:
    """Return the booked lines of this month and of so many before it."""
    first, found = _month(_months_before(truth.now, months)), []
    for sale in truth.records(SHOP, "sales_transactions"):
        if not sale["is_final"] or (month := _month(_local(sale["booked_at"], AMSTERDAM))) < first:
            continue
        repair = sale["workshop_order"] or {}
        for item in sale["sales_items"]:
            bike, article = item["object"] or {}, item["article"] or {}
            quantity, price = Decimal(str(item["quantity"])), item["purchase_price_ex_vat_cents"]
            cost = None if price is None else price * quantity
            nett, minutes = item["nett_line_price_ex_vat_cents"], item["unit_work_time_minutes"]
            found.append(
                {
                    "month": month,
                    "store": f"{sale['account_id']}-{sale['store_id']}",
                    "group": item["pos_group_name"],
                    "seller": sale["sales_employee_name"],
                    "mechanic": repair.get("mechanic_employee_name"),
                    "brand": bike.get("brand_name") or article.get("brand_name"),
                    "is_bike": bool(bike.get("object_id")) and quantity > 0,
                    "turnover": _cents(nett),
                    "discount": _cents(item["unit_discount_ex_vat_cents"] * quantity),
                    "margin": None if cost is None else _cents(nett - cost),
                    "minutes": None if minutes is None else minutes * quantity,
                }
            )
    return found


def turnover_by_store(truth: Truth) -> list[Row]:
    rows = [
        (month, store, group, _sum(lines, "turnover"), len(lines))
        for (month, store, group), lines in _by(_lines(truth, 12), "month", "store", "group").items()
    ]
    rows.sort(key=lambda row: (row[1], row[2]))
    rows.sort(key=lambda row: (row[0], row[3]), reverse=True)
    return rows[:12]


def turnover_by_brand(truth: Truth) -> list[Row]:
    rows = [
        (brand, _sum(lines, "turnover"), sum(line["is_bike"] for line in lines))
        for brand, lines in _by(_lines(truth, 12), "brand").items()
        if brand
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:TOP]


def margin_by_brand(truth: Truth) -> list[Row]:
    rows = []
    for brand, lines in _by(_lines(truth, 12), "brand").items():
        known = [line for line in lines if line["margin"] is not None]
        if not brand:
            continue
        turnover, margin = (_sum(known, name) if known else None for name in ("turnover", "margin"))
        percent = _rounded(100 * margin / turnover, 1) if margin is not None and turnover else None
        rows.append((brand, turnover, margin, percent, len(lines) - len(known)))
    return sorted(rows, key=lambda row: (row[2] is None, -(row[2] or 0), row[0]))[:TOP]


def discount_by_seller(truth: Truth) -> list[Row]:
    rows = []
    for seller, lines in _by(_lines(truth, 12), "seller").items():
        discount, turnover = _sum(lines, "discount"), _sum(lines, "turnover")
        given = sum(line["discount"] != 0 for line in lines)
        rows.append((seller, given, discount, _rounded(100 * discount / (turnover + discount), 1)))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def repair_hours_by_mechanic(truth: Truth) -> list[Row]:
    rows = []
    for mechanic, lines in _by(_lines(truth, 12), "mechanic").items():
        work = [line for line in lines if line["minutes"] is not None]
        if mechanic and work:
            hours, turnover = _sum(work, "minutes") / 60, _sum(work, "turnover")
            rows.append((mechanic, _rounded(hours, 1), turnover, _rounded(turnover / hours, 2) if hours else None))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def payments_by_method(truth: Truth) -> list[Row]:
    first, found = _month(_months_before(truth.now, 12)), []
    for payment in truth.records(SHOP, "payments"):
        booked_at = datetime.strptime(payment["book_date"], "%d-%m-%Y %H:%M:%S").replace(tzinfo=AMSTERDAM)
        if (month := _month(booked_at)) >= first:
            found.append({**payment, "month": month, "amount": _cents(payment["amount_cents"])})
    rows = [
        (month, store, method, len(payments), _sum(payments, "amount"))
        for (month, store, method), payments in _by(found, "month", "store_id", "method").items()
    ]
    rows.sort(key=lambda row: (row[1], row[2]))
    rows.sort(key=lambda row: row[0], reverse=True)
    return rows[:12]


def workshop_load(truth: Truth) -> list[Row]:
    last = truth.today + timedelta(days=14)
    rows = [
        (
            datetime.fromisoformat(day["date"]).date(), day["store_name"], day["capacity_minutes"],
            day["scheduled_minutes"], day["available_minutes"],
            _rounded(Decimal(100 * day["scheduled_minutes"]) / day["capacity_minutes"], 1)
            if day["capacity_minutes"] else None,
        )
        for day in truth.records(SHOP, "trading_hours")
        if truth.today <= datetime.fromisoformat(day["date"]).date() < last and not day["is_closed"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row[:2])[:14]


def _repairs(truth: Truth) -> list[Record]:
    first = _month(_months_before(truth.now, 12))
    found = [
        {**repair, "month": _month(_local(repair["datetime_created"], AMSTERDAM))}
        for repair in truth.records(SHOP, "workshop_orders")
        if repair["is_active"]
    ]
    return [repair for repair in found if repair["month"] >= first]


def repairs_by_month(truth: Truth) -> list[Row]:
    rows = []
    for month, repairs in _by(_repairs(truth), "month").items():
        minutes = [
            Decimal(repair["custom_repair_time_minutes"] or repair["total_repair_time_minutes"]) for repair in repairs
        ]
        prices = [
            _cents(sum(line["price_in_vat_cents"] for line in repair.get("order_items", []))) for repair in repairs
        ]
        not_planned = sum(repair["datetime_scheduled_start"] is None for repair in repairs)
        average = _rounded(sum(minutes, Decimal()) / len(minutes), 0)
        rows.append((month, len(repairs), not_planned, average, sum(prices, Decimal())))
    return sorted(rows)


def orders_waiting(truth: Truth) -> list[Row]:
    first = _month(_months_before(truth.now, 24))
    levels, bikes = (
        _by(truth.records(SHOP, "article_stock"), "barcode"),
        _by(truth.records(SHOP, "article_objects"), "barcode"),
    )
    rows = []
    for order in truth.sales_orders:
        if order["has_invoice"] or order["cancellation_type_id"] or _month(order["created_at"]) < first:
            continue
        for item in order["order_items"]:
            if not item["order_item_id"]:
                continue
            held = levels.get(item["barcode"])
            free = sum(bool(bike["available"]) for bike in bikes.get(item["barcode"], []))
            rows.append(
                (
                    item["order_item_id"], order["sales_order_id"], f"{order['account_id']}-{order['store_id']}",
                    item["description"], Decimal(str(item["quantity"])), order["created_at"],
                    sum((Decimal(str(each["stock_level"])) for each in held), Decimal()) if held else None, free,
                    _open_at_suppliers(truth.records(SHOP, "supplier_order_items"), item["barcode"]),
                )
            )  # fmt: skip
    rows.sort(key=lambda row: (row[5], row[0]))
    return [row[1:] for row in rows[:TOP]]


def _open_at_suppliers(items: Iterable[Record], barcode: str) -> Decimal:
    return sum((Decimal(str(item["quantity_open"])) for item in items if item["barcode"] == barcode), Decimal())

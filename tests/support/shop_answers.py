"""The answers to the cookbook's questions about articles, services and deliveries of the shops: see `answers`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from tests.support.answers_truth import Record, Row, Truth

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
API = "cyclesoftware"
TOP = 10


def _euros(cents: int | None) -> Decimal | None:
    return None if cents is None else Decimal(cents) / 100


# --- Services ---------------------------------------------------------------------------------------------------------


def _due(truth: Truth) -> Iterator[Record]:
    """Give the services that are open, with their day and whose they are."""
    customers = {each["customer_id"]: each for each in truth.customers}
    for item in truth.records(API, "service_items"):
        if item["is_open"]:
            who = customers.get(item["customer_id"], {"full_name": None, "phone": None})
            yield {**item, "due_on": date.fromisoformat(item["scheduled_at"]), "who": who}


def service_due_this_month(truth: Truth) -> list[Row]:
    objects = {each["object_id"]: each for each in truth.records(API, "repair_objects")}
    found = []
    for item in _due(truth):
        owned = objects.get(item["object_id"])
        if (item["due_on"].year, item["due_on"].month) == (truth.today.year, truth.today.month):
            store = f"{item['account_id']}-{item['store_id']}"
            row = (
                item["due_on"], truth.stores.get(store, store), item["title"],
                f"{owned['brand']} {owned['model']}" if owned else None, item["who"]["full_name"], item["who"]["phone"],
            )  # fmt: skip
            if not item["is_scheduled"]:
                found.append((item["due_on"], item["service_item_id"], row))
    return [row for _, _, row in sorted(found, key=lambda each: each[:2])][:TOP]


def service_by_customer(truth: Truth) -> list[Row]:
    held: dict[int, list[Record]] = defaultdict(list)
    for item in _due(truth):
        held[item["customer_id"]].append(item)
    rows = [
        (
            number, items[0]["who"]["full_name"], len(items),
            len({item["service_id"] for item in items if item.get("service_id")}),
            min(item["due_on"] for item in items),
            _euros(sum(item["amount_payed_in_advance_cents"] for item in items)),
        )
        for number, items in held.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[2], row[4], row[0]))[:TOP]


# --- Articles ---------------------------------------------------------------------------------------------------------


def _said(article: Record, name: str) -> Record:
    """Return the value of a property that counts: an object's, else the first supplier's, else the first one."""
    properties = article["properties"]
    values = properties[name]["values"] if isinstance(properties, dict) and name in properties else []
    [first, *_] = sorted(article["suppliers"], key=lambda entry: entry["_id"])
    ranked = sorted(
        values,
        key=lambda value: (
            0 if value.get("object_ids") else 1 if first["supplier_id"] in value.get("supplier_ids", []) else 2
        ),
    )
    return ranked[0] if ranked else {}


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return next((value[name] for name in ("user", "nl", "en", "fr") if value.get(name)), None)
    return value


def _articles(truth: Truth) -> list[Record]:
    found = []
    for article in truth.records(API, "articles"):
        brand, model = (_words(_said(article, name).get("value")) for name in ("brand", "model"))
        first = min(article["suppliers"], key=lambda entry: entry["_id"])
        told = _words(_said(article, "pos_description").get("value"))
        found.append(
            {
                **article, "brand": brand, "supplier": first["supplier_name"],
                "told": told or " ".join(filter(None, (brand, model))),
                "group": _words(_said(article, "article_group").get("value")) or None,
                "cost": article["pricing"].get("purchase_price_cents"),
            }
        )  # fmt: skip
    return found


def _levels(truth: Truth) -> Iterator[tuple[Record, Record]]:
    for article in _articles(truth):
        for level in article.get("stock", {}).get("stores", ()):
            yield article, level


def articles_below_minimum(truth: Truth) -> list[Row]:
    rows = []
    for article, level in _levels(truth):
        least, most = level.get("min_stock_level") or 0, level.get("max_stock_level") or 0
        if least and level["stock_level"] <= least:
            missing = max(most, least) - level["stock_level"]
            row = (str(level["store_id"]), article["barcode"], article["told"], article["supplier"])
            rows.append(
                ((-missing, article["barcode"], level["store_id"]), (*row, level["stock_level"], least, missing))
            )
    return [row for _, row in sorted(rows)][:TOP]


def articles_stock_value(truth: Truth) -> list[Row]:
    held: dict[str | None, list[tuple[Record, int]]] = defaultdict(list)
    for article, level in _levels(truth):
        held[article["group"]].append((article, max(level["stock_level"], 0)))
    rows = []
    for group, levels in held.items():
        known = [article["cost"] * level for article, level in levels if article["cost"] is not None]
        barcodes = {article["barcode"] for article, _ in levels}
        unknown = {article["barcode"] for article, _ in levels if article["cost"] is None}
        value = _euros(sum(known)) if known else None
        rows.append((group, len(barcodes), sum(level for _, level in levels), value, len(unknown)))
    return sorted(rows, key=lambda row: (row[3] is None, -(row[3] or 0), row[0] is None, row[0]))


def articles_by_brand(truth: Truth) -> list[Row]:
    counted: dict[str | None, Counter[str]] = defaultdict(Counter)
    for article in _articles(truth):
        objects = article.get("objects") or []
        counted[article["brand"]] += Counter(
            articles=1, models=bool(objects), bikes=len(objects), available=sum(each["available"] for each in objects)
        )
    rows = [
        (brand, *(found[name] for name in ("articles", "models", "bikes", "available")))
        for brand, found in counted.items()
    ]
    return sorted(rows, key=lambda row: (-int(row[1] or 0), row[0] is None, row[0]))[:TOP]


# --- Deliveries -------------------------------------------------------------------------------------------------------


def _received(truth: Truth) -> Iterator[Record]:
    suppliers = {each["supplier_id"]: each["supplier_name"] for each in truth.records(API, "suppliers")}
    for item in truth.records(API, "packing_list_items"):
        text = item["created_at"]
        form = "%d-%m-%Y %H:%M:%S" if text[2] == "-" else "%Y-%m-%d %H:%M:%S"
        at = datetime.strptime(text, form).replace(tzinfo=AMSTERDAM)
        supplier = suppliers.get(item["supplier_id"]) or item["supplier_name"] or str(item["supplier_id"])
        yield {**item, "at": at, "supplier": supplier}


def goods_by_month(truth: Truth) -> list[Row]:
    held: dict[tuple[date, str], list[Record]] = defaultdict(list)
    for item in _received(truth):
        if item["at"] >= truth.now.astimezone(AMSTERDAM) - timedelta(days=365):
            held[item["at"].date().replace(day=1), item["supplier"]].append(item)
    rows = []
    for (month, supplier), items in held.items():
        worth = [
            (Decimal(str(item["quantity"])) * item["unit_purchase_price_ex_vat_cents"] / 100).quantize(
                Decimal("0.01"), ROUND_HALF_UP
            )
            for item in items
        ]
        quantity = sum(Decimal(str(item["quantity"])) for item in items)
        rows.append((month, supplier, len(items), quantity, sum(worth, Decimal(0))))
    return sorted(rows, key=lambda row: (-row[0].toordinal(), -row[4], row[1]))[:TOP]


def goods_dearer(truth: Truth) -> list[Row]:
    today: dict[tuple[str, int], int] = {}
    for article in truth.records(API, "articles"):
        for entry in article["suppliers"]:
            key = article["barcode"], entry["supplier_id"]
            today[key] = min(today.get(key, entry["purchase_price_cents"]), entry["purchase_price_cents"])
    latest: dict[tuple[str, int], Record] = {}
    for item in sorted(_received(truth), key=lambda each: (each["at"], each["supplier_packinglist_item_id"])):
        latest[item["barcode"], item["supplier_id"]] = item
    rows = []
    for key, item in latest.items():
        then = item["unit_purchase_price_ex_vat_cents"]
        if key in today and today[key] > then:
            prices = (_euros(then), _euros(today[key]), _euros(today[key] - then))
            rows.append((item["barcode"], item["supplier"], item["at"].date(), *prices))
    return sorted(rows, key=lambda row: (-(row[5] or 0), row[0]))[:TOP]

"""The answers to the cookbook's questions about cars and their parts: see `answers`."""

import itertools
from collections import Counter, defaultdict
from decimal import Decimal

from tests.support.answers_truth import TOP, Row, Truth, _by, _rounded, _sum

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

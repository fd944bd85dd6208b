"""The answers to the cookbook's questions about leases and their dealers: see `answers`."""

import itertools
from collections import defaultdict
from decimal import Decimal

from tests.support.answers_truth import (
    AMSTERDAM,
    TOP,
    Row,
    Truth,
    _by,
    _month,
    _months_before,
    _of_months,
    _rounded,
    _sum,
    _to_order,
)


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

"""The answers to the cookbook's questions across sources, and about the mirror itself: see `answers`."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

from syncd.sandbox.catalog import FAMILIES, KEYS
from tests.support.answers_truth import Row, Truth, _by, _of_months, _plain, _recent, _to_order
from tests.support.past import PLACES, STREAMS

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

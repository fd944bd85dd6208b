"""Payments of CycleSoftware's shops, sent in groups: one per invoice or order. Records and endpoint."""

from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, DAY_S, V1, WIDEST_DAYS, Lists
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

FIRST_ID = 3_000_001
FIRST_NEW_ID = 8_000_000
DAYS = 420  # over which the seeded ones are spread
METHODS = ((1, "Pin"), (2, "Contant"), (11, "Bank"), (5, "Tegoedbon"))
OF_GROUP = (
    "store_id", "customer_id", "invoice_number", "sales_order_id", "ecommerce_reference_text",
    "ecommerce_reference_id", "psp",
)  # fmt: skip


def _seed(world: World, sizes: Sizes) -> None:
    for number in range(sizes.payments):
        record, at = _payment(world, FIRST_ID + number)
        world[API, "payments"].put(record, at.timestamp())


def _payment(world: World, payment_id: int) -> tuple[Record, datetime]:
    group = payment_id // 2  # two payments in a row may be of one group
    of_group, dice = Dice(world.seed, "payment_group", group), Dice(world.seed, "payment", payment_id)
    created = world.before(of_group.between(3_600, DAYS * DAY_S)) if payment_id < FIRST_NEW_ID else world.now()
    late_s = dice.pick((0, 0, 0, 0, 9 * DAY_S))  # entered later than it is booked for
    booked = datetime.fromtimestamp(created.timestamp() - late_s, created.tzinfo)
    method_id, method = dice.pick(METHODS)
    has_invoice, by_web = of_group.chance(80), of_group.chance(20)
    psp = [{"psp_reference": f"PSP{group}", "psp_reference_2": None, "amount_cents": 12_500}] if by_web else []
    return {
        "payment_id": payment_id,
        "store_id": of_group.pick((1, 2, 3)),
        "book_location_id": dice.pick((1, 2)),
        "method": method,
        "method_id": method_id,
        "amount_cents": dice.between(-50, 4_000) * 100,
        "book_date": _day_first(world, booked),
        "created_at": _day_first(world, created),
        "customer_id": of_group.pick((0, None, FIRST_CUSTOMER_ID + of_group.below(300))),
        "invoice_number": 900_001 + of_group.below(90) if has_invoice else None,
        "related_to_invoice_number": None,
        "sales_order_id": 700_001 + of_group.below(300) if not has_invoice or by_web else 0,
        "ecommerce_reference_text": "Webwinkel" if by_web else None,
        "ecommerce_reference_id": f"W{group}" if by_web else None,
        "psp": psp,
    }, booked


def _day_first(world: World, at: datetime) -> str:
    day, clock = world.local(API, at).split(" ")
    return f"{'-'.join(reversed(day.split('-')))} {clock}"


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _payment(world, FIRST_NEW_ID + number)[0]


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["amount_cents"] += dice.between(1, 50)
    return record


FAMILY = Family(
    api=API,
    keys={"payments": ("payment_id",)},
    pace={"payments": Pace(changed=0, added=2, deletion_percent=0)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of payments."""
    return [
        Route(method="GET", path=f"{V1}/salesdata/payments.json", stream="payments", handler=partial(_payments, lists))
    ]


def _payments(lists: Lists, ask: Ask) -> Answer:
    """Return the groups of the payments that were booked on these days: a bare array, without pages."""
    span = lists.days(ask, "start_date", "end_date", widest=WIDEST_DAYS)
    if isinstance(span, Answer):
        return span
    groups: dict[Any, list[Record]] = {}
    for record in lists.world[API, "payments"].records():
        if span[0] <= booked_at(lists.world, record) < span[1]:
            groups.setdefault(record["payment_id"] // 2, []).append(record)
    return Answer(body=[msgspec.Raw(msgspec.json.encode(_group(records))) for records in groups.values()], rows_at=())


def _group(records: list[Record]) -> Record:
    shared = {name: records[0][name] for name in OF_GROUP}
    own = [{name: value for name, value in record.items() if name not in OF_GROUP} for record in records]
    return {**shared, "payments": own}


def booked_at(world: World, record: Record) -> float:
    """Return for when a payment is booked, as epoch seconds."""
    day, clock = record["book_date"].split(" ")
    return world.parsed(API, f"{'-'.join(reversed(day.split('-')))} {clock}")

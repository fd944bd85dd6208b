"""Insurances that CycleSoftware's shops applied for. Records and endpoint."""

from datetime import datetime
from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, V1, WIDEST_DAYS, Lists
from syncd.sandbox.apis.cyclesoftware.transactions import sold_bike
from syncd.sandbox.world import Dice, Family, Pace, Record, Sizes, World
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

STREAM = "insurances"
INSURANCES = 40
FIRST_NUMBER = 330_001
INSURERS = ("Kruisverzekering", "Unigarant", "ENRA")
DAYS_APART = 9


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(FIRST_NUMBER, FIRST_NUMBER + INSURANCES):
        at = world.before(((number - FIRST_NUMBER) * DAYS_APART + 1) * 86_400)
        record = _insurance(world, number)
        _stamp(world, STREAM, record, at)
        world[API, STREAM].put(record, at.timestamp())


def _insurance(world: World, number: int) -> Record:
    dice = Dice(world.seed, "insurance", number)
    amount = dice.between(1_200, 4_500) * 100
    return {
        "insurance_id": number,
        "customer_id": FIRST_CUSTOMER_ID + dice.below(300),
        "stock_object_id": (number % 2 and sold_bike(world, dice)) or 210_000 + 30 * dice.below(20),
        "insurance_company": dice.pick(INSURERS),
        "reference_id": f"0{dice.digits(6)}",
        "policy_number": dice.pick(("0", f"P{dice.digits(8)}")),
        "description": dice.pick(("E-bike, 3 jaar casco", "Diefstal, 5 jaar", "")),
        "policy_costs": dice.pick((0, 500)),
        "insured_amount": amount,
        "premium_amount": amount * 11 // 100,
    }


def _stamp(world: World, _stream: str, record: Record, at: datetime) -> None:
    """Note the day on which a new insurance was applied for, with the day first."""
    if "created_at" not in record:
        day = datetime.fromisoformat(world.local(API, at)).date()
        record["created_at"] = f"{day:%d-%m-%Y}"
        record["insurance_starting_date"] = day.isoformat() if record["insurance_id"] % 2 else f"{day:%d-%m-%Y}"


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _insurance(world, FIRST_NUMBER + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    """Let the insurer answer: the insurance gets its policy."""
    record["policy_number"] = f"P{dice.digits(8)}"
    return record


FAMILY = Family(
    api=API,
    keys={STREAM: ("insurance_id",)},
    pace={STREAM: Pace(changed=0, added=1, deletion_percent=0)},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of insurances."""
    path = f"{V1}/stock-objects/insurance/list.json"
    return [Route(method="GET", path=path, stream=STREAM, handler=partial(_insurances, lists))]


def _insurances(lists: Lists, ask: Ask) -> Answer:
    """Return the insurances that were applied for on these days: a bare array, without pages."""
    span = lists.days(ask, "start_date", "end_date", widest=WIDEST_DAYS)
    if isinstance(span, Answer):
        return span
    found = [each for each in lists.world[API, STREAM].records() if span[0] <= _midday(lists.world, each) < span[1]]
    return Answer(body=lists.encoded(found), rows_at=())


def _midday(world: World, record: Record) -> float:
    return world.parsed(API, f"{'-'.join(reversed(record['created_at'].split('-')))}T12:00:00")

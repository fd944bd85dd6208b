"""Pro-forma invoices of CycleSoftware's shops. Records and endpoint."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

INVOICES = 40
FIRST_NUMBER = 880_001
PRICES = (1_495, 4_995, 12_900, 89_900, 249_900)
DAY_S = 86_400


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(FIRST_NUMBER, FIRST_NUMBER + INVOICES):
        world[API, "proforma_invoices"].put(_invoice(world, number), world.stamp_of(API, "proforma_invoices", number))


def _invoice(world: World, number: int) -> Record:
    dice = Dice(world.seed, "proforma", number)
    made_s = dice.between(0, 60 * DAY_S)
    total = dice.pick(PRICES) + dice.below(5) * 995
    return {
        "created_at": world.local(API, world.before(made_s)),
        "customer_id": 0 if dice.chance(15) else FIRST_CUSTOMER_ID + dice.below(300),
        "modified_at": world.local(API, world.before(dice.between(0, made_s))),
        "sales_order_id": dice.pick((0, None)) if dice.chance(40) else 700_001 + dice.below(300),
        "sales_transaction_number": number,
        "store_id": dice.pick((1, 3)),
        "total_amount_cents": total,
        "transaction_date": world.before(made_s).date().isoformat(),
        "unpayed_amount_cents": dice.pick((total, total // 2, 0)),
    }


def _fresh(world: World, _stream: str, number: int) -> Record:
    return _invoice(world, FIRST_NUMBER + number)


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["total_amount_cents"] += dice.between(1, 20) * 100
    return record


FAMILY = Family(
    api=API,
    keys={"proforma_invoices": ("sales_transaction_number",)},
    pace={"proforma_invoices": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoint of pro-forma invoices."""
    return [
        Route(
            method="GET",
            path=f"{V1}/invoices/proforma.json",
            stream="proforma_invoices",
            handler=partial(_invoices, lists),
        )
    ]


def _invoices(lists: Lists, ask: Ask) -> Answer:
    collection = lists.world[API, "proforma_invoices"]
    answer = lists.page(ask, collection, collection.keys(), "data")
    if answer.status == 200:  # this page of the vendor knows neither `error` nor `count`
        for name in ("error", "error_message"):
            answer.body.pop(name)
        answer.body["pagination"].pop("count")
    return answer

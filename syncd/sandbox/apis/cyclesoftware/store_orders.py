"""Internal deliveries from store to store: no endpoint shows them, only webhooks tell of them. None is seeded."""

from syncd.sandbox.answer import Route
from syncd.sandbox.apis.cyclesoftware.lists import API, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World

STATUSES = {0: "Open", 1: "Verwerkt", 2: "Geannuleerd", 3: "Gefactureerd", 5: "Vergrendeld"}
ARTICLES = (("8715434065984", "Bobike Roze"), ("4008496261628", "Varta batterij"), ("8714319000015", "Binnenband"))


def _seed(_world: World, _sizes: Sizes) -> None:
    """Leave it empty: what happened before somebody listens is never told."""


def _fresh(world: World, _stream: str, number: int) -> Record:
    dice = Dice(world.seed, "store_order", number)
    chosen = [dice.pick(ARTICLES) for _ in range(dice.between(1, 3))]
    return {
        "store_order_id": number,
        "store_id_from": 1,
        "dealer_id_from": 1,
        "store_id_to": 2,
        "dealer_id_to": 131073,
        "store_order_type": "regulier",
        "store_order_type_id": 0,
        "status_id": 0,
        "status": STATUSES[0],
        "remarks": f"Filiaal naar filiaal levering #{number}",
        "processed_at": None,
        "related_to_sales_order_ids": [dice.between(50_000, 60_000)],
        "related_to_supplier_order_ids": [],
        "items": [
            # as in the vendor's sample, where both items have the same number
            {
                "store_order_item_id": 2,
                "barcode": barcode,
                "quantity": dice.between(1, 4),
                "item_type_id": 1,
                "object_id": None,
                "description": description,
            }
            for barcode, description in chosen
        ],
    }


def _changed(_stream: str, record: Record, dice: Dice) -> Record:
    record["status_id"] = dice.pick((1, 2, 3))
    record["status"] = STATUSES[record["status_id"]]
    record["processed_at"] = "2026-10-01 12:00:00"
    return record


FAMILY = Family(
    api=API,
    keys={},
    aside={"store_orders": ("store_order_id",)},
    pace={},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(_lists: Lists) -> list[Route]:
    """Return no endpoint: there is none."""
    return []

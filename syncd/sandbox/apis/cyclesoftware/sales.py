"""What CycleSoftware knows of sales: leads and sales orders. Records and endpoints."""

from datetime import datetime, timedelta
from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.articles import FIRST_BARCODE
from syncd.sandbox.apis.cyclesoftware.lists import API, FIRST_NEW_ID, NO_ERROR, V1, V2, Lists
from syncd.sandbox.world import Child, Collection, Dice, Family, Pace, Record, Sizes, World, names, samples
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

LEAD_TYPES = ("information", "sales_offer", "test_ride", "contact_request", "exchange", "complaint", "other")
LEAD_STATES = ("open", "noticed", "accepted", "declined", "succeeded", "failed", "cancelled")
ORDER_STATES = ("open", "ordered", "delivered", "invoiced")  # "cancelled" is kept for deleted orders
FIRST_ORDER_ID = 700_001
CANCELLED = "cancelled_sales_orders"  # deleted orders, which are still listed on request
WIDEST_RANGE = timedelta(days=31)  # of modified_start to modified_end (FACTS, P)
ACCOUNT = 5_185
NO_ITEM: Record = {"order_item_id": 0, "description": "-", "quantity": 0}  # stands for an order without items
AUTUMN_NIGHT_S = 3_600  # the hour that comes twice may lie in the range


def _seed(world: World, sizes: Sizes) -> None:
    for lead in [*samples(__package__)["leads"], *(_lead(world, n) for n in range(sizes.leads))]:
        world[API, "leads"].put(lead, world.stamp_of(API, "leads", lead["uuid"]))
    for number in range(sizes.sales_orders):
        order, stamp = _sales_order(world, FIRST_ORDER_ID + number)
        world[API, "sales_orders"].put(order, stamp)


def _lead(world: World, number: int) -> Record:
    dice = Dice(world.seed, "lead", number)
    first_name, name = dice.pick(names.FIRST_NAMES), dice.pick(names.LAST_NAMES)
    bike = f"{dice.pick(names.BIKE_BRANDS)} {dice.pick(names.BIKE_MODELS)}"
    kind = dice.pick(LEAD_TYPES)
    at = world.before(dice.between(3_600, 500 * 86_400))
    created_at = world.zoned(API, at)
    wishes = ("test_ride", "phone_call", "finance_information", "insurance_information")
    return {
        "uuid": dice.uuid(),
        "store_id": dice.pick(("1-1", "5185-1", "43831")),  # the documents promise account-store and show "43831"
        "type": kind,
        "status": dice.pick(LEAD_STATES),
        "title": f"Kieskeurig: {'proefrit' if kind == 'test_ride' else 'vraag'} {bike}",
        "message": dice.pick(("Een potentiële klant wil een proefrit maken", "Graag terugbellen na 17.00 uur", "")),
        "costs_ex_vat_cents": dice.pick((0, 1_000, 1_500)),
        "options": {f"{wish}_requested": dice.chance(30) for wish in wishes},
        "object": {
            "description": bike,
            "object_id": dice.between(10_000, 20_000),
            "article_number": dice.pick(("ART1", f"0{dice.digits(7)}", None)),
            "barcode": f"871{dice.digits(10)}",
        },
        "exchange_object": {"exchange_description": "", "exchange_remarks": ""},
        "customer": {
            "customer_address_id": 91_000 + number,
            "address_type": "lead",
            "customer_id": FIRST_CUSTOMER_ID + dice.below(300) if dice.chance(60) else None,
            "is_business_address": False,
            "company_name": "",
            "name": f"{first_name} {name}",
            "street": dice.pick(names.STREETS),
            "house_number": str(dice.between(1, 300)),
            "house_number_postfix": "",
            "postal_code": names.dutch_postcode(dice),
            "city": dice.pick(names.DUTCH_CITIES),
            "country_code": "NL",
            "phone_number": f"06 0{dice.digits(7)}",
            "email": names.email_of(first_name, name, number, "example.net"),
            "notes": dice.pick(("", "Bellen tussen 12.00-17.00")),
        },
        "created_at": created_at,
        "modified_at": created_at,
    }


def _sales_order(world: World, order_id: int) -> tuple[Record, float]:
    """Make an order as the vendor lists it: each of its items bears the order's own fields, too."""
    dice = Dice(world.seed, "sales_order", order_id)
    created_at = world.before(dice.between(3_600, 400 * 86_400))
    head = {
        "account_id": ACCOUNT,
        "store_id": dice.pick((1, 3)),
        "customer_id": FIRST_CUSTOMER_ID + dice.below(400),
        "sales_order_id": order_id,
        "order_type_id": 6,
        "order_type_text": "Reparatie",
        "order_reference_id": f"VO{order_id}",
        "order_reference_text": dice.pick(("", "Graag bellen")),
        "datetime_created": world.local(API, created_at),
        "datetime_modified": world.local(API, created_at),
        "datetime_preferred_delivery": None,
        "sales_employee_id": dice.pick((11, 12, 14)),
        "last_update_employee_id": 11,
        "status_text": dice.pick(ORDER_STATES),
        "cancellation_type_id": 0,
        "has_invoice": dice.chance(50),
        "invoice_number": dice.pick((0, None)),
        "delivery_method_id": 0,
        "delivery_method_description": "Afhalen in winkel",
    }
    items = [_order_item(dice, order_id, at) for at in range(1, dice.below(4) + 1)]
    return _with_items(head, items or [NO_ITEM]), created_at.timestamp()


def _order_item(dice: Dice, order_id: int, at: int) -> Record:
    price = dice.between(499, 4_299) * 100
    return {
        "order_item_id": order_id * 10 + at,
        "order_item_status": dice.pick(("Te bestellen", "Geleverd")),
        "assigned_to_customer_id": FIRST_CUSTOMER_ID + dice.below(400),
        "item_type": dice.pick(("Artikelregel", "Arbeid")),
        "barcode": f"{FIRST_BARCODE + 1 + dice.below(8):013d}" if dice.chance(50) else f"871{dice.digits(10)}",
        "object_id": dice.pick((0, 10_000 + dice.below(9_000))),
        "pos_group_id": dice.pick((1, 2)),
        "quantity": dice.pick((1, 2, 0.5)),
        "description": f"{dice.pick(names.BIKE_BRANDS)} {dice.pick(names.BIKE_MODELS)}",
        "gross_unit_price_in_vat_in_cents": price,
        "unit_discount_in_vat_in_cents": 0,
        "nett_line_price_in_vat_in_cents": price,
        "vat_amount_cents": round(price - price / 1.21),
        "vat_percentage": 21,
    }


def _with_items(head: Record, items: list[Record]) -> Record:
    """Return an order whose items bear its own fields, as they are now."""
    return {**head, "order_items": [{**item, **head} for item in items]}


def _head(order: Record) -> Record:
    return {name: value for name, value in order.items() if name != "order_items"}


def _fresh(world: World, stream: str, number: int) -> Record:
    if stream == "leads":
        return _lead(world, 50_000 + number)
    return _sales_order(world, FIRST_NEW_ID + number)[0]


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "leads":
        record["status"] = dice.pick(LEAD_STATES)
        record["message"] = f"{record['message']} (gebeld {dice.below(9_999)})"
        return record
    if dice.chance(30) and len(record["order_items"]) > 1:
        record["order_items"].pop()  # an item is removed: it just disappears
    record["order_reference_text"] = f"Gewijzigd {dice.below(9_999)}"
    return _with_items(_head(record) | {"status_text": dice.pick(ORDER_STATES)}, record["order_items"])


def _stamp(world: World, stream: str, record: Record, at: datetime) -> None:
    if stream == "leads":
        record["modified_at"] = world.zoned(API, at)
        return
    record["datetime_modified"] = world.local(API, at)
    record |= _with_items(_head(record), record["order_items"])


def _follow(world: World, stream: str, before: Record | None, after: Record | None, stamp: float) -> None:
    """Keep deleted orders aside; one that comes back is no longer among them."""
    cancelled = world[API, CANCELLED]
    if stream != "sales_orders":
        return
    if after is None:
        order = before or {}
        cancelled.put(_with_items(_head(order) | {"status_text": "cancelled"}, order["order_items"]), stamp)
    elif after["sales_order_id"] in cancelled:
        cancelled.remove(after["sales_order_id"])


FAMILY = Family(
    api=API,
    keys={
        "leads": ("uuid",),
        "sales_orders": ("sales_order_id",),
        "sales_order_items": ("sales_order_id", "order_item_id"),
    },
    children={
        "sales_order_items": Child(
            parent="sales_orders",
            parent_key=("sales_order_id",),
            field=("order_items",),
            owner=("sales_order_id",),
            number="order_item_id",
        )
    },
    aside={CANCELLED: ("sales_order_id",)},
    pace={
        "leads": Pace(changed=2, added=1, deletion_percent=10),
        "sales_orders": Pace(changed=3, added=2, deletion_percent=30),
    },
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
    stamp=_stamp,
    follow=_follow,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of leads and sales orders."""
    return [
        Route(
            method="GET",
            path=f"{V1}/leads/{{uuid}}.json",
            stream="leads",
            handler=partial(_one_lead, lists),
            limited=True,
        ),
        Route(
            method="GET",
            path=f"{V2}/salesdata/orders.json",
            stream="sales_orders",
            handler=partial(_sales_orders, lists),
            limited=True,
        ),
    ]


def _one_lead(lists: Lists, ask: Ask) -> Answer:
    try:
        lead = lists.world[API, "leads"].raw(ask.params["uuid"].lower())
    except KeyError:
        return lists.error(404, "Not Found")
    return Answer(body={**NO_ERROR, "sales_lead": lead}, rows_at=("sales_lead",))


def _sales_orders(lists: Lists, ask: Ask) -> Answer:
    world = lists.world
    try:
        start, end = (world.parsed(API, ask.query[name]) for name in ("modified_start", "modified_end"))
    except (KeyError, ValueError):
        return lists.error(400, "modified_start and modified_end are required")
    if not ask.lenient and not 0 <= end - start <= WIDEST_RANGE.total_seconds() + AUTUMN_NIGHT_S:
        return lists.error(400, "The range of modified_start and modified_end is limited to 31 days")
    items = Collection(("sales_order_id", "order_item_id"))
    sources = [world[API, "sales_orders"]]
    if ask.query.get("include_deleted") == "1":
        sources.append(world[API, CANCELLED])
    for source in sources:
        for key in source.since(start):
            if source.stamp(key) <= end:
                for item in source.get(key)["order_items"]:
                    items.put(item, source.stamp(key))
    return lists.page(ask, items, items.keys(), "data")


def lookups(world: World) -> dict[str, list[str]]:
    """Return the ids that `leads` can be asked for."""
    return {"uuids": [lead["uuid"] for lead in world.truth(API, "leads")]}

"""Comments on customers and orders, and labels of orders, of CycleSoftware's shops. Records and endpoints."""

from functools import partial

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware.lists import API, NO_ERROR, SELDOM, V1, Lists
from syncd.sandbox.world import Dice, Family, Record, Sizes, World
from syncd.sandbox.world.sizes import FIRST_CUSTOMER_ID

COMMENTS, LABELS = 40, 12
FIRST_COMMENT_ID, FIRST_ORDER_ID = 51_001, 700_001
CUSTOMERS = 6  # with comments
TYPES = {1: ("general", "Algemeen"), 3: ("phone", "Telefoon"), 4: ("mail", "E-mail"), 7: ("internal", "Intern")}
CUSTOMER, SALES_ORDER = 1, 7  # kinds of things
PAGES = (7, 13, 50)  # rows of a page, by customer: never the same for all


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(COMMENTS):
        world[API, "comments"].put(_comment(world, number), world.stamp_of(API, "comments", number))
    for number in range(LABELS):
        world[API, "labels"].put(_labels(world, number), world.stamp_of(API, "labels", number))


def _comment(world: World, number: int) -> Record:
    dice = Dice(world.seed, "comment", number)
    type_id = dice.pick([*TYPES])
    customer, of_order = FIRST_CUSTOMER_ID + number % CUSTOMERS, dice.chance(25)
    written_s = dice.between(3_600, 400 * 86_400)
    return {
        "comment_id": FIRST_COMMENT_ID + number,
        "comment_type_id": type_id,
        "comment_type_name": TYPES[type_id][0],
        "comment_type_label": TYPES[type_id][1],
        "employee_id": 100 + dice.below(8),
        "entity_id": FIRST_ORDER_ID + number % 5 if of_order else customer,
        "entity_type_id": SALES_ORDER if of_order else CUSTOMER,
        "entity_type_name": "sales_order" if of_order else "customer",
        "customer_id": customer,
        "comment": dice.pick(("Belt liever na 18 uur", "Wil offerte voor tweede fiets", "Sleutel kwijt")),
        "created_at": world.local(API, world.before(written_s)),
        **({"modified_at": world.local(API, world.before(written_s // 2))} if dice.chance(60) else {}),
    }


def _labels(world: World, number: int) -> Record:
    dice = Dice(world.seed, "labels", number)
    texts = [text for text in ("spoed", "lease", "wacht op onderdeel") if dice.chance(50)]
    return {"entity_type_id": SALES_ORDER, "entity_id": FIRST_ORDER_ID + number, "labels": texts}


def _fresh(world: World, stream: str, number: int) -> Record:
    return _comment(world, number) if stream == "comments" else _labels(world, number)


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "comments":
        record["comment"] = f"{record['comment'].split(' (')[0]} ({dice.digits(3)})"
    else:
        record["labels"] = [*record["labels"][:2], f"label {dice.digits(3)}"]
    return record


FAMILY = Family(
    api=API,
    keys={"comments": ("comment_id",), "labels": ("entity_type_id", "entity_id")},
    pace={"comments": SELDOM, "labels": SELDOM},
    seed=_seed,
    fresh=_fresh,
    changed=_changed,
)


def routes(lists: Lists) -> list[Route]:
    """Return the endpoints of comments and labels."""
    found = {
        rf"{V1}/customers/{{customer:\d+}}/comments.json": ("comments", _of_customer),
        rf"{V1}/comments/{{type:\d+}}/{{entity:\d+}}.json": ("comments", _of_entity),
        rf"{V1}/comments/{{id:\d+}}.json": ("comments", _comment_by_id),
        rf"{V1}/labels/{{type:\d+}}/{{entity:\d+}}/get.json": ("labels", _of_labels),
    }
    return [
        Route(method="GET", path=path, stream=stream, handler=partial(handle, lists), limited=True)
        for path, (stream, handle) in found.items()
    ]


def _of_customer(lists: Lists, ask: Ask) -> Answer:
    customer = int(ask.params["customer"])
    if customer not in lists.world[API, "customers"]:
        return lists.error(404, "Not Found")
    return _page(lists, ask, [each for each in _all(lists) if each["customer_id"] == customer], PAGES[customer % 3])


def _of_entity(lists: Lists, ask: Ask) -> Answer:
    wanted = (int(ask.params["type"]), int(ask.params["entity"]))
    found = [each for each in _all(lists) if (each["entity_type_id"], each["entity_id"]) == wanted]
    return _page(lists, ask, found, PAGES[wanted[1] % 3])


def _all(lists: Lists) -> list[Record]:
    return lists.world[API, "comments"].records()


def _page(lists: Lists, ask: Ask, found: list[Record], size: int) -> Answer:
    """Return one page; as in the vendor's sample a path to the next one follows even the last comment."""
    try:
        offset = ask.number("offset", 0)
    except ValueError:
        return lists.error(400, "Invalid value for offset")
    rows = found[offset : offset + min(size, ask.page_limit or size)]
    body = {
        **NO_ERROR,
        "comments": lists.encoded(rows),
        "results": len(rows),
        "next_resultset": f"{ask.path.removeprefix('/cyclesoftware')}?offset={offset + len(rows)}" if rows else None,
    }
    return Answer(body=body, rows_at=("comments",))


def _comment_by_id(lists: Lists, ask: Ask) -> Answer:
    try:
        return Answer(body=lists.world[API, "comments"].raw(int(ask.params["id"])), rows_at=())
    except KeyError:
        return lists.error(404, "Not Found")


def _of_labels(lists: Lists, ask: Ask) -> Answer:
    try:
        record = lists.world[API, "labels"].get((int(ask.params["type"]), int(ask.params["entity"])))
    except KeyError:
        return lists.error(404, "Not Found")
    return Answer(body={**NO_ERROR, "labels": record["labels"]})


def lookups(world: World) -> dict[str, dict[str, list[str]]]:
    """Return customers and orders that comments and labels can be asked for; all exist now."""
    comments, labels = world.truth(API, "comments"), world.truth(API, "labels")
    customers = sorted({each["customer_id"] for each in comments})
    orders = sorted({each["entity_id"] for each in comments if each["entity_type_id"] == SALES_ORDER})
    return {
        "comments": {
            "customer_ids": [str(number) for number in customers[::2]],
            "entities": [f"{SALES_ORDER}/{number}" for number in orders],
        },
        "labels": {"entities": [f"{each['entity_type_id']}/{each['entity_id']}" for each in labels]},
    }

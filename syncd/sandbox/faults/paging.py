"""Faults of paging: lists that move under the walk, offsets that lead nowhere, filters that are not applied.

The ones of stage WORLD change the world, so the truth changes with them; the others change one answer only.
"""

from datetime import timedelta
from typing import Any

from syncd.sandbox.answer import decoded, spoiled
from syncd.sandbox.apis import SEEDED_FIRST
from syncd.sandbox.apis.autengo import Autengo
from syncd.sandbox.apis.cyclesoftware import CycleSoftware
from syncd.sandbox.apis.ghs import Ghs
from syncd.sandbox.catalog import KEYS
from syncd.sandbox.faults.table import ALL_APIS, Armed, Moment, Stage, fault

PLUGINS = tuple(api for api in KEYS if api not in SEEDED_FIRST)
PAGED = ("cyclesoftware", "autengo", "ghs", *PLUGINS)
OTHER_HOST = "http://elsewhere.example"
SINCE = {"modified_since", "updated_since"}
CLAMPED_ROWS = 10
LINKED_ROWS = 50
LATE_S = 300

# The list moves


def _first_key(moment: Moment) -> Any | None:
    """Return the key of the answer's first row, if the world still holds it."""
    if not moment.answered.rows:
        return None
    row = decoded(moment.answered.rows[0])
    fields = KEYS[moment.ask.api][moment.ask.stream]
    if any(field not in row for field in fields):  # a row of the answer holds several records
        return None
    parts = tuple(row[field] for field in fields)
    key = parts if len(parts) > 1 else parts[0]
    return key if key in moment.world[moment.ask.api, moment.ask.stream] else None


@fault(
    "row-inserted-ahead",
    "between two pages a new row comes at the start of the list (the world changes)",
    Stage.WORLD,
    apis=PAGED,
)
def _row_inserted_ahead(moment: Moment, _armed: Armed) -> bool:
    if not moment.answered.more:
        return False
    fresh = moment.world.fresh(moment.ask.api, moment.ask.stream)
    moment.world.put(moment.ask.api, moment.ask.stream, fresh, first=True)
    return True


@fault(
    "row-deleted-ahead",
    "between two pages the first row of the page is deleted (the world changes)",
    Stage.WORLD,
    apis=PAGED,
)
def _row_deleted_ahead(moment: Moment, _armed: Armed) -> bool:
    if not moment.answered.more or (key := _first_key(moment)) is None:
        return False
    moment.world.delete(moment.ask.api, moment.ask.stream, key)
    return True


@fault(
    "row-moved-ahead",
    "between two pages the first row of the page is changed (the world changes)",
    Stage.WORLD,
    apis=PAGED,
)
def _row_moved_ahead(moment: Moment, _armed: Armed) -> bool:
    if not moment.answered.more or (key := _first_key(moment)) is None:
        return False
    moment.world.change(moment.ask.api, moment.ask.stream, key)
    return True


@fault(
    "late-commit",
    "after the answer, a change becomes visible that bears a time age_s=300 ago (the world changes)",
    Stage.WORLD,
)
def _late_commit(moment: Moment, armed: Armed) -> bool:
    keys = moment.world[moment.ask.api, moment.ask.stream].keys()
    if not keys:
        return False
    at = moment.world.now() - timedelta(seconds=float(armed.params.get("age_s", LATE_S)))
    moment.world.change(moment.ask.api, moment.ask.stream, armed.params.get("key", keys[-1]), modified_at=at)
    return True


@fault(
    "object-moves",
    "after the answer, the first object moves to another store (the world changes)",
    Stage.WORLD,
    apis=("cyclesoftware",),
    streams=("stock", "stock_items"),
)
def _object_moves(moment: Moment, _armed: Armed) -> bool:
    if (key := _first_key(moment)) is None:
        return False
    world, stream = moment.world, moment.ask.stream
    row = world.get("cyclesoftware", stream, key)
    if stream == "stock":
        world.delete("cyclesoftware", stream, key)
        row["store_id"] = row["store_id"].split("-")[0] + "-7"
    else:
        row["store_id"] = 7
    world.put("cyclesoftware", stream, row)
    return True


@fault("shuffled-order", "rows come in another order on each request", Stage.ASK, apis=("ghs",), streams=("products",))
def _shuffled_order(moment: Moment, _armed: Armed) -> None:
    if isinstance(moment.api, Ghs):
        moment.api.shuffle += 1


@fault(
    "unstable-ties",
    "rows of the same order value come in another order each time",
    Stage.ASK,
    apis=("autengo",),
    streams=("vehicles",),
)
def _unstable_ties(moment: Moment, _armed: Armed) -> None:
    if isinstance(moment.api, Autengo):
        moment.api.tie_shuffle += 1


# What is asked for is not what comes


@fault("ignored-offset", "page 1 for ever, whatever the offset", Stage.ASK, apis=PAGED)
def _ignored_offset(moment: Moment, _armed: Armed) -> bool:
    ignored = False
    for name in ("offset", "skip"):
        if moment.ask.query.get(name, "0") != "0":
            moment.ask.query[name] = "0"
            ignored = True
    return ignored


@fault("clamped-limit", "fewer rows than asked for, without a word; rows=10", Stage.ASK, apis=PAGED)
def _clamped_limit(moment: Moment, armed: Armed) -> None:
    moment.ask.page_limit = int(armed.params.get("rows", CLAMPED_ROWS))


@fault("linked-pages", "lists split in pages with links.next on the same host; rows=50", Stage.ASK, apis=("cyclis",))
def _linked_pages(moment: Moment, armed: Armed) -> None:
    moment.ask.page_limit = int(armed.params.get("rows", LINKED_ROWS))


@fault(
    "since-ignored",
    "the filter on the time of change is not applied",
    Stage.ASK,
    apis=("cyclesoftware", "cyclis", "autengo"),
)
def _since_ignored(moment: Moment, _armed: Armed) -> bool:
    query = moment.ask.query
    if "modified_start" in query:
        query["modified_start"], moment.ask.lenient = "2000-01-01", True
        return True
    names = {name for name in query if name in SINCE or name.startswith("and[updated]")}
    for name in names:
        query.popall(name)
    return bool(names)


# The page lies about itself


def _pagination(moment: Moment) -> dict[str, Any] | None:
    """Return the page's `pagination` if more pages follow."""
    answer = moment.answered
    if answer.paging != "next_offset" or not answer.more:
        return None
    pagination: dict[str, Any] = answer.body["pagination"]
    return pagination if isinstance(pagination.get("next_offset"), int) else None


@fault("next-offset-repeats", "a next_offset that is the offset just asked for", Stage.ANSWER, apis=("cyclesoftware",))
def _next_offset_repeats(moment: Moment, _armed: Armed) -> bool:
    if (pagination := _pagination(moment)) is None:
        return False
    pagination["next_offset"] = moment.ask.number("offset", 0)
    return True


@fault("next-offset-falls", "a next_offset below the offset just asked for", Stage.ANSWER, apis=("cyclesoftware",))
def _next_offset_falls(moment: Moment, _armed: Armed) -> bool:
    offset = moment.ask.number("offset", 0)
    if (pagination := _pagination(moment)) is None or not offset:
        return False
    pagination["next_offset"] = offset // 2
    return True


@fault(
    "next-offset-absent",
    "no next_offset though more rows follow; whole=True: no pagination at all",
    Stage.ANSWER,
    apis=("cyclesoftware",),
)
def _next_offset_absent(moment: Moment, armed: Armed) -> bool:
    if (pagination := _pagination(moment)) is None:
        return False
    if armed.params.get("whole"):
        del moment.answered.body["pagination"]
        moment.answered.paging = ""
    else:
        del pagination["next_offset"]
    return True


@fault("next-offset-string", "a next_offset that is text", Stage.ANSWER, apis=("cyclesoftware",))
def _next_offset_string(moment: Moment, _armed: Armed) -> bool:
    if (pagination := _pagination(moment)) is None:
        return False
    pagination["next_offset"] = str(pagination["next_offset"])
    return True


@fault(
    "empty-page-with-next",
    "an empty page though more rows follow; the rows come on the next one",
    Stage.ANSWER,
    apis=PAGED,
)
def _empty_page_with_next(moment: Moment, _armed: Armed) -> bool:
    answer = moment.answered
    if not answer.more or not answer.rows:
        return False
    count = len(answer.rows)
    answer.rows = []
    if (pagination := _pagination(moment)) and isinstance(moment.api, CycleSoftware):
        pagination["count"] = 0
        _, shift = moment.api.skew.get(moment.ask.stream, (0, 0))
        moment.api.skew[moment.ask.stream] = (pagination["next_offset"], shift + count)
    return True


@fault("count-disagrees", "a count or total that is one more than the rows", Stage.ANSWER, apis=PAGED)
def _count_disagrees(moment: Moment, _armed: Armed) -> bool:
    body = moment.answered.body
    if not moment.answered.paging:
        return False
    if moment.answered.paging == "next_offset":
        if "count" not in body["pagination"]:
            return False
        body["pagination"]["count"] += 1
    else:
        body["total" if moment.answered.paging == "total" else "totalResults"] += 1
    return True


@fault("total-changes", "a total that is another one on each page", Stage.ANSWER, apis=("autengo", "ghs"))
def _total_changes(moment: Moment, armed: Armed) -> bool:
    name = {"total": "total", "take": "totalResults"}.get(moment.answered.paging)
    if name is None:
        return False
    moment.answered.body[name] += 3 + 2 * armed.hits
    return True


@fault("next-link-other-host", "a link to the next page that leads to another host; url=URL", Stage.ANSWER)
def _next_link_other_host(moment: Moment, armed: Armed) -> bool:
    answer = moment.answered
    if answer.rows_at is None or not answer.is_list or not isinstance(answer.body, dict):
        return False
    url = armed.params.get("url", f"{OTHER_HOST}{moment.ask.path}?page=2")
    answer.body["links"] = {"next": url}
    if answer.paging == "next_offset":
        answer.body["pagination"]["next_url"] = url
    return True


@fault(
    "duplicate-key-on-page",
    "a row comes twice on the page: an outdated one first; stale=False: the same",
    Stage.ANSWER,
    apis=ALL_APIS,
)
def _duplicate_key_on_page(moment: Moment, armed: Armed) -> bool:
    answer = moment.answered
    if answer.rows_at is None or not answer.is_list or not answer.rows:
        return False
    row = int(armed.params.get("row", 0))
    record: Any = decoded(answer.rows[row])
    if not isinstance(record, dict):  # another fault was here before
        return False
    if armed.params.get("stale", True):
        _age(record, {*KEYS[moment.ask.api][moment.ask.stream]})
    answer.rows = [spoiled(record), *answer.rows]
    if answer.paging == "next_offset" and "count" in answer.body["pagination"]:
        answer.body["pagination"]["count"] += 1
    return True


def _age(record: dict[str, Any], key_fields: set[str]) -> None:
    """Make a record look outdated: its first plain text is another one."""
    holder = record.get("attributes", record)
    for name, value in holder.items():
        if isinstance(value, str) and name not in key_fields and name != "type":
            holder[name] = f"{value} (oud)"
            return

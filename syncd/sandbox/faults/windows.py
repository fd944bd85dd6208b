"""Faults of lists that go on by links, and of questions about days: what the vendor's pages leave open, taken badly."""

from typing import Any

from syncd.sandbox.answer import decoded
from syncd.sandbox.apis.cyclesoftware.articles import change_stock_unseen
from syncd.sandbox.catalog import KEYS
from syncd.sandbox.faults.table import Armed, Moment, Stage, fault

LINKED = ("sales_transactions", "workshop_orders", "articles", "warehouse_pos_items", "warehouse_stock_items")
"""Streams whose pages tell by a link where the list goes on."""
DATED = (
    "sales_transactions", "workshop_orders", "payments", "service_items", "packing_list_items", "insurances",
    "warehouse_delivered_items", "warehouse_assemblies",
)  # fmt: skip
"""Streams that are asked for by days."""
NARROW_DAYS = 15
CLAMPED_DAYS = 17


def _next_url(moment: Moment) -> dict[str, Any] | None:
    """Return the page's `pagination` if it holds a link."""
    body = moment.answered.body
    pagination: Any = body.get("pagination") if isinstance(body, dict) else None
    return pagination if isinstance(pagination, dict) and isinstance(pagination.get("next_url"), str) else None


@fault(
    "next-url-absent",
    "no next_url though more rows follow",
    Stage.ANSWER,
    apis=("cyclesoftware",),
    streams=tuple(each for each in LINKED if each != "articles"),  # of these, a page without a link is the last one
)
def _next_url_absent(moment: Moment, _armed: Armed) -> bool:
    if (pagination := _next_url(moment)) is None:
        return False
    del pagination["next_url"]
    return True


@fault(
    "next-url-repeats",
    "a next_url with the token that was asked for just now",
    Stage.ANSWER,
    apis=("cyclesoftware",),
    streams=LINKED,
)
def _next_url_repeats(moment: Moment, _armed: Armed) -> bool:
    if (pagination := _next_url(moment)) is None or "token" not in moment.ask.query:
        return False
    pagination["next_url"] = f"https://s01.cyclesoftware.nl/list.json?{moment.ask.raw_query}"
    return True


@fault(
    "row-left-out",
    "lists leave out one row, by its key, which can still be asked for",
    Stage.ANSWER,
    apis=("cyclesoftware",),
    streams=("workshop_orders",),
)
def _row_left_out(moment: Moment, armed: Armed) -> bool:
    answer = moment.answered
    if answer.rows_at is None or not answer.is_list:
        return False
    (field,) = KEYS[moment.ask.api][moment.ask.stream]
    key = armed.params.get("key")
    left = [row for row in answer.rows if decoded(row)[field] != key]
    struck = len(left) < len(answer.rows)
    answer.rows = left
    return struck


@fault(
    "token-expired",
    "the server no longer knows the token that was sent: 400, or an error inside a 200 with inside=True",
    Stage.BEFORE,
    apis=("cyclesoftware",),
    streams=LINKED,
)
def _token_expired(moment: Moment, armed: Armed) -> bool:
    if "token" not in moment.ask.query:
        return False
    moment.answer = moment.api.error(200 if armed.params.get("inside") else 400, "Invalid token")
    return True


@fault(
    "range-refused",
    "a range of more than days=15 days is answered with 400",
    Stage.ASK,
    apis=("cyclesoftware",),
    streams=DATED,
)
def _range_refused(moment: Moment, armed: Armed) -> None:
    moment.ask.widest_days = int(armed.params.get("days", NARROW_DAYS))


@fault(
    "range-clamped",
    "of a range, only the first days=17 days are answered for, or the last ones with end=True",
    Stage.ASK,
    apis=("cyclesoftware",),
    streams=DATED,
)
def _range_clamped(moment: Moment, armed: Armed) -> None:
    moment.ask.answered_days = int(armed.params.get("days", CLAMPED_DAYS))
    moment.ask.answers_end = bool(armed.params.get("end"))


@fault(
    "stock-changes-unseen",
    "after the answer, an article's stock changes, and its time of change does not (the world changes)",
    Stage.WORLD,
    apis=("cyclesoftware",),
    streams=("articles",),
)
def _stock_changes_unseen(moment: Moment, _armed: Armed) -> bool:
    keys = moment.world["cyclesoftware", "articles"].keys()
    return any(change_stock_unseen(moment.world, key) for key in keys)


@fault("days-in-utc", "days of a range begin at midnight UTC", Stage.ASK, apis=("cyclesoftware",), streams=DATED)
def _days_in_utc(moment: Moment, _armed: Armed) -> None:
    moment.ask.days_in_utc = True


@fault("last-day-excluded", "the last day of a range is not in it", Stage.ASK, apis=("cyclesoftware",), streams=DATED)
def _last_day_excluded(moment: Moment, _armed: Armed) -> None:
    moment.ask.last_day_counts = False

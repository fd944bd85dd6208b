"""Faults of data: rows that are not what the documents promise. They change what is sent, never the truth.

Each strikes the first row of the page, or the one that the parameters choose: row=N, or key=K (then it waits for the
page that holds that key); field=NAME chooses the field, value=V what is put there.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from syncd.sandbox.answer import Answer, decoded, spoiled
from syncd.sandbox.catalog import KEYS
from syncd.sandbox.faults.table import Armed, Moment, Stage, fault
from syncd.sandbox.world import Record

HUGE_INTEGER = 2**70  # past int64
NOTE_CHARACTERS = 3 << 20
BAD_UTF8 = b"\xc3\x28"
ORPHAN_ID = "00000000-0000-4000-8000-00000000dead"

TIME_FIELDS = {
    "customers": "datetime_created", "stock_items": "stocked_at", "leads": "modified_at",
    "sales_orders": "datetime_created",
    "vehicles": "updated", "contacts": "dateOfBirth", "products": "routeExpiryDate", "urgent_messages": "startDate",
}  # fmt: skip
BAD_TIMES = {
    "cyclesoftware": "0000-00-00 00:00:00", "cyclis": "2019-08-24T12:00:99Z", "autengo": "0000-00-00 00:00:00",
    "ghs": "/Date(-62135596800000)/",
}  # fmt: skip
ENUM_FIELDS = {
    "customers": "customer_type_name", "leads": "status", "sales_orders": "status", "vehicles": "sourceType",
    "contacts": "type", "urgent_messages": "level",
}  # fmt: skip

Deed = Callable[[Record], Any]  # spoils a record in place, or returns what is sent instead of it


def _spoil(moment: Moment, armed: Armed, deed: Deed) -> bool:
    """Let a deed loose on the chosen row; False if this answer has no such row or the deed finds nothing to spoil."""
    answer = moment.answered
    if armed.stream == "urgent_messages":
        messages = answer.body.get("urgentMessages") if isinstance(answer.body, dict) else None
        answer = Answer(body=messages or [], rows_at=())
    index = _index(moment.ask.api, answer, armed)
    if index is None:
        return False
    rows = list(answer.rows)
    record: Any = decoded(rows[index])
    if not isinstance(record, dict):  # another fault was here before
        return False
    target: Any = record
    if armed.stream == "customer_phone_numbers":
        numbers = record["phone_numbers"]
        target = numbers[min(int(armed.params.get("number", 0)), len(numbers) - 1)] if numbers else None
    done = deed(target) if target is not None else False
    if done is False:
        return False
    rows[index] = done if isinstance(done, msgspec.Raw) and target is record else spoiled(record)
    if answer is moment.answered:
        answer.rows = rows
    else:
        moment.answered.body["urgentMessages"] = rows
    return True


def _index(api: str, answer: Answer, armed: Armed) -> int | None:
    rows = answer.rows
    if "key" not in armed.params:
        index = int(armed.params.get("row", 0))
        return index if index < len(rows) else None
    wanted = armed.params["key"]
    for index, row in enumerate(rows):
        record: Any = decoded(row)
        fields = [field for fields in KEYS[api].values() for field in fields]
        if isinstance(record, dict) and any(record.get(field) == wanted for field in fields):
            return index
    return None


def _key_field(moment: Moment, armed: Armed) -> str:
    return KEYS[moment.ask.api][armed.stream or moment.ask.stream][-1]


def _field(moment: Moment, armed: Armed, record: Record, fits: Callable[[Any], bool]) -> tuple[Record, str] | None:
    """Return where the chosen field stands, or the first one (never the key) whose value fits."""
    holder = record.get("attributes", record)
    if "field" in armed.params:
        return holder, str(armed.params["field"])
    keys = {
        *KEYS[moment.ask.api][armed.stream or moment.ask.stream],
        "type",
        "customer_id",
        "makeId",
        "responseStatus",
        "urgentMessages",
    }
    for name, value in holder.items():
        if name not in keys and fits(value):
            return holder, name
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not value[:4].isdigit() and not value.startswith("/Date")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _entered(name: str, description: str, fits: Callable[[Any], bool], change: Callable[[Any], Any]) -> None:
    """Enter a fault that replaces one field's value."""

    @fault(name, description, Stage.ANSWER)
    def _strike(moment: Moment, armed: Armed) -> bool:
        def deed(record: Record) -> bool | None:
            place = _field(moment, armed, record, fits)
            if place is None:
                return False
            holder, field = place
            holder[field] = armed.params["value"] if "value" in armed.params else change(holder.get(field))
            return None

        return _spoil(moment, armed, deed)


def _other_type(value: Any) -> Any:
    """Return a value of a type that is not due, of the kinds that were seen: "NO", "array", false."""
    if isinstance(value, bool):
        return "NO"
    if isinstance(value, str):
        return False
    return "array"


_entered("nul-in-text", "a NUL character in a text", _is_text, lambda value: f"{value}\x00")
_entered("lone-surrogate", "half of a surrogate pair in a text", _is_text, lambda value: f"{value}\ud83d")
_entered("wrong-type", "a value of another type than is due", lambda _value: True, _other_type)
_entered("huge-integer", "an integer past 64 bits", _is_number, lambda _value: HUGE_INTEGER)
_entered("big-integer", "an integer past 2^53", _is_number, lambda _value: 2**53 + 1)
_entered("nan", "NaN for a number, which is no JSON", _is_number, lambda _value: float("nan"))
_entered("infinity", "Infinity for a number, which is no JSON", _is_number, lambda _value: float("inf"))
_entered(
    "megabyte-note", "a text of three megabytes", _is_text, lambda _value: "lang verhaal " * (NOTE_CHARACTERS // 13)
)
_entered("null-field", "null for a value", lambda value: value is not None, lambda _value: None)


@fault("invalid-utf8", "bytes in a text that are no UTF-8", Stage.ANSWER)
def _invalid_utf8(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> msgspec.Raw | bool:
        place = _field(moment, armed, record, _is_text)
        if place is None:
            return False
        holder, field = place
        holder[field] = f"{holder[field]} BAD-UTF8"
        return msgspec.Raw(json.dumps(record).encode().replace(b"BAD-UTF8", BAD_UTF8))

    return armed.stream != "customer_phone_numbers" and _spoil(moment, armed, deed)


@fault("unknown-field", "a field that no document knows", Stage.ANSWER)
def _unknown_field(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> None:
        record.get("attributes", record)[armed.params.get("field", "brand_new_field")] = armed.params.get(
            "value", "nieuw"
        )

    return _spoil(moment, armed, deed)


@fault("missing-field", "a field is not there", Stage.ANSWER)
def _missing_field(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> bool | None:
        place = _field(moment, armed, record, lambda _value: True)
        if place is None or place[1] not in place[0]:
            return False
        del place[0][place[1]]
        return None

    return _spoil(moment, armed, deed)


@fault("unknown-enum", "a value that the documented list does not hold", Stage.ANSWER)
def _unknown_enum(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> bool | None:
        holder = record.get("attributes", record)
        default = "state" if moment.ask.api == "cyclis" else "status"
        field = armed.params.get("field") or ENUM_FIELDS.get(armed.stream or moment.ask.stream, default)
        if field not in holder:
            return False
        holder[field] = armed.params.get("value", "zweeft")
        return None

    return _spoil(moment, armed, deed)


@fault("bad-time", "a time that is none; value=TEXT", Stage.ANSWER)
def _bad_time(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> bool | None:
        holder = record.get("attributes", record)
        default = "create_timestamp" if moment.ask.api == "cyclis" else "orderDate"
        field = armed.params.get("field") or TIME_FIELDS.get(armed.stream or moment.ask.stream, default)
        if field not in holder:
            return False
        holder[field] = armed.params.get("value", BAD_TIMES[moment.ask.api])
        return None

    return _spoil(moment, armed, deed)


def _entered_key(name: str, description: str, change: Callable[[Record, str], Any]) -> None:
    """Enter a fault that spoils the key."""

    @fault(name, description, Stage.ANSWER)
    def _strike(moment: Moment, armed: Armed) -> bool:
        return _spoil(moment, armed, lambda record: change(record, _key_field(moment, armed)))


def _set(value: Any) -> Callable[[Record, str], Any]:
    return lambda record, field: record.__setitem__(field, value)


_entered_key("null-key", "a row whose key is null", _set(None))
_entered_key("empty-key", "a row whose key is an empty text", _set(""))
_entered_key("missing-key", "a row without its key", lambda record, field: record.pop(field, None) and None)


@fault("string-key", "the key as text where a number is due, or as a number where text is due", Stage.ANSWER)
def _string_key(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> bool | None:
        field = _key_field(moment, armed)
        value = record.get(field)
        if isinstance(value, str) and not (value.isdecimal() and not value.startswith("0")):
            return False
        record[field] = int(value) if isinstance(value, str) else str(value)
        return None

    return _spoil(moment, armed, deed)


@fault(
    "orphan-relation",
    "a row that refers to something that does not exist",
    Stage.ANSWER,
    apis=("cyclesoftware", "cyclis", "ghs"),
)
def _orphan_relation(moment: Moment, armed: Armed) -> bool:
    def deed(record: Record) -> bool | None:
        if "relationships" in record:
            record["relationships"]["company"]["data"]["id"] = ORPHAN_ID
        elif moment.ask.stream in {"stock", "leads"}:
            record["store_id"] = "99999-9"
        elif moment.ask.stream == "sales_orders":
            record["customer_id"] = 99_999_999
        elif record.get("items"):
            record["items"][0]["productId"] = "999999999"
        else:
            return False
        return None

    return _spoil(moment, armed, deed)


# Whole lists


def _list_of(moment: Moment) -> Answer | None:
    answer = moment.answered
    return answer if answer.rows_at is not None and answer.is_list else None


def _recount(answer: Answer, by: int) -> None:
    if answer.paging == "next_offset" and "count" in answer.body["pagination"]:
        answer.body["pagination"]["count"] += by
    for name in ("total", "totalResults"):
        if isinstance(answer.body, dict) and name in answer.body:
            answer.body[name] += by


@fault("null-record", "a null among the rows", Stage.ANSWER)
def _null_record(moment: Moment, armed: Armed) -> bool:
    if (answer := _list_of(moment)) is None:
        return False
    rows = list(answer.rows)
    rows.insert(int(armed.params.get("row", 0)), msgspec.Raw(b"null"))
    answer.rows = rows
    return True


@fault("row-vanishes", "a row is left out for a while, and comes back", Stage.ANSWER)
def _row_vanishes(moment: Moment, armed: Armed) -> bool:
    if (answer := _list_of(moment)) is None or (index := _index(moment.ask.api, answer, armed)) is None:
        return False
    answer.rows = [row for at, row in enumerate(answer.rows) if at != index]
    _recount(answer, -1)
    return True


@fault("empty-list", "a whole list is suddenly empty", Stage.ANSWER)
def _empty_list(moment: Moment, _armed: Armed) -> bool:
    if (answer := _list_of(moment)) is None:
        return False
    answer.rows = []
    if answer.paging == "next_offset":
        answer.body["pagination"] = {"count": 0, "next_offset": None}
    for name in ("total", "totalResults"):
        if isinstance(answer.body, dict) and name in answer.body:
            answer.body[name] = 0
    return True


@fault("null-list", "null where the list of rows is due", Stage.ANSWER)
def _null_list(moment: Moment, _armed: Armed) -> bool:
    if (answer := _list_of(moment)) is None or not answer.rows_at:
        return False
    answer.set_rows(None)
    answer.rows_at = None
    return True


@fault("missing-list", "the list of rows is not there", Stage.ANSWER)
def _missing_list(moment: Moment, _armed: Armed) -> bool:
    if (answer := _list_of(moment)) is None or not answer.rows_at:
        return False
    del answer.body[answer.rows_at[0]]
    answer.rows_at = None
    return True


@fault("arrays-reordered", "arrays inside the rows come in another order", Stage.ANSWER)
def _arrays_reordered(moment: Moment, _armed: Armed) -> bool:
    answer = moment.answered
    if answer.rows_at is None:
        return False
    records = [decoded(row) for row in answer.rows]
    turned = False
    for record in filter(None, records):
        holder = record.get("attributes", record)
        for name, value in holder.items():
            if isinstance(value, list) and len(value) > 1 and name != "urgentMessages":
                holder[name] = value[::-1]
                turned = True
    if turned:
        answer.rows = [spoiled(record) for record in records]
    return turned

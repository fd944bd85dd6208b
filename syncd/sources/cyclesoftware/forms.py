"""The forms in which CycleSoftware sends a list: an array, bare or within `data`, a map, or one object alone.

The vendor's PHP writes an empty map as `[]`, and a list with gaps as a map of numbers. Pure functions over answers.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from syncd.contract import Answer, Table
from syncd.contract.clamps import Dated
from syncd.contract.errors import BadPayload
from syncd.records.readers import Keys, elements, envelope, peek, shown
from syncd.sources.cyclesoftware.api import RecordsOf

DATA = "data"
_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})|([0-9]{2})-([0-9]{2})-([0-9]{4})")


def data_of(answer: Answer) -> Sequence[bytes]:
    """Return the records of the list in `data`; one object there is a list of one."""
    return rows_of(envelope(answer).get(DATA), DATA)


def bare_list(answer: Answer) -> Sequence[bytes]:
    """Return the records of an answer that is an array itself, or a map of numbers.

    An object that holds the list in `data` is taken for it. An empty object is none: it may be a fault.
    """
    if answer.body.lstrip()[:1] != b"{":
        return elements(answer.body, "the answer")
    fields = envelope(answer)
    if fields and all(number.isdecimal() for number in fields):
        return list(fields.values())
    return rows_of(fields.get(DATA), DATA)


def dated(table: Table, *fields: str) -> Dated:
    """Return how the records of a table are known by the day in these members, which must agree; the day is as sent."""
    key_of = Keys(table).of

    def day_of(record: bytes) -> date | None:
        days = {_day_of(value) for value in peek(record, *fields)}
        return days.pop() if len(days) == 1 else None

    return Dated(key_of=key_of, day_of=day_of)


def _day_of(value: object) -> date | None:
    """Read the day of a time that is written with the year or the day first."""
    found = _DAY.match(value) if isinstance(value, str) else None
    year, month, day = (found[1] or found[6], found[2] or found[5], found[3] or found[4]) if found else ("0", "0", "0")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def rows_of(raw: bytes | None, name: str) -> Sequence[bytes]:
    """Return the records of a list: the elements of an array, the values of a map of numbers, or one object alone."""
    if raw is None or raw[:1] != b"{":
        return elements(raw, name)
    fields = envelope(raw)
    return list(fields.values()) if all(number.isdecimal() for number in fields) else [raw]


def map_of(raw: bytes | None, name: str) -> dict[str, bytes]:
    """Return the members of a map; an empty array is an empty map. Raises BadPayload for anything else."""
    if raw is not None and raw[:1] == b"[" and not elements(raw, name):
        return {}
    if raw is None or raw[:1] != b"{":
        raise BadPayload(f"expected an object in `{name}`, got {shown(raw)}")
    return envelope(raw)


def with_member(record: bytes, name: str, value: str) -> bytes:
    """Return a record with what the map told of it: the name under which it stood. What is no object stays as it is."""
    if record[:1] != b"{":
        return record
    fields = {field: msgspec.Raw(raw) for field, raw in envelope(record).items()}
    return msgspec.json.encode({**fields, name: value})


def respelled(name: str, right: str, records_of: RecordsOf) -> RecordsOf:
    """Return what reads records in which a member may bear another name than the one that counts.

    A record that holds both stays as it is.
    """
    sign = f'"{name}"'.encode()

    def read(answer: Answer) -> Sequence[bytes]:
        return [_renamed(each, name, right) if sign in each else each for each in records_of(answer)]

    return read


def _renamed(record: bytes, name: str, right: str) -> bytes:
    fields = envelope(record) if record[:1] == b"{" else {}
    if name not in fields or right in fields:
        return record
    return msgspec.json.encode({right if field == name else field: msgspec.Raw(raw) for field, raw in fields.items()})

"""The readers of JSON that sources use: how an answer is taken apart, and how keys and times of records are read.

Sources import nothing else of this room. A reader either gives a value or says why there is none.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from syncd.contract import Answer, Table
from syncd.errors import BadPayload
from syncd.records.parser import PARSERS, parser_of
from syncd.records.rows import Key, Row
from syncd.records.split import detail, elements, envelope, scalar
from syncd.records.strict import MemberReader
from syncd.records.values import earliest_reading, latest_reading

__all__ = [
    "Keys", "detail", "earliest_reading", "elements", "envelope", "keys_at", "latest_reading", "members", "peek",
    "scalar", "shown", "whole_number",
]  # fmt: skip

_UTC = ZoneInfo("UTC")
_member_reader = lru_cache(maxsize=PARSERS)(MemberReader)
_DIGITS = re.compile(r"[0-9]{1,18}")
_SHOWN_BYTES = 40


class Keys:
    """Reads keys, and other values that no zone changes, of the records of one table."""

    def __init__(self, table: Table) -> None:
        self._parser = parser_of(table, _UTC)

    def of(self, record: bytes) -> Key | None:
        """Return the record's key, None if it has no usable one."""
        return self._parser.key(record)

    def of_all(self, records: Sequence[bytes]) -> Sequence[Key | None]:
        """Return the key of each record; faster than one by one."""
        return self._parser.keys(records)

    def values(self, column: str, records: Sequence[bytes]) -> set[Any]:
        """Return the values that a column has in these records; null and records without a key are left out."""
        place = self._parser.names.index(column)
        reader = _member_reader(self._parser.table.columns[place])
        return {self._value(place, reader, record) for record in records} - {None}

    def _value(self, place: int, reader: MemberReader, record: bytes) -> Any:
        """Read one value alone; where it is not as documented, with all that the record holds."""
        value, fits = reader.value(record)
        if fits and self.of(record) is not None:
            return value
        row = self._parser.parse(record)
        return row.values[place] if isinstance(row, Row) else None


def members(raw: Answer | bytes | None) -> dict[str, bytes]:
    """Return the members of a JSON object, each as sent; none if it is no object."""
    try:
        return envelope(raw or b"")
    except BadPayload:
        return {}


def peek(record: bytes, *names: str) -> list[Any]:
    """Read a few small fields of a record; None for a field that is missing, or if the record is no object."""
    fields = members(record)
    return [scalar(fields.get(name)) for name in names]


def keys_at(name: str, records: Sequence[bytes]) -> list[str | int | None]:
    """Return as the key of each record its member `name`, None where that is no text and no number, or empty."""
    found = [peek(record, name)[0] for record in records]
    return [value if isinstance(value, str | int) and value != "" else None for value in found]


def whole_number(raw: bytes | None) -> int | None:
    """Read a whole number from 0 to below 10^18, sent as a number or as a text of digits; None if it is none."""
    value = scalar(raw)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else None


def shown(raw: bytes | None) -> str:
    """Return the beginning of a JSON text for an error, or "nothing" if it is missing."""
    return "nothing" if raw is None else raw[:_SHOWN_BYTES].decode("utf-8", "replace")
